"""What `mm-daemon doctor` asks an exchange through ccxt: what the key may do, money, leverage, budgets. Reads only."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from connectors.ccxt import position_mode
from connectors.ccxt.contracts import Contract
from connectors.ccxt.dialects import Dialect
from connectors.ccxt.requests import LimitsHeard, Requests
from connectors.ccxt.settings import CcxtSettings, MarginMode
from connectors.shared.round_trip import latency
from mm_daemon.domain.errors import CredentialsRefused, VenueUnreachable
from mm_daemon.ports.examination import Check, Probe, failed, not_applicable, ok, warning

_WITHDRAWS = "make a key that may only trade, for this machine's address alone"
_TRADES = "allow the key to trade futures at the exchange"


def of_binance(answer: Mapping[str, Any]) -> list[Check]:
    """`GET /fapi/v1/accountConfig`: what the account may do; the key's own rights are not among it."""
    if answer.get("canTrade") is False:
        return [failed("permissions", "the account may not trade futures", _TRADES)]
    if answer.get("multiAssetsMargin") is True:
        text = "the account may trade; it is in multi-assets mode: margin is not in the settlement currency alone"
        return [ok("permissions", text)]
    return [ok("permissions", "the account may trade; what else the key may do, this interface does not tell")]


def of_okx(answer: Mapping[str, Any]) -> list[Check]:
    """`GET /api/v5/account/config`: `perm` is a list of read_only, trade and withdraw; `acctLv` 1: no futures."""
    row = _first(answer.get("data"))
    rights = [right.strip() for right in str(row.get("perm", "")).split(",") if right.strip()]
    found = _judged(rights, trades="trade" in rights, withdraws="withdraw" in rights)
    if str(row.get("acctLv")) == "1":
        found.append(failed("permissions", "the account is in spot mode", "set it to futures mode at the exchange"))
    if not row.get("ip"):
        found.append(
            warning("permissions", "the key works from any address", "bind it to this machine's at the exchange")
        )
    return found


def of_bybit(answer: Mapping[str, Any]) -> list[Check]:
    """`GET /v5/user/query-api`: `readOnly` 1, `permissions` by product, `expiredAt` unless bound to addresses."""
    row = answer.get("result")
    if not isinstance(row, Mapping):
        return []
    by_product = row.get("permissions")
    rights = sorted(
        {str(each) for granted in by_product.values() for each in granted} if isinstance(by_product, Mapping) else ()
    )
    trades = str(row.get("readOnly")) == "0" and ("Order" in rights or "DerivativesTrade" in rights)
    found = _judged(rights, trades=trades, withdraws="Withdraw" in rights)
    if row.get("expiredAt"):
        found.append(ok("permissions", f"the key ends {row['expiredAt']}"))
    return found


def _judged(rights: Sequence[str], *, trades: bool, withdraws: bool) -> list[Check]:
    shown = ", ".join(rights) or "nothing"
    if not trades:
        return [failed("permissions", f"the key may not trade ({shown})", _TRADES)]
    if withdraws:
        return [warning("permissions", f"the key may withdraw ({shown})", _WITHDRAWS)]
    return [ok("permissions", f"the key may trade and not withdraw ({shown})")]


_PERMISSIONS: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], list[Check]]]] = {
    "binanceusdm": ("fapiPrivateGetAccountConfig", of_binance),
    "okx": ("privateGetAccountConfig", of_okx),
    "bybit": ("privateGetV5UserQueryApi", of_bybit),
}
"""By ccxt's name of the exchange: the call that tells what a key may do."""


