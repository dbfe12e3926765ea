"""What tests of Lighter share: throwaway keys, and where the venue's native library is, if it is."""

from pathlib import Path

import pytest

from connectors.lighter import library
from mm_daemon.domain.errors import ConfigError
from tests.shared import ROOT

LIBRARY_FOLDER = ROOT / "build" / "lighter"
"""Where `python -m connectors.lighter.library build/lighter` puts it for tests; the usual place is looked at too."""
CHAIN_ID = 300
ACCOUNT = 700_001
KEY_INDEX = 5
SECRET = 0x1234_5678_9ABC_DEF0_0FED_CBA9_8765_4321
PRIVATE_KEY = "0x" + SECRET.to_bytes(40, "little").hex()


def native_library() -> Path:
    """The library, or the test is skipped."""
    for path in (str(LIBRARY_FOLDER), None):
        try:
            return library.find(path)
        except ConfigError:
            continue
    pytest.skip(f"Lighter's signer library is not here: {library.COMMAND} build/lighter")
