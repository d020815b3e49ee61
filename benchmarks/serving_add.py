"""Movies put into a shop in use: how long until they are recommended, and whether they reach whom they suit.

python benchmarks/serving_add.py [--items 30]

The item-cold protocol, draw 0, with ``blend``, everything through the HTTP API of one worker. The run knows the warm
movies only: the held-out ones, with poster and plot, come through the shop. Fitting on a catalogue without them chooses
the same validation items, and hides nothing that the protocol does not hide.
"""

from __future__ import annotations

import argparse
import base64
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import palate
from _common import WORK, fresh, keep, real
from _served import Served
from palate.contracts.parse import parse_model
from palate.core.progress import set_mode
from palate.data.dataset import Dataset
from palate.data.ids import IdMap
from palate.evaluation.evaluate import evaluate
from palate.features.plan import plan_content
from palate.features.store import FeatureStore
from palate.metrics.lists import evaluate_lists
from palate.serving.catalog_updates import editable_columns
from palate.serving.service import RecommenderService
from palate.training.saving import versions

HOME = WORK / "serving_add"
K, BATCH, TRIES = 20, 100, 20
METRICS = ("recall", "capped_recall")
Record = tuple[str, dict[str, Any], bytes | None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=30)
    parser.add_argument("--run", type=Path, default=HOME / "run")
    args = parser.parse_args()
    set_mode("plain")
    data = palate.load(real("movies"), split="item_cold")
    if not args.run.is_dir():
        _fit(data, args.run)
    cold = np.flatnonzero(data.split.test_candidates)
    records = [_record(data, int(row)) for row in cold]
    speed = _speed(args.run, data, records[: args.items], cold)
    reach = _reach(args.run, data, records, cold)
    result = {
        "items": len(cold),
        "warm": data.n_items - len(cold),
        "command": " ".join(["python benchmarks/serving_add.py", *sys.argv[1:]]),
        "data_hash": data.hash,
        "split": "item_cold, draw 0",
        "seed": 0,
        "versions": versions(),
        **speed,
        **reach,
    }
    keep("serving_add", result, _markdown(result))


def _chosen(data: Dataset, rows: np.ndarray) -> Dataset:
    """``data`` with the items ``rows``, in that order, and what people did with them."""
    place = np.full(data.n_items, -1)
    place[rows] = np.arange(len(rows))
    log = data.interactions.frame
    log = log.with_columns(item=place[log["item"].to_numpy()])
    log = log.filter(log["item"] >= 0)
    items = replace(data.items, frame=data.items.frame[rows], ids=IdMap(data.items.ids.ids.gather(rows), "item"))
    return replace(data, items=items, interactions=replace(data.interactions, frame=log))


def _fit(data: Dataset, run: Path) -> None:
    warm = _chosen(data, np.flatnonzero(data.split.refit_items)).with_split("item_cold:test=0")
    content = plan_content(warm, None, FeatureStore(WORK / "store" / "movies"))
    parse_model("blend").fit(warm, seed=0, content=content).save(run)


def _record(data: Dataset, row: int) -> Record:
    items = data.items
    found = items.frame.row(row, named=True)
    fields = {column: found[column] for column in editable_columns(items) if found[column] is not None}
    picture = items.raw("image", np.array([row]))[0]
    path = None if picture is None or items.root is None else Path(items.root) / str(picture)
    return str(items.ids.ids[row]), fields, path.read_bytes() if path is not None and path.is_file() else None


class Api:
    """The API of a server."""

    def __init__(self, served: Served) -> None:
        self.served = served

    def put(self, records: Sequence[Record]) -> None:
        items = [
            {"id": name, "fields": fields} | ({} if picture is None else {"image": base64.b64encode(picture).decode()})
            for name, fields, picture in records
        ]
        self._told("/v1/items", 201, {"items": items})

    def asked(self, path: str = "/v1/recommend", **wish: Any) -> tuple[list[str], int]:
        """Ids by the run's model, and how often it was late: a busy machine is not what is measured here."""
        for late in range(TRIES):
            told = self._told(path, 200, wish)
            if told["source"] == "match":
                return [item["id"] for item in told["items"]], late
        raise SystemExit(f"the first stage was late {TRIES} times: the machine is too busy")

    def _told(self, path: str, expected: int, body: Any) -> Any:
        status, answer = self.served.request("POST", path, body)
        if status != expected:
            raise SystemExit(f"{path}: {status} {answer!r}")
        return answer


def _served(run: Path, state: Path) -> Served:
    return Served(run, state, "--rate", "0", "--no-page", workers=1)


