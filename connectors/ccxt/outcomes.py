"""What is known of a request after ccxt has raised: refused, never left, or unknown. Pure functions.

ccxt's classes say too little (a failed connection and a 503 are one class, and the class of a Binance code depends on
the address), so the venue's own code decides where the answer carries one. A timeout is unknown, never a refusal.
"""

import re
from typing import Any

import msgspec

from connectors.ccxt.dialects import Dialect
from mm_daemon.domain.orders import RejectKind

_CODE_KEYS = ("sCode", "code", "retCode", "errorCode", "error_code", "err-code")
_CODE = re.compile(r'"(?:code|retCode|errorCode|error_code|err-code)"\s*:\s*"?(-?[0-9]+)')
_OWN_CODE = re.compile(r'"sCode"\s*:\s*"?(-?[0-9]+)')
"""OKX: the code of the order, behind one that says that not all went well."""
_QUERY = re.compile(r"\?[^\s\"]*=[^\s\"]*")
_FINE = ("0", "200", "200000", "", "None")
_NO_CONNECTION = ("ClientConnectorError", "ClientConnectorDNSError", "ClientConnectorCertificateError", "gaierror")
_REFUSED_CLASSES: tuple[tuple[str, RejectKind], ...] = (
    ("RateLimitExceeded", RejectKind.RATE_LIMITED),
    ("DDoSProtection", RejectKind.RATE_LIMITED),
    ("InvalidNonce", RejectKind.OTHER),
    ("OrderNotFound", RejectKind.GONE),
    ("CancelPending", RejectKind.GONE),
    ("OrderImmediatelyFillable", RejectKind.POST_ONLY_CROSS),
    ("OrderNotFillable", RejectKind.POST_ONLY_CROSS),
    ("InsufficientFunds", RejectKind.INSUFFICIENT_MARGIN),
    ("MarketClosed", RejectKind.HALTED),
    ("DuplicateOrderId", RejectKind.INVALID),
    ("InvalidOrder", RejectKind.INVALID),
    ("BadSymbol", RejectKind.INVALID),
    ("ArgumentsRequired", RejectKind.INVALID),
    ("BadRequest", RejectKind.INVALID),
    ("AuthenticationError", RejectKind.OTHER),
    ("PermissionDenied", RejectKind.OTHER),
    ("AccountNotEnabled", RejectKind.OTHER),
    ("OperationRejected", RejectKind.OTHER),
    ("NotSupported", RejectKind.OTHER),
)
_CREDENTIALS = ("AuthenticationError", "PermissionDenied", "AccountSuspended", "AccountNotEnabled")
_UNREADABLE = ("BadResponse", "NullResponse", "ChecksumError")


class Outcome(msgspec.Struct, frozen=True):
    """`kind` None: unknown. `no_change`: it was so already."""

    kind: RejectKind | None
    text: str
    never_left: bool = False
    no_change: bool = False
    clock: bool = False
    """The venue refused our time."""


def after(error: BaseException, dialect: Dialect) -> Outcome:
    """What ccxt's exception leaves us knowing."""
    text, names = said(error), _classes(error)
    cause = error.__cause__ or error.__context__
    if cause is not None and any(name in _NO_CONNECTION for name in _classes(cause)):
        return Outcome(RejectKind.OTHER, f"cannot connect: {cause}", never_left=True)
    found = _OWN_CODE.search(text) or _CODE.search(text)
    if found is not None and found[1] not in _FINE:
        decided = by_code(found[1], text, dialect)
        if decided is not None:
            return msgspec.structs.replace(decided, clock="InvalidNonce" in names)
    if any(name in names for name in _UNREADABLE):
        return Outcome(None, text)
    for name, kind in _REFUSED_CLASSES:
        if name in names:
            return Outcome(kind, text, clock=name == "InvalidNonce")
    if "NetworkError" in names or "OperationFailed" in names:
        return Outcome(None, text)
    if "ExchangeError" in names and found is not None:
        return Outcome(RejectKind.OTHER, text)  # the venue answered with a code of its own that we do not know
    return Outcome(None, text)


def by_code(code: str, text: str, dialect: Dialect) -> Outcome | None:
    """By the venue's own code; None for one that we do not know."""
    if code in dialect.no_change_codes:
        return Outcome(RejectKind.OTHER, text, no_change=True)
    if code in dialect.unknown_codes:
        return Outcome(None, text)
    kind = dialect.codes.get(code)
    return None if kind is None else Outcome(kind, text)


def of_row(info: Any, dialect: Dialect) -> Outcome | None:
    """What the row of a batch says of its order; None: it was carried out."""
    if not isinstance(info, dict):
        return None
    for key in _CODE_KEYS:
        code = info.get(key)
        if not isinstance(code, str | int) or isinstance(code, bool):
            continue
        if str(code) in _FINE or not str(code).lstrip("-").isdigit():
            continue
        text = str(info.get("msg") or info.get("sMsg") or info.get("retMsg") or info.get("message") or code)
        return by_code(str(code), text, dialect) or Outcome(RejectKind.OTHER, f"{code}: {text}")
    return None


def rows_in(error: BaseException) -> list[dict[str, Any]]:
    """The rows of a batch's answer that ccxt raised for, where all of it was refused; empty where there are none."""
    text = str(error)
    begin = text.find("{")
    try:
        body = msgspec.json.decode(text[begin:]) if begin >= 0 else None
    except (msgspec.DecodeError, RecursionError):
        return []
    rows = body.get("data") if isinstance(body, dict) else None
    if not isinstance(rows, list):
        return []
    return [row for row in rows if isinstance(row, dict) and row.get("sCode") not in (None, "0")]


def is_credentials(error: BaseException) -> bool:
    return any(name in _CREDENTIALS for name in _classes(error))


def _classes(error: BaseException) -> tuple[str, ...]:
    return tuple(each.__name__ for each in type(error).__mro__)


def said(error: BaseException) -> str:
    """An exception for people: without what follows an address, where signatures and listen keys stand."""
    return _QUERY.sub("", f"{type(error).__name__}: {error}")[:300]
