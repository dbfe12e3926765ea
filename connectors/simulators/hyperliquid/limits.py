"""What one address of the network may ask of the simulated Hyperliquid: weights and messages in a minute. No socket."""

from connectors.simulators.hyperliquid.settings import HyperliquidVenueSettings
from connectors.simulators.window import Window

_MINUTE_MS = 60_000


class Limits:
    """Everybody comes from one address here."""

    def __init__(self, settings: HyperliquidVenueSettings) -> None:
        self._weight = Window(settings.weight_per_minute, _MINUTE_MS)
        self._messages = Window(settings.messages_per_minute, _MINUTE_MS)
        self._connections = Window(settings.new_connections_per_minute, _MINUTE_MS)
        self._refused_until_ms = 0

    def refuse_for(self, now_ms: int, ms: int) -> None:
        """Nothing is taken for a while: a fault."""
        self._refused_until_ms = max(self._refused_until_ms, now_ms + ms)

    def may_read(self, weight: int, now_ms: int) -> bool:
        return now_ms >= self._refused_until_ms and self._weight.spend(weight, now_ms)

    def may_say(self, now_ms: int) -> bool:
        """One more message over a socket."""
        return now_ms >= self._refused_until_ms and self._messages.spend(1, now_ms)

    def may_connect(self, now_ms: int) -> bool:
        return now_ms >= self._refused_until_ms and self._connections.spend(1, now_ms)
