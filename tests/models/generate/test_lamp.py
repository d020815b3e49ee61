"""LaMP: profiles make answers personal, each document is encoded apart, all tasks and readers answer."""

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import palate
from palate.contracts import Completion, Evidence, GenerationRequest, generators
from palate.core.errors import ConfigError, DataError, NotFittedError, UnsupportedError
from palate.data.dataset import Dataset
from palate.models.generate.shared import lamp_retrieval
from palate.models.generate.shared.lamp_backend import best
from palate.models.generate.shared.lamp_data import TASKS, LampSample, read_questions
from palate.models.generate.shared.lamp_fusion import FusedPassages
from palate.models.generate.shared.lamp_reader import FusionReader, PassageBatch, Passages
from palate.models.generate.shared.lamp_retrieval import StoredVectors, retrieve_all
from palate.models.generate.shared.lamp_samples import dataset_of, request_of
from palate.modules.text_generation.words import END

LAMP = generators.get("lamp")
SMALL = {"dim": 32, "words": 80, "lr": 5e-3, "beam": 1, "query_length": 12, "document_length": 16, "target_length": 8}
COLOURS, SHAPES = ("red", "blue", "green"), ("cup", "bowl", "plate", "jug")


def rows():
    return [
        {"id": f"{colour[0]}{at}", "name": f"{colour} {shape}"}
        for colour in COLOURS for at, shape in enumerate(SHAPES)
    ]  # fmt: skip


def mood(user):
    return "5" if user % 2 else "1"


def shop(users=40):
    """Half of the users rate everything 5, half 1: an item says nothing, a profile all."""
    items, log = rows(), []
    for user in range(users):
        for at, item in enumerate(np.random.default_rng(user).permutation(len(items))[:4]):
            log.append((f"u{user}", items[item]["id"], 1_000_000_000 + at, mood(user), 0))
    events = pl.DataFrame(log, ["user", "item", "time", "score", "part"], orient="row")
    roles = {"user": "user", "item": "item", "time": "time", "context": "score", "part": "part"}
    return Dataset.from_frames(
        pl.DataFrame(items), events, columns={"id": "id", "name": "text"}, roles=roles, split="given", name="moods"
    )


@pytest.fixture(scope="module")
def fitted():
    return LAMP(task="LaMP_3", k=2, epochs=6, **SMALL).fit(shop(), refit=False)


def asked(score, item=0, n=2):
    past = [{**row, "score": score} for row in rows()[5 : 5 + n]]
    return GenerationRequest("answer", rows()[item], past)


def test_the_profile_decides_and_its_documents_are_the_evidence(fitted):
    made = fitted.generate([asked("5"), asked("1"), asked("5", 7, 1)])
    assert [one.text for one in made] == ["5", "1", "5"]
    assert Evidence("history", "b1", "score", "5") in made[0].evidence
    assert made[0].provenance["task"] == "LaMP_3" and made[0].provenance["backend"] == "network"
    # a profile without scores is no profile, and one of the scores is said all the same
    assert fitted.generate([GenerationRequest("answer", rows()[0], rows()[3:5])])[0].text in "12345"
    assert fitted.generate([]) == []


def test_a_run_says_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "run")
    some = [asked("5"), asked("1")]
    assert [one.text for one in palate.restore(tmp_path / "run").generate(some)] == ["5", "1"]


def test_a_wrong_kind_and_a_reader_that_is_not_there_are_named(fitted):
    with pytest.raises(UnsupportedError, match="it generates answer"):
        fitted.generate([GenerationRequest("headline", rows()[0])])
    with pytest.raises(NotFittedError, match="backend=NAME"):
        LAMP(task="LaMP_3").generate([asked("5")])
    with pytest.raises(DataError, match="LaMP_9"):
        LAMP(task="LaMP_9")
    with pytest.raises(ConfigError, match="no answers of LaMP_2"):
        LAMP(task="LaMP_2").fit(shop(4))
    with pytest.raises(UnsupportedError, match="encoder-decoder"):
        LAMP(task="LaMP_3", fusion="decoder", backend=Scripted()).generate([asked("5")])


def reader():
    torch.manual_seed(0)
    return FusionReader(20, 16, 1, 0.0).eval()


def passages(documents):
    documents = torch.tensor(documents)
    query = torch.tensor([[7, 8, 0]])
    return PassageBatch(query, documents, torch.tensor([[9, END]]), 0, torch.zeros(0, dtype=torch.int64))


