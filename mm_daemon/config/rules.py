"""What keys of a configuration say about each other: the second pass, on whatever the first could read.

Each rule reports at the key a person would change, in the market itself or in `defaults`, wherever that stands.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from mm_daemon.config.annotations import FAILED, Key, plain
from mm_daemon.config.nodes import Entry, Reader, join
from mm_daemon.config.problems import Place
from mm_daemon.config.schema import JournalSettings, Money, RiskSettings
from mm_daemon.domain.spelling import did_you_mean

_ORDER_KEYS = ("order_size", "order_notional", "order_capital_share")
_POSITION_KEYS = ("max_position", "max_position_notional", "max_leverage")
_OF_CAPITAL = ("order_capital_share", "max_leverage")
_BASE_KEYS = ("order_size", "max_position")


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

    def said(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Those of these keys, of which one is enough, that hold something: what the market says itself takes the place
        of whatever it would inherit.
        """
        for section in (self.own, self.defaults):
            found = tuple(key for key in keys if key in section and section[key].value is not None)
            if found:
                return found
        return ()

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
    markets: Sequence[MarketEntries],
    venues: Sequence[str],
    models: Collection[str],
    capital: Decimal | None,
    reader: Reader,
) -> None:
    """`capital`: what shares and leverage are of, None where nobody said."""
    seen: dict[tuple[str, str], MarketEntries] = {}
    for market in markets:
        for finding in _findings(market, capital):
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


def money_of(market: MarketEntries, capital: Decimal | None) -> Money | None:
    """Sizes of a market in settlement currency; None where they are base units, or broken."""
    order_keys, position_keys = market.said(_ORDER_KEYS), market.said(_POSITION_KEYS)
    if len(order_keys) != 1 or len(position_keys) != 1:
        return None
    order_key, position_key = order_keys[0], position_keys[0]
    order, most = market.value(order_key), market.value(position_key)
    if order is None or most is None or {order_key, position_key} & set(_BASE_KEYS):
        return None
    if capital is None and {order_key, position_key} & set(_OF_CAPITAL):
        return None
    most = most * capital if position_key == "max_leverage" else most
    return Money(
        order=order * capital if order_key == "order_capital_share" else order,
        max_position=most,
        min_position=Decimal(0) if market.value("min_position") == 0 else -most,
        order_key=order_key,
        position_key=position_key,
    )


def _findings(market: MarketEntries, capital: Decimal | None) -> Iterator[Finding]:
    yield from _spread_rules(market)
    yield from _ways_of_saying_sizes(market, capital)
    money = money_of(market, capital)
    yield from _size_rules(market) if money is None else _money_rules(money)
    yield from _condition_rules(market)
    least, interval = market.value("decide_interval_min_ms"), market.value("decide_interval_ms")
    if least is not None and interval is not None and least > interval:
        yield Finding(
            ("decide_interval_min_ms", "decide_interval_ms"),
            f"decide_interval_min_ms {least} must not be above decide_interval_ms {interval}",
        )
    life_ms, age_s = market.value("quote_min_life_ms"), market.value("quote_max_age_s")
    if life_ms and age_s is not None and age_s * 1000 <= life_ms:
        yield Finding(
            ("quote_max_age_s", "quote_min_life_ms"),
            f"quote_max_age_s {plain(age_s)} must be longer than quote_min_life_ms {life_ms}",
        )
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
    estimator, step_ms = market.value("volatility_estimator"), market.value("volatility_step_ms")
    if step_ms == 0 and estimator not in (None, "ewma"):
        yield Finding(
            ("volatility_step_ms", "volatility_estimator"),
            f"volatility_estimator {estimator} needs a clock: volatility_step_ms must be above 0",
        )
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


def _ways_of_saying_sizes(market: MarketEntries, capital: Decimal | None) -> Iterator[Finding]:
    """One way for the order and one for the position, both in the same unit."""
    orders, positions = market.said(_ORDER_KEYS), market.said(_POSITION_KEYS)
    for keys, found, what in (
        (_ORDER_KEYS, orders, "how large a quote is"),
        (_POSITION_KEYS, positions, "how large a position may be"),
    ):
        if not found:
            yield Finding(keys, f"is missing: one of {', '.join(keys)} has to say {what}")
        elif len(found) > 1:
            yield Finding(found[1:], f"{' and '.join(found)} say {what}: keep one of them")
    if len(orders) != 1 or len(positions) != 1:
        return
    order, position = orders[0], positions[0]
    if (order in _BASE_KEYS) is not (position in _BASE_KEYS):
        in_base, in_money = (order, position) if order in _BASE_KEYS else (position, order)
        yield Finding(
            (position, order),
            f"{in_base} is in base units and {in_money} is money: how many orders the limit holds would change with "
            "the price, and the model with it; say both in one of them",
        )
        return
    for key in (order, position):
        if key in _OF_CAPITAL and capital is None:
            yield Finding((key,), f"{key} needs risk.capital, in the quote currency")
    if order in _BASE_KEYS:
        return
    if market.value("max_order_size") is not None:
        yield Finding(
            ("max_order_size",), f"is in base units and {order} is money: leave it out, it is twice the largest level"
        )
    if market.value("min_position"):
        yield Finding(
            ("min_position",),
            f"is in base units and {position} is money: it can be 0 (no short position) or null (as far as long)",
        )


def _money_rules(money: Money) -> Iterator[Finding]:
    room = money.max_position - money.min_position
    if money.order > room:
        yield Finding(
            (money.order_key, money.position_key),
            f"{money.order_key} comes to {money.order.normalize():f}, and {money.position_key} leaves room for "
            f"{room.normalize():f}: no quote passes",
        )


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
