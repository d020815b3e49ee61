"""LaMP's own files (Salemi et al., ACL 2024): questions with each user's profile, and gold outputs.

Questions: a JSON list of ``{"id", "input", "profile": [{"id", ...fields}]}``. Outputs: ``{"task": "LaMP_4", "golds":
[{"id", "output"}]}``. The fields of a profile differ by task; see :data:`TASKS`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from palate.core.errors import ConfigError, DataError, did_you_mean

AnswerKind = Literal["choice", "number", "text"]


@dataclass(frozen=True)
class LampTask:
    """One of the seven tasks.

    Attributes:
        name: ``LaMP_1`` to ``LaMP_7``.
        instruction: what to do, in Palate's words.
        asked: words of a question's input after which the query's text begins.
        fields: fields of a document of the profile.
        searched: the fields by which documents are found.
        answer: kind of the answer.
        choices: answers of a choice.
    """

    name: str
    instruction: str
    asked: str
    fields: tuple[str, ...]
    searched: tuple[str, ...]
    answer: AnswerKind
    choices: tuple[str, ...] = ()

    @property
    def answers(self) -> tuple[str, ...]:
        """All answers there are; empty where a text is written."""
        return SCORES if self.answer == "number" else self.choices


SCORES = ("1", "2", "3", "4", "5")
_TAGS = (
    "sci-fi", "based on a book", "comedy", "action", "twist ending", "dystopia", "dark comedy", "classic", "psychology",
    "fantasy", "romance", "thought-provoking", "social commentary", "violence", "true story",
)  # fmt: skip
TASKS = {
    task.name: task
    for task in (
        LampTask("LaMP_1", "Which of the two papers does the author of this paper refer to? Answer [1] or [2].",
                 "", ("title", "abstract"), ("title", "abstract"), "choice", ("[1]", "[2]")),
        LampTask("LaMP_2", "Which of these tags fits the movie? Answer with the tag alone: " + ", ".join(_TAGS) + ".",
                 "description:", ("description", "tag"), ("description",), "choice", _TAGS),
        LampTask("LaMP_3", "Which score, from 1 to 5, goes with this review? Answer with the number alone.",
                 "review:", ("text", "score"), ("text",), "number"),
        LampTask("LaMP_4", "Write the headline of this article.", "article:", ("text", "title"), ("text",), "text"),
        LampTask("LaMP_5", "Write the title of the paper with this abstract.", "paper:", ("abstract", "title"),
                 ("abstract",), "text"),
        LampTask("LaMP_6", "Write the subject of this email.", "email:", ("text", "title"), ("text",), "text"),
        LampTask("LaMP_7", "Say this tweet in other words, as its author would.", "it:", ("text",), ("text",), "text"),
    )
}  # fmt: skip


def with_choices(task: LampTask, choices: Sequence[str]) -> LampTask:
    """A task with other answers to choose from.

    Args:
        task: a task whose answers are chosen.
        choices: the answers; empty keeps those of the task.

    Raises:
        ConfigError: for a task whose answers are not chosen, or fewer than two answers.
    """
    if not choices:
        return task
    if task.answer != "choice" or len(set(choices)) < 2:
        raise ConfigError(f"{task.name} takes no such choices", key="choices", hint="two or more, for LaMP_1 or LaMP_2")
    instruction = f"Which of these fits? Answer with one of them alone: {', '.join(choices)}."
    return replace(task, instruction=instruction, choices=tuple(choices))


@dataclass(frozen=True)
class LampSample:
    """A question with the user's profile.

    Attributes:
        id: of the question.
        input: as it stands in the file.
        profile: documents of the user, in the order of the file.
        output: the gold answer; None where the file of outputs is not given.
        writer: row of the user who wrote the outputs; -1 where they are not a user's own words.
    """

    id: str
    input: str
    profile: tuple[Mapping[str, str], ...]
    output: str | None = None
    writer: int = -1


def find_task(name: str) -> LampTask:
    """A task by its name.

    Args:
        name: such as ``LaMP_4``, ``lamp-4`` or ``4``.

    Raises:
        DataError: for an unknown task.
    """
    digits = "".join(letter for letter in name if letter.isdigit())
    task = TASKS.get(f"LaMP_{digits}")
    if task is None:
        raise DataError(f"no task of LaMP is named {name!r}", hint=did_you_mean(name, TASKS))
    return task


def read_questions(questions: str | Path, task: LampTask, outputs: str | Path | None = None) -> list[LampSample]:
    """Read questions and, where given, their outputs.

    Args:
        questions: file of questions.
        task: the task that they belong to.
        outputs: file of outputs.

    Raises:
        DataError: for a file in another layout, a question without an output, or outputs of another task.
    """
    golds = None if outputs is None else _read_outputs(Path(outputs), task)
    rows = _read_json(Path(questions))
    if not isinstance(rows, list):
        raise DataError("a list of questions is expected", file=questions)
    samples = []
    for place, row in enumerate(rows, 1):
        sample = _sample(row, task, Path(questions), place)
        if golds is not None:
            if sample.id not in golds:
                raise DataError("this question has no output", file=outputs, key=sample.id)
            sample = LampSample(sample.id, sample.input, sample.profile, golds[sample.id])
        samples.append(sample)
    return samples


def _sample(row: Any, task: LampTask, file: Path, place: int) -> LampSample:
    for key in ("id", "input", "profile"):
        if not isinstance(row, dict) or key not in row:
            raise DataError(f"a question has id, input and profile; {key!r} is missing", file=file, row=place)
    if not isinstance(row["profile"], list):
        raise DataError("a profile is a list of documents", file=file, row=place, column="profile")
    for document in row["profile"]:
        for field in task.fields:
            if not isinstance(document, dict) or field not in document:
                message = f"a document of {task.name} has {', '.join(task.fields)}; {field!r} is missing"
                raise DataError(message, file=file, row=place, column="profile")
    profile = tuple({key: str(value) for key, value in document.items()} for document in row["profile"])
    return LampSample(str(row["id"]), str(row["input"]), profile)


def _read_outputs(file: Path, task: LampTask) -> dict[str, str]:
    found = _read_json(file)
    if not isinstance(found, dict) or not isinstance(found.get("golds"), list):
        raise DataError('an object with "task" and "golds" is expected', file=file)
    if find_task(str(found.get("task", ""))).name != task.name:
        raise DataError(f"these are outputs of {found.get('task')!r}, not of {task.name}", file=file, key="task")
    try:
        return {str(gold["id"]): str(gold["output"]) for gold in found["golds"]}
    except (KeyError, TypeError):
        raise DataError("each of the golds has id and output", file=file, key="golds") from None


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read as JSON: {error}", file=file) from None
