"""Metric families as the text that Prometheus reads, encoded by its client library a few samples at a time."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from mm_daemon.observability.slices import in_slices

_SAMPLES_A_STEP = 20


class Taken:
    """What the metrics were; good for one text."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    async def text(self, accept: str = "") -> tuple[bytes, str]:
        """In the form asked for, with its content type; made in slices."""
        encode, content_type = choose_encoder(accept)
        return b"".join([*await in_slices(_parts(self._families, encode)), _end(encode)]), content_type

    def text_at_once(self, accept: str = "") -> tuple[bytes, str]:
        encode, content_type = choose_encoder(accept)
        return b"".join([*_parts(self._families, encode), _end(encode)]), content_type


class _One(Collector):
    """A collector of one family, which is what the library encodes."""

    def __init__(self, *families: Metric) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def _parts(families: Iterable[Metric], encode: Callable[[Collector], bytes]) -> Iterator[bytes]:
    """The text of some samples after the other; the lines about a family stand before its first.

    What was written is let go of: to free all of it at the end would be one long step.
    """
    end = _end(encode)
    for family in families:
        left = family.samples[::-1]
        first = True
        while left:
            family.samples = [left.pop() for _ in range(min(_SAMPLES_A_STEP, len(left)))]
            part = encode(_One(family)).removesuffix(end)
            while not first and part.startswith(b"#"):
                part = part.partition(b"\n")[2]
            first = False
            yield part


def _end(encode: Callable[[Collector], bytes]) -> bytes:
    """What stands behind everything: a mark, in OpenMetrics."""
    return encode(_One())
