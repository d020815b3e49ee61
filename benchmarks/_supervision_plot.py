"""The tutorial's summary of pretraining, measured: what each kind of supervision costs, and what it buys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

KINDS = {
    "self": ("self-supervised", "#3d6b8c"),
    "weak": ("weakly supervised", "#e0a53a"),
    "full": ("supervised", "#c8553d"),
}
MARKS = {"text": "s", "image": "^", "several": "o"}
OFFSETS = [(x, y) for y in (0, 9, -9, 17, -17, 25, -25, 33, -33) for x in (7, -7)]
"""Where a system's name may stand, in points from its mark, the best place first."""


def draw(result: dict[str, Any], out: Path) -> None:
    """Draw ``result["summary"]`` to ``out``, an SVG.

    A mark is a system (the mean over seeds), hung from its own untrained towers; a disc is the median of its kind.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    plt.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "palate", "font.family": "sans-serif", "font.size": 9}
    figure, axis = plt.subplots(figsize=(8.4, 5.2))
    axis.set_xscale("log")
    found = result["summary"]
    for kind, (title, colour) in KINDS.items():
        rows = [row for row in found if row["supervision"] == kind]
        for row in rows:
            before, after = np.mean(row["untrained"]), np.mean(row["trained"])
            axis.plot([row["cpu_seconds"]] * 2, [before, after], color=colour, linewidth=0.8)
            axis.plot(row["cpu_seconds"], before, "_", color=colour, markersize=6)
            axis.plot(row["cpu_seconds"], after, MARKS[_reads(row)], color=colour, markersize=5)
        if rows:
            middle = np.median([[row["cpu_seconds"], np.mean(row["trained"])] for row in rows], axis=0)
            axis.plot(*middle, "o", color=colour, markersize=22, alpha=0.3, markeredgewidth=0)
        axis.plot([], [], "-", color=colour, linewidth=3, label=f"{title} ({len(rows)})")
    for reads, mark in MARKS.items():
        axis.plot([], [], mark, color="#555555", markersize=5, label=f"reads {reads}")
    axis.plot([], [], "_", color="#555555", markersize=6, label="the same, untrained")
    axis.plot([], [], "o", color="#555555", markersize=11, alpha=0.3, markeredgewidth=0, label="median of a kind")
    axis.axhline(np.mean(result["chance"]), color="#555555", linewidth=0.8, linestyle=":")
    axis.text(
        1,
        np.mean(result["chance"]),
        "random, popularity ",
        transform=axis.get_yaxis_transform(),
        ha="right",
        va="bottom",
    )
    axis.set_xlabel("CPU seconds of one training")
    axis.set_ylabel("capped recall@20 of new items")
    axis.margins(x=0.12)
    low, high = axis.get_xlim()
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if low < tick < high]
    axis.set_xticks(ticks, map(str, ticks))
    axis.minorticks_off()
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    figure.tight_layout()
    _name(axis, found)
    figure.savefig(out, metadata={"Date": None})
    plt.close(figure)


def _reads(row: dict[str, Any]) -> str:
    modalities = row["modalities"]
    return modalities[0] if len(modalities) == 1 and modalities[0] in MARKS else "several"


def _name(axis: Any, found: list[dict[str, Any]]) -> None:
    """Write the systems' names beside their marks, over no other name or mark if there is room."""
    from matplotlib.transforms import Bbox

    points = [(row["cpu_seconds"], np.mean(row["trained"])) for row in found]
    taken = [Bbox.from_bounds(x - 3, y - 3, 6, 6) for x, y in axis.transData.transform(points)]
    for row, point in zip(found, points):
        text = axis.annotate(row["system"], point, OFFSETS[0], textcoords="offset points", va="center", fontsize=8)
        for offset in OFFSETS:
            text.set_position(offset)
            text.set_horizontalalignment("left" if offset[0] > 0 else "right")
            if not any(text.get_window_extent().overlaps(box) for box in taken):
                break
        taken.append(text.get_window_extent())
