"""The simulated dYdX chain, seen from one node: what CheckTx lets in, the node's book, blocks, and what all that looks
like on the indexer's feed.

A match is optimistic: it counts once a block with it is committed, which an ordered fault may prevent (another proposer
had another book). News of the node's book are fast and not committed; those of blocks are slow and final. Matching is
`mm_daemon.simulation`'s; one seed is one history of the others.
"""

import msgspec

from connectors.simulators.dydx import wire
from connectors.simulators.dydx.accounts import POST_ONLY, Order, Permission
from connectors.simulators.dydx.booking import Booking
from connectors.simulators.dydx.checks import Checks, Refused
from connectors.simulators.dydx.market import Market
from connectors.simulators.dydx.matching import Matching
from connectors.simulators.dydx.news import HEIGHT, MARKETS, News, Said
from connectors.simulators.dydx.settings import DydxVenueSettings
from connectors.simulators.dydx.state import State, Trouble
from connectors.simulators.dydx.stateful import Stateful

_NS_PER_MS = 1_000_000
_CACHE = 10_000


class Answer(msgspec.Struct, frozen=True):
    """What CheckTx says. `cached`: the same bytes were taken before."""

    code: int
    codespace: str
    log: str
    hash: str
    cached: bool = False


class Chain(State):
    """Every method is given the venue's time in nanoseconds, which never goes back."""

    def __init__(self, symbols: tuple[str, ...], settings: DydxVenueSettings, seed: int, opened_ns: int) -> None:
        super().__init__(symbols, settings, seed, opened_ns)
        self._block_every_ns = settings.block_ms * _NS_PER_MS
        self._next_block_ns = opened_ns + self._block_every_ns
        self.news = News(self)
        self._matching = Matching(self, self.news)
        self._checks = Checks(self)
        self._stateful = Stateful(self, self.news, self._matching, self._checks)
        self._booking = Booking(self, self.news)
        self._seen: dict[str, None] = {}
        for market in self.markets.values():
            market.flow.open(opened_ns)
            market.changes()

    # Time

    def next_deadline_ns(self) -> int:
        return min(self._next_block_ns, *(market.flow.next_ns for market in self.markets.values()))

    def advance(self, now_ns: int) -> list[Said]:
        """Live up to now; what is to be told since this was last asked."""
        while self._next_block_ns <= now_ns:
            self._live(self._next_block_ns)
            self._commit(self._next_block_ns)
            self._next_block_ns += self._block_every_ns
        self._live(now_ns)
        self.news.books()
        return self.news.take()

    def halt(self, until_ns: int) -> None:
        """Make no block until then; what was missed is not made up for."""
        self._next_block_ns = max(self._next_block_ns, until_ns)

    def _live(self, now_ns: int) -> None:
        for market in self.markets.values():
            for side, matches in market.live(now_ns):
                for match in matches:
                    self._matching.met(market, side, match, None)

    # Transactions

    def broadcast(self, raw: bytes, now_ns: int) -> Answer:
        """CheckTx of one transaction, at this node."""
        digest = wire.tx_hash(raw)
        if digest in self._seen:
            return Answer(19, "sdk", "", digest, cached=True)
        try:
            tx = wire.decode(raw)
            self._checks.transaction(tx)
            for message in tx.messages:
                self._execute(message, tx)
        except wire.Unreadable as problem:
            return Answer(2, "sdk", f"{problem}: tx parse error", digest)
        except Refused as refused:
            return Answer(refused.code, refused.codespace, refused.text, digest)
        self._seen[digest] = None
        if len(self._seen) > _CACHE:
            del self._seen[next(iter(self._seen))]
        return Answer(0, "", "[]", digest)

    def _execute(self, message: wire.Message, tx: wire.Tx) -> None:
        if isinstance(message, wire.Place):
            if message.id.short_term:
                self._place(message, tx.public_key)
            else:
                self._stateful.place(message, tx)
        elif isinstance(message, wire.BatchCancel):
            for pair_id, client_ids in message.batches:
                for client_id in client_ids:
                    order_id = wire.OrderId(message.owner, message.number, client_id, wire.SHORT_TERM, pair_id)
                    self._try_cancel(order_id, message.good_til_block)
        elif message.id.short_term:
            self._checks.short_term_cancel(message.id, message.good_til_block or 0)
            self._cancel(message.id, message.good_til_block or 0)
        else:
            self._stateful.cancel(message, tx)

    def _try_cancel(self, order_id: wire.OrderId, until: int) -> None:
        """One of a batch: what cannot be cancelled is passed over, and nobody is told."""
        try:
            self._checks.short_term_cancel(order_id, until)
        except Refused:
            return
        self._cancel(order_id, until)

    def _place(self, message: wire.Place, key: bytes) -> None:
        """A short-term order, in the order of the chain's checks. Raises Refused."""
        self._checks.market(message)
        order = self.new_order(message, key)
        former = self.orders.get(order.id)
        self._checks.short_term_place(message, order, former)
        if former is not None:
            order.filled, order.committed = former.filled, former.committed
            order.in_database = former.in_database
            self._matching.replace(former, order)
        if order.tif == POST_ONLY and self._matching.would_match(order, former):
            raise Refused(2003, "Post-only order would cross one or more maker orders")
        ignored = False
        if former is not None and former.resting:
            ignored = order.good_til_block == former.good_til_block
            self._matching.lift(former)
            if not ignored:
                former.status, former.removal = "BEST_EFFORT_CANCELED", "REPLACED"
                self.news.fast(former)
        order.told = not ignored and not self.trouble(Trouble.UNTOLD)
        self.orders[order.id] = order
        self.news.fast(order)
        if order.tif == POST_ONLY and self.trouble(Trouble.LATE_POST_ONLY):
            self._matching.drop(order, "POST_ONLY_WOULD_CROSS_MAKER_ORDER")
        elif self.trouble(Trouble.UNDERCOLLATERALIZED):
            self._matching.drop(order, "UNDERCOLLATERALIZED")
        else:
            self._matching.match(order)

    def _cancel(self, order_id: wire.OrderId, until: int) -> None:
        self.cancels[order_id] = until
        order = self.orders.get(order_id)
        if order is None or not (order.resting or order.status == "BEST_EFFORT_OPENED"):
            self.news.unknown_cancel(order_id)
            return
        stays = (order.good_til_block or 0) > until  # reported, and nothing is done
        if order.resting and not stays:
            self._matching.lift(order)
        shown = order.status, order.removal
        order.status, order.removal = "BEST_EFFORT_CANCELED", "USER_CANCELED"
        self.news.fast(order)
        if stays:
            order.status, order.removal = shown

    # Blocks

    def _commit(self, at_ns: int) -> None:
        self.height += 1
        self.block_ns = at_ns
        pending = self._matching.take()
        if pending and self.trouble(Trouble.DROP_MATCHES):
            self._matching.forget(pending)
            pending = []
        self._booking.trades(pending)
        self._stateful.include()
        self._expire()
        self._stateful.expire()
        self._stateful.trigger()
        self._booking.funding()
        prices = {}
        for market in self.markets.values():
            if market.look():
                prices[market.ticker] = {
                    "oraclePrice": market.price(market.oracle_ticks),
                    "effectiveAt": self.time,
                    "effectiveAtHeight": str(self.height),
                    "marketId": market.pair_id,
                }
        if prices:
            self.news.say(MARKETS, "", {"oraclePrices": prices})
        self.news.say(HEIGHT, HEIGHT, {"blockHeight": str(self.height), "time": self.time})

    def _expire(self) -> None:
        """Short-term orders end with their last block; it is told one block later, when no block can hold them any
        more."""
        for order in tuple(self.orders.values()):
            until = order.good_til_block
            if until is None:
                continue
            if until <= self.height and order.resting:
                self._matching.lift(order)
            if until < self.height and order.status in ("BEST_EFFORT_OPENED", "OPEN"):
                order.status, order.removal = "CANCELED", "EXPIRED"
                self.news.fast(order)
            if until + self.settings.short_block_window < self.height:
                del self.orders[order.id]
        self.cancels = {each: until for each, until in self.cancels.items() if until > self.height}

    # Control

    def hit(self, order: Order, lots: int, *, cancelled: bool = False) -> int:
        """See `Matching.hit`."""
        return self._matching.hit(order, lots, cancelled=cancelled)

    def set_status(self, market: Market, status: str) -> None:
        """Governance changes a market. Resting orders stay."""
        market.status = status
        self.news.say(MARKETS, "", {"trading": {market.ticker: {"status": status}}})

    def permit(self, owner: str, permission: Permission) -> int:
        """Register a permissioned key; the authenticator's id."""
        known = self.owners[owner].authenticators
        number = len(known) + 1
        known[number] = permission
        return number

    def revoke(self, owner: str, number: int) -> None:
        """Take a permissioned key away: its resting orders are dropped, shown as expired."""
        key = self.owners[owner].authenticators.pop(number).public_key
        for order in tuple(self.orders.values()):
            if order.resting and order.id.owner == owner and order.signed_by == key:
                self._matching.lift(order)
                self._matching.drop(order, "EXPIRED")
