"""Item-cold movies: draws 0-9, inductive and transductive, with and without pictures, against ID-only models.

python benchmarks/movies.py [--draws 10]

Models that are trained by gradient steps take minutes a draw; they are measured on the first draws only.
"""

from __future__ import annotations

import argparse

import numpy as np

import palate
from _common import WORK, keep, real
from palate.core.progress import set_mode
from palate.evaluation.compare import compare
from palate.evaluation.compare_report import markdown
from palate.metrics.bootstrap import compare_paired

NO_PICTURES = "content_kernel:media={image: 0.0}"
ONLY_PICTURES = "content_kernel:features=[image]"
MODELS = ["popularity", "ease", "blend", "content_kernel", NO_PICTURES, ONLY_PICTURES, "content_knn"]
TRAINED = ["popularity", "clcrec"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--trained-draws", type=int, default=3)
    parser.add_argument("--models", default=None, help="names separated by |")
    args = parser.parse_args()
    set_mode("plain")
    models = args.models.split("|") if args.models else MODELS
    draws = range(args.draws)
    store = WORK / "store" / "movies"
    data = palate.load(real("movies"), split="item_cold")
    result = compare(data, models, WORK / "movies", seeds=draws, store=store, baseline="ease")
    seen = palate.load(real("movies"), split="item_cold:transductive=true")
    also = compare(seen, ["content_kernel"], WORK / "movies-seen", seeds=draws, store=store)
    result["transductive"] = also["table"]
    if "content_kernel" in models and NO_PICTURES in models:
        result["pictures"] = vars(_paired("content_kernel", NO_PICTURES, len(draws)))
    first = range(args.trained_draws)
    trained = compare(data, TRAINED, WORK / "movies", seeds=first, store=store, baseline="popularity")
    result["trained"] = trained["table"]
    parts = {"": result, "## Transductive": also, "## Trained by gradient steps": trained}
    keep("movies", result, "\n".join(f"{title}\n\n{markdown(part)}".lstrip() for title, part in parts.items()))


def _paired(a: str, b: str, draws: int):
    """Per-user difference by draw, from the saved test arrays."""
    from palate.core.files import read_json

    values: dict[tuple[str, int], np.ndarray] = {}
    for cell in (WORK / "movies" / "cells").glob("*/cell.json"):
        facts = read_json(cell)
        with np.load(cell.parent / "test-0.npz", allow_pickle=False) as saved:
            values[facts["model"], facts["seed"]] = saved["capped_recall@20"]
    return compare_paired([values[a, s] for s in range(draws)], [values[b, s] for s in range(draws)])


if __name__ == "__main__":
    main()
