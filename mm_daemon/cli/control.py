"""Verbs that talk to a running daemon: what it does, what it shall do; and cancel-all, which needs none."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from mm_daemon.cli.options import DEFAULT_CONFIG, ConfigPath, read_config

if TYPE_CHECKING:
    from mm_daemon.domain.events import Resolution
    from mm_daemon.observability.status import Status
    from mm_daemon.runtime.control import ControlClient, Verb

OfDaemon = Annotated[
    Path,
    Parameter(
        name=["--config", "-c"],
        help="Configuration the daemon was started with; only its `state_dir` is read.",
    ),
]
StatePath = Annotated[
    Path | None,
    Parameter(name="--state-dir", help="Folder of the daemon, instead of looking into a configuration."),
]
Json = Annotated[bool, Parameter(negative=(), help="Answer as one JSON object.")]
Symbol = Annotated[
    str | None, Parameter(name="SYMBOL", help="One market, as BTC-USDT or sim:BTC-USDT; all of them by default.")
]
OneSymbol = Annotated[str, Parameter(name="SYMBOL", help="The market, as BTC-USDT or sim:BTC-USDT.")]


def status(*, config: OfDaemon = DEFAULT_CONFIG, state_dir: StatePath = None, json: Json = False) -> int:
    """Say what a running daemon does: quotes, position, P&L, reasons, links."""
    import msgspec

    from mm_daemon.runtime.control import ControlClient

    with ControlClient(_folder(config, state_dir)) as client:
        now = _status_of(client)
    if json:
        print(msgspec.json.encode(now).decode())
        return 0
    from rich.console import Console

    from mm_daemon.observability.watch import whole

    console = Console(highlight=False, soft_wrap=True)
    console.print(whole(now, console.width))
    return 0


def watch(
    *,
    config: OfDaemon = DEFAULT_CONFIG,
    state_dir: StatePath = None,
    of_run: Annotated[bool, Parameter(negative=(), show=False)] = False,
) -> int:
    """Watch a running daemon on the terminal until Ctrl-C. Watching changes nothing."""
    from mm_daemon.observability.watch import show
    from mm_daemon.runtime.control import ControlClient

    folder = _folder(config, state_dir)
    with ControlClient(folder) as client:
        ended = show(client.status, of_run=of_run)
    if ended and not of_run:
        print(f"the daemon in {folder} has gone; its log and journal say why")
    return 0


def pause(symbol: Symbol = None, /, *, config: OfDaemon = DEFAULT_CONFIG, state_dir: StatePath = None) -> int:
    """Take the quotes away and quote nothing until `resume`. The process stays up."""
    return _tell("pause", config, state_dir, symbol)


def resume(symbol: Symbol = None, /, *, config: OfDaemon = DEFAULT_CONFIG, state_dir: StatePath = None) -> int:
    """Quote again what was paused."""
    return _tell("resume", config, state_dir, symbol)


def flatten(symbol: Symbol = None, /, *, config: OfDaemon = DEFAULT_CONFIG, state_dir: StatePath = None) -> int:
    """Pull the quotes and take what the market offers until the position is zero; paused from then on."""
    return _tell("flatten", config, state_dir, symbol)


def enable(symbol: OneSymbol, /, *, config: OfDaemon = DEFAULT_CONFIG, state_dir: StatePath = None) -> int:
    """Trade a market that was disabled, here or by `enabled: false`."""
    return _tell("enable", config, state_dir, symbol)


def disable(symbol: OneSymbol, /, *, config: OfDaemon = DEFAULT_CONFIG, state_dir: StatePath = None) -> int:
    """Take a market out of trade until `enable`, across restarts and whatever `resume` says."""
    return _tell("disable", config, state_dir, symbol)


def reload(*, config: OfDaemon = DEFAULT_CONFIG, state_dir: StatePath = None) -> int:
    """Let the daemon read its configuration again: models, prices, sizes and limits change at once, the rest is named
    and waits for a restart. A file with a mistake changes nothing.
    """
    return _tell("reload", config, state_dir)


def kill(*, config: OfDaemon = DEFAULT_CONFIG, state_dir: StatePath = None) -> int:
    """The kill switch: cancel everything at once; quoting stays off until `clear-kill`."""
    return _tell("kill", config, state_dir)


def clear_kill(*, config: OfDaemon = DEFAULT_CONFIG, state_dir: StatePath = None) -> int:
    """Let quoting begin again after the kill switch or a loss limit."""
    return _tell("clear_kill", config, state_dir)


def cancel_all(
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    state_dir: StatePath = None,
    direct: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Cancel every order at every venue. Asks the running daemon, which then pauses; where none does it, asks the
    venues themselves, which needs the whole configuration with its secrets.

    Parameters
    ----------
    config:
        Configuration of the daemon.
    direct:
        Ask the venues themselves at once, for a daemon that no longer does what it is told.
    """
    from mm_daemon.domain.errors import UsageError

    if not direct:
        try:
            return _tell("cancel_all", config, state_dir)
        except UsageError as error:  # nobody there, or nobody who does it
            print(f"{error}\nasking the venues themselves")
    from mm_daemon.runtime.panic import cancel_everywhere

    return cancel_everywhere(read_config(config), print)


