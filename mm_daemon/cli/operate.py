"""Verbs about configurations and running: init, check, run, connectors."""

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mm_daemon.cli.options import DEFAULT_CONFIG, ConfigPath, Json, read_config, seconds


def init(path: Path = DEFAULT_CONFIG, /) -> int:
    """Write a first configuration: paper trading on the embedded market, every key explained.

    Parameters
    ----------
    path:
        File to write. An existing one is never overwritten.
    """
    from mm_daemon import registry
    from mm_daemon.config.template import template
    from mm_daemon.domain.errors import UsageError

    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template(registry.settings_of))
    except FileExistsError:
        raise UsageError(f"{path} exists already and is not overwritten; name another file") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    print(f"wrote {path}; look at it, then: mm-daemon run --config {path}")
    return 0


def check(*, config: ConfigPath = DEFAULT_CONFIG, json: Json = False) -> int:
    """Say everything that is wrong with a configuration. Starts nothing and needs no network.

    Parameters
    ----------
    config:
        Configuration file.
    json:
        Answer as one JSON object.
    """
    from mm_daemon.cli.checking import check_config

    return check_config(config, as_json=json)


def run(
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    paper: Annotated[bool, Parameter(negative=())] = False,
    duration: str | None = None,
    no_watch: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Quote until stopped (Ctrl-C), then cancel every order and have it confirmed.

    Parameters
    ----------
    config:
        Configuration file. Real orders need `mode: live` in it.
    paper:
        Never let an order leave this process, whatever the configuration says.
    duration:
        Stop after this long: 60s, 2m, 1h30m.
    no_watch:
        On a terminal, write the log instead of showing the screen of `watch`.
    """
    duration_s = seconds(duration)
    loaded = read_config(config)
    from mm_daemon.runtime.app import run as run_daemon

    screen = not no_watch and loaded.control and loaded.log.format != "json" and _at_a_terminal()
    return run_daemon(loaded, paper=paper, duration_s=duration_s, screen=screen)


def _at_a_terminal() -> bool:
    """Whether somebody sits before a terminal that can show a screen."""
    return os.environ.get("TERM", "dumb") != "dumb" and all(s.isatty() for s in (sys.stdin, sys.stdout, sys.stderr))


def connectors(*, json: Json = False) -> int:
    """List the connectors and wire translators that can be used.

    Parameters
    ----------
    json:
        Answer as one JSON array.
    """
    import msgspec

    from mm_daemon import registry

    plugins = registry.plugins()
    if json:
        print(msgspec.json.encode(plugins).decode())
        return 0
    width = max((len(plugin.name) for plugin in plugins), default=0)
    for plugin in plugins:
        print(f"{plugin.kind:<11} {plugin.name:<{width}}  {plugin.target}  ({plugin.package})")
    return 0
