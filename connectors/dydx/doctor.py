"""What `mm-daemon doctor` asks dYdX: the nodes, how late the indexer is, whose the key is, the money. Reads only."""

import base64
import binascii
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from connectors.dydx import wire
from connectors.dydx.http import Http, Indexer, Nodes, Refused, decoded
from connectors.dydx.keys import Signer
from connectors.dydx.settings import STATEFUL_BLOCKS, DydxSettings, OrderKind
from connectors.shared.round_trip import latency
from mm_daemon.domain.errors import VenueUnreachable
from mm_daemon.ports.examination import Check, Probe, elsewhere, failed, ok, warning

_NOT_FOUND = 404
_BLOCKS = 5
_VERIFIES = "SignatureVerification"
_SETS = ("AllOf", "AnyOf")
_NESTED_MAX = 4
_SIDES = 2
"""Orders that a market with one level a side wants."""


class Money(msgspec.Struct, gc=False):
    equity: Decimal
    freeCollateral: Decimal
    openPerpetualPositions: dict[str, wire.PositionRow] = {}


class MoneyReply(msgspec.Struct, gc=False):
    subaccount: Money


class Authenticator(msgspec.Struct, gc=False):
    """One of the chain's. `config` is base64: a public key, or for a set the JSON list of its members."""

    id: int
    type: str
    config: str = ""


class Authenticators(msgspec.Struct, gc=False):
    account_authenticators: list[Authenticator] = []


class Rate(msgspec.Struct, gc=False):
    num_blocks: int
    limit: int


class Rates(msgspec.Struct, gc=False):
    max_short_term_orders_and_cancels_per_n_blocks: list[Rate] = []
    max_stateful_orders_per_n_blocks: list[Rate] = []


class RatesReply(msgspec.Struct, gc=False):
    block_rate_limit_config: Rates


class Tier(msgspec.Struct, gc=False):
    """From so much net collateral on, in quantums of USDC, an account may have so many open orders."""

    usd_tnc_required: int
    limit: int


class Tiers(msgspec.Struct, gc=False):
    stateful_order_equity_tiers: list[Tier] = []


class TiersReply(msgspec.Struct, gc=False):
    equity_tier_limit_config: Tiers


_members = msgspec.json.Decoder(list[dict[str, str]]).decode
"""Of a set of authenticators: `type` and `config`, whichever way they are capitalised."""


