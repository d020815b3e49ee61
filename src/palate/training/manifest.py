"""The manifest of a run, and errors that name the file of a run in which something is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from palate.core.errors import ArtefactError, MissingDependencyError, PalateError
from palate.core.files import read_json

FORMAT = 1
MANIFEST = "manifest.json"
TRAINING_FILE = "training.safetensors"
NEEDED = ("config.yaml", "model.safetensors", "items/catalog.json", "users.parquet", "seen.safetensors")
"""Files without which a run is none."""


def erased_rows(manifest: Mapping[str, Any]) -> list[int]:
    """Rows of the users who were erased from a run.

    Args:
        manifest: of the run; earlier versions wrote ``forgotten``.
    """
    return [int(row) for key in ("forgotten", "erased") for row in manifest.get(key, ())]


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run.

    Args:
        folder: of the run.

    Raises:
        ArtefactError: for a folder without one, or one that is incomplete or of another format.
    """
    file = folder / MANIFEST
    if not file.is_file():
        raise ArtefactError("not a run folder", file=folder, hint=f"expected {MANIFEST}, written by palate fit")
    manifest: dict[str, Any] = read_json(file)
    written = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(written, int) or isinstance(written, bool):
        raise ArtefactError("no format version", file=file)
    if written > FORMAT:
        raise ArtefactError(f"written by a newer format {written}", file=file, hint="upgrade palate")
    if written < 1:
        raise ArtefactError(f"there is no format {written}", file=file, hint="copy the run again, or fit it again")
    for key, kind in (("model", str), ("about", dict), ("shape", dict), ("facts", dict), ("files", dict)):
        if not isinstance(manifest.get(key), kind):
            raise ArtefactError("missing or not of the right kind", file=file, key=key, hint="copy the run again")
    lacking = [name for name in NEEDED if not isinstance(manifest["files"].get(name), str)]
    if lacking or not all(isinstance(wanted, str) for wanted in manifest["files"].values()):
        name = lacking[0] if lacking else None
        raise ArtefactError("no checksum", file=file, key=f"files: {name}", hint="copy the run again")
    return manifest


@contextmanager
def reading(file: Path, key: str | None = None) -> Iterator[None]:
    """Errors in reading become one that names the file.

    Args:
        file: a file or subfolder of a run.
        key: of the file, where one is known.

    Raises:
        ArtefactError: for whatever goes wrong.
    """
    try:
        yield
    except (ArtefactError, MissingDependencyError):
        raise
    except PalateError as error:
        raise ArtefactError(error.message, file=file, key=error.key or key, hint=error.hint) from error
    except (Exception, pl.exceptions.PanicException) as error:
        # parsers and models raise whatever they like at content that nobody wrote; a panic is no Exception
        told = str(error).strip().partition("\n")[0][:200]
        hint = "copy the run again, or fit it again"
        raise ArtefactError(
            f"cannot be used ({type(error).__name__}: {told})", file=file, key=key, hint=hint
        ) from error
