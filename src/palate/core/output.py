"""Which folders may be written: what is the user's is never replaced, and nothing of it removed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .asides import parse, sweep_leftovers
from .errors import ArtefactError
from .files import read_json, write_json
from .locks import locked

MARK = ".palate.json"
"""Names the kind of a folder whose files are written one by one."""
_SIGNATURES: Mapping[str, tuple[tuple[str, frozenset[str]], ...]] = {
    "run": (("manifest.json", frozenset({"format", "model", "about", "shape"})),),
    "set of encoders": (("pretrained.json", frozenset({"model", "settings", "corpus"})),),
    "encoder": (("encoder.json", frozenset({"format", "name", "identity"})),),
    "world": (("world.json", frozenset({"format", "preset", "config_hash"})),),
    "comparison": (("result.json", frozenset({"table", "baseline", "openings_of_test"})),),
    "search": (("best.json", frozenset({"search", "trial", "settings"})),),
}
_REPLACED = frozenset({"run", "set of encoders", "encoder", "world", "picture model"})
"""Kinds that are replaced as a whole, by renaming."""
_VECTORS = frozenset({"items.parquet", "users.parquet", "vectors.safetensors", "scorer.onnx"})


def kind_of(folder: str | Path) -> str | None:
    """What Palate wrote in a folder: run, world, comparison, ...; None for anything else.

    Args:
        folder: is looked at.
    """
    folder = Path(folder)
    mark = _object(folder / MARK)
    if isinstance(mark.get("kind"), str):
        return str(mark["kind"])
    for kind, files in _SIGNATURES.items():
        if any(keys <= _object(folder / name).keys() for name, keys in files):
            return kind
    names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    if folder.name.endswith(".checkpoint") and all(name.endswith((".safetensors", "log.txt")) for name in names):
        return "checkpoint"
    return "set of vectors" if names <= _VECTORS and "vectors.safetensors" in names else None


def check_output(folder: str | Path, kind: str, data: str | Path | None = None) -> None:
    """Refuse to write a folder that is not new, empty, or of the same kind.

    Args:
        folder: where something is to be written.
        kind: of what is written, see :func:`kind_of`.
        data: the user's data, which are never written to.

    Raises:
        ArtefactError: naming the folder and what it is.
    """
    try:
        check_not_protected(folder, data)
        path = Path(folder)
        if path.exists() and not path.is_dir():
            raise ArtefactError("is a file", file=folder, hint="nothing was changed; choose a new folder")
        if kind in _REPLACED and os.path.ismount(path):
            raise ArtefactError(
                "is a mount point, which cannot be replaced", file=folder, hint="name a folder inside it"
            )
        free = is_free(path)
        found = None if free else kind_of(path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ArtefactError(f"cannot be used ({why})", file=folder, hint="choose another folder") from error
    if not free and found != kind:
        what = f"is {_a(found)}, not {_a(kind)}" if found else f"is not empty and not {_a(kind)}"
        raise ArtefactError(what, file=folder, hint="nothing was changed; choose a new folder")


def check_not_protected(folder: str | Path, data: str | Path | None = None) -> None:
    """Refuse the working and the home folder, the data, and all folders that hold one of them.

    Paths that begin with ``~`` are refused as well: only a shell replaces it, and a folder called ``~`` is dangerous,
    since ``rm -r ~`` removes the home folder instead.

    Args:
        folder: where something is to be written; links count as what they point to.
        data: the user's data.

    Raises:
        ArtefactError: naming the folder and what it holds.
    """
    if str(folder).startswith("~"):
        hint = f"write {os.path.expanduser(folder)}, or ./{folder} for a folder of that name"
        raise ArtefactError("the ~ was not replaced by the home folder", file=folder, hint=hint)
    real = Path(os.path.realpath(folder))
    owned = {"the working folder": Path.cwd(), "the home folder": Path(os.path.expanduser("~"))}
    if data is not None:
        place = Path(os.path.realpath(data))
        owned = {"the data": place.parent if place.is_file() else place, **owned}
    for name, place in owned.items():
        place = Path(os.path.realpath(place))
        if any(_same(real, above) for above in (place, *place.parents)):
            what = f"is {name}" if _same(real, place) else f"holds {name}"
            raise ArtefactError(what, file=folder, hint="nothing was changed; choose a new folder")


def is_free(folder: Path) -> bool:
    """Whether a folder is missing or empty.

    Args:
        folder: what killed writers left in it does not count.
    """
    return not folder.exists() or (folder.is_dir() and all(parse(entry) for entry in folder.iterdir()))


@contextmanager
def claimed(
    folder: str | Path, kind: str, data: str | Path | None = None, shown: str | Path | None = None
) -> Iterator[Path]:
    """A folder whose files are written one by one: of this kind, marked as such, and written by this process only.

    Args:
        folder: is made if it is missing.
        kind: of what is written.
        data: the user's data.
        shown: what the error names while another process writes.

    Raises:
        ArtefactError: for a folder that may not be written, or while another process writes it.
    """
    check_output(folder, kind, data)
    path = Path(os.path.realpath(folder))
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtefactError(
            f"cannot be made ({error.strerror})", file=shown or folder, hint="choose another folder"
        ) from error
    with locked(path, wait=0.0, shown=shown or folder):
        check_output(path, kind, data)
        sweep_leftovers(path)
        if not (path / MARK).is_file():
            write_json(path / MARK, {"kind": kind})
        yield path


def mark(aside: Path, kind: str) -> None:
    """Write down the kind of a new folder and which files are Palate's.

    Args:
        aside: the folder, complete.
        kind: see :func:`kind_of`.
    """
    files = sorted(path.relative_to(aside).as_posix() for path in aside.rglob("*") if path.is_file())
    write_json(aside / MARK, {"kind": kind, "files": [*files, MARK]})


def keep_others(folder: Path, aside: Path, ours: Collection[str] | None = None) -> None:
    """Take over what somebody else put into a folder that is about to be replaced.

    Args:
        folder: the folder, which stays as it is.
        aside: what replaces it.
        ours: relative paths of the files that Palate wrote; those that :func:`mark` wrote down if not given. In a
            folder without them, all that lies under names which ``aside`` has as well is taken for Palate's.

    Raises:
        ArtefactError: if a file of somebody else has the name of one that is written.
    """
    if not folder.is_dir():
        return
    listed = _object(folder / MARK).get("files") if ours is None else ours
    tops = {path.name for path in aside.iterdir()}
    listed = None if listed is None else frozenset(listed)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if any(parse(Path(part)) for part in Path(name).parts):
            continue
        target = aside / name
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                target.mkdir(parents=True, exist_ok=True)
        elif (name not in listed) if listed is not None else (Path(name).parts[0] not in tops):
            if os.path.lexists(target):
                raise ArtefactError(
                    "a file that Palate did not write has the name of one that it writes", file=path, hint="move it"
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(path, target)


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """Give a file a second name; a copy where the file system has no hard links.

    Args:
        source: a file or a symbolic link, which stays one.
        target: the new name.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _object(file: Path) -> dict[str, Any]:
    """A JSON object; empty for anything else."""
    if not file.is_file():
        return {}
    try:
        found = read_json(file)
    except ArtefactError:
        return {}
    return found if isinstance(found, dict) else {}


def _a(kind: str) -> str:
    return f"an {kind}" if kind.startswith(("a", "e", "i", "o")) else f"a {kind}"


def _same(one: Path, other: Path) -> bool:
    try:
        return one == other or os.path.samefile(one, other)
    except OSError:
        return False
