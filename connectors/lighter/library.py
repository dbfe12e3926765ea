"""The venue's native signer library: which file it is, where it lies, and how it is fetched.

    python -m connectors.lighter.library [FOLDER]

takes the one shared library of this machine's kind out of the official wheel (lighter-sdk 1.1.8, checked by hash, none
of its dependencies, nothing of it imported or installed) and puts it where the connector looks for it. The wheel comes
from the package index that pip is configured for.
"""

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from mm_daemon.domain.errors import ConfigError, MmError, UsageError, VenueUnreachable

VERSION = "1.1.8"
_WHEEL = f"lighter_sdk-{VERSION}-py3-none-any.whl"
_WHEEL_SHA256 = "c0bc2ce48aec9f3cbb5bd7c492e41b73d1717861c194a4869aae6e36c0d46097"
COMMAND = "python -m connectors.lighter.library"


class Build(msgspec.Struct, frozen=True):
    """The library of one kind of machine."""

    file: str
    sha256: str


_BUILDS = {
    ("Linux", "x86_64"): Build(
        "lighter-signer-linux-amd64.so", "7f107a0e2240aa40c9f0ae8aba396380fe62892fe199dd3691e3103fc9a6fd8e"
    ),
    ("Linux", "aarch64"): Build(
        "lighter-signer-linux-arm64.so", "9088ced1545e4cf81b6a4e18102c9459f3145215256c9d2f0a7ee4d160d7dfae"
    ),
    ("Darwin", "x86_64"): Build(
        "lighter-signer-darwin-amd64.dylib", "cc7a6b7c4736d09e9bf236def745e132d962a30c91d72235d579c44d895cfaa1"
    ),
    ("Darwin", "arm64"): Build(
        "lighter-signer-darwin-arm64.dylib", "b58e94ae6149be8c4e2ca90a6058fcb86e3c16604d0f09c3be29034b8feb2630"
    ),
}


def build_of_this_machine() -> Build:
    """Raises ConfigError on a machine that the venue has no library for."""
    kind = (platform.system(), platform.machine())
    build = _BUILDS.get(kind)
    if build is None:
        there = ", ".join(" ".join(each) for each in _BUILDS)
        raise ConfigError(f"Lighter's signer library does not exist for {' '.join(kind)}; it does for {there}")
    return build


def folder() -> Path:
    """Where the library is kept: `$XDG_DATA_HOME/mm-daemon/lighter`, below `~/.local/share` by default."""
    home = os.environ.get("XDG_DATA_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share") / "mm-daemon" / "lighter"


def find(path: str | None) -> Path:
    """The checked library at a path, or where it is kept. Raises ConfigError where it is missing or another one: its
    functions take other arguments from version to version, and a wrong call signs something else."""
    build = build_of_this_machine()
    found = folder() / build.file if path is None else Path(path).expanduser()
    if found.is_dir():
        found /= build.file
    try:
        digest = hashlib.sha256(found.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(
            f"Lighter's signer library {found} cannot be read ({error.strerror}); fetch it once with `{COMMAND}`, or "
            "say where it is with the venue's key signer_library"
        ) from None
    if digest != build.sha256:
        raise ConfigError(
            f"{found} is not the signer library of lighter-sdk {VERSION} for this machine (its sha256 is {digest}, not "
            f"{build.sha256}); fetch that one with `{COMMAND}`"
        )
    return found


def fetch(target: Path) -> Path:
    """Put the library into a folder, with pip and the index that it is configured for. Raises ConfigError,
    VenueUnreachable when the wheel cannot be had."""
    build = build_of_this_machine()
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        pins = Path(scratch) / "pins.txt"
        pins.write_text(f"lighter-sdk=={VERSION} --hash=sha256:{_WHEEL_SHA256}\n")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        pip += ["--only-binary", ":all:", "--require-hashes", "--dest", scratch, "--requirement", str(pins)]
        done = subprocess.run(pip, check=False, capture_output=True, text=True)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no reason given"]
            raise VenueUnreachable(f"lighter-sdk {VERSION} cannot be downloaded: {said[-1]}")
        return unpack(Path(scratch) / _WHEEL, build, target)


def unpack(wheel: Path, build: Build, target: Path) -> Path:
    """Take one library out of the wheel. Raises ConfigError when it is not in there, or is another one."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(f"lighter/signers/{build.file}")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{wheel} does not hold {build.file}: {error}") from None
    if hashlib.sha256(data).hexdigest() != build.sha256:
        raise ConfigError(f"the {build.file} in {wheel} is not that of lighter-sdk {VERSION}")
    fresh = target / f"{build.file}.new"
    fresh.write_bytes(data)
    return fresh.replace(target / build.file)


def main(arguments: Sequence[str]) -> int:
    """The command of this module's docstring; its exit code."""
    try:
        if len(arguments) > 1 or any(each.startswith("-") for each in arguments):
            raise UsageError(f"usage: {COMMAND} [FOLDER]")
        target = Path(arguments[0]).expanduser() if arguments else folder()
        sys.stdout.write(f"{fetch(target)}\n")
    except OSError as error:
        sys.stderr.write(f"error: {error}\n")
        return ConfigError.exit_code
    except MmError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
