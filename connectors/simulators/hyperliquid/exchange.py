"""The simulated Hyperliquid without its sockets: blocks, the order of actions in them, and what is told after each.

Actions wait for the next block. In a block the others trade first, then come scheduled cancels and triggers, then the
actions in three classes: those that send nothing but post-only orders (and all that send no order), cancels, those with
an order that may take; first come, first served within a class. One seed is one history of the others.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from connectors.simulators.hyperliquid import signatures, wire
from connectors.simulators.hyperliquid.accounts import USDC, Account, Nonces, usdc
from connectors.simulators.hyperliquid.floor import CANNOT_MODIFY, GONE, Floor, RefusedBatch
from connectors.simulators.hyperliquid.market import MONEY_DECIMALS, Market, Trade, money, number
from connectors.simulators.hyperliquid.settings import CoinSettings, HyperliquidVenueSettings
from connectors.simulators.hyperliquid.spot import FIRST_NUMBER, is_pair, pairs
from mm_daemon.domain.book import NO_ASK, NO_BID
from mm_daemon.domain.orders import Side
from mm_daemon.domain.rng import Rng

Key = tuple[str, ...]
"""What a subscriber listens to: the channel, then coin or user, then what else distinguishes it."""
Answer = Callable[[dict[str, Any]], None]

_NS_PER_MS = 1_000_000
_FIRST_OID = 560_000_000_000
_BUILDERS_FROM, _BUILDERS_ROOM = 100_000, 10_000
"""Numbers of builders' perpetuals, by the place of their dex."""
_LOOK_MS, _SAMPLE_MS = 3000, 5000
_DAY_MS = 86_400_000
_SCHEDULE_LEAST_MS, _SCHEDULES_A_DAY = 5000, 10
_STALE_COST = 5
_POST_ONLY, _CANCELS, _TAKING = 0, 1, 2


class Said(msgspec.Struct, frozen=True):
    """Data of a channel for whoever listens to `key`."""

    key: Key
    data: Any


class _Waiting(msgspec.Struct):
    request: wire.ExchangeRequest
    account: Account
    signer: str
    answer: Answer


