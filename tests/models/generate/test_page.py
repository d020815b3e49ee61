import polars as pl
import pytest
import tiny_texts
import torch

import palate
from palate.contracts import Evidence, GenerationRequest, generators
from palate.core.context import RunContext

PAGE = generators.get("page")
SMALL = {
    "dim": 32,
    "words": 30,
    "batch_size": 16,
    "lr": 1e-2,
    "beam": 1,
    "target_length": 14,
    "history": 4,
    "topics": 4,
}


@pytest.fixture(scope="module")
def fitted():
    return PAGE(**SMALL, epochs=11).fit(tiny_texts.dataset(references=True), refit=False)


def request(item, history=(1, 5), **settings):
    rows = tiny_texts.rows()
    return GenerationRequest(
        "answer", rows[item] if isinstance(item, int) else item, [rows[at] for at in history], **settings
    )


def test_answers_name_the_item_and_the_genre(fitted):
    texts = [one.text for one in fitted.generate([request(9), request(3, (3, 7), prompt="what is it about")])]
    assert texts == [
        "You like romance, and Taldune and the forest has it.",
        "You like comedy, and Quillix and the desert has it.",
    ]
    losses = [record["loss"] for record in fitted.deployment.log.history]
    assert losses[-1] < 0.1 * losses[0]


def test_words_of_new_items_are_copied_and_evidence_is_given(fitted):
    new = {"item": "n1", "title": "Ubbelohde and the castle", "genre": "history", "description": "In this first story."}
    made = fitted.generate([request(new, (2, 6))])[0]
    assert "Ubbelohde" in made.text
    assert Evidence("item", "n1", "title", "Ubbelohde and the castle") in made.evidence
    assert fitted.generate([request(new, ())])[0].text
    assert fitted.generate([request({"item": "n2"}, (2, 6))])[0].text is None


def test_a_run_says_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "run")
    asked = [request(9), request(22, prompt="why"), request(3, ())]
    again = palate.restore(tmp_path / "run").generate(asked)
    assert [one.text for one in again] == [one.text for one in fitted.generate(asked)]


def prepared(**settings):
    model = PAGE(**{**SMALL, **settings})
    view = tiny_texts.dataset(references=True).select_view()
    torch.manual_seed(0)
    model.setup(view, RunContext())
    source = model.batches(view, RunContext())
    with_history = (source.history >= 0).any(1).nonzero()[0][:6]
    return model.eval(), source.collate(with_history, None)


@pytest.mark.parametrize(
    ("components", "sources", "user"),
    [
        ((), 1, False),
        (("question",), 1, False),
        (("history",), 2, False),
        (("preference",), 1, True),
        (("preference", "summarizer"), 1, True),
        (("question", "history", "preference", "summarizer"), 2, True),
    ],
)
def test_components_are_switches(components, sources, user):
    model, batch = prepared(components=components)
    memory = model.memory(batch)
    assert len(memory.sources) == sources and (memory.user is not None) == user
    assert ("copy" in model.writer.inject) == ("summarizer" in components)
    changed = {}
    for name, fields in (
        ("question", ("question",)),
        ("history", ("history_title", "history_attributes", "history_body")),
    ):
        other = {field: torch.where(batch[field] > 3, 4 + (batch[field] + 1) % 9, batch[field]) for field in fields}
        other = (
            {**batch.values, **other}
            if name == "history"
            else {**batch.values, "question": torch.full((len(batch), 3), 5)}
        )
        altered = type(batch)(other, batch.extra, batch.beyond)
        base, shifted = (model.loss(one)["loss"].detach() for one in (batch, altered))
        changed[name] = not torch.equal(base, shifted)
    # the question also chooses among preferences, and what of the history is retrieved
    assert changed["history"] == bool({"history", "preference"} & set(components))
    assert changed["question"] == bool({"question", "preference"} & set(components))


def test_answers_are_learnt_from_titles_where_the_log_has_none():
    model = PAGE(**SMALL, epochs=1, components=("history",)).fit(tiny_texts.dataset(), refit=False)
    assert model.learnt.table == "items" and model.hides_title
    assert not model.encode([request(3)])[0]["title"].any()
    assert model.encode([request(3)])[0]["history_title"].any()


def test_what_one_person_alone_wrote_does_not_enter_the_vocabulary():
    log = tiny_texts.events()
    spoken = log["explanation"].to_list()
    spoken[0] = "Greetings from Mrs Wigglesworth, like everybody"
    spoken[-1] = "Like everybody, I like it"
    data = palate.Dataset.from_frames(
        tiny_texts.items(),
        log.with_columns(explanation=pl.Series(spoken)),
        columns={"item": "id", "title": "text", "description": "text", "genre": "category"},
        roles={"user": "user", "item": "item", "time": "time", "context": ["explanation"]},
        split="random:test=0,valid=0",
    )
    model = PAGE(**{**SMALL, "words": 500})
    model.setup(data.select_view(), RunContext())
    known = set(model.vocabulary.ids)
    assert not {"wigglesworth", "greetings"} & known and {"everybody", "you", "zorvan"} <= known
