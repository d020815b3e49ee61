"""Pretrain on the catalogue: teach encoders what the shop's own texts and attributes say, and compare them with others.

python examples/pretrain_on_the_catalogue.py [FOLDER]
"""

import sys
import tempfile
from pathlib import Path

import palate
from palate.contracts import parse, pretrainers
from palate.evaluation.evaluate import evaluate
from palate.features.plan import plan_content
from palate.simulation.world import World
from palate.training.pretrain import pretrain


def main(folder: Path) -> dict[str, float]:
    """Pretrain on what the split shows, fit with the encoders, measure on items that nothing has seen."""
    shop = World.make("shop", seed=3, n_items=300, n_users=300, image_size=64, audio_seconds=0.5).write(folder / "shop")
    data = palate.load(shop, split="item_cold:seed=0")

    # 1. Pretrain. attribute_ridge turns vectors of texts, pictures and sounds so that they tell brand and category, in
    #    seconds; clip, uniter and two dozen others are called the same way (docs/pretraining.md). The items that the
    #    split hides are not seen. The folder holds one encoder for each modality.
    pretrainer = parse("attribute_ridge", pretrainers, {})
    taught = pretrain(pretrainer, data, folder / "taught", seed=0, store=folder / "store")

    # 2. Give a recommender each kind of encoder. Attributes themselves are left out, to see what the encoders know.
    plain = {"attributes": "none", "text": "tfidf", "image": "image_stats", "audio": "logmel"}
    choices = {
        "descriptors": plain,
        "pretrained": plain | {modality: str(folder / "taught" / modality) for modality in taught},
    }
    scores = {}
    for name, encoders in choices.items():
        content = plan_content(data, encoders, store=folder / "store")
        model = palate.models.ContentKNN().fit(data, content=content)
        scores[name] = evaluate(model, data).metrics["capped_recall@10"]
        print(f"{name:12} capped recall@10 of new items {scores[name]:.3f}")

    # 3. The same on the command line:
    #    palate pretrain my-shop --model attribute_ridge --split item_cold --out taught
    #    palate fit my-shop --encoder taught --split item_cold --out run
    return scores


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else scratch))
