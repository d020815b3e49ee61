"""CLIP: pictures with their own texts against pictures with the texts of others."""

from _asked import SMALL, catalogue
from _points import Point, movies, retrieval

POINTS = [
    Point(
        system="clip",
        claim="Pairs alone, without a click, make pictures and texts of new items find each other",
        data=data,
        whole=f"clip:{size}",
        ablation=f"clip:{size};shuffled=true",
        judge=retrieval("image", "text"),
        supervision="self",
        readers=SMALL,
        real=data is movies,
    )
    for data, size in ((catalogue, "epochs=40;dim=64;layers=1"), (movies, "epochs=6;dim=64;layers=1"))
]
