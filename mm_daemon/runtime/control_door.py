"""The one door through which people tell a running daemon what to do, whichever way they come: socket or page.

A request becomes an event in the inbox, journaled with who asked and when, and counts as done once the core has taken
it. The core loop shows every turn's events.
"""

import asyncio
from collections.abc import Callable, Sequence

from mm_daemon.domain.errors import UsageError
from mm_daemon.domain.events import Event, OperatorAction, OperatorRequest
from mm_daemon.domain.instrument import InstrumentId, symbol_of
from mm_daemon.domain.spelling import did_you_mean

_TAKEN_S = 2.0
_DONE = {
    OperatorAction.PAUSE: "paused",
    OperatorAction.RESUME: "resumed",
    OperatorAction.FLATTEN: "quotes are pulled and the position is worked off (while killed: once the kill switch is "
    "cleared); paused from then on, until resume",
    OperatorAction.CANCEL_ALL: "every order is cancelled at every venue; paused until resume",
    OperatorAction.KILL: "killed: everything is cancelled, quoting stays off until clear-kill",
    OperatorAction.CLEAR_KILL: "the kill switch is cleared",
    OperatorAction.ENABLE: "enabled",
    OperatorAction.DISABLE: "disabled: nothing is quoted here until enable, whatever resume says",
}
_OF_ALL = (OperatorAction.KILL, OperatorAction.CLEAR_KILL, OperatorAction.CANCEL_ALL)
"""These know no single market."""
_OF_ONE = (OperatorAction.ENABLE, OperatorAction.DISABLE)
"""These must name one."""


class ControlDoor:
    def __init__(
        self, instruments: Sequence[InstrumentId], *, emit: Callable[[Event], None], now_ns: Callable[[], int]
    ) -> None:
        self._instruments = instruments
        self._emit = emit
        self._now_ns = now_ns
        self._waiting: list[tuple[Event, asyncio.Future[None]]] = []

    def market(self, symbol: str) -> InstrumentId:
        """The market of that name. Raises UsageError."""
        return find_instrument(symbol, self._instruments)

    async def act(self, action: OperatorAction, symbol: str | None, who: str) -> str:
        """Ask for something and wait until the core has taken it; what it comes to, in words. `symbol`: one market;
        None: all. Raises UsageError when that makes no sense, or the core does not take it in time.
        """
        instrument = None
        if symbol is not None:
            if action in _OF_ALL:
                raise UsageError(f"{action.replace('_', '-')} is for all markets: name none")
            instrument = self.market(symbol)
        elif action in _OF_ONE:
            raise UsageError(f"name the market to {action}: {', '.join(self._instruments)}")
        await self.tell(OperatorRequest(self._now_ns(), action, who, instrument))
        done = _DONE[action]
        return done if instrument is None else f"{instrument} {done}"

    async def tell(self, event: Event) -> None:
        """Give the core an event and wait until it has taken it. Raises UsageError when it does not in time."""
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, taken))
        self._emit(event)
        try:
            await asyncio.wait_for(taken, _TAKEN_S)
        except TimeoutError:
            raise UsageError(f"asked, but the core has not taken it within {_TAKEN_S:g} s") from None
        finally:
            self._waiting = [waiting for waiting in self._waiting if waiting[0] is not event]

    def observe(self, events: Sequence[Event]) -> None:
        """The events the core has just taken: whoever waits for one of them is told."""
        if not self._waiting:
            return
        for request, taken in self._waiting:
            if not taken.done() and any(event is request for event in events):
                taken.set_result(None)


def find_instrument(symbol: str, instruments: Sequence[InstrumentId]) -> InstrumentId:
    """The market of that name, with or without its venue. Raises UsageError when there is none, or several."""
    found = [instrument for instrument in instruments if symbol in (instrument, symbol_of(instrument))]
    if not found:
        raise UsageError(f"no market {symbol!r} here{did_you_mean(symbol, instruments)}: {', '.join(instruments)}")
    if len(found) > 1:
        raise UsageError(f"{symbol!r} is on several venues: name one of {', '.join(found)}")
    return found[0]
