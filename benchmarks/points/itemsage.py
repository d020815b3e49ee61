"""ItemSage's ablation table: features, negatives, surfaces, kinds of engagement."""

from _asked import SMALL, asking, recommended, searched, searching
from _points import Point

SIZES = "itemsage:epochs=5;dim=64;layers=1;batch_size=512;random=128"
READERS = {**SMALL, "audio": "mel?bands=32&seconds=1"}
FOUND = searched()
POINTS = [
    Point(
        system="itemsage",
        claim=claim,
        data=asking if judge is FOUND else searching,
        whole=SIZES,
        ablation=f"{SIZES};{without}",
        judge=judge,
        supervision="full",
        readers=READERS,
    )
    for claim, without, judge in (
        ("Features: pictures and sounds beside text recommend new items better", "modalities=[text]", recommended),
        ("Features: attention among modalities beats a net on their mean", "combine=perceptron", recommended),
        ("Negatives: random ones beside the batch's", "softmaxes=batch", recommended),
        ("Negatives: two softmaxes beat one over the union", "softmaxes=mixed", recommended),
        ("Surfaces: search, when it is learnt, finds what was taken", "tasks=[next,bought_together]", FOUND),
        ("Surfaces: what is taken next, when it is learnt, recommends better", "tasks=[search]", recommended),
        ("Engagement: what was bought together beside clicks", "tasks=[next,search]", recommended),
    )
]
