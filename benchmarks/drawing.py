"""Pictures that are drawn here: do they show what was asked for, and do they lean towards their user's taste?

    python benchmarks/drawing.py shop|movies|clothing [--epochs 36] [--users 64] [--seeds 3]
    python benchmarks/drawing.py shop|clothing --table

- shop: product photos of a simulated shop, which show colour, pattern and shape by known rules to users of known
  tastes. A network that was trained on photos of another world reads values back. Two questions: is the value read that
  was asked for, and how likely are the user's true favourite colour and pattern (d_p) and the item's shape (d_t) read,
  z = 2/3 log d_p + 1/3 log d_t, for items that the user did not take: none, Textual Inversion, PMG by keywords alone,
  PMG, each over its weight of taste, and over guidance.
- movies: PMG-Bench's protocol on MovieLens latest-small: posters of a history to the poster of a film that the user
  liked later, users and films held out; distances to the target and to the history side by side.
- clothing: photos of garments of ten kinds: is the kind read, distances to real photos beside those of real photos
  among each other and of noise, likeness to the nearest training photo.

``--table`` draws nothing: tables and tests are made again from the scores that the result file has.
Networks and parts that were measured are kept under ``PALATE_WORK``, so that a run which was stopped goes on. Written:
``results/drawing_WHAT.*``, and the curves of the shop, ``docs/pictures/drawing.svg``.
"""

from __future__ import annotations

import argparse

import _drawing_clothing
import _drawing_movies
import _drawing_shop
from palate.core.progress import set_mode

TABLES = {"shop": _drawing_shop.tables, "clothing": _drawing_clothing.tables}
RUNS = {"shop": _drawing_shop.run, "movies": _drawing_movies.run, "clothing": _drawing_clothing.run}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*RUNS])
    for name, value in {
        "items": 3000, "epochs": 36, "tokenizer-epochs": 5, "pmg-epochs": 1, "reader-epochs": 12, "users": 64,
        "seeds": 3, "inversion-steps": 100, "inversion-batch": 8, "steps": 12,
    }.items():  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--guidance", type=float, default=3.0, help="of garments, on which seeds are measured")
    parser.add_argument("--table", action="store_true", help="make the tables again, measure nothing")
    args = parser.parse_args()
    set_mode("plain")
    if not args.table:
        RUNS[args.what](args)
    elif args.what in TABLES:
        TABLES[args.what]()
    else:
        parser.error(f"--table is for {' and '.join(TABLES)}")


if __name__ == "__main__":
    main()
