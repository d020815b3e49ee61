"""Our faithful presets on TikTok against the figures measured with the public MMRec code (results/mmrec_tiktok.json).

    python benchmarks/faithful.py [--models "BPR;AlignRec"]

Models that are not named keep their former rows; a model is written as soon as its seeds are done, and what was trained
by the same code is not trained again. Each row names the code that it was measured with, where that is known.

The public code's ``stopping_step=20`` ends training at the 21st evaluation without a gain, which is our patience 21.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np

import palate
from _common import RESULTS, WORK, keep, real
from palate.core.files import read_json
from palate.core.progress import set_mode
from palate.evaluation.compare import compare
from palate.metrics.variance import StandardError, satterthwaite

MODELS = {
    "BPR": "bpr@faithful:patience=21",
    "LightGCN": "lightgcn@faithful:patience=21",
    "VBPR": "vbpr@faithful:patience=21",
    "FREEDOM": "freedom@faithful:patience=21",
    "BM3": "bm3@faithful:patience=21",
    "MMGCN": "mmgcn@faithful:patience=21",
    "LGMRec": "lgmrec@faithful:patience=21",
    "AlignRec": "alignrec@faithful:patience=21",
    "AlignRec, our preset": "alignrec@tuned:patience=21",
}
"""The public AlignRec was not run: its two rows stand beside each other only."""
SEEDS = dict.fromkeys(MODELS, 3) | {"VBPR": 6, "MMGCN": 6}
"""Seeds of ours. VBPR's spread is wide beside its score; MMGCN's validation swings by a tenth from epoch to epoch."""
MARGIN = 0.05
BEFORE = {
    "BM3": "scored items that nobody took as the public code does",
    "LGMRec": "scored items that nobody took as the public code does",
    "MMGCN": "left out the short last batch",
}
"""What the faithful preset of a row has done since, if the row does not name its code."""
PUBLIC = 3
"""Seeds of the public code below which there is no verdict."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=";".join(MODELS), help="separated by semicolons")
    args = parser.parse_args()
    set_mode("plain")
    data, file = palate.load(real("tiktok")), RESULTS / "faithful.json"
    for name in args.models.split(";"):
        variant = MODELS[name]
        result = compare(data, [variant], WORK / "faithful", seeds=range(SEEDS[name]))
        kept = read_json(file) if file.is_file() else {"table": []}
        rows = {row["model"]: row for row in kept["table"]} | {name: row_of(name, result)}
        table = [rows[model] for model in MODELS if model in rows]
        facts = {key: result[key] for key in ("data", "hash", "split", "mask", "versions", "command")}
        facts |= {"openings_known": kept.get("openings_known", 0) + 1, "notes": notes(table)}
        keep("faithful", {"table": table, **facts}, markdown(table))


def row_of(name: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """One model beside the public code.

    Args:
        name: of the model.
        result: of :func:`compare` on that model alone.
    """
    (ours,) = result["table"]
    runs = read_json(RESULTS / "mmrec_tiktok.json")["runs"]
    public = [run["test"]["recall@20"] for run in runs if run["model"] == name]
    row = {"model": name, "ours": ours["recall@20"], "ours by seed": ours["recall@20 by seed"]}
    if public:
        spread = float(np.std(public, ddof=1)) if len(public) > 1 else 0.0
        row |= {"public": float(np.mean(public)), "public by seed": public, "public sd": spread}
        row["ratio"] = row["ours"] / row["public"]
        if len(public) >= PUBLIC:
            row |= verdict(row["ours by seed"], public)
    row |= {"variant": MODELS[name], "valid": ours["valid"], "code": result["code"]}
    return row | {"epochs": ours["epochs"], "fit seconds": ours["fit seconds"]}


def verdict(ours: list[float], public: list[float]) -> dict[str, Any]:
    """Whether the means of two codes are equal within ``MARGIN``, on both sides, from the seeds of both (Welch).

    ``equal``: the 90 % interval of ours / public lies within 1 +- margin, which are two one-sided tests at 5 %
    (Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 1987). ``different``: the 95 % interval of the
    difference excludes 0. ``open``: neither; so few seeds cannot tell.

    Args:
        ours: test scores by seed.
        public: of the public code.
    """
    parts = [(float(np.var(x, ddof=1)) / len(x), len(x) - 1) for x in (ours, public)]
    total = sum(part for part, _ in parts)
    error = StandardError(total, satterthwaite(total, parts))
    gap, base = float(np.mean(ours) - np.mean(public)), float(np.mean(public))
    wide, narrow = error.half_width(0.95), error.half_width(0.90)
    equal = abs(gap) + narrow <= MARGIN * base
    word = "equal" if equal else "different" if abs(gap) > wide else "open"
    return {"ratio low": 1 + (gap - wide) / base, "ratio high": 1 + (gap + wide) / base, "verdict": word}


def markdown(rows: list[dict]) -> str:
    """A table for people; each cell holds the mean and, in brackets, every seed."""
    lines = ["# TikTok, test recall@20: our faithful presets and the public code", ""]
    lines += [
        "| model | ours | public code | ratio [95 %] | verdict |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [_cell(row[name], row[f"{name} by seed"]) if name in row else "" for name in ("ours", "public")]
        ratio = f"{row['ratio']:.2f}" if "ratio" in row else ""
        if "verdict" in row:
            ratio += f" [{row['ratio low']:.2f}, {row['ratio high']:.2f}]"
        lines.append(f"| {row['model']} | {' | '.join(cells)} | {ratio} | {row.get('verdict', '')} |")
    lines += [
        "",
        f"Equal: within {MARGIN:.0%} on both sides (two one-sided tests at 5 %); different: the 95 % interval of the "
        "ratio excludes 1; open: so few seeds cannot tell.",
        *(f"\n{note}" for note in notes(rows)),
    ]
    return "\n".join([*lines, ""])


def notes(rows: list[dict]) -> list[str]:
    """What is to be known of rows that were measured before their preset became what it is."""
    old = [row["model"] for row in rows if row["model"] in BEFORE and "code" not in row]
    return [f"{name} was measured before its faithful preset {BEFORE[name]}; it was not trained again." for name in old]


def _cell(mean: float, seeds: list[float]) -> str:
    return f"{mean:.4f} ({', '.join(f'{value:.4f}' for value in seeds)})"


if __name__ == "__main__":
    main()
