"""Metric-1vsN: longer excerpts of tracks help; more negatives rank better and classify worse."""

from __future__ import annotations

from _affinity import auc, precision
from _digits import READERS, digits

from _points import Point

SIZES = "dim=32;width=32;lr=0.003;batch_size=128;epochs=12;patience=12"

POINTS = [
    Point(
        system="metric_1vsn",
        claim="Ten seconds of a track say more about which listeners it is near than three",
        data=digits,
        whole=f"metric_1vsn:{SIZES};negatives=4;seconds=10",
        ablation=f"metric_1vsn:{SIZES};negatives=4;seconds=3",
        judge=auc("audio"),
        supervision="full",
        readers=READERS,
        real=True,
    ),
    Point(
        system="metric_1vsn",
        claim="Four negatives rank new tracks better than one",
        data=digits,
        whole=f"metric_1vsn:{SIZES};negatives=4;seconds=10",
        ablation=f"metric_1vsn:{SIZES};negatives=1;seconds=10",
        judge=auc("audio"),
        supervision="full",
        readers=READERS,
        real=True,
    ),
    Point(
        system="metric_1vsn",
        claim="One negative tells likes from the rest with higher precision than four",
        data=digits,
        whole=f"metric_1vsn:{SIZES};negatives=1;seconds=10",
        ablation=f"metric_1vsn:{SIZES};negatives=4;seconds=10",
        judge=precision("audio"),
        supervision="full",
        readers=READERS,
        real=True,
    ),
]
