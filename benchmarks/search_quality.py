"""Search and similar items on films: what a visitor finds, with a served run and no network.

    python benchmarks/search_quality.py RUN [--titles 400]

RUN is fitted on the movies data (``palate fit DATA --out RUN``). Writes results/search_quality.json:

- hit@1 of titles without their year: exact, with one typing error, the first half of the characters, and
  the first half of the title as the catalogue has it, with its year;
- precision@5 of the names of the 40 most frequent actors and directors with at least five films;
- of the lists similar to the 60 most liked films: the share of places that these 60 fill, and the mean Jaccard overlap
  of genres; the lists of three films.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import string
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from _common import keep
from palate.serving.requests import RecommendRequest
from palate.serving.service import RecommenderService
from palate.training.saving import versions

PRINTED = ("Matrix, The (1999)", "Toy Story (1995)", "Titanic (1997)")
K = 10


def misspell(title: str, rng: random.Random) -> str:
    """The title with one character left out, doubled, changed or swapped with the next."""
    places = [at for at, letter in enumerate(title) if letter.isalnum()]
    at, kind = rng.choice(places), rng.randrange(4)
    if kind == 0:
        return title[:at] + title[at + 1 :]
    if kind == 1:
        return title[:at] + title[at] + title[at:]
    if kind == 2:
        return title[:at] + rng.choice(string.ascii_lowercase) + title[at + 1 :]
    return title[:at] + title[at + 1 : at + 2] + title[at] + title[at + 2 :]


def bare(title: str) -> str:
    """The title as one would type it: without its year, with the article in front."""
    name = re.sub(r"\s*\(\d{4}\)$", "", title)
    moved = re.match(r"(.+), (The|A|An)$", name)
    return f"{moved[2]} {moved[1]}" if moved else name


def names(service: RecommenderService, column: str) -> dict[str, set[int]]:
    """Name -> rows of the films that have it in ``column``."""
    out: dict[str, set[int]] = {}
    for row, cell in enumerate(service.snapshot.items.frame[column].to_list()):
        for name in str(cell or "").split(", "):
            if name and name != "N/A":
                out.setdefault(re.sub(r"\s*\(.*\)$", "", name), set()).add(row)
    return out


def found(service: RecommenderService, text: str, k: int) -> list[int]:
    response = service.recommend(RecommendRequest(k, text=text))
    return [service.snapshot.row(item.id) for item in response.items]


def by_title(service: RecommenderService, count: int, seed: int) -> dict[str, Any]:
    """hit@1 over films drawn at random; a film of the same name counts as found."""
    rng, titles = random.Random(seed), service.snapshot.stats.titles
    rows = rng.sample(range(len(titles)), count)
    hits: Counter[str] = Counter()
    for row in rows:
        title = bare(titles[row])
        for kind, query in {
            "exact": title,
            "one_typo": misspell(title, rng),
            "half": title[: (len(title) + 1) // 2],
            "half_with_year": titles[row][: (len(titles[row]) + 1) // 2],
        }.items():
            answer = found(service, query, 1)
            hits[kind] += bool(answer) and bare(titles[answer[0]]) == title
    return {kind: hits[kind] / count for kind in sorted(hits)} | {"titles": count}


def by_name(service: RecommenderService, column: str, count: int = 40) -> float:
    """precision@5 over the most frequent names of a column."""
    people = sorted(
        (name for name in names(service, column).items() if len(name[1]) >= 5), key=lambda one: -len(one[1])
    )
    hits = [len(rows & set(found(service, name, 5))) / 5 for name, rows in people[:count]]
    return float(np.mean(hits))


def similar(service: RecommenderService) -> dict[str, Any]:
    """Popularity and genre overlap of the lists similar to the most liked films."""
    snapshot = service.snapshot
    genres = [set(str(cell or "").split(", ")) for cell in snapshot.items.frame["Genre"].to_list()]
    popular = snapshot.stats.popular_rows[:60].tolist()
    shares, overlaps, lists = [], [], {}
    for row in popular:
        rows = [snapshot.row(item.id) for item in service.similar_items(snapshot.ids[row], K).items]
        shares.append(np.mean([other in popular for other in rows]))
        overlaps += [len(genres[row] & genres[other]) / len(genres[row] | genres[other]) for other in rows]
    for title in PRINTED:
        row = snapshot.stats.titles.index(title)
        lists[title] = [item.title for item in service.similar_items(snapshot.ids[row], K).items]
    return {"popular_share": float(np.mean(shares)), "genre_overlap": float(np.mean(overlaps)), "lists": lists}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--titles", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-keep", action="store_true", help="print, and leave the committed result as it is")
    args = parser.parse_args()
    with TemporaryDirectory() as state:
        service = RecommenderService(args.run, state, poll_seconds=0)
        service.replication.warm_up()
        result = {
            "title_hit@1": by_title(service, args.titles, args.seed),
            "actor_precision@5": by_name(service, "Actors"),
            "director_precision@5": by_name(service, "Director"),
            "no_match": [not found(service, text, 5) for text in ("asdfgh qwerty", "xqzt vvbn", "zzzzz")],
            "similar": similar(service),
        }
        result |= {
            "command": f"python benchmarks/search_quality.py RUN --titles {args.titles} --seed {args.seed}",
            "model": service.snapshot.model.name,
            "run": service.snapshot.fingerprint,
            "data_hash": service.snapshot.deployment.about["hash"],
            "versions": versions(),
        }
        service.close()
    print(json.dumps(result, indent=1, ensure_ascii=False))
    if not args.no_keep:
        keep("search_quality", result)


if __name__ == "__main__":
    main()
