"""What a person may set at the simulated Binance USD-M venue."""

from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from connectors.simulators.faults import Chance
from mm_daemon.simulation.symbols import SymbolSettings


class BinanceUsdmSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keys of a YAML file for `mm-daemon simulate binance_usdm --settings FILE`. Limits are the venue's own."""

    symbols: Annotated[
        dict[str, SymbolSettings], Meta(description="keys of single symbols; the others take the defaults")
    ] = {}
    publish_interval_ms: Annotated[
        float, Meta(ge=1, le=60000, description="shortest time between two book updates of a symbol, ms")
    ] = 100.0
    balance: Annotated[Decimal, Meta(gt=0, description="USDT in the account before its first trade")] = Decimal(10_000)
    bnb_balance: Annotated[
        Decimal,
        Meta(ge=0, description="BNB in the account: it pays the fees, 10 % less, while it lasts, where BNBUSDT trades"),
    ] = Decimal(0)
    leverage: Annotated[int, Meta(ge=1, le=125, description="leverage until it is changed")] = 20
    hedge_mode: Annotated[bool, Meta(description="the account begins in hedge mode: LONG and SHORT apart")] = False
    weight_per_minute: Annotated[int, Meta(ge=1, description="weight of all requests in a minute")] = 2400
    orders_per_10s: Annotated[int, Meta(ge=1, description="places and modifications in 10 s")] = 300
    orders_per_minute: Annotated[int, Meta(ge=1, description="the same in a minute; a batch counts once")] = 1200
    refusals_before_ban: Annotated[
        int, Meta(ge=1, description="requests over the limit, one after the other, that lead to a ban")
    ] = 20
    ban_ms: Annotated[int, Meta(ge=1, description="how long a ban lasts, ms")] = 120_000
    open_orders_max: Annotated[int, Meta(ge=1, description="open orders of a symbol at most")] = 200
    percent_price: Annotated[
        float, Meta(gt=0, lt=1, description="share of the mark that a price may lie beyond it")
    ] = 0.15
    listen_key_s: Annotated[float, Meta(gt=0, description="life of a listen key that nobody extends, seconds")] = 3600.0
    ping_s: Annotated[float, Meta(gt=0, description="time between the pings that the venue sends, seconds")] = 180.0
    pong_s: Annotated[float, Meta(gt=0, description="time after which a missing pong ends a stream, seconds")] = 600.0
    socket_s: Annotated[float, Meta(gt=0, description="life of a stream's connection, seconds")] = 86_400.0
    messages_per_s: Annotated[int, Meta(ge=1, description="messages a second that a client may send")] = 10
    chances: Annotated[tuple[Chance, ...], Meta(description="faults that may strike at any time, by the seed")] = ()
