"""Generated content of a server: personal by default, within a time, judged before it is shown, one or many."""

import base64
import io
import json
import time

import pytest

pytest.importorskip("fastapi")
from PIL import Image
from starlette.testclient import TestClient

from palate.contracts import Generated, GenerationRequest, Generator, generators
from palate.core.errors import ConfigError
from palate.serving.api.app import create_app
from palate.serving.generators import GeneratorPool
from palate.serving.moderation import Blocklist
from palate.serving.settings import Settings


class Model(Generator):
    """Says a word, fails or takes its time, as the prompt tells; it stands for a language model."""

    name, kinds = "model", ("title", "headline")

    def generate(self, requests, *, seed=0):
        if requests[0].prompt == "fail":
            raise ValueError("secret of the model")
        time.sleep(1.0 if requests[0].prompt == "late" else 0.0)
        return [Generated(f"A {one.prompt} title", provenance={"model": "model"}) for one in requests]


@pytest.fixture
def client(runs, tmp_path, monkeypatch):
    monkeypatch.setitem(generators._known, "model", Model)
    words = tmp_path / "blocked.txt"
    words.write_text("# of the operator\n\nrude WORD\nCAFÉ\n", encoding="utf-8")
    settings = Settings(str(runs("knn")), str(tmp_path / "state"), blocklist=str(words), generation_seconds=0.3)
    with TestClient(create_app(settings)) as opened:
        yield opened


def ask(client, **body):
    response = client.post("/v1/generate", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def first_items(client, k=2, **body):
    return [one["id"] for one in client.post("/v1/recommend", json={"k": k, **body}).json()["items"]]


def test_the_default_is_personal_and_says_what_stands_in_its_evidence(client):
    user = next(iter(client.app.state.service.snapshot.users))
    item = first_items(client, user=user)[0]
    content = ask(client, kind="explanation", item=item, user=user)
    assert content["generator"] == "template" and {one["source"] for one in content["evidence"]} >= {"item", "history"}
    catalogue = client.app.state.service.snapshot
    for row in content["evidence"]:
        if row["source"] in ("item", "history") and row["column"] != "share of the score":
            cell = str(catalogue.items.frame.row(catalogue.rows[row["id"]], named=True)[row["column"]])
            assert row["value"].lower() in cell.lower() or float(row["value"]) == pytest.approx(float(cell))
    cold = ask(client, kind="explanation", item=item)
    assert not any(row["source"] == "history" for row in cold["evidence"]) and cold["text"] != content["text"]
    german = ask(client, kind="headline", item=item, user=user, language="de", max_words=6)
    assert german["provenance"]["language"] == "de" and len(german["text"].split()) <= 7
    for shape, size in (("banner", (1200, 628)), ("story", (1080, 1920))):
        picture = ask(client, kind="banner", item=item, user=user, format=shape)
        assert Image.open(io.BytesIO(base64.b64decode(picture["image"]))).size == size


def test_what_fails_or_is_late_is_answered_without_a_model(client):
    item = first_items(client)[0]
    good = ask(client, kind="title", item=item, generator="model", prompt="good")
    assert good["text"] == "A good title" and good["generator"] == "model"
    for prompt, why in (("fail", "model failed"), ("late", "more than 0.3 seconds")):
        content = ask(client, kind="title", item=item, generator="model", prompt=prompt)
        assert content["generator"] == "template" and why in content["provenance"]["fallback"]
        assert content["text"] and "secret" not in json.dumps(content)


def test_the_operator_names_the_language_model():
    pool = GeneratorPool(text_backend="server:http://127.0.0.1:9/v1#m")
    name, made = pool.get("title")
    assert name == "prompted" and made.config.backend == "server:http://127.0.0.1:9/v1#m"
    assert pool.get("explanation", "song_reasons")[1].config.backend == made.config.backend
    assert pool.get("banner")[0] == "creative" and GeneratorPool().get("title")[0] == "template"
    assert GeneratorPool().get("title", "prompted")[1].config.backend == "", "no client has a model loaded"
    with pytest.raises(ConfigError, match="text backend"):
        GeneratorPool(text_backend="smolm2")


def test_nothing_is_shown_before_it_is_judged(client):
    item = first_items(client)[0]
    content = ask(client, kind="title", item=item, generator="model", prompt="Rude  word")
    assert content["generator"] == "template" and "withheld" in content["provenance"]["fallback"]
    client.post("/v1/items", json={"items": [{"id": "bad", "fields": {"title": "The Cafe lamp"}}]})
    for kind in ("title", "banner"):
        content = ask(client, kind=kind, item="bad")
        assert content["text"] is None and content["image"] is None and content["evidence"] == []
        assert content["provenance"]["withheld"]


def test_an_unknown_kind_is_named_once(client):
    answer = client.post("/v1/generate", json={"kind": "poem", "item": "x"})
    assert answer.status_code == 422 and len(answer.json()["errors"]) == 1
    assert "no such kind of content; one of explanation, " in answer.json()["detail"]


def test_several_and_streamed(client):
    items = first_items(client)
    requests = [{"kind": "title", "item": one} for one in items]
    several = ask(client, requests=requests)["responses"]
    assert several == [ask(client, **one) for one in requests]
    body = {"requests": [*requests, {"kind": "title", "item": "nothing"}], "stream": True}
    response = client.post("/v1/generate", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    events = [block.split("\n") for block in response.text.strip().split("\n\n")]
    assert [event[0] for event in events] == ["event: content", "event: content", "event: problem", "event: done"]
    read = [json.loads(event[1].removeprefix("data: ")) for event in events]
    assert [one["text"] for one in read[:2]] == [one["text"] for one in several] and read[2]["status"] == 404
    assert read[3] == {"count": 3}


def test_blocklists(tmp_path):
    request = GenerationRequest("title", {"id": "a"})
    blocked = Blocklist(["bad thing", "Übel"])
    for text, found in (("a BAD  thing", True), ("badthing", False), ("ubel", True), ("fine", False), (None, False)):
        assert (blocked(request, Generated(text)) is not None) == found, text
    assert Blocklist()(request, Generated("anything")) is None
    with pytest.raises(ConfigError, match="cannot be read"):
        Blocklist.from_file(tmp_path / "none.txt")
