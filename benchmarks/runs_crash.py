"""SIGKILL while a run is changed, two writers at once, and folders of a user's given as --out.

    python benchmarks/runs_crash.py --kills 200 --between 50 --pairs 100 --folders 50

A process adds an item to a run, forgets a user, or saves the run again, and is killed at a random moment, or right
between the two renames that put the new run in place of the old. After each kill the run must open, hold all that was
acknowledged, and nothing of a user whose erasure was; nothing may lie beside it. Then two processes add an item each at
the same moment, round after round. Last, every command that writes a folder is given one that a user has filled.

All work happens in children of a process that has imported everything and done nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import palate
from _common import keep
from palate.contracts import pretrainers
from palate.core import files
from palate.core.asides import OLD_PREFIX, asides
from palate.core.errors import PalateError
from palate.evaluation.compare import compare
from palate.evaluation.export import export_model
from palate.evaluation.runs import run_add, run_fit
from palate.features.plan import plan_content
from palate.simulation.world import World
from palate.training.erase import erase_user
from palate.training.pretrain import pretrain
from palate.training.saving import restore, save
from palate.training.tune import tune

USERS, ITEMS = 200, 40
OPERATIONS = ("add", "forget", "save")


def data() -> palate.Dataset:
    rng = np.random.default_rng(0)
    pairs = [(f"u{user}", f"i{item}") for user in range(USERS) for item in rng.permutation(ITEMS)[:5]]
    titles = [f"lamp {row % 7} of kind {row % 3}" for row in range(ITEMS)]
    items = pl.DataFrame({"item": [f"i{row}" for row in range(ITEMS)], "title": titles})
    return palate.Dataset.from_frames(items, pl.DataFrame(pairs, ["user", "item"], orient="row"), split="random")


def make_run(run: Path) -> None:
    model = palate.models.ContentKNN()
    model.fit(data(), content=plan_content(data(), {"text": "tfidf"})).save(run)


def change(run: Path, operation: str, name: str) -> None:
    """One change of the run."""
    if operation == "add":
        file = run.parent.parent / f"{name}.csv"
        pl.DataFrame({"item": [name], "title": ["lamp of kind 1"]}).write_csv(file)
        run_add(run, file)
    elif operation == "forget":
        erase_user(run, name)
    else:
        save(restore(run), run)


def die_between_renames() -> None:
    """Kill this process as soon as the old run has moved away."""
    replace = os.replace

    def replace_and_die(source: Any, target: Any) -> None:
        replace(source, target)
        if Path(target).name.startswith(OLD_PREFIX):
            os.kill(os.getpid(), signal.SIGKILL)

    files.os.replace = replace_and_die  # type: ignore[attr-defined]


def child(work: Callable[[], object]) -> int:
    """Start a process that does ``work`` and ends with 0."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
        finally:
            os._exit(code)
    return process


