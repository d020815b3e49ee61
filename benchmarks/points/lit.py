"""LiT: heads over locked networks; pictures with their own texts against pictures with those of others."""

from __future__ import annotations

from _asked import catalogue
from _points import Point, retrieval

HEADS = "lit:epochs=40;dim=64;width=64"

POINTS = [
    Point(
        system="lit",
        claim="Pairs alone, without a click, make heads over locked networks find a new item's picture by its text",
        data=catalogue,
        whole=HEADS,
        ablation=f"{HEADS};shuffled=true",
        judge=retrieval("image", "text"),
        supervision="self",
    )
]
