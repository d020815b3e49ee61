"""NewsEmbed: mined triplets, hard negatives and topics."""

from _kinship import kinship
from _points import Point, cold_recall, shop

WHOLE = "newsembed:dim=64;layers=1;batch_size=128;neighbours=3;epochs=20;lr=0.002"
READERS = {"text": "pieces?size=2000&length=40"}

POINTS = [
    Point(
        system="newsembed",
        claim="Texts of items that people put together, drawn near each other, lead people to new items.",
        data=shop,
        whole=WHOLE,
        ablation=f"{WHOLE};contrast=0",
        judge=cold_recall("text"),
        supervision="weak",
        readers=READERS,
    ),
    Point(
        system="newsembed",
        claim="Negatives that share topics with the anchor teach more than random ones.",
        data=shop,
        whole=WHOLE,
        ablation=f"{WHOLE};hard=1",
        judge=cold_recall("text"),
        supervision="weak",
        readers=READERS,
    ),
    Point(
        system="newsembed",
        claim="Topic labels bring new items of one category together.",
        data=shop,
        whole=WHOLE,
        ablation=f"{WHOLE};topics=0",
        judge=kinship("text", "subcategory"),
        supervision="weak",
        readers=READERS,
    ),
]
