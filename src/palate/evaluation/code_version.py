"""Which code a kept result came from."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from palate.core.files import digest

_WITHOUT_INFLUENCE = {"cli", "serving"}
"""Rooms that no fit and no evaluation reads."""


@cache
def code_version() -> str:
    """A digest of Palate's source, apart from the command line and the server.

    Results that are kept under a name with this digest are not taken for those of other code.
    """
    root = Path(__file__).parent.parent
    files = {file.relative_to(root).as_posix(): file for file in root.rglob("*.py")}
    kept = sorted(name for name in files if name.partition("/")[0] not in _WITHOUT_INFLUENCE)
    return digest(*(part for name in kept for part in (name, files[name].read_bytes())))
