"""What a request says of an order: its fields read and judged by the symbol's filters. Pure."""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

import msgspec

from connectors.simulators.binance_usdm.limits import Refused
from connectors.simulators.binance_usdm.positions import BOTH, HEDGED, closes
from connectors.simulators.binance_usdm.rows import SIDES
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.orders import Side

_CLIENT_ID = re.compile(r"^[.A-Z:/a-z0-9_-]{1,36}$")
_CONDITIONAL = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
_MOST_LOTS = 10**6


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """An order as a client wants it; for a modification only symbol, side, price and size count."""

    symbol: str
    side: Side
    price: str = ""
    quantity: str = ""
    client_id: str = ""
    order_type: str = "LIMIT"
    time_in_force: str = "GTC"
    reduce_only: bool = False
    position_side: str = BOTH

    @property
    def closes(self) -> bool:
        """Whether it may only take lots away from a LONG or SHORT position."""
        return closes(self.side, self.position_side)

    @property
    def immediate(self) -> bool:
        return self.order_type == "MARKET" or self.time_in_force == "IOC"

    def ticks(self, instrument: Instrument) -> int | None:
        """None for a market order. Raises Refused."""
        if self.order_type == "MARKET":
            return None
        price = _number(self.price, "price")
        if price <= 0:
            raise Refused(-4001, "Price less than 0.")
        ticks, rest = divmod(price, instrument.tick)
        if rest:
            raise Refused(-4014, "Price not increased by tick size.")
        return int(ticks)

    def lots(self, instrument: Instrument) -> int:
        """Raises Refused."""
        size = _number(self.quantity, "quantity")
        if size <= 0:
            raise Refused(-4003, "Quantity less than or equal to zero.")
        lots, rest = divmod(size, instrument.lot)
        if rest:
            raise Refused(-1111, "Precision is over the maximum defined for this asset.")
        if lots < instrument.min_lots:
            raise Refused(-4004, "Quantity less than min quantity.")
        if lots > (instrument.max_lots or _MOST_LOTS):
            raise Refused(-4005, "Quantity greater than max quantity.")
        return int(lots)


def asked(fields: Mapping[str, str], *, fresh: bool, hedged: bool = False, default_client_id: str = "") -> Asked:
    """A request's order; `fresh`: a new one; `hedged`: the account holds LONG and SHORT apart. Raises Refused."""
    for name in ("symbol", "side", "quantity", *(("type",) if fresh else ("price",))):
        if not fields.get(name):
            raise Refused(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    if fields["side"] not in SIDES:
        raise Refused(-1117, "Invalid side.")
    kind, life = fields.get("type", "LIMIT"), fields.get("timeInForce", "")
    if fresh:
        _check_kind(fields, kind, life)
        _check_position_side(fields, hedged=hedged)
    client_id = fields.get("newClientOrderId") or default_client_id
    if fresh and not _CLIENT_ID.match(client_id):
        raise Refused(-4015, "Client order id is not valid.")
    return Asked(
        symbol=fields["symbol"],
        side=SIDES[fields["side"]],
        price=fields.get("price", ""),
        quantity=fields["quantity"],
        client_id=client_id,
        order_type=kind,
        time_in_force=life or "GTC",
        reduce_only=fields.get("reduceOnly", "false").lower() == "true",
        position_side=fields.get("positionSide", BOTH),
    )


def _check_kind(fields: Mapping[str, str], kind: str, life: str) -> None:
    if kind in _CONDITIONAL:
        raise Refused(-4120, "Order type not supported for this endpoint. Please use the Algo Order API endpoints.")
    if kind not in ("LIMIT", "MARKET"):
        raise Refused(-1116, "Invalid orderType.")
    if kind == "LIMIT":
        for name in ("price", "timeInForce"):
            if not fields.get(name):
                raise Refused(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        if life not in ("GTC", "IOC", "GTX"):
            raise Refused(-1115, "Invalid timeInForce.")
    elif life:
        raise Refused(-1106, "Parameter 'timeInForce' sent when not required.")


def _check_position_side(fields: Mapping[str, str], *, hedged: bool) -> None:
    if (fields.get("positionSide", BOTH) in HEDGED) is not hedged:
        raise Refused(-4061, "Order's position side does not match user's setting.")
    if hedged and "reduceOnly" in fields:
        raise Refused(-1106, "Parameter 'reduceonly' sent when not required.")


def _number(text: str, name: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number.adjusted()) > 30:
        raise Refused(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return number
