"""A person and a writer make a text together: steps in order, each hidden until the earlier is done, all logged.

Which steps there are is the condition, after Ding et al. (2023):

    none                                  read, write, rate
    ai_only                               nothing for the person: the first proposal is the text
    selection                             read, select, rate
    guidance_selection                    read, guide, select, rate
    guidance_selection_post_editing       read, guide, select, edit, rate
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from palate.core.errors import ConfigError, did_you_mean
from palate.core.files import read_json, write_json
from palate.generation.flows.edits import edits_between

Step = Literal["read", "guide", "select", "write", "edit", "rate", "done"]
Condition = Literal["none", "ai_only", "selection", "guidance_selection", "guidance_selection_post_editing"]
STEPS: Mapping[str, tuple[Step, ...]] = {
    "none": ("read", "write", "rate"),
    "ai_only": (),
    "selection": ("read", "select", "rate"),
    "guidance_selection": ("read", "guide", "select", "rate"),
    "guidance_selection_post_editing": ("read", "guide", "select", "edit", "rate"),
}
EASIEST, HARDEST = 1, 5
MAX_CHARACTERS = 500
FORMAT = 1


class CoWriter(Protocol):
    """What proposes."""

    def keywords(self) -> Sequence[str]:
        """Perspectives to choose from."""
        ...

    def headlines(self, perspectives: Sequence[str]) -> Sequence[str]:
        """Headlines to choose from.

        Args:
            perspectives: those that were chosen; empty for none.
        """
        ...


@dataclass
class LogEntry:
    """One step that was done.

    Attributes:
        step: its name.
        seconds: the person took for it, without the time in which the session was closed or proposals were made.
        answer: what was submitted.
        proposed: what could be chosen from.
    """

    step: str
    seconds: float
    answer: Any
    proposed: list[str] = field(default_factory=list)


class CoCreationSession:
    """One text about one document, made by a person and a writer.

    Args:
        document: what is to be read, such as id, title and text of an item; only its text is shown.
        writer: proposes perspectives and headlines.
        condition: which steps there are.
        clock: seconds, rising.

    Raises:
        ConfigError: for an unknown condition, or a writer that proposes nothing.
    """

    def __init__(
        self,
        document: Mapping[str, str],
        writer: CoWriter,
        condition: Condition = "guidance_selection_post_editing",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if condition not in get_args(Condition):
            raise ConfigError("no such condition", key=condition, hint=did_you_mean(condition, STEPS))
        self.document, self.writer, self.condition, self.clock = dict(document), writer, condition, clock
        self.log: list[LogEntry] = []
        self.text: str | None = None
        self.difficulty: int | None = None
        self._proposed: list[str] = []
        self._spent, self._since = 0.0, 0.0
        if condition == "ai_only":
            self.text = self._headlines(())[0]
        self._begin()

    @property
    def step(self) -> Step:
        """The step that is to be done now; ``done`` at the end."""
        steps = STEPS[self.condition]
        return steps[len(self.log)] if len(self.log) < len(steps) else "done"

    def view(self) -> dict[str, Any]:
        """What a page shows now: the document, what was done, and the choices of this step; nothing of later steps."""
        shown: dict[str, Any] = {"step": self.step, "document": self.document, "text": self.text}
        shown["done"] = [{"step": entry.step, "answer": entry.answer} for entry in self.log]
        if self._proposed:
            shown["choices"] = list(self._proposed)
        return shown

    def submit(self, step: Step, answer: Any = None) -> Step:
        """Do a step.

        Args:
            step: must be the present one.
            answer: nothing for ``read``; chosen perspectives for ``guide``; the chosen headline for ``select``; the
                text for ``write`` and ``edit``; 1 (easy) to 5 (hard) for ``rate``.

        Returns:
            The next step.

        Raises:
            ConfigError: for another step than the present one, or an answer that does not fit it; nothing is changed.
        """
        if step != self.step:
            raise ConfigError(f"the session is at step {self.step!r}", key=step, hint="do the steps in their order")
        answer = self._checked(answer)
        seconds = self._spent + self.clock() - self._since
        following = self._next_proposals(answer) if step in ("read", "guide") else []
        self.log.append(LogEntry(step, seconds, answer, self._proposed))
        if step in ("select", "write", "edit"):
            self.text = answer
        elif step == "rate":
            self.difficulty = answer
        self._proposed = following
        self._begin()
        return self.step

    def summary(self) -> dict[str, Any]:
        """Time by step, difficulty, and how far the text is from the headline that was chosen.

        Raises:
            MissingDependencyError: if a text was edited and rapidfuzz is not installed.
        """
        found: dict[str, Any] = {"condition": self.condition, "text": self.text, "difficulty": self.difficulty}
        found["seconds"] = {entry.step: entry.seconds for entry in self.log}
        found["total_seconds"] = sum(entry.seconds for entry in self.log)
        answers = {entry.step: entry.answer for entry in self.log}
        if "edit" in answers:
            found["edits"] = asdict(edits_between(answers["select"], answers["edit"]))
        return found

    def state(self) -> dict[str, Any]:
        """The session as JSON, with the time that this step has taken so far."""
        return {
            "format": FORMAT, "condition": self.condition, "document": self.document, "text": self.text,
            "difficulty": self.difficulty, "proposed": self._proposed,
            "spent": self._spent + self.clock() - self._since, "log": [asdict(entry) for entry in self.log],
        }  # fmt: skip

    @classmethod
    def from_state(
        cls, state: Any, writer: CoWriter, clock: Callable[[], float] = time.monotonic, away: float = 0.0
    ) -> CoCreationSession:
        """Restore what :meth:`state` returned; proposals are those that were shown.

        Args:
            state: as returned.
            writer: proposes what was not proposed yet.
            clock: seconds, rising; may differ from that of before.
            away: seconds since then that count for the present step.

        Raises:
            ConfigError: if this is no session, or one of another version.
        """
        if not isinstance(state, dict) or state.get("format") != FORMAT or state.get("condition") not in STEPS:
            raise ConfigError("this is no session that can be resumed")
        out = cls.__new__(cls)
        out.document, out.writer, out.clock = state["document"], writer, clock
        out.condition, out.text, out.difficulty = state["condition"], state["text"], state["difficulty"]
        out.log, out._proposed = [LogEntry(**entry) for entry in state["log"]], list(state["proposed"])
        out._begin()
        out._spent = float(state["spent"]) + away
        return out

    def save(self, path: str | Path) -> None:
        """Write the session as JSON, so that it can be resumed; the time until then is not counted.

        Args:
            path: file.
        """
        write_json(path, self.state())

    @classmethod
    def resume(
        cls, path: str | Path, writer: CoWriter, clock: Callable[[], float] = time.monotonic
    ) -> CoCreationSession:
        """Restore what :meth:`save` wrote.

        Args:
            path: file.
            writer: proposes what was not proposed yet.
            clock: seconds, rising; may differ from that of before.

        Raises:
            ConfigError: if the file is no session, or one of another version.
        """
        try:
            return cls.from_state(read_json(path), writer, clock)
        except ConfigError as error:
            raise ConfigError(error.message, key=str(path)) from error

    def _begin(self) -> None:
        self._spent, self._since = 0.0, self.clock()

    def _next_proposals(self, answer: Any) -> list[str]:
        steps = STEPS[self.condition]
        following = steps[len(self.log) + 1]
        if following == "guide":
            return _distinct(self.writer.keywords(), "keywords")
        return self._headlines(answer or ()) if following == "select" else []

    def _headlines(self, perspectives: Sequence[str]) -> list[str]:
        return _distinct(self.writer.headlines(perspectives), "headlines")

    def _checked(self, answer: Any) -> Any:
        if self.step == "read":
            return None
        if self.step == "guide":
            chosen = [answer] if isinstance(answer, str) else list(answer or ())
            if not chosen:
                raise ConfigError("choose at least one perspective", key="guide")
            for one in chosen:
                if one not in self._proposed:
                    raise ConfigError("no such perspective", key=one, hint=did_you_mean(str(one), self._proposed))
            return chosen
        if self.step == "select":
            if answer not in self._proposed:
                raise ConfigError("no such headline", key=answer, hint="choose one of those that are shown")
            return answer
        if self.step == "rate":
            if isinstance(answer, bool) or not isinstance(answer, int) or not EASIEST <= answer <= HARDEST:
                raise ConfigError(f"a whole number from {EASIEST} (easy) to {HARDEST} (hard)", key=answer)
            return answer
        text = " ".join(str(answer or "").split())
        if not 0 < len(text) <= MAX_CHARACTERS:
            raise ConfigError(f"a text of 1 to {MAX_CHARACTERS} characters", key=self.step)
        return text


def _distinct(proposed: Sequence[str], what: str) -> list[str]:
    found = list(dict.fromkeys(" ".join(one.split()) for one in proposed if one.strip()))
    if not found:
        raise ConfigError(f"the writer proposes no {what}", hint="the document may have nothing to say")
    return found
