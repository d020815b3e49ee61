"""The preset ``shop``: lamps, chairs, mugs, bags, toys and instruments, with their attributes and vocabulary."""

from __future__ import annotations

from palate.simulation.schema import Attribute, Category, Schema

BRANDS = (
    "Alder & Finch", "Bramblewick", "Corvo", "Dunmere", "Eastlark", "Fjordhus", "Grovelle", "Hollin", "Ibexa",
    "Juniper Row", "Kestrelle", "Lumen & Loam", "Marrow", "Northing", "Ottoline", "Pellam", "Quillon", "Rookery",
    "Sableford", "Tamsin", "Umberly", "Vantor", "Wrenfield", "Yarrow",
)  # fmt: skip
VOICES = ("plain", "warm", "technical", "playful")
LOCALES = ("en", "de", "fr", "es", "ja", "pt")
AGE_BANDS = ("under 25", "25-34", "35-49", "50-64", "65 and over")
STYLES = ("brief", "chatty", "formal", "excited", "dry", "poetic", "practical", "ironic")

# Several words for one value, so that no single token is the attribute.
WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "shape": {
        "round": ("round", "circular", "disc-like"), "square": ("square", "boxy", "four-sided"),
        "triangular": ("triangular", "three-cornered", "wedge-like"), "star": ("star-like", "starry", "five-pointed"),
        "hexagonal": ("hexagonal", "six-sided", "honeycomb-like"), "cross": ("cross-like", "plus-like", "four-armed"),
    },
    "material": {
        "wood": ("oak", "walnut", "timber"), "metal": ("steel", "brass", "iron"),
        "glass": ("glass", "crystal", "blown-glass"), "clay": ("clay", "stoneware", "terracotta"),
        "leather": ("leather", "suede", "cowhide"), "wool": ("wool", "felt", "tweed"),
    },
    "purpose": {
        "travel": ("travel", "journeys", "camping"), "work": ("work", "the office", "the desk"),
        "gifts": ("gifts", "presents", "birthdays"), "parties": ("parties", "celebrations", "festive evenings"),
        "rest": ("rest", "bedtime", "quiet afternoons"), "learning": ("learning", "school", "study"),
    },
    "era": {
        "antique": ("antique", "Victorian", "heirloom"), "retro": ("retro", "mid-century", "vintage"),
        "modern": ("modern", "contemporary", "current"), "futuristic": ("futuristic", "space-age", "visionary"),
    },
}  # fmt: skip

CLAIMS: dict[str, dict[str, tuple[str, ...]]] = {
    "shape": {
        "plain": ("It is {word}.", "Outline: {word}."),
        "warm": ("Its {word} form feels lovely.", "So {word}."),
        "technical": ("Geometry: {word}.", "Outline {word}."),
        "playful": ("And {word}!", "So {word} it hurts."),
    },
    "material": {
        "plain": ("It is made of {word}.", "Made of {word}."),
        "warm": ("Made with care of {word}.", "Honest {word}."),
        "technical": ("Material: {word}.", "Body of {word}."),
        "playful": ("Hello, {word}!", "All {word}, all the way."),
    },
    "purpose": {
        "plain": ("It is for {word}.", "Use it for {word}."),
        "warm": ("Lovely for {word}.", "Made for {word}."),
        "technical": ("Use: {word}.", "Rated for {word}."),
        "playful": ("Made for {word}!", "Your ally for {word}."),
    },
    "era": {
        "plain": ("The style is {word}.", "It looks {word}."),
        "warm": ("A {word} soul.", "It has {word} charm."),
        "technical": ("Style: {word}.", "Design {word}."),
        "playful": ("Totally {word}.", "{word}? You bet."),
    },
}

SHOP = Schema(
    categories=(
        Category("lighting", ("lamp", "lantern", "candle", "chandelier"), (45, 30, 12, 160)),
        Category("seating", ("chair", "stool", "bench", "armchair"), (80, 40, 120, 260)),
        Category("kitchen", ("mug", "bowl", "teapot", "jar"), (12, 18, 35, 9)),
        Category("fashion", ("scarf", "hat", "bag", "belt"), (25, 30, 70, 28)),
        Category("toys", ("puzzle", "robot", "kite", "blocks"), (15, 50, 22, 27)),
        Category("music", ("bell", "drum", "flute", "harp"), (20, 90, 65, 240)),
    ),
    attributes=(
        Attribute("colour", ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")),
        Attribute("pattern", ("plain", "stripes", "checks", "dots", "rings", "zigzag")),
        Attribute("shape", ("round", "square", "triangular", "star", "hexagonal", "cross")),
        Attribute("material", ("wood", "metal", "glass", "clay", "leather", "wool")),
        Attribute("purpose", ("travel", "work", "gifts", "parties", "rest", "learning")),
        Attribute("mood", ("calm", "cheerful", "dark", "tense", "dreamy", "energetic")),
        Attribute("era", ("antique", "retro", "modern", "futuristic")),
    ),
    visibility={
        "image": {"colour": 0.95, "pattern": 0.92, "shape": 0.85},
        "text": {"material": 0.93, "purpose": 0.93, "shape": 0.85, "era": 0.85},
        "audio": {"mood": 0.95, "era": 0.75},
    },
    importance={
        "subcategory": 0.15, "colour": 1.15, "pattern": 1.05, "shape": 0.2, "material": 1.0, "purpose": 0.9,
        "mood": 0.8, "era": 0.2,
    },
    words=WORDS,
    claims=CLAIMS,
)  # fmt: skip
