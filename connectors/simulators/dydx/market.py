"""One perpetual of the simulated dYdX: its exponents, the node's book with the others in it, its oracle price."""

from collections import deque
from collections.abc import Mapping
from decimal import Decimal

from connectors.simulators.dydx.settings import KNOWN, OTHER, MarketFacts, MarketSettings
from mm_daemon.domain.book import NO_ASK, NO_BID
from mm_daemon.domain.orders import Side
from mm_daemon.domain.rng import Rng
from mm_daemon.simulation.flow import Flow
from mm_daemon.simulation.matching import Match, PriceTimeBook

QUANTUM_CONVERSION_EXPONENT = -9
_USDC_DECIMALS = 6
_TRADES_SHOWN = 1000
_LEVELS_SHOWN = 100


class Market:
    def __init__(self, ticker: str, facts: MarketFacts, settings: MarketSettings, rng: Rng) -> None:
        self.ticker = ticker
        self.pair_id = facts.pair_id
        self.facts = facts
        self.step = facts.step_base_quantums
        self.subticks_per_tick = facts.subticks_per_tick
        self.lot = Decimal(self.step).scaleb(facts.atomic_resolution)
        exponent = facts.atomic_resolution - QUANTUM_CONVERSION_EXPONENT + _USDC_DECIMALS
        self.tick = Decimal(self.subticks_per_tick).scaleb(-exponent)
        self.margin_ppm = settings.initial_margin_ppm
        self.status = "ACTIVE"
        self.book = PriceTimeBook()
        price = settings.start_price or facts.price
        self.flow = Flow(
            settings,
            self.book,
            rng,
            fair_ticks=float(price / self.tick),
            typical_lots=float(settings.typical_notional / price / self.lot),
        )
        self.oracle_ticks = round(price / self.tick)
        self.said_oracle_ticks = 0
        self.trades: deque[dict[str, str]] = deque(maxlen=_TRADES_SHOWN)
        """Committed, newest first."""
        self.funding: deque[dict[str, str]] = deque(maxlen=1000)
        """Settled, newest first."""
        self.hidden: dict[tuple[Side, int], int] = {}
        """Levels of the indexer that the node does not have: phantoms and missed removals, with their lots."""
        self.day_lots = 0
        self.day_trades = 0

    def live(self, now_ns: int) -> list[tuple[Side, list[Match]]]:
        """What the others do up to now: their trades, by taker."""
        done: list[tuple[Side, list[Match]]] = []
        while self.flow.next_ns <= now_ns:
            side, matches = self.flow.step(self.flow.next_ns)
            if matches:
                done.append((side, matches))
        return done

    def look(self) -> bool:
        """The oracle looks at the market; whether its price is new."""
        self.oracle_ticks = max(round(self.flow.price.public_ticks), 1)
        new = self.oracle_ticks != self.said_oracle_ticks
        self.said_oracle_ticks = self.oracle_ticks
        return new

    def changes(self) -> list[tuple[Side, int, int]]:
        """Levels that changed since this was last asked, with their lots now."""
        self.flow.published()
        return [(side, *level) for side in (Side.BUY, Side.SELL) for level in self.book.take_changes(side)]

    def shown(self) -> dict[str, list[dict[str, str]]]:
        """The book as the indexer serves it: at most 100 levels a side, uncrossed."""
        return {
            name: [{"price": self.price(ticks), "size": self.size(lots)} for ticks, lots in levels[:_LEVELS_SHOWN]]
            for name, levels in (("bids", self.book.depth(Side.BUY)), ("asks", self.book.depth(Side.SELL)))
        }

    def mid_ticks(self) -> int:
        bid, ask = self.book.best(Side.BUY), self.book.best(Side.SELL)
        return self.oracle_ticks if bid == NO_BID or ask == NO_ASK else (bid + ask) // 2

    def row(self, rate: Decimal) -> dict[str, object]:
        """As `/v4/perpetualMarkets` shows it."""
        return {
            "clobPairId": str(self.pair_id),
            "ticker": self.ticker,
            "status": self.status,
            "oraclePrice": self.price(self.oracle_ticks),
            "priceChange24H": "0",
            "volume24H": plain(self.day_lots * self.lot * self.oracle_ticks * self.tick),
            "trades24H": self.day_trades,
            "nextFundingRate": plain(rate),
            "initialMarginFraction": plain(Decimal(self.margin_ppm).scaleb(-6)),
            "maintenanceMarginFraction": plain(Decimal(self.margin_ppm * 6 // 10).scaleb(-6)),
            "openInterest": "0",
            "atomicResolution": self.facts.atomic_resolution,
            "quantumConversionExponent": QUANTUM_CONVERSION_EXPONENT,
            "tickSize": plain(self.tick),
            "stepSize": plain(self.lot),
            "stepBaseQuantums": self.step,
            "subticksPerTick": self.subticks_per_tick,
            "marketType": "CROSS",
            "openInterestLowerCap": "0",
            "openInterestUpperCap": "0",
            "baseOpenInterest": "0",
            "defaultFundingRate1H": "0",
        }

    def price(self, ticks: int) -> str:
        return plain(ticks * self.tick)

    def size(self, lots: int) -> str:
        return plain(lots * self.lot)


def markets(symbols: tuple[str, ...], settings: Mapping[str, MarketSettings], rng: Rng) -> dict[int, Market]:
    """Markets by pair id; tickers that are not known by name get the ids from 100 on."""
    found: dict[int, Market] = {}
    next_id = OTHER.pair_id
    for ticker in dict.fromkeys(symbols):
        facts = KNOWN.get(ticker)
        if facts is None:
            facts = MarketFacts(
                next_id, OTHER.price, OTHER.atomic_resolution, OTHER.step_base_quantums, OTHER.subticks_per_tick
            )
            next_id += 1
        found[facts.pair_id] = Market(ticker, facts, settings.get(ticker, MarketSettings()), rng.split(ticker))
    return found


def plain(number: Decimal) -> str:
    """Digits without an exponent and without zeros at the end."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
