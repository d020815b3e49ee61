"""DCUE: a free vector a user; longer excerpts of tracks and more negatives help."""

from __future__ import annotations

from _affinity import auc
from _digits import READERS, digits

from _points import Point

SIZES = "dim=16;width=32;lr=0.01;batch_size=512;epochs=12;patience=12"

POINTS = [
    Point(
        system="dcue",
        claim="Ten seconds of a track say more about whose vector it is near than three",
        data=digits,
        whole=f"dcue:{SIZES};negatives=4;seconds=10",
        ablation=f"dcue:{SIZES};negatives=4;seconds=3",
        judge=auc("audio"),
        supervision="full",
        readers=READERS,
        real=True,
    ),
    Point(
        system="dcue",
        claim="Four negatives place new tracks nearer to their users' vectors than one",
        data=digits,
        whole=f"dcue:{SIZES};negatives=4;seconds=10",
        ablation=f"dcue:{SIZES};negatives=1;seconds=10",
        judge=auc("audio"),
        supervision="full",
        readers=READERS,
        real=True,
    ),
]
