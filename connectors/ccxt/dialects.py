"""What ccxt does not say, or says wrongly, of single exchanges. Everything else is asked of ccxt itself (`has`).

Sources: the venues' documents, and what ccxt 4.5.90 was seen to send and raise (its class of an error depends on the
address for Binance, so that codes decide).
"""

from collections.abc import Mapping

import msgspec

from mm_daemon.domain.capabilities import Bucket, BucketKind, CommandClass
from mm_daemon.domain.orders import RejectKind

_ACTING = dict.fromkeys((CommandClass.PLACE, CommandClass.AMEND, CommandClass.REDUCE), 1)
_CANCELS = dict.fromkeys((CommandClass.CANCEL, CommandClass.CANCEL_ALL), 1)
_BATCHED = dict.fromkeys((CommandClass.PLACE, CommandClass.AMEND), 5)


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange. Sizes of batches are the venue's; 1 where ccxt cannot batch or where it was not looked at."""

    translator: str | None = None
    """Our translator of its market data, for `market_data: native`."""
    demo: bool = False
    """Its test system is ccxt's demo trading, not its sandbox."""
    places_max: int = 1
    amends_max: int = 1
    cancels_max: int = 1
    amend: bool | None = None
    """None: as ccxt says."""
    countdown_of_each: bool = False
    """It has a countdown of its own, for each symbol, which ccxt knows only as a raw call."""
    cancel_all_after: bool | None = None
    """Whether ccxt's cancelAllOrdersAfter is a countdown; None: as ccxt says that it has it."""
    cancel_all_after_floor_ms: int = 5000
    page: int = 50
    """Rows of a history that one request brings at most."""
    d_max_ms: int = 60_000
    """How long the exchange may keep a command before it acts."""
    ping_ms: int = 5000
    """Time between the pings of ccxt's streams: two that are missed end one."""
    options: Mapping[str, object] = {}
    client_id_param: str = "clientOrderId"
    """What ccxt calls our order id where an order is asked for or cancelled by it."""
    acks_only: bool = True
    """A reply says that a command was taken, not what came of it: that is told by the stream."""
    negated_fee_key: str | None = None
    """Rows whose raw form has this key tell what was charged as negative, against ccxt's own rule."""
    fee_currency_key: str | None = None
    """Where a fill's raw form names the currency of its fee, which ccxt does not read there."""
    fee_currencies: tuple[str, ...] = ()
    """What it may charge fees in, beside the currency of settlement: their prices are read at the start."""
    prepare: tuple[str, ...] = ()
    """Methods of ccxt to call at the start, which it would otherwise call before the first order."""
    decimal_amounts: bool = False
    """ccxt computes with the amount of an order before it writes it, so that text will not do."""
    balance_of_one: bool = False
    """Its balance is asked for one currency at a time, named by `code`."""
    two_way: bool | None = None
    """Whether ccxt names the leg of an order; None: as its features say."""
    leverage_in_orders: bool = False
    """Each order carries its leverage."""
    query_params: Mapping[str, object] = {}
    codes: Mapping[str, RejectKind] = {}
    """Refusals by the venue's code: nothing was done."""
    unknown_codes: frozenset[str] = frozenset()
    """Answers that do not say whether something was done."""
    no_change_codes: frozenset[str] = frozenset()
    """Refused because it is so already: that is success."""
    used_headers: Mapping[str, str] = {}
    """Header of an answer (small letters) to the bucket whose units it counts."""
    buckets: tuple[Bucket, ...] = ()
    proven: str = "nothing"
    """What was proven, in words for the table of capabilities."""


_BINANCE = Dialect(
    countdown_of_each=True,
    acks_only=False,
    translator="binance-usdm",
    fee_currencies=("BNB",),
    demo=True,
    places_max=5,
    amends_max=5,
    cancels_max=10,
    page=500,
    d_max_ms=15_000,
    ping_ms=600,
    options={
        "fetchCurrencies": False,
        "fetchMargins": False,
        "warnOnFetchOpenOrdersWithoutSymbol": False,
        "recvWindow": 5000,
        "watchPositions": {"fetchPositionsSnapshot": False, "awaitPositionsSnapshot": False},
    },
    codes={
        "-1003": RejectKind.RATE_LIMITED,
        "-1008": RejectKind.RATE_LIMITED,
        "-1013": RejectKind.INVALID,
        "-1015": RejectKind.RATE_LIMITED,
        "-1021": RejectKind.OTHER,
        "-1102": RejectKind.INVALID,
        "-1106": RejectKind.INVALID,
        "-1111": RejectKind.INVALID,
        "-1115": RejectKind.INVALID,
        "-1116": RejectKind.INVALID,
        "-1121": RejectKind.INVALID,
        "-2010": RejectKind.OTHER,
        "-2011": RejectKind.GONE,
        "-2013": RejectKind.GONE,
        "-2018": RejectKind.INSUFFICIENT_MARGIN,
        "-2019": RejectKind.INSUFFICIENT_MARGIN,
        "-2022": RejectKind.REDUCE_ONLY,
        "-2025": RejectKind.OTHER,
        "-2027": RejectKind.INSUFFICIENT_MARGIN,
        "-4001": RejectKind.INVALID,
        "-4003": RejectKind.INVALID,
        "-4004": RejectKind.INVALID,
        "-4005": RejectKind.INVALID,
        "-4014": RejectKind.INVALID,
        "-4015": RejectKind.INVALID,
        "-4016": RejectKind.INVALID,
        "-4023": RejectKind.INVALID,
        "-4024": RejectKind.INVALID,
        "-4061": RejectKind.INVALID,
        "-4108": RejectKind.HALTED,
        "-4116": RejectKind.INVALID,
        "-4131": RejectKind.INVALID,
        "-4164": RejectKind.INVALID,
        "-5022": RejectKind.POST_ONLY_CROSS,
        "-5024": RejectKind.HALTED,
        "-5025": RejectKind.INVALID,
        "-5026": RejectKind.OTHER,
        "-5028": RejectKind.OTHER,
    },
    unknown_codes=frozenset({"-1000", "-1001", "-1006", "-1007"}),
    no_change_codes=frozenset({"-5027", "-4046", "-4059"}),
    used_headers={
        "x-mbx-used-weight-1m": "weight",
        "x-mbx-order-count-10s": "orders",
        "x-mbx-order-count-1m": "orders_1m",
    },
    buckets=(
        Bucket(
            name="orders",
            kind=BucketKind.WINDOW,
            capacity=300,
            period_ms=10_000,
            costs=_ACTING,
            batch_costs=_BATCHED,
            cancels_exempt=True,
        ),
        Bucket(
            name="orders_1m",
            kind=BucketKind.WINDOW,
            capacity=1200,
            period_ms=60_000,
            costs=_ACTING,
            batch_costs=dict.fromkeys(_BATCHED, 1),
            cancels_exempt=True,
        ),
        Bucket(
            name="weight",
            kind=BucketKind.WINDOW,
            capacity=2400,
            period_ms=60_000,
            costs=_CANCELS,
            batch_costs=_BATCHED,
        ),
    ),
    proven="simulated venue",
)

