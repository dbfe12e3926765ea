"""What the simulated chain checks before it takes a transaction, in the chain's order, with its codes and words.

Source: FACTS sections 6 to 9 (v4-chain app/ante.go, x/clob/ante, x/clob/keeper/orders.go, x/clob/types/errors.go).
"""

from connectors.simulators.dydx import wire
from connectors.simulators.dydx.accounts import FOK, IOC, NONCE_WINDOW_MS, POST_ONLY, Order, Owner
from connectors.simulators.dydx.market import Market
from connectors.simulators.dydx.state import State

BATCH_IDS_MAX = 100
BATCH_COST = 2
_SUBACCOUNT_MAX = 128_000


class Refused(Exception):
    """CheckTx says no."""

    def __init__(self, code: int, text: str, codespace: str = "clob") -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.codespace = codespace


class Checks:
    def __init__(self, state: State) -> None:
        self._state = state

    # The transaction

    def transaction(self, tx: wire.Tx) -> None:
        """Its form, its signature, and the rate limits. Raises Refused."""
        short_term = [message for message in tx.messages if is_short_term(message)]
        if short_term and len(tx.messages) > 1:
            text = "a transaction containing an off-chain message may not contain more than one message"
            raise Refused(18, f"{text}: invalid request", "sdk")
        for message in tx.messages:
            self._basics(message)
        owner = self._signer(tx)
        if short_term:
            until = getattr(short_term[0], "good_til_block", None) or 0
            if 0 < tx.timeout_height < until:
                text = f"timeout height {tx.timeout_height} is below GoodTilBlock {until}"
                raise Refused(18, f"{text}: invalid request", "sdk")
            cost = BATCH_COST if isinstance(short_term[0], wire.BatchCancel) else 1
            limits = ((5, self._state.settings.short_term_per_5_blocks),)
            self._spend(owner, "short", cost, limits, "MaxShortTermOrdersAndCancelsPerNBlocks")
            return
        problem = owner.use_sequence(tx.sequence, self._state.block_ns // 1_000_000, NONCE_WINDOW_MS)
        if problem is not None:
            raise Refused(32, problem, "sdk")
        places = sum(isinstance(message, wire.Place) for message in tx.messages)
        if places:
            self._spend(owner, "stateful", places, self._state.settings.stateful_limits, "MaxStatefulOrdersPerNBlocks")

    def _spend(self, owner: Owner, kind: str, count: int, limits: tuple[tuple[int, int], ...], name: str) -> None:
        exceeded = owner.spend(kind, count, self._state.next_height, limits)
        if exceeded is None:
            return
        blocks, rate = exceeded
        limit = dict(limits)[blocks]
        raise Refused(
            5001,
            f"Rate of {rate} exceeds configured block rate limit of num_blocks:{blocks} limit:{limit} for {name} and "
            f"{owner.address}: Block rate limit exceeded",
        )

    def _signer(self, tx: wire.Tx) -> Owner:
        """The owner of everything in it, if a key that may has signed. Raises Refused."""
        addresses = {_owner_of(message) for message in tx.messages}
        owner = self._state.owners.get(next(iter(addresses)))
        if len(addresses) != 1 or owner is None:
            raise Refused(9, f"account {next(iter(addresses))} not found: unknown address", "sdk")
        if tx.authenticators is None:
            if tx.public_key != owner.public_key:
                raise Refused(8, "pubKey does not match signer address: invalid pubkey", "sdk")
        else:
            self._permitted(tx, owner)
        if not tx.signed_for(self._state.settings.chain_id, owner.number):
            if tx.authenticators is not None:
                raise Refused(104, "signature verification failed: AllOf verification failed", "accountplus")
            raise Refused(
                4,
                f"signature verification failed; please verify account number ({owner.number}) and chain-id "
                f"({self._state.settings.chain_id}): unauthorized",
                "sdk",
            )
        return owner

    @staticmethod
    def _permitted(tx: wire.Tx, owner: Owner) -> None:
        assert tx.authenticators is not None
        if len(tx.authenticators) != len(tx.messages):
            raise Refused(18, "selected authenticators do not match messages: invalid request", "sdk")
        for number, message in zip(tx.authenticators, tx.messages, strict=True):
            permission = owner.authenticators.get(number)
            if permission is None:
                text = f"authenticator {number} not found for account {owner.address}: authenticator not found"
                raise Refused(1, text, "accountplus")
            pairs, subaccount = _pairs_of(message), _subaccount_of(message)
            wrong_pair = permission.pairs is not None and not pairs <= set(permission.pairs)
            wrong_subaccount = permission.subaccounts is not None and subaccount not in permission.subaccounts
            if permission.public_key != tx.public_key or wrong_pair or wrong_subaccount:
                raise Refused(104, "authentication failed: AllOf verification failed", "accountplus")

    # Messages, by themselves

    def _basics(self, message: wire.Message) -> None:
        if isinstance(message, wire.BatchCancel):
            self._batch_basics(message)
            return
        if message.id.number > _SUBACCOUNT_MAX:
            raise Refused(1, "subaccount id number cannot exceed 128000", "subaccounts")
        if isinstance(message, wire.Place):
            self._place_basics(message)
        elif message.id.short_term:
            if not message.good_til_block:
                raise Refused(5, "cancellation good til block cannot be 0: GoodTilBlock must be set")
        elif not message.good_til_time:
            raise Refused(3001, "cancellation goodTilBlockTime cannot be 0: invalid goodTilBlockTime")

    @staticmethod
    def _batch_basics(message: wire.BatchCancel) -> None:
        pairs = [pair for pair, _ in message.batches]
        ids = [len(client_ids) for _, client_ids in message.batches]
        doubled = any(len(set(client_ids)) != len(client_ids) for _, client_ids in message.batches)
        if not pairs or not all(ids) or len(set(pairs)) != len(pairs) or doubled or sum(ids) > BATCH_IDS_MAX:
            raise Refused(45, "Batch cancel has empty, duplicate or too many cancels: Invalid batch cancel message")
        if not message.good_til_block:
            raise Refused(5, "cancellation good til block cannot be 0: GoodTilBlock must be set")

    @staticmethod
    def _place_basics(message: wire.Place) -> None:
        if message.tif == FOK:
            raise Refused(48, "Fill-or-kill has been deprecated: This field has been deprecated")
        if message.id.flags not in (wire.SHORT_TERM, wire.CONDITIONAL, wire.LONG_TERM):
            raise Refused(12, f"order flags {message.id.flags} are not taken here: MsgPlaceOrder is invalid")
        if message.side not in (1, 2):
            raise Refused(12, f"invalid order side ({message.side}): MsgPlaceOrder is invalid")
        if message.reduce_only and message.tif != IOC:
            text = "reduce only orders must be short term IOC orders"
            raise Refused(9003, f"{text}: Reduce-only is currently disabled for non-IOC orders")
        if not message.quantums:
            raise Refused(4, "order size quantums cannot be 0: Order quantums cannot be zero")
        if not message.subticks:
            raise Refused(6, "order subticks cannot be 0: Order subticks cannot be zero")
        if message.id.short_term:
            if not message.good_til_block:
                raise Refused(5, "order goodTilBlock cannot be 0: GoodTilBlock must be set")
            if message.condition or message.trigger_subticks:
                raise Refused(6000, "a short-term order has no condition: invalid conditional order")
            return
        if not message.good_til_time:
            raise Refused(3001, "stateful order goodTilBlockTime cannot be 0: invalid goodTilBlockTime")
        if message.id.flags == wire.LONG_TERM and message.tif == IOC:
            raise Refused(3002, "Long term order cannot require immediate execution")
        if (message.id.flags == wire.CONDITIONAL) is not bool(message.condition):
            raise Refused(6001, "order flags and condition type do not fit: invalid conditional order")
        if message.condition and not message.trigger_subticks:
            raise Refused(6002, "trigger subticks cannot be 0: invalid conditional order")

    # Messages, against the chain

    def market(self, message: wire.Place) -> Market:
        """The market of an order that is on its grid. Raises Refused."""
        market = self._state.markets.get(message.id.pair_id)
        if market is None:
            raise Refused(8, f"Clob pair {message.id.pair_id} not found: ClobPairId is invalid")
        if message.subticks % market.subticks_per_tick:
            raise Refused(
                12,
                f"Order subticks {message.subticks} must be a multiple of the ClobPair's SubticksPerTick "
                f"{market.subticks_per_tick}: MsgPlaceOrder is invalid",
            )
        if message.quantums % market.step:
            raise Refused(
                12,
                f"Order Quantums {message.quantums} must be a multiple of the ClobPair's StepBaseQuantums "
                f"{market.step}: MsgPlaceOrder is invalid",
            )
        if market.status == "POST_ONLY" and message.tif != POST_ONLY:
            raise Refused(34, "only post-only orders are taken: Order conflicts with ClobPair status")
        if market.status not in ("ACTIVE", "POST_ONLY"):
            raise Refused(34, f"market is {market.status}: Order conflicts with ClobPair status")
        return market

    def _window(self, until: int) -> None:
        height, window = self._state.next_height, self._state.settings.short_block_window
        if until < height:
            raise Refused(
                10,
                f"GoodTilBlock {until} is less than the current blockHeight {height}: The next block height is greater "
                "than the GoodTilBlock of the message",
            )
        if until > height + window:
            raise Refused(
                11,
                f"The GoodTilBlock {until} exceeds the current blockHeight {height} plus ShortBlockWindow {window}: "
                "The GoodTilBlock of the message is further than ShortBlockWindow blocks into the future",
            )

    def short_term_place(self, message: wire.Place, order: Order, former: Order | None) -> None:
        """All that comes between the market's own rules and matching. Raises Refused."""
        state, until = self._state, message.good_til_block or 0
        self._window(until)
        canceled = state.cancels.get(message.id)
        if canceled is not None and canceled >= until:
            text = f"Order: (order text), Cancellation GoodTilBlock: {canceled}"
            raise Refused(7, f"{text}: Attempt to place an order that is already canceled")
        if former is not None:
            if former.resting or former.filled > former.committed:
                self._replacement(order, former)
            if order.tif == IOC and former.filled and former.tif == IOC:
                raise Refused(2004, "IOC order is already filled in part: IOC order already filled")
            if order.lots <= former.filled:
                text = "Order remaining amount is less than `MinOrderBaseQuantums`. Remaining amount: 0."
                raise Refused(24, f"{text} Order: (order text): Order is fully filled")
        if message.reduce_only:
            subaccount = state.subaccounts.get((message.id.owner, message.id.number))
            held = 0 if subaccount is None else subaccount.lots(order.market)
            if held * order.side >= 0:
                raise Refused(2001, "Reduce-only orders cannot increase the position size")

    @staticmethod
    def _replacement(order: Order, former: Order) -> None:
        words = "Replacing an existing order failed"
        if order.side is not former.side:
            raise Refused(20, f"New order cannot change the Side of the existing order: {words}")
        if order.tif != former.tif or order.reduce_only is not former.reduce_only:
            raise Refused(20, f"New order cannot change the TimeInForce or ReduceOnly of the existing order: {words}")
        until, before = order.good_til_block or 0, former.good_til_block or 0
        if until < before or (until == before and order.digest <= former.digest):
            raise Refused(20, f"New order GoodTilBlock must be greater than that of the existing order: {words}")

    def short_term_cancel(self, order_id: wire.OrderId, until: int) -> None:
        if order_id.pair_id not in self._state.markets:
            raise Refused(8, f"Clob pair {order_id.pair_id} not found: ClobPairId is invalid")
        self._window(until)
        before = self._state.cancels.get(order_id)
        if before is not None and before >= until:
            text = "A cancel already exists in the memclob for this order with a greater than or equal GoodTilBlock"
            raise Refused(9, text)


def is_short_term(message: wire.Message) -> bool:
    return isinstance(message, wire.BatchCancel) or message.id.short_term


def _owner_of(message: wire.Message) -> str:
    return message.owner if isinstance(message, wire.BatchCancel) else message.id.owner


def _subaccount_of(message: wire.Message) -> int:
    return message.number if isinstance(message, wire.BatchCancel) else message.id.number


def _pairs_of(message: wire.Message) -> set[int]:
    if isinstance(message, wire.BatchCancel):
        return {pair for pair, _ in message.batches}
    return {message.id.pair_id}
