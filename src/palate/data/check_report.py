"""The outcome of a check, as plain values and as tables for a terminal."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from palate.data.issues import DataIssue

_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}


@dataclass(frozen=True)
class CheckReport:
    """The outcome of :func:`palate.data.check.check`.

    Attributes:
        name: of the data set.
        layout: the layout it was read in.
        hash: as :attr:`palate.data.dataset.Dataset.hash`.
        positive: the rule for positives.
        split: the split.
        counts: users, items, interactions, positives, density, parts.
        per_user: quantiles of positives per user, of those with at least one.
        per_item: quantiles of positives per item, of those with at least one.
        modalities: name -> number of items that have it.
        combinations: set of modalities -> number of items that have exactly these.
        order: see :func:`palate.data.leaks.order_statistics`.
        issues: problems, errors first.
        notes: guesses made while reading.
        given: modalities whose vectors came with the data.
    """

    name: str
    layout: str = ""
    hash: str = ""
    positive: str = ""
    split: str = ""
    counts: Mapping[str, float] = field(default_factory=dict)
    per_user: Mapping[str, float] = field(default_factory=dict)
    per_item: Mapping[str, float] = field(default_factory=dict)
    modalities: Mapping[str, int] = field(default_factory=dict)
    combinations: Mapping[str, int] = field(default_factory=dict)
    order: Mapping[str, float] = field(default_factory=dict)
    issues: tuple[DataIssue, ...] = ()
    notes: tuple[str, ...] = ()
    given: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is no error; there may be warnings and notes."""
        return not any(issue.severity == "error" for issue in self.issues)

    def find(self, code: str) -> list[DataIssue]:
        """The issues of one code.

        Args:
            code: for example ``media_missing``.
        """
        return [issue for issue in self.issues if issue.code == code]

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        plain = {key: value for key, value in vars(self).items() if key not in ("issues", "notes", "given")}
        plain = {key: dict(value) if isinstance(value, Mapping) else value for key, value in plain.items()}
        issues = [issue.to_json() for issue in self.issues]
        return {"ok": self.ok, **plain, "issues": issues, "notes": list(self.notes), "given": list(self.given)}

    def render(self, width: int = 100, color: bool = False) -> str:
        """Tables of counts and modalities, then one line an issue.

        Args:
            width: characters in a line.
            color: whether to write colours for a terminal.
        """
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        def table(title: str, values: Mapping[str, float]) -> None:
            if values:
                console.print(Text(title, "bold"))
                grid = Table(show_header=False)
                for name, value in values.items():
                    grid.add_row(Text(name), Text(_number(value)))
                console.print(grid)

        out = io.StringIO()
        console = Console(file=out, width=width, force_terminal=color, color_system="standard" if color else None)
        layout, split, positive = (value or "?" for value in (self.layout, self.split, self.positive))
        console.print(Text(f"{self.name}  layout {layout}  split {split}  positive: {positive}", "bold"))
        table("Counts", self.counts)
        table("Positives per user", self.per_user)
        table("Positives per item", self.per_item)
        table("Items that have", self.modalities)
        table("Items that have exactly", self.combinations)
        table("Order of events", self.order)
        for note in self.notes:
            console.print(Text(f"note     {note}", "dim"))
        for issue in self.issues:
            console.print(Text(_line(issue), _STYLES[issue.severity]))
        verdict = "no issues found" if not self.issues else "usable" if self.ok else "not usable as it is"
        console.print(Text(verdict))
        return out.getvalue()


def _line(issue: DataIssue) -> str:
    rows = ", ".join(map(str, issue.rows[:8])) + (" ..." if len(issue.rows) > 8 else "")
    parts = (("file", issue.file), ("column", issue.column), ("key", issue.key), ("row", rows or None))
    place = "  ".join(f"{name} {value}" for name, value in parts if value)
    count = f" ({issue.count})" if issue.count > 1 else ""
    hint = f" -> {issue.hint}" if issue.hint else ""
    return f"{issue.severity:8} {issue.code}: {issue.message}{count}{hint}" + (f"\n         {place}" if place else "")


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"
