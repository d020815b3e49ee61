"""Explanations against references: templates, retrieval, a small network, SmolLM2, a published system.

    python benchmarks/xrec.py {amazon,yelp} [--pairs 100] [--asked 16] [--only SYSTEM ...]

The data are 3,000 explained pairs of a user and a book (amazon) or a business (yelp), each with a summary of what the
user likes, a summary of who likes the item, and a reference. Three splits by user; each has ``--pairs`` test pairs for
which the published system's output is known. Histories come from the interaction files without any explained pair. The
network and the adapter are trained once, on users who are in no split's test or validation part. Language models answer
the first ``--asked`` test pairs of each split. "ours" puts what the item's own summary says that it offers into words
of the network or of training explanations, checked and repaired; which of its rules is used is chosen on validation
users. What is done is kept, so that an interrupted
run goes on. Written: ``results/xrec-*.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import _xrec_cheap as cheap
import _xrec_frames as frames
import _xrec_scores as scores
from _common import WORK, keep, real
from _xrec_data import Pair, Split, in_every_training, pairs, split
from _xrec_table import table
from palate.core.files import digest, file_digest, read_json, write_json
from palate.core.progress import set_mode
from palate.evaluation.runs import command_line
from palate.metrics.bootstrap import compare_all
from palate.training.saving import versions

SEEDS = (0, 1, 2)
EPOCHS = 8
DRAWN = 8
"""Texts that are drawn from the network for a pair."""
CHECKED = 25
"""Validation pairs of a split on which the settings of ours are chosen."""
NEAR = 30
"""Training pairs whose endings are read."""
RULES = (
    "network, by consensus", "usual opening, item's summary, usual ending",
    "network with the item's summary", "network with the item's summary, shortened",
)  # fmt: skip
"""How ours may write; the choice is made on validation users."""
COMPARED = ("bertscore", "rougeL", "rouge1", "meteor")
ASKED = ("SmolLM2, zero-shot", "SmolLM2, in context", "SmolLM2, LoRA")


class Study:
    """One data set: splits, trained parts, texts and their scores, each made once and kept.

    Args:
        name: of the data.
        most: test pairs of a split.
        asked: those that language models answer.
    """

    def __init__(self, name: str, most: int, asked: int) -> None:
        self.name, self.most, self.asked = name, most, asked
        self.folder = WORK / "xrec"
        self.backends: dict[Path | None, Any] = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        self.splits: dict[int, Split] = {seed: split(name, seed, most) for seed in SEEDS}
        self.common = in_every_training(name, SEEDS)
        held = {pair.user for one in self.splits.values() for pair in (*one.test, *one.validation)}
        assert held.isdisjoint(pair.user for pair in self.common), "a test user is in the training of every split"
        self.checker, self.cache = scores.checker_of(pairs(name)[0]), scores.TokenCache()
        self.features = scores.features_of(self.common)

    @cached_property
    def network(self) -> cheap.Writer:
        """The pointer-generator."""
        return cheap.Writer(self.common, 0).fit(EPOCHS, self.folder / f"network-{self.name}.pt")

    def kept(self, kind: str, make: Callable[[], Any], *names: object) -> Any:
        """What was made before under these names, else what is made now."""
        file = self.folder / f"{kind}-{digest(self.name, str(self.most), *map(str, names))[:16]}.json"
        if not file.is_file():
            write_json(file, make())
        return read_json(file)

    def candidates(self, seed: int, part: str) -> list[list[str]]:
        """Texts of the network: the best of a beam, and those that are drawn."""

        def make() -> list[list[str]]:
            rows = self.part(seed, part)
            return [one for at in range(0, len(rows), 20) for one in self.network.write(rows[at : at + 20], DRAWN)]

        return self.kept("candidates", make, seed, part, EPOCHS)

    def part(self, seed: int, part: str) -> list[Pair]:
        """Pairs of ``test`` or ``validation``."""
        one = self.splits[seed]
        return one.test if part == "test" else one.validation[:CHECKED]

    def ours(self, seed: int, part: str, rule: str) -> list[str]:
        """Texts by one of the rules, checked and repaired, none of them twice."""
        rows, train = self.part(seed, part), self.splits[seed].train
        drawn = self.candidates(seed, part)
        if rule == RULES[0]:
            pools = [cheap.by_consensus(texts, self.cache.agreement) for texts in drawn]
        elif rule == RULES[1]:
            index, opening = cheap.Neighbours(train), frames.openings(train)[0]
            made = [frames.framed(opening, frames.offered(pair), index.of(pair, NEAR)) for pair in rows]
            pools = [[one, *texts] for one, texts in zip(made, drawn, strict=True)]
        else:
            whole = rule == RULES[2]
            pools = [
                [frames.inserted(text, frames.offered(pair), whole) for text in texts]
                for pair, texts in zip(rows, drawn, strict=True)
            ]
        return cheap.first_new(pools, rows, self.checker, cheap.template(rows, seed))

    def validated(self) -> dict[str, dict[str, float]]:
        """BERTScore and ROUGE-L on validation users: of each rule, and of the published system."""

        def published(seed: int) -> list[str]:
            return [str(pair.published) for pair in self.part(seed, "validation")]

        def means(system: str, write: Callable[[int], Sequence[str]]) -> dict[str, float]:
            rows = [self.scored(system, seed, "validation", write) for seed in SEEDS]
            return {m: float(np.mean([np.mean([r[m] for r in one]) for one in rows])) for m in COMPARED[:2]}

        return {"published": means("published", published)} | {
            rule: means(f"ours, {rule}", partial(self.ours, part="validation", rule=rule)) for rule in RULES
        }

    def best(self) -> str:
        """The rule whose smaller gain over the published system, of its two scores, is largest on validation users."""
        found = self.validated()
        base = found["published"]
        return max(RULES, key=lambda rule: min(found[rule][m] / base[m] for m in COMPARED[:2]))

    def scored(self, system: str, seed: int, part: str, write: Callable[[int], Sequence[str]]) -> list[dict[str, Any]]:
        """Scores of a system's texts for the first pairs of a part, as many as there are texts."""

        def make() -> list[dict[str, Any]]:
            texts = list(write(seed))
            return scores.score(texts, self.part(seed, part)[: len(texts)], self.checker, self.cache)

        from _xrec_language_model import LEARNT

        about: tuple[int, ...] = (EPOCHS, DRAWN) if system.startswith(("ours", "network")) else ()
        about = (LEARNT,) if system == ASKED[2] else about
        return self.kept("scores", make, system, seed, part, *about, *((self.asked,) if system in ASKED else ()))

    def backend(self, adapter: Path | None) -> Any:
        """SmolLM2, loaded once."""
        import _xrec_language_model as lm

        if adapter not in self.backends:
            self.backends[adapter] = lm.backend(adapter)
        return self.backends[adapter]

    def by_language_model(self, system: str, seed: int) -> list[str]:
        """Texts of SmolLM2 for the first test pairs."""
        import _xrec_language_model as lm

        one = self.splits[seed]
        rows = one.test[: self.asked]
        index = cheap.Neighbours(one.train)
        solved = [index.of(pair, lm.SOLVED)[::-1] if system == ASKED[1] else [] for pair in rows]
        adapter = lm.learn(self.name, self.common, 0) if system == ASKED[2] else None
        return lm.write(self.backend(adapter), self.name, rows, solved, start=adapter is None)

    def systems(self) -> dict[str, Callable[[int], Sequence[str]]]:
        """Writers of the test pairs' explanations, in the order of the table."""
        tests = {seed: one.test for seed, one in self.splits.items()}
        best = self.best()
        return {
            "published": lambda s: [str(pair.published) for pair in tests[s]],
            "template": lambda s: cheap.template(tests[s], s),
            "nearest explanation, as it is": lambda s: cheap.nearest(self.splits[s].train, tests[s]),
            "retrieval + template": lambda s: cheap.retrieved(self.splits[s].train, tests[s], self.checker, s),
            "network": lambda s: [texts[0] for texts in self.candidates(s, "test")],
            f"ours: {best}": lambda s: self.ours(s, "test", best),
            **{name: lambda s, n=name: self.by_language_model(n, s) for name in ASKED},
        }  # type: ignore[dict-item]


