"""A limit as venues count it: so many units in each fixed window of time."""


class Window:
    __slots__ = ("_window", "capacity", "period_ms", "used")

    def __init__(self, capacity: int, period_ms: int) -> None:
        self.capacity = capacity
        self.period_ms = period_ms
        self._window = -1
        self.used = 0

    def turn(self, now_ms: int) -> None:
        """Another window begins with nothing used."""
        window = now_ms // self.period_ms
        if window != self._window:
            self._window, self.used = window, 0

    def spend(self, count: int, now_ms: int) -> bool:
        """Whether there is room for it, and then it is used."""
        self.turn(now_ms)
        if self.used + count > self.capacity:
            return False
        self.used += count
        return True

    def left_ms(self, now_ms: int) -> int:
        """Until the next one."""
        return (self._window + 1) * self.period_ms - now_ms
