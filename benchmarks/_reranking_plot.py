"""The plot of rerankers: accuracy against diversity, a curve a method, its knee marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

COLOURS = {"mmr": "#8a8f98", "dpp": "#3d6b8c", "ssd": "#e0a53a", "calibrated": "#c8553d"}
PANELS = {
    "ilad": "mean distance of pairs (ILAD), of texts",
    "genres": "share of all genres in a list",
    "divergence": "divergence from the history's genres",
}


def draw_curves(curves: dict[str, Any], out: Path) -> None:
    """Draw NDCG@10 against each kind of diversity to ``out``, an SVG.

    Args:
        curves: method -> points by strength and the place of the knee.
        out: file.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    plt.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "palate", "font.family": "sans-serif", "font.size": 9}
    figure, axes = plt.subplots(1, len(PANELS), figsize=(9.6, 3.6), sharey=True)
    for axis, (name, title) in zip(axes, PANELS.items()):
        for method, found in curves.items():
            x, y = ([point[key] for point in found["points"]] for key in (name, "ndcg"))
            axis.plot(x, y, ".-", color=COLOURS[method], linewidth=1.2, markersize=4, label=method)
            at = found["knee"]
            axis.plot(x[at], y[at], "o", color=COLOURS[method], markersize=10, fillstyle="none")
        start = next(iter(curves.values()))["points"][0]
        axis.plot(start[name], start["ndcg"], "s", color="black", markersize=4)
        axis.set_xlabel(title)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    axes[-1].invert_xaxis()
    axes[0].set_ylabel("NDCG@10")
    axes[1].plot([], [], "s", color="black", markersize=4, label="order of the matcher")
    axes[1].plot([], [], "o", color="#555555", markersize=10, fillstyle="none", label="knee")
    axes[1].legend(frameon=False, loc="lower left", fontsize=8)
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})
    plt.close(figure)