def by_user(rows: Sequence[dict[str, Any]], users: Sequence[str], name: str) -> np.ndarray:
    """Means of a score over the pairs of each user."""
    _, place = np.unique(np.array(users[: len(rows)]), return_inverse=True)
    values = np.array([float(row[name]) for row in rows])
    return np.bincount(place, values) / np.bincount(place)


def measure(study: Study, only: Sequence[str]) -> dict[str, Any]:
    """Scores and comparisons of all systems that are done; the result file grows row by row."""
    from _xrec_language_model import LEARNT

    users = {seed: [pair.user for pair in one.test] for seed, one in study.splits.items()}
    done: dict[str, list[list[dict[str, Any]]]] = {}
    result: dict[str, Any] = {}
    for system, write in study.systems().items():
        if only and not any(system.startswith(one) for one in only):
            continue
        done[system] = [study.scored(system, seed, "test", write) for seed in SEEDS]
        least = min(len(rows) for seeds in done.values() for rows in seeds)
        result = {
            "data": pairs(study.name)[1] | {"digest": data_digest(study.name)}, "seeds": list(SEEDS),
            "training pairs": [len(one.train) for one in study.splits.values()],
            "common training": len(study.common), "epochs": EPOCHS, "fine-tuning": LEARNT,
            "features": len(study.features), "validation": study.validated(),
            "versions": versions(), "command": command_line(),
        }  # fmt: skip
        for part, most in (("all", study.most), ("asked", least)):
            chosen = {
                name: [rows[:most] for rows in seeds] for name, seeds in done.items() if min(map(len, seeds)) >= most
            }
            tests = [study.splits[seed].test[:most] for seed in SEEDS]
            result[part] = {
                "pairs": most * len(SEEDS),
                "rows": {name: scores.summary(seeds, tests, study.features) for name, seeds in chosen.items()},
                "against published": against(chosen, [users[seed] for seed in SEEDS]),
            }
        keep(f"xrec-{study.name}", result, table(study.name, result))
    return result


