"""What a person may set at the neutral venue."""

from typing import Annotated

import msgspec
from msgspec import Meta

from connectors.simulators.faults import Chance
from mm_daemon.simulation.symbols import SymbolSettings


class NeutralVenueSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The neutral venue's own keys: a YAML file for `mm-daemon simulate neutral --settings FILE`."""

    symbols: Annotated[
        dict[str, SymbolSettings], Meta(description="keys of single symbols; the others take the defaults")
    ] = {}
    publish_interval_ms: Annotated[
        float, Meta(ge=1, le=60000, description="shortest time between two book updates of a symbol, ms")
    ] = 50.0
    receive_window_ms: Annotated[
        int, Meta(ge=100, le=60000, description="age at which a signed request is refused, ms")
    ] = 5000
    orders_per_10s: Annotated[int, Meta(ge=1, description="places and amends in 10 s")] = 300
    requests_per_minute: Annotated[int, Meta(ge=1, description="weight of all requests in a minute")] = 2400
    refusals_before_ban: Annotated[
        int, Meta(ge=1, description="requests over a limit, one after the other, that lead to a ban")
    ] = 20
    ban_ms: Annotated[int, Meta(ge=1, description="how long a ban lasts, ms")] = 60_000
    chances: Annotated[tuple[Chance, ...], Meta(description="faults that may strike at any time, by the seed")] = ()
