"""A person who is simulated: what is wanted of a text is known, so that conditions can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from palate.generation.flows.item_values import contains, words
from palate.generation.flows.session import CoCreationSession


class Person(Protocol):
    """Who does the steps of a session."""

    def act(self, session: CoCreationSession) -> Any:
        """The answer to the present step.

        Args:
            session: what is shown.
        """
        ...


class Clock:
    """Seconds that pass only when told so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Seconds so far."""
        return self.now


class SimulatedPerson:
    """Wants some words in the headline and some not; reads, writes and errs at given rates.

    Args:
        wanted: phrases that the headline should have.
        unwanted: phrases that it must not have.
        clock: is advanced by what each act takes.
        seed: of the errors.
        reading: words a second.
        writing: words a second; 40 words a minute by default.
        care: probability that a choice is the best one, else it is any; and that an edit is made.

    Attributes:
        typed: words that were typed or taken out so far.
    """

    def __init__(
        self,
        wanted: Sequence[str],
        unwanted: Sequence[str] = (),
        *,
        clock: Clock,
        seed: int = 0,
        reading: float = 4.0,
        writing: float = 0.67,
        care: float = 0.9,
    ) -> None:
        self.wanted, self.unwanted, self.clock = list(wanted), list(unwanted), clock
        self.reading, self.writing, self.care = reading, writing, care
        self.rng = np.random.default_rng(seed)
        self.typed = 0

    def quality(self, text: str | None) -> float:
        """Share of the wanted phrases that a text has, minus that of the unwanted.

        Args:
            text: a headline.
        """
        said = words(text or "")
        good = sum(contains(said, words(one)) for one in self.wanted) / max(1, len(self.wanted))
        return good - sum(contains(said, words(one)) for one in self.unwanted) / max(1, len(self.unwanted))

    def act(self, session: CoCreationSession) -> Any:
        """The answer to the present step.

        Args:
            session: what is shown.
        """
        shown = session.view()
        choices: list[str] = shown.get("choices", [])
        self._read(" ".join(choices))
        if shown["step"] == "read":
            self._read(" ".join(session.document.values()))
            return None
        if shown["step"] == "guide":
            best = [one for one in choices if self.quality(one) > 0]
            return best if best and self._careful() else [str(self.rng.choice(choices))]
        if shown["step"] == "select":
            return max(choices, key=self.quality) if self._careful() else str(self.rng.choice(choices))
        if shown["step"] == "write":
            return self._typed(session.document.get("title", ""), self.wanted)
        if shown["step"] == "edit":
            return self._edited(str(shown["text"]))
        spent = sum(entry.seconds for entry in session.log)
        return int(np.clip(1 + spent // 20, 1, 5))

    def run(self, session: CoCreationSession) -> CoCreationSession:
        """Do all steps that are left.

        Args:
            session: is brought to its end.
        """
        while session.step != "done":
            session.submit(session.step, self.act(session))
        return session

    def _careful(self) -> bool:
        return bool(self.rng.random() < self.care)

    def _read(self, text: str) -> None:
        self.clock.now += len(text.split()) / self.reading

    def _type(self, words: int) -> None:
        self.typed += words
        self.clock.now += words / self.writing

    def _typed(self, start: str, phrases: Sequence[str]) -> str:
        # of what must be thought of unaided some is forgotten
        recalled = [one for one in phrases if self._careful()] or list(phrases[:1])
        text = f"{start}: {', '.join(recalled)}" if start else ", ".join(recalled)
        self._type(len(text.split()))
        return text

    def _edited(self, text: str) -> str:
        self._read(text)
        said = words(text)
        removed = [one for one in self.unwanted if contains(said, words(one)) and self._careful()]
        for one in removed:
            text = " ".join(text.replace(one, "").split())
        missing = [one for one in self.wanted if not contains(said, words(one)) and self._careful()]
        self._type(len(removed) + sum(len(one.split()) for one in missing))
        return ", ".join([text.rstrip("."), *missing])
