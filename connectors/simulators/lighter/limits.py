"""Limits of the simulated Lighter: transactions and reads in a minute, and the volume quota."""

from collections import deque

from connectors.simulators.lighter import codes
from connectors.simulators.lighter.codes import Refused
from connectors.simulators.lighter.settings import LighterVenueSettings, Tier

_MINUTE_MS = 60_000
_FREE_EVERY_MS = 15_000
_QUOTA_MAX = 5_000_000
_WEIGHTS = {
    "sendTx": 6,
    "sendTxBatch": 6,
    "nextNonce": 6,
    "accountInactiveOrders": 100,
    "apikeys": 150,
    "trades": 600,
    "recentTrades": 600,
    "changeAccountTier": 3000,
}
_OTHER_WEIGHT = 300
_QUOTA_COSTS = {14: 1, 16: 1, 17: 1}


class Minute:
    """So many units in any minute."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._spent: deque[tuple[int, int]] = deque()
        self._sum = 0

    def take(self, units: int, now_ms: int) -> bool:
        while self._spent and self._spent[0][0] <= now_ms - _MINUTE_MS:
            self._sum -= self._spent.popleft()[1]
        if self._sum + units > self.capacity:
            return False
        self._spent.append((now_ms, units))
        self._sum += units
        return True


class Limits:
    """Of the one account."""

    def __init__(self, settings: LighterVenueSettings) -> None:
        facts = settings.facts
        self._transactions = Minute(facts.transactions_per_minute)
        self._reads = Minute(facts.weight_per_minute)
        self._requests = Minute(facts.transactions_per_minute) if settings.tier is Tier.STANDARD else None
        self._metered = settings.tier is Tier.PREMIUM
        self._usd_per_quota = settings.usd_per_quota
        self._traded = 0.0
        self._free_from_ms = 0
        self._refuse_until_ms = 0
        self.quota = settings.quota

    def refuse_for(self, ms: int, now_ms: int) -> None:
        """Refuse everything for a while."""
        self._refuse_until_ms = max(self._refuse_until_ms, now_ms + ms)

    def read(self, name: str, now_ms: int) -> None:
        """Count a read. Raises Refused."""
        self._open(now_ms)
        counted = self._requests is None or self._requests.take(1, now_ms)
        if not counted or not self._reads.take(_WEIGHTS.get(name, _OTHER_WEIGHT), now_ms):
            raise _limited()

    def send(self, types: list[int], now_ms: int) -> str | None:
        """Count transactions; what the answer says of the quota, None: nothing. Raises Refused."""
        self._open(now_ms)
        cost = sum(_QUOTA_COSTS.get(each, 0) for each in types) if self._metered else 0
        free = len(types) == 1 and now_ms >= self._free_from_ms
        if cost > self.quota and not free:
            raise Refused(codes.RATE_LIMITED, "Too Many Requests! (no volume quota left)", 429)
        if not self._transactions.take(len(types), now_ms):
            raise _limited()
        if not self._metered:
            return None
        if free and cost:
            self._free_from_ms = now_ms + _FREE_EVERY_MS
        if free or not cost:
            return '{"ratelimit": "didn\'t use volume quota"}'
        self.quota -= cost
        return f'{{"ratelimit": "{self.quota} volume quota remaining"}}'

    def traded(self, usd: float) -> None:
        """Volume makes quota."""
        self._traded += usd
        whole = int(self._traded / self._usd_per_quota)
        self._traded -= whole * self._usd_per_quota
        self.quota = min(self.quota + whole, _QUOTA_MAX)

    def _open(self, now_ms: int) -> None:
        if now_ms < self._refuse_until_ms:
            raise _limited()


def _limited() -> Refused:
    return Refused(codes.RATE_LIMITED, "Too Many Requests!", 429)
