"""Item-cold movies whose new items lack modalities: a plain content kernel beside robust ones, 0 to 90 % missing.

python benchmarks/missing.py [--draws 3]

All modalities may be missing, then only one of them. The aim: with every second modality gone, a robust model keeps at
least 85 % of the score it has on whole items.
"""

from __future__ import annotations

import argparse

import palate
from _common import RESULTS, WORK, keep, real
from palate.core.progress import set_mode
from palate.evaluation.compare import compare
from palate.evaluation.sweep import draw_sweep, sweep_markdown, sweep_rows

NAIVE, ROBUST = "content_kernel", "content_kernel:modality_dropout=0.3"
MODELS = [NAIVE, ROBUST, "content_kernel:impute=ridge"]
RATES = tuple(tenth / 10 for tenth in range(10))
FEWER = (0.0, 0.3, 0.5, 0.7, 0.9)
AIM = 0.85


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=3)
    args = parser.parse_args()
    set_mode("plain")
    data = palate.load(real("movies"), split="item_cold")
    panels = {}
    for title, modalities, rates in (
        ("all modalities", None, RATES),
        *((modality, [modality], FEWER) for modality in data.items.modalities),
    ):
        panels[title] = compare(
            data,
            MODELS,
            WORK / "missing",
            seeds=range(args.draws),
            missing=rates,
            missing_of=modalities,
            baseline=NAIVE,
            store=WORK / "store" / "movies",
        )
    kept = {model: rates[0.5]["kept"] for model, rates in sweep_rows(panels["all modalities"]).items()}
    verdict = ", ".join(f"{model} {share:.0%}" for model, share in kept.items())
    tables = [sweep_markdown(result) for result in panels.values()]
    keep(
        "missing",
        {"kept at 50 %": kept, "aim": AIM, "reached": kept[ROBUST] >= AIM, "panels": panels},
        "\n".join([*tables, f"Kept at 50 %: {verdict}. The aim is {AIM:.0%}.", ""]),
    )
    draw_sweep(panels, RESULTS / "missing.svg")


if __name__ == "__main__":
    main()
