"""The app: endpoints, page, access control and error handlers around one service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from palate.serving.api.access import AccessMiddleware
from palate.serving.api.endpoints import router
from palate.serving.api.health import Health
from palate.serving.api.hosts import AllowedHosts
from palate.serving.api.keys import ApiKeys
from palate.serving.api.metrics import Metrics
from palate.serving.api.openapi import describe, operation_id
from palate.serving.api.problems import add_error_handlers
from palate.serving.api.rate_limit import RateLimiter
from palate.serving.api.room import Room
from palate.serving.content import ContentMaker
from palate.serving.generators import GeneratorPool
from palate.serving.moderation import Blocklist
from palate.serving.network.connections import ConnectionTable
from palate.serving.service import RecommenderService
from palate.serving.settings import Settings

__all__ = ["Settings", "create_app"]


def create_app(settings: Settings) -> FastAPI:
    """Create an app and its service, which is warmed up when the app starts and closed when it stops.

    Args:
        settings: how the run is served.

    Returns:
        The app; its state holds ``service``, ``metrics``, ``keys``, ``health`` and ``content``.

    Raises:
        ConfigError: for an invalid file of keys, blocklist or database URL, or a run that does not recommend.
        ArtefactError: for a folder that is not a run.
        UnsupportedError: for a run named as a generator that holds none.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, ConnectionTable]]:
        current_default_thread_limiter().total_tokens = settings.threads
        app.state.service.warm_up()
        yield {"connections": ConnectionTable(settings.limits, settings.proxies)}
        app.state.content.close()
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
        settings.run, settings.folder, settings.events, settings.extra_runs, index_url=settings.index_url,
        generators=settings.generators,
    )  # fmt: skip
    room = Room(settings.queue)
    app.state.service, app.state.metrics = service, Metrics()
    moderate = settings.moderate or Blocklist.from_file(settings.blocklist)
    app.state.content = ContentMaker(
        GeneratorPool(settings.generators, settings.text_backend), moderate, settings.generation_seconds
    )
    service.on_response = app.state.metrics.observe_list
    app.state.health = Health(service, room)
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
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
            expose_headers=["Retry-After"],
        )
    return app
