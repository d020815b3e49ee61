"""Where a language model may help a recommender (features, encoder, scorer, controller), each against its ablation.

    python benchmarks/enhance.py [--backend transformers:/models/x] [--encoder causal_lm:/models/x] [--users 200]

Movies. A user likes films (rated 4 or more); one of them is held out and ranked among 99 others drawn by how often they
are liked, by the cosine of a film's vector with the mean of the user's other films. Measured on hits among the first 10
and reciprocal rank, the same users and films in all arms, paired.

features    tf-idf of plots, against the same with genres that the language model reads from plots (the catalogue's own
            genres are shown as the best that could be had), and the share of films whose genre is right
encoder     tf-idf of plots, against vectors of a causal language model
scorer      the first 20 by tf-idf of plots, against the same reranked pointwise and listwise
controller  requests in words whose action is known, by rule and by the language model

Without ``--backend`` or ``--encoder`` the arms that need one are left out. Written: ``results/enhance.*``, or the
table alone with ``--dry``.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from _common import keep, real
from palate.core.progress import set_mode
from palate.core.seeding import rng_for
from palate.evaluation.runs import command_line
from palate.features.encoders.make import make_encoder
from palate.generation.enhance.controller import Action, Controller
from palate.generation.enhance.item_tags import Vocabulary, tag_items
from palate.generation.enhance.likelihood_reranker import LikelihoodReranker
from palate.generation.registries import text_backend
from palate.metrics.bootstrap import compare_all
from palate.training.saving import versions

OTHERS, DEPTH = 99, 20
SEEDS = (0, 1, 2)
Floats = NDArray[np.float64]
REQUESTS = (
    ("only", "only {value} please"), ("only", "it must be {value}"), ("only", "just {value}, nothing else"),
    ("without", "no {value} tonight"), ("without", "anything but not {value}"), ("without", "I hate {value}"),
    ("without", "I have had enough of {value}"), ("more", "more {value}"), ("more", "I am in the mood for {value}"),
    ("more", "a bit of {value} would be nice"), ("explore", "surprise me"), ("explore", "I am bored of all this"),
    ("explore", "show me something different"), ("explore", "what else is there?"), ("keep", "thank you, that is fine"),
    ("keep", "this list is perfect"),
)  # fmt: skip


def load() -> tuple[list[dict[str, Any]], dict[int, list[int]]]:
    """Films, and rows of those that each user likes."""
    folder = real("movies")
    films = [json.loads(line) for line in (folder / "movies.jsonl").read_text(encoding="utf-8").splitlines()]
    films = [{"id": film["movie_id"], "title": film["title"], "Genre": film.get("Genre"), "Plot": film.get("Plot")}
             for film in films if film.get("Plot") and film.get("Genre")]  # fmt: skip
    row = {film["id"]: at for at, film in enumerate(films)}
    liked: dict[int, list[int]] = {}
    for user, film in (
        pl.read_csv(folder / "ratings.csv").filter(pl.col("rating") >= 4)["userId", "movieId"].iter_rows()
    ):
        if film in row:
            liked.setdefault(user, []).append(row[film])
    return films, {user: rows for user, rows in liked.items() if len(rows) >= 5}


def questions(liked: dict[int, list[int]], n: int, seed: int) -> list[tuple[list[int], list[int]]]:
    """(history, candidates) of users; the first candidate is the held-out film."""
    rng = rng_for(seed, "questions")
    rows = np.concatenate([np.array(each) for each in liked.values()])
    out = []
    for user in rng.permutation(sorted(liked))[:n]:
        each = liked[int(user)]
        target = int(rng.choice(each))
        others: list[int] = []
        while len(others) < OTHERS:
            other = int(rng.choice(rows))
            if other not in each and other not in others:
                others.append(other)
        out.append(([film for film in each if film != target], [target, *others]))
    return out


def unit(vectors: NDArray[np.floating]) -> Floats:
    """Rows of unit length."""
    values = np.asarray(vectors, np.float64)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)


def ranked(vectors: Floats, asked: list[tuple[list[int], list[int]]]) -> list[NDArray[np.int64]]:
    """Candidates of each question, the best first, as positions."""
    return [np.argsort(-(vectors[c] @ vectors[h].mean(0)), kind="stable") for h, c in asked]


def judged(orders: list[NDArray[np.int64]]) -> dict[str, Floats]:
    """Hit among 10 and reciprocal rank of position 0."""
    rank = np.array([int(np.flatnonzero(order == 0)[0]) + 1 if 0 in order else np.inf for order in orders])
    return {"hit@10": (rank <= 10).astype(float), "mrr": 1.0 / rank}


def one_hot(values: list[list[str]], vocabulary: tuple[str, ...]) -> Floats:
    """A row an item, a column a value."""
    return np.array([[float(value in each) for value in vocabulary] for each in values])


def arms(films: list[dict[str, Any]], asked: Any, args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, float]]:
    """Arm -> its judgement; and how right the tags are."""
    plots = [film["Plot"] for film in films]
    tfidf = make_encoder("tfidf", "text")
    tfidf.fit(plots)  # type: ignore[attr-defined]
    base = unit(tfidf.encode(plots).values)
    genres = [film["Genre"].split(", ") for film in films]
    vocabulary = tuple(sorted({genre for each in genres for genre in each}))
    found = {"tf-idf of plots": judged(ranked(base, asked))}
    facts: dict[str, float] = {}
    used = sorted({row for history, candidates in asked for row in (*history, *candidates)})

    def with_tags(name: str, tags: list[list[str]]) -> None:
        both = np.hstack([base, 0.5 * unit(one_hot(tags, vocabulary))])
        found[f"features: {name}"] = judged(ranked(unit(both), asked))

    with_tags("the catalogue's genres", genres)
    backend = text_backend(args.backend) if args.backend else None
    for name, model in (("genres by rule", None), *([("genres by language model", backend)] if backend else [])):
        table = tag_items([films[row] for row in used], [Vocabulary("genre", vocabulary)], model, without=("Genre",))
        read = dict(zip(used, table["genre"].to_list()))
        with_tags(name, [[read[row]] if read.get(row) else [] for row in range(len(films))])
        known = [row for row in used if read[row]]
        facts[f"{name}: answered"] = len(known) / len(used)
        facts[f"{name}: right"] = float(np.mean([read[row] in genres[row] for row in known])) if known else float("nan")
    if args.encoder:
        encoder = make_encoder(args.encoder, "text")
        vectors = np.zeros((len(films), encoder.dim))
        vectors[used] = encoder.encode([plots[row] for row in used]).values
        # states of a language model share a large common direction
        centred = np.where(vectors.any(1, keepdims=True), vectors - vectors[used].mean(0), 0.0)
        found["encoder: language model"] = judged(ranked(unit(centred), asked))
    if backend is not None:
        first = ranked(base, asked)
        for mode in ("pointwise", "listwise"):
            model = LikelihoodReranker(backend, mode)  # type: ignore[arg-type]
            orders = []
            for (history, candidates), order in zip(asked, first):
                top = order[:DEPTH]
                again = model.order([films[candidates[at]] for at in top], [films[row] for row in history])
                orders.append(np.concatenate([top[again], order[DEPTH:]]))
            found[f"scorer: {mode}"] = judged(orders)
    return found, facts


def controller(films: list[dict[str, Any]], spec: str | None, n: int) -> dict[str, float]:
    """Share of requests whose action, with its value, is right."""
    listed = [{"id": film["id"], "title": film["title"], "Genre": film["Genre"]} for film in films[:100]]
    out = {}
    for name, backend in (("by rule", None), *([("by language model", text_backend(spec))] if spec else [])):
        control, right = Controller(listed, backend, ["Genre"]), []
        for at in range(n):
            action, words = REQUESTS[at % len(REQUESTS)]
            value = str(rng_for(at, "request").choice(sorted(control.table.rows["Genre"])))
            wanted = Action(action, "Genre", value) if "{value}" in words else Action(action)  # type: ignore[arg-type]
            right.append(control.choose(words.format(value=value), seed=at) == wanted)
        out[name] = float(np.mean(right))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default=None, help="name or name:argument of a language model")
    parser.add_argument("--encoder", default=None, help="such as causal_lm:/models/x")
    parser.add_argument("--users", type=int, default=200, help="of each of three draws")
    parser.add_argument("--requests", type=int, default=160, help="to the controller")
    parser.add_argument("--dry", action="store_true", help="print the table and write nothing")
    args = parser.parse_args()
    set_mode("plain")
    films, liked = load()
    draws = [arms(films, questions(liked, args.users, seed), args) for seed in SEEDS]
    names = list(draws[0][0])
    hits = {name: [found[name]["hit@10"] for found, _ in draws] for name in names}
    tests = compare_all(hits[names[0]], {name: hits[name] for name in names[1:]})
    lines = [
        "# A language model in four places of a recommender, on movies", "",
        f"One liked film among {OTHERS} others; {len(SEEDS)} draws of {args.users} users; language model: "
        f"{args.backend or 'none'}, encoder: {args.encoder or 'none'}. Gains over tf-idf of plots paired by user "
        "within draws, with 95 % intervals and Holm's p.", "",
        "| arm | hit@10 | MRR | gain in hit@10 | p |", "|---" * 5 + "|",
    ]  # fmt: skip
    rows: dict[str, Any] = {}
    for name in names:
        hit, mrr = (float(np.mean([found[name][key].mean() for found, _ in draws])) for key in ("hit@10", "mrr"))
        rows[name] = {"hit@10": hit, "mrr": mrr}
        gain = "- | -"
        if name in tests:
            test = tests[name]
            rows[name] |= {"gain": test.difference, "low": test.low, "high": test.high, "p": test.p_adjusted}
            gain = f"{test.difference:+.3f} [{test.low:+.3f}, {test.high:+.3f}] | {test.p_adjusted:.2g}"
        lines.append(f"| {name} | {hit:.3f} | {mrr:.3f} | {gain} |")
    facts = {key: float(np.mean([facts[key] for _, facts in draws])) for key in draws[0][1]}
    actions = controller(films, args.backend, args.requests)
    lines += ["", *(f"- {key}: {value:.2f}" for key, value in facts.items())]
    lines += [f"- controller, {key}: {value:.2f} of {args.requests} requests" for key, value in actions.items()]
    text = "\n".join([*lines, ""])
    if args.dry:
        print(text)
        return
    result = {"arms": rows, "tags": facts, "controller": actions, "users": args.users, "backend": args.backend}
    keep("enhance", {**result, "encoder": args.encoder, "versions": versions(), "command": command_line()}, text)


if __name__ == "__main__":
    main()