def finished(process: int) -> bool:
    status = os.waitpid(process, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError("a process failed")
    return not os.WIFSIGNALED(status)


def look(run: Path, added: set[str], erased: set[str], answer: Path) -> None:
    """Open the run, and note what of the acknowledged it lacks, or still holds."""
    model = restore(run)
    deployment = model.deployment
    lost = added - set(deployment.items.ids.ids.to_list())
    back = erased & set(deployment.users.ids.to_list())
    answer.write_text(json.dumps({"lost": len(lost), "back": len(back), "beside": len(asides(run.parent, run.name))}))


def inspected(run: Path, added: set[str], erased: set[str], root: Path) -> dict[str, int]:
    answer = root / "answer.json"
    answer.unlink(missing_ok=True)
    try:
        finished(child(lambda: look(run, added, erased, answer)))
    except RuntimeError:
        return {"unreadable": 1, "lost": 0, "back": 0, "beside": 0}
    return {"unreadable": 0, **json.loads(answer.read_text())}


def kills(root: Path, wanted: int, between: int, seed: int) -> dict[str, Any]:
    """``wanted`` kills, ``between`` of them between the renames."""
    run, draw = root / "runs" / "run", random.Random(seed)
    finished(child(lambda: make_run(run)))
    added: set[str] = set()
    erased: set[str] = set()
    lengths, faults = {}, {"unreadable": 0, "lost": 0, "back": 0, "beside": 0}
    for operation in OPERATIONS:
        began, name = time.perf_counter(), {"add": "first", "forget": "u0"}.get(operation, "")
        finished(child(lambda operation=operation, name=name: change(run, operation, name)))
        lengths[operation] = time.perf_counter() - began
    added.add("first")
    erased.add("u0")
    landed = {"random": 0, "between": 0}
    by_operation = dict.fromkeys(OPERATIONS, 0)
    acknowledged = attempt = 0
    while sum(landed.values()) < wanted:
        attempt += 1
        operation = OPERATIONS[attempt % 3]
        name = f"n{attempt}" if operation == "add" else f"u{attempt % USERS}"
        # some changes come through, so that there is something to lose
        spared = attempt % 5 == 0
        forced = not spared and landed["between"] < between and attempt % 3 == draw.randrange(3)

        def work(operation: str = operation, name: str = name, forced: bool = forced) -> None:
            if forced:
                die_between_renames()
            change(run, operation, name)

        process = child(work)
        if not forced and not spared:
            time.sleep(draw.uniform(0, 1.2 * lengths[operation]))
            os.kill(process, signal.SIGKILL)
        if finished(process):
            acknowledged += 1
            added |= {name} if operation == "add" else set()
            erased |= {name} if operation == "forget" else set()
        else:
            landed["between" if forced else "random"] += 1
            by_operation[operation] += 1
        for fault, count in inspected(run, added, erased, root).items():
            faults[fault] += count
    return {
        "kills": landed, "kills by operation": by_operation, "acknowledged": acknowledged,
        "items added": len(added), "users forgotten": len(erased), **faults,
    }  # fmt: skip


def pairs(root: Path, rounds: int) -> dict[str, Any]:
    """Two processes that add an item each at once."""
    run, added = root / "runs" / "pair", set()
    finished(child(lambda: make_run(run)))
    for number in range(rounds):
        names = [f"a{number}", f"b{number}"]
        processes = [child(lambda name=name: change(run, "add", name)) for name in names]
        added |= {name for name, process in zip(names, processes) if finished(process)}
    return {"rounds": rounds, "acknowledged": len(added), **inspected(run, added, set(), root)}


NAMES = ("items.csv", "thesis.txt", "manifest.json", "result.json", "world.json", "items.parquet", "a/b/c", "log.txt")
TEXTS = ("", "mine", "{}", '{"format": 1}', '{"kind": "run"}', '{"format": 1, "model": "ease"}', "[]")


def content(folder: Path) -> dict[str, bytes | None]:
    found = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in found}


def fill(folder: Path, draw: random.Random) -> None:
    for name in draw.sample(NAMES, draw.randint(1, 5)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(draw.choice(TEXTS))


def folders(root: Path, tries: int, seed: int, answer: Path) -> None:
    """Every command on folders that a user filled."""
    draw, shop = random.Random(seed), data()
    plan = plan_content(shop, {"text": "tfidf"})
    model = palate.models.Popularity().fit(shop)
    vectors = palate.models.BPR(dim=2, epochs=0).fit(shop)
    world = World.make(n_items=48, n_users=5, media=False)
    options: dict[str, Any] = {"content": plan, "baselines": False, "test": False}
    commands: dict[str, Callable[[Path], object]] = {
        "fit": lambda out: run_fit(shop, "popularity", out, **options),
        "fit --overwrite": lambda out: run_fit(shop, "popularity", out, overwrite=True, **options),
        "save": lambda out: save(model, out, overwrite=True),
        "pretrain": lambda out: pretrain(pretrainers.get("attribute_ridge")(), shop, out),
        "compare": lambda out: compare(shop, ["popularity"], out, seeds=(0,), overwrite=True),
        "tune": lambda out: tune(shop, "bpr", 1, {"dim": "2,3"}, 0, out, plan),
        "export": lambda out: export_model(vectors, out),
        "world --overwrite": lambda out: world.write(out, overwrite=True),
    }
    changed = refused = 0
    for number in range(tries):
        name = sorted(commands)[number % len(commands)]
        place = root / "users" / str(number)
        fill(place / "results", draw)
        before = content(place)
        try:
            commands[name](place / "results")
        except PalateError:
            refused += 1
        changed += content(place) != before
    found = {"tries": tries, "commands": sorted(commands), "refused": refused, "changed": changed}
    answer.write_text(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--between", type=int, default=50)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--folders", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ["PALATE_CACHE"] = str(root / "cache")
        result = {"kills": kills(root, args.kills, args.between, args.seed), "two writers": pairs(root, args.pairs)}
        finished(child(lambda: folders(root, args.folders, args.seed, root / "folders.json")))
        result["folders of a user"] = json.loads((root / "folders.json").read_text())
    result["seconds"] = round(time.perf_counter() - began, 1)
    keep("runs_crash", result)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    wrong = ("unreadable", "lost", "back", "beside", "changed")
    sys.exit(int(any(part.get(name) for part in result.values() if isinstance(part, dict) for name in wrong)))


if __name__ == "__main__":
    main()
