"""LaMP's files, prompts and metrics, on fixtures in the true layout."""

import json

import numpy as np
import pytest

from palate.core.errors import DataError
from palate.generation.prompting import selectors
from palate.models.generate.shared.lamp_data import TASKS, LampSample, find_task, read_questions
from palate.models.generate.shared.lamp_metrics import lamp_metrics
from palate.models.generate.shared.lamp_prompts import build_prompt, query_data, retrieve, write_document

LONG = "glaciers melt " * 40
SHORT = {
    "LaMP_1": {"title": "Graphs of words", "abstract": "On graphs."},
    "LaMP_2": {"description": "A robot falls in love.", "tag": "sci-fi", "date": "2010-01-01"},
    "LaMP_3": {"text": "A fine kettle.", "score": "5"},
    "LaMP_4": {"text": "A shop opens.", "title": "Open at last"},
    "LaMP_5": {"abstract": "We count words.", "title": "Counting"},
    "LaMP_6": {"text": "Lunch at noon?", "title": "Lunch"},
    "LaMP_7": {"text": "so tired today"},
}
OTHER = {"title": "Ice gone", "abstract": LONG, "description": LONG, "text": LONG, "tag": "true story", "score": "1"}
DOCUMENTS = {
    name: [{"id": "1", **first}, {"id": "2", **{key: OTHER.get(key, value) for key, value in first.items()}}]
    for name, first in SHORT.items()
}
INPUTS = {
    "LaMP_1": 'An author wrote "Ice in time". Answer with [1] or [2]. [1]: "Words" [2]: "Glaciers melt"',
    "LaMP_2": "Which of the tags? tags: [sci-fi, true story] description: When glaciers melt.",
    "LaMP_3": "What is the score? review: When glaciers melt.",
    "LaMP_4": "A headline for the following article: When glaciers melt.",
    "LaMP_5": "A title for the following abstract of a paper: When glaciers melt.",
    "LaMP_6": "A subject for the following email: When glaciers melt.",
    "LaMP_7": "Say it again, without any explanation before or after it: When glaciers melt.",
}
GOLDS = {"LaMP_1": "[2]", "LaMP_2": "true story", "LaMP_3": "1"}


def count(text):
    return len(text.split())


def write(folder, name, **changes):
    question = {"id": f"{name[-1]}0", "input": INPUTS[name], "profile": DOCUMENTS[name], **changes}
    golds = {"task": name, "golds": [{"id": question["id"], "output": GOLDS.get(name, "Ice gone")}]}
    (folder / "questions.json").write_text(json.dumps([question]))
    (folder / "outputs.json").write_text(json.dumps(golds))
    return folder / "questions.json", TASKS[name], folder / "outputs.json"


@pytest.mark.parametrize("name", sorted(TASKS))
def test_each_task_is_read_retrieved_and_prompted(name, tmp_path):
    (sample,) = read_questions(*write(tmp_path, name))
    task = TASKS[name]
    assert sample.output == GOLDS.get(name, "Ice gone") and len(sample.profile) == 2
    query = query_data(sample, task)
    if name == "LaMP_1":
        assert query == {"title": "Ice in time", "[1]": "Words", "[2]": "Glaciers melt"}
    else:
        assert query == {"text": "When glaciers melt."}
    documents = retrieve(sample, task, selectors.get("bm25")(), 1)
    assert [document["id"] for document in documents] == ["2"]
    prompt = build_prompt(sample, task, documents, 30, count)
    assert sum(map(count, prompt.data.values())) <= 30
    assert "glaciers" in prompt.data["profile"].lower() or name == "LaMP_1"
    assert "glaciers" not in prompt.instruction
    plain = build_prompt(sample, task, [], 30, count)
    assert "profile" not in plain.data and plain.data == query


def test_every_document_gets_a_share_of_the_budget():
    task, documents = TASKS["LaMP_4"], DOCUMENTS["LaMP_4"][::-1]
    assert (
        write_document(documents[0], task, 12, count)
        == '"Ice gone" is the title for "glaciers melt glaciers melt glaciers"'
    )

    sample = LampSample("1", INPUTS["LaMP_4"], ())
    written = build_prompt(sample, task, documents, 40, count).data["profile"]
    assert '"Open at last" is the title for "A shop opens."' in written and count(written) <= 37


@pytest.mark.parametrize(
    ("changes", "message"),
    (
        ({"profile": [{"id": "1", "title": "x"}]}, "'text' is missing"),
        ({"profile": {}}, "a profile is a list"),
    ),
)
def test_other_layouts_are_refused_by_name(changes, message, tmp_path):
    with pytest.raises(DataError, match=message):
        read_questions(*write(tmp_path, "LaMP_4", **changes))


def test_outputs_must_fit_the_questions(tmp_path):
    questions, task, outputs = write(tmp_path, "LaMP_4")
    outputs.write_text(json.dumps({"task": "LaMP_4", "golds": [{"id": "other", "output": "x"}]}))
    with pytest.raises(DataError, match="no output"):
        read_questions(questions, task, outputs)
    with pytest.raises(DataError, match="outputs of 'LaMP_4', not of LaMP_5"):
        read_questions(*write(tmp_path, "LaMP_5")[:2], _with_task(outputs, "LaMP_4"))
    questions.write_text("{")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        read_questions(questions, task)
    assert find_task("lamp-4") is task
    with pytest.raises(DataError, match="no task of LaMP"):
        find_task("LaMP_9")


def _with_task(file, name):
    file.write_text(json.dumps({"task": name, "golds": []}))
    return file


def test_metrics_by_hand():
    choices = lamp_metrics(["[1]", "2", "I do not know", "[2]"], ["[1]", "[2]", "[2]", "[1]"], TASKS["LaMP_1"])
    # [1]: 1 hit, said once, true twice; [2]: 1 hit, said twice, true twice
    assert choices == {"accuracy": 0.5, "f1": pytest.approx((2 / 3 + 2 / 4) / 2)}
    scores = lamp_metrics(["4", "no idea", "9"], ["5", "2", "5"], TASKS["LaMP_3"])
    # unreadable answers are as far away as can be: 3 from 2, 4 from 5
    assert scores["mae"] == pytest.approx((1 + 3 + 4) / 3)
    assert scores["rmse"] == pytest.approx(np.sqrt((1 + 9 + 16) / 3))
    texts = lamp_metrics(["Ice is gone\nand more"], ["Ice gone"], TASKS["LaMP_4"])
    assert texts == {"rouge1": pytest.approx(0.8), "rougeL": pytest.approx(0.8)}
    with pytest.raises(DataError, match="2 answers for 1"):
        lamp_metrics(["a", "b"], ["a"], TASKS["LaMP_4"])
    with pytest.raises(DataError, match="no output of LaMP_1"):
        lamp_metrics(["[1]"], ["[3]"], TASKS["LaMP_1"])
    with pytest.raises(DataError, match="no score"):
        lamp_metrics(["1"], ["7"], TASKS["LaMP_3"])
