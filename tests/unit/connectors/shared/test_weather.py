"""What is done again in its own time does not fail with the network, and with everything else it does."""

import pytest

from connectors.shared.weather import attempt
from mm_daemon.domain.errors import CredentialsRefused, VenueUnreachable


async def test_a_venue_that_cannot_be_reached_is_weather_and_nothing_else_is() -> None:
    asked: list[Exception] = []

    async def step() -> None:
        raise asked[-1]

    asked.append(VenueUnreachable("no route"))
    await attempt(step)
    asked.append(CredentialsRefused("the venue refused our key"))
    with pytest.raises(CredentialsRefused):
        await attempt(step)
