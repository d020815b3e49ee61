"""Song reasons' own point: each step against itself switched off, on simulated songs and listeners.

    python benchmarks/song_reasons.py [--songs 100] [--seeds 3]

A song has some of 40 facets as tags. Of its 30 comments each is about one facet, in one of several wordings: of a true
facet of the song half the time, else of any facet (people go off the subject); a third of the comments carry a mail
address, handle, telephone number or the writer's name. A listener likes five facets, two of them the song's. Judged by
the truth that the generator does not see: whether the shown reason is about a facet that is true of the song, one that
the listener likes, both, and whether it shows anything private. Written: ``results/song_reasons.*``.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from _common import keep
from palate.contracts import GenerationRequest
from palate.core.progress import set_mode
from palate.core.seeding import rng_for
from palate.evaluation.runs import command_line
from palate.metrics.bootstrap import compare_all
from palate.models.generate.song_reasons import SongReasons
from palate.training.saving import versions

SYLLABLES = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
FACETS, COMMENTS = 40, 30
WORDINGS = (
    "You can hear the {0} in every bar of it.", "Nothing says {0} to me like the second verse.",
    "My brother and I play it for the {0} alone.", "So much {0} here, and yet it never gets old.",
    "The {0} carries me through long evenings.",
)  # fmt: skip
LEAKS = ("Write to {0}@post.org about it", "ask @{0} on that", "ring 0151 {1} 678", "{0} said so last week")
ARMS: dict[str, dict[str, Any]] = {
    "whole": {},
    "not reranked": {"rerank": False},
    "by the song alone": {"item_weight": 1.0},
    "by the listener alone": {"item_weight": 0.0},
    "not retrieved": {"retrieve": False},
}


def case(seed: int, number: int) -> tuple[GenerationRequest, set[str], set[str], list[str]]:
    """A request, the facets that are true of the song, those that the listener likes, and what is private."""
    names = rng_for(seed, "facets")
    words = sorted({"".join(names.choice(SYLLABLES, 3)) for _ in range(3 * FACETS)})
    facets, people = words[:FACETS], words[FACETS:]
    rng = rng_for(seed, "song", number)
    true = set(rng.choice(facets, 6, replace=False).tolist())
    others = [facet for facet in facets if facet not in true]
    liked = {*rng.choice(sorted(true), 2, replace=False).tolist(), *rng.choice(others, 3, replace=False).tolist()}
    comments, private = [], []
    for at in range(COMMENTS):
        author = str(rng.choice(people))
        about = str(rng.choice(sorted(true))) if rng.random() < 0.5 else str(rng.choice(facets))
        text = str(rng.choice(WORDINGS)).format(about)
        private.append(author)
        if rng.random() < 1 / 3:
            leak = str(rng.choice(LEAKS)).format(author, rng.integers(100, 999))
            text = f"{text[:-1]}, {leak}."
        comments.append({"id": f"c{at}", "author": author, "text": text})
    song = {"id": f"s{number}", "title": f"Song {number}", "tags": sorted(true)}
    options = {"comments": comments, "tags": sorted(liked)}
    return GenerationRequest("explanation", song, options=options), true, liked, private


def judged(text: str, true: set[str], liked: set[str], private: list[str]) -> dict[str, float]:
    """What the quotation, or the whole where nothing is quoted, is about."""
    said = set(text.partition("“")[2].rstrip("”").replace(",", " ").replace(".", " ").casefold().split())
    said = said or set(text.replace(",", " ").replace(".", " ").casefold().split())
    song, listener = bool(said & true), bool(said & liked)
    leaked = any(word in text for word in (*private, "@", "0151"))
    both = bool(said & true & liked)
    return {"of the song": song, "of the listener": listener, "both": both, "private": leaked,
            "quotes someone": "“" in text}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=100, help="of each seed")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    set_mode("plain")
    found: dict[str, list[list[dict[str, float]]]] = {name: [] for name in ARMS}
    for seed in range(args.seeds):
        cases = [case(seed, number) for number in range(args.songs)]
        for name, settings in ARMS.items():
            made = SongReasons(**settings).generate([one[0] for one in cases], seed=seed)
            found[name].append([judged(text.text or "", *one[1:]) for text, one in zip(made, cases)])
    both = {name: [np.array([float(one["both"]) for one in draw]) for draw in draws] for name, draws in found.items()}
    tests = compare_all(both["whole"], {name: values for name, values in both.items() if name != "whole"})
    columns = ("of the song", "of the listener", "both", "quotes someone", "private")
    lines = [
        "# Song reasons, step by step", "",
        f"Share of reasons; {args.seeds} draws of {args.songs} simulated songs; gains of the whole in reasons that "
        "suit both song and listener, paired by song within draws, with 95 % intervals and Holm's p. What is not "
        "retrieved names the tags that song and listener share, and quotes nobody.", "",
        f"| arm | {' | '.join(columns)} | gain of the whole | p |", "|---" * 8 + "|",
    ]  # fmt: skip
    rows: dict[str, Any] = {}
    for name, draws in found.items():
        rows[name] = {key: float(np.mean([np.mean([one[key] for one in draw]) for draw in draws])) for key in columns}
        gain = "- | -"
        if name in tests:
            test = tests[name]
            rows[name] |= {"gain": -test.difference, "low": -test.high, "high": -test.low, "p": test.p_adjusted}
            gain = f"{-test.difference:+.3f} [{-test.high:+.3f}, {-test.low:+.3f}] | {test.p_adjusted:.2g}"
        lines.append(f"| {name} | {' | '.join(f'{rows[name][key]:.3f}' for key in columns)} | {gain} |")
    result = {"arms": rows, "songs": args.songs, "seeds": args.seeds}
    keep("song_reasons", {**result, "versions": versions(), "command": command_line()}, "\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
