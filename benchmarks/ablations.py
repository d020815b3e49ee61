"""Each system's own point on real data: the whole model against itself without one of its terms, 3 seeds.

    python benchmarks/ablations.py [--systems alignrec,...] [--seeds 3]

Whole and ablated models have the same parameters, settings and stopping rule; differences are paired by user and seed.
"""

from __future__ import annotations

import argparse
from typing import Any

import palate
from _common import RESULTS, WORK, keep, real
from palate.core.files import read_json
from palate.core.progress import set_mode
from palate.evaluation.compare import compare
from palate.evaluation.compare_report import p_text

SYSTEMS: dict[str, tuple[str, dict[str, str]]] = {
    "alignrec": (
        "tiktok",
        {
            "without content-category alignment": "alignrec:cca=0",
            "without user-item alignment": "alignrec:uia=0",
            "without similarity preservation": "alignrec:similarity=0",
        },
    ),
}
METRIC = "recall@20"


def ablated(system: str, seeds: int) -> dict[str, Any]:
    """Rows of one system: each ablation's score, and the whole model's gain over it."""
    data, variants = SYSTEMS[system]
    whole = system
    models = [whole, *variants.values()]
    result = compare(palate.load(real(data)), models, WORK / f"ablation-{system}", seeds=range(seeds), baseline=whole)
    scores = {row["model"]: row for row in result["table"]}
    rows = []
    for what, variant in variants.items():
        test = result["tests"][METRIC][variant]
        gain = {"gain": -test["difference"], "low": -test["high"], "high": -test["low"], "p": test["p_adjusted"]}
        rows.append({"ablation": what, "score": scores[variant][METRIC], **gain})
    facts = {key: result[key] for key in ("data", "hash", "split", "mask", "seeds", "versions", "command")}
    own = scores[whole]
    return {"whole": own[METRIC], "sd": own[f"{METRIC} sd"], "seconds": own["fit seconds"], "rows": rows, **facts}


def markdown(found: dict[str, Any]) -> str:
    """One table over all systems."""
    lines = ["# Ablations", "", f"| system | data | {METRIC} | ablation | {METRIC} | gain of the whole [95 %] | p |"]
    lines.append("|---|---|---|---|---|---|---|")
    for system, part in found.items():
        for row in part["rows"]:
            gain = f"{row['gain']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
            ours = f"| {system} | {part['data']} | {part['whole']:.4f} |"
            lines.append(f"{ours} {row['ablation']} | {row['score']:.4f} | {gain} | {p_text(row['p'])} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    set_mode("plain")
    file = RESULTS / "ablations.json"
    found: dict[str, Any] = read_json(file) if file.is_file() else {}
    for system in args.systems.split(","):
        found[system] = ablated(system, args.seeds)
        keep("ablations", found, markdown(found))


if __name__ == "__main__":
    main()
