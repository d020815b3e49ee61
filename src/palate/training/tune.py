"""Search settings on validation only; every trial is kept, a killed search resumes where it was."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from palate.contracts import models
from palate.core.config import search_space
from palate.core.errors import ConfigError, did_you_mean
from palate.core.files import digest, write_json, write_text
from palate.core.progress import track
from palate.core.seeding import rng_for
from palate.data.dataset import Dataset
from palate.features.plan import ContentPlan, plan_content
from palate.training.deployment import log_of
from palate.training.fit import fit


def tune(
    data: Dataset,
    model: str,
    trials: int,
    space: Mapping[str, str] | None,
    seed: int,
    out: str | Path,
    content: ContentPlan | None = None,
) -> dict[str, Any]:
    """Random search (the first trial is the default setting); test stays sealed.

    Args:
        space: setting -> ``a,b,c`` or ``low..high`` or ``low..high:log``; the known settings of the model if not given.

    Returns:
        {"best": rows of a table, "trials": all trials, "settings": the best}. ``out/trials.jsonl`` holds every trial.
    """
    kind = models.get(model)
    ranges = dict(space or search_space(kind.Config))
    for key in ranges:
        if key not in kind.Config.model_fields:
            raise ConfigError(f"{model} has no such setting", key=key, hint=did_you_mean(key, kind.Config.model_fields))
    if not ranges:
        raise ConfigError(f"{model} has nothing to search", key="space", hint="give --space key=a,b,c")
    if trials < 1:
        raise ConfigError("at least one trial", key="trials")
    out = Path(out)
    log = out / "trials.jsonl"
    name = digest(model, repr(sorted(ranges.items())), data.hash, str(data.spec), str(seed))
    done = [record for record in _read(log) if record["search"] == name]
    content = content or plan_content(data)
    rng = rng_for(seed, "tune", name)
    whole = {key: kind.Config.model_fields[key].annotation in (int, int | None) for key in ranges}
    draws = [{key: sample(text, rng, whole[key]) for key, text in ranges.items()} for _ in range(trials - 1)]
    plan: list[dict[str, Any]] = [{}, *draws]
    for index, settings in enumerate(track(plan, f"tune {model}")):
        if index < len(done):
            continue
        fitted = fit(kind(**settings), data, seed=seed, content=content, refit=False)
        fit_log = log_of(fitted)
        score = fit_log.valid
        if score is None:
            raise ConfigError("no validation part to search on", key=str(data.spec), hint="choose a split with one")
        record = {
            "search": name,
            "trial": index,
            "settings": settings,
            "valid": score,
            "metric": fit_log.metric,
        }
        done.append(record | {"seconds": sum(fit_log.seconds.values())})
        lines = [json.dumps(r) for r in (*(r for r in _read(log) if r["search"] != name), *done)]
        write_text(log, "\n".join(lines) + "\n")
    best = max(done, key=lambda record: record["valid"])
    write_json(out / "best.json", best)
    rows = [{"valid": r["valid"], **r["settings"]} for r in sorted(done, key=lambda r: -r["valid"])[:5]]
    return {"best": rows, "trials": done, "settings": best["settings"]}


def sample(text: str, rng: np.random.Generator, whole: bool = False) -> Any:
    """One draw from ``a,b,c`` or ``low..high`` (``:log`` for a log scale); ``whole`` rounds a range to integers."""
    found = re.fullmatch(r"\s*([-\d.e+]+?)\.\.([-\d.e+]+?)(:log)?\s*", text)
    if not found:
        options = [option.strip() for option in text.split(",")]
        return _value(options[int(rng.integers(len(options)))])
    low, high = float(found[1]), float(found[2])
    if low > high or (found[3] and low <= 0):
        raise ConfigError("not a range", key=text, hint="write low..high or low..high:log with 0 < low < high")
    if found[3]:
        drawn = math.exp(rng.uniform(math.log(low), math.log(high)))
    else:
        drawn = rng.uniform(low - 0.5, high + 0.5) if whole else rng.uniform(low, high)
    return round(min(max(drawn, low), high)) if whole else float(drawn)


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def _read(log: Path) -> list[dict[str, Any]]:
    if not log.is_file():
        return []
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
