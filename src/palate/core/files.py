"""Files that are either whole or absent: written aside, fsynced, renamed. No pickle anywhere."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .asides import aside_of, mend_locked, old_of
from .errors import ArtefactError
from .locks import WAIT, locked

if TYPE_CHECKING:
    from torch import Tensor


log = logging.getLogger("palate")


def _fsync_dir(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _fsync_file(file: Path) -> None:
    with open(file, "rb") as handle:
        os.fsync(handle.fileno())


@contextmanager
def atomic_path(path: str | Path, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path next to ``path``; on success it replaces ``path`` in one step, else it is removed.

    Args:
        path: file to write.
        sync: False for what is checked when read and can be made again: it may be lost with the power.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = aside_of(path)
    try:
        aside.touch()
        mode = stat.S_IMODE(aside.stat().st_mode)
        yield aside
        if stat.S_IMODE(aside.stat().st_mode) != mode:
            # some libraries write files that only their owner can read, whatever the umask says
            aside.chmod(mode)
        if sync:
            _fsync_file(aside)
        os.replace(aside, path)
        if sync:
            _fsync_dir(path.parent)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path, wait: float = WAIT) -> Iterator[Path]:
    """Like :func:`atomic_path` for a folder: it appears whole, and replaces a former one of that name.

    One process at a time writes a folder. What a killed one left of this name is mended or removed first.

    Args:
        path: folder to write; where it is a link, the target of the link is replaced.
        wait: seconds to wait for another writer of it.

    Raises:
        ArtefactError: when another writer takes longer, or the parent folder cannot be written.
    """
    path = Path(os.path.realpath(path))
    with locked(path, wait):
        mend_locked(path)
        aside = aside_of(path)
        try:
            aside.mkdir()
            yield aside
            _fsync_tree(aside)
            _put_in_place(aside, path)
        finally:
            if aside.exists():
                shutil.rmtree(aside, ignore_errors=True)


def _fsync_tree(folder: Path) -> None:
    """Force a folder with all that it holds to the disk."""
    inside = list(folder.rglob("*"))
    # Side by side: a disk commits many waiting files at once, one after another costs milliseconds each.
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(_fsync_file, (path for path in inside if path.is_file() and not path.is_symlink())))
    for path in (*(path for path in inside if path.is_dir() and not path.is_symlink()), folder):
        _fsync_dir(path)


def _put_in_place(aside: Path, path: Path) -> None:
    """Give the complete folder ``aside`` the name ``path``; the former one is removed."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        os.replace(aside, path)
        _fsync_dir(path.parent)
        return
    old = old_of(aside)
    os.replace(path, old)
    try:
        os.replace(aside, path)
    except OSError:
        os.replace(old, path)
        raise
    _fsync_dir(path.parent)
    try:
        shutil.rmtree(old)
    except OSError as error:
        log.warning("%s: the former folder could not be removed whole (%s)", old, error)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON atomically (sorted keys are not forced: order carries meaning in reports)."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=_plain) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON.

    Raises:
        ArtefactError: for a damaged or unreadable file, naming it.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ArtefactError(f"not valid JSON ({error})", file=path) from error
    except OSError as error:
        raise ArtefactError(f"cannot be read ({error.strerror or error})", file=path) from error


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors, atomically; shared storage is copied apart.

    Args:
        path: the file.
        tensors: by name.
        metadata: texts for the header.

    Raises:
        ArtefactError: if it cannot be written, as on a full disk.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with atomic_path(path) as aside:
        plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        try:
            # an empty mapping of metadata beside no tensors is written as a header that cannot be read
            save_file(plain, str(aside), metadata=dict(metadata or {}) if plain or metadata else None)
        except SafetensorError as error:
            raise ArtefactError(f"cannot be written ({error})", file=path) from error


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        ArtefactError: for anything else, also a disguised pickle, naming the file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(str(path))
    except (SafetensorError, ValueError, OSError) as error:
        raise ArtefactError(f"not a readable safetensors file ({error})", file=path) from error


def digest(*parts: bytes | str) -> str:
    """A 128-bit content hash (BLAKE2b, hex) over length-prefixed parts."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        state.update(len(raw).to_bytes(8, "little"))
        state.update(raw)
    return state.hexdigest()


def file_digest(path: str | Path, prefix: bytes = b"") -> str:
    """A 128-bit content hash of a file, read in blocks.

    Args:
        path: of the file.
        prefix: is hashed before the content.
    """
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(prefix, digest_size=16)).hexdigest()


def folder_digests(folder: str | Path) -> dict[str, str]:
    """Relative path -> :func:`file_digest` of every file below ``folder``, sorted."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in files}


def verify(folder: str | Path, digests: Mapping[str, str]) -> None:
    """Check files against what :func:`folder_digests` gave when they were written.

    Raises:
        ArtefactError: naming the first file that is missing, changed, or outside ``folder``.
    """
    for name, wanted in digests.items():
        path = inside(folder, name)
        if not path.is_file():
            raise ArtefactError("the file is missing", file=path, hint="copy the whole folder again")
        if file_digest(path) != wanted:
            raise ArtefactError("the file is damaged: its checksum differs", file=path, hint="copy it again")


def inside(folder: str | Path, name: str) -> Path:
    """``folder / name``.

    Raises:
        ArtefactError: for a name that leaves the folder, also through a link.
    """
    path = Path(folder) / name
    if "\0" in name or not path.resolve().is_relative_to(Path(folder).resolve()):
        raise ArtefactError("the name leaves its folder", file=folder, key=name)
    return path


def _plain(value: Any) -> Any:
    if hasattr(value, "item") and getattr(value, "size", 1) == 1:
        return value.item()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