class Examination:
    def __init__(
        self,
        requests: Requests,
        settings: CcxtSettings,
        dialect: Dialect,
        contracts: Sequence[Contract],
        limits: LimitsHeard,
        *,
        with_key: bool,
        stream: str | None,
    ) -> None:
        """`stream`: the address of a WebSocket of ours; None: ccxt keeps them to itself."""
        self._requests = requests
        self._settings = settings
        self._dialect = dialect
        self._contracts = contracts
        self._limits = limits
        self._with_key = with_key
        self._stream = stream

    def probes(self) -> Sequence[Probe]:
        found = [Probe("latency", self._latency)] if self._requests.can("fetchTime") else []
        if self._with_key:
            found += [
                Probe("credentials", self._credentials),
                Probe("permissions", self._permissions),
                Probe("balance", self._balance),
                Probe("margin", self._margin),
                Probe("position_mode", self._position_mode),
            ]
        return [*found, Probe("limits", self._budgets)]

    async def _latency(self) -> Sequence[Check]:
        return await latency(lambda: self._requests.read("fetch_time"), self._stream)

    async def _credentials(self) -> Sequence[Check]:
        """Raises CredentialsRefused."""
        await self._requests.read("fetch_positions", [each.unified for each in self._contracts])
        return [ok("credentials", f"{self._settings.exchange} takes the key's signature")]

    async def _permissions(self) -> Sequence[Check]:
        method, judge = _PERMISSIONS.get(self._settings.exchange, (None, None))
        if method is None or judge is None:
            text = f"what a key of {self._settings.exchange} may do is not asked here: see that it can only trade"
            return [not_applicable("permissions", text)]
        return judge(await self._requests.read(method))

    async def _balance(self) -> Sequence[Check]:
        found, balances = [], None
        for currency in dict.fromkeys(_settled_in(each) for each in self._contracts):
            if self._dialect.balance_of_one:
                balances = await self._requests.read("fetch_balance", {"code": currency})
            elif balances is None:
                balances = await self._requests.read("fetch_balance")
            row = balances.get(currency) or {}
            total, free = _number(row.get("total")), _number(row.get("free"))
            if total is None:
                found.append(failed("balance", f"the account shows no {currency}", f"transfer {currency} to futures"))
                continue
            text = f"{total.normalize():f} {currency}" + (f", {free.normalize():f} free" if free is not None else "")
            if total <= 0:
                found.append(failed("balance", text, f"transfer {currency} to the futures account"))
            else:
                found.append(ok("balance", text))
        return found

    async def _margin(self) -> Sequence[Check]:
        return [await self._margin_of(each) for each in self._contracts]

    async def _margin_of(self, contract: Contract) -> Check:
        settings, symbol = self._settings, contract.instrument.symbol
        mode = settings.margin_mode.value if settings.margin_mode is not None else None
        if self._dialect.leverage_in_orders:
            return ok("margin", f"each order carries leverage {settings.leverage}", symbol=symbol)
        told = await self._leverage(contract.unified)
        wanted = [f"leverage {settings.leverage}"] if settings.leverage is not None else []
        wanted += [f"{mode} margin"] if mode is not None else []
        text = told or "the exchange does not tell leverage and margin mode"
        if wanted:
            return ok("margin", f"{text}; a start sets {' and '.join(wanted)}", symbol=symbol)
        if not told:
            return not_applicable("margin", f"{text}; nothing is set (leverage: null)", symbol=symbol)
        return ok("margin", f"{text}; left as it is (leverage: null)", symbol=symbol)

    async def _leverage(self, unified: str) -> str:
        """In words; empty where it is not told."""
        if not self._requests.can("fetchLeverage"):
            return ""
        isolated = self._settings.margin_mode is MarginMode.ISOLATED
        try:
            row = await self._requests.read("fetch_leverage", unified, {"marginMode": "isolated"} if isolated else {})
        except CredentialsRefused:
            raise
        except VenueUnreachable:
            return ""  # some exchanges tell it of positions only
        long, kind = row.get("longLeverage"), row.get("marginMode")
        return f"leverage {long:g}{f', {kind} margin' if kind else ''}" if isinstance(long, int | float) else ""

    async def _position_mode(self) -> Sequence[Check]:
        wanted, found = self._settings.position_mode, await position_mode.told(self._requests, self._contracts)
        if found is None:
            text = f"the exchange does not tell it; {position_mode.WORDS[wanted]} is needed"
            return [not_applicable("position_mode", text)]
        if found is wanted:
            return [ok("position_mode", position_mode.WORDS[found])]
        if self._settings.set_position_mode:
            text = f"{position_mode.WORDS[found]} now; a start switches it, while nothing is open"
            return [warning("position_mode", text, "close orders and positions first, where there are any")]
        return [failed("position_mode", *position_mode.mismatch(found, wanted))]

    async def _budgets(self) -> Sequence[Check]:
        """By what the exchange's own headers have counted of this address until now, these questions included."""
        if not self._dialect.buckets:
            return [not_applicable("limits", f"those of {self._settings.exchange} are not known here")]
        parts, scarce = [], False
        for bucket in self._dialect.buckets:
            used = self._limits.used.get(bucket.name)
            text = f"{bucket.name}: {bucket.capacity} in {bucket.period_ms / 1000:g} s"
            if used is not None:
                text += f", {used} used"
                scarce = scarce or used > bucket.capacity // 2
            parts.append(text)
        if scarce:
            advice = "something else at this address asks the exchange a lot: stop it, or give it another address"
            return [warning("limits", "; ".join(parts), advice)]
        return [ok("limits", "; ".join(parts))]


def _settled_in(contract: Contract) -> str:
    instrument = contract.instrument
    return instrument.base if instrument.inverse else instrument.quote


def _first(rows: Any) -> Mapping[str, Any]:
    return rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], Mapping) else {}


def _number(value: Any) -> Decimal | None:
    try:
        return None if value is None else Decimal(str(value))
    except InvalidOperation:
        return None
