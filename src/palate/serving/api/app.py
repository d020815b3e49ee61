"""The app: endpoints, page, access control and error handlers around one service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from palate.serving.api.access import AccessMiddleware
from palate.serving.api.endpoints import router
from palate.serving.api.generators import GeneratorPool
from palate.serving.api.health import Health
from palate.serving.api.hosts import AllowedHosts
from palate.serving.api.keys import ApiKeys
from palate.serving.api.metrics import Metrics
from palate.serving.api.openapi import describe, operation_id
from palate.serving.api.problems import add_error_handlers
from palate.serving.api.rate_limit import RateLimiter
from palate.serving.api.room import Room
from palate.serving.network.connections import ConnectionTable
from palate.serving.network.limits import Limits
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
        host: address that the server listens on; requests for another host are refused. None answers to any.
        host_names: further names that the server answers to.
        proxies: addresses of trusted proxies, whose ``X-Forwarded-For`` and ``-Proto`` are believed.
        limits: sizes, deadlines and numbers of connections.
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
    host: str | None = None
    host_names: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

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
        The app; its state holds ``service``, ``metrics``, ``keys``, ``health`` and ``generators``.

    Raises:
        ConfigError: for an invalid file of keys, an invalid database URL, or a run that does not recommend.
        ArtefactError: for a folder that is not a run.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, ConnectionTable]]:
        current_default_thread_limiter().total_tokens = settings.threads
        app.state.service.warm_up()
        yield {"connections": ConnectionTable(settings.limits, settings.proxies)}
        app.state.service.close()

    app = FastAPI(
        title="Palate",
        summary="Multimodal recommendations",
        description="Recommendation, search and explanation; new items and events count in the next response.",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=operation_id,
    )
    service = RecommenderService(
        settings.run, settings.folder, settings.events, settings.extra_runs, index_url=settings.index_url
    )
    room = Room(settings.queue)
    app.state.service, app.state.metrics, app.state.generators = service, Metrics(), GeneratorPool()
    app.state.health = Health(service, room)
    service.on_response = app.state.metrics.observe_list
    app.state.keys = ApiKeys.from_file(settings.keys, service.secret)
    add_error_handlers(app)
    app.include_router(router)
    describe(app)
    if settings.page:
        from palate.serving.page import pages

        app.include_router(pages())
    # the last one added is the outermost: also what the access control refuses is compressed, and readable to scripts
    app.add_middleware(
        AccessMiddleware,
        keys=app.state.keys,
        limiter=RateLimiter(settings.rate),
        room=room,
        metrics=app.state.metrics,
        limits=settings.limits,
        hosts=None if settings.host is None else AllowedHosts(settings.host, settings.host_names),
    )
    # pages and responses hold no secret (sessions are cookies), so their lengths tell nothing beside reflected input
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=5)
    if settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After"],
        )
    return app
