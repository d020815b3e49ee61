"""Prompts of LaMP's seven tasks: the query's text, and the user's documents that were retrieved for it, as data.

The forms of documents are those of LaMP ("<title>" is the title for "<text>"); the instruction is Palate's own and
stands apart from all texts. Each document is cut to its share of the token budget, so that all k of them fit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from palate.contracts import Prompt
from palate.core.errors import DataError
from palate.generation.decoding.commands import without_commands
from palate.generation.prompting.budget import Count, fit_documents, truncate
from palate.generation.prompting.examples import ExampleSelector
from palate.models.generate.shared.lamp_data import LampSample, LampTask

QUERY_SHARE = 0.5
"""Of the budget, at most, for the query where documents are given."""
JOINT = ", and "
_QUOTED = re.compile(r'"(.*?)"(?=[\s,.?]|$)', re.DOTALL)
FORMS = {
    "LaMP_1": '"{title}"',
    "LaMP_2": 'the tag for the movie "{description}" is "{tag}"',
    "LaMP_3": '{score} is the score for "{text}"',
    "LaMP_4": '"{title}" is the title for "{text}"',
    "LaMP_5": '"{title}" is the title for "{abstract}"',
    "LaMP_6": '"{title}" is the title for "{text}"',
    "LaMP_7": '"{text}"',
}
"""How a document of a profile is written."""
_CUT = {"LaMP_1": "title", "LaMP_2": "description", "LaMP_5": "abstract"}


def query_data(sample: LampSample, task: LampTask) -> dict[str, str]:
    """The texts of a question without its instruction.

    Args:
        sample: a question.
        task: its task.

    Returns:
        ``title``, ``[1]`` and ``[2]`` of LaMP_1; ``text`` of the others.

    Raises:
        DataError: if the input is not in LaMP's form.
    """
    if task.name == "LaMP_1":
        titles = _QUOTED.findall(sample.input)
        if len(titles) < 3:
            raise DataError("a question of LaMP_1 names a paper and two others in quotes", key=sample.id)
        return {"title": titles[0], "[1]": titles[-2], "[2]": titles[-1]}
    _, mark, text = sample.input.partition(task.asked)
    return {"text": (text if mark else sample.input).strip()}


def query_text(sample: LampSample, task: LampTask) -> str:
    """What documents are searched by.

    Args:
        sample: a question.
        task: its task.

    Raises:
        DataError: if the input is not in LaMP's form.
    """
    return " ".join(query_data(sample, task).values())


def retrieve(sample: LampSample, task: LampTask, selector: ExampleSelector, k: int) -> list[Mapping[str, str]]:
    """The k documents of the profile that fit a question best.

    Args:
        sample: a question.
        task: its task.
        selector: how they are chosen.
        k: documents at most; 0 for none.

    Raises:
        DataError: if the input is not in LaMP's form.
    """
    texts = [" ".join(document[field] for field in task.searched) for document in sample.profile]
    return [sample.profile[place] for place in selector.select(query_text(sample, task), texts, k)] if k else []


def write_document(document: Mapping[str, str], task: LampTask, tokens: int, count: Count) -> str:
    """A document in the form of its task, its long field cut to a budget.

    Args:
        document: of a profile.
        task: the task.
        tokens: at most, where the form itself fits.
        count: tokens of a text.
    """
    # documents stand in one text, and a command in one must not cut off the others
    document = {key: without_commands(value) for key, value in document.items()}
    form, field = FORMS[task.name], _CUT.get(task.name, "text")
    frame = form.format(**{**document, field: ""})
    return form.format(**{**document, field: truncate(document[field], max(tokens - count(frame), 0), count)})


def build_prompt(
    sample: LampSample, task: LampTask, documents: Sequence[Mapping[str, str]], tokens: int, count: Count
) -> Prompt:
    """The prompt of a question.

    Args:
        sample: a question.
        task: its task.
        documents: of the profile, the best first.
        tokens: for all data.
        count: tokens of a text, such as ``TextBackend.count``.

    Raises:
        DataError: if the input is not in LaMP's form.
    """
    query = query_data(sample, task)
    budget = int(tokens * QUERY_SHARE) if documents else tokens
    data = dict(zip(query, fit_documents(list(query.values()), budget, count)))
    if not documents:
        return Prompt(task.instruction, data)
    left = tokens - sum(map(count, data.values())) - count(JOINT) * (len(documents) - 1)
    written = []
    for place, document in enumerate(documents):
        share = max(left, 0) // (len(documents) - place)
        written.append(write_document(document, task, share, count))
        left -= count(written[-1])
    instruction = f"{task.instruction} The profile shows what the same person wrote before; follow it."
    return Prompt(instruction, {"profile": JOINT.join(written), **data})
