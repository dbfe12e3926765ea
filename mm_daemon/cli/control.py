"""Verbs that talk to a running daemon: status, watch, pause, resume, kill, clear-kill."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mm_daemon.cli.options import DEFAULT_CONFIG, ConfigPath, Json

if TYPE_CHECKING:
    from mm_daemon.observability.status import Status
    from mm_daemon.runtime.control import ControlClient, Verb

StatePath = Annotated[Path | None, Parameter(name="--state-dir")]
Symbol = Annotated[str | None, Parameter(name="SYMBOL")]


def status(*, config: ConfigPath = DEFAULT_CONFIG, state_dir: StatePath = None, json: Json = False) -> int:
    """Say what a running daemon does: quotes, position, P&L, reasons, links.

    Parameters
    ----------
    config:
        Configuration the daemon was started with; only its `state_dir` is read.
    state_dir:
        Folder of the daemon, instead of looking into a configuration.
    json:
        Answer as one JSON object.
    """
    import msgspec

    from mm_daemon.runtime.control import ControlClient

    with ControlClient(_folder(config, state_dir)) as client:
        now = _status_of(client)
    if json:
        print(msgspec.json.encode(now).decode())
        return 0
    from rich.console import Console

    from mm_daemon.observability.watch import whole

    console = Console(highlight=False, soft_wrap=True)
    console.print(whole(now, console.width))
    return 0


def watch(
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    state_dir: StatePath = None,
    of_run: Annotated[bool, Parameter(negative=(), show=False)] = False,
) -> int:
    """Watch a running daemon on the terminal until Ctrl-C. Watching changes nothing.

    Parameters
    ----------
    config:
        Configuration the daemon was started with; only its `state_dir` is read.
    state_dir:
        Folder of the daemon, instead of looking into a configuration.
    of_run:
        Started by `run`, which owns Ctrl-C.
    """
    from mm_daemon.observability.watch import show
    from mm_daemon.runtime.control import ControlClient

    folder = _folder(config, state_dir)
    with ControlClient(folder) as client:
        ended = show(client.status, of_run=of_run)
    if ended and not of_run:
        print(f"the daemon in {folder} has gone; its log and journal say why")
    return 0


def pause(symbol: Symbol = None, /, *, config: ConfigPath = DEFAULT_CONFIG, state_dir: StatePath = None) -> int:
    """Take the quotes away and quote nothing until `resume`. The process stays up.

    Parameters
    ----------
    symbol:
        One market, as BTC-USDT or sim:BTC-USDT; all of them by default.
    config:
        Configuration the daemon was started with; only its `state_dir` is read.
    state_dir:
        Folder of the daemon, instead of looking into a configuration.
    """
    return _tell("pause", config, state_dir, symbol)


def resume(symbol: Symbol = None, /, *, config: ConfigPath = DEFAULT_CONFIG, state_dir: StatePath = None) -> int:
    """Quote again what was paused.

    Parameters
    ----------
    symbol:
        One market, as BTC-USDT or sim:BTC-USDT; all of them by default.
    config:
        Configuration the daemon was started with; only its `state_dir` is read.
    state_dir:
        Folder of the daemon, instead of looking into a configuration.
    """
    return _tell("resume", config, state_dir, symbol)


def kill(*, config: ConfigPath = DEFAULT_CONFIG, state_dir: StatePath = None) -> int:
    """The kill switch: cancel everything at once; quoting stays off until `clear-kill`.

    Parameters
    ----------
    config:
        Configuration the daemon was started with; only its `state_dir` is read.
    state_dir:
        Folder of the daemon, instead of looking into a configuration.
    """
    return _tell("kill", config, state_dir)


def clear_kill(*, config: ConfigPath = DEFAULT_CONFIG, state_dir: StatePath = None) -> int:
    """Let quoting begin again after the kill switch or a loss limit.

    Parameters
    ----------
    config:
        Configuration the daemon was started with; only its `state_dir` is read.
    state_dir:
        Folder of the daemon, instead of looking into a configuration.
    """
    return _tell("clear_kill", config, state_dir)


def _tell(verb: "Verb", config: Path, state_dir: Path | None, symbol: str | None = None) -> int:
    from mm_daemon.domain.errors import UsageError
    from mm_daemon.runtime.control import ControlClient

    with ControlClient(_folder(config, state_dir)) as client:
        try:
            reply = client.ask(verb, symbol)
        except EOFError as error:
            raise UsageError(f"the daemon has gone: {error}") from error
    if not reply.ok:
        raise UsageError(reply.text)
    print(reply.text)
    return 0


def _status_of(client: "ControlClient") -> "Status":
    from mm_daemon.domain.errors import UsageError

    try:
        return client.status()
    except EOFError as error:
        raise UsageError(f"the daemon has gone: {error}") from error


def _folder(config: Path, state_dir: Path | None) -> Path:
    """Where the daemon keeps its socket. Secrets and the rest of the configuration are not needed to ask it."""
    from mm_daemon.config.load import state_dir_of

    return state_dir if state_dir is not None else state_dir_of(config, environ=os.environ)
