"""LATTICE's own point: an item graph that is learnt from content, against itself with less of it, in sparse shops.

    python benchmarks/lattice_point.py [--worlds 5] [--first 301]

Simulated shops of 800 items and 3,000 people with about 4 events each, a random split of rows. Three arms with the same
settings, budget and stopping rule: the whole, the graph of the vectors as they are (nothing learnt), and no item graph.
Settings were chosen on the validation part of world 300. Each world is measured once more with its content shuffled
over the items and behaviour the same to the bit: what an item graph gains must vanish there.
Written: ``results/lattice.*``.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

import palate
from _common import WORK, keep
from palate.contracts.parse import parse_model
from palate.core.progress import set_mode, track
from palate.data.dataset import Dataset
from palate.evaluation.evaluate import evaluate
from palate.evaluation.openings import one_opening
from palate.evaluation.runs import command_line
from palate.features.plan import plan_content
from palate.metrics.bootstrap import compare_all
from palate.simulation.world import World
from palate.training.fit import fit
from palate.training.saving import versions

SIZES = {"n_items": 800, "n_users": 3000, "interactions_per_user": 4.0, "image_size": 64}
SPLIT = "random:seed=0,test=0.3"
WHOLE = "lattice:initial=0.5;lr=0.005;reg=0.001;batch_size=1024;epochs=60;patience=6"
ARMS = {
    "whole": WHOLE,
    "nothing learnt": WHOLE.replace("initial=0.5", "initial=1"),
    "no item graph": f"{WHOLE};latent=0",
}
METRIC = "recall@20"


def shop(seed: int, effect: bool) -> Dataset:
    """A sparse shop; without effect its content is shuffled over the items."""
    world = World.make("shop", seed=seed, no_effect=not effect, **SIZES)
    folder = WORK / "worlds" / f"shop-{seed}-{world.config.hash[:12]}"
    if not (folder / "palate.yaml").is_file():
        world.write(folder, overwrite=True)
    return palate.load(folder, split=SPLIT)


def measure(data: Dataset, seed: int) -> dict[str, NDArray[np.float64]]:
    """Arm -> recall of each person of the test part."""
    content = plan_content(data, {}, WORK / "store" / "lattice")
    out = {}
    with one_opening(command_line()):
        for name, settings in ARMS.items():
            model = fit(parse_model(settings), data, seed=seed, content=content, refit=False)
            out[name] = evaluate(model, data).per_unit[METRIC]
    return out


def summary(worlds: list[dict[str, NDArray[np.float64]]]) -> dict[str, Any]:
    """Means, and what the whole gains over each other arm, paired by person within worlds."""
    values = {name: [world[name] for world in worlds] for name in ARMS}
    tests = compare_all(values["whole"], {name: values[name] for name in ARMS if name != "whole"})
    return {
        "by world": {name: [float(world.mean()) for world in found] for name, found in values.items()},
        "people": sum(map(len, values["whole"])),
        "gains": {
            name: {"gain": -test.difference, "low": -test.high, "high": -test.low, "p": test.p_adjusted}
            for name, test in tests.items()
        },
    }


def page(result: dict[str, Any]) -> str:
    """The table for people."""
    lines = [
        "# LATTICE: the learnt item graph", "",
        f"{len(result['worlds'])} sparse simulated shops; {METRIC}; gains paired by person within worlds, with 95 % "
        "intervals and Holm's p.", "",
        "| content | arm | recall@20 | gain of the whole over it | p |", "|---" * 5 + "|",
    ]  # fmt: skip
    for part, found in result["parts"].items():
        for name, means in found["by world"].items():
            test = found["gains"].get(name)
            gain = (
                f"{test['gain']:+.4f} [{test['low']:+.4f}, {test['high']:+.4f}] | {test['p']:.2g}" if test else "- | -"
            )
            lines.append(f"| {part} | {name} | {np.mean(means):.4f} | {gain} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=5)
    parser.add_argument("--first", type=int, default=301, help="first world")
    args = parser.parse_args()
    set_mode("plain")
    seeds = range(args.first, args.first + args.worlds)
    parts = {
        name: summary([measure(shop(seed, effect), seed) for seed in track(seeds, name)])
        for name, effect in (("as it is", True), ("shuffled", False))
    }
    result = {
        "worlds": list(seeds), "sizes": SIZES, "split": SPLIT, "metric": METRIC, "arms": ARMS, "parts": parts,
        "versions": versions(), "command": command_line(),
    }  # fmt: skip
    keep("lattice", result, page(result))


if __name__ == "__main__":
    main()
