"""CLAP: sounds with their own texts against sounds with the texts of others."""

from _asked import SMALL, catalogue
from _points import Point, retrieval

SIZES = "clap:epochs=40;dim=64;layers=1"
POINTS = [
    Point(
        system="clap",
        claim="Pairs alone, without a click, make sounds and texts of new items find each other",
        data=catalogue,
        whole=SIZES,
        ablation=f"{SIZES};shuffled=true",
        judge=retrieval("audio", "text"),
        supervision="self",
        readers={"text": SMALL["text"], "audio": "mel?bands=32&seconds=1"},
    )
]
