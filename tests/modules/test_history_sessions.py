"""Sessions: where they end, which are kept."""

import torch

from palate.modules.sessions import cut_sessions


def test_a_pause_ends_a_session_and_the_newest_are_kept():
    there = torch.tensor([[False, True, True, True, True, True], [False] * 6, [True] * 6])
    times = torch.tensor([[0, 10, 20, 500, 510, 2000], [0] * 6, [0, 0, 0, 0, 0, 0]])
    places, filled = cut_sessions(there, times, gap=100, sessions=2, length=3)
    # sessions 10 20 | 500 510 | 2000: the first is too old
    assert places[0].tolist() == [[3, 4, 0], [5, 0, 0]]
    assert filled[0].tolist() == [[True, True, False], [True, False, False]]
    assert not filled[1].any()
    # no pause at all: cut after three items
    assert places[2].tolist() == [[0, 1, 2], [3, 4, 5]] and filled[2].all()


def test_fewer_sessions_than_kept_stand_last():
    there = torch.tensor([[False, False, True, True]])
    places, filled = cut_sessions(there, torch.tensor([[0, 0, 5, 6]]), gap=100, sessions=3, length=4)
    assert filled.any(2).tolist() == [[False, False, True]] and places[0, 2, :2].tolist() == [2, 3]
