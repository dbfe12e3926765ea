"""What happened last, for a person who looks for the cause of a breach. Words are made only when somebody asks."""

from collections import deque

from mm_daemon.dst.scenario import START_NS

_KEPT = 80


class Trace:
    """The last things that happened: (step, instant, what, detail)."""

    def __init__(self) -> None:
        self._entries: deque[tuple[int, int, str, object]] = deque(maxlen=_KEPT)

    def note(self, step: int, now_ns: int, what: str, detail: object = None) -> None:
        self._entries.append((step, now_ns, what, detail))

    def lines(self) -> tuple[str, ...]:
        """For people: step, virtual seconds since the beginning, what happened."""
        return tuple(_line(*entry) for entry in self._entries)


def _line(step: int, now_ns: int, what: str, detail: object) -> str:
    text = "" if detail is None else f" {_words(detail)}"
    return f"{step:6} {(now_ns - START_NS) / 1e9:11.6f} {what}{text}"


def _words(detail: object) -> str:
    if isinstance(detail, tuple):
        turn, events = detail
        said = [
            f"{type(event).__name__}{tuple(getattr(event, name) for name in event.__struct_fields__)}"
            for event in events
        ]
        parts = [
            *said,
            *(f"decided {each.instrument} {each.compact()}" for each in turn.decisions),
            *(f"refused {each.code} {each.intent!r}" for each in turn.refusals),
            *(f"dropped {each.code} {each.command!r}" for each in turn.dropped),
            *(f"reconciled {each.compact()}" for each in turn.reconciled),
            *(f"released {each.command!r}" for each in turn.released),
        ]
        return "; ".join(parts)
    return repr(detail) if not isinstance(detail, str) else detail