class Examination:
    """`signer` None: there is no key, and only indexer and nodes are looked at."""

    def __init__(
        self,
        http: Http,
        indexer: Indexer,
        nodes: Nodes,
        settings: DydxSettings,
        signer: Signer | None,
        owner: str,
        symbols: Sequence[str],
    ) -> None:
        self._http = http
        self._indexer = indexer
        self._nodes = nodes
        self._settings = settings
        self._signer = signer
        self._owner = owner
        self._symbols = symbols

    def probes(self) -> Sequence[Probe]:
        found = [Probe("latency", self._latency), Probe("lag", self._lag), Probe("nodes", self._each_node)]
        if self._signer is not None:
            found += [Probe("credentials", self._credentials), Probe("balance", self._balance)]
        found.append(Probe("limits", self._limits))
        if self._settings.orders is OrderKind.STATEFUL:
            found.append(Probe("limits", self._stateful_limits))
            if self._signer is not None:
                found.append(Probe("tier", self._tier))
        return found

    # The way there

    async def _latency(self) -> Sequence[Check]:
        socket = f"ws{self._settings.endpoints.indexer.removeprefix('http')}/v4/ws"
        return await latency(lambda: self._indexer.get("/v4/time"), socket)

    async def _lag(self) -> Sequence[Check]:
        """How far the indexer, whose books we see, is behind the node that our orders go to."""
        shown = decoded(await self._indexer.get("/v4/height"), wire.HeightReply).height
        height = await self._nodes.height()
        behind = max(height - shown, 0)
        text = f"the indexer is {behind} blocks behind the node (at {height})"
        if behind > self._settings.max_lag_blocks:
            advice = f"beyond max_lag_blocks: {self._settings.max_lag_blocks} no book is trusted: wait, or name another"
            return [failed("lag", text, advice)]
        return [ok("lag", text)]

    async def _each_node(self) -> Sequence[Check]:
        """Whether every node answers: one that does not is no help when the others fail."""
        found: list[Check] = []
        heights: dict[str, int] = {}
        for url in self._settings.endpoints.nodes:
            try:
                heights[url] = await self._nodes.height_of(url)
            except VenueUnreachable as error:
                found.append(warning("nodes", f"{url}: {error}", "remove it from `nodes`, or look why"))
        if heights:
            spread = max(heights.values()) - min(heights.values())
            text = f"{len(heights)} of {len(self._settings.endpoints.nodes)} answer, {spread} blocks apart"
            if len(self._settings.endpoints.nodes) == 1:
                text += "; there is no other to go to when it fails"
            found.append(ok("nodes", text))
        return found or [failed("nodes", "no node is configured", "name some under `nodes`")]

    # The key

    async def _credentials(self) -> Sequence[Check]:
        assert self._signer is not None
        url = f"{self._settings.endpoints.rest}/cosmos/auth/v1beta1/account_info/{self._owner}"
        try:
            number = decoded(await self._http.ask("GET", url), wire.AccountReply).info.account_number
        except Refused as refused:
            if refused.status != _NOT_FOUND:
                raise
            text = f"account {self._owner} does not exist on {self._settings.endpoints.chain_id}"
            advice = "deposit into it first, or correct the key (a mnemonic with a mistyped word is another account)"
            return [failed("credentials", text, advice)]
        if self._settings.authenticator is not None:
            return await self._permitted(self._signer, self._settings.authenticator)
        text = f"account {self._owner}, number {number}, of the key itself; a start proves it by a cancel of nothing"
        advice = "this key can withdraw: let the owner register a trading key, and name its `authenticator`"
        return [warning("credentials", text, advice)]

    async def _permitted(self, signer: Signer, wanted: int) -> Sequence[Check]:
        """Whether the owner has let this very key trade under the id that is configured."""
        url = f"{self._settings.endpoints.rest}/dydxprotocol/accountplus/authenticators/{self._owner}"
        rows = decoded(await self._http.ask("GET", url), Authenticators).account_authenticators
        mine = [row.id for row in rows if _names(row.type, row.config, signer.public_key)]
        if wanted in mine:
            text = f"{signer.address} may sign for {self._owner} under authenticator {wanted}"
            return [ok("credentials", f"{text}; a start proves it by a cancel of nothing")]
        if any(row.id == wanted for row in rows):
            text = f"authenticator {wanted} of {self._owner} is for another key than that of {signer.address}"
        else:
            text = f"{self._owner} has no authenticator {wanted}"
        advice = f"write authenticator: {mine[0]}, which is for this key" if mine else "let the owner register this key"
        return [failed("credentials", text, advice)]

    # The money

    async def _balance(self) -> Sequence[Check]:
        number = self._settings.subaccount
        path = f"/v4/addresses/{self._owner}/subaccountNumber/{number}"
        margin = ok("margin", "cross; leverage is what the positions make of the equity, there is none to set")
        try:
            money = decoded(await self._indexer.get(path), MoneyReply).subaccount
        except Refused as refused:
            if refused.status != _NOT_FOUND:
                raise
            text = f"subaccount {number} of {self._owner} was never funded"
            return [failed("balance", text, "deposit into it, or correct `subaccount`"), margin]
        text = f"{money.equity:.2f} USDC of equity, {money.freeCollateral:.2f} free, in subaccount {number}"
        held = sorted(set(money.openPerpetualPositions) - set(self._symbols))
        more = [margin, *([elsewhere("position", f"a position in {', '.join(held)}")] if held else [])]
        if money.freeCollateral <= 0:
            return [failed("balance", text, "deposit into it, or reduce its positions"), *more]
        return [ok("balance", text), *more]

    # Budgets

    async def _limits(self) -> Sequence[Check]:
        settings = self._settings
        url = f"{settings.endpoints.rest}/dydxprotocol/clob/block_rate"
        rates = decoded(await self._http.ask("GET", url), RatesReply).block_rate_limit_config
        allowed = [
            rate.limit * _BLOCKS // rate.num_blocks for rate in rates.max_short_term_orders_and_cancels_per_n_blocks
        ]
        text = f"chain: {settings.actions_per_5_blocks} places and cancels in 5 blocks"
        if allowed:
            text += f" of the {min(allowed)} it takes"
        text += f"; node: {settings.requests_per_10s} requests in 10 s, of which nodes tell nothing"
        if allowed and settings.actions_per_5_blocks > min(allowed):
            return [warning("limits", text, f"write actions_per_5_blocks: {min(allowed)}")]
        return [ok("limits", text)]

    async def _stateful_limits(self) -> Sequence[Check]:
        """What the chain takes of stateful places, beside what we count on."""
        settings = self._settings
        url = f"{settings.endpoints.rest}/dydxprotocol/clob/block_rate"
        rates = decoded(await self._http.ask("GET", url), RatesReply).block_rate_limit_config
        allowed = {rate.num_blocks: rate.limit for rate in rates.max_stateful_orders_per_n_blocks}
        found: list[Check] = []
        for key, ours, blocks in (
            ("stateful_per_block", settings.stateful_per_block, 1),
            ("stateful_per_100_blocks", settings.stateful_per_100_blocks, STATEFUL_BLOCKS),
        ):
            text = f"chain: {ours} stateful places in {blocks} block{'s' * (blocks > 1)}"
            if blocks in allowed:
                text += f" of the {allowed[blocks]} it takes"
            if ours > allowed.get(blocks, ours):
                found.append(warning("limits", text, f"write {key}: {allowed[blocks]}"))
            else:
                found.append(ok("limits", text))
        return found

    async def _tier(self) -> Sequence[Check]:
        """How many stateful orders the account may have open, which goes by its money."""
        url = f"{self._settings.endpoints.rest}/dydxprotocol/clob/equity_tier"
        tiers = decoded(await self._http.ask("GET", url), TiersReply).equity_tier_limit_config
        path = f"/v4/addresses/{self._owner}/subaccountNumber/{self._settings.subaccount}"
        try:
            equity = decoded(await self._indexer.get(path), MoneyReply).subaccount.equity
        except Refused as refused:
            if refused.status != _NOT_FOUND:
                raise
            return []  # said by `_balance`
        rows = tiers.stateful_order_equity_tiers
        most = max((tier.limit for tier in rows if tier.usd_tnc_required <= equity.scaleb(6)), default=0)
        text = f"{equity:.2f} USDC allow {most} open stateful orders"
        if rows and most < _SIDES * len(self._symbols):
            return [failed("tier", text, "deposit more, quote fewer markets, or write orders: short_term")]
        return [ok("tier", text)]


def _names(kind: str, config: str, public_key: bytes, depth: int = 0) -> bool:
    """Whether an authenticator, or one inside of it, takes signatures of this key."""
    try:
        data = base64.b64decode(config, validate=True)
        if kind == _VERIFIES:
            return data == public_key
        if kind not in _SETS or depth >= _NESTED_MAX:
            return False
        members = [{key.lower(): text for key, text in each.items()} for each in _members(data)]
        return any(_names(each["type"], each["config"], public_key, depth + 1) for each in members)
    except (binascii.Error, ValueError, KeyError, msgspec.DecodeError):
        return False  # of a kind that we do not know: it is not what we look for
