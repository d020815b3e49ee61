"""Multi-1vsN: a choice among tracks; longer excerpts of tracks and more negatives help."""

from __future__ import annotations

from _affinity import auc
from _digits import READERS, digits

from _points import Point

SIZES = "dim=32;width=32;lr=0.003;batch_size=128;epochs=12;patience=12"

POINTS = [
    Point(
        system="multi_1vsn",
        claim="Ten seconds of a track say more about who chooses it than three",
        data=digits,
        whole=f"multi_1vsn:{SIZES};negatives=4;seconds=10",
        ablation=f"multi_1vsn:{SIZES};negatives=4;seconds=3",
        judge=auc("audio"),
        supervision="full",
        readers=READERS,
        real=True,
    ),
    Point(
        system="multi_1vsn",
        claim="A choice among five tracks ranks new ones better than a choice among two",
        data=digits,
        whole=f"multi_1vsn:{SIZES};negatives=4;seconds=10",
        ablation=f"multi_1vsn:{SIZES};negatives=1;seconds=10",
        judge=auc("audio"),
        supervision="full",
        readers=READERS,
        real=True,
    ),
]
