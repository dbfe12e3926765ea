"""An environment of its own for each peer, under `build/peers`, from the requirements file beside this module."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
BUILD = ROOT / "build" / "peers"


class NoEnvironmentError(Exception):
    """It could not be made; the text says what pip or venv said last."""


def made(name: str) -> Path | None:
    """The peer's interpreter; None where its environment is missing or not of today's pins."""
    home = BUILD / name
    installed = home / "installed.txt"
    there = installed.exists() and installed.read_text() == (HERE / f"{name}.txt").read_text()
    return home / "bin" / "python" if there else None


def python_of(name: str) -> Path:
    """The peer's interpreter; its environment is made first where it is missing or not of today's pins. Raises
    NoEnvironmentError."""
    found = made(name)
    if found is not None:
        return found
    home, pins = BUILD / name, (HERE / f"{name}.txt").read_text()
    python, installed = home / "bin" / "python", home / "installed.txt"
    print(f"making {home} ...", file=sys.stderr, flush=True)
    _do(sys.executable, "-m", "venv", "--clear", str(home))
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
    _do(*pip, "-r", str(HERE / f"{name}.txt"))
    installed.write_text(pins)
    return python


def _do(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("ERROR")]
        raise NoEnvironmentError((errors or said or [f"exit code {done.returncode}"])[-1])


if __name__ == "__main__":
    for asked in sys.argv[1:]:
        print(python_of(asked))
