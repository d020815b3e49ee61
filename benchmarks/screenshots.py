"""Serve the simulated shop and take screenshots of its page for the README: docs/pictures/page-*.jpg.

python benchmarks/screenshots.py [--run RUN]   (needs Chromium; the run is simulated and fitted when not given)
"""

from __future__ import annotations

import argparse
import io
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from _common import ROOT, WORK

if TYPE_CHECKING:
    from palate.serving.service import RecommenderService

PICTURES = ROOT / "docs" / "pictures"
BYTES, WIDTH = 118_000, 1120
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


@dataclass(frozen=True)
class Shot:
    """A screenshot of a view.

    Attributes:
        name: name of the file.
        path: address of the view.
        height: height of the window.
        width: width of the window.
        scheme: ``light`` or ``dark``.
        act: what to do before.
    """

    name: str
    path: str
    height: int
    width: int = 1280
    scheme: str = "light"
    act: Callable[[Any], None] | None = None


def fitted_run(folder: Path) -> Path:
    """The run of a shop like that of `palate demo` with larger images."""
    import palate
    from palate.evaluation.runs import run_fit
    from palate.features.plan import plan_content
    from palate.simulation.world import World

    if not (folder / "run" / "manifest.json").is_file():
        world = World.make(preset="shop", seed=0, n_items=1000, n_users=1500, image_size=256)
        data = palate.load(world.write(folder / "shop", overwrite=True))
        run_fit(data, "blend", folder / "run", content=plan_content(data, store=folder / "store"), seed=0)
    return folder / "run"


@contextmanager
def served(run: Path) -> Iterator[tuple[str, RecommenderService]]:
    """The page of a run on a free port: its address, and the service."""
    import uvicorn
    from fastapi import FastAPI

    from palate.serving.page import pages
    from palate.serving.service import RecommenderService

    with tempfile.TemporaryDirectory() as state:
        app = FastAPI(openapi_url=None)
        app.state.service = RecommenderService(run, state)
        app.include_router(pages())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", app.state.service
        server.should_exit = True
        thread.join(10)
        app.state.service.close()


def shots(service: RecommenderService) -> tuple[str, list[Shot]]:
    """A user with a long history, and the views: home, an explained item, a search by image, a comparison."""
    from palate.serving.images import item_image
    from palate.serving.requests import RecommendRequest

    snapshot = service.snapshot
    lengths = snapshot.deployment.seen.lengths
    user = next(name for name, row in snapshot.users.items() if 9 <= lengths[row] <= 12)
    items = service.recommend(RecommendRequest(12, user=user)).items
    shown = next(item for item in items if item_image(snapshot, snapshot.row(item.id)) is not None)
    photo = item_image(
        snapshot, next(row for row in snapshot.stats.popular_rows.tolist() if item_image(snapshot, row) is not None)
    )

    def drop(page: Any) -> None:
        page.locator("input[type=file]").set_input_files(photo)
        page.get_by_role("heading", name="Like this image").wait_for()

    return user, [
        Shot("home", "/", 1000),
        Shot("item", f"/item/{shown.id}?explain=1", 1330),
        Shot("search", "/search", 1000, act=drop),
        Shot("compare", "/compare", 1000),
        Shot("phone", "/", 844, 390, "dark"),
    ]


def compressed(png: bytes) -> bytes:
    """A JPEG small enough for a README."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.thumbnail((WIDTH, 4 * WIDTH), Image.Resampling.LANCZOS)
    for quality in range(88, 20, -4):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
        if buffer.tell() < BYTES:
            break
    return buffer.getvalue()


def main() -> None:
    from playwright.sync_api import sync_playwright

    from palate.serving.page.cookies import user_cookie

    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path)
    run = parser.parse_args().run or fitted_run(WORK / "page-shop")
    with served(run) as (url, service), sync_playwright() as play:
        user, wanted = shots(service)
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for shot in wanted:
            size = {"width": shot.width, "height": shot.height}
            scale = 2 if shot.width < 500 else 1
            context = browser.new_context(
                base_url=url, viewport=size, color_scheme=shot.scheme, device_scale_factor=scale, has_touch=scale == 2
            )
            cookie = user_cookie(service.secret, user)
            context.add_cookies([{"name": "palate_user", "value": cookie, "url": url}])
            page = context.new_page()
            page.goto(shot.path)
            if shot.act:
                shot.act(page)
            page.wait_for_load_state("networkidle")
            data = compressed(page.screenshot())
            file = PICTURES / f"page-{shot.name}.jpg"
            file.write_bytes(data)
            print(f"{file.relative_to(ROOT)}: {len(data) / 1000:.0f} kB")
            context.close()
        browser.close()


if __name__ == "__main__":
    main()
