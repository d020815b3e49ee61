"""The app: endpoints, page, access control and error handlers around one service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from anyio import CapacityLimiter
from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from palate.serving.api.access import AccessMiddleware
from palate.serving.api.endpoints import router
from palate.serving.api.generators import GeneratorPool
from palate.serving.api.keys import ApiKeys
from palate.serving.api.metrics import Metrics
from palate.serving.api.problems import add_error_handlers
from palate.serving.api.rate_limit import RateLimiter
from palate.serving.service import RecommenderService


@dataclass(frozen=True)
class Settings:
    """How a run is served.

    Attributes:
        run: run folder.
        state: folder of the service's state, ``<run>-shop`` by default.
        extra_runs: folders of further runs that can answer.
        events: URL of the database.
        keys: file of API keys.
        rate: requests per second and client; 0 for no limit.
        queue: requests that one worker processes at once.
        threads: threads of one worker that process requests.
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
        """The state folder."""
        run = Path(self.run)
        return Path(self.state) if self.state else run.parent / f"{run.name}-shop"


def create_app(settings: Settings) -> FastAPI:
    """Create an app and its service, which is warmed up when the app starts and closed when it stops.

    Args:
        settings: how the run is served.

    Returns:
        The app; its state holds ``service``, ``metrics``, ``keys`` and ``generators``.

    Raises:
        ConfigError: for an invalid file of keys, an invalid database URL, or a run that does not recommend.
        ArtefactError: for a folder that is not a run.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = settings.threads
        app.state.service.warm_up()
        yield
        app.state.service.close()

    app = FastAPI(
        title="Palate",
        summary="Multimodal recommendations",
        description="Recommendation, search and explanation; new items and events count in the next response.",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    service = RecommenderService(
        settings.run, settings.folder, settings.events, settings.extra_runs, index_url=settings.index_url
    )
    app.state.health_threads = CapacityLimiter(2)
    app.state.service, app.state.metrics, app.state.generators = service, Metrics(), GeneratorPool()
    service.on_response = app.state.metrics.observe_list
    app.state.keys = ApiKeys.from_file(settings.keys, service.secret)
    add_error_handlers(app)
    app.include_router(router)
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
        AccessMiddleware,
        keys=app.state.keys,
        limiter=RateLimiter(settings.rate),
        max_in_flight=settings.queue,
        metrics=app.state.metrics,
    )
    return app
