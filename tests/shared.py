"""Where the shared files lie: `MM_SHARED`, else `../shared` beside the repository. Read there, never copied."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("MM_SHARED", ROOT.parent / "shared")).resolve()
USED: set[Path] = set()
"""The files that tests of this run asked for and got."""


def shared_file(relative: str) -> Path:
    """The file, or the test is skipped (and counted as absent in the run's last line)."""
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"ABSENT: {path}")
    USED.add(path)
    return path
