"""The table of a comparison: what was measured, how it differs from the baseline, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def comparison_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a model; spread over seeds only where there are several.

    Args:
        result: of :func:`palate.evaluation.compare.compare`.
    """
    rows = []
    several = len(result["seeds"]) > 1
    headline = result["headline"]
    for row in result["table"]:
        shown: dict[str, Any] = {"model": row["model"]}
        if "missing" in row or any("missing" in other for other in result["table"]):
            shown["missing"] = row.get("missing", 0.0)
        for name in (headline, *(other for other in result["shown"] if other != headline)):
            if name in row:
                shown[name] = f"{row[name]:.4f} ± {row[f'{name} sd']:.4f}" if several else f"{row[name]:.4f}"
            shown |= _difference(result, row, headline) if name == headline else {}
        shown |= {"fit s": f"{row['fit seconds']:.1f}", "MiB": f"{row['peak MiB']:.0f}"}
        rows.append(shown)
    return rows


def _difference(result: Mapping[str, Any], row: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """Difference from the baseline with its interval, and the p-value adjusted by Holm's method."""
    tests = result.get("tests by rate", {}).get(f"{row.get('missing', 0.0):g}", result["tests"])
    test = tests.get(metric, {}).get(row["model"])
    if test is None:
        mark = "baseline" if row["model"] == result["baseline"] else ""
        return {"difference": mark, "95 %": "", "p": ""} if tests else {}
    p = test["p_adjusted"] if test.get("p_adjusted") is not None else test["p_value"]
    return {
        "difference": f"{test['difference']:+.4f}",
        "95 %": f"[{test['low']:+.4f}, {test['high']:+.4f}]",
        "p": "<0.0001" if p < 1e-4 else f"{p:.2g}",
    }
