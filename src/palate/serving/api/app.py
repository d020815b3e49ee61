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
from palate.serving.shop import Shop

from .guard import Guard
from .keys import Keys
from .limits import Limits
from .measure import Measures
from .problems import attach
from .routes import generating, router


@dataclass(frozen=True)
class Settings:
    """How a shop is served.

    Attributes:
        run: folder. state: folder of what happens, ``<run>-shop`` by default. beside: more runs. events: database.
        keys: file of keys. rate: requests a second and client, 0 for any. queue: requests inside a worker at once.
        threads: that work on them. page: whether there is one. cors: origins whose pages may ask. index: address of a
            Qdrant server.
    """

    run: str
    state: str | None = None
    beside: tuple[str, ...] = ()
    events: str | None = None
    keys: str | None = None
    rate: float = 100.0
    queue: int = 32
    threads: int = 8
    page: bool = True
    cors: tuple[str, ...] = ()
    index: str | None = None

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
        app.state.shop.rehearse()
        yield
        app.state.shop.close()

    app = FastAPI(
        title="Palate",
        summary="Recommendations that can see",
        description="RaggedArray, search and explanations of a multimodal recommender; items and events count at once.",
        version="1",
        lifespan=life,
        docs_url=None,
        redoc_url=None,
    )
    shop = Shop(settings.run, settings.folder, settings.events, settings.beside, engine=settings.index)
    app.state.shop, app.state.measures = shop, Measures()
    app.state.keys = Keys.read(settings.keys, shop.secret)
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
