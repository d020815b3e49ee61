"""Intervals and p-values of the committed result files, again, from the values by seed or draw that they hold.

    python benchmarks/recompute.py

Nothing is trained and no test part is opened. Draws and worlds: Student's t over the differences of each draw, as
``compare_paired`` computes it. Seeds on one split: per-user values are not kept in result files, so the variance of
users is read back from the stored bootstrap interval over users (once: it is then kept as ``users variance``) and that
of seeds is estimated from the means by seed; the interaction of both is not subtracted, which makes intervals slightly
too wide.

``openings_known`` is how often the same test part was opened for figures that are in the history of this repository: a
lower bound, since what was measured and not committed left no trace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import adaptation
import catalogue
import faithful
import lattice_point
import pretraining
import world_table
from _common import RESULTS, ROOT, keep
from ablations import markdown as ablations_page
from missing import page as missing_page
from movies import page as movies_page
from palate.core.files import read_json
from palate.evaluation.compare_report import markdown
from palate.metrics.bootstrap import holm
from palate.metrics.variance import StandardError, nested_error, satterthwaite

Z = 1.959963984540054
OPENINGS = {
    "tiktok": 12, "ablations": 12, "faithful": 12, "amazon-baby": 4, "amazon-sports": 3, "movies": 11,
    "catalogue-inductive": 11, "catalogue-transductive": 11, "missing": 11, "adaptation": 11, "lattice": 1,
    "pretraining": 2, "world": 1, "world_no_effect": 1, "probes": 2, "scale": 7,
}  # fmt: skip
"""Distinct measurements in the history of all files that open the same test part: TikTok is opened by three files, the
draws of new movies by five."""


def over_draws(a: Sequence[float], b: Sequence[float]) -> dict[str, Any]:
    """Difference of two systems with one mean for each draw or world of each.

    Args:
        a: of one system.
        b: of the other, on the same draws.
    """
    gaps = np.asarray(a) - np.asarray(b)
    error = nested_error([np.atleast_1d(gap) for gap in gaps])
    return _facts(float(gaps.mean()), error) | {"n_draws": len(gaps), "n_seeds": len(gaps)}


def over_seeds(test: Mapping[str, Any], a: Sequence[float], b: Sequence[float]) -> dict[str, Any]:
    """Difference of two systems with one mean for each seed on the same users.

    Args:
        test: the stored comparison, whose interval counts users only or which was recomputed before.
        a: means by seed of one system.
        b: of the other.
    """
    users = test.get("users variance", ((test["high"] - test["low"]) / 2 / Z) ** 2)
    seeds = [float(np.var(x, ddof=1)) / len(x) for x in (a, b)]
    total = users + sum(seeds)
    parts = [(users, test["n_users"] - 1), *((part, len(x) - 1) for part, x in zip(seeds, (a, b)))]
    error = StandardError(total, satterthwaite(total, parts))
    return _facts(float(np.mean(a) - np.mean(b)), error) | {"n_seeds": len(a), "users variance": users}


def _facts(difference: float, error: StandardError) -> dict[str, Any]:
    half = error.half_width(0.95)
    freedom = error.freedom if np.isfinite(error.freedom) else None
    return {
        "difference": difference, "low": difference - half, "high": difference + half,
        "p_value": error.p_value(difference), "freedom": freedom, "resamples": 0,
    }  # fmt: skip


def comparison(result: dict[str, Any]) -> None:
    """Tests of a result of ``compare``, in place; its rate-wise tests too. Results that name their code are right."""
    if "code" in result:
        return
    drawn = result["split"].startswith(("item_cold", "user_cold"))
    for rate, tests in {None: result["tests"], **result.get("tests by rate", {})}.items():
        wanted = 0.0 if rate is None else float(rate)
        rows = {row["model"]: row for row in result["table"] if row.get("missing", 0.0) == wanted}
        for metric, tested in tests.items():
            base = rows[result["baseline"]][f"{metric} by seed"]
            for model, test in tested.items():
                own = rows[model][f"{metric} by seed"]
                test |= over_draws(own, base) if drawn else over_seeds(test, own, base)
            for test, p in zip(tested.values(), holm([test["p_value"] for test in tested.values()])):
                test["p_adjusted"] = float(p)


def matching(name: str) -> None:
    """One warm table."""
    result = read_json(RESULTS / f"{name}.json")
    result.setdefault("shown", ["recall@10", "recall@20", "ndcg@10", "ndcg@20"])
    comparison(result)
    keep(name, result | {"openings_known": OPENINGS[name]}, markdown(result))


def movies() -> None:
    """New movies."""
    result = read_json(RESULTS / "movies.json")
    result.setdefault("shown", ["capped_recall@20", "ndcg@20", "recall@20"])
    comparison(result)
    rows = {row["model"]: row for row in result["table"]}
    with_pictures, without = (
        rows[name]["capped_recall@20 by seed"] for name in ("content_kernel", "content_kernel:media={image: 0.0}")
    )
    if "code" not in result:
        result["pictures"] |= over_draws(with_pictures, without)
    keep("movies", result | {"openings_known": OPENINGS["movies"]}, movies_page(result))


def missing() -> None:
    """Missing modalities."""
    result = read_json(RESULTS / "missing.json")
    for panel in result["panels"].values():
        comparison(panel)
    keep("missing", result | {"openings_known": OPENINGS["missing"]}, missing_page(result))


def ablations() -> None:
    """Terms of AlignRec; the ablated models' spread over seeds was not stored and is taken as that of the whole."""
    found = read_json(RESULTS / "ablations.json")
    for system in found.values():
        seeds = np.array([-1.0, 0.0, 1.0]) * system["sd"]
        for row in system["rows"]:
            test = {"low": row["low"], "high": row["high"], "n_users": 6125}
            test |= {key: row[key] for key in ("users variance",) if key in row}
            row |= over_seeds(test, system["whole"] + seeds, row["score"] + seeds)
        for row, p in zip(system["rows"], holm([row["p_value"] for row in system["rows"]])):
            row["p"] = float(p)
        system["openings_known"] = OPENINGS["ablations"]
    keep("ablations", found, ablations_page(found))


