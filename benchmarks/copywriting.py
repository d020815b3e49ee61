"""GCOF's own point: copies found by genetic search beat random search and the copies it starts from, at equal cost.

    python benchmarks/copywriting.py [--worlds 5] [--items 20] [--budget 96]

Simulated catalogues in which the true click-through rate of a copy is known: a logistic function of its keywords, pairs
of keywords, style, entitlement and length. A scorer learns from 2,000 past copies, each shown 300 times; arms search by
it for each of 20 items and are judged by the true rate. All arms but the first two write the same number of copies;
"past copies" are the mean copy of a person, "the best it starts from" the copy that the scorer prefers among the first
12. Written: ``results/copywriting.*``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from _common import keep
from palate.contracts import GenerationRequest
from palate.core.progress import set_mode, track
from palate.core.seeding import rng_for
from palate.evaluation.runs import command_line
from palate.generation.flows.copywriter import STYLES, compose
from palate.generation.flows.genetic import CopyFeatures, SearchSpace
from palate.metrics.bootstrap import compare_all
from palate.models.generate.gcof import GCOF
from palate.training.saving import versions

KEYWORDS = 80
PER_ITEM = 24
COPIES = 2000
SHOWN = 300
ENTITLEMENTS = ("", "free delivery", "a gift with every order", "half price today")
ARMS = {
    "GCOF": {},
    "random search": {"search": "random"},
    "no crossover": {"crossover": 0.0},
    "no mutation": {"mutation": 0.0},
}


@dataclass
class CopyWorld:
    """Keywords, items and the true click-through rate."""

    seed: int

    def __post_init__(self) -> None:
        rng = rng_for(self.seed, "copy world")
        syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
        names = {"".join(rng.choice(syllables, 3)) for _ in range(2 * KEYWORDS)}
        self.keywords = tuple(sorted(names)[:KEYWORDS])
        self.effect = dict(zip(self.keywords, rng.normal(0, 0.35, KEYWORDS)))
        self.pair = {
            frozenset(rng.choice(self.keywords, 2, replace=False).tolist()): float(rng.normal(0, 0.5))
            for _ in range(4 * KEYWORDS)
        }
        self.style = dict(zip(STYLES, rng.normal(0, 0.2, len(STYLES))))
        self.offer = dict(zip(ENTITLEMENTS, rng.normal(0, 0.2, len(ENTITLEMENTS))))

    def rate(self, one: CopyFeatures) -> float:
        """The true click-through rate of a copy."""
        said = list(one.keywords)
        pairs = sum(self.pair.get(frozenset((a, b)), 0.0) for i, a in enumerate(said) for b in said[i + 1 :])
        logit = -3.2 + sum(self.effect[word] for word in said) + pairs - 0.12 * len(said)
        return float(1 / (1 + np.exp(-(logit + self.style[one.style] + self.offer[one.entitlement]))))

    def item(self, number: int) -> dict[str, object]:
        """An item of which some keywords are true."""
        true = rng_for(self.seed, "item", number).choice(self.keywords, PER_ITEM, replace=False)
        return {"id": f"i{number}", "title": f"Article {number}", "features": true.tolist()}

    def past(self) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64], list[float]]:
        """Copies by people: keywords as they come."""
        rng, texts, clicks, rates = rng_for(self.seed, "past"), [], [], []
        for _ in range(COPIES):
            item = self.item(int(rng.integers(500, 700)))
            one = SearchSpace(tuple(item["features"]), tuple(STYLES), ENTITLEMENTS).draw(rng)
            texts.append(compose(one, item))
            rates.append(self.rate(one))
            clicks.append(int(rng.binomial(SHOWN, rates[-1])))
        return texts, np.full(COPIES, SHOWN), np.array(clicks), rates


def measure(seed: int, items: int, budget: int) -> dict[str, NDArray[np.float64]]:
    """Arm -> true click-through rate of the copy it chooses for each item."""
    world = CopyWorld(seed)
    texts, shown, clicks, rates = world.past()
    arms = {name: GCOF(budget=budget, **settings).fit_copies(texts, shown, clicks) for name, settings in ARMS.items()}
    arms["the best it starts from"] = GCOF(budget=12).fit_copies(texts, shown, clicks)
    out: dict[str, list[float]] = {"past copies": [float(np.mean(rates))] * items, **{name: [] for name in arms}}
    for number in range(items):
        request = GenerationRequest("marketing_copy", world.item(number), options={"entitlements": ENTITLEMENTS})
        for name, model in arms.items():
            found = model.evolution(request, seed=seed)
            assert found is not None
            out[name].append(world.rate(found.population[0].features))
    return {name: np.array(values) for name, values in out.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=5)
    parser.add_argument("--items", type=int, default=20)
    parser.add_argument("--budget", type=int, default=96, help="copies written for an item")
    args = parser.parse_args()
    set_mode("plain")
    found = [measure(401 + world, args.items, args.budget) for world in track(range(args.worlds), "worlds")]
    rates = {name: [world[name] for world in found] for name in found[0]}
    tests = compare_all(rates["GCOF"], {name: values for name, values in rates.items() if name != "GCOF"})
    rows = {
        name: {
            "by world": [float(world.mean()) for world in values],
            **(
                {"gain": -tests[name].difference, "low": -tests[name].high, "high": -tests[name].low,
                 "p": tests[name].p_adjusted} if name in tests else {}
            ),
        }
        for name, values in rates.items()
    }  # fmt: skip
    lines = [
        "# GCOF: copies by genetic search", "",
        f"True click-through rate of the chosen copy; {args.worlds} simulated catalogues of {args.items} items, "
        f"{args.budget} copies written for an item; gains of GCOF paired by item within catalogues, with 95 % "
        "intervals and Holm's p.", "",
        "| arm | true CTR | gain of GCOF over it | p |", "|---|---|---|---|",
    ]  # fmt: skip
    for name, row in rows.items():
        gain = f"{row['gain']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}] | {row['p']:.2g}" if "p" in row else "- | -"
        lines.append(f"| {name} | {np.mean(row['by world']):.4f} | {gain} |")
    result = {"arms": rows, "settings": ARMS, "worlds": args.worlds, "items": args.items, "budget": args.budget}
    keep("copywriting", {**result, "versions": versions(), "command": command_line()}, "\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
