"""The result of a comparison as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from palate.evaluation.sweep import tested_metric

COSTS = {
    "fit seconds": "fit s",
    "test seconds": "test s",
    "peak MiB": "peak MiB",
    "trained": "trained",
    "stored MiB": "stored MiB",
}
FORMATS = {"fit seconds": ".1f", "test seconds": ".2f", "peak MiB": ".0f", "trained": ",", "stored MiB": ".1f"}


def markdown(result: Mapping[str, Any]) -> str:
    """The result of a comparison as a table.

    Args:
        result: of ``compare``.
    """
    tested = tested_metric(result)
    names = result["shown"]
    # results of earlier versions have fewer costs
    costs = {key: title for key, title in COSTS.items() if all(key in row for row in result["table"])}
    lines = [
        f"# {result['data']}: {result['split']}, positives: {result['positive']}",
        "",
        "| model | "
        + " | ".join(names)
        + f" | {tested} - baseline [95 %] (Holm p) | "
        + " | ".join(costs.values())
        + " |",
        "|---" * (len(names) + len(costs) + 2) + "|",
    ]
    tests = result["tests"].get(tested, {})
    for row in result["table"]:
        shown = [f"{row[name]:.4f} ± {row[f'{name} sd']:.4f}" for name in names]
        test = tests.get(row["model"]) if "missing" not in row else None
        gap = "baseline" if row["model"] == result["baseline"] else ""
        if test:
            gap = f"{test['difference']:+.4f} [{test['low']:+.4f}, {test['high']:+.4f}] ({p_text(test['p_adjusted'])})"
        marks = (" (random)" if "note" in row else "") + (f" (missing {row['missing']:g})" if "missing" in row else "")
        name = row["model"] + marks
        spent = [format(row[key], FORMATS[key]) for key in costs]
        lines.append("| " + " | ".join([name, *shown, gap, *spent]) + " |")
    facts = f"Baseline: {result['baseline']}. Seeds {result['seeds']}. `{result['command']}`"
    notes = [f"{row['model']} is {row['note']}." for row in result["table"] if "note" in row]
    about = [*([""] if notes else []), *notes, "", facts, "", counted(result["seeds"], result["split"]), ""]
    return "\n".join([*lines, *about])


def p_text(p: float) -> str:
    """A p-value with two digits; below 0.0001 the tails of no test are known any better.

    Args:
        p: in [0, 1].
    """
    return "<0.0001" if p < 1e-4 else f"{p:.2g}"


def counted(seeds: Sequence[int], split: str) -> str:
    """The sentence under a table that says which sources of variation its intervals count.

    Args:
        seeds: of the comparison.
        split: its rule; a seed is a draw of the split in cold protocols.
    """
    what = "draws of the split" if split.startswith(("item_cold", "user_cold")) else "training seeds"
    if len(seeds) == 1:
        return f"One seed: intervals count users only, not what other {what} would change."
    return f"Intervals and p count users and {what} (Student's t, {len(seeds)} {what})."