def against(chosen: dict[str, list[list[dict[str, Any]]]], users: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Differences to the published system by user, with intervals over users and splits."""
    out: dict[str, Any] = {}
    for metric in COMPARED:
        values = {n: [by_user(rows, u, metric) for rows, u in zip(seeds, users)] for n, seeds in chosen.items()}
        base = values.pop("published", None)
        if base is None or not values:
            continue
        for name, test in compare_all(base, values).items():
            shown = {"difference": test.difference, "low": test.low, "high": test.high, "p": test.p_adjusted}
            out.setdefault(name, {})[metric] = {key: round(float(value or 0), 5) for key, value in shown.items()}
    return out


def data_digest(name: str) -> str:
    """Of the files of the data."""
    return digest(*(file_digest(file) for file in sorted((real("xrec") / name).glob("*.parquet"))))[:16]


def main() -> None:
    """Measure, and write the result files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=("amazon", "yelp"))
    parser.add_argument("--pairs", type=int, default=100, help="test pairs of each split")
    parser.add_argument("--asked", type=int, default=16, help="test pairs of each split that language models answer")
    parser.add_argument("--only", nargs="*", default=(), help="beginnings of the names of systems; all by default")
    args = parser.parse_args()
    set_mode("plain")
    torch.set_num_threads(1)
    measure(Study(args.name, args.pairs, args.asked), args.only)


if __name__ == "__main__":
    main()
