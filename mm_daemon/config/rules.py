"""What keys of a configuration say about each other: the second pass, on whatever the first could read.

Each rule reports at the key a person would change, in the market itself or in `defaults`, wherever that stands.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mm_daemon.config.annotations import FAILED, Key, plain
from mm_daemon.config.nodes import Entry, Reader, join
from mm_daemon.config.problems import Place
from mm_daemon.config.schema import JournalSettings, RiskSettings
from mm_daemon.domain.spelling import did_you_mean


class MarketEntries(NamedTuple):
    """One market as it was read: its own keys over the defaults, readable or not."""

    path: str
    place: Place
    keys: Mapping[str, Key]
    own: Mapping[str, Entry]
    defaults: Mapping[str, Entry]

    @property
    def entries(self) -> Mapping[str, Entry]:
        return {**self.defaults, **self.own}

    def value(self, key: str) -> Any:
        """What holds for a key: as written, else its default; None when it is absent, null or unreadable."""
        entry = self.entries.get(key)
        value = self.keys[key].default if entry is None else entry.value
        return None if value is FAILED else value

    def where(self, *keys: str) -> tuple[str, Place]:
        """Path and place of the first key where a person would mend a rule between these: what the market says itself
        comes before what it inherits, so that a mistake within `defaults` is reported there, and once.
        """
        for section, path in ((self.own, self.path), (self.defaults, "defaults")):
            for key in keys:
                if key in section:
                    return join(path, key), section[key].place
        return join(self.path, keys[0]), self.place


class Finding(NamedTuple):
    """A broken rule of one market: the keys it is between, and words that name them."""

    keys: tuple[str, ...]
    text: str


def check_markets(
    markets: Sequence[MarketEntries], venues: Sequence[str], models: Collection[str], reader: Reader
) -> None:
    seen: dict[tuple[str, str], MarketEntries] = {}
    for market in markets:
        for finding in _findings(market):
            key, place = market.where(*finding.keys)
            reader.report(place, key, finding.text)
        venue, symbol = market.value("venue"), market.value("symbol")
        if venue is not None and venue not in venues:
            known = f"; there are {', '.join(venues)}" if venues else ""
            path, place = market.where("venue")
            reader.report(place, path, f"no venue is called {venue!r}{did_you_mean(venue, venues) or known}")
        model = market.value("model")
        if model is not None and model not in models:
            path, place = market.where("model")
            known = did_you_mean(model, models) or f"; there are {', '.join(sorted(models))}"
            reader.report(place, path, f"no pricing model is called {model!r}{known}")
        if venue is None or symbol is None:
            continue
        first = seen.setdefault((venue, symbol), market)
        if first is not market:
            reader.report(
                market.place,
                market.path,
                f"{venue}:{symbol} stands here for the second time, the first is {first.path}",
            )


def check_live(mode: str, mode_place: Place, risk: RiskSettings, reader: Reader) -> None:
    """Real money needs a limit at which everything stops."""
    if mode == "live" and risk.max_drawdown is None and risk.max_loss is None:
        reader.report(mode_place, "mode", "live needs risk.max_drawdown or risk.max_loss, in the quote currency")


def check_journal(place: Place, journal: JournalSettings, reader: Reader) -> None:
    """Market data without the orders they led to are of no use."""
    if journal.market_keep_hours > journal.trade_keep_days * 24:
        reader.report(
            place,
            "journal.market_keep_hours",
            f"market_keep_hours {plain(journal.market_keep_hours)} must not be more than trade_keep_days "
            f"{plain(journal.trade_keep_days)}: market data are of no use without the orders",
        )


def _findings(market: MarketEntries) -> Iterator[Finding]:
    yield from _spread_rules(market)
    yield from _size_rules(market)
    yield from _condition_rules(market)
    tolerance = market.value("tolerance_frac")
    if tolerance is not None and not 0 < tolerance < 1:
        yield Finding(
            ("tolerance_frac",), f"is {plain(tolerance)}, must be above 0 and below 1 (fraction of price), or null"
        )


def _spread_rules(market: MarketEntries) -> Iterator[Finding]:
    narrow, wide, collar = market.value("min_spread_bps"), market.value("max_spread_bps"), market.value("collar_bps")
    if narrow is not None and wide is not None and narrow > wide:
        yield Finding(
            ("min_spread_bps", "max_spread_bps"),
            f"min_spread_bps {plain(narrow)} must not be above max_spread_bps {plain(wide)}",
        )
    if narrow is not None and collar is not None and narrow / 2 > collar:
        yield Finding(
            ("collar_bps", "min_spread_bps"),
            f"collar_bps {plain(collar)} must be at least half of min_spread_bps {plain(narrow)}, or no quote passes",
        )


def _condition_rules(market: MarketEntries) -> Iterator[Finding]:
    for widens, stops in (("volatility_widen", "volatility_stop"), ("day_loss_widen", "day_loss_stop")):
        widen, stop = market.value(widens), market.value(stops)
        if widen is not None and (stop is None or widen >= stop):
            said = "null" if stop is None else plain(stop)
            yield Finding((widens, stops), f"{widens} {plain(widen)} must be below {stops}, which is {said}")
    vpin, cool_down = market.value("toxic_vpin"), market.value("toxic_cool_down_ms")
    if vpin is not None and cool_down == 0:
        yield Finding(
            ("toxic_vpin", "toxic_cool_down_ms"),
            f"toxic_vpin {plain(vpin)} pulls for toxic_cool_down_ms, which is 0; write how long, ms",
        )
    widen = market.value("toxic_vpin_widen")
    top = 1.0 if vpin is None else vpin
    if widen is not None and widen >= top:
        yield Finding(
            ("toxic_vpin_widen", "toxic_vpin"),
            f"toxic_vpin_widen {plain(widen)} must be below toxic_vpin, which is {plain(top)}",
        )
    widen, skip = market.value("inventory_widen_at"), market.value("inventory_skip_at")
    if widen is not None and skip is not None and widen > skip:
        yield Finding(
            ("inventory_widen_at", "inventory_skip_at"),
            f"inventory_widen_at {plain(widen)} must not be above inventory_skip_at {plain(skip)}",
        )
    for key in ("sessions", "blackouts"):
        for text in market.value(key) or ():
            if text[:5] == text[6:]:
                yield Finding((key,), f"{text} begins when it ends; leave it out to mean the whole day")


def _size_rules(market: MarketEntries) -> Iterator[Finding]:
    size, largest = market.value("order_size"), market.value("max_order_size")
    high, low = market.value("max_position"), market.value("min_position")
    if size is not None and largest is not None and largest < size:
        yield Finding(("max_order_size", "order_size"), f"max_order_size {largest} must be at least order_size {size}")
    if high is None:
        return
    if "min_position" in market.entries and market.entries["min_position"].value is FAILED:
        return
    low = -high if low is None else low
    if size is not None and size > high - low:
        yield Finding(
            ("order_size", "max_position"),
            f"order_size {size} must fit between min_position {low} and max_position {high}, or no quote passes",
        )
    target = market.value("target_position")
    if target is not None and not float(low) <= target <= float(high):
        yield Finding(
            ("target_position", "max_position"),
            f"target_position {plain(target)} must lie between min_position {low} and max_position {high}",
        )
