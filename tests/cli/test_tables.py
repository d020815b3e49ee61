"""Tables at any width: no line too long, no word broken, nothing left out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.cli import tables

WORD = st.text("abcdefgh", min_size=1, max_size=12)
TEXT = st.lists(WORD, min_size=1, max_size=12).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), width=st.integers(60, 160), n_rows=st.integers(1, 4))
def test_lines_fit_words_are_whole_and_nothing_is_lost(data, width, n_rows):
    columns = data.draw(st.lists(WORD, min_size=1, max_size=14, unique=True))
    rows = [
        {column: data.draw(TEXT | st.floats(0, 1) | st.integers(0, 99)) for column in columns} for _ in range(n_rows)
    ]
    out = printed(rows, width)
    assert max(map(len, out.splitlines())) <= width
    words = set(out.replace("│", " ").replace("┃", " ").split())
    for row in rows:
        assert set(columns) <= words
        assert {word for value in row.values() for word in tables.cell(value).split()} <= words


def printed(rows, width: int) -> str:
    import contextlib
    import io

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        patch.setenv("COLUMNS", str(width))
        tables.render(rows, "a title")
    return out.getvalue()


def test_a_wide_table_becomes_several_with_the_same_first_column():
    row = {"model": "content_knn", **{f"metric_number_{n}": 0.123456 for n in range(20)}}
    out = printed([row, {**row, "model": "popularity"}], 80)
    assert out.count("content_knn") == out.count("popularity") > 1 and "0.1235" in out
    assert all(f"metric_number_{n} " in out for n in range(20))


def test_a_long_word_is_folded_rather_than_the_line_too_long():
    out = printed([{"id": "x" * 200, "score": 0.5}], 80)
    assert max(map(len, out.splitlines())) <= 80 and out.count("x") == 200


def test_an_empty_table_is_printed():
    assert "a title" in printed([], 80)


def test_columns_that_just_fit_are_not_cut():
    row = {"text": "aa aaaaa aaaaaa aaaaaaaaaaaa", **{f"n{n}": 1.5e-218 for n in range(3)}, "last": 1}
    need = 1 + (12 + 3) + 3 * (8 + 3) + (4 + 3)
    for width in range(need, need + 20):
        assert "last" in printed([row], width) and max(map(len, printed([row], width).splitlines())) <= width
