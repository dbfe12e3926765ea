"""Every error the daemon raises on purpose; each docstring says what the daemon does about it.

Three kinds: configuration (tell the person and stop), weather (travels as events, rarely an exception), bug (stop
quoting, cancel, exit loudly). The exit code belongs to the error, so that no caller has to know the table of
OPERATIONS 4.
"""


class MmError(Exception):
    """Root of our errors. Unless a subclass says otherwise: a bug. Stop quoting, cancel everything, exit 1."""

    exit_code = 1


class UsageError(MmError):
    """The command line asks for something that makes no sense. Nothing was started; say it and exit 64."""

    exit_code = 64


class ConfigError(MmError):
    """The configuration is wrong. Nothing was started; every problem is printed with its place; exit 78."""

    exit_code = 78


class VenueUnreachable(MmError):
    """A venue could not be reached while starting. Nothing was quoted; the supervisor may start again; exit 69."""

    exit_code = 69


class CredentialsRefused(MmError):
    """The venue refused our key. Starting again will not help; exit 77."""

    exit_code = 77


class JournalError(MmError):
    """The journal cannot be written or trusted. No effect leaves without its cause on disk: cancel, stop, exit 74."""

    exit_code = 74


class ReconciliationFailed(MmError):
    """The venue does not agree with us and could not be brought to. Nothing was quoted; a person must look; exit 82."""

    exit_code = 82


class CoreError(MmError):
    """An invariant of the core does not hold: a bug, not weather. Cancel at the venues, close the journal, exit 1."""


class GridError(MmError, ValueError):
    """A venue's text is no price or size on the instrument's grid. Its frame is counted and reported once; the book it
    belongs to is resynchronised.
    """


class DomainError(MmError, ValueError):
    """A model was asked outside its domain (negative volatility, k <= 0, NaN). No quote, reason `bad_number`."""


class CostTooHigh(DomainError):
    """A fill costs so much that no taker ever pays for it. No quote, reason `cost_too_high`."""
