"""The plot of a simulated world: every model in every world, with and without an effect of content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from palate.core.files import read_json

FILES = {"": "taste follows content", "_no_effect": "no effect: content shuffled over items"}
COLOURS = {"ID-only": "#8a8f98", "one modality": "#e0a53a", "all": "#c8553d", "oracle": "#3d6b8c"}
KINDS = {"text": "one modality", "image": "one modality", "audio": "one modality", "all": "all", "oracle": "oracle"}


def draw(results: Path, name: str, out: Path) -> None:
    """Read ``<name>.json`` (and ``<name>_no_effect.json``) in ``results`` and draw them to ``out``, an SVG."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    files = {title: results / f"{name}{end}.json" for end, title in FILES.items()}
    found = {title: read_json(file) for title, file in files.items() if file.is_file()}
    plt.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "palate", "font.family": "sans-serif", "font.size": 9}
    figure, axes = plt.subplots(len(found), 2, figsize=(8.4, 2.9 * len(found)), squeeze=False)
    for line, (title, result) in zip(axes, found.items()):
        for axis, part in zip(line, ("warm", "cold")):
            _panel(axis, f"{part}: {title}", result["parts"][f"{part} expected"])
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})
    plt.close(figure)


def _panel(axis: Any, title: str, values: dict[str, Any]) -> None:
    """Bars of the means; a dot a world."""
    models = {name: row for name, row in values["models"].items() if name != "random"}
    for place, (name, row) in enumerate(models.items()):
        axis.barh(place, row["mean"], color=COLOURS[KINDS.get(name, "ID-only")], height=0.7)
        axis.plot(row["by seed"], np.full(len(row["by seed"]), place), ".", color="black", markersize=3)
        axis.text(max(row["by seed"]) * 1.03, place, f" {row['mean']:.3f}", va="center")
    axis.axvline(values["models"]["random"]["mean"], color="#555555", linewidth=0.8, linestyle=":")
    # Each step is a few points while the oracle is far above: a logarithm keeps both in sight.
    axis.set_xscale("log")
    low, high = values["models"]["random"]["mean"] * 0.7, values["models"]["oracle"]["mean"] * 1.8
    axis.set_xlim(low, high)
    ticks = [tick for tick in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if low < tick < high]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set_yticks(range(len(models)), list(models))
    axis.invert_yaxis()
    axis.set_title(title, loc="left", fontsize=9)
    axis.set_xlabel(f"{values['metric']} (dotted: random)")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
