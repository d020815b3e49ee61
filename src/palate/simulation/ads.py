"""The preset ``ads``: campaigns of sponsored creatives, with close-ups and links as optional components.

A creative shows several objects, each in a region; the region of the category holds the advertised one. What counts of
its look differs by category: colour sells fashion, the pattern sells textiles, the shape sells furniture.
"""

from __future__ import annotations

from palate.simulation.schema import Attribute, Category, Schema
from palate.simulation.shop import CLAIMS as SHOP_CLAIMS
from palate.simulation.shop import SHOP
from palate.simulation.shop import WORDS as SHOP_WORDS

WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "material": SHOP_WORDS["material"],
    "purpose": SHOP_WORDS["purpose"],
    "shape": SHOP_WORDS["shape"],
    "service": {
        "delivery": ("free delivery", "next-day delivery", "we deliver"),
        "returns": ("easy returns", "60 days to return", "send it back free"),
        "discount": ("sale", "20 percent off", "outlet"),
        "warranty": ("ten-year warranty", "we repair", "guaranteed"),
        "samples": ("free samples", "try it at home", "order a swatch"),
        "advice": ("talk to an expert", "book a consultation", "live advice"),
    },
}

ADS = Schema(
    categories=(
        Category("fashion", ("scarf", "hat", "bag", "belt"), (25, 30, 70, 28)),
        Category("textiles", ("curtain", "rug", "blanket", "cushion"), (60, 140, 45, 20)),
        Category("furniture", ("chair", "stool", "bench", "shelf"), (80, 40, 120, 95)),
        Category("lighting", ("lamp", "lantern", "candle", "chandelier"), (45, 30, 12, 160)),
        Category("kitchen", ("mug", "bowl", "teapot", "jar"), (12, 18, 35, 9)),
        Category("travel", ("suitcase", "backpack", "tent", "flask"), (110, 75, 150, 22)),
    ),
    attributes=(
        *(a for a in SHOP.attributes if a.name in ("colour", "pattern", "shape", "material", "purpose")),
        Attribute("service", tuple(WORDS["service"])),
    ),
    visibility={
        "image": {"colour": 0.96, "pattern": 0.9, "shape": 0.92},
        "text": {"material": 0.93, "purpose": 0.93},
        "detail": {"colour": 0.98, "pattern": 0.97},
        "sitelinks": {"service": 0.95},
    },
    importance={
        "subcategory": 0.3, "colour": 0.7, "pattern": 0.7, "shape": 0.7, "material": 0.9, "purpose": 0.7,
        "service": 0.6,
    },
    words=WORDS,
    claims={name: SHOP_CLAIMS[name] for name in ("material", "purpose")},
    emphasis={
        "fashion": {"colour": 2.0, "pattern": 0.5, "shape": 0.3},
        "textiles": {"colour": 0.6, "pattern": 2.0, "shape": 0.2},
        "furniture": {"colour": 0.3, "pattern": 0.3, "shape": 2.0},
        "lighting": {"colour": 1.3, "pattern": 0.3, "shape": 1.5},
        "kitchen": {"colour": 1.4, "pattern": 1.4, "shape": 0.2},
        "travel": {"colour": 0.4, "pattern": 1.3, "shape": 1.3},
    },
    rivals=True,
)  # fmt: skip
