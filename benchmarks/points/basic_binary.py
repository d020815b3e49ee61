"""Basic-Binary: pairs scored one by one; longer excerpts of tracks help."""

from __future__ import annotations

from _affinity import auc
from _digits import READERS, digits

from _points import Point

SIZES = "dim=32;width=32;lr=0.003;batch_size=128;epochs=12;patience=12"

POINTS = [
    Point(
        system="basic_binary",
        claim="Ten seconds of a track say more about who likes it than three, pair by pair",
        data=digits,
        whole=f"basic_binary:{SIZES};negatives=1;seconds=10",
        ablation=f"basic_binary:{SIZES};negatives=1;seconds=3",
        judge=auc("audio"),
        supervision="full",
        readers=READERS,
        real=True,
    ),
]
