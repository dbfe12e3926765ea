"""The panic verb: cancel everything at every venue with no core, no journal and no lock, while a daemon may hang.

The one way to a venue that does not pass the risk gate, and it can only cancel. Called by `mm-daemon cancel-all`.
"""

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

from mm_daemon import registry
from mm_daemon.config.schema import Config
from mm_daemon.domain.instrument import Venue
from mm_daemon.ports.connector import Connector
from mm_daemon.runtime.clock import Clock
from mm_daemon.runtime.lifecycle import confirmed_empty, load_instruments
from mm_daemon.runtime.venues import build_connectors

EXIT_CONFIRMED = 0
EXIT_NOT_CONFIRMED = 81
_CANCEL_S = 5.0
_TRIES = 10
_PAUSE_S = 0.5
_CLOSE_S = 2.0


def cancel_everywhere(config: Config, say: Callable[[str], None]) -> int:
    """Cancel at each venue and look whether it is done; the exit code. Says what came of each."""
    if config.mode != "live":
        say("mode is paper: its orders end with its process, and none was ever at a venue")
        return EXIT_CONFIRMED
    return asyncio.run(_cancel_everywhere(config, say))


async def _cancel_everywhere(config: Config, say: Callable[[str], None]) -> int:
    with tempfile.TemporaryDirectory() as nowhere:  # a daemon that hangs may hold the real folder
        connectors = build_connectors(
            config,
            paper=False,
            emit=lambda event: None,
            clock=Clock(),
            state_dir=Path(nowhere),
            connector_named=registry.connector,
            report=lambda venue, _kind, text: say(f"{venue}: {text}"),
        )
        done = await asyncio.gather(*(_cancel_at(venue, connector, say) for venue, connector in connectors.items()))
    return EXIT_CONFIRMED if all(done) else EXIT_NOT_CONFIRMED


async def _cancel_at(venue: Venue, connector: Connector, say: Callable[[str], None]) -> bool:
    """Whether the venue shows no open order any more."""
    try:
        await load_instruments({venue: connector})
        for _ in range(_TRIES):
            async with asyncio.timeout(_CANCEL_S):
                await connector.cancel_all()
            if await confirmed_empty(venue, connector):
                say(f"{venue}: no open orders")
                return True
            await asyncio.sleep(_PAUSE_S)
        say(f"{venue}: orders are still open after {_TRIES} cancels: look at the venue")
    except Exception as error:  # the last resort: say it, and do what can be done elsewhere
        say(f"{venue}: FAILED, orders may be open: {type(error).__name__}: {error}")
    finally:
        await _close(venue, connector, say)
    return False


async def _close(venue: Venue, connector: Connector, say: Callable[[str], None]) -> None:
    try:
        async with asyncio.timeout(_CLOSE_S):
            await connector.close()
    except Exception as error:  # what had to be done is done
        say(f"{venue}: closing failed: {type(error).__name__}: {error}")