def _speed(run: Path, data: Dataset, records: Sequence[Record], cold: np.ndarray) -> dict[str, Any]:
    """From a put to an answer that holds the item, one item after another; then changes of items the run knows."""
    warm = [str(name) for name in data.items.ids.ids.gather(np.flatnonzero(data.split.refit_items)).to_list()]
    history = warm[:3]
    added, changed = [], []
    with _served(run, fresh(HOME / "speed")) as served:
        api = Api(served)
        for at, record in enumerate(records):
            started = time.perf_counter()
            api.put([record])
            found, _ = api.asked(k=len(records), history=history, exclude=warm)
            added.append(time.perf_counter() - started)
            if record[0] not in found or not api.asked("/v1/similar", item=record[0], k=5)[0]:
                raise SystemExit(f"{record[0]} was put and is not recommended, after {at} others")
        for name in warm[:10]:
            started = time.perf_counter()
            api.put([(name, {"Plot": f"Another plot of {name}, told anew."}, None)])
            api.asked(k=K, history=history)
            changed.append(time.perf_counter() - started)
    return {"added": _summary(added), "changed": _summary(changed)}


def _summary(seconds: Sequence[float]) -> dict[str, float]:
    return {"n": len(seconds), "median": float(np.median(seconds)), "max": float(max(seconds))}


def _reach(run: Path, data: Dataset, records: Sequence[Record], cold: np.ndarray) -> dict[str, Any]:
    """Accuracy of what the shop answers once all held-out items came, and of the same run evaluated offline."""
    rows = np.concatenate([np.flatnonzero(data.split.refit_items), cold])
    arranged = _chosen(data, rows)
    new = np.arange(len(rows)) >= len(rows) - len(cold)
    # the draw, carried over to the order in which the shop has the items; rows of the log stay as they were
    vars(arranged)["split"] = replace(data.split, visible_items=~new, refit_items=~new, test_candidates=new)
    held, users = arranged.test_queries(), arranged.users.ids.ids.to_list()
    warm = [str(name) for name in arranged.items.ids.ids.gather(np.flatnonzero(~new)).to_list()]
    answers, late, seconds = [], 0, []
    with _served(run, fresh(HOME / "reach")) as served:
        api = Api(served)
        for start in range(0, len(records), BATCH):
            started = time.perf_counter()
            api.put(records[start : start + BATCH])
            seconds.append(time.perf_counter() - started)
        for user in held.users.rows:
            found, times = api.asked(k=K, user=str(users[user]), exclude=warm)
            answers.append(found)
            late += times
    # what the server had, from what it wrote down
    service = RecommenderService(run, HOME / "reach", poll_seconds=0)
    lists = np.full((len(held), K), -1, np.int64)
    for at, found in enumerate(answers):
        lists[at, : len(found)] = [service.snapshot.row(name) for name in found]
    told = evaluate_lists(lists, held.relevant, (K,), METRICS)
    same = evaluate(service.snapshot.model, arranged, (K,))
    model = palate.restore(run).add_items(data.items.frame[cold])
    offline = evaluate(model, arranged, (K,))
    vectors = model.deployment.content.model_features(model.deployment.features)
    pictures = service.snapshot.content.model_features(service.snapshot.features)["image"]
    model.update_items(vectors.replace({"image": pictures}))
    pictured = evaluate(model, arranged, (K,))
    service.close()
    names = [f"{metric}@{K}" for metric in METRICS]
    differing = [int(set(a) != set(b)) for a, b in zip(lists.tolist(), same.lists.tolist())]
    return {
        "users": len(held),
        "served": {name: float(told[name].mean()) for name in names},
        "served model, offline": {name: same.metrics[name] for name in names},
        "offline": {name: offline.metrics[name] for name in names},
        "offline, the shop's pictures": {name: pictured.metrics[name] for name in names},
        "lists that differ from the served model's": int(sum(differing)),
        "batches": {"n": len(seconds), "median": float(np.median(seconds)), "max": float(max(seconds))},
        "late answers asked again": late,
    }


def _markdown(result: dict[str, Any]) -> str:
    names = [f"{metric}@{K}" for metric in METRICS]
    lines = [
        f"Movies, item-cold, draw 0, `blend` fitted on {result['warm']} movies.",
        "",
        "| from a put to an answer that holds the item, through the API | n | median s | max s |",
        "|---|---|---|---|",
    ]
    for name, title in (("added", "a new movie, poster and plot"), ("changed", "a new plot of a movie the run knows")):
        found = result[name]
        lines.append(f"| {title} | {found['n']} | {found['median']:.2f} | {found['max']:.2f} |")
    lines += [
        "",
        f"{result['items']} held-out movies put in batches of up to {BATCH}; "
        f"{result['users']} people, each shown {K} of them.",
        "",
        f"| | {' | '.join(names)} |",
        "|---|---|---|",
    ]
    for name in ("served", "served model, offline", "offline, the shop's pictures", "offline"):
        lines.append(f"| {name} | " + " | ".join(f"{result[name][metric]:.4f}" for metric in names) + " |")
    gap = [result["served"][metric] - result["offline"][metric] for metric in names]
    lines.append("| served less offline | " + " | ".join(f"{one:+.4f}" for one in gap) + " |")
    lines += [
        "",
        "Offline reads posters as they lie in the data; the shop writes every picture that comes as a JPEG of its own.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
