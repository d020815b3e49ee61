"""How long personal content takes without a language model: texts and pictures, single requests and over HTTP.

    python benchmarks/generation_latency.py [--requests 500] [--seeds 3]

The default run of the real films (posters of 185 x 278 pixels) and that of the simulated shop (pictures of 256 x 256).
A request draws one of the run's users with a history and one of its items; its time includes reading the history, the
evidence, the item's picture and up to four of the history's, and making and encoding the content. One request at a
time, after some that are not counted. ``processor`` is the time of the thread that makes the content, which other
programs of the machine do not lengthen; ``http`` is what a client of ``palate serve`` on the same machine waits.
Written: ``results/generation_latency.*``; the aims are 50 ms for an explanation and 150 ms for a banner at p99.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from _common import RESULTS, WORK, fresh, keep
from _served import Served
from _shops import films
from palate.contracts import generators
from palate.contracts.generator import MEDIA
from palate.core.progress import set_mode, track
from palate.core.seeding import rng_for
from palate.evaluation.runs import command_line
from palate.serving.content_request import ContentOptions, content_request
from palate.serving.generators import DEFAULTS
from palate.serving.offline import OfflineRun
from palate.training.saving import versions
from screenshots import fitted_run

KINDS: dict[str, tuple[str, str | None]] = {
    "explanation": ("explanation", None), "headline": ("headline", None), "banner": ("banner", "banner"),
    "card": ("banner", "card"), "story": ("banner", "story"), "cover": ("cover", None),
}  # fmt: skip
"""Name -> kind of content and format of a picture."""
AIMS = {"explanation": 50.0, "banner": 150.0}
"""Milliseconds at p99."""
UNCOUNTED = 25
Make = Callable[[str, str, int], Any]


def pairs(run: OfflineRun, kind: str, seed: int, n: int) -> list[tuple[str, str]]:
    """(user, item) of each request; the same for the same seed."""
    rng = rng_for(seed, "generation latency", kind)
    snapshot = run.snapshot
    users = [user for user, row in snapshot.users.items() if len(snapshot.deployment.seen[row])]
    return [(str(rng.choice(users)), str(rng.choice(snapshot.ids))) for _ in range(n)]


def local(run: OfflineRun, name: str) -> Make:
    """Content in this process, as ``palate generate`` makes it."""
    kind, form = KINDS[name]
    model = generators.get(DEFAULTS[MEDIA[kind]])()
    options = ContentOptions(options={} if form is None else {"format": form})

    def make(user: str, item: str, seed: int) -> None:
        asked = content_request(run.resolved, kind, run.row(item), run.user(user), user, options)  # type: ignore[arg-type]
        made = model.generate([asked], seed=seed)[0]
        assert made.text or made.image

    return make


def remote(served: Served, name: str) -> Make:
    """Content of ``POST /v1/generate``."""
    kind, form = KINDS[name]
    more = {} if form is None else {"format": form}

    def make(user: str, item: str, seed: int) -> None:
        body = {"kind": kind, "item": item, "user": user, "seed": seed, **more}
        status, answer = served.request("POST", "/v1/generate", body)
        assert status == 200 and (answer["text"] or answer["image"]), answer

    return make


def times(make: Make, asked: list[tuple[str, str]], seed: int) -> dict[str, list[float]]:
    """Milliseconds of each request: on the clock, and of the processor in this thread."""
    clock, processor = [], []
    for at, (user, item) in enumerate(asked):
        begun = time.perf_counter(), time.thread_time()
        make(user, item, seed + at)
        ended = time.perf_counter(), time.thread_time()
        if at >= UNCOUNTED:
            clock.append(1e3 * (ended[0] - begun[0]))
            processor.append(1e3 * (ended[1] - begun[1]))
    return {"clock": clock, "processor": processor}


def figures(values: list[float]) -> dict[str, float]:
    """Mean and quantiles."""
    return {
        "n": len(values),
        "mean": float(np.mean(values)),
        **{f"p{q}": float(np.percentile(values, q)) for q in (50, 95, 99)},
        "max": float(np.max(values)),
    }


def measure(name: str, run: Path, requests: int, seeds: int) -> dict[str, Any]:
    """Figures of each kind, in this process and over HTTP."""
    opened = OfflineRun(run)
    opened.snapshot.stats.precompute()
    found, each = dict[str, Any](), -(-requests // seeds) + UNCOUNTED
    with Served(run, fresh(WORK / "generation-state" / name), "--rate", "0", workers=1) as served:
        for kind in track(list(KINDS), name):
            taken: dict[str, list[float]] = {"clock": [], "processor": [], "http": []}
            for seed in range(seeds):
                asked = pairs(opened, kind, seed, each)
                inside, outside = times(local(opened, kind), asked, seed), times(remote(served, kind), asked, seed)
                for column, values in {**inside, "http": outside["clock"]}.items():
                    taken[column] += values
            found[kind] = {column: figures(values) for column, values in taken.items()}
        others = served.foreign_load()
    about = opened.snapshot.deployment.about
    return {
        "kinds": found, "cores_taken_by_others": others, "items": len(opened.snapshot), "data": about.get("data"),
        "data_hash": about.get("hash"), "model": opened.snapshot.model.name, "seeds": seeds,
        "versions": versions(), "command": command_line(),
    }  # fmt: skip


def table(runs: dict[str, Any]) -> str:
    """The results for people."""
    lines = [
        "# Personal content without a language model: milliseconds of one request", "",
        "Processor: time of the thread that makes it; clock: the same on a clock; HTTP: what a client of the same "
        "machine waits. Quantiles over all requests of a kind; the machine has two cores, of which other programs took "
        "some (below).", "",
        "| run | kind | n | processor p50 | p99 | clock p50 | p99 | HTTP p50 | p99 | aim (p99) |", "|---" * 10 + "|",
    ]  # fmt: skip
    for name, run in runs.items():
        for kind, row in run["kinds"].items():
            cells = [f"{row[column][q]:.0f}" for column in ("processor", "clock", "http") for q in ("p50", "p99")]
            aim = f"{AIMS[kind]:.0f}" if kind in AIMS else "-"
            lines.append(f"| {name} | {kind} | {row['clock']['n']} | {' | '.join(cells)} | {aim} |")
    lines += [""] + [
        f"{name}: {run['items']:,} items, model {run['model']}; "
        f"other programs took {run['cores_taken_by_others']:.1f} cores."
        for name, run in runs.items()
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", choices=("films", "shop"), default=["films", "shop"])
    parser.add_argument("--requests", type=int, default=500, help="of each kind, at least")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    set_mode("plain")
    file = RESULTS / "generation_latency.json"
    runs = json.loads(file.read_text()) if file.is_file() else {}
    for name in args.runs:
        run = films() if name == "films" else fitted_run(WORK / "generation")
        runs[name] = measure(name, run, args.requests, args.seeds)
        # after each run, so that a stopped call loses one of them
        keep("generation_latency", runs, table(runs))


if __name__ == "__main__":
    main()
