"""Serve the page on which pairs are rated."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from palate.core.errors import MissingDependencyError


def serve_ratings(
    pairs_file: str | Path,
    ratings_file: str | Path,
    seed: int = 0,
    host: str = "127.0.0.1",
    port: int = 8000,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve the page until the process is stopped.

    Args:
        pairs_file: file of pairs.
        ratings_file: file of ratings.
        seed: of the orders.
        host: address to listen on.
        port: port to listen on; 0 for any that is free.
        on_ready: called with the address of the page once it listens.

    Raises:
        DataError: for a wrong file of pairs or of ratings.
        ConfigError: for an address or port that cannot be listened on.
        MissingDependencyError: if FastAPI or uvicorn is not installed.
    """
    try:
        import fastapi  # noqa: F401
        import uvicorn
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "uvicorn", "serve") from error
    from palate.serving.network.sockets import bind_socket
    from palate.serving.rating_page import rating_app

    app = rating_app(pairs_file, ratings_file, seed, host)

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        # requests wait from now on, until the server takes them
        listening.listen(128)
        if on_ready is not None:
            on_ready(f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}/")
        yield

    app.router.lifespan_context = lifespan
    with bind_socket(host, port) as listening:
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listening])
