"""Histories cut into sessions at long pauses."""

from __future__ import annotations

import torch
from torch import Tensor


def cut_sessions(there: Tensor, times: Tensor, gap: int, sessions: int, length: int) -> tuple[Tensor, Tensor]:
    """Places of a padded history's items in its newest sessions.

    A session ends where more than ``gap`` seconds pass before the next item, or after ``length`` items. O(n L).

    Args:
        there: bool [n, L], False at padding, which is on the left.
        times: int64 [n, L] seconds, ascending where ``there``.
        gap: longest pause within a session, in seconds.
        sessions: newest sessions that are kept, S.
        length: items of a session at most, T.

    Returns:
        int64 [n, S, T], columns of the history, 0 where there is none; bool [n, S, T], where there is one. Sessions are
        in time order, the newest is the last, empty ones come first; items stand on the left of a session.
    """
    n, width = there.shape
    first = there & ~torch.nn.functional.pad(there, (1, 0))[:, :-1]
    pause = torch.zeros_like(there)
    pause[:, 1:] = (times[:, 1:] - times[:, :-1] > gap) & there[:, 1:]
    column = torch.arange(width, device=there.device).expand(n, width)
    start = torch.where(pause | first, column, 0).cummax(1).values
    within = column - start
    begins = (there & (within % length == 0)).long()
    number = begins.cumsum(1) - 1
    place = sessions - 1 - (number[:, -1:] - number)
    kept = there & (place >= 0)
    columns = torch.zeros(n, sessions, length, dtype=torch.int64, device=there.device)
    filled = torch.zeros(n, sessions, length, dtype=torch.bool, device=there.device)
    row = torch.arange(n, device=there.device)[:, None].expand(n, width)[kept]
    at = (row, place[kept], (within % length)[kept])
    columns[at] = column[kept]
    filled[at] = True
    return columns, filled
