"""Ragged lists: a consecutive take is the same as any other."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from palate.core.batch import RaggedArray


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=1, max_size=8), st.data())
def test_take_is_the_lists_asked_for(lists, data):
    made = RaggedArray.of(lists)
    timed = RaggedArray(made.indptr, made.items, made.items * 10)
    first = data.draw(st.integers(0, len(lists) - 1))
    last = data.draw(st.integers(first, len(lists)))
    anyhow = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=6))
    for rows in (list(range(first, last)), anyhow):
        taken = timed.take(np.array(rows, np.int64))
        assert [taken[i].tolist() for i in range(len(taken))] == [lists[row] for row in rows]
        assert taken.times is not None and taken.times.tolist() == [10 * i for row in rows for i in lists[row]]
