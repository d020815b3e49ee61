"""Units that numbers in tables are written with, by their kind and size."""

from __future__ import annotations

_SIZES = {
    "mass": {
        0.001: "mg", 1.0: "g gr gram grams gramm", 1000.0: "kg kgs kilogram kilograms kilo", 28.349523125: "oz",
        453.59237: "lb lbs",
    },
    "length": {
        0.001: "mm", 0.01: "cm", 1.0: "m", 1000.0: "km", 0.0254: "in inch inches zoll", 0.3048: "ft feet", 0.9144: "yd",
        1609.344: "mi mile miles",
    },
    "volume": {0.001: "ml", 0.01: "cl", 0.1: "dl", 1.0: "l liter liters litre litres ltr"},
    "time": {
        0.001: "ms", 1.0: "s sec secs second seconds sek sekunden", 60.0: "min mins minute minutes minuten",
        3600.0: "h hr hrs hour hours std stunden", 86400.0: "d day days tage",
    },
    "data": {1.0: "kb", 1024.0: "mb", 1048576.0: "gb", 1073741824.0: "tb"},
    "power": {1.0: "w watt", 1000.0: "kw"},
}  # fmt: skip
_SINGLE = (
    *("% percent", "+", "years year yrs yr y jahre", "months month monate", "weeks week wochen", "v volt", "mah", "px"),
    *("mp", "dpi", "°c", "°", "kcal", "cal", "kj", "pages page p seiten", "x", "stars star sterne"),
    *("points point pts pt", "pcs pc pieces piece stück stk", "persons person people personen", "players player"),
    "reviews review ratings rating votes vote",
)
UNITS: dict[str, tuple[str, float]] = {
    word: (kind, size) for kind, sizes in _SIZES.items() for size, words in sizes.items() for word in words.split()
}
"""Unit in lower case -> what it measures, and its size in the smallest common unit of that kind."""
UNITS |= {word: (words, 1.0) for words in _SINGLE for word in words.split()}
UNITS |= {f"{word}.": UNITS[word] for word in [*UNITS] if word.isalpha()}
