"""A check report as text."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from palate.data.check import Report
    from palate.data.faults import Fault

_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def render_report(report: Report, width: int, color: bool) -> str:
    """Tables of counts and modalities, then one line a fault."""
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
    head = (
        f"{report.name}  layout {report.layout or '?'}  split {report.split or '?'}  positive: {report.positive or '?'}"
    )
    console.print(Text(head, "bold"))
    table("Counts", report.counts)
    table("Positives per user", report.per_user)
    table("Positives per item", report.per_item)
    table("Items that have", report.modalities)
    table("Items that have exactly", report.combinations)
    table("Order of events", report.order)
    for note in report.notes:
        console.print(Text(f"note     {note}", "dim"))
    for fault in report.faults:
        console.print(Text(_line(fault), _STYLES[fault.severity]))
    console.print(Text("nothing wrong found" if not report.faults else "ok" if report.ok else "not usable as it is"))
    return out.getvalue()


def _line(fault: Fault) -> str:
    rows = ", ".join(map(str, fault.rows[:8])) + (" ..." if len(fault.rows) > 8 else "")
    named = (("file", fault.file), ("column", fault.column), ("key", fault.key), ("row", rows or None))
    place = "  ".join(f"{name} {value}" for name, value in named if value)
    many = f" ({fault.count})" if fault.count > 1 else ""
    hint = f" -> {fault.hint}" if fault.hint else ""
    return f"{fault.severity:8} {fault.code}: {fault.message}{many}{hint}" + (f"\n         {place}" if place else "")


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"
