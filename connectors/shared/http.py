"""One request to a venue over HTTP, and what is known of it when no answer comes. Nothing here repeats a request."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp

from mm_daemon.domain.errors import VenueUnreachable


class OutcomeUnknown(VenueUnreachable):
    """No answer, or none that can be trusted: the request may have been carried out, or may be yet."""


class NeverLeft(VenueUnreachable):
    """There was no connection: the venue has not seen the request."""


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


async def ask(session: aiohttp.ClientSession, method: str, url: str, *, most: int, what: str, **sent: Any) -> Answer:
    """Whatever is answered, in at most `most` bytes; `what` names the request where there is none. A redirection is no
    answer: what we sign goes to the address that was configured, and to no other.

    Raises OutcomeUnknown or NeverLeft.
    """
    try:
        async with session.request(method, url, allow_redirects=False, **sent) as reply:
            body = await reply.content.read(most + 1)
            while len(body) <= most and (more := await reply.content.read(most)):
                body += more
    except aiohttp.ClientConnectorError as error:
        raise NeverLeft(f"cannot connect: {error}") from error
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise OutcomeUnknown(f"{what}: {type(error).__name__} {error}") from error
    if reply.status // 100 == 3:
        elsewhere = reply.headers.get("Location", "another address")
        raise OutcomeUnknown(f"{what} is redirected to {elsewhere}: look at the url that is configured")
    if len(body) > most:
        raise OutcomeUnknown(f"the answer to {what} is larger than {most} bytes")
    return Answer(reply.status, reply.headers, body)
