"""The trade statistics of a daemon that runs: one owner for screen, status and metrics, shown every turn."""

from collections.abc import Mapping, Sequence

from mm_daemon.core.market import MarketState
from mm_daemon.domain.deadlines import NEVER_NS
from mm_daemon.domain.decisions import AmendOrder, PlaceOrder, Turn
from mm_daemon.domain.events import Event, OrderFilled
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.observability.equity_figures import EQUITY_NS
from mm_daemon.observability.trade_statistics import TradeStatistics


class LiveStatistics:
    """`markets` are the core's, read only; `start_ns` is now, on the run's clock."""

    def __init__(self, markets: Mapping[InstrumentId, MarketState], start_ns: int) -> None:
        self.markets = {name: TradeStatistics(market, start_ns) for name, market in markets.items()}
        self._priced = [(statistics.equity, markets[name].position) for name, statistics in self.markets.items()]
        self._sample_ns = start_ns
        self._waiting: list[TradeStatistics] = []
        """Markets with fills that wait for a later mid."""

    def observe(self, turn: Turn, events: Sequence[Event]) -> None:
        """One turn and its order events. Next to nothing while nothing was booked and no fill waits."""
        if turn.now_ns >= self._sample_ns:
            self._sample(turn.now_ns)
        for approved in turn.released:
            if isinstance(approved.command, PlaceOrder | AmendOrder):
                self.markets[approved.command.instrument].orders += 1
        if turn.booked:
            told: dict[InstrumentId, list[OrderFilled]] = {}
            for event in events:
                if isinstance(event, OrderFilled):
                    told.setdefault(event.instrument, []).append(event)
            for booked in turn.booked:
                self.markets[booked.instrument].booked(told.get(booked.instrument, ()), turn.now_ns)
            self._waiting = [statistics for statistics in self.markets.values() if statistics.due_ns != NEVER_NS]
        elif not self._waiting:
            return
        over = False
        for statistics in self._waiting:
            statistics.saw(turn.now_ns)
            over |= statistics.due_ns == NEVER_NS
        if over:
            self._waiting = [statistics for statistics in self._waiting if statistics.due_ns != NEVER_NS]

    def _sample(self, now_ns: int) -> None:
        """What each market is worth behind the first turn of a second stands for all seconds since the one before."""
        samples = (now_ns - self._sample_ns) // EQUITY_NS + 1
        self._sample_ns += samples * EQUITY_NS
        for equity, position in self._priced:
            equity.add(position.total_atto, samples)
