"""Spellings of the same word are equal when folded; letters of other scripts stay what they are."""

import pytest

from palate.core.folding import fold_accents, fold_letters


@pytest.mark.parametrize(
    "text, accents, letters",
    [
        ("Café", "cafe", "cafe"), ("STRASSE", "strasse", "strasse"), ("Straße", "strasse", "strasse"),
        ("ﬁn", "fin", "fin"), ("Smørrebrød", "smørrebrød", "smorrebrod"), ("Łódź", "łodz", "lodz"),
        ("हिन्दी", "हिन्दी", None), ("한국", "한국", "한국"), ("مُحَمَّد", "مُحَمَّد", "محمد"), ("ＡＢＣ", "abc", "abc"),
    ],
)  # fmt: skip
def test_folding(text, accents, letters):
    assert fold_accents(text) == accents == fold_accents(accents)
    assert letters is None or fold_letters(text) == letters == fold_letters(letters)
