"""BLIP-2: the effect of generation and of contrast on retrieval."""

from _asked import SMALL, catalogue
from _points import Point, retrieval

SIZES = "blip2:epochs=40;dim=64;layers=2;lr=0.002;batch_size=64;patience=40"
POINTS = [
    Point(
        system="blip2",
        claim=claim,
        data=catalogue,
        whole=SIZES,
        ablation=f"{SIZES};objectives={left}",
        judge=retrieval("image", "text"),
        supervision="self",
        readers={**SMALL, "image": "image_stats"},
    )
    for claim, left in (
        ("Writing the text from the queries' view of the picture makes retrieval better", "[itc,itm]"),
        ("Contrast of queries with texts, beside writing and matching, lets them find each other", "[itm,itg]"),
    )
]
