"""Work that is done again in its own time: a venue that cannot be reached just now is weather, not a failure."""

from collections.abc import Awaitable, Callable

from mm_daemon.domain.errors import VenueUnreachable


async def attempt(step: Callable[[], Awaitable[None]]) -> None:
    """One try, and nothing said when the venue cannot be reached. Raises whatever else the step raises."""
    try:
        await step()
    except VenueUnreachable:
        return  # weather: it is tried again in its own time
