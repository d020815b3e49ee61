"""Score against the share of missing modalities: a table and a plot of what ``compare`` measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palate.core.files import atomic_path

COLUMNS = 3
"""Panels side by side."""


def tested_metric(result: Mapping[str, Any]) -> str:
    """The metric that decides.

    Args:
        result: of ``compare``.
    """
    if "headline" in result:
        return str(result["headline"])
    drawn = str(result["split"]).startswith(("item_cold", "user_cold"))
    return "capped_recall@20" if drawn else "recall@20"


def sweep_rows(result: Mapping[str, Any]) -> dict[str, dict[float, dict[str, Any]]]:
    """Model -> rate -> mean, sd over seeds, and ``kept``, the share of its score at the lowest rate."""
    metric = tested_metric(result)
    out: dict[str, dict[float, dict[str, Any]]] = {}
    for row in result["table"]:
        found = {"mean": row[metric], "sd": row[f"{metric} sd"]}
        out.setdefault(row["model"], {})[float(row.get("missing", 0.0))] = found
    for rates in out.values():
        whole = rates[min(rates)]["mean"]
        for found in rates.values():
            found["kept"] = found["mean"] / whole if whole else float("nan")
    return out


def sweep_markdown(result: Mapping[str, Any]) -> str:
    """A row a model, a column a rate: score and the share kept of the score at the lowest rate."""
    rows = sweep_rows(result)
    rates = sorted({rate for found in rows.values() for rate in found})
    lines = [
        f"# {result['data']}: {result['split']}, {tested_metric(result)} when modalities are missing at test",
        "",
        "| model | " + " | ".join(f"{rate:.0%}" for rate in rates) + " |",
        "|---" * (len(rates) + 1) + "|",
    ]
    for model, found in rows.items():
        cells = (f"{found[rate]['mean']:.4f} ({found[rate]['kept']:.0%})" for rate in rates)
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
    told = f"Missing: {result['missing of']}; the last modality of an item stays. In brackets the share that is kept."
    return "\n".join([*lines, "", told, f"Seeds {result['seeds']}. `{result['command']}`", ""])


def draw_sweep(panels: Mapping[str, Mapping[str, Any]], out: Path) -> None:
    """Write an SVG: a panel for each result of ``panels``, a line a model, bars one sd over seeds."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "palate", "font.family": "sans-serif", "font.size": 9}):
        columns = min(len(panels), COLUMNS)
        rows = -(-len(panels) // columns)
        figure = Figure(figsize=(1 + 4.2 * columns, 3.4 * rows), layout="tight")
        axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for unused in axes[len(panels) :]:
            unused.set_axis_off()
        _panels(axes, panels)
        with atomic_path(out) as aside:
            figure.savefig(aside, format="svg", metadata={"Date": None})


def _panels(axes: Any, panels: Mapping[str, Mapping[str, Any]]) -> None:
    for axis, (title, result) in zip(axes, panels.items()):
        for model, found in sweep_rows(result).items():
            rates = sorted(found)
            means, spread = ([found[rate][key] for rate in rates] for key in ("mean", "sd"))
            axis.errorbar([100 * rate for rate in rates], means, spread, marker="o", markersize=3, label=model)
        axis.set(title=f"missing: {title}", xlabel="chance that a modality is missing, %")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(tested_metric(next(iter(panels.values()))))
    axes[0].legend(frameon=False)