def test_each_document_is_encoded_apart_and_read_together():
    net = reader()
    both = net.encode(passages([[[10, 11], [12, 13]]]))
    one = net.encode(passages([[[10, 11], [0, 0]]]))
    other = net.encode(passages([[[12, 13], [0, 0]]]))
    assert torch.allclose(both.states[:, :5], one.states[:, :5], atol=1e-6)
    assert torch.allclose(both.states[:, 5:], other.states[:, :5], atol=1e-6)
    assert both.mask.tolist() == [[True, True, False, True, True] * 2]
    assert both.ids.tolist() == [[7, 8, 0, 10, 11, 7, 8, 0, 12, 13]]
    # the order of documents changes nothing, a document does
    target = torch.tensor([[9, END]])
    said = [net.network.shifted(target, net.encode(passages([each]))) for each in (
        [[10, 11], [12, 13]], [[12, 13], [10, 11]], [[10, 11], [0, 0]])]  # fmt: skip
    assert torch.allclose(said[0], said[1], atol=1e-5) and not torch.allclose(said[0], said[2], atol=1e-3)
    # without documents the question alone is read, once
    alone = net.encode(passages([[[0, 0], [0, 0]]]))
    assert alone.mask.sum() == 2


def test_choices_are_scored_as_their_words_are():
    net, batch = reader(), passages([[[10, 11]]])
    choices = torch.tensor([[9, END, 0], [10, 11, END]])
    with torch.no_grad():
        scores = net.choose(batch, choices)
    for at, words in enumerate(([9, END], [10, 11, END])):
        target = torch.tensor([words])
        log_probs = net.network.shifted(target, net.encode(batch))[0]
        expected = sum(float(log_probs[i, w].detach()) for i, w in enumerate(words))
        assert float(scores[0, at]) == pytest.approx(expected, abs=1e-4)


def test_other_answers_to_choose_from():
    backend = Scripted()
    model = LAMP(task="LaMP_2", choices=("calm", "wild"), k=1, backend=backend)
    past = [{"id": "h", "name": "Sea", "tag": "wild"}]
    assert model.generate([GenerationRequest("tags", {"id": "i", "name": "Lake"}, past)])[0].text == "wild"
    assert backend.prompts[0].instruction.startswith("Which of these fits? Answer with one of them alone: calm, wild.")
    with pytest.raises(ConfigError, match="LaMP_4 takes no such choices"):
        LAMP(task="LaMP_4", choices=("calm", "wild"))


def test_of_scores_the_median_is_said_and_of_tags_the_likeliest():
    scores = np.log([0.3, 0.2, 0.1, 0.05, 0.35])
    assert best(scores, TASKS["LaMP_3"]) == "2", "the likeliest is 5"
    assert best(np.log([0.1, 0.1, 0.5, 0.2, 0.1]) + 700, TASKS["LaMP_3"]) == "3"
    tags = np.full(15, -3.0)
    tags[4] = -1.0
    assert best(tags, TASKS["LaMP_2"]) == "twist ending"


def test_retrievers_and_numbers_of_documents_vary_in_training():
    order = np.array([[[0, 1], [2, -1]]] * 400)
    source = Passages(
        np.full((400, 1), 7), np.array([[10], [11], [12], [0]]), order, np.full((400, 1), 9), 20, varies=True
    )
    drawn = source.collate(np.arange(400), np.random.default_rng(0)).documents[:, :, 0]
    kinds = {tuple(row) for row in drawn.tolist()}
    assert kinds == {(0, 0), (10, 0), (10, 11), (12, 0)}
    fixed = Passages(source.query, source.table, order, source.target, 20)
    assert fixed.collate(np.arange(2), np.random.default_rng(0)).documents[:, :, 0].tolist() == [[10, 11]] * 2


class Counting:
    """Vectors by first letter, counted."""

    def __init__(self):
        self.seen = []

    def encode(self, texts):
        self.seen += texts
        values = np.array([[float(text[:1] == letter) for letter in "abc"] for text in texts], np.float32)
        return palate.Features(values, np.ones(len(texts), bool), identity="given:letters")


def test_the_dense_retriever_encodes_each_text_once():
    encoder = Counting()
    vectors = StoredVectors(encoder)
    profile = tuple({"id": word, "text": word, "title": word} for word in ("bee", "ant", "cat"))
    samples = [LampSample("1", "article: apple", profile), LampSample("2", "article: crow", profile)]
    found = retrieve_all(samples, TASKS["LaMP_4"], "dense", 1, vectors)
    assert [each[0]["id"] for each in found] == ["ant", "cat"]
    assert sorted(encoder.seen) == ["ant", "apple", "bee", "cat", "crow"]
    assert retrieve_all([], TASKS["LaMP_4"], "dense", 1, vectors) == []
    newest = retrieve_all(samples, TASKS["LaMP_4"], "recency", 2, vectors)
    assert [one["id"] for one in newest[0]] == ["cat", "ant"]


def test_stored_vectors_do_not_grow_without_end(monkeypatch):
    monkeypatch.setattr(lamp_retrieval, "MAX_STORED", 3)
    encoder = Counting()
    vectors = StoredVectors(encoder)
    for texts in (["a", "b"], ["b", "c"], ["b", "ca"], ["b"]):
        assert len(vectors.encode(texts).values) == len(texts)
    assert encoder.seen == ["a", "b", "c", "ca"] and len(vectors._rows) == 2


