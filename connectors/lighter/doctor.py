"""What `mm-daemon doctor` asks Lighter: whether each key is the venue's, the account's tier and money. Reads only."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

import msgspec

from connectors.lighter import transactions as tx
from connectors.lighter import wire
from connectors.lighter.key_check import KeyProblem, look_at_key
from connectors.lighter.rest import BAD_AUTH, Refused, RestClient
from connectors.lighter.settings import QUOTA_START, LighterSettings, Tier, capabilities
from connectors.shared.http import OutcomeUnknown
from connectors.shared.round_trip import latency
from mm_daemon.ports.examination import Check, Probe, elsewhere, failed, ok, warning

_SLOW_TIERS = {"builder": Tier.STANDARD}
"""Tiers that we have no name for, and whose transactions are limited as another's."""


class Position(msgspec.Struct, gc=False):
    market_id: int
    initial_margin_fraction: str = "0"
    """Percent."""
    margin_mode: int = 0
    open_order_count: int = 0
    symbol: str = ""
    position: str = "0"


class Account(msgspec.Struct, gc=False):
    collateral: str = "0"
    available_balance: str = "0"
    total_asset_value: str = "0"
    cancel_all_time: int = 0
    positions: list[Position] | None = None


class Accounts(msgspec.Struct, gc=False):
    accounts: list[Account] | None = None


