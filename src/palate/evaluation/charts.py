"""Charts as inline SVG, drawn with the page's own colours so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape


def bars(values: Sequence[tuple[str, float]], compact: bool = False) -> Markup:
    """Horizontal bars, the first one highlighted; NaN shows as a dash."""
    top = max((value for _, value in values if math.isfinite(value)), default=0.0) or 1.0
    step, label, width = (16, 90, 300) if compact else (30, 130, 560)
    room = width - label - 60
    parts = []
    for index, (name, value) in enumerate(values):
        y = index * step
        length = room * value / top if math.isfinite(value) else 0
        shown = f"{value:.4f}" if math.isfinite(value) else "-"
        middle = y + step / 2 + 4
        parts.append(
            f'<text x="{label - 8}" y="{middle:.0f}" text-anchor="end" class="t">{escape(name)}</text>'
            f'<rect x="{label}" y="{y + step * 0.18:.1f}" width="{max(length, 1):.1f}" height="{step * 0.64:.1f}" '
            f'rx="3" class="{"b1" if index == 0 else "b0"}"/>'
            f'<text x="{label + max(length, 1) + 6:.0f}" y="{middle:.0f}" class="t">{shown}</text>'
        )
    title = ", ".join(f"{name} {value:.4f}" for name, value in values)
    size, kind = f"0 0 {width} {max(step * len(values), 1)}", "s" if compact else "l"
    head = f'<svg viewBox="{size}" role="img" aria-label="{escape(title)}" class="{kind}">'
    return Markup(f"{head}{''.join(parts)}</svg>")


def curves(history: Sequence[Mapping[str, Any]]) -> Markup:
    """Training loss (thin) and validation score (thick) by epoch, each on its own scale."""
    width, height, pad = 560, 200, 34
    lines = []
    for key, kind in (("loss", "c0"), ("valid", "c1")):
        points = [(i, float(r[key])) for i, r in enumerate(history) if key in r and math.isfinite(float(r[key]))]
        if len(points) < 2:
            continue
        low, high = min(v for _, v in points), max(v for _, v in points)
        span = (high - low) or 1.0
        last = max(len(history) - 1, 1)
        path = " ".join(
            f"{pad + (width - 2 * pad) * i / last:.1f},{height - pad - (height - 2 * pad) * (v - low) / span:.1f}"
            for i, v in points
        )
        lines.append(f'<polyline points="{path}" fill="none" class="{kind}"/>')
        side, anchor = ("4", "start") if kind == "c0" else (str(width - 4), "end")
        lines.append(f'<text x="{side}" y="14" text-anchor="{anchor}" class="t">{key} {low:.4g} to {high:.4g}</text>')
    axis = f'<line x1="{pad}" y1="{height - pad}" x2="{width - pad}" y2="{height - pad}" class="a"/>'
    words = f'<text x="{width / 2}" y="{height - 8}" text-anchor="middle" class="t">{len(history)} epochs</text>'
    return Markup(
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="learning curves" class="l">{axis}{words}'
        f"{''.join(lines)}</svg>"
    )
