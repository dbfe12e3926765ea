"""Finding and unpacking the venue's native library, without the network."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from connectors.lighter import library
from connectors.lighter.library import Build
from mm_daemon.domain.errors import ConfigError

_DATA = b"not a library"
_BUILD = Build("signer.so", hashlib.sha256(_DATA).hexdigest())


def _wheel(folder: Path, data: bytes, name: str = "lighter/signers/signer.so") -> Path:
    wheel = folder / "some.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(name, data)
    return wheel


def test_missing_library_names_the_command_and_the_key(tmp_path: Path) -> None:
    """Whoever has not fetched it is told how to."""
    with pytest.raises(ConfigError) as error:
        library.find(str(tmp_path / "absent.so"))
    assert "python -m connectors.lighter.library" in str(error.value)
    assert "signer_library" in str(error.value) and "absent.so" in str(error.value)


def test_default_place_is_the_users_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked for where the command puts it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert library.folder() == tmp_path / "mm-daemon" / "lighter"
    with pytest.raises(ConfigError, match="mm-daemon/lighter/lighter-signer"):
        library.find(None)


def test_another_library_is_refused(tmp_path: Path) -> None:
    """Another version's functions take other arguments: nothing of it is loaded."""
    (tmp_path / library.build_of_this_machine().file).write_bytes(_DATA)
    with pytest.raises(ConfigError, match=r"not the signer library of lighter-sdk 1\.1\.8"):
        library.find(str(tmp_path))


def test_library_is_taken_out_of_the_wheel(tmp_path: Path) -> None:
    """Only the one file, under its own name."""
    wheel = _wheel(tmp_path, _DATA)
    assert library.unpack(wheel, _BUILD, tmp_path).read_bytes() == _DATA
    assert sorted(path.name for path in tmp_path.iterdir()) == ["signer.so", "some.whl"]


def test_wheel_with_another_library_leaves_nothing(tmp_path: Path) -> None:
    """What is not the known file is not put anywhere."""
    with pytest.raises(ConfigError, match=r"not that of lighter-sdk 1\.1\.8"):
        library.unpack(_wheel(tmp_path, b"something else"), _BUILD, tmp_path)
    with pytest.raises(ConfigError, match=r"does not hold signer\.so"):
        library.unpack(_wheel(tmp_path, _DATA, "elsewhere/signer.so"), _BUILD, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["some.whl"]


def test_unknown_machine_is_told_which_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no library for every kind of machine."""
    monkeypatch.setattr("platform.machine", lambda: "pdp11")
    with pytest.raises(ConfigError, match=r"pdp11.*Linux x86_64"):
        library.build_of_this_machine()


def test_command_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong arguments are exit code 64."""
    assert library.main(["--help"]) == 64
    assert "usage: python -m connectors.lighter.library [FOLDER]" in capsys.readouterr().err