class Examination:
    """`signer` None: there is no account, and only the way to the venue is looked at."""

    def __init__(
        self,
        rest: RestClient,
        settings: LighterSettings,
        signer: tx.SignsTransactions | None,
        markets: Mapping[int, str],
        venue_now_s: int,
    ) -> None:
        """`markets`: symbols of ours by the venue's number."""
        self._rest = rest
        self._settings = settings
        self._signer = signer
        self._markets = markets
        self._venue_now_s = venue_now_s

    def probes(self) -> Sequence[Probe]:
        found = [Probe("latency", self._latency)]
        if self._signer is not None:
            found += [
                Probe("credentials", self._keys),
                Probe("tier", self._tier),
                Probe("balance", self._money),
            ]
        return found

    async def _latency(self) -> Sequence[Check]:
        async def read() -> None:
            await self._rest.read("funding-rates", msgspec.Raw, {})

        return await latency(read, self._settings.socket_url, '{"type":"ping"}')

    # Keys

    async def _keys(self) -> Sequence[Check]:
        """Each key signs a token, and the venue lets it read: so the venue has this index with this public key. Its
        next nonce can be read: so it can sign."""
        account, nonces, problems = self._settings.account, dict[int, int](), list[Check]()
        for index in self._settings.api_keys:
            found = await self._key(index)
            if isinstance(found, int):
                nonces[index] = found
            else:
                problems.append(found)
        if not nonces:
            return problems
        several = "s" if len(nonces) > 1 else ""
        keys, next_ones = (", ".join(map(str, each)) for each in (nonces, nonces.values()))
        text = f"account {account}: the venue has our API key{several} {keys} with this public key"
        return [ok("credentials", f"{text}; next nonce{several} {next_ones}"), *problems]

    async def _key(self, index: int) -> int | Check:
        """The key's next nonce, or what is wrong with it."""
        account = self._settings.account
        seen = await self._look(index)
        if isinstance(seen, KeyProblem) and not seen.registered:
            advice = f"register a key at index {index} of this account, or correct `account` and `api_keys`"
            return failed("credentials", f"account {account} has no key {index}: {seen.text}", advice)
        if isinstance(seen, KeyProblem):
            text = f"the venue does not take what secrets.api_key_{index} signs: {seen.text}"
            advice = f"index {index} has another public key at {self._settings.network}: correct the key or the index"
            return failed("credentials", text, advice)
        asked = {"account_index": account, "api_key_index": index}
        try:
            return (await self._rest.read("nextNonce", wire.NextNonce, asked)).nonce
        except Refused as refused:
            if refused.limited:
                raise
            text = f"the next nonce of key {index} cannot be read: {refused.text}"
            return failed("credentials", text, "without it the key cannot sign: ask the venue")

    async def _look(self, index: int) -> wire.Limits | KeyProblem:
        assert self._signer is not None and self._settings.account is not None
        account, now_s = self._settings.account, self._venue_now_s
        return await look_at_key(self._rest, self._signer, account=account, index=index, venue_now_s=now_s)

    # Tier and budgets

    async def _tier(self) -> Sequence[Check]:
        told = await self._told_tier()
        wanted = self._settings.tier
        (transactions, *_) = capabilities(self._settings).buckets
        text = f"the account is {told}; tier: {wanted} paces {transactions.capacity} transactions a minute"
        if told == wanted or _SLOW_TIERS.get(told) is wanted:
            return [ok("tier", text), self._budgets()]
        advice = f"write tier: {_SLOW_TIERS.get(told, told)}"
        if wanted is Tier.STANDARD:
            return [warning("tier", text, f"{advice}: it would quote slower than it may"), self._budgets()]
        return [failed("tier", text, f"{advice}: the venue would refuse what is sent too fast"), self._budgets()]

    async def _told_tier(self) -> str:
        """As the first key that may read sees it. Raises Refused when none may."""
        for index in self._settings.api_keys:
            seen = await self._look(index)
            if isinstance(seen, wire.Limits):
                return seen.user_tier.lower()
        raise Refused(BAD_AUTH, "no key of ours may read the account's tier")

    def _budgets(self) -> Check:
        settings = self._settings
        (transactions, *_) = capabilities(settings).buckets
        text = f"{transactions.capacity} transactions and {settings.reads_per_minute} of reads a minute"
        if settings.tier is Tier.PREMIUM:
            text += f"; volume quota: taken to be {QUOTA_START} until the first transaction's answer says what is left"
        return ok("limits", text)

    # The money

    async def _money(self) -> Sequence[Check]:
        settings = self._settings
        reply = await self._rest.read("account", Accounts, {"by": "index", "value": settings.account})
        if not reply.accounts:
            return [failed("balance", f"the venue has no account {settings.account}", "correct `account`")]
        account = reply.accounts[0]
        free = _number(account.available_balance)
        text = f"{_number(account.collateral):.2f} USDC of collateral, {free:.2f} free"
        empty = "deposit USDC, or reduce positions"
        balance = ok("balance", text) if free > 0 else failed("balance", text, empty)
        return [balance, self._margin(account), self._dead_man(account), *self._elsewhere(account)]

    def _elsewhere(self, account: Account) -> list[Check]:
        """What the account has in markets that are not ours."""
        others = [row for row in account.positions or () if row.market_id not in self._markets]
        found = []
        held = sorted(row.symbol or str(row.market_id) for row in others if _number(row.position))
        if held:
            found.append(elsewhere("position", f"a position in {', '.join(held)}"))
        resting = sorted(row.symbol or str(row.market_id) for row in others if row.open_order_count)
        if resting:
            found.append(elsewhere("orders", f"open orders on {', '.join(resting)}"))
        return found

    def _margin(self, account: Account) -> Check:
        settings = self._settings
        if settings.leverage is not None:
            kind = "isolated" if settings.isolated else "cross"
            return ok("margin", f"a start sets {settings.leverage}x {kind} in each market")
        seen = []
        for row in account.positions or ():
            fraction = _number(row.initial_margin_fraction)
            if row.market_id in self._markets and fraction > 0:
                kind = "isolated" if row.margin_mode else "cross"
                seen.append(f"{self._markets[row.market_id]} {100 / fraction:.0f}x {kind}")
        shown = ", ".join(seen) or "which it shows where there is a position or an order"
        return ok("margin", f"leverage: null leaves it as it is at the venue ({shown})")

    def _dead_man(self, account: Account) -> Check:
        wanted = self._settings.dead_man_ms
        if account.cancel_all_time:
            ahead_s = account.cancel_all_time / 1000 - self._venue_now_s
            text = f"one is armed now, {ahead_s:.0f} s ahead: a daemon runs, or one died lately"
            return warning("dead_man", text, "see that no other daemon trades this account")
        if wanted is None:
            text = "none: if this process dies, its orders stay open until they expire "
            return warning(
                "dead_man", f"{text}(order_expiry_s: {self._settings.order_expiry_s})", "write dead_man_ms: 600000"
            )
        return ok("dead_man", f"the venue cancels all after {wanted / 1000:g} s of silence; its shortest is 300 s")


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise OutcomeUnknown(f"the venue names an amount of {text!r}") from None
