"""Databases to test stores on; runs of a tiny simulated shop, fitted once; services of copies of them."""

import shutil

import pytest
from postgres import Postgres

import palate
from palate.contracts import pretrainers
from palate.features.plan import plan_content
from palate.serving.service import RecommenderService
from palate.serving.stages.stage import stages
from palate.simulation.world import World
from palate.training.pretrain import pretrain

ENCODERS = {"text": "tfidf", "image": "image_stats", "audio": "none"}


@pytest.fixture(autouse=True)
def ample_budgets(monkeypatch):
    """Whatever else keeps the processors busy, nothing is late; tests of lateness set limits of their own."""
    for stage in map(stages.get, stages.names()):
        monkeypatch.setattr(stage, "budget", 1000 * stage.budget)
        monkeypatch.setattr(stage, "budget_per_item", 1000 * stage.budget_per_item)
    for name in ("READ_SECONDS", "WRITE_SECONDS"):
        monkeypatch.setattr(f"palate.serving.database.{name}", 5.0)


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world") / "shop"
    return World.make(preset="shop", seed=3, n_items=80, n_users=60).write(folder)


@pytest.fixture(scope="session")
def runs(world, tmp_path_factory):
    """``runs(name)``: ``knn`` (all capabilities), ``vectors`` (no content), ``mmr``, ``quotas`` or ``blend``."""
    folder, made = tmp_path_factory.mktemp("runs"), {}
    data = palate.load(world)
    kinds = {
        "knn": lambda: palate.models.ContentKNN(),
        "vectors": lambda: palate.models.BPR(dim=8, epochs=3),
        "mmr": lambda: palate.models.MMR(base="bpr:dim=8;epochs=3", diversity=0.6),
        "quotas": lambda: palate.models.Quotas(base="content_knn", rules="category<=1", first=4),
        "blend": lambda: palate.models.Blend(members=("ease_content", "content_knn")),
    }

    def run(name):
        if name not in made:
            model = kinds[name]().fit(data, content=plan_content(data, ENCODERS))
            made[name] = model.save(folder / name)
        return made[name]

    return run


@pytest.fixture(scope="session")
def shared_run(world, tmp_path_factory):
    """A run whose encoders map texts and images into one space."""
    folder, data = tmp_path_factory.mktemp("shared"), palate.load(world)
    pretrain(pretrainers.get("clip")(epochs=1, dim=16, width=8, layers=1), data, folder / "encoders")
    encoders = {name: str(folder / "encoders" / name) for name in ("text", "image")} | {"audio": "none"}
    model = palate.models.ContentKNN().fit(data, content=plan_content(data, encoders))
    return model.save(folder / "run")


@pytest.fixture
def opened(runs, tmp_path):
    """``opened(name, state=...)``: a service of a copy of a run, closed afterwards; by default it does not poll."""
    services = []

    def make(name="knn", state="state", poll_seconds=0.0, **options):
        run = tmp_path / name
        if not run.exists():
            shutil.copytree(runs(name) if isinstance(name, str) else name, run)
        services.append(RecommenderService(run, tmp_path / state, poll_seconds=poll_seconds, **options))
        return services[-1]

    yield make
    for service in services:
        service.close()


@pytest.fixture(scope="session")
def postgres():
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shop.db'}"
    return request.getfixturevalue("postgres").database()
