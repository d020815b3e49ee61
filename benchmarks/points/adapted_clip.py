"""Adapted CLIP: each of its stages against the same budget without it."""

from _asked import SMALL, asking, fitting, searched
from _points import Point

SIZES = "adapted_clip:epochs=6;dim=64;layers=1"
POINTS = [
    Point(
        system="adapted_clip",
        claim=claim,
        data=asking,
        whole=SIZES,
        ablation=f"{SIZES};stages={left}",
        judge=judge,
        supervision="full",
        readers=SMALL,
    )
    for claim, left, judge in (
        (
            "Items' own pictures and texts help to find the picture taken for a query",
            "[relevance,retrieval]",
            searched("image"),
        ),
        ("Searches help to find the picture taken for a query", "[base]", searched("image")),
        ("The relevance model's scores bring pictures that fit the query", "[base,retrieval]", fitting("image")),
    )
]
