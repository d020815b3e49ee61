"""A small simulated service, fitted in seconds, with the titles that pages stumble over; and a browser."""

import os
import shutil
import socket
import threading
import time

import polars as pl
import pytest
import torch
from fastapi import FastAPI
from page_shop import HOSTILE, LONG, RTL, FittedShop, Served, painted
from starlette.testclient import TestClient

from palate.serving.page import pages
from palate.serving.service import RecommenderService

CHROMIUM = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="session")
def fitted(tmp_path_factory) -> FittedShop:
    import palate
    from palate.evaluation.runs import run_fit
    from palate.features.plan import plan_content
    from palate.simulation.world import World

    folder = tmp_path_factory.mktemp("page")
    data = folder / "shop"
    World.make(seed=3, n_items=120, n_users=100, interactions_per_user=12, audio_seconds=0.25, image_size=64).write(
        data
    )
    items = pl.read_parquet(data / "items.parquet")
    titles = items["title"].to_list()
    titles[0], titles[1], titles[2] = HOSTILE, RTL, LONG
    pictures = items["image"].to_list()
    pictures[3] = None
    items.with_columns(title=pl.Series(titles), image=pl.Series(pictures)).write_parquet(data / "items.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("palate.features.default_encoders.find_spec", lambda name: None)
        loaded = palate.load(data)
        content = plan_content(loaded, {"text": "tfidf", "image": "image_stats"}, str(folder / "store"))
        run_fit(loaded, "content_knn", folder / "run", content=content, baselines=True)
        run_fit(loaded, "ease_content", folder / "other", content=content, settings={"k": 4}, baselines=False)
    ids = items["item_id"].to_list()
    service = RecommenderService(folder / "run", folder / "look", poll_seconds=0)
    known = max(
        service.snapshot.users, key=lambda name: len(service.snapshot.deployment.seen[service.snapshot.users[name]])
    )
    plain = next(ids[row] for row in range(4, 120) if pictures[row])
    service.close()
    return FittedShop(folder / "run", folder / "other", ids[0], ids[1], ids[2], ids[3], plain, known)


@pytest.fixture
def service(fitted, tmp_path):
    made = RecommenderService(fitted.run, tmp_path / "state", extra_runs=[fitted.other_run], poll_seconds=0)
    yield made
    made.close()


@pytest.fixture
def app(service) -> FastAPI:
    made = FastAPI(openapi_url=None)
    made.state.service = service
    made.include_router(pages())
    return made


@pytest.fixture
def client(app) -> TestClient:
    return TestClient(app, base_url="http://shop.test", follow_redirects=False)


@pytest.fixture
def known(client, fitted) -> TestClient:
    """The client of a user that the run knows."""
    client.post("/users/select", data={"user": fitted.user})
    return client


@pytest.fixture
def png() -> bytes:
    return painted()


def _missing() -> str | None:
    try:
        import axe_playwright_python.sync_playwright  # noqa: F401
        import playwright.sync_api  # noqa: F401
    except ImportError as error:
        return f"{error.name} is not installed"
    return None if CHROMIUM else "there is no chromium here"


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium; without it tests are skipped, unless PALATE_BROWSER says that it must be there."""
    missing = _missing()
    if missing and os.environ.get("PALATE_BROWSER") == "1":
        pytest.fail(f"PALATE_BROWSER=1, but {missing}")
    if missing:
        pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as made:
        found = made.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="session")
def served(fitted, tmp_path_factory):
    """A real server on a free port."""
    import uvicorn

    torch.set_num_threads(1)
    made = FastAPI(openapi_url=None)
    made.state.service = RecommenderService(
        fitted.run, tmp_path_factory.mktemp("served"), extra_runs=[fitted.other_run], poll_seconds=0
    )
    made.include_router(pages())
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(made, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield Served(f"http://127.0.0.1:{port}", made.state.service)
    server.should_exit = True
    thread.join(10)
    made.state.service.close()
