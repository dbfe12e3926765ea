"""The account's position mode: one net position a symbol, or long and short apart; whether it is the one configured."""

from collections.abc import Sequence

from connectors.ccxt.contracts import Contract
from connectors.ccxt.requests import NothingToChange, RequestRefused, Requests
from connectors.ccxt.settings import PositionMode
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.instrument import Venue

WORDS = {PositionMode.ONE_WAY: "one-way", PositionMode.TWO_WAY: "two-way (hedge mode)"}
OTHER = {PositionMode.ONE_WAY: PositionMode.TWO_WAY, PositionMode.TWO_WAY: PositionMode.ONE_WAY}


async def told(requests: Requests, contracts: Sequence[Contract]) -> PositionMode | None:
    """The account's mode; None: the exchange does not say. An exchange without a word of its own for it shows it on its
    positions. Raises VenueUnreachable, CredentialsRefused, or ConfigError for contracts that differ."""
    symbols = [each.unified for each in contracts]
    if requests.can("fetchPositionMode"):
        rows = [await requests.read("fetch_position_mode", symbols[0])]
    else:
        rows = [row for row in await requests.read("fetch_positions", symbols) if row.get("symbol") in symbols]
    found = {row["hedged"] for row in rows if row.get("hedged") is not None}
    if len(found) > 1:
        raise ConfigError(
            f"{', '.join(symbols)} are not all in the same position mode; write set_position_mode: true, or set one "
            "mode for all of them at the exchange"
        )
    return None if not found else PositionMode.TWO_WAY if found.pop() else PositionMode.ONE_WAY


async def switch(requests: Requests, wanted: PositionMode, venue: Venue) -> None:
    """Raises VenueUnreachable, CredentialsRefused, or ConfigError when the exchange refuses, as it does while something
    is open."""
    try:
        await requests.read("set_position_mode", wanted.hedged)
    except NothingToChange:
        return
    except RequestRefused as error:
        raise ConfigError(
            f"venue {venue}: the account could not be switched to {WORDS[wanted]} position mode ({error}); close its "
            f"orders and positions first, or write position_mode: {OTHER[wanted].value}"
        ) from error


def mismatch(found: PositionMode, wanted: PositionMode) -> tuple[str, str]:
    """In words: what is wrong, and the ways out."""
    return (
        f"the account is in {WORDS[found]} position mode, and position_mode says {wanted.value}",
        f"write position_mode: {found.value}, or switch the account: set_position_mode: true does it at the start, "
        "while nothing is open",
    )
