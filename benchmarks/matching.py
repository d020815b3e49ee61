"""Top-K matching on given splits, 3 seeds: Baby, Sports (given k-NN graphs), TikTok (dense image and audio).

    python benchmarks/matching.py amazon-baby [--models a,b] [--seeds 3] [--keep]

Baby and Sports come without dense features: models that need vectors get a spectral embedding of the given graph.
With ``--keep``, models that are not named keep their rows of the committed table, and each row says which code it was
measured with; the baseline is to be named, so that all were compared with the same lists.
"""

from __future__ import annotations

import argparse
from typing import Any

import palate
from _common import RESULTS, WORK, keep, real
from palate.core.files import read_json
from palate.core.progress import set_mode
from palate.evaluation.compare import compare
from palate.evaluation.compare_report import markdown
from palate.metrics.bootstrap import holm

MODELS = {
    "amazon-baby": ["popularity", "item_knn", "ease", "lightgcn", "freedom", "ease_content", "blend"],
    "amazon-sports": ["popularity", "item_knn", "ease_content", "freedom", "blend"],
    "tiktok": ["popularity", "item_knn", "ease", "lightgcn", "freedom", "ease_content", "blend"],
}
SAME = ("hash", "split", "positive", "mask", "seeds", "baseline")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=sorted(MODELS))
    parser.add_argument("--models", default=None)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--baseline", default=None)
    parser.add_argument("--keep", action="store_true", help="keep the committed rows of models that are not named")
    args = parser.parse_args()
    set_mode("plain")
    models = args.models.split(",") if args.models else MODELS[args.data]
    data = palate.load(real(args.data))
    result = compare(data, models, WORK / args.data, seeds=range(args.seeds), baseline=args.baseline)
    if args.keep:
        result = with_former(result, read_json(RESULTS / f"{args.data}.json"))
    keep(args.data, result, markdown(result))


def with_former(result: dict[str, Any], former: dict[str, Any]) -> dict[str, Any]:
    """The table with the former rows of models that were not measured now.

    Args:
        result: what was measured now, the baseline included.
        former: the committed table.

    Raises:
        SystemExit: if the tables are not of the same data, split and seeds, or the baseline has another value.
    """
    for key in SAME:
        if result[key] != former[key]:
            raise SystemExit(f"the committed table has another {key}: {former[key]!r}, not {result[key]!r}")
    old, new = ({row["model"]: row for row in one["table"]} for one in (former, result))
    metric = next(iter(result["tests"]))
    for measured in (old, new):
        if abs(measured[result["baseline"]][metric] - old[result["baseline"]][metric]) > 1e-9:
            raise SystemExit(f"the baseline has another {metric} than in the committed table")
    codes = {"code": former.get("code", "before codes were noted")}
    rows = {name: codes | row for name, row in old.items()} | {
        n: row | {"code": result["code"]} for n, row in new.items()
    }
    tests = {name: former["tests"][name] | found for name, found in result["tests"].items()}
    for found in tests.values():
        for one, p in zip(found.values(), holm([test["p_value"] for test in found.values()]).tolist()):
            one["p_adjusted"] = p
    selected = former["selected"] | result["selected"]
    return result | {
        "table": list(rows.values()), "tests": tests, "tests by rate": {"0": tests}, "selected": selected,
    }  # fmt: skip


if __name__ == "__main__":
    main()
