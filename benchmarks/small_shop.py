"""The default model beside popularity and its other members on small shops with heavy-tailed popularity.

python benchmarks/small_shop.py [--draws 5]

392 customers, 300 items, 1,392 positives, popularity after Pareto(1.2), taste that follows what items are.
"""

from __future__ import annotations

import argparse

import numpy as np

from _common import keep
from _small_shop import small_shop
from palate.contracts.parse import parse_model
from palate.core.progress import set_mode, track
from palate.evaluation.fit_result import fit_one
from palate.features.plan import plan_content
from palate.metrics.bootstrap import compare_paired
from palate.training.deployment import log_of

MODELS = ("blend", "popularity", "ease", "content_kernel", "ease_content")
METRIC = "recall@20"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=5)
    args = parser.parse_args()
    set_mode("plain")
    rows = [draw(seed) for seed in track(range(args.draws), "draw")]
    keep("small_shop", {"draws": rows, "all hold": all(row["holds"] for row in rows)}, markdown(rows))


def draw(seed: int) -> dict[str, object]:
    """Validation and test of all models on one shop; ``holds``: blend >= popularity minus its standard error."""
    data = small_shop(seed)
    content = plan_content(data, {"text": "tfidf"})
    fits = {name: fit_one(parse_model(name), data, content, 0, True) for name in MODELS}
    test = {name: done.judgement.per_unit[METRIC] for name, done in fits.items()}
    error = float(test["popularity"].std(ddof=1) / np.sqrt(len(test["popularity"])))
    gap = compare_paired(test["blend"], test["popularity"])
    return {
        "seed": seed,
        "positives": len(data.positives),
        "test users": len(test["blend"]),
        "valid": {name: log_of(done.model).valid for name, done in fits.items()},
        "test": {name: float(values.mean()) for name, values in test.items()},
        "standard error of popularity": error,
        "blend - popularity": [gap.difference, gap.low, gap.high],
        "holds": float(test["blend"].mean()) >= float(test["popularity"].mean()) - error,
        "selected": log_of(fits["blend"].model).selected,
    }


def markdown(rows: list[dict[str, object]]) -> str:
    """The draws as a table: validation / test."""
    lines = [
        f"# Small shops: {METRIC} on validation / test",
        "",
        "| draw | " + " | ".join(MODELS) + " | blend - popularity on test [95 %] | standard error of popularity |",
        "|---" * (len(MODELS) + 3) + "|",
    ]
    for row in rows:
        cells = [f"{row['valid'][name]:.3f} / {row['test'][name]:.3f}" for name in MODELS]
        mean, low, high = row["blend - popularity"]
        gap = f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"
        lines.append(f"| {row['seed']} | {' | '.join(cells)} | {gap} | {row['standard error of popularity']:.3f} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
