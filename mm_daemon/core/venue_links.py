"""What a venue says about itself: that it is there, that it is not, what time it is, how much it will take of us.

Rate limits are counted by the outboxes, clocks judged by `core/safeguards.py`; here is what that means for the quotes.
Owned by `TradingCore`.
"""

from collections.abc import Callable

from mm_daemon.core.accounts import Accounts
from mm_daemon.core.agenda import Agenda
from mm_daemon.core.dispatch import Dispatch
from mm_daemon.core.market import MarketState
from mm_daemon.core.safeguards import Safeguards
from mm_daemon.domain.decisions import Reason
from mm_daemon.domain.events import (
    BalanceUpdate,
    InvalidCause,
    RateLimited,
    RateLimitUsed,
    VenueConnected,
    VenueDisconnected,
    VenueTime,
)
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.money import from_pair
from mm_daemon.risk.gate import RiskGate

_VENUE_DOWN = Reason.VENUE_DOWN.bit
_CLOCK_SKEW = Reason.CLOCK_SKEW.bit
_BANNED = Reason.VENUE_BANNED.bit
_RECONNECT, _BAN = "reconnect", "ban"
"""Why a venue's account has to be compared before it is quoted on again."""


class VenueLinks:
    def __init__(
        self,
        agenda: Agenda,
        gate: RiskGate,
        safeguards: Safeguards,
        dispatch: Dispatch,
        accounts: Accounts,
        lose_book: Callable[[MarketState, InvalidCause], None],
    ) -> None:
        self._agenda = agenda
        self._gate = gate
        self._safeguards = safeguards
        self._dispatch = dispatch
        self._accounts = accounts
        self._lose_book = lose_book
        self.banned_until_ns: dict[Venue, int] = {}
        """Venues that take no message of ours, and until when."""
        self._lost: dict[Venue, None] = {}
        """Venues whose link is down, or was until their account was compared."""

    def handlers(self) -> dict[type, Callable[..., None]]:
        return {
            VenueConnected: self._on_connected,
            VenueDisconnected: self._on_disconnected,
            VenueTime: self._on_venue_time,
            RateLimited: self._on_rate_limited,
            RateLimitUsed: self._on_rate_used,
            BalanceUpdate: self._on_balance,
        }

    def _on_connected(self, event: VenueConnected) -> None:
        if event.venue in self._lost:
            del self._lost[event.venue]
            self._accounts.compare_first(event.venue, _RECONNECT, event.ts_local_ns)
        for market in self._agenda.of_venue(event.venue):
            market.halts &= ~_VENUE_DOWN
            self._agenda.reconsider(market)

    def _on_disconnected(self, event: VenueDisconnected) -> None:
        self._lost[event.venue] = None
        for market in self._agenda.of_venue(event.venue):
            market.halts |= _VENUE_DOWN
            self._lose_book(market, InvalidCause.DISCONNECTED)

    # Time

    def _on_venue_time(self, event: VenueTime) -> None:
        """The venue's clock and height: one may be too far from ours, the other brings back what a block allows."""
        self._accounts.tell_time(event.venue, event.ts_venue_ns, event.ts_local_ns, event.height)
        skewed = self._safeguards.venue_time(event)
        if skewed is not None:
            for market in self._agenda.of_venue(event.venue):
                market.halts = market.halts | _CLOCK_SKEW if skewed else market.halts & ~_CLOCK_SKEW
                self._agenda.reconsider(market)
        if event.height is not None:
            self._dispatch.outboxes[event.venue].at_height(event.height, event.ts_local_ns)
            self._pace_anew(event.venue)

    # What it takes of us

    def _on_rate_limited(self, event: RateLimited) -> None:
        outbox = self._dispatch.outboxes[event.venue]
        outbox.apply(event)
        if event.banned:
            self._ban(event.venue, outbox.banned_until_ns)
        for market in self._agenda.of_venue(event.venue):
            self._agenda.reconsider(market)

    def _on_rate_used(self, event: RateLimitUsed) -> None:
        self._dispatch.outboxes[event.venue].used(event)
        self._pace_anew(event.venue)

    def _pace_anew(self, venue: Venue) -> None:
        """A limit of the venue has moved: what it held back may go on. What it holds from now on is seen at the next
        decision.
        """
        for market in self._agenda.of_venue(venue):
            if market.paced:
                self._agenda.reconsider(market)

    def _on_balance(self, event: BalanceUpdate) -> None:
        exposure = self._gate.exposure
        exposure.balances[event.venue, event.asset] = from_pair(event.total)
        if exposure.limited:
            for market in self._agenda.of_venue(event.venue):
                self._agenda.reconsider(market)

    # Bans

    def _ban(self, venue: Venue, until_ns: int) -> None:
        self.banned_until_ns[venue] = until_ns
        self._dispatch.outboxes[venue].ban(until_ns)
        for market in self._agenda.of_venue(venue):
            market.halts |= _BANNED

    def take_up(self, back_ns: int, now_ns: int) -> None:
        """Bans of an earlier life go on, on a clock that may have begun `back_ns` earlier."""
        bans, self.banned_until_ns = self.banned_until_ns, {}
        for venue, until_ns in bans.items():
            if until_ns - back_ns > now_ns:
                self._ban(venue, until_ns - back_ns)

    def end_bans(self, now_ns: int) -> None:
        """What happened at a venue that would not hear us is not known: it reconciles before it quotes."""
        for venue in [venue for venue, until_ns in self.banned_until_ns.items() if until_ns <= now_ns]:
            del self.banned_until_ns[venue]
            for market in self._agenda.of_venue(venue):
                market.halts &= ~_BANNED
            self._accounts.compare_first(venue, _BAN, now_ns)

    def next_deadline_ns(self) -> int | None:
        """When the next ban ends; None: there is none."""
        return min(self.banned_until_ns.values(), default=None)
