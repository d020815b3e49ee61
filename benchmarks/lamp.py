"""LaMP's effect on movies: what a user did before, read with the question, against not reading it.

    python benchmarks/lamp.py [--tasks rating tag headline] [--users 100] [--backend smollm2 --asked 30]

Films, shown by title and genres or other facts, and the users who rated at least 12 of them. Users are split at random:
most are learnt from, ``--users`` others are asked, each about the newest film, with the earlier ones as the profile.

rating    LaMP_3 on real ratings (rounded up to 1..5); the mean absolute error
tag       LaMP_2 on real films with simulated tags: each user has an order of genres, and tags a film with the genre of
          the film that stands first in it; the share of right tags
headline  LaMP_4 on real films with simulated headlines: each user names two facts of a film, in an order and with marks
          of their own, and keeps to that in 8 of 10 headlines; ROUGE-L

One small reader by fusion-in-decoder is trained for each task and seed, with 0 to 4 documents of any retriever, and
asked with each retriever and k = 0, 1, 2, 4. With ``--backend`` a language model is asked as it is, without training,
BM25 alone. Seeds draw the users, the habits and the training. Each row is kept in ``runs/lamp``, so that a run that was
stopped goes on. Written: ``results/lamp.*``.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from _common import WORK, keep, kept, real
from palate.contracts import GenerationRequest
from palate.core.content import Features
from palate.core.files import atomic_path, file_digest
from palate.core.progress import set_mode
from palate.core.seeding import rng_for
from palate.data.dataset import Dataset
from palate.evaluation.runs import command_line
from palate.generation.registries import text_backend
from palate.generation.scoring.overlap import rouge
from palate.generation.scoring.semantic import text_encoder
from palate.metrics.bootstrap import compare_all, holm
from palate.models.generate.lamp import LaMP
from palate.models.generate.shared.lamp_retrieval import StoredVectors
from palate.models.generate.shared.lamp_samples import KINDS, OUTPUTS
from palate.training.saving import versions

SEEDS = (1, 2, 3, 4, 5, 6)
RETRIEVERS = ("bm25", "dense", "recency", "random")
SIZES = (1, 2, 4)
LEAST, NEWEST, LEARNT = 12, 24, 5
DAY = 86_400
KEEPS = 0.8
"""Share of headlines in which a simulated user keeps to the own habit."""
FACTS = ("genre", "decade", "director", "actor", "country")
MARKS = (":", ",", "-", "|")
SETTINGS: dict[str, Any] = {
    "dim": 32,
    "layers": 1,
    "k": 4,
    "learns": RETRIEVERS,
    "lr": 3e-3,
    "batch_size": 32,
    "beam": 1,
    "words": 4000,
    "dropout": 0.0,
}
"""The same for all tasks and seeds; seeds 0 and 100, on which they were chosen, are not reported."""
Floats = NDArray[np.float64]
Film = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """A task built from films.

    Attributes:
        lamp: name of LaMP's task.
        metric: name of what is measured.
        better: 1 where more is better, -1 where less is.
        text: columns that are shown of a film.
        epochs: of training.
        lengths: words read of a question, of a document, of an answer.
    """

    lamp: str
    metric: str
    better: int
    text: Callable[[Film], dict[str, Any]]
    epochs: int
    lengths: tuple[int, int, int]


TASKS = {
    "rating": Task("LaMP_3", "MAE", -1, lambda f: {
        "name": f["title"], "genre": ", ".join(f["genres"])}, 10, (14, 26, 3)),
    "tag": Task("LaMP_2", "accuracy", 1, lambda f: {
        "name": f["title"], "genre": ", ".join(f["genres"])}, 10, (14, 26, 3)),
    "headline": Task("LaMP_4", "ROUGE-L", 1, lambda f: {
        "name": f["name"], **{fact: f[fact] for fact in FACTS}}, 10, (24, 40, 20)),
}  # fmt: skip


def load() -> tuple[dict[int, Film], dict[int, list[tuple[int, float]]]]:
    """Films by id, and the films that each user rated with the rating, oldest first."""
    folder = real("movies")
    films = {}
    for line in (folder / "movies.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        facts = [row.get(key) for key in ("Plot", "Genre", "Director", "Actors", "Country", "Year")]
        if all(facts) and str(row["Year"])[:4].isdigit():
            genres = [genre.lower() for genre in row["Genre"].split(", ")]
            films[row["movie_id"]] = {
                "id": row["movie_id"], "title": row["title"], "name": row["title"].rpartition(" (")[0] or row["title"],
                "plot": row["Plot"], "genres": genres, "genre": genres[0], "decade": f"{str(row['Year'])[:3]}0s",
                "director": row["Director"].split(", ")[0], "actor": row["Actors"].split(", ")[0],
                "country": row["Country"].split(", ")[0],
            }  # fmt: skip
    log = pl.read_csv(folder / "ratings.csv").filter(pl.col("movieId").is_in(list(films)))
    log = log.sort("userId", "timestamp", "movieId")
    rated: dict[int, list[tuple[int, float]]] = {}
    for user, film, rating in log["userId", "movieId", "rating"].iter_rows():
        rated.setdefault(user, []).append((film, rating))
    return films, {user: rows[-NEWEST:] for user, rows in rated.items() if len(rows) >= LEAST}


def outputs(task: str, rows: list[tuple[int, float]], films: dict[int, Film], rng: np.random.Generator) -> list[str]:
    """What a user makes of each film."""
    if task == "rating":
        return [str(min(max(math.ceil(rating), 1), 5)) for _, rating in rows]
    if task == "tag":
        place = {str(genre): at for at, genre in enumerate(rng.permutation(genres(films)))}
        return [min(films[film]["genres"], key=place.__getitem__) for film, _ in rows]
    own = habit(rng)
    return [headline(films[film], own if rng.random() < KEEPS else habit(rng)) for film, _ in rows]


def genres(films: dict[int, Film]) -> tuple[str, ...]:
    """All genres."""
    return tuple(sorted({genre for film in films.values() for genre in film["genres"]}))


def habit(rng: np.random.Generator) -> tuple[str, ...]:
    """Two facts and two marks."""
    first, second = rng.permutation(FACTS)[:2]
    return str(first), str(rng.choice(MARKS)), str(second), str(rng.choice(MARKS))


def headline(film: Film, own: tuple[str, ...]) -> str:
    """A headline after a habit."""
    first, mark, second, other = own
    return f"{film[first]} {mark} {film['name']} {other} {film[second]}"


@dataclass(frozen=True)
class Draw:
    """Users who are learnt from, and users who are asked.

    Attributes:
        learnt: rows of the log.
        asked: history rows, film, output.
    """

    learnt: list[dict[str, Any]]
    asked: list[tuple[list[dict[str, Any]], Film, str]]


def draw(name: str, films: dict[int, Film], rated: dict[int, list[tuple[int, float]]], users: int, seed: int) -> Draw:
    """A split of the users, with what they make of films."""
    task, learnt, asked = TASKS[name], [], []
    for place, user in enumerate(rng_for(seed, "users").permutation(sorted(rated))):
        rows = rated[int(user)]
        made = outputs(name, rows, films, rng_for(seed, "habit", name, int(user)))
        shown = [{"id": film, **task.text(films[film]), "output": out} for (film, _), out in zip(rows, made)]
        if place < users:
            asked.append((shown[:-1], {key: value for key, value in shown[-1].items() if key != "output"}, made[-1]))
        else:
            learnt += [{"user": int(user), "item": row["id"], "time": DAY * (20_000 + at), "output": row["output"]}
                       for at, row in enumerate(shown)][-LEARNT:]  # fmt: skip
    return Draw(learnt, asked)


def dataset(name: str, films: dict[int, Film], learnt: list[dict[str, Any]]) -> Dataset:
    """What is learnt from."""
    task = TASKS[name]
    items = pl.DataFrame([{"id": film["id"], **task.text(film)} for film in films.values()])
    kinds = {"id": "id", "name": "text", "plot": "text", **dict.fromkeys((*FACTS, "genre"), "attributes")}
    return Dataset.from_frames(
        items, pl.DataFrame(learnt).with_columns(part=pl.lit(0)),
        columns={key: kind for key, kind in kinds.items() if key in items.columns},
        roles={"user": "user", "item": "item", "time": "time", "context": "output", "part": "part"},
        split="given", name=f"movies-{name}",
    )  # fmt: skip


def score(name: str, said: list[str | None], golds: list[str]) -> Floats:
    """The metric of each question."""
    if name == "rating":
        # an answer without a score counts as the farthest one; there is none here
        return np.array(
            [abs(int(a) - int(b)) if a else max(int(b) - 1, 5 - int(b)) for a, b in zip(said, golds)], float
        )
    if name == "tag":
        return np.array([float(a == b) for a, b in zip(said, golds)])
    return np.asarray(rouge([one or "" for one in said], golds)["rougeL"], np.float64)


def ask(model: LaMP, name: str, drawn: Draw, retriever: str, k: int, seed: int) -> list[str | None]:
    """Answers with k documents of a retriever."""
    model.config = model.config.model_copy(update={"retriever": retriever, "k": k})
    kind = KINDS[TASKS[name].lamp]
    requests = [GenerationRequest(kind, film, history) for history, film, _ in drawn.asked]
    return [one.text for one in model.generate(requests, seed=seed)]


def trained(name: str, films: dict[int, Film], drawn: Draw, seed: int, vectors: StoredVectors) -> dict[str, Any]:
    """The rows of the trained reader: arm -> metric of each question."""
    task = TASKS[name]
    query, document, target = task.lengths
    lengths: dict[str, Any] = {"query_length": query, "document_length": document, "target_length": target}
    choices = genres(films) if name == "tag" else ()
    model = LaMP(
        task=task.lamp, target="output", choices=choices, epochs=task.epochs, **lengths, **SETTINGS, vectors=vectors
    )
    model.fit(dataset(name, films, drawn.learnt), seed=seed, refit=False, device="cpu")
    golds = [gold for _, _, gold in drawn.asked]
    rows = {"no profile": score(name, ask(model, name, drawn, "bm25", 0, seed), golds).tolist()}
    for retriever in RETRIEVERS:
        for k in SIZES:
            rows[f"{retriever}, k = {k}"] = score(name, ask(model, name, drawn, retriever, k, seed), golds).tolist()
    assert model.deployment is not None
    losses = [record["loss"] for record in model.deployment.log.history]  # type: ignore[attr-defined]
    return {"rows": rows, "losses": losses, "learnt": len(drawn.learnt)}


def zero_shot(name: str, spec: str, drawn: Draw, seed: int, asked: int) -> dict[str, Any]:
    """The rows of a language model that was not trained for it."""
    lamp = TASKS[name].lamp
    # without training the answers of a history stand in LaMP's own field
    own = [([{**row, OUTPUTS[lamp]: row["output"]} for row in history], film, gold)
           for history, film, gold in drawn.asked[:asked]]  # fmt: skip
    for history, _, _ in own:
        for row in history:
            del row["output"]
    choices = genres(load()[0]) if name == "tag" else ()
    model, some = LaMP(task=lamp, choices=choices, tokens=320, backend=backend(spec)), Draw([], own)
    golds = [gold for _, _, gold in some.asked]
    rows = {"no profile": score(name, ask(model, name, some, "bm25", 0, seed), golds).tolist()}
    for k in SIZES:
        rows[f"bm25, k = {k}"] = score(name, ask(model, name, some, "bm25", k, seed), golds).tolist()
    return {"rows": rows}


class KeptVectors:
    """Vectors of MiniLM that are kept for the next run; rating and tag read the same texts."""

    def __init__(self) -> None:
        self.file = WORK / "lamp" / "vectors.npz"
        self.known: dict[str, NDArray[np.float32]] = {}
        if self.file.is_file():
            with np.load(self.file) as found:
                self.known = dict(zip(found["texts"].tolist(), found["values"]))

    def encode(self, texts: Sequence[str]) -> Features:
        """Vectors of texts."""
        new = [text for text in texts if text not in self.known]
        if new:
            self.known.update(zip(new, text_encoder().encode(new).values.astype(np.float32)))
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(self.file) as aside, open(aside, "wb") as handle:
                np.savez(handle, texts=np.array(list(self.known)), values=np.stack(list(self.known.values())))
        return Features(np.stack([self.known[text] for text in texts]), np.ones(len(texts), bool), identity="minilm")


def summary(pieces: list[dict[str, Any]], better: int) -> dict[str, Any]:
    """Means of each arm, its gain over no profile, and whether more documents and better retrieval are better."""
    names = list(pieces[0]["rows"])
    values = {name: [np.array(piece["rows"][name]) for piece in pieces] for name in names}

    def gains(base: str, others: list[str]) -> dict[str, Any]:
        signed = {name: [better * each for each in values[name]] for name in (base, *others)}
        tests = compare_all(signed[base], {name: signed[name] for name in others})
        return {
            name: {"gain": one.difference, "low": one.low, "high": one.high, "p": one.p_adjusted}
            for name, one in tests.items()
        }

    rows = {name: {"mean": float(np.mean([each.mean() for each in values[name]]))} for name in names}
    for name, gain in gains("no profile", [name for name in names if name != "no profile"]).items():
        rows[name] |= gain
    pairs = {"bm25, k = 4 over k = 1": ("bm25, k = 4", "bm25, k = 1")}
    if "random, k = 4" in names:
        pairs |= {f"{one} over random, k = {k}": (f"{one}, k = {k}", f"random, k = {k}")
                  for one in ("bm25", "dense", "recency") for k in (1, 4)}  # fmt: skip
    more = {what: gains(base, [name])[name] for what, (name, base) in pairs.items()}
    for gain, p in zip(more.values(), holm([gain["p"] for gain in more.values()]), strict=True):
        gain["p"] = float(p)
    return {"rows": rows, "comparisons": more, "questions": [len(each) for each in values["no profile"]]}


def told(gain: dict[str, Any]) -> str:
    """A gain with its interval."""
    return f"{gain['gain']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}] | {gain['p']:.2g}"


def table(result: dict[str, Any]) -> str:
    """The result for people."""
    lines = ["# LaMP on movies: the user's own documents, read with the question", "",
             f"`{result['command']}`. Gains are over no profile, positive where better (for MAE: lower), paired by user"
             " within draws of users, with 95 % intervals and Holm's p over each table."]  # fmt: skip
    for reader, tasks in result["readers"].items():
        for name, found in tasks.items():
            task = TASKS[name]
            lines += ["", f"## {name} ({task.lamp}), {reader}", "",
                      f"{task.metric} of {sum(found['questions'])} questions in {len(found['questions'])} draws.", "",
                      f"| documents | {task.metric} | gain | p |", "|---|---|---|---|"]  # fmt: skip
            for arm, row in found["rows"].items():
                lines.append(f"| {arm} | {row['mean']:.3f} | {told(row) if 'gain' in row else '- | -'} |")
            lines += ["", "| compared | gain | p |", "|---|---|---|"]
            lines += [f"| {what} | {told(gain)} |" for what, gain in found["comparisons"].items()]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--users", type=int, default=100, help="who are asked, in each draw")
    parser.add_argument("--backend", default=None, help="name or name:argument of a language model")
    parser.add_argument("--asked", type=int, default=30, help="of the users, by the language model, in each draw")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), help="some alone, for a run in pieces")
    parser.add_argument("--tuning", action="store_true", help="measure on seed 100 alone and write nothing")
    args = parser.parse_args()
    set_mode("plain")
    films, rated = load()
    vectors = StoredVectors(KeptVectors())
    seeds = (100,) if args.tuning else tuple(args.seeds)
    cells, readers = WORK / "lamp", dict[str, Any]()
    for name, seed in product(args.tasks, seeds):
        drawn = draw(name, films, rated, args.users, seed)
        piece = partial(trained, name, films, drawn, seed, vectors)
        found = piece() if args.tuning else kept(cells / f"reader-{name}-{args.users}-{seed}.json", piece)
        readers.setdefault("the small reader, trained", {}).setdefault(name, []).append(found)
        if args.tuning:
            print(name, [round(one, 3) for one in found["losses"]], found["learnt"])
            print({arm: round(float(np.mean(row)), 3) for arm, row in found["rows"].items()}, flush=True)
        elif args.backend:
            cell = cells / f"{args.backend.replace('/', '_').replace(':', '_')}-{name}-{args.asked}-{seed}.json"
            piece = partial(zero_shot, name, args.backend, drawn, seed, args.asked)
            readers.setdefault(f"{args.backend}, not trained", {}).setdefault(name, []).append(kept(cell, piece))
    if args.tuning or seeds != SEEDS:
        return
    data = {name: file_digest(real("movies") / name) for name in ("movies.jsonl", "ratings.csv")}
    summaries = {
        reader: {name: summary(pieces, TASKS[name].better) for name, pieces in tasks.items()}
        for reader, tasks in readers.items()
    }
    result = {"readers": summaries, "seeds": seeds, "settings": SETTINGS, "data": data, "versions": versions(),
              "command": command_line()}  # fmt: skip
    keep("lamp", result, table(result))


@lru_cache
def backend(spec: str) -> Any:
    """A language model, loaded once."""
    return text_backend(spec)


if __name__ == "__main__":
    main()
