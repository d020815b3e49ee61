"""PREC: the effect of each of its three masked tasks."""

from _kinship import kinship
from _points import Point, cold_recall, shop

WHOLE = "prec:dim=64;layers=1;clicks=8;epochs=24;patience=24"
READERS = {"text": "pieces?size=2000&length=40"}

POINTS = [
    Point(
        system="prec",
        claim="Guessing masked clicks teaches a text encoder which new items people will want.",
        data=shop,
        whole=WHOLE,
        ablation=f"{WHOLE};item=0",
        judge=cold_recall("text"),
        readers=READERS,
    ),
    Point(
        system="prec",
        claim="Guessing masked attributes brings new items of one category together.",
        data=shop,
        whole=WHOLE,
        ablation=f"{WHOLE};attribute=0",
        judge=kinship("text", "subcategory"),
        readers=READERS,
    ),
    Point(
        system="prec",
        claim="Guessing masked words brings new items that serve the same purpose together.",
        data=shop,
        whole=WHOLE,
        ablation=f"{WHOLE};token=0",
        judge=kinship("text", "purpose"),
        readers=READERS,
    ),
]
