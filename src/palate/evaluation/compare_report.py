"""The result of a comparison as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from palate.evaluation.sweep import tested_metric


def markdown(result: Mapping[str, Any]) -> str:
    """The result of a comparison as a table.

    Args:
        result: of ``compare``.
    """
    tested = tested_metric(result)
    names = result["shown"]
    lines = [
        f"# {result['data']}: {result['split']}, positives: {result['positive']}",
        "",
        "| model | " + " | ".join(names) + f" | {tested} - baseline [95 %] (Holm p) "
        "| fit s | test s | peak MiB | trained | stored MiB |",
        "|---" * (len(names) + 7) + "|",
    ]
    tests = result["tests"].get(tested, {})
    for row in result["table"]:
        shown = [f"{row[name]:.4f} ± {row[f'{name} sd']:.4f}" for name in names]
        test = tests.get(row["model"]) if "missing" not in row else None
        gap = "baseline" if row["model"] == result["baseline"] else ""
        if test:
            gap = f"{test['difference']:+.4f} [{test['low']:+.4f}, {test['high']:+.4f}] ({test['p_adjusted']:.2g})"
        name = (
            row["model"]
            + (" (random)" if "note" in row else "")
            + (f" (missing {row['missing']:g})" if "missing" in row else "")
        )
        lines.append(
            f"| {name} | " + " | ".join(shown) + f" | {gap} | {row['fit seconds']:.1f} | {row['test seconds']:.2f} "
            f"| {row['peak MiB']:.0f} | {row['trained']:,} | {row['stored MiB']:.1f} |"
        )
    notes = [f"{row['model']} is {row['note']}." for row in result["table"] if "note" in row]
    return "\n".join(
        [
            *lines,
            *([""] if notes else []),
            *notes,
            "",
            f"Baseline: {result['baseline']}. Seeds {result['seeds']}. `{result['command']}`",
            "",
        ]
    )
