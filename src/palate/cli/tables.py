"""Tables that can be read at any width: columns that do not fit go into a further table, words stay whole."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

PIPED = 120
"""Width of what is not a terminal and says nothing of its width."""
SHORT = 24
"""Columns up to this width are never wrapped."""
FRAME = 3
"""Characters of a column beside its content: a border and two spaces."""


def render(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> None:
    """Print rows as one table, or as several whose first column is the same where one would be too wide.

    Args:
        rows: one mapping a row; columns in the order in which they occur.
        title: above the table.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=int(os.environ.get("COLUMNS") or PIPED))
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if not columns:
        console.print(escape(f"{title}: nothing" if title else "nothing"))
        return
    cells = {column: [cell(row.get(column)) for row in rows] for column in columns}
    for number, part in enumerate(parts(cells, console.width)):
        heading = escape(title) if title and not number else None
        shown = Table(title=heading, title_justify="left", header_style="bold")
        for column, size in zip(part, widths({name: cells[name] for name in part}, console.width), strict=True):
            shown.add_column(escape(column), overflow="fold", width=size)
        for row in range(len(rows)):
            shown.add_row(*(escape(cells[column][row]) for column in part))
        console.print(shown)


def parts(cells: Mapping[str, Sequence[str]], width: int) -> list[list[str]]:
    """Columns of each table: as many as fit, the first column in each.

    Args:
        cells: column -> its cells.
        width: of the screen.
    """
    first, *others = list(cells) or [""]
    start = min_width(first, cells.get(first, ())) + FRAME + 1
    groups, used = [[first]], start
    for column in others:
        needed = min_width(column, cells[column]) + FRAME
        if used + needed > width and len(groups[-1]) > 1:
            groups.append([first])
            used = start
        groups[-1].append(column)
        used += needed
    return groups if cells else [[]]


def widths(cells: Mapping[str, Sequence[str]], width: int) -> list[int]:
    """Characters of each column: what it needs, and what is left over for those that would take more, from the left.

    Args:
        cells: column -> its cells, of one table.
        width: of the screen.
    """
    sizes = [min_width(column, values) for column, values in cells.items()]
    spare = width - 1 - sum(size + FRAME for size in sizes)
    for place, (column, values) in enumerate(cells.items()):
        more = max(0, min(spare, natural_width(column, values) - sizes[place]))
        sizes[place] += more
        spare -= more
    return sizes


def natural_width(column: str, cells: Sequence[str]) -> int:
    """Characters of the widest cell, the heading included."""
    return max(map(len, (column, *cells)))


def min_width(column: str, cells: Sequence[str]) -> int:
    """Characters that a column needs: all of them where it is short, else its longest word up to ``SHORT``."""
    widest = natural_width(column, cells)
    if widest <= SHORT:
        return widest
    words = [len(word) for text in (column, *cells) for word in text.split()]
    return min(SHORT, max(words, default=1))


def cell(value: Any) -> str:
    """A value as text: four digits of a number, nothing for None.

    Args:
        value: of a row.
    """
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