def resolve(
    order: int,
    outcome: Literal["dead", "filled"],
    /,
    *,
    evidence: str = "",
    config: ConfigPath = DEFAULT_CONFIG,
    state_dir: StatePath = None,
) -> int:
    """Say how an order of unknown outcome ended, after a look at the venue. `status` names such orders.

    Parameters
    ----------
    order:
        Its client order id.
    outcome:
        dead: the venue can never fill it. filled: it has filled; fills we lack are found by comparing accounts.
    evidence:
        What shows it, for the journal.
    config:
        Configuration the daemon was started with; only its `state_dir` is read.
    state_dir:
        Folder of the daemon, instead of looking into a configuration.
    """
    from mm_daemon.domain.events import Resolution

    return _tell("resolve", config, state_dir, order=order, outcome=Resolution(outcome), evidence=evidence)


def adopt(symbol: Symbol, /, *, config: ConfigPath = DEFAULT_CONFIG, state_dir: StatePath = None) -> int:
    """Take over the venue's position of a market where ours differs and nothing explains it.

    Parameters
    ----------
    symbol:
        The market, as BTC-USDT or sim:BTC-USDT.
    config:
        Configuration the daemon was started with; only its `state_dir` is read.
    state_dir:
        Folder of the daemon, instead of looking into a configuration.
    """
    return _tell("adopt", config, state_dir, symbol)


def _tell(
    verb: "Verb",
    config: Path,
    state_dir: Path | None,
    symbol: str | None = None,
    *,
    order: int | None = None,
    outcome: "Resolution | None" = None,
    evidence: str = "",
) -> int:
    from mm_daemon.domain.errors import UsageError
    from mm_daemon.runtime.control import ControlClient

    with ControlClient(_folder(config, state_dir)) as client:
        try:
            reply = client.ask(verb, symbol, order=order, outcome=outcome, evidence=evidence)
        except EOFError as error:
            raise UsageError(f"the daemon has gone: {error}") from error
    if not reply.ok:
        raise UsageError(reply.text)
    print(reply.text)
    return 0


def _status_of(client: "ControlClient") -> "Status":
    from mm_daemon.domain.errors import UsageError

    try:
        return client.status()
    except EOFError as error:
        raise UsageError(f"the daemon has gone: {error}") from error


def _folder(config: Path, state_dir: Path | None) -> Path:
    """Where the daemon keeps its socket. Secrets and the rest of the configuration are not needed to ask it."""
    from mm_daemon.config.load import state_dir_of

    return state_dir if state_dir is not None else state_dir_of(config, environ=os.environ)
