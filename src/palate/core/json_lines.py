"""Files of JSON that grow by lines: an acknowledged record is on disk, and a torn last line does no harm."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .errors import ArtefactError
from .locks import locked


def append_json_line(path: str | Path, record: Any) -> None:
    """Add a record, written and forced to the disk before this returns; one writer at a time.

    Args:
        path: file; made where it is missing, with its folder.
        record: any JSON value.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(record, ensure_ascii=False, separators=(", ", ": ")).encode() + b"\n"
    with locked(path), open(path, "ab+") as file:
        if file.tell() and _ends_within_a_line(file):
            # of a writer that was killed: what it began is not a record
            line = b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def read_json_lines(path: str | Path) -> list[tuple[int, Any]]:
    """The records of a file, each with the number of its line from 1.

    Lines that are not JSON because a writer was killed are left out: the last one, and those that another record
    follows after such an end.

    Args:
        path: file; one that is missing has no records.

    Raises:
        ArtefactError: for a file that cannot be read, or is not UTF-8.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ArtefactError(f"cannot be read ({error.strerror or error})", file=path) from error
    found = []
    for number, line in enumerate(data.split(b"\n"), 1):
        try:
            found.append((number, json.loads(line.decode())))
        except UnicodeDecodeError as error:
            # a writer may be killed within a letter
            if error.reason != "unexpected end of data":
                raise ArtefactError(f"cannot be read ({error})", file=path) from error
        except ValueError:
            continue
    return found


def _ends_within_a_line(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) != b"\n")
