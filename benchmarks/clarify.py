"""Clarifying questions' own point: fewer questions until the target is found than with facets asked at random.

    python benchmarks/clarify.py [--searchers 100] [--seeds 3]

Movies: a searcher wants one film (drawn from those that real users rated 4 or more, so that popular ones are wanted
more often) and names one of its genres; the 300 films of that genre with most ratings, the target always among them,
are the results, weighted by their ratings. Each arm asks up to 10 questions about genre, director, cast, country,
language, decade or rating of the film and is answered by the target's own values, or wrongly where the draw says so.
Counted are the questions until the target is among the first 10 (11 where it never was). The same searchers in all
arms; the questions are those of the model, worded by rule. Written: ``results/clarify.*``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from _common import keep, real
from palate.core.progress import set_mode, track
from palate.core.seeding import rng_for
from palate.evaluation.runs import command_line
from palate.generation.flows.dialogue import ClarifyingDialogue
from palate.generation.flows.facets import NONE, Facet
from palate.metrics.bootstrap import compare_all
from palate.models.generate.clarifying_questions import ClarifyingQuestions
from palate.training.saving import versions

COLUMNS = ("Genre", "Director", "Actors", "Country", "Language", "decade", "certificate")
RESULTS, QUESTIONS, FOUND = 300, 10, 10
Choose = Callable[[ClarifyingDialogue, np.random.Generator], Facet | None]


def films() -> tuple[list[dict[str, Any]], NDArray[np.float64]]:
    """Rows that can be asked about, and how many users rated each 4 or more."""
    folder = real("movies")
    rows = [json.loads(line) for line in (folder / "movies.jsonl").read_text(encoding="utf-8").splitlines()]
    liked = pl.read_csv(folder / "ratings.csv").filter(pl.col("rating") >= 4)["movieId"].value_counts()
    counts = dict(liked.iter_rows())
    out = []
    for row in rows:
        kept = {"id": row["movie_id"], "title": row["title"], **{key: row.get(key) for key in COLUMNS[:5]}}
        year, rated = str(row.get("Year") or ""), str(row.get("Rated") or "")
        out.append({**kept, "decade": f"{year[:3]}0s" if year[:3].isdigit() else None, "certificate": rated or None})
    return out, np.array([counts.get(row["id"], 0) for row in out], np.float64)


def most_useful(dialogue: ClarifyingDialogue, rng: np.random.Generator) -> Facet | None:
    """What the model asks."""
    found = MODEL.questions(dialogue)
    return found[0].facet if found else None


def random_facet(dialogue: ClarifyingDialogue, rng: np.random.Generator) -> Facet | None:
    """A column at random, with its best values."""
    facets = dialogue.facets(len(COLUMNS))
    return facets[int(rng.integers(len(facets)))] if facets else None


def random_values(dialogue: ClarifyingDialogue, rng: np.random.Generator) -> Facet | None:
    """A column and three of its values at random."""
    table, asked = dialogue.table, set(dialogue.asked)
    column = str(rng.choice(sorted(table.rows)))
    left = [value for value in table.rows[column] if (column, value) not in asked]
    return Facet(column, tuple(rng.permutation(left)[:3].tolist()), 0.0) if left else None


MODEL = ClarifyingQuestions()
ARMS: dict[str, Choose] = {
    "most useful": most_useful,
    "random column, best values": random_facet,
    "random column, random values": random_values,
}


def search(
    rows: list[dict[str, Any]], weights: NDArray[np.float64], target: int, choose: Choose, wrong: float, seed: int
) -> int:
    """Questions until the target is found."""
    dialogue = ClarifyingDialogue(rows, weights, COLUMNS)
    rng = rng_for(seed, "searcher", target)
    for asked in range(QUESTIONS + 1):
        if target in dialogue.ranking()[:FOUND]:
            return asked
        facet = choose(dialogue, rng)
        if facet is None:
            continue
        held = [value for value in facet.values if dialogue.table.holds(facet.column, value)[target]]
        answer = held[0] if held else NONE
        if rng.random() < wrong:
            answer = str(rng.choice([one for one in (*facet.values, NONE) if one != answer]))
        dialogue.answer(facet, answer)
    return QUESTIONS + 1


def measure(seed: int, searchers: int, wrong: float) -> dict[str, NDArray[np.float64]]:
    """Arm -> questions of each searcher."""
    items, counts = films()
    rng = rng_for(seed, "searchers")
    out: dict[str, list[int]] = {name: [] for name in ARMS}
    while len(out["most useful"]) < searchers:
        target = int(rng.choice(len(items), p=counts / counts.sum()))
        genres = str(items[target]["Genre"] or "").split(", ")
        genre = str(rng.choice(genres))
        same = [at for at, item in enumerate(items) if genre in str(item["Genre"] or "").split(", ")]
        first = sorted(same, key=lambda at: -counts[at])[:RESULTS]
        rows = first if target in first else [*first[:-1], target]
        within = [items[at] for at in rows]
        at, weights = rows.index(target), counts[rows] + 1.0
        draw = seed * 1_000_000 + len(out["most useful"])
        for name, choose in ARMS.items():
            out[name].append(search(within, weights, at, choose, wrong, draw))
    return {name: np.array(values, np.float64) for name, values in out.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searchers", type=int, default=100, help="of each seed")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    set_mode("plain")
    lines = [
        "# Clarifying questions on movies", "",
        f"Questions until the film that is looked for is among the first {FOUND} of {RESULTS}; {args.seeds} draws of "
        f"{args.searchers} searchers; differences paired by searcher within draws, with 95 % intervals and Holm's p.",
        "",
        "| answers | facet | questions | found within 3 | saved by the most useful | p |", "|---" * 6 + "|",
    ]  # fmt: skip
    result: dict[str, Any] = {"searchers": args.searchers, "seeds": args.seeds, "columns": COLUMNS, "answers": {}}
    for label, wrong in (("right", 0.0), ("1 in 10 wrong", 0.1)):
        found = [measure(seed, args.searchers, wrong) for seed in track(range(args.seeds), label)]
        values = {name: [one[name] for one in found] for name in ARMS}
        tests = compare_all(values["most useful"], {name: values[name] for name in ARMS if name != "most useful"})
        rows = result["answers"][label] = {}
        for name, each in values.items():
            mean, soon = np.mean([one.mean() for one in each]), np.mean([(one <= 3).mean() for one in each])
            rows[name] = {"by seed": [float(one.mean()) for one in each], "within 3": float(soon)}
            saved = "- | -"
            if name in tests:
                test = tests[name]
                rows[name] |= {"saved": test.difference, "low": test.low, "high": test.high, "p": test.p_adjusted}
                saved = f"{test.difference:+.2f} [{test.low:+.2f}, {test.high:+.2f}] | {test.p_adjusted:.2g}"
            lines.append(f"| {label} | {name} | {mean:.2f} | {soon:.2f} | {saved} |")
    keep("clarify", {**result, "versions": versions(), "command": command_line()}, "\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
