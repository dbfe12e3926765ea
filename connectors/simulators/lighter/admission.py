"""Admission of transactions: shape, owner, signature, nonce, and what can be said of an order before the book is asked.

A transaction that is refused here leaves no trace: its nonce is not used. One that is admitted has used its nonce,
whatever becomes of it when it is carried out. A batch has one verdict: it is admitted whole or not at all, and each of
its transactions is carried out for itself.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from connectors.simulators.lighter import codes
from connectors.simulators.lighter.codes import Refused
from connectors.simulators.lighter.orders import FIRST_INDEX
from connectors.simulators.lighter.signing import messages, schnorr
from mm_daemon.domain.instrument import Instrument

CREATE, CANCEL, CANCEL_ALL, MODIFY, UPDATE_LEVERAGE = 14, 15, 16, 17, 20
TAKEN = frozenset({CREATE, CANCEL, CANCEL_ALL, MODIFY, UPDATE_LEVERAGE})
WS_BATCH_MAX, REST_BATCH_MAX = 15, 50
SKIP_NONCE, MARKET = 4, 5
_PRICE_MAX, _BASE_MAX = (1 << 32) - 1, (1 << 48) - 1
_MINUTE_MS, _DAY_MS = 60_000, 86_400_000
_EXPIRY_MS = (5 * _MINUTE_MS, 30 * _DAY_MS)
_SCHEDULE_MS = (5 * _MINUTE_MS, 15 * _DAY_MS)
_CLOCK_SLACK_MS = 5000
_FAT_FINGER = 10
_ORDERS_OF_MARKET_MAX = 1000


class Transaction(msgspec.Struct, frozen=True):
    """One that was admitted."""

    tx_type: int
    info: dict[str, Any]
    text: str
    """Its `tx_info` as it came."""
    hash: str
    attributes: dict[int, int]

    @property
    def nonce(self) -> int:
        return int(self.info["Nonce"])

    @property
    def key_index(self) -> int:
        return int(self.info["ApiKeyIndex"])

    @property
    def may_take(self) -> bool:
        return self.tx_type == CREATE and self.info["TimeInForce"] != 2


class Floor(Protocol):
    """What admission asks the market."""

    @property
    def markets(self) -> Mapping[int, Instrument]: ...

    @property
    def cancel_all_ms(self) -> int:
        """When everything is cancelled; 0: never."""
        ...

    def is_known(self, market: int, index: int) -> bool:
        """Whether an order is active, or on its way to be."""
        ...

    def orders_of(self, market: int) -> int: ...

    def mark_ticks(self, market: int) -> float: ...


class Admission:
    """The keys of one account, each with its last nonce."""

    def __init__(self, floor: Floor, *, chain_id: int, account: int, keys: Mapping[int, bytes], verify: bool) -> None:
        self._floor = floor
        self._chain_id = chain_id
        self._account = account
        self._verify = verify
        self.keys = dict(keys)
        self.nonces: dict[int, int] = dict.fromkeys(keys, 0)
        """The next nonce of each key."""

    def admit(self, sent: Sequence[tuple[int, str]], now_ms: int, *, most: int) -> list[Transaction]:
        """Raises Refused, with nothing done."""
        if not sent:
            raise Refused(codes.BATCH_EMPTY, "no transactions")
        if len(sent) > most:
            raise Refused(codes.BATCH_TOO_LONG, f"a batch has at most {most} transactions")
        made = [self._read(tx_type, text) for tx_type, text in sent]
        if len({each.key_index for each in made}) > 1:
            raise Refused(codes.BATCH_OWNERS, "a batch is of one account and key")
        key, skips = made[0].key_index, [bool(each.attributes.get(SKIP_NONCE)) for each in made]
        expected = self.nonces[key]
        for number, (each, skip) in enumerate(zip(made, skips, strict=True)):
            if (each.nonce < expected) if skip else (each.nonce != expected):
                code = codes.BATCH_NONCES if number else codes.INVALID_NONCE
                raise Refused(code, "invalid nonce" if not number else "nonces of a batch must increase")
            expected = each.nonce + 1
            self._check(each, now_ms)
        fresh = [each.info["ClientOrderIndex"] for each in made if each.tx_type == CREATE]
        named = [index for index in fresh if index]
        if len(set(named)) < len(named):
            raise Refused(codes.CLIENT_INDEX_EXISTS, "client order index exists")
        self.nonces[key] = expected
        return made

    def _read(self, tx_type: int, text: str) -> Transaction:
        """Shape, owner, hash and signature."""
        if tx_type not in TAKEN:
            raise Refused(codes.BAD_PARAMETER, f"transaction type {tx_type} is not simulated")
        try:
            info = msgspec.json.decode(text)
            if not isinstance(info, dict) or set(info) != set(messages.info_keys(tx_type)):
                raise messages.Unreadable(f"tx_info must have {', '.join(messages.info_keys(tx_type))}")
            attributes = messages.attributes(info)
            digest = messages.transaction_hash(self._chain_id, tx_type, info)
            signature = base64.b64decode(info["Sig"], validate=True)
        except (
            msgspec.DecodeError,
            messages.Unreadable,
            binascii.Error,
            TypeError,
            ValueError,
            RecursionError,
        ) as error:
            raise Refused(codes.BAD_PARAMETER, f"invalid tx info: {error}") from None
        if info["AccountIndex"] != self._account:
            raise Refused(codes.ACCOUNT_NOT_FOUND, "account not found")
        key = self.keys.get(info["ApiKeyIndex"])
        if key is None:
            raise Refused(codes.KEY_NOT_FOUND, "api key not found")
        if self._verify and not schnorr.verify(key, digest, signature):
            raise Refused(codes.INVALID_SIGNATURE, "invalid signature")
        return Transaction(tx_type, info, text, digest.hex(), attributes)

    def _check(self, transaction: Transaction, now_ms: int) -> None:
        info = transaction.info
        if not now_ms < info["ExpiredAt"]:
            raise Refused(codes.BAD_EXPIRY, "transaction has expired")
        if transaction.tx_type == CREATE:
            self._check_create(info, now_ms)
        elif transaction.tx_type == CANCEL_ALL:
            self._check_cancel_all(transaction, now_ms)
        elif info["MarketIndex"] not in self._floor.markets:
            raise Refused(codes.BAD_MARKET, "invalid market index")
        elif transaction.tx_type in (CANCEL, MODIFY):
            if not self._floor.is_known(info["MarketIndex"], info["Index"]):
                raise Refused(codes.ORDER_NOT_ACTIVE, "order is not active")
            if transaction.tx_type == MODIFY:
                self._check_amounts(info, reduce_only=False)
        elif not 100 <= info["InitialMarginFraction"] <= 10_000 or info["MarginMode"] not in (0, 1):
            raise Refused(codes.BAD_PARAMETER, "invalid initial margin fraction")

    def _check_create(self, info: dict[str, Any], now_ms: int) -> None:
        market = self._floor.markets.get(info["MarketIndex"])
        if market is None:
            raise Refused(codes.BAD_MARKET, "invalid market index")
        kind, time_in_force = info["Type"], info["TimeInForce"]
        if kind not in (0, 1) or info["TriggerPrice"]:
            raise Refused(codes.BAD_TYPE, "order type is not simulated")
        if time_in_force not in (0, 1, 2) or (kind == 1 and time_in_force):
            raise Refused(codes.BAD_TIME_IN_FORCE, "invalid time in force")
        if any(info[name] not in (0, 1) for name in ("IsAsk", "ReduceOnly")):
            raise Refused(codes.BAD_PARAMETER, "flags are 0 or 1")
        ahead_ms, (least, most) = info["OrderExpiry"] - now_ms, _EXPIRY_MS
        rests = bool(time_in_force)
        if (info["OrderExpiry"] != 0) if not rests else not least - _CLOCK_SLACK_MS <= ahead_ms <= most:
            raise Refused(codes.BAD_EXPIRY, "invalid order expiry")
        if info["ClientOrderIndex"] >= FIRST_INDEX:
            raise Refused(codes.BAD_CLIENT_INDEX, "invalid client order index")
        if info["ClientOrderIndex"] and self._floor.is_known(info["MarketIndex"], info["ClientOrderIndex"]):
            raise Refused(codes.CLIENT_INDEX_EXISTS, "client order index exists")
        self._check_amounts(info, reduce_only=bool(info["ReduceOnly"]))
        if self._floor.orders_of(info["MarketIndex"]) >= _ORDERS_OF_MARKET_MAX:
            raise Refused(codes.TOO_MANY_ORDERS, "too many active orders in the market")
        mark = self._floor.mark_ticks(info["MarketIndex"])
        if not mark / _FAT_FINGER < info["Price"] < mark * _FAT_FINGER:
            raise Refused(codes.ACCIDENTAL_PRICE, "order price flagged as an accidental price")

    def _check_amounts(self, info: dict[str, Any], *, reduce_only: bool) -> None:
        market, lots, ticks = self._floor.markets[info["MarketIndex"]], info["BaseAmount"], info["Price"]
        if not 1 <= lots <= _BASE_MAX:
            raise Refused(codes.BAD_SIZE, "invalid base amount")
        if not 1 <= ticks <= _PRICE_MAX:
            raise Refused(codes.BAD_PRICE, "invalid price")
        if lots < (market.min_lots if reduce_only else market.min_lots_at(ticks)):
            raise Refused(codes.BELOW_MINIMUM, "invalid order base or quote amount")

    def _check_cancel_all(self, transaction: Transaction, now_ms: int) -> None:
        when, time_ms = transaction.info["TimeInForce"], transaction.info["Time"]
        if when not in (0, 1, 2) or (when and MARKET in transaction.attributes):
            raise Refused(codes.CANCEL_ALL_TIF, "invalid cancel all time in force")
        if when == 1 and self._floor.cancel_all_ms:
            raise Refused(codes.CANCEL_ALL_QUEUED, "cancel all is already queued")
        ahead_ms, (least, most) = time_ms - now_ms, _SCHEDULE_MS
        if (time_ms != 0) if when != 1 else not least - _CLOCK_SLACK_MS <= ahead_ms <= most:
            raise Refused(codes.CANCEL_ALL_TIME, "invalid cancel all time")