def lattice() -> None:
    """LATTICE's own point."""
    result = read_json(RESULTS / "lattice.json")
    for part in result["parts"].values():
        means, gains = part["by world"], part["gains"]
        tests = {name: over_draws(means["whole"], means[name]) for name in gains}
        for (name, test), p in zip(tests.items(), holm([test["p_value"] for test in tests.values()])):
            gains[name] = {"gain": test["difference"], "low": test["low"], "high": test["high"], "p": float(p)}
    keep("lattice", result | {"openings_known": OPENINGS["lattice"]}, lattice_point.page(result))


def catalogues() -> None:
    """Encoders pretrained on movies."""
    for split in catalogue.SPLITS:
        name = f"catalogue-{split}"
        result = read_json(RESULTS / f"{name}.json")
        for gap, test in result["gaps"].items():
            a, b = gap.split(" - ")
            test |= over_draws(result["by draw"][a], result["by draw"][b])
        keep(name, result | {"openings_known": OPENINGS[name]}, catalogue.page(result))


def tunings() -> None:
    """Tuning x fusion on movies."""
    result = read_json(RESULTS / "adaptation.json")
    first = result["table"][0]["by draw"]
    for row in result["table"][1:]:
        row["against first"] |= over_draws(row["by draw"], first)
    keep("adaptation", result | {"openings_known": OPENINGS["adaptation"]}, adaptation.markdown(result))


def points() -> None:
    """Every pretraining system against its own ablation."""
    result = read_json(RESULTS / "pretraining.json")
    for row in result["rows"]:
        test = over_draws(*row["effect"]["by seed"])
        row["effect"] |= {"low": test["low"], "high": test["high"], "p": test["p_value"]}
        if "no effect" in row:
            row["no effect"] |= dict.fromkeys(("low", "high", "p"))
    result["verdicts"] = pretraining.verdicts(result["rows"])
    known = max(OPENINGS["pretraining"], result.get("openings_known", 0))
    result |= {"notes": pretraining.notes(result["rows"]), "openings_known": known}
    keep("pretraining", result, pretraining.page(result))


def worlds() -> None:
    """The simulated shop."""
    for name in ("world", "world_no_effect"):
        result = read_json(RESULTS / f"{name}.json")
        for part in result["parts"].values():
            means = {model: np.array(row["by seed"]) for model, row in part["models"].items()}
            part["gaps"] = [
                world_table.gap_of(gap["from"], gap["to"], means[gap["to"]] - means[gap["from"]])
                for gap in part["gaps"]
            ]
        keep(name, result | {"openings_known": OPENINGS[name]}, world_table.page(result))


def presets() -> None:
    """Faithful presets beside the public code."""
    result = read_json(RESULTS / "faithful.json")
    for row in result["table"]:
        row.pop("within 3 % or seed noise", None)
        if len(row.get("public by seed", ())) >= faithful.PUBLIC:
            row |= faithful.verdict(row["ours by seed"], row["public by seed"])
    known = max(OPENINGS["faithful"], result.get("openings_known", 0))
    result |= {"openings_known": known, "notes": faithful.notes(result["table"])}
    keep("faithful", result, faithful.markdown(result["table"]))


def main() -> None:
    for name in ("tiktok", "amazon-baby", "amazon-sports"):
        matching(name)
    for part in (movies, missing, ablations, lattice, catalogues, tunings, points, worlds):
        part()
    presets()
    keep("scale", read_json(RESULTS / "scale.json") | {"openings_known": OPENINGS["scale"]})
    pretraining.draw(read_json(RESULTS / "pretraining.json"), ROOT / "docs" / "pictures" / "supervision.svg")


if __name__ == "__main__":
    main()
