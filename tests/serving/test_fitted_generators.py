"""Generators that were fitted: a server answers with them, and erases users from their runs."""

import shutil

import pytest

pytest.importorskip("fastapi")
from starlette.testclient import TestClient

import palate
from palate.contracts import generators
from palate.core.errors import ConfigError, UnsupportedError
from palate.serving.api.app import create_app
from palate.serving.generators import GeneratorPool
from palate.serving.settings import Settings
from palate.training.erase import user_ids


@pytest.fixture(scope="module")
def fitted(world, tmp_path_factory):
    settings = {"dim": 8, "epochs": 1, "click_epochs": 0, "reward_epochs": 0, "beam": 1, "history": 2}
    model = generators.get("png")(**settings).fit(palate.load(world), refit=False)
    return model.save(tmp_path_factory.mktemp("writers") / "writer")


@pytest.fixture
def writer(fitted, tmp_path):
    return shutil.copytree(fitted, tmp_path / "writer")


def settings(runs, tmp_path, *folders):
    run = tmp_path / "knn"
    if not run.exists():
        shutil.copytree(runs("knn"), run)
    return Settings(str(run), str(tmp_path / "state"), generators=tuple(map(str, folders)))


def test_a_request_names_the_folder(runs, writer, tmp_path):
    with TestClient(create_app(settings(runs, tmp_path, writer))) as client:
        item = client.post("/v1/recommend", json={"k": 1}).json()["items"][0]["id"]
        user = user_ids(writer)[0]
        body = {"kind": "headline", "item": item, "user": user, "generator": "writer"}
        made = client.post("/v1/generate", json=body).json()
        assert made["generator"] == "writer" and made["text"] and made["provenance"]["model"] == "png"
        refused = client.post("/v1/generate", json={**body, "kind": "answer"})
        assert refused.status_code == 422 and "does not generate" in refused.text
        # nobody named it: the one without a model answers
        assert client.post("/v1/generate", json={**body, "generator": None}).json()["generator"] == "template"


def test_a_user_is_erased_from_the_generators_run_also_by_the_next_start(runs, writer, fitted, tmp_path):
    user, other = user_ids(writer)[:2]
    asked = settings(runs, tmp_path, writer)
    with TestClient(create_app(asked)) as client:
        assert client.delete(f"/v1/users/{user}").status_code < 300
    assert user not in user_ids(writer) and other in user_ids(writer)
    for file in writer.rglob("*"):
        assert not file.is_file() or user.encode() not in file.read_bytes(), file
    palate.restore(writer)
    # a run that comes later, fitted on data from before
    shutil.rmtree(writer)
    shutil.copytree(fitted, writer)
    assert user in user_ids(writer)
    with TestClient(create_app(asked)):
        assert user not in user_ids(writer) and other in user_ids(writer)


def test_the_settings_of_a_run_say_what_it_generates(monkeypatch, tmp_path):
    monkeypatch.setattr("palate.serving.generators.restore_as", lambda *_: generators.get("lamp")(task="LaMP_2"))
    pool = GeneratorPool([tmp_path / "tagger"])
    assert pool.get("tags", "tagger")[0] == "tagger"
    with pytest.raises(UnsupportedError, match="'tagger' does not generate 'headline'"):
        pool.get("headline", "tagger")


def test_names_are_of_one_generator_and_runs_hold_one(runs, writer, tmp_path):
    twin = shutil.copytree(writer, tmp_path / "other" / "writer")
    with pytest.raises(ConfigError, match="two generators would have the name 'writer'"):
        GeneratorPool([writer, twin])
    with pytest.raises(ConfigError, match="'template'"):
        GeneratorPool([shutil.copytree(writer, tmp_path / "template")])
    with pytest.raises(UnsupportedError):
        GeneratorPool([runs("knn")])
