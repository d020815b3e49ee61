"""Item-cold movies: draws 0-9, inductive and transductive, with and without pictures, against ID-only models.

python benchmarks/movies.py [--draws 10]

Models that are trained by gradient steps take minutes a draw; they are measured on the first draws only.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import palate
from _common import WORK, keep, real
from palate.core.cache import vectors_folder
from palate.core.files import read_json
from palate.core.progress import set_mode
from palate.data.dataset import Dataset
from palate.data.splits import SplitSpec
from palate.evaluation.compare import compare
from palate.evaluation.compare_report import markdown
from palate.evaluation.openings import one_opening, open_test
from palate.metrics.bootstrap import PairedResult, compare_paired

NO_PICTURES = "content_kernel:media={image: 0.0}"
ONLY_PICTURES = "content_kernel:features=[image]"
MODELS = ["popularity", "ease", "blend", "content_kernel", NO_PICTURES, ONLY_PICTURES, "content_knn"]
TRAINED = ["popularity", "clcrec"]
METRIC = "capped_recall@20"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--trained-draws", type=int, default=3)
    parser.add_argument("--models", default=None, help="names separated by |")
    args = parser.parse_args()
    set_mode("plain")
    models = args.models.split("|") if args.models else MODELS
    draws = range(args.draws)
    store = vectors_folder(real("movies"))
    data = palate.load(real("movies"), split="item_cold")
    result = compare(data, models, WORK / "movies", seeds=draws, store=store, baseline="ease")
    seen = palate.load(real("movies"), split="item_cold:transductive=true")
    also = compare(seen, ["content_kernel"], WORK / "movies-seen", seeds=draws, store=store)
    result["transductive"] = also["table"]
    if "content_kernel" in models and NO_PICTURES in models:
        result["pictures"] = vars(_paired("content_kernel", NO_PICTURES, len(draws)))
    result["most liked new films"] = [most_liked(data.with_split(cold(data, draw))) for draw in draws]
    first = range(args.trained_draws)
    trained = compare(data, TRAINED, WORK / "movies", seeds=first, store=store, baseline="popularity")
    result["trained"] = trained["table"]
    keep("movies", result, page(result))


def page(result: dict[str, Any]) -> str:
    """The tables for people.

    Args:
        result: of the comparison, with the tables of other protocols.
    """
    lines = [markdown(result)]
    for title, part in (("Transductive", "transductive"), ("Trained by gradient steps", "trained")):
        rows = [(row["model"], row[METRIC], row[f"{METRIC} sd"], row[f"{METRIC} by seed"]) for row in result[part]]
        lines += [f"## {title}", "", f"| model | {METRIC} | draws |", "|---|---|---|"]
        lines += [f"| {name} | {mean:.4f} ± {sd:.4f} | {len(draws)} |" for name, mean, sd, draws in rows]
        lines.append("")
    gap, best = result["pictures"], result["most liked new films"]
    lines += [
        f"With pictures minus without: {gap['difference']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}].",
        "",
        f"One list for everybody, of the new films that most people turn out to like (known only afterwards): "
        f"{np.mean(best):.4f} ± {np.std(best, ddof=1):.4f}.",
        "",
    ]
    return "\n".join(lines)


def cold(data: Dataset, draw: int) -> SplitSpec:
    """The split of one draw."""
    return data.spec.model_copy(update={"seed": draw})


def _paired(a: str, b: str, draws: int) -> PairedResult:
    """Per-user difference by draw, from the saved test arrays of the cells that the comparison just used."""
    home = WORK / "movies"
    cells = {(cell["model"], cell["seed"]): cell["key"] for cell in read_json(home / "selection.json")}

    def values(model: str) -> list[np.ndarray]:
        files = (home / "cells" / cells[model, draw] / "test-0.npz" for draw in range(draws))
        return [np.load(file, allow_pickle=False)[METRIC] for file in files]

    return compare_paired(values(a), values(b))


def most_liked(data: Dataset) -> float:
    """The metric of one list for everybody: the new films that most people of the test part turn out to like.

    Nothing can know this list beforehand; it says how much of a score could be had without knowing a person.
    """
    with one_opening("movies.py"):
        open_test(data)
    held = data.test_queries()
    counts = np.bincount(held.relevant.items, minlength=data.n_items)
    counts = np.where(held.candidates, counts, -1)
    best = np.argsort(-counts, kind="stable")[:20]
    owners = held.relevant.owners()
    hits = np.bincount(owners[np.isin(held.relevant.items, best)], minlength=len(held))
    return float((hits / np.minimum(held.relevant.lengths, 20)).mean())


if __name__ == "__main__":
    main()