_OKX = Dialect(
    page=100,
    two_way=True,
    negated_fee_key="fillFee",
    places_max=20,
    amends_max=20,
    cancels_max=20,
    cancel_all_after_floor_ms=10_000,
    codes={
        "50011": RejectKind.RATE_LIMITED,
        "50061": RejectKind.RATE_LIMITED,
        "51000": RejectKind.INVALID,
        "51008": RejectKind.INSUFFICIENT_MARGIN,
        "51020": RejectKind.INVALID,
        "51119": RejectKind.INSUFFICIENT_MARGIN,
        "51400": RejectKind.GONE,
        "51401": RejectKind.GONE,
        "51402": RejectKind.FILLED,
        "51503": RejectKind.GONE,
        "51509": RejectKind.GONE,
        "51603": RejectKind.GONE,
    },
    unknown_codes=frozenset({"50001", "50004", "50026"}),
    buckets=(Bucket(name="orders", kind=BucketKind.WINDOW, capacity=60, period_ms=2000, costs=_ACTING),),
    proven="payloads",
)

_BYBIT = Dialect(
    page=100,
    prepare=("is_unified_enabled",),
    fee_currency_key="feeCurrency",
    fee_currencies=("MNT",),
    places_max=10,
    amends_max=10,
    cancels_max=10,
    cancel_all_after=False,
    client_id_param="orderLinkId",
    query_params={"acknowledged": True},
    codes={
        "10006": RejectKind.RATE_LIMITED,
        "110001": RejectKind.GONE,
        "110003": RejectKind.INVALID,
        "110004": RejectKind.INSUFFICIENT_MARGIN,
        "110007": RejectKind.INSUFFICIENT_MARGIN,
        "110008": RejectKind.FILLED,
        "110010": RejectKind.GONE,
        "110012": RejectKind.INSUFFICIENT_MARGIN,
        "110017": RejectKind.REDUCE_ONLY,
        "110072": RejectKind.INVALID,
        "110094": RejectKind.INVALID,
    },
    unknown_codes=frozenset({"10000", "10016"}),
    no_change_codes=frozenset({"34040", "110043", "110026", "110025"}),
    buckets=(Bucket(name="orders", kind=BucketKind.WINDOW, capacity=10, period_ms=1000, costs=_ACTING),),
    proven="payloads",
)

_KUCOIN = Dialect(
    page=100,
    two_way=True,
    amend=False,
    decimal_amounts=True,
    prepare=("is_uta_enabled",),
    fee_currencies=("KCS",),
    balance_of_one=True,
    leverage_in_orders=True,
    places_max=20,
    cancels_max=10,
    codes={
        "200002": RejectKind.RATE_LIMITED,
        "200003": RejectKind.RATE_LIMITED,
        "300000": RejectKind.INVALID,
        "300003": RejectKind.INSUFFICIENT_MARGIN,
        "300009": RejectKind.REDUCE_ONLY,
        "300012": RejectKind.INVALID,
        "429000": RejectKind.RATE_LIMITED,
        "100004": RejectKind.GONE,
    },
    unknown_codes=frozenset({"500000"}),
    buckets=(Bucket(name="orders", kind=BucketKind.WINDOW, capacity=100, period_ms=3000, costs=_ACTING),),
    proven="payloads",
)

_UNKNOWN = Dialect(
    cancel_all_after=False,
    amend=False,
    buckets=(Bucket(name="orders", kind=BucketKind.WINDOW, capacity=20, period_ms=10_000, costs=_ACTING),),
)

KNOWN: Mapping[str, Dialect] = {
    "binanceusdm": _BINANCE,
    "bybit": _BYBIT,
    "kucoinfutures": _KUCOIN,
    "okx": _OKX,
}


def dialect(exchange: str) -> Dialect:
    """What is known of an exchange; the most careful of all for one that is not."""
    return KNOWN.get(exchange, _UNKNOWN)