class Exchange:
    """Every method is given the venue's time in nanoseconds, which never goes back."""

    def __init__(self, coins: tuple[str, ...], settings: HyperliquidVenueSettings, seed: int, opened_ns: int) -> None:
        self._settings = settings
        rng = Rng(seed)
        self.pairs = pairs(coins)
        self.dexes = tuple(dict.fromkeys(coin.partition(":")[0] for coin in coins if ":" in coin))
        self.markets = {market.number: market for market in self._universe(coins, rng)}
        self.by_coin: Mapping[str, Market] = {market.coin: market for market in self.markets.values()}
        self.accounts: dict[str, Account] = {}
        self.floor = Floor(self.markets, self.accounts, self._next_oid)
        self._oid = _FIRST_OID
        self.keys = [signatures.seeded_key(seed, place) for place in range(settings.accounts)]
        for key in self.keys:
            address = signatures.address_of(key)
            self.accounts[address] = self._funded(Account(address, usdc(settings.deposit), usdc(settings.traded)))
        self._nonces: dict[str, Nonces] = {}
        self._waiting: list[_Waiting] = []
        self._said: list[Said] = []
        self._block_ns = settings.block_ms * _NS_PER_MS
        self._next_block_ns = (opened_ns // self._block_ns + 1) * self._block_ns
        self._hour_ms = settings.funding_period_s * 1000
        self._timers = {"look": 0, "sample": 0, "fund": (opened_ns // _NS_PER_MS // self._hour_ms + 1) * self._hour_ms}
        for market in self.markets.values():
            market.open(opened_ns)

    def _universe(self, coins: tuple[str, ...], rng: Rng) -> Iterator[Market]:
        """Perpetuals of the first dex (delisted ones behind its first coin) and of builders' dexes, and spot pairs."""
        settings = self._settings
        for place, dex in enumerate(("", *self.dexes)):
            names = [coin for coin in coins if not is_pair(coin) and coin.rpartition(":")[0] == dex]
            gone = () if dex else (coin for coin in settings.delisted if coin not in coins)
            rows = [*((coin, False) for coin in names[:1]), *((coin, True) for coin in gone)]
            rows += [(coin, False) for coin in names[1:]]
            first = _BUILDERS_FROM + _BUILDERS_ROOM * place if dex else 0
            for asset, (coin, delisted) in enumerate(rows, first):
                made = settings.coins.get(coin, CoinSettings())
                yield Market(coin, asset, made, rng.split(coin), delisted=delisted)
        for pair in self.pairs:
            made = settings.coins.get(pair.symbol, CoinSettings())
            yield Market(pair.coin, FIRST_NUMBER + pair.index, made, rng.split(pair.coin), pair=pair)

    def _funded(self, account: Account) -> Account:
        """With what it has in spot at the start."""
        account.unified = self._settings.unified
        if self.pairs and not account.unified:
            account.spot_usdc = usdc(self._settings.spot_deposit)
        for pair in self.pairs:
            market = self.by_coin[pair.coin]
            held = self._settings.coins.get(pair.symbol, CoinSettings()).held
            lots = int(held.scaleb(market.size_decimals))
            token = account.token(pair.base.name)
            token.units = lots * market.lot_units
            token.cost = lots * market.last_ticks * market.money_per_tick_lot
        return account

    def _next_oid(self) -> int:
        self._oid += 1
        return self._oid

    # Time

    def next_deadline_ns(self) -> int:
        return self._next_block_ns

    def advance(self, now_ns: int) -> list[Said]:
        """All blocks up to now; what is to be told since this was last asked."""
        while self._next_block_ns <= now_ns:
            self._block(self._next_block_ns)
            self._next_block_ns += self._block_ns
        said, self._said = self._said, []
        return said

    @property
    def block_ms(self) -> int:
        """Time of the last block."""
        return (self._next_block_ns - self._block_ns) // _NS_PER_MS

    def _block(self, at_ns: int) -> None:
        now_ms = at_ns // _NS_PER_MS
        for market in self.markets.values():
            for side, matches in market.live(at_ns):
                for match in matches:
                    self.floor.others_traded(market, side, match.ticks, match.lots, match.maker_id, now_ms)
        self._look(now_ms)
        for account in tuple(self.accounts.values()):
            self._fire_schedule(account, now_ms)
            self.floor.pull_triggers(account, now_ms)
        waiting, self._waiting = self._waiting, []
        answers = [(each, self._execute(each, now_ms)) for each in sorted(waiting, key=_class)]
        self._tell(now_ms)
        for each, reply in answers:
            each.answer(reply)

    def _look(self, now_ms: int) -> None:
        for name, period in (("look", _LOOK_MS), ("sample", _SAMPLE_MS)):
            if now_ms < self._timers[name]:
                continue
            self._timers[name] = now_ms + period
            for market in self.markets.values():
                market.look() if name == "look" else market.sample()
        if now_ms >= self._timers["fund"]:
            self._timers["fund"] += self._hour_ms
            for market in self.markets.values():
                if market.is_funded:
                    self._pay_funding(market, market.settle(now_ms), now_ms)

    def _pay_funding(self, market: Market, rate_e12: int, now_ms: int) -> None:
        for account in self.accounts.values():
            received = account.pay_funding(market, rate_e12)
            if received is None:
                continue
            row = {
                "time": now_ms,
                "coin": market.coin,
                "usdc": money(received),
                "szi": market.size(account.position(market).lots),
                "fundingRate": wire.shortest(number(rate_e12, 12)),
                "nSamples": None,
            }
            account.funding.append(row)
            self._say(("userFundings", account.address), {"user": account.address, "fundings": [row]})
            self._say(("userEvents", account.address), {"funding": row})

    def _fire_schedule(self, account: Account, now_ms: int) -> None:
        if account.schedule_cancel_ms is None or now_ms < account.schedule_cancel_ms:
            return
        account.schedule_cancel_ms = None
        day, fired = account.triggers
        account.triggers = (now_ms // _DAY_MS, fired + 1 if day == now_ms // _DAY_MS else 1)
        self.floor.cancel_all(account, "scheduledCancel", now_ms)

    # What is told

    def _say(self, key: Key, data: Any) -> None:
        self._said.append(Said(key, data))

    def _tell(self, now_ms: int) -> None:
        """Everything that has changed in this block."""
        for market in self.markets.values():
            if market.unsaid:
                self._say(("trades", market.coin), [trade_row(market, trade) for trade in market.unsaid])
                market.unsaid = []
            best = market.best()
            if best != market.said_best and not market.delisted:
                market.said_best = best
                self._say(("bbo", market.coin), self.bbo(market, now_ms))
        floor = self.floor
        for user, rows in floor.updates.items():
            self._say(("orderUpdates", user), rows)
        for user, fills in floor.fills.items():
            self._say(("userFills", user), {"user": user, "fills": fills})
            self._say(("userEvents", user), {"fills": fills})
        for user, gone in floor.self_cancels.items():
            self._say(("userEvents", user), {"nonUserCancel": gone})
        floor.updates, floor.fills, floor.self_cancels = {}, {}, {}

    @staticmethod
    def bbo(market: Market, now_ms: int) -> dict[str, Any]:
        bid, bid_lots, ask, ask_lots = market.best()
        sides = [(Side.BUY, bid, bid_lots, NO_BID), (Side.SELL, ask, ask_lots, NO_ASK)]
        shown = [None if ticks == none else level_row(market, side, ticks, lots) for side, ticks, lots, none in sides]
        return {"coin": market.coin, "time": now_ms, "bbo": shown}

    def request_cap(self, account: Account) -> int:
        return account.request_cap(self._settings.initial_requests)

    def upgraded(self, until_ms: int) -> None:
        """The network has begun again: only post-only orders are taken for a while."""
        self.floor.post_only_until_ms = until_ms

    # Actions

    def submit(self, request: wire.ExchangeRequest, answer: Answer) -> None:
        """An action: refused at once when nobody who may act has signed it, else it waits for the next block."""
        action = wire.normalised(request.action)
        try:
            if isinstance(action, wire.ApproveAgentAction):
                signer = signatures.approver(action, request.signature)
            else:
                signer = signatures.l1_signer(request, mainnet=self._settings.mainnet)
        except signatures.Unrecoverable:
            answer(_error("Unable to recover signer."))
            return
        found = self._acting(request, signer)
        if isinstance(found, str):
            answer(_error(found))
            return
        self._waiting.append(_Waiting(request, found, signer, answer))

    def _acting(self, request: wire.ExchangeRequest, signer: str) -> Account | str:
        """Whose account an action is for, or why nobody's."""
        account = self.accounts.get(signer)
        if account is None and not isinstance(request.action, wire.ApproveAgentAction):
            now_ms = self.block_ms
            for each in self.accounts.values():
                agent = each.agents.get(signer)
                if agent is not None and agent.valid_until_ms > now_ms:
                    account = each
                    break
        if account is None:
            return f"User or API Wallet {signer} does not exist."
        broke = account.usdc <= 0 and not account.spot_usdc
        if broke and not account.fills and account.master is None:
            return f"Must deposit before performing actions. User: {account.address}"
        if request.vaultAddress is None:
            return account
        vault = self.accounts.get(request.vaultAddress.lower())
        if vault is None or vault.master is not account:
            return f"Vault not registered: {request.vaultAddress.lower()}"
        return vault

    def _execute(self, waiting: _Waiting, now_ms: int) -> dict[str, Any]:
        request, account, action = waiting.request, waiting.account, waiting.request.action
        if isinstance(action, wire.ApproveAgentAction) and action.nonce != request.nonce:
            return _error("Invalid nonce: the action's nonce is not the request's")
        problem = self._nonces.setdefault(waiting.signer, Nonces()).problem(request.nonce, now_ms)
        if problem is not None:
            return _error(problem)
        initial = self._settings.initial_requests
        count, is_cancel = _requests_of(action), isinstance(action, wire.CancelAction | wire.CancelByCloidAction)
        if request.expiresAfter is not None and now_ms > request.expiresAfter:
            account.over_budget(_STALE_COST * count, initial, now_ms, cancel=False)
            return _error("Action already expired")
        if account.over_budget(count, initial, now_ms, cancel=is_cancel):
            used, cap = account.requests + count, account.request_cap(initial)
            traded = f"{account.volume / USDC:.2f}".rstrip("0").rstrip(".")
            return _error(
                f"Too many cumulative requests sent ({used} > {cap}) for cumulative volume traded ${traded}. "
                "Place taker orders to free up 1 request per USDC traded."
            )
        return self._done(account, action, now_ms)

    def _done(self, account: Account, action: wire.Action, now_ms: int) -> dict[str, Any]:
        floor = self.floor
        if isinstance(action, wire.PlaceAction):
            return self._place(account, action, now_ms)
        if isinstance(action, wire.CancelAction):
            return _statuses("cancel", [self._cancel(account, each.a, each.o, now_ms) for each in action.cancels])
        if isinstance(action, wire.CancelByCloidAction):
            rows = [self._cancel(account, each.asset, each.cloid, now_ms) for each in action.cancels]
            return _statuses("cancel", rows)
        if isinstance(action, wire.ModifyAction):
            status = floor.modify(account, action.oid, action.order, now_ms)
            failed = isinstance(status, dict) and "error" in status
            return _error(str(status["error"])) if isinstance(status, dict) and failed else _default()
        if isinstance(action, wire.BatchModifyAction):
            return self._batch_modify(account, action, now_ms)
        if isinstance(action, wire.ScheduleCancelAction):
            return self._schedule(account, action, now_ms)
        if isinstance(action, wire.UpdateLeverageAction):
            return self._update_leverage(account, action)
        if isinstance(action, wire.ReserveAction):
            account.usdc -= action.weight * 500_000_000
            account.reserved += action.weight
            return _default()
        if isinstance(action, wire.CreateSubAccountAction):
            return self._create_sub_account(account, action.name)
        if isinstance(action, wire.SubAccountTransferAction):
            return self._sub_account_transfer(account, action)
        if isinstance(action, wire.ApproveAgentAction):
            if account.address == action.agentAddress.lower():
                return _error("Cannot approve yourself as an agent")
            problem = account.approve(action.agentAddress.lower(), action.agentName or None, now_ms)
            return _default() if problem is None else _error(problem)
        return _default()  # a noop has burnt its nonce, and that is all

    def _place(self, account: Account, action: wire.PlaceAction, now_ms: int) -> dict[str, Any]:
        if isinstance(action.builder, wire.Builder):
            return _error("Builder fee has not been approved")
        try:
            self.floor.check_batch(action.orders)
        except RefusedBatch as refused:
            return _error(str(refused))
        if isinstance(action.grouping, wire.Priority) and not _prioritised(action.orders):
            return _error("Priority fees are for batches of IOC orders or of post-only orders that do not reduce")
        return _statuses("order", [self.floor.place(account, each, now_ms) for each in action.orders])

    def _cancel(self, account: Account, asset: int, oid: int | str, now_ms: int) -> str | dict[str, Any]:
        order = account.find(oid)
        if order is None or order.oid not in account.orders or order.market.number != asset:
            return {"error": f"{GONE} asset={asset}"}
        self.floor.cancel(account, order, "canceled", now_ms)
        return "success"

    def _batch_modify(self, account: Account, action: wire.BatchModifyAction, now_ms: int) -> dict[str, Any]:
        try:
            self.floor.check_batch([each.order for each in action.modifies])
        except RefusedBatch as refused:
            return _error(str(refused))
        rows = [self.floor.modify(account, each.oid, each.order, now_ms) for each in action.modifies]
        only = rows[0] if len(rows) == 1 else None
        if isinstance(only, dict) and "error" in only:
            return _error(
                str(only["error"]).partition(" asset=")[0] if only["error"] != CANNOT_MODIFY else CANNOT_MODIFY
            )
        return _statuses("order", rows)

    def _schedule(self, account: Account, action: wire.ScheduleCancelAction, now_ms: int) -> dict[str, Any]:
        required = self._settings.schedule_cancel_volume
        if account.volume < required * USDC:
            traded = wire.shortest(number(account.volume, MONEY_DECIMALS))
            return _error(
                "Cannot set scheduled cancel time until enough volume traded. "
                f"Required: ${required}. Traded: ${traded}."
            )
        if not isinstance(action.time, int):
            account.schedule_cancel_ms = None
            return _default()
        if action.time < now_ms + _SCHEDULE_LEAST_MS:
            return _error("Scheduled cancel time too early, must be at least 5 seconds from now.")
        if account.triggers[0] == now_ms // _DAY_MS and account.triggers[1] >= _SCHEDULES_A_DAY:
            return _error(f"Scheduled cancel has triggered {_SCHEDULES_A_DAY} times today already.")
        account.schedule_cancel_ms = action.time
        return _default()

    def _update_leverage(self, account: Account, action: wire.UpdateLeverageAction) -> dict[str, Any]:
        market = self.markets.get(action.asset)
        if market is None or not market.is_funded:
            return _error(f"Asset {action.asset} is not tradable")
        position = account.position(market)
        if not 1 <= action.leverage <= market.leverage_at(position.worth(market.mark_ticks)):
            return _error("Invalid leverage value")
        if position.lots and position.cross is not action.isCross:
            return _error("Cannot switch leverage type with open position.")
        position.leverage, position.cross = action.leverage, action.isCross
        return _default()

    def _create_sub_account(self, account: Account, name: str) -> dict[str, Any]:
        if account.master is not None:
            return _error("A sub-account cannot have sub-accounts")
        secret = signatures.seeded_key(self._oid, len(self.accounts) + 1000)
        address = signatures.address_of(secret)  # nobody has its key: it is traded by its master
        made = self.accounts[address] = Account(address, 0, 0, master=account, name=name)
        made.unified = account.unified
        account.sub_accounts.append(made)
        return {"status": "ok", "response": {"type": "createSubAccount", "data": address}}

    def _sub_account_transfer(self, account: Account, action: wire.SubAccountTransferAction) -> dict[str, Any]:
        sub = self.accounts.get(action.subAccountUser.lower())
        if sub is None or sub.master is not account:
            return _error(f"Vault not registered: {action.subAccountUser.lower()}")
        giver, taker = (account, sub) if action.isDeposit else (sub, account)
        amount = action.usd * 10**6
        if amount > giver.value(self.by_coin) - giver.margin_used(self.by_coin):
            return _error("Insufficient balance for the transfer")
        giver.usdc -= amount
        taker.usdc += amount
        return _default()


def _orders_of(action: wire.Action) -> Iterator[wire.Order]:
    if isinstance(action, wire.PlaceAction):
        yield from action.orders
    elif isinstance(action, wire.ModifyAction):
        yield action.order
    elif isinstance(action, wire.BatchModifyAction):
        yield from (each.order for each in action.modifies)


def _requests_of(action: wire.Action) -> int:
    """What an action costs of the address's budget: a request for each element."""
    if isinstance(action, wire.CancelAction | wire.CancelByCloidAction):
        return len(action.cancels)
    return max(1, sum(1 for _ in _orders_of(action)))


def _class(waiting: _Waiting) -> int:
    action = waiting.request.action
    if isinstance(action, wire.CancelAction | wire.CancelByCloidAction):
        return _CANCELS
    resting = all(isinstance(each.t.limit, wire.Tif) and each.t.limit.tif == "Alo" for each in _orders_of(action))
    return _POST_ONLY if resting else _TAKING


def _prioritised(orders: list[wire.Order]) -> bool:
    kinds = {each.t.limit.tif if isinstance(each.t.limit, wire.Tif) else "" for each in orders}
    return kinds == {"Ioc"} or (kinds == {"Alo"} and not any(each.r for each in orders))


def _error(text: str) -> dict[str, Any]:
    return {"status": "err", "response": text}


def _default() -> dict[str, Any]:
    return {"status": "ok", "response": {"type": "default"}}


def _statuses(kind: str, rows: list[Any]) -> dict[str, Any]:
    return {"status": "ok", "response": {"type": kind, "data": {"statuses": rows}}}


def level_row(market: Market, side: Side, ticks: int, lots: int) -> dict[str, Any]:
    count = sum(1 for _ in market.book.ids_at(side, ticks))
    return {"px": market.price(ticks), "sz": wire.shortest(market.size(lots)), "n": count}


def trade_row(market: Market, trade: Trade) -> dict[str, Any]:
    buyer, seller = (trade.taker, trade.maker) if trade.aggressor is Side.BUY else (trade.maker, trade.taker)
    return {
        "coin": market.coin,
        "side": "B" if trade.aggressor is Side.BUY else "A",
        "px": market.price(trade.ticks),
        "sz": wire.shortest(market.size(trade.lots)),
        "time": trade.time_ms,
        "hash": f"0x{trade.trade_id:064x}",
        "tid": trade.trade_id,
        "users": [buyer, seller],
    }
