"""DCMR: sound learns collaborative factors; longer excerpts help, and factors are better targets than plays.

Weighted prediction counts a track as often as it is played, at the expense of all others: the two errors are compared
where fame differs.
"""

from __future__ import annotations

from _affinity import auc
from _digits import READERS, digits, hits

from _points import Point

SIZES = "dim=32;width=16;lr=0.003;batch_size=32;epochs=40;patience=40"

POINTS = [
    Point(
        system="dcmr",
        claim="Ten seconds of a track tell its collaborative factors better than three",
        data=digits,
        whole=f"dcmr:{SIZES};seconds=10",
        ablation=f"dcmr:{SIZES};seconds=3",
        judge=auc("audio"),
        supervision="full",
        readers=READERS,
        real=True,
    ),
    Point(
        system="dcmr",
        claim="Squared error of factors teaches better than weighted error of predictions",
        data=hits,
        whole=f"dcmr:{SIZES};seconds=10;objective=mse",
        ablation=f"dcmr:{SIZES};seconds=10;objective=wpe",
        judge=auc("audio"),
        supervision="full",
        readers=READERS,
        real=True,
    ),
]
