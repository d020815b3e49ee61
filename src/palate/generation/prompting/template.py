"""Prompts from templates: a fixed instruction, data in named slots, and solved examples."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from palate.contracts import Prompt
from palate.core.errors import ConfigError

ANSWER = "Answer:"
"""Parts reasons and answer in completions with a chain of thought."""
_SETTING = re.compile(r"[\w .,%-]{1,40}")
_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Example:
    """A solved example.

    Attributes:
        data: slot -> text.
        answer: the right answer.
        rationale: reasons that lead to it, for a chain of thought.
    """

    data: Mapping[str, str]
    answer: str
    rationale: str = ""


@dataclass(frozen=True)
class PromptTemplate:
    """An instruction, its slots, and examples.

    Attributes:
        instruction: what to do; ``{name}`` stands for a setting of the operator, never for texts of items or users.
        slots: names of the data; each has to be given.
        examples: solved examples for every prompt; :meth:`fill` may add some chosen for one.
        rationale: ask for reasons before the answer (chain of thought, Wei et al. 2022; without examples Kojima et al.
            2022); examples without a rationale are left out then.
        answer_start: words with which the answer begins.
    """

    instruction: str
    slots: tuple[str, ...]
    examples: tuple[Example, ...] = ()
    rationale: bool = False
    answer_start: str = ""

    def fill(
        self,
        data: Mapping[str, str],
        examples: Sequence[Example] = (),
        settings: Mapping[str, int | str] | None = None,
        images: Sequence[bytes] = (),
    ) -> Prompt:
        """The prompt with its data.

        Args:
            data: slot -> text.
            examples: solved examples after the template's own.
            settings: values of the instruction's places: numbers and short words.
            images: picture bytes.

        Raises:
            ConfigError: for a slot or setting that is missing or unknown, and for a setting that is no short word.
        """
        self._check(data, "slot", self.slots)
        settings = settings or {}
        self._check(settings, "setting", tuple(dict.fromkeys(_PLACE.findall(self.instruction))))
        for name, value in settings.items():
            if not _SETTING.fullmatch(str(value)):
                raise ConfigError("a setting is a number or a short word; texts belong in a slot", key=name)
        instruction = _PLACE.sub(lambda place: str(settings[place[1]]), self.instruction)
        if self.rationale:
            instruction += f" Think step by step: first give the reasons, then write {ANSWER!r} and the answer alone."
        solved = [(dict(one.data), self._solution(one)) for one in (*self.examples, *examples) if self._usable(one)]
        return Prompt(instruction, dict(data), tuple(solved), tuple(images), self.answer_start)

    def _usable(self, example: Example) -> bool:
        return bool(example.rationale) or not self.rationale

    def _solution(self, example: Example) -> str:
        return f"{example.rationale}\n{ANSWER} {example.answer}" if self.rationale else example.answer

    @staticmethod
    def _check(given: Mapping[str, object], what: str, wanted: tuple[str, ...]) -> None:
        for name in wanted:
            if name not in given:
                raise ConfigError(f"the {what} {name!r} is not given", key=name)
        for name in given:
            if name not in wanted:
                raise ConfigError(f"no such {what}", key=name, hint=f"{what}s: {', '.join(wanted) or 'none'}")


def split_rationale(text: str) -> tuple[str, str]:
    """(reasons, answer) of a completion with a chain of thought: the answer stands after the last mark.

    Args:
        text: the completion; without a mark its last line is the answer.
    """
    marks = list(re.finditer(rf"(?im)^\W*{re.escape(ANSWER[:-1])}\W*:\W*", text))
    if marks:
        return text[: marks[-1].start()].strip(), text[marks[-1].end() :].strip()
    head, _, last = text.strip().rpartition("\n")
    return head.strip(), last.strip()


def answer_prompt(prompt: Prompt, rationale: str) -> Prompt:
    """The second question of a zero-shot chain of thought: the answer, given the reasons as data.

    Args:
        prompt: the first question.
        rationale: what was answered to it.
    """
    instruction = f"{prompt.instruction} The reasons are given; give the answer alone."
    return Prompt(instruction, {**prompt.data, "reasons": rationale}, (), prompt.images, prompt.answer_start)