def test_words_that_one_user_alone_wrote_are_not_learnt():
    log = [
        (f"u{user}", rows()[at]["id"], 1_000_000_000 + at, f"Our common {secret}", 0)
        for user, secret in enumerate(("zebra", "yak", "xenon"))
        for at in range(3)
    ]
    events = pl.DataFrame(log, ["user", "item", "time", "subject", "part"], orient="row")
    roles = {"user": "user", "item": "item", "time": "time", "context": "subject", "part": "part"}
    data = Dataset.from_frames(
        pl.DataFrame(rows()), events, columns={"id": "id", "name": "text"}, roles=roles, split="given", name="mails"
    )
    model = LAMP(task="LaMP_6", target="subject", k=2, **{**SMALL, "epochs": 0}).fit(data, refit=False)
    known = set(model.vocabulary.ids)
    assert {"our", "common"} <= known and not known & {"zebra", "yak", "xenon"}


class Scripted:
    """Prefers the answer that the profile shows; counts words."""

    name, version = "scripted", "1"

    def __init__(self):
        self.prompts = []

    def count(self, text):
        return len(text.split())

    def log_likelihood(self, prompts, answers):
        self.prompts += prompts
        return [float(prompt.data.get("profile", "").count(answer)) for prompt, answer in zip(prompts, answers)]

    def complete(self, prompts, sampling, *, seed):
        self.prompts += prompts
        return [Completion(f'"Title after {prompt.data.get("profile", "nothing")[:20]}"\nmore') for prompt in prompts]


def test_a_language_model_reads_the_documents_as_data():
    backend = Scripted()
    model = LAMP(task="LaMP_3", k=2, backend=backend)
    assert [one.text for one in model.generate([asked("4"), asked("2")])] == ["4", "2"]
    assert backend.prompts[0].data["profile"].startswith('4 is the score for "')
    assert len({prompt.instruction for prompt in backend.prompts}) == 1
    writer = LAMP(task="LaMP_4", k=1, backend=backend)
    past = [{"id": "h", "name": "Sea", "text": "Waves and more waves in all the bays of this coast", "title": "Wet"}]
    item = {"id": "i", "text": "Waves are back on this coast and all its bays today"}
    made = writer.generate([GenerationRequest("headline", item, past, max_words=4)])[0]
    assert made.text == 'Title after "Wet" is'
    assert (
        LAMP(task="LaMP_4", k=0, backend=backend).generate([GenerationRequest("headline", item, past)])[0].evidence
        == []
    )


def files(folder, n=12):
    questions, golds = [], []
    for at in range(n):
        word = COLOURS[at % 3]
        profile = [{"id": "0", "text": f"a {word} thing", "title": word}, {"id": "1", "text": "it", "title": word}]
        asks = "Write a headline for the following article: some thing"
        questions.append({"id": f"4{at}", "input": asks, "profile": profile})
        golds.append({"id": f"4{at}", "output": word})
    (folder / "train_questions.json").write_text(json.dumps(questions))
    (folder / "train_outputs.json").write_text(json.dumps({"task": "LaMP_4", "golds": golds}))
    return folder / "train_questions.json", TASKS["LaMP_4"], folder / "train_outputs.json"


def test_lamps_own_files_are_fitted_to_and_answered(tmp_path):
    samples = read_questions(*files(tmp_path))
    task = TASKS["LaMP_4"]
    model = LAMP(task="LaMP_4", target="output", k=1, epochs=40, **SMALL).fit(dataset_of(samples, task), refit=False)
    made = model.generate([request_of(sample, task) for sample in samples])
    assert [one.text.lower() for one in made] == [sample.output for sample in samples]
    with pytest.raises(DataError, match="no output to learn"):
        dataset_of([LampSample("1", "article: x", ())], task)
    with pytest.raises(DataError, match="no questions"):
        dataset_of([], task)


def test_an_encoder_decoder_of_transformers_reads_passages_apart(tmp_path):
    pytest.importorskip("transformers")
    sys.path.append(str(Path(__file__).parents[2] / "generation" / "decoding"))
    import tiny_language_models

    from palate.generation.registries import text_backend

    folder = tiny_language_models.t5(tmp_path / "t5")
    backend = text_backend(f"transformers:{folder}")
    model = LAMP(task="LaMP_3", k=2, fusion="decoder", backend=backend, tokens=64)
    made = model.generate([asked("5"), asked("1", n=0)])
    assert all(one.text in "12345" for one in made)
    fused = FusedPassages(backend.local)
    prompts = [palate.contracts.Prompt("Say it.", {"text": word}) for word in ("sea", "tree")]
    apart = [fused.encode([one])[0] for one in prompts]
    assert torch.allclose(fused.encode(prompts)[0], torch.cat(apart, 1), atol=1e-5)
    # one passage is what the backend does itself
    assert fused.log_likelihood(prompts[:1], ["a"])[0] == pytest.approx(
        backend.log_likelihood(prompts[:1], ["a"])[0], abs=1e-3
    )
    assert isinstance(fused.write(prompts, 4), str)
