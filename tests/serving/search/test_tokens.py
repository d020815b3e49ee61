"""Tokens and title forms, in several scripts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.serving.search.tokens import phrase, title_forms, tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Amélie: L'Été!", ["amelie", "lete"]),
        ("Spider-Man 2", ["spider", "man", "2"]),
        ("紅茶", ["紅", "茶", "紅茶"]),
        ("USBケーブル", ["usb", "ケ", "ー", "ブ", "ル", "ケー", "ーブ", "ブル"]),
        ("Привет, мир", ["привет", "мир"]),
        ("", []),
        ("--- !!", []),
    ],
)
def test_tokens(text, expected):
    assert tokens(text) == expected


@pytest.mark.parametrize(
    ("title", "forms"),
    [
        ("Shawshank Redemption, The (1994)", {"the shawshank redemption", "shawshank redemption"}),
        ("The Matrix", {"the matrix", "matrix"}),
        ("Seven (a.k.a. Se7en) (1995)", {"seven", "se7en"}),
        ("City of Lost Children, The (Cité des enfants perdus, La) (1995)", {"la cite des enfants perdus"}),
        ("1984", {"1984"}),
    ],
)
def test_a_title_is_known_by_its_forms(title, forms):
    assert forms <= set(title_forms(title))
    assert title_forms(title)[0] == phrase(title)


@given(st.text(max_size=40))
def test_case_and_punctuation_do_not_matter(text):
    assert phrase(f"  {text}!! ") == phrase(text)
    assert all(token == token.strip() and token for token in tokens(text))
