"""What is known of a venue's own time and blocks: told by the venue, never read from our clock (EXECUTION 2)."""


class VenueClock:
    """Owned by the core, one per venue. `time_ns` and `height` never step back."""

    __slots__ = ("height", "lead_ns", "time_ns")

    def __init__(self) -> None:
        self.time_ns = 0
        """Latest venue time that was told; 0: none yet."""
        self.height: int | None = None
        """Latest block that was told."""
        self.lead_ns = 0
        """How far the venue's clock is ahead of ours at least: what it told is never later than when we heard it."""

    def tell(self, ts_venue_ns: int, ts_local_ns: int, height: int | None = None) -> None:
        """The venue named its time (0: it did not) or its block in something we received at `ts_local_ns`."""
        if ts_venue_ns > 0:
            lead_ns = ts_venue_ns - ts_local_ns
            self.lead_ns = lead_ns if self.time_ns == 0 else max(self.lead_ns, lead_ns)
            self.time_ns = max(self.time_ns, ts_venue_ns)
        if height is not None and (self.height is None or height > self.height):
            self.height = height

    def at(self, ts_local_ns: int) -> int:
        """The venue's time at an instant of ours, as far as it is known."""
        return ts_local_ns + self.lead_ns
