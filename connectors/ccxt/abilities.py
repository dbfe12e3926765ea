"""What one exchange can do through ccxt, and whether a configuration asks for more. Pure functions."""

from collections.abc import Mapping
from typing import Any

import msgspec

from connectors.ccxt.client import Factory
from connectors.ccxt.dialects import Dialect
from connectors.ccxt.settings import CcxtSettings, MarketData, PositionMode
from mm_daemon.domain.capabilities import AmendQuantity, Bucket, Capabilities, Validity
from mm_daemon.domain.errors import ConfigError
from mm_daemon.ports.connector import ConnectorContext

DEAD_MAN_FLOOR_MS = 1000
OF_EACH, OF_ALL = "of_each", "of_all"
"""How a dead man's switch is armed: for each symbol apart, or for all at once."""


def capabilities(settings: CcxtSettings, known: Dialect, has: Mapping[str, Any]) -> Capabilities:
    """What one exchange can do through ccxt, by ccxt's word and ours."""
    switch = countdown(known, has)
    floor_ms = DEAD_MAN_FLOOR_MS if switch == OF_EACH else known.cancel_all_after_floor_ms
    armed = switch is not None and settings.dead_man_ms is not None
    amend = bool(has.get("editOrder")) if known.amend is None else known.amend
    return Capabilities(
        amend=amend and has.get("editOrder") is True,
        amend_quantity=AmendQuantity.TOTAL,
        amend_new_venue_id=False,
        decrease_keeps_place=False,
        cancel_final=True,
        post_only=True,
        reduce_only=True,
        batch_max=known.places_max,
        ack_timeout_ms=settings.ack_timeout_ms,
        validity=Validity.DELAY,
        d_max_ms=settings.d_max_ms or known.d_max_ms,
        dead_man_floor_ms=floor_ms if armed else None,
        dead_man_ms=max(settings.dead_man_ms or 0, floor_ms) if armed else None,
        buckets=tuple(_sized(bucket, settings) for bucket in known.buckets),
        simulated=False,
        exchange=f"{settings.exchange} testnet" if settings.testnet else settings.exchange,
    )


def order_params(settings: CcxtSettings, known: Dialect) -> Mapping[str, object]:
    """What goes with each new order."""
    if not known.leverage_in_orders or settings.leverage is None:
        return {}
    mode = {} if settings.margin_mode is None else {"marginMode": settings.margin_mode.value}
    return {"leverage": settings.leverage, **mode}


def two_way(known: Dialect, features: Mapping[str, Any]) -> bool:
    """Whether orders of an account in two-way position mode can say which leg they are about."""
    if known.two_way is not None:
        return known.two_way
    placing = ((features.get("swap") or {}).get("linear") or {}).get("createOrder") or {}
    return placing.get("hedged") is True


def check_position_mode(context: ConnectorContext, settings: CcxtSettings, *, can: bool) -> None:
    """Raises ConfigError where ccxt cannot trade in the mode that is wanted."""
    if settings.position_mode is PositionMode.TWO_WAY and not can:
        raise ConfigError(
            f"venue {context.venue}: ccxt does not tell {settings.exchange} which leg an order is about; write "
            "position_mode: one_way, and set the account so"
        )


def _sized(bucket: Bucket, settings: CcxtSettings) -> Bucket:
    if bucket.name != "orders" or settings.orders_per_10s is None:
        return bucket
    return msgspec.structs.replace(bucket, capacity=settings.orders_per_10s, period_ms=10_000)


def countdown(known: Dialect, has: Mapping[str, Any]) -> str | None:
    """How the venue's dead man's switch is armed: of each symbol, of all, or not at all."""
    if known.countdown_of_each:
        return OF_EACH
    if known.cancel_all_after is False or not has.get("cancelAllOrdersAfter"):
        return None
    return OF_ALL


def has_key(context: ConnectorContext, factory: Factory) -> bool:
    """Raises ConfigError for a key without its other half."""
    names = ["api_key", "api_secret"] + (["passphrase"] if factory.needs_passphrase else [])
    given = [name for name in names if name in context.secrets]
    if given and len(given) < len(names):
        missing = next(name for name in names if name not in context.secrets)
        raise ConfigError(
            f"venue {context.venue}: secrets.{missing} is missing; write for example "
            f"secrets: {{{missing}: {{env: MY_{missing.upper()}}}}}"
        )
    return bool(given)


def check_streams(context: ConnectorContext, settings: CcxtSettings, has: Mapping[str, Any], *, with_key: bool) -> None:
    """Raises ConfigError where ccxt lacks a stream that this needs."""
    needed = ["watchOrders", "watchMyTrades"] if with_key else []
    if settings.market_data is MarketData.CCXT:
        needed += ["watchOrderBook", "watchTrades"]
    missing = [name for name in needed if not has.get(name)]
    if missing:
        raise ConfigError(
            f"venue {context.venue}: ccxt has no {missing[0]} of {settings.exchange}, and what no stream tells is not "
            "traded here" + ("; without a key it can be used on paper" if with_key else "")
        )
