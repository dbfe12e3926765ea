"""The `simulate` verb: a venue behind real sockets on this machine, until Ctrl-C."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm_daemon.domain.errors import UsageError

if TYPE_CHECKING:
    from mm_daemon.ports.simulator import VenueSimulator


def simulate(
    venue: str,
    /,
    *,
    host: str = "127.0.0.1",
    port: int = 9700,
    seed: int = 1,
    symbols: str = "BTC-USDT,ETH-USDT",
    state_dir: Path | None = None,
    settings: Path | None = None,
) -> int:
    """Serve a simulated venue over its own wire protocol, for a daemon to trade on, until Ctrl-C.

    Its key and secret are those of the environment, VENUE_API_KEY and VENUE_API_SECRET with the venue's name in
    capitals, or else what the simulator's page says.

    Parameters
    ----------
    venue:
        The simulator; `mm-daemon connectors` lists them.
    host:
        Address to listen at. Any but loopback lets the network trade here.
    port:
        Port to listen at; 0 = any that is free.
    seed:
        Seed of the market; one seed is one history.
    symbols:
        What is traded, separated by commas.
    state_dir:
        Folder where the account outlives the simulator. Without one every start is the first.
    settings:
        YAML file with the simulator's own keys.
    """
    import asyncio

    from mm_daemon import registry
    from mm_daemon.config.load import load_settings
    from mm_daemon.ports.simulator import SimulatorContext
    from mm_daemon.runtime.clock import Clock

    made = registry.simulator(venue)
    names = tuple(name.strip() for name in symbols.split(",") if name.strip())
    if not names:
        raise UsageError("--symbols: name at least one, such as BTC-USDT")
    prefix = venue.upper().replace("-", "_")
    secrets = {name: os.environ.get(f"{prefix}_{name.upper()}") for name in ("api_key", "api_secret")}
    context = SimulatorContext(
        host=host,
        port=port,
        seed=seed,
        symbols=names,
        now_ns=Clock().now_ns,
        state_dir=state_dir,
        secrets={name: value for name, value in secrets.items() if value is not None},
    )
    build: Any = made
    own = made.Settings() if settings is None else load_settings(settings, made.Settings, environ=os.environ)
    simulator: VenueSimulator = build(context, own)
    return asyncio.run(_serve(venue, simulator))


async def _serve(venue: str, simulator: "VenueSimulator") -> int:
    """Until a signal asks to stop."""
    import asyncio
    import signal

    loop = asyncio.get_running_loop()
    serving = asyncio.current_task()
    assert serving is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, serving.cancel)
    try:
        await simulator.run(lambda address: print(_announced(venue, simulator, address), flush=True))
    except asyncio.CancelledError:
        return 0
    except OSError as error:
        print(f"{venue} cannot listen: {error.strerror or error}", file=sys.stderr)
        return 69
    return 0


def _announced(venue: str, simulator: "VenueSimulator", address: str) -> str:
    import json

    from mm_daemon.ports.simulator import DescribesItself

    if isinstance(simulator, DescribesItself):
        return json.dumps(simulator.described(address))
    return f"{venue} at http://{address}"
