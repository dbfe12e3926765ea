"""Names of orders at the simulated venue: the client's text, the venue's number, and what else an order was sent with.

The market underneath counts orders by whole numbers of its own; the venue's `orderId` is that number plus a base beyond
32 bits. One line of JSON per order goes to a file, before anybody is told of the order, so that a venue that is started
again still knows the client's texts of its past fills.
"""

import os
from pathlib import Path

import msgspec

ORDER_ID_BASE = 8_000_000_000
_KEPT = 20_000


class Named(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One order. `status` is what ended it, where its size does not say so."""

    number: int
    client_id: str
    order_type: str = "LIMIT"
    time_in_force: str = "GTC"
    reduce_only: bool = False
    position_side: str = "BOTH"
    created_ms: int
    updated_ms: int = 0
    status: str = ""
    told_lots: int = 0
    """Filled so far, by what was said of it."""

    @property
    def order_id(self) -> int:
        return ORDER_ID_BASE + self.number


_decode = msgspec.json.Decoder(Named).decode


class OrderNames:
    def __init__(self, path: Path | None, first: int) -> None:
        """Numbers begin above `first` and all that the file names."""
        self._fd = -1
        self._by_number: dict[int, Named] = {}
        self._by_client: dict[str, Named] = {}
        self._next = first + 1
        if path is not None:
            if path.exists():
                for line in path.read_bytes().split(b"\n")[:-1]:
                    self._keep(_decode(line))
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def add(self, client_id: str, **keys: object) -> Named:
        named = msgspec.convert({"number": self._next, "client_id": client_id, **keys}, Named)
        self._keep(named)
        if self._fd >= 0:
            os.write(self._fd, msgspec.json.encode(named) + b"\n")
        return named

    def of_number(self, number: int) -> Named | None:
        return self._by_number.get(number)

    def of_client(self, client_id: str) -> Named | None:
        """The newest order of that name: a name may be used again once its order is closed."""
        return self._by_client.get(client_id)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _keep(self, named: Named) -> None:
        self._by_number[named.number] = named
        self._by_client[named.client_id] = named
        self._next = max(self._next, named.number + 1)
        if len(self._by_number) > _KEPT:
            oldest = self._by_number.pop(next(iter(self._by_number)))
            if self._by_client.get(oldest.client_id) is oldest:
                del self._by_client[oldest.client_id]
