"""Compare fairly: several models and seeds on one split, test opened once, paired tests with Holm's correction.

python examples/compare_fairly.py [FOLDER]
"""

import sys
import tempfile
from pathlib import Path

import palate
from palate.simulation.world import World


def main(folder: Path) -> dict:
    """Simulate a shop, compare, read the result."""
    # A simulated shop: 10 events a user, taste depends on what texts and attributes show.
    shop = World.make("shop", seed=1, n_items=200, n_users=400, media=False, given_features=True).write(folder / "shop")

    # A temporal split: train on the past, validate and test on what came later.
    data = palate.load(shop, split="temporal")

    # Every choice is made on validation and written down before the test part is opened, once, for all models.
    # A setting is part of a name: name@preset, or name:key=value;key=value.
    result = palate.compare(
        data,
        ["popularity", "ease", "bpr:epochs=15;dim=16", "ease_content"],
        folder / "compared",
        seeds=(0, 1),
        resamples=2000,
    )
    for row in result["table"]:
        print(f"{row['model']:24} recall@20 {row['recall@20']:.4f}")
    # The file also has intervals, Holm-adjusted p-values, time and memory; running the same again only reads it.
    print((folder / "compared" / "result.md").read_text())
    return result


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else scratch))
