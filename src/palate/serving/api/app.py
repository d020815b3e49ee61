"""The app: routes, errors, guard and page around one shop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from palate.contracts import generators
from palate.serving.api.access import Guard
from palate.serving.api.keys import Keys
from palate.serving.api.metrics import Measures
from palate.serving.api.problems import attach
from palate.serving.api.rate_limit import Limits
from palate.serving.api.routes import generating, router
from palate.serving.service import RecommenderService


@dataclass(frozen=True)
class Settings:
    """How a shop is served.

    Attributes:
        run: run folder.
        state: folder of the service's state, ``<run>-shop`` by default.
        extra_runs: folders of further runs that can answer.
        events: URL of the database.
        keys: file of API keys.
        rate: requests a second and client; 0 sets no limit.
        queue: requests inside a worker at once.
        threads: threads that work on requests.
        page: whether the web page is served.
        cors: origins whose pages may call the API.
        index_url: URL of a Qdrant server.
    """

    run: str
    state: str | None = None
    extra_runs: tuple[str, ...] = ()
    events: str | None = None
    keys: str | None = None
    rate: float = 100.0
    queue: int = 32
    threads: int = 8
    page: bool = True
    cors: tuple[str, ...] = ()
    index_url: str | None = None

    @property
    def folder(self) -> Path:
        """Where state is kept."""
        run = Path(self.run)
        return Path(self.state) if self.state else run.parent / f"{run.name}-shop"


def create_app(settings: Settings) -> FastAPI:
    """An app that opens its shop when it starts and closes it when it stops."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = settings.threads
        app.state.service.warm_up()
        yield
        app.state.service.close()

    app = FastAPI(
        title="Palate",
        summary="Recommendations that can see",
        description="Ranking, search and explanations of a multimodal recommender; items and events count at once.",
        version="1",
        lifespan=life,
        docs_url=None,
        redoc_url=None,
    )
    service = RecommenderService(
        settings.run, settings.folder, settings.events, settings.extra_runs, index_url=settings.index_url
    )
    app.state.service, app.state.measures = service, Measures()
    app.state.keys = Keys.read(settings.keys, service.secret)
    attach(app)
    app.include_router(router)
    if generators.names():
        app.include_router(generating())
    if settings.page:
        from palate.serving.page import pages

        app.include_router(pages())
    if settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
        )
    app.add_middleware(
        Guard,
        keys=app.state.keys,
        limits=Limits(settings.rate),
        room=settings.queue,
        measures=app.state.measures,
    )
    return app
