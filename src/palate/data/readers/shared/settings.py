"""palate.yaml, checked section by section and never expanded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from palate.core.errors import DataError, did_you_mean
from palate.data.regular_file import check_regular

SETTINGS = "palate.yaml"
TABLES = ("items", "users", "interactions", "relations", "searches", "queries")
SECTIONS = (*TABLES, "positive", "split", "name", "ids", "absent")
_SHAPES: dict[str, tuple[type, ...]] = {"name": (str, int), "split": (str, dict), "ids": (str, dict), "absent": (list,)}
MAX_BYTES = 1 << 20
MAX_DEPTH = 16


def read_settings(file: Path) -> dict[str, Any]:
    """The sections of a settings file; empty if it does not exist.

    Args:
        file: ``palate.yaml``.

    Raises:
        DataError: not UTF-8 YAML, larger than 1 MiB, aliases (a short file can expand to gigabytes), nested too
            deeply, an unknown section, a section of the wrong shape.
    """
    check_regular(file, file.parent)
    if not file.is_file():
        return {}
    if file.stat().st_size > MAX_BYTES:
        raise DataError("larger than 1 MiB", file=file, hint="keep settings short; data belongs in tables")
    try:
        text = file.read_text(encoding="utf-8-sig")
        _refuse_bombs(text, file)
        loaded = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        row = None if mark is None else mark.line + 1
        raise DataError(f"not valid YAML ({str(error).splitlines()[0][:200]})", file=file, row=row) from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise DataError("expected sections such as items: and interactions:", file=file)
    for key, section in loaded.items():
        if key not in SECTIONS:
            raise DataError("unknown section", file=file, key=key, hint=did_you_mean(str(key), SECTIONS))
        shapes = _SHAPES.get(key, (dict,))
        if section is not None and not isinstance(section, shapes):
            raise DataError(f"expected {' or '.join(s.__name__ for s in shapes)}", file=file, key=key)
    return loaded


def _refuse_bombs(text: str, file: Path) -> None:
    depth = 0
    opening = (yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken, yaml.BlockMappingStartToken)
    closing = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)
    for token in yaml.scan(text):
        if isinstance(token, (yaml.AliasToken, yaml.AnchorToken)):
            raise DataError("aliases are not allowed", file=file, row=token.start_mark.line + 1, hint="write it out")
        depth += isinstance(token, (*opening, yaml.BlockSequenceStartToken)) - isinstance(token, closing)
        if depth > MAX_DEPTH:
            raise DataError("nested too deeply", file=file, row=token.start_mark.line + 1)
