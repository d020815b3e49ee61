"""Top-K matching on given splits, 3 seeds: Baby, Sports (given k-NN graphs), TikTok (dense image and audio).

    python benchmarks/matching.py amazon-baby [--models a,b] [--seeds 3]

Baby and Sports come without dense features: models that need vectors get a spectral embedding of the given graph.
"""

from __future__ import annotations

import argparse

import palate
from _common import WORK, keep, real
from palate.core.progress import set_mode
from palate.evaluation.compare import compare
from palate.evaluation.compare_report import markdown

MODELS = {
    "amazon-baby": ["popularity", "item_knn", "ease", "lightgcn", "freedom", "ease_content", "blend"],
    "amazon-sports": ["popularity", "item_knn", "ease_content", "freedom", "blend"],
    "tiktok": ["popularity", "item_knn", "ease", "lightgcn", "freedom", "ease_content", "blend"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=sorted(MODELS))
    parser.add_argument("--models", default=None)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    set_mode("plain")
    models = args.models.split(",") if args.models else MODELS[args.data]
    result = compare(palate.load(real(args.data)), models, WORK / args.data, seeds=range(args.seeds))
    keep(args.data, result, markdown(result))


if __name__ == "__main__":
    main()
