"""Samples of LaMP out of requests and datasets: an input, and the user's documents with what the user made of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from palate.contracts import Evidence, GenerationRequest
from palate.contracts.generator import TextKind
from palate.core.errors import DataError
from palate.data.dataset import Dataset
from palate.data.views import TrainView
from palate.models.generate.shared.columns import TITLES, ItemColumns, said
from palate.models.generate.shared.lamp_data import LampSample, LampTask
from palate.models.generate.shared.lamp_prompts import query_text
from palate.models.generate.shared.targets import TextColumn, texts_of

KINDS: dict[str, TextKind] = {
    "LaMP_1": "answer", "LaMP_2": "tags", "LaMP_3": "answer", "LaMP_4": "headline", "LaMP_5": "title",
    "LaMP_6": "email_subject", "LaMP_7": "paraphrase",
}  # fmt: skip
"""Kind of content of each task."""
OUTPUTS = {"LaMP_2": "tag", "LaMP_3": "score", "LaMP_4": "title", "LaMP_5": "title", "LaMP_6": "title"}
"""Field of a document that holds what the user made of it; the other tasks have none."""
SECOND = 1_000_000_000
"""Order of documents as times, in seconds."""
LONG = 8
"""Words of a text that is no attribute."""
RATINGS = ("score", "rating", "stars")
"""Columns of a history that hold scores."""


def request_of(sample: LampSample, task: LampTask) -> GenerationRequest:
    """The request that a question of LaMP's files is.

    Args:
        sample: a question.
        task: its task.
    """
    return GenerationRequest(KINDS[task.name], {"id": sample.id}, sample.profile, prompt=sample.input)


def dataset_of(samples: Sequence[LampSample], task: LampTask, name: str = "lamp") -> Dataset:
    """Questions of LaMP's files as a dataset to fit to: a user a question, whose newest item is the question itself.

    Args:
        samples: with outputs.
        task: their task.
        name: of the dataset.

    Returns:
        A dataset whose log has the column ``output``; all of it is for training.

    Raises:
        DataError: without samples, or for a sample without its output.
    """
    field = OUTPUTS.get(task.name)
    texts, log = dict[str, str](), []
    for sample in samples:
        if sample.output is None:
            raise DataError("there is no output to learn", key=sample.id, hint="give read_questions the outputs")
        rows = [(f"{sample.id}/{at}", one) for at, one in enumerate(sample.profile)]
        texts |= {key: " ".join(one[part] for part in task.searched) for key, one in rows}
        texts[sample.id] = query_text(sample, task)
        made = [(key, one[field] if field else None) for key, one in rows] + [(sample.id, sample.output)]
        log += [(sample.id, key, SECOND * (at + 1), output, 0) for at, (key, output) in enumerate(made)]
    if not log:
        raise DataError("there are no questions")
    items = pl.DataFrame({"id": list(texts), "text": list(texts.values())})
    events = pl.DataFrame(log, ["user", "item", "time", "output", "part"], orient="row")
    roles = {"user": "user", "item": "item", "time": "time", "context": "output", "part": "part"}
    return Dataset.from_frames(
        items, events, columns={"id": "id", "text": "text"}, roles=roles, split="given", name=name, ids="text"
    )


def sample_of(
    request: GenerationRequest, task: LampTask, columns: ItemColumns, learnt: TextColumn | None = None
) -> LampSample:
    """A request as a sample: the item's text, or the prompt where the item has none, and the history as the profile.

    Rows of the history without a text, or without what the user made of it, are left out.

    Args:
        request: of the task's kind.
        task: the task.
        columns: columns of items by role.
        learnt: column that holds what users made of items; None takes the task's own field.
    """
    text = item_text(request.item, task, columns, learnt)
    profile = (document_of(row, task, columns, learnt) for row in request.history)
    asked = f"{task.asked} {text}".strip() if text else request.prompt or ""
    name = said(request.item.get(columns.ids)) or ""
    return LampSample(name, asked, tuple(one for one in profile if one is not None))


def samples_of(
    train: TrainView, task: LampTask, columns: ItemColumns, target: TextColumn, longest: int
) -> list[LampSample]:
    """Each pair of a user and an item with what the user made of it, and the user's earlier pairs as the profile.

    Args:
        train: the training view. Without times the profile are the user's other pairs.
        task: the task.
        columns: columns of items by role.
        target: column of the outputs.
        longest: newest documents of a profile that are kept.
    """
    outputs = texts_of(train, target)
    rows = list(train.items_table.frame.iter_rows(named=True))
    texts = [item_text(row, task, columns, target) for row in rows]
    by = (train.items, train.users) if train.times is None else (train.items, train.times, train.users)
    order = np.lexsort(by)
    starts = np.flatnonzero(np.diff(train.users[order], prepend=-1))
    out = []
    for events in np.split(order, starts[1:]):
        writer = int(train.users[events[0]]) if target.table == "log" else -1
        pairs = [(int(event), rows[train.items[event]], texts[train.items[event]]) for event in events]
        documents = [written(row.get(columns.ids), text, outputs[event], task) for event, row, text in pairs]
        for place, (event, row, text) in enumerate(pairs):
            output = outputs[event]
            if output is None or text is None:
                continue
            others = documents[:place] if train.times is not None else documents[:place] + documents[place + 1 :]
            profile = tuple(one for one in others if one is not None)[-longest:]
            asked = f"{task.asked} {text}".strip()
            out.append(LampSample(str(row.get(columns.ids)), asked, profile, output, writer))
    return out


def item_text(
    row: Mapping[str, Any], task: LampTask, columns: ItemColumns, learnt: TextColumn | None = None
) -> str | None:
    """What is read of an item: the field of the task, or its title, attributes and text without what is learnt.

    Args:
        row: columns of the item.
        task: the task.
        columns: columns of items by role.
        learnt: column that holds what users made of items; None takes the task's own field.
    """
    field = OUTPUTS.get(task.name)
    own = [said(row.get(name)) for name in task.searched if name != field]
    if all(own) and (learnt is None or learnt.name not in task.searched):
        return " ".join(filter(None, own))
    hidden = (field,) if learnt is None else (learnt.name,) if learnt.table == "items" else ()
    title = None if columns.title in hidden else columns.title_of(row)
    parts = [title, columns.attributes_of(row), columns.body_of(row)]
    return ". ".join(part.rstrip(".") for part in parts if part) or None


def document_of(
    row: Mapping[str, Any], task: LampTask, columns: ItemColumns, learnt: TextColumn | None = None
) -> dict[str, str] | None:
    """A row of a history as a document of the profile; None where it lacks a text or an output.

    Args:
        row: columns, in LaMP's fields or a catalogue's.
        task: the task.
        columns: columns of items by role.
        learnt: column that holds what users made of items; None takes the task's own field.
    """
    fields = {field: said(row.get(field)) for field in task.fields}
    if learnt is None and all(fields.values()):
        return {"id": str(row.get("id", "")), **{field: value or "" for field, value in fields.items()}}
    field = OUTPUTS.get(task.name, "")
    names = ("" if learnt is None else learnt.name, field, *(RATINGS if task.answer == "number" else ()))
    output = next((value for name in names if name and (value := said(row.get(name)))), None)
    return written(row.get(columns.ids), item_text(row, task, columns, learnt), output, task)


def written(identity: Any, text: str | None, output: str | None, task: LampTask) -> dict[str, str] | None:
    """A document of a profile; None where it lacks a text or an output.

    Args:
        identity: id of the item.
        text: what the user read.
        output: what the user made of it.
        task: the task.
    """
    field = OUTPUTS.get(task.name)
    if text is None or (field is not None and output is None):
        return None
    own = {field: output or ""} if field else {}
    return {"id": str(identity), **dict.fromkeys(task.fields, text), **own}


def evidence_of(documents: Sequence[Mapping[str, str]], task: LampTask) -> list[Evidence]:
    """The documents that were read, as evidence.

    Args:
        documents: of the profile.
        task: the task.
    """
    return [
        Evidence("history", document.get("id", ""), field, document[field])
        for document in documents for field in task.fields
    ]  # fmt: skip


def guess_columns(rows: Sequence[Mapping[str, Any]]) -> ItemColumns:
    """Columns by role where no catalogue is known: the first is the id, texts of more than eight words are read.

    Args:
        rows: of requests.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    texts = {name: [value for row in rows if isinstance(value := row.get(name), str)] for name in names}
    title = next((name for wanted in TITLES for name in names if name.lower() == wanted), None)
    ids = names[0] if names else "id"
    words = {name: max((len(text.split()) for text in found), default=0) for name, found in texts.items()}
    left = [name for name in names if name not in (ids, title) and words[name]]
    body = tuple(name for name in left if words[name] > LONG)
    return ItemColumns(ids, title, body, tuple(name for name in left if name not in body))
