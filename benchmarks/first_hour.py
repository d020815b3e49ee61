"""From `git clone` to a served folder of one's own: seconds of each step of the README, on this machine.

    python benchmarks/first_hour.py [--items 300] [--users 400] [--extras minilm,serve,pictures]

Everything happens in a temporary folder: a clone of this checkout, an environment of its own, a cache of its own. The
folder is a plain one, without palate.yaml: items with words, pictures, prices and categories, and a log of clicks.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from _common import ROOT, keep
from palate.simulation.world import World
from palate.training.saving import versions

TORCH = ["torch", "--index-url", "https://download.pytorch.org/whl/cpu"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--users", type=int, default=400)
    parser.add_argument("--extras", default="minilm,serve,pictures")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        shop = _own_folder(folder, args.items, args.users)
        result = {
            "command": " ".join(["first_hour.py", *sys.argv[1:]]),
            "items": args.items,
            "users": args.users,
            "seconds": dict(_steps(folder, shop, args.extras)),
            "versions": versions(),
            "load_before": os.getloadavg()[0],
        }
    total = sum(result["seconds"].values())
    rows = [f"| `{step}` | {seconds:.1f} |" for step, seconds in result["seconds"].items()]
    head = f"{args.items} items with pictures, {args.users} users, {os.cpu_count()} processors."
    keep(
        "first_hour",
        result,
        "\n".join([head, "", "| step | seconds |", "|---|---|", *rows, f"| all | {total:.0f} |", ""]),
    )


def _own_folder(folder: Path, items: int, users: int) -> Path:
    """A folder of two CSV tables and pictures, as a shop exports them."""
    world = World.make(preset="shop", seed=0, n_items=items, n_users=users).write(folder / "world")
    shop = folder / "my-shop"
    shop.mkdir()
    (world / "media").rename(shop / "media")
    pl.read_parquet(world / "items.parquet").select(
        "item_id", "title", "description", "image", "category", "brand", "price"
    ).write_csv(shop / "items.csv")
    pl.read_parquet(world / "interactions.parquet").write_csv(shop / "interactions.csv")
    return shop


def _steps(folder: Path, shop: Path, extras: str) -> Iterator[tuple[str, float]]:
    """Take one step after another; yield its name and its seconds."""
    clone, run = folder / "palate", folder / "runs" / "first"
    tools = clone / ".venv" / "bin"
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "OMP_NUM_THREADS")}
    env |= {"PALATE_CACHE": str(folder / "cache"), "PALATE_PROGRESS": "quiet"}

    def call(*command: str | Path) -> Callable[[], object]:
        return lambda: subprocess.run(
            [str(part) for part in command], check=True, cwd=clone, env=env, capture_output=True
        )

    started = time.perf_counter()
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    yield "git clone", time.perf_counter() - started
    install = [tools / "pip", "install", "-q", "--disable-pip-version-check", "-c", "constraints.txt"]
    palate = tools / "palate"
    steps = {
        "python3 -m venv .venv": call(sys.executable, "-m", "venv", ".venv"),
        "pip install torch": call(*install, *(TORCH if _cpu_only() else TORCH[:1])),
        f"pip install -e '.[{extras}]'": call(*install, "-e", f".[{extras}]"),
        "palate init my-shop": call(palate, "init", shop),
        "palate check my-shop": call(palate, "check", shop),
        "palate fit my-shop --out runs/first": call(palate, "fit", shop, "--out", run),
        "palate recommend runs/first --user ...": call(
            palate, "recommend", run, "--all", "--out", folder / "lists.csv"
        ),
    }
    for name, step in steps.items():
        started = time.perf_counter()
        step()
        yield name, time.perf_counter() - started
    started = time.perf_counter()
    with _served([palate, "serve", run], env) as address:
        for page in ("readyz", ""):
            _wait(address + page)
        yield "palate serve runs/first, until the page is there", time.perf_counter() - started


def _cpu_only() -> bool:
    """Whether torch for processors alone can be had from its own index."""
    try:
        return bool(urllib.request.urlopen(TORCH[-1] + "/torch/", timeout=10))
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def _served(command: list[str | Path], env: dict[str, str]) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([*map(str, command), "--port", str(port)], env=env, stdout=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


def _wait(address: str, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            if urllib.request.urlopen(address, timeout=10).status == 200:
                return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


if __name__ == "__main__":
    main()
