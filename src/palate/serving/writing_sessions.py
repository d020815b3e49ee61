"""Sessions in which a person and the writer make a headline together: kept on disk, every step in a log."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from palate.contracts import GenerationRequest
from palate.core.errors import ArtefactError, ConfigError
from palate.core.files import read_json, write_json
from palate.core.json_lines import append_json_line
from palate.core.locks import locked
from palate.generation.evidence import facts_of, item_id
from palate.generation.flows.session import CoCreationSession, Condition, CoWriter, Step

MAX_SESSIONS, REMOVED = 2000, 200
"""Sessions that are kept, and how many of the oldest are removed where there are more."""
_ID = re.compile(r"[0-9a-f]{32}")
Writer = Callable[[str], CoWriter]
"""Id of an item -> what proposes headlines for it."""


@dataclass(frozen=True)
class OpenSession:
    """A session as a page shows it.

    Attributes:
        id: of the session; who knows it may go on with it.
        item: id of the item.
        session: its steps.
    """

    id: str
    item: str
    session: CoCreationSession


class WritingSessions:
    """Sessions of a server, shared by its processes. They hold nothing of who takes part.

    Args:
        folder: of sessions and of the log ``log.jsonl``.
        clock: seconds since 1970.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder, self.clock = folder, clock

    @property
    def log(self) -> Path:
        """One line a step: time, session, item, condition, step, seconds, answer and what was proposed."""
        return self.folder / "log.jsonl"

    def start(self, request: GenerationRequest, writer: CoWriter, condition: Condition) -> str:
        """Begin a session.

        Args:
            request: the item is the document.
            writer: proposes headlines.
            condition: which steps there are.

        Returns:
            Id of the session.

        Raises:
            ConfigError: for an unknown condition, or an item of which nothing can be said.
        """
        session, name = CoCreationSession(told(request), writer, condition, self.clock), token_hex(16)
        self._remove_oldest()
        self._save(name, item_id(request.item), session)
        return name

    def find(self, name: str, writer: Writer) -> OpenSession | None:
        """A session; None for one that is unknown or was removed.

        Args:
            name: id of the session.
            writer: gives what proposes headlines.
        """
        if _ID.fullmatch(name) is None or not (self.folder / f"{name}.json").is_file():
            return None
        try:
            kept = read_json(self.folder / f"{name}.json")
            away = max(0.0, self.clock() - float(kept["at"]))
            return OpenSession(
                name,
                kept["item"],
                CoCreationSession.from_state(kept["session"], writer(kept["item"]), self.clock, away),
            )
        except (ArtefactError, ConfigError, KeyError, TypeError, ValueError):
            return None

    def submit(self, name: str, writer: Writer, step: Step, answer: Any) -> OpenSession | None:
        """Do a step; it is in the log before this returns.

        Args:
            name: id of the session.
            writer: gives what proposes headlines.
            step: must be the present one.
            answer: as of :meth:`CoCreationSession.submit`.

        Raises:
            ConfigError: for another step than the present one, or an answer that does not fit it; nothing is changed.
        """
        with locked(self.folder / f"{name if _ID.fullmatch(name) else 'unknown'}.json"):
            found = self.find(name, writer)
            if found is None:
                return None
            session = found.session
            session.submit(step, answer)
            entry = asdict(session.log[-1])
            about = {"time": round(self.clock(), 3), "session": name, "item": found.item}
            append_json_line(self.log, {**about, "condition": session.condition, **entry})
            self._save(name, found.item, session)
            return found

    def _save(self, name: str, item: str, session: CoCreationSession) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / f"{name}.json", {"item": item, "at": self.clock(), "session": session.state()})

    def _remove_oldest(self) -> None:
        files = [file for file in self.folder.glob("*.json") if _ID.fullmatch(file.stem)]
        if len(files) >= MAX_SESSIONS:
            for file in sorted(files, key=_age)[:REMOVED]:
                file.unlink(missing_ok=True)


def told(request: GenerationRequest) -> Mapping[str, str]:
    """What is shown of an item: its facts, without ids and names of files.

    Args:
        request: the item.
    """
    return {fact.column: ", ".join(fact.values) for fact in facts_of(request.item)}


def _age(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0
