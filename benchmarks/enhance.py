"""Where a language model may help a recommender (features, encoder, scorer, controller), each against its ablation.

    python benchmarks/enhance.py --backend smollm2 [--films 150] [--users 150] [--asked 10] [--requests 24]

Movies: the films with a plot and a genre that most users like (rated 4 or more). One of a user's is held out and ranked
among 49 others that the user did not rate 4 or more, by the cosine of a film's vector with the mean of the user's other
films. Measured: hits among the first 10 and reciprocal rank; the same users and films in all arms of a part, and three
draws.

features    tf-idf of plots, against the same with genres that the language model reads from plots: one chosen from the
            list, or how much likelier each of the 8 commonest is than for an empty film; beside them
            the first genre that a plot names, and the catalogue's own
encoder     tf-idf of plots, against mean hidden states of the language model: of the last layer, of a middle one, and
            beside tf-idf
scorer      the order by tf-idf of plots, against the first 8 reranked pointwise and listwise; reciprocal rank alone
            can tell them apart, as hits among the first 10 stay the same
controller  a request in words that is true of the held-out film, against the list without it: the action by rule,
            by the language model, and by the language model with solved examples

What a language model said is kept in ``runs/enhance``, so that a run that was stopped goes on. Written:
``results/enhance.*``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from _common import WORK, keep, kept, real
from palate.core.files import file_digest
from palate.core.progress import set_mode
from palate.core.seeding import rng_for
from palate.evaluation.runs import command_line
from palate.features.encoders.make import make_encoder
from palate.generation.enhance.controller import Action, Controller
from palate.generation.enhance.item_tags import Vocabulary, tag_items, tag_probabilities
from palate.generation.enhance.likelihood_reranker import LikelihoodReranker, mixed_order
from palate.generation.registries import text_backend
from palate.metrics.bootstrap import compare_all
from palate.training.saving import versions

OTHERS, DEPTH, FOUND, COMMON = 49, 8, 10, 8
SEEDS = (0, 1, 2)
BASE = "tf-idf of plots"
Floats = NDArray[np.float64]
Question = tuple[list[int], list[int]]
"""Rows of the history, and of the candidates, the first of which is the held-out film."""
REQUESTS = (
    ("only", "only {value} please"), ("only", "it must be {value}"), ("only", "just {value}, nothing else"),
    ("without", "no {value} tonight"), ("without", "anything but not {value}"), ("without", "I hate {value}"),
    ("without", "I have had enough of {value}"), ("more", "more {value}"), ("more", "I am in the mood for {value}"),
    ("more", "a bit of {value} would be nice"), ("explore", "surprise me"), ("explore", "I am bored of all this"),
    ("explore", "show me something different"), ("explore", "what else is there?"), ("keep", "thank you, that is fine"),
    ("keep", "this list is perfect"),
)  # fmt: skip


def load(films: int) -> tuple[list[dict[str, Any]], dict[int, list[int]]]:
    """The films that most users like, and rows of those that each user likes."""
    folder = real("movies")
    rows = [json.loads(line) for line in (folder / "movies.jsonl").read_text(encoding="utf-8").splitlines()]
    able = {row["movie_id"]: row for row in rows if row.get("Plot") and row.get("Genre")}
    likes = pl.read_csv(folder / "ratings.csv").filter((pl.col("rating") >= 4) & pl.col("movieId").is_in(list(able)))
    counts = likes["movieId"].value_counts().sort("count", "movieId", descending=[True, False])[:films]
    kept = counts["movieId"].to_list()
    row = {film: at for at, film in enumerate(kept)}
    liked: dict[int, list[int]] = {}
    for user, film in likes.filter(pl.col("movieId").is_in(kept))["userId", "movieId"].iter_rows():
        liked.setdefault(user, []).append(row[film])
    shown = [{"id": film, "title": able[film]["title"], "Genre": able[film]["Genre"], "Plot": able[film]["Plot"]}
             for film in kept]  # fmt: skip
    return shown, {user: rows for user, rows in liked.items() if 5 <= len(rows) <= films - OTHERS - 1}


def questions(liked: Mapping[int, Sequence[int]], films: int, n: int, seed: int) -> list[Question]:
    """One question each of n users."""
    rng = rng_for(seed, "questions")
    out = []
    for user in rng.permutation(sorted(liked))[:n]:
        each = liked[int(user)]
        target = int(rng.choice(list(each)))
        others = rng.permutation(sorted(set(range(films)) - set(each)))[:OTHERS]
        out.append(([film for film in each if film != target], [target, *map(int, others)]))
    return out


def unit(vectors: NDArray[np.floating]) -> Floats:
    """Rows of unit length."""
    values = np.asarray(vectors, np.float64)
    out: Floats = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    return out


def scores(vectors: Floats, asked: Question) -> Floats:
    """Cosines of candidates with the history."""
    history, candidates = asked
    out: Floats = vectors[candidates] @ vectors[history].mean(0)
    return out


def judged(orders: Sequence[NDArray[np.int64]]) -> dict[str, Floats]:
    """Hit among the first and reciprocal rank of candidate 0; 0 where it is not in the list."""
    rank = np.array([int(np.flatnonzero(order == 0)[0]) + 1 if 0 in order else np.inf for order in orders])
    return {"hit@10": (rank <= FOUND).astype(float), "mrr": 1.0 / rank}


def by_vectors(vectors: Floats, asked: Sequence[Question]) -> dict[str, Floats]:
    """The judgement of ranking by vectors."""
    return judged([np.argsort(-scores(vectors, one), kind="stable") for one in asked])


class Bench:
    """The parts, each of which yields its arms by draw.

    Args:
        args: of the command.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.films, self.liked = load(args.films)
        self.genres = [film["Genre"].split(", ") for film in self.films]
        self.vocabulary = tuple(sorted({genre for each in self.genres for genre in each}))
        self.plots = [film["Plot"] for film in self.films]
        tfidf = make_encoder("tfidf", "text")
        tfidf.fit(self.plots)  # type: ignore[attr-defined]
        self.base = unit(tfidf.encode(self.plots).values)
        self.facts: dict[str, float] = {}
        self._backend: Any = None

    @property
    def backend(self) -> Any:
        """The language model, loaded when first asked."""
        if self._backend is None:
            self._backend = text_backend(self.args.backend)
        return self._backend

    def said(self, name: str, make: Callable[[], Any]) -> Any:
        """What the language model said."""
        backend = self.args.backend.replace("/", "_").replace(":", "_")
        return kept(WORK / "enhance" / f"{name}-{len(self.films)}-{backend}.json", make)

    def asked(self, seed: int, n: int) -> list[Question]:
        """Questions of a draw."""
        return questions(self.liked, len(self.films), n, seed)

    def features(self, seed: int) -> dict[str, Any]:
        """Genres beside plots."""
        asked = self.asked(seed, self.args.users)
        vocabulary = Vocabulary("genre", self.vocabulary)
        shown = [{key: film[key] for key in ("id", "title", "Plot")} for film in self.films]
        rule = tag_items(shown, [vocabulary])["genre"].to_list()
        chosen = self.said("tags", lambda: tag_items(shown, [vocabulary], self.backend)["genre"].to_list())
        counted = [genre for each in self.genres for genre in each]
        common = Vocabulary(
            "genre", tuple(sorted(self.vocabulary, key=lambda one: (-counted.count(one), one))[:COMMON])
        )
        likely = np.array(self.said("probabilities", lambda: tag_probabilities(shown, common, self.backend).tolist()))
        for name, tags in (("rule", rule), ("choice", chosen)):
            known = [row for row, tag in enumerate(tags) if tag]
            self.facts[f"genre by {name}: films answered"] = len(known) / len(tags)
            self.facts[f"genre by {name}: right of those"] = float(
                np.mean([tags[row] in self.genres[row] for row in known])
            )
        best = [common.values[at] for at in likely.argmax(1)]
        self.facts["most probable genre: right"] = float(np.mean([a in b for a, b in zip(best, self.genres)]))
        one_hot = {
            "the catalogue's genres": [[float(v in each) for v in self.vocabulary] for each in self.genres],
            "genre by rule": [[float(v == tag) for v in self.vocabulary] for tag in rule],
            "genre chosen by the language model": [[float(v == tag) for v in self.vocabulary] for tag in chosen],
            "probabilities of genres by the language model": (likely - likely.mean(0)).tolist(),
        }
        out = {BASE: by_vectors(self.base, asked)}
        for name, values in one_hot.items():
            both = np.hstack([self.base, 0.5 * unit(np.array(values))])
            out[f"{BASE} + {name}"] = by_vectors(unit(both), asked)
        return out

    def encoder(self, seed: int) -> dict[str, Any]:
        """Hidden states in place of tf-idf, and beside it."""
        asked = self.asked(seed, self.args.users)
        out = {BASE: by_vectors(self.base, asked)}
        layers = {"last layer": 0, "middle layer": self.args.layer}
        for name, layer in layers.items():
            spec = f"causal_lm:{self.backend_folder()}?layer={layer}"

            def encode(spec: str = spec) -> Any:
                return make_encoder(spec, "text").encode(self.plots).values.astype(float).round(5).tolist()

            raw = np.array(self.said(f"vectors-{layer}", encode))
            # states of a language model share a large common direction
            vectors = unit(raw - raw.mean(0))
            out[f"language model, {name}"] = by_vectors(vectors, asked)
            out[f"{BASE} + language model, {name}"] = by_vectors(unit(np.hstack([self.base, vectors])), asked)
        return out

    def backend_folder(self) -> str:
        """Folder of the language model's weights."""
        return str(kept(WORK / "enhance" / "folder.json", lambda: str(self.backend.local.folder)))

    def scorer(self, seed: int) -> dict[str, Any]:
        """The first of the list again by likelihood."""
        asked = self.asked(seed, self.args.asked)
        values = [scores(self.base, one) for one in asked]
        order = [np.argsort(-each, kind="stable") for each in values]
        out = {BASE: judged(order)}
        for mode in ("pointwise", "listwise"):

            def rate(mode: str = mode) -> list[list[float]]:
                model = LikelihoodReranker(self.backend, mode)  # type: ignore[arg-type]
                return [
                    model.scores(
                        [self.films[one[1][at]] for at in places[:DEPTH]], [self.films[row] for row in one[0]]
                    ).tolist()
                    for one, places in zip(asked, order)
                ]

            rated = self.said(f"scorer-{mode}-{seed}-{len(asked)}", rate)
            for weight in (0.5, 1.0):
                again = [
                    np.concatenate(
                        [places[:DEPTH][mixed_order(np.array(own), each[places[:DEPTH]], weight)], places[DEPTH:]]
                    )
                    for own, places, each in zip(rated, order, values)
                ]
                # within the first 8 only the place can change
                out[f"{mode}, weight {weight:g}"] = judged(again)
        return out

    def controller(self, seed: int) -> dict[str, Any]:
        """Requests that are true of the held-out film."""
        asked = self.asked(seed, self.args.requests)
        listed = [{key: film[key] for key in ("id", "title", "Genre")} for film in self.films]
        wanted, words = [], []
        for at, (_, candidates) in enumerate(asked):
            name, form = REQUESTS[(at + seed) % len(REQUESTS)]
            own = self.genres[candidates[0]]
            others = sorted({genre for row in candidates for genre in self.genres[row]} - set(own))
            value = str(rng_for(seed, "request", at).choice(others if name == "without" else own))
            wanted.append(Action(name, "Genre", value) if "{value}" in form else Action(name))  # type: ignore[arg-type]
            words.append(form.format(value=value))
        plain = [scores(self.base, one) for one in asked]
        tables = [Controller([listed[row] for row in one[1]], columns=["Genre"]) for one in asked]
        out = {BASE: judged([np.argsort(-each, kind="stable") for each in plain])}

        def choose(examples: bool | None) -> list[list[str | None]]:
            found = []
            for at, (_, candidates) in enumerate(asked):
                items = [listed[row] for row in candidates]
                model = None if examples is None else self.backend
                control = Controller(items, model, ["Genre"], examples=bool(examples))
                action = control.choose(words[at], seed=at)
                found.append([action.name, action.column, action.value])
            return found

        chosen = {"action by rule": choose(None)}
        for name, examples in (("language model", False), ("language model with examples", True)):
            key = f"controller-{examples}-{seed}-{len(asked)}"
            chosen[f"action by {name}"] = self.said(key, partial(choose, examples))
        chosen["the right action"] = [[one.name, one.column, one.value] for one in wanted]
        for name, actions in chosen.items():
            made = [Action(*action) for action in actions]  # type: ignore[arg-type]
            out[name] = judged([table.apply(one, each) for table, one, each in zip(tables, made, plain)])
            if name != "the right action":
                right = float(np.mean([a == b for a, b in zip(made, wanted)]))
                self.facts[f"{name}: right, draw {seed}"] = right
        return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="smollm2", help="name or name:argument of a local causal language model")
    parser.add_argument("--layer", type=int, default=15, help="middle layer")
    parser.add_argument("--films", type=int, default=150, help="of the catalogue")
    parser.add_argument("--users", type=int, default=150, help="of each of three draws")
    parser.add_argument("--asked", type=int, default=10, help="users of each draw for the scorer")
    parser.add_argument("--requests", type=int, default=24, help="to the controller, of each draw")
    parser.add_argument("--dry", action="store_true", help="print the table and write nothing")
    args = parser.parse_args()
    set_mode("plain")
    bench = Bench(args)
    parts = {"features": args.users, "encoder": args.users, "scorer": args.asked, "controller": args.requests}
    lines = [
        "# A language model in four places of a recommender, on movies", "",
        f"`{command_line()}`: one liked film among {OTHERS} others of the {args.films} most liked; {len(SEEDS)} draws;"
        f" language model: {args.backend}. Gains over the first arm of a part, paired by user within draws, with 95 %"
        " intervals and Holm's p.",
    ]  # fmt: skip
    found: dict[str, Any] = {}
    for part, users in parts.items():
        draws = [getattr(bench, part)(seed) for seed in SEEDS]
        found[part] = rows = arm_rows(draws)
        lines += ["", f"## {part.capitalize()} ({users} users a draw)", "",
                  "| arm | hit@10 | MRR | gain in hit@10 | p | gain in MRR | p |", "|---" * 7 + "|"]  # fmt: skip
        for name, row in rows.items():
            gains = " | ".join(
                "- | -" if "p" not in row[f"gain in {key}"] else
                "{difference:+.3f} [{low:+.3f}, {high:+.3f}] | {p:.2g}".format(**row[f"gain in {key}"])
                for key in ("hit@10", "mrr")
            )  # fmt: skip
            lines.append(f"| {name} | {row['hit@10']:.3f} | {row['mrr']:.3f} | {gains} |")
    lines += ["", *(f"- {key}: {value:.2f}" for key, value in bench.facts.items()), ""]
    text = "\n".join(lines)
    if args.dry:
        print(text)
        return
    data = {name: file_digest(real("movies") / name) for name in ("movies.jsonl", "ratings.csv")}
    result = {"parts": found, "facts": bench.facts, "seeds": SEEDS, "users": parts, "films": args.films, "data": data}
    keep("enhance", {**result, "backend": args.backend, "versions": versions(), "command": command_line()}, text)


def arm_rows(draws: Sequence[Mapping[str, Mapping[str, Floats]]]) -> dict[str, Any]:
    """Means of each arm, and its gains over the first."""
    names = list(draws[0])
    rows: dict[str, Any] = {name: {} for name in names}
    for key in ("hit@10", "mrr"):
        values = {name: [found[name][key] for found in draws] for name in names}
        tests = compare_all(values[names[0]], {name: values[name] for name in names[1:]})
        for name in names:
            rows[name][key] = float(np.mean([each.mean() for each in values[name]]))
            test = tests.get(name)
            rows[name][f"gain in {key}"] = {} if test is None else {
                "difference": test.difference, "low": test.low, "high": test.high, "p": test.p_adjusted,
            }  # fmt: skip
    return rows


if __name__ == "__main__":
    main()
