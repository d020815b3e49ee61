"""New items that lack modalities, 0 to 90 % missing: a plain content kernel beside robust ones.

    python benchmarks/missing.py [--draws 3]

In the simulated shop and on movies every modality may be missing; on movies also one of them alone. The aim: with every
second modality gone, a robust model keeps at least 85 % of the score it has on whole items.
Written: ``results/missing.*``.
"""

from __future__ import annotations

import argparse
from typing import Any

import palate
from _common import RESULTS, WORK, keep, real
from _points import shop
from palate.core.progress import set_mode, track
from palate.data.dataset import Dataset
from palate.evaluation.compare import compare
from palate.evaluation.sweep import draw_sweep, sweep_markdown, sweep_rows

NAIVE, ROBUST = "content_kernel", "content_kernel:modality_dropout=0.3"
MODELS = [NAIVE, ROBUST, "content_kernel:impute=ridge"]
RATES = tuple(tenth / 10 for tenth in range(10))
FEWER = (0.0, 0.5, 0.9)
AIM = 0.85


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=3)
    args = parser.parse_args()
    set_mode("plain")
    films = palate.load(real("movies"), split="item_cold")
    asked: list[tuple[str, Dataset, list[str] | None, tuple[float, ...]]] = [
        ("shop: all modalities", shop(1, True), None, RATES),
        ("movies: all modalities", films, None, RATES),
    ]
    asked += [(f"movies: {modality}", films, [modality], FEWER) for modality in films.items.modalities]
    panels = {
        title: compare(
            data,
            MODELS,
            WORK / "missing" / data.name,
            seeds=range(args.draws),
            missing=rates,
            missing_of=modalities,
            baseline=NAIVE,
            store=WORK / "store" / data.name,
        )
        for title, data, modalities, rates in track(asked, "panels")
    }
    kept = {
        title: {model: rates[0.5]["kept"] for model, rates in sweep_rows(result).items()}
        for title, result in panels.items()
    }
    result = {"kept at 50 %": kept, "aim": AIM, "panels": panels}
    keep("missing", result, page(result))
    draw_sweep(panels, RESULTS / "missing.svg")


def page(result: dict[str, Any]) -> str:
    """The tables for people.

    Args:
        result: panels by title, and the share that each model keeps.
    """
    kept, panels = result["kept at 50 %"], result["panels"]
    lines = ["| kept at 50 % | " + " | ".join(MODELS) + " |", "|---" * (len(MODELS) + 1) + "|"]
    lines += [
        f"| {title} | " + " | ".join(f"{found[model]:.0%}" for model in MODELS) + " |" for title, found in kept.items()
    ]
    tables = [f"## {title}\n\n##{sweep_markdown(result)}" for title, result in panels.items()]
    return "\n".join(["# New items that lack modalities", "", *lines, "", f"The aim is {AIM:.0%}.", "", *tables])


if __name__ == "__main__":
    main()
