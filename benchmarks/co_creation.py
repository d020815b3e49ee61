"""Co-creation's own point: a person with the writer types less than alone, and gets more than the machine gives.

    python benchmarks/co_creation.py [--sessions 100] [--seeds 3]

Headlines of real films (title, plot, genre, cast, director ...). A simulated person wants two things to be said of the
film and one not, all of them among the at most eight that the writer proposes: guidance always offers what is wanted,
which favours it over a person whose wishes lie elsewhere. The person reads 4 words a second, composes 19 words a minute
(Karat et al., CHI 1999; 40, the speed of copying, is reported too), and is careless in one of ten acts. The same
persons and films in all conditions of Ding et al. (2023). Quality is the share of what is wanted that the headline
says, minus that of what is not; typed are the words typed or taken out; seconds are of the whole session, with reading.
No language model: the headlines are those of the built-in writer.
Written: ``results/co_creation.*``.
"""

from __future__ import annotations

import argparse
import json
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from _common import keep, real
from palate.contracts import GenerationRequest
from palate.core.files import digest
from palate.core.progress import set_mode, track
from palate.core.seeding import rng_for
from palate.evaluation.runs import command_line
from palate.generation.flows.session import Condition
from palate.generation.flows.simulated_person import Clock, SimulatedPerson
from palate.metrics.bootstrap import compare_all
from palate.models.generate.co_creation import CoCreation
from palate.training.saving import versions

COLUMNS = ("Genre", "Director", "Actors", "Country", "Year", "Plot")
FULL: Condition = "guidance_selection_post_editing"
NAMES: dict[Condition, str] = {
    "none": "person alone", "ai_only": "machine alone", "selection": "selection",
    "guidance_selection": "guidance, selection", FULL: "guidance, selection, post-editing",
}  # fmt: skip
WANTED, UNWANTED = 2, 1
SPEEDS = {"seconds": 19 / 60, "seconds at 40": 40 / 60}
"""Words a second that are typed."""
MEASURES = ("quality", "typed", *SPEEDS)
MODEL = CoCreation()
Measures = dict[str, dict[str, NDArray[np.float64]]]


def films() -> tuple[list[dict[str, Any]], str]:
    """Films of which enough can be said, and the hash of the file."""
    file = real("movies") / "movies.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    kept = [{"id": row["movie_id"], "title": row["title"], **{key: row.get(key) for key in COLUMNS}} for row in rows]
    return [row for row in kept if row["Plot"] and len(row["Plot"].split()) > 12], digest(file.read_bytes())


def measure(items: list[dict[str, Any]], seed: int, sessions: int) -> Measures:
    """Measure -> condition -> value of each session."""
    rng = rng_for(seed, "co-creation")
    out: dict[str, dict[str, list[float]]] = {name: {condition: [] for condition in NAMES} for name in MEASURES}
    for at in range(sessions):
        request = GenerationRequest("headline", items[int(rng.integers(len(items)))])
        words = MODEL.writer(request).keywords()
        if len(words) < WANTED + UNWANTED:
            continue
        drawn = [str(one) for one in rng.permutation(words)[: WANTED + UNWANTED]]
        for condition in get_args(Condition):
            for name, speed in SPEEDS.items():
                clock = Clock()
                session = MODEL.session(request, condition, seed=seed, clock=clock)
                person = SimulatedPerson(
                    drawn[:WANTED], drawn[WANTED:], clock=clock, seed=1000 * seed + at, writing=speed
                )
                person.run(session)
                out[name][condition].append(float(session.summary()["total_seconds"]))
            out["quality"][condition].append(person.quality(session.text))
            out["typed"][condition].append(float(person.typed))
    return {name: {one: np.array(values) for one, values in each.items()} for name, each in out.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=100, help="of each seed")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    set_mode("plain")
    items, data_hash = films()
    found = [measure(items, seed, args.sessions) for seed in track(range(args.seeds), "seeds")]
    tests = {
        name: compare_all(
            [one[name][FULL] for one in found],
            {other: [one[name][other] for one in found] for other in NAMES if other != FULL},
        )
        for name in MEASURES
    }
    lines = [
        "# Co-creation of headlines of films", "",
        f"{args.seeds} draws of {args.sessions} simulated persons; each has a film and wants two things said and one "
        "not, all among those that the writer proposes. In brackets: this condition minus the whole session, paired by "
        "person within draws, with 95 % interval and Holm's p.", "",
        "| condition | quality | words typed | seconds | seconds at 40 words a minute |", "|---|---|---|---|---|",
    ]  # fmt: skip
    rows: dict[str, Any] = {}
    for condition, label in NAMES.items():
        cells = []
        row: dict[str, Any] = {}
        for name, digits in (("quality", 2), ("typed", 1), *((name, 0) for name in SPEEDS)):
            means = [float(one[name][condition].mean()) for one in found]
            row[name] = {"by seed": means}
            text = f"{np.mean(means):.{digits}f}"
            if condition in tests[name]:
                test = tests[name][condition]
                row[name] |= {"difference": test.difference, "low": test.low, "high": test.high, "p": test.p_adjusted}
                text += f" ({test.difference:+.{digits}f} [{test.low:+.{digits}f}, {test.high:+.{digits}f}], "
                text += f"p {test.p_adjusted:.2g})"
            cells.append(text)
        rows[label] = row
        lines.append(f"| {label} | {' | '.join(cells)} |")
    result = {"conditions": rows, "sessions": args.sessions, "seeds": list(range(args.seeds)), "data": "movies"}
    result |= {"data_hash": data_hash, "columns": COLUMNS, "versions": versions(), "command": command_line()}
    keep("co_creation", result, "\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
