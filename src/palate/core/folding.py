"""Texts in a form in which spellings of the same word are equal."""

from __future__ import annotations

import unicodedata

_LETTERS = str.maketrans({"ß": "ss", "ø": "o", "ł": "l", "æ": "ae", "œ": "oe", "đ": "d", "ı": "i"})
"""Letters that are no letter with an accent, in the spelling of who lacks them."""


def fold_accents(text: str) -> str:
    """Lower case without accents and compatibility forms; characters of other scripts keep their marks.

    Args:
        text: any text.
    """
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(letter for letter in decomposed if not ("\u0300" <= letter <= "\u036f"))
    return unicodedata.normalize("NFC", bare)


def fold_letters(text: str) -> str:
    """The same without any marks, and with letters such as ß, ø and ł written in plain ones.

    Args:
        text: any text.
    """
    folded = fold_accents(text.casefold().translate(_LETTERS))
    return "".join(letter for letter in folded if not unicodedata.combining(letter))
