"""What `mm-daemon doctor` asks Hyperliquid: whose the key is and for how long, the money, the budgets. Reads only."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

import msgspec

from connectors.hyperliquid import account_wire as aw
from connectors.hyperliquid.requests import Asset, dex_of
from connectors.hyperliquid.rest import RestClient
from connectors.hyperliquid.settings import LEAST_A_DAY, HyperliquidSettings
from connectors.shared.http import OutcomeUnknown
from connectors.shared.round_trip import latency
from mm_daemon.ports.examination import Check, Probe, elsewhere, failed, not_applicable, ok, warning

_DEAD_MAN_VOLUME = 1_000_000
"""USDC that an address must have traded before the venue takes a scheduled cancel."""
_EXPIRES_SOON_MS = 7 * 86_400_000
_DAY_MS = 86_400_000
_SCARCE = 0.1
_UNIFIED = ("unifiedAccount", "portfolioMargin")
"""Accounts whose money is in their spot balance."""
_PING = '{"method":"ping"}'
_APPROVE = "approve an agent for it on the venue's API page, and use that key"


class Agent(msgspec.Struct, gc=False):
    """A row of `extraAgents`; unnamed agents are not listed."""

    address: str
    name: str = ""
    validUntil: int | None = None


class Summary(msgspec.Struct, gc=False):
    accountValue: str = "0"
    totalMarginUsed: str = "0"


class Leverage(msgspec.Struct, gc=False):
    type: str
    value: int


class HeldAt(msgspec.Struct, gc=False):
    coin: str
    leverage: Leverage | None = None


class HeldRow(msgspec.Struct, gc=False):
    position: HeldAt


class State(msgspec.Struct, gc=False):
    """The money part of `clearinghouseState`."""

    marginSummary: Summary
    withdrawable: str = "0"
    assetPositions: list[HeldRow] = []


class Examination:
    """`address` is the key's; None: there is no key, and only the way to the venue is looked at."""

    def __init__(
        self, rest: RestClient, settings: HyperliquidSettings, address: str | None, assets: Sequence[Asset]
    ) -> None:
        """`assets`: our markets."""
        self._rest = rest
        self._settings = settings
        self._address = "" if address is None else address.lower()
        self._coins = dict.fromkeys(asset.coin for asset in assets)
        self._max_leverage = {asset.coin: asset.max_leverage for asset in assets if not asset.instrument.spot}
        self._bases = [asset.instrument.base for asset in assets if asset.instrument.spot]
        self._master: str | None = None
        """Whom the key acts for, once that is known."""

    def probes(self) -> Sequence[Probe]:
        always = [Probe("latency", self._latency)]
        if not self._address:
            return always
        return [
            *always,
            Probe("credentials", self._credentials),
            Probe("agent", self._agent),
            Probe("balance", self._balance),
            Probe("limits", self._budgets),
        ]

    async def _latency(self) -> Sequence[Check]:
        return await latency(
            lambda: self._rest.info({"type": "exchangeStatus"}, aw.ExchangeStatus), self._settings.socket_url, _PING
        )

    # Whose key it is

    async def _role(self, address: str) -> aw.UserRole:
        return await self._rest.info({"type": "userRole", "user": address}, aw.UserRole)

    async def _credentials(self) -> Sequence[Check]:
        settings, role = self._settings, await self._role(self._address)
        data = role.data or aw.RoleData()
        if role.role == "missing":
            text = f"{settings.network} does not know the key's address {self._address}"
            advice = "approve it as an agent of your account, renew it if it has expired, or deposit to it"
            return [failed("credentials", text, advice)]
        self._master = (data.user if role.role == "agent" and data.user else self._address).lower()
        wanted = settings.account
        if wanted is not None and wanted.lower() != self._master:
            text = f"the key {self._address} acts for {self._master}, not for account {wanted}"
            return [failed("credentials", text, "correct `account`, or use a key of that account's agent")]
        traded = await self._traded()
        if role.role == "agent":
            return [ok("credentials", f"agent {self._address} acts for {self._master}"), *traded]
        text = f"{self._address} is the account's own key ({role.role}), which can withdraw"
        return [warning("credentials", text, _APPROVE), *traded]

    async def _traded(self) -> list[Check]:
        """The vault or sub-account that is traded, where there is one."""
        vault = self._settings.vault
        if vault is None:
            return []
        role = await self._role(vault)
        master = (role.data.master if role.data is not None else None) or ""
        if role.role == "subAccount" and master.lower() == self._master:
            return [ok("credentials", f"sub-account {vault} belongs to {self._master}")]
        if role.role == "subAccount":
            text = f"sub-account {vault} belongs to {master}, not to {self._master}, whom the key acts for"
            return [failed("credentials", text, "correct `vault`, or use a key of its master's agent")]
        if role.role == "vault":
            text = f"{vault} is a vault; that {self._master} leads it shows with the first order only"
            return [ok("credentials", text)]
        text = f"{vault} is no vault and no sub-account ({role.role})"
        return [failed("credentials", text, "correct `vault`, or write vault: null to trade the account itself")]

    async def _agent(self) -> Sequence[Check]:
        """When the agent ends, as far as the venue lists it."""
        account = self._master or self._settings.account
        if account is None:
            return [not_applicable("agent", "the key acts for nobody")]
        if account.lower() == self._address:
            return [not_applicable("agent", "the key is the account's own, which does not expire")]
        agents = await self._rest.info({"type": "extraAgents", "user": account}, list[Agent])
        now_ms = (await self._rest.info({"type": "exchangeStatus"}, aw.ExchangeStatus)).time
        mine = next((agent for agent in agents if agent.address.lower() == self._address), None)
        if mine is None:
            text = "an agent without a name, which the venue does not list: when it ends is not known"
            if self._master is None:
                text = f"{account} lists no agent {self._address}: it was removed, replaced, or has no name"
                return [failed("agent", text, _APPROVE)]
            advice = "give agents names: another unnamed one replaces it, and its end cannot be read"
            return [warning("agent", text, advice)]
        if mine.validUntil is None:
            return [ok("agent", f"{mine.name!r}, without an end")]
        left_ms = mine.validUntil - now_ms
        if left_ms <= 0:
            text = f"{mine.name!r} expired {-left_ms / _DAY_MS:.1f} days ago"
            return [failed("agent", text, "approve a new agent with a new key; never use this address again")]
        text = f"{mine.name!r} ends in {left_ms / _DAY_MS:.1f} days"
        if left_ms < _EXPIRES_SOON_MS:
            return [warning("agent", text, "approve the next agent, with a new key, before that")]
        return [ok("agent", text)]

    # The money

    def _user(self) -> str | None:
        """Whose money it is."""
        vault = self._settings.vault
        return vault.lower() if vault is not None else self._master

    async def _balance(self) -> Sequence[Check]:
        """The first dex's money, that of each builder's dex and of spot where a market of ours is: they are apart."""
        user = self._user()
        if user is None:
            return [not_applicable("balance", "whose account it is, is not known")]
        told = await self._rest.info({"type": "userAbstraction", "user": user}, msgspec.Raw)
        mode = bytes(told).decode("utf-8", "replace").strip('"')
        found, states = [], []
        unified = mode in _UNIFIED
        for dex in dict.fromkeys(map(dex_of, self._coins)):
            named = {"dex": dex} if dex else {}
            state = await self._rest.info({"type": "clearinghouseState", "user": user, **named}, State)
            states.append(state)
            if not unified and dex in map(dex_of, self._max_leverage):
                found.append(_money(state, dex, user, may_move=mode == "disabled"))
            found += await self._elsewhere(user, state, named)
        if unified or self._bases:
            spot = await self._rest.info({"type": "spotClearinghouseState", "user": user}, aw.SpotState)
            found.append(self._spot(spot, user, f"the {mode} balance" if unified else "the spot balance"))
        return [*found, self._margin(states)]

    def _spot(self, state: aw.SpotState, user: str, where: str) -> Check:
        """USDC, and of the bases of our pairs what there is to sell."""
        held = {each.coin: each for each in state.balances}
        usdc = held.get("USDC", aw.Balance("USDC", "0"))
        text = f"{_number(usdc.total):.2f} USDC in {where}, {_number(usdc.hold):.2f} of it held"
        bases = {base: _number(held[base].total) if base in held else Decimal(0) for base in self._bases}
        text += "".join(f"; {total:f} {base}" for base, total in bases.items())
        if _number(usdc.total) > 0 or any(bases.values()):
            return ok("balance", text)
        move = ", or move it from perps to spot" if where.startswith("the spot") else ""
        return failed("balance", text, f"deposit USDC to {user}{move}")

    async def _elsewhere(self, user: str, state: State, dex: Mapping[str, str]) -> list[Check]:
        """What the account has in markets that are not ours."""
        found = []
        held = sorted({row.position.coin for row in state.assetPositions} - self._coins.keys())
        if held:
            found.append(elsewhere("position", f"a position in {', '.join(held)}"))
        rows = await self._rest.info({"type": "frontendOpenOrders", "user": user, **dex}, list[aw.OrderRow])
        coins = sorted({row.coin for row in rows} - self._coins.keys())
        if coins:
            found.append(elsewhere("orders", f"open orders on {', '.join(coins)}"))
        return found

    def _margin(self, states: Sequence[State]) -> Check:
        leverage, kind = self._settings.leverage, "isolated" if self._settings.isolated else "cross"
        if not self._max_leverage:
            return not_applicable("margin", "spot is bought outright")
        if leverage is not None:
            return ok("margin", f"one-way; a start sets {leverage}x {kind} in each perpetual")
        seen = [
            f"{row.position.coin} {row.position.leverage.value}x {row.position.leverage.type}"
            for state in states
            for row in state.assetPositions
            if row.position.leverage is not None and row.position.coin in self._max_leverage
        ]
        most = ", ".join(f"{coin} up to {most}x" for coin, most in self._max_leverage.items())
        text = f"one-way; leverage: null leaves it as it is at the venue ({', '.join(seen) or most})"
        return ok("margin", text)

    # Budgets

    async def _budgets(self) -> Sequence[Check]:
        user = self._user()
        if user is None:
            return [not_applicable("limits", "whose account it is, is not known")]
        limit = await self._rest.info({"type": "userRateLimit", "user": user}, aw.UserRateLimit)
        return [self._requests(limit), self._dead_man(_number(limit.cumVlm))]

    def _requests(self, limit: aw.UserRateLimit) -> Check:
        most = limit.nRequestsCap + limit.nRequestsSurplus
        left = most - limit.nRequestsUsed
        text = (
            f"address: {left} of {most} requests left, one more for each USDC traded ({_number(limit.cumVlm):.0f} so "
            f"far); this process: {self._settings.weight_per_minute} of the address's weight of reads and "
            f"{self._settings.messages_per_minute} socket messages a minute"
        )
        if left <= 0:
            advice = f"the venue lets one request through in 10 s ({LEAST_A_DAY} a day): trade, or buy requests"
            return failed("limits", text, advice)
        if left < _SCARCE * most:
            return warning("limits", text, "raise order_lockout_ms and the tolerances: each place and amend costs one")
        return ok("limits", text)

    def _dead_man(self, volume: Decimal) -> Check:
        wanted = self._settings.dead_man_ms
        gate = f"the venue asks for {_DEAD_MAN_VOLUME} USDC traded, {volume:.0f} were"
        if wanted is None:
            text = "none is armed: if this process dies, its orders stay open until it starts again; "
            if volume < _DEAD_MAN_VOLUME:
                return warning("dead_man", f"{text}{gate}", "have the process watched and started again by systemd")
            advice = "the account has traded enough for one: write dead_man_ms: 60000"
            return warning("dead_man", f"{text}{gate}", advice)
        if volume < _DEAD_MAN_VOLUME:
            text = f"dead_man_ms: {wanted} would be refused: {gate}"
            advice = "write dead_man_ms: null until then; meanwhile orders of a dead process stay open"
            return failed("dead_man", text, advice)
        text = f"the venue cancels all after {wanted / 1000:g} s of silence, ten times a day at most; shortest 5 s"
        return ok("dead_man", text)


def _money(state: State, dex: str, user: str, *, may_move: bool) -> Check:
    value, used = _number(state.marginSummary.accountValue), _number(state.marginSummary.totalMarginUsed)
    text = f"{value:.2f} USDC, {used:.2f} in use as margin, {_number(state.withdrawable):.2f} free"
    if dex:
        text += f", in dex {dex}"
    if value > 0:
        return ok("balance", text)
    return failed("balance", text, f"deposit USDC to {user}{', or move it from spot to perps' if may_move else ''}")


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise OutcomeUnknown(f"the venue names an amount of {text!r}") from None
