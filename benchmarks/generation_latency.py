"""How long personal content takes without a language model: texts and pictures, single requests and over HTTP.

    python benchmarks/generation_latency.py [--runs films shop] [--kinds explanation ...] [--requests 500] [--seeds 3]

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
from collections.abc import Callable, Iterator
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


def measure(name: str, run: Path, kinds: list[str], requests: int, seeds: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind -> figures in this process and over HTTP, one kind after the other; ``""`` -> what is known of the run."""
    opened = OfflineRun(run)
    opened.snapshot.stats.precompute()
    about = opened.snapshot.deployment.about
    yield "", {
        "items": len(opened.snapshot), "data": about.get("data"), "data_hash": about.get("hash"),
        "model": opened.snapshot.model.name,
    }  # fmt: skip
    each = -(-requests // seeds) + UNCOUNTED
    with Served(run, fresh(WORK / "generation-state" / name), "--rate", "0", workers=1) as served:
        for kind in track(kinds, name):
            taken: dict[str, list[float]] = {"clock": [], "processor": [], "http": []}
            for seed in range(seeds):
                asked = pairs(opened, kind, seed, each)
                inside, outside = times(local(opened, kind), asked, seed), times(remote(served, kind), asked, seed)
                for column, values in {**inside, "http": outside["clock"]}.items():
                    taken[column] += values
            figures_of = {column: figures(values) for column, values in taken.items()}
            more = {"cores_taken_by_others": served.foreign_load(), "seeds": seeds}
            yield kind, {**figures_of, **more, "versions": versions(), "command": command_line()}


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
    for name, run in runs.items():
        others = [row["cores_taken_by_others"] for row in run["kinds"].values()]
        lines += ["", f"{name}: {run['items']:,} items, model {run['model']}; other programs took "
                  f"{min(others):.1f} to {max(others):.1f} cores."]  # fmt: skip
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", choices=("films", "shop"), default=["films", "shop"])
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--requests", type=int, default=500, help="of each kind, at least")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    set_mode("plain")
    file = RESULTS / "generation_latency.json"
    runs = json.loads(file.read_text()) if file.is_file() else {}
    for name in args.runs:
        run = films() if name == "films" else fitted_run(WORK / "generation")
        kept = runs.setdefault(name, {"kinds": {}})
        for kind, found in measure(name, run, args.kinds, args.requests, args.seeds):
            if kind:
                kept["kinds"][kind] = found
                kept["kinds"] = {one: kept["kinds"][one] for one in KINDS if one in kept["kinds"]}
                # after each kind, so that a stopped call loses one of them
                keep("generation_latency", runs, table(runs))
            else:
                kept |= found


if __name__ == "__main__":
    main()
