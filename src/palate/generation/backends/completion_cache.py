"""Answers on the disk: in the user's cache, named by a digest of everything that decided them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from palate.contracts import Completion
from palate.core.cache import cache_folder
from palate.core.errors import ArtefactError
from palate.core.files import digest, read_json, write_json


class CompletionCache:
    """A folder of answers. Prompts and keys of servers are not stored, prompts only as a digest.

    Args:
        folder: None takes ``completions`` in the user's cache.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "completions"

    def get(self, request: Mapping[str, Any]) -> Completion | None:
        """The answer to a request; None where it was not stored, or the file is damaged.

        Args:
            request: everything that decides the answer.
        """
        try:
            return Completion(**read_json(self._file(request)))
        except (ArtefactError, TypeError):
            return None

    def put(self, request: Mapping[str, Any], completion: Completion) -> None:
        """Store an answer.

        Args:
            request: everything that decides the answer.
            completion: the answer.
        """
        # not a number has no place in JSON
        kept = {name: value for name, value in asdict(completion).items() if value == value}
        write_json(self._file(request), kept)

    def _file(self, request: Mapping[str, Any]) -> Path:
        name = digest(json.dumps(request, sort_keys=True, ensure_ascii=False))
        return self.folder / name[:2] / f"{name}.json"
