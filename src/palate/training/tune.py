"""Search settings on validation only; every trial is kept, a killed search resumes where it was."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palate.contracts import models, tasks
from palate.core.config import search_space
from palate.core.errors import ArtefactError, ConfigError, MissingDependencyError, did_you_mean
from palate.core.files import digest, read_json, write_json, write_text
from palate.core.output import claimed
from palate.core.progress import track
from palate.data.dataset import Dataset
from palate.features.plan import ContentPlan, plan_content
from palate.training.deployment import log_of
from palate.training.fit import fit

log = logging.getLogger("palate")

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def tune(
    data: Dataset,
    model: str,
    trials: int,
    space: Mapping[str, str] | None,
    seed: int,
    out: str | Path,
    content: ContentPlan | None = None,
    overwrite: bool = False,
    *,
    fixed: Mapping[str, Any] | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Search settings by a tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011); test stays sealed.

    The first trial is the default setting. A trial depends on the seed and on the trials before it alone, so a search
    that was killed and one that ran through try the same settings.

    Args:
        data: dataset whose split has a validation part.
        model: name of a registered model.
        trials: settings to try, the defaults among them.
        space: setting -> ``a,b,c`` or ``low..high`` or ``low..high:log``; the ranges that the model declares if not
            given.
        seed: of the search and of each fit.
        out: folder for ``trials.jsonl``, which holds every trial, and ``best.json``.
        content: encoders and where vectors are kept; planned from the data if not given.
        overwrite: replace the best settings of another search; its trials stay.
        fixed: settings that are the same in every trial.
        device: as for ``fit``.

    Returns:
        ``best``: rows of a table, ``trials``: all trials, ``settings``: the best of those searched. ``best.json`` also
        holds the model and all settings, so that ``fit --from`` repeats it.

    Raises:
        ConfigError: for an unknown setting, a wrong or empty space, or data without a validation part.
        MissingDependencyError: without optuna.
        ArtefactError: for a folder that holds something else, or while another process writes it.
    """
    with claimed(out, "search", data.items.root) as folder:
        return _tune(data, model, trials, space, seed, folder, content, overwrite, dict(fixed or {}), device)


def _tune(
    data: Dataset,
    model: str,
    trials: int,
    space: Mapping[str, str] | None,
    seed: int,
    out: Path,
    content: ContentPlan | None,
    overwrite: bool,
    fixed: Mapping[str, Any],
    device: str,
) -> dict[str, Any]:
    kind = models.get(model)
    fields = kind.Config.model_fields
    ranges = dict(space or {key: text for key, text in search_space(kind.Config).items() if key not in fixed})
    for key in (*ranges, *fixed):
        if key not in fields:
            raise ConfigError(f"{model} has no such setting", key=key, hint=did_you_mean(key, fields))
    if not ranges:
        raise ConfigError(f"{model} has nothing to search", key="space", hint="give --space key=a,b,c")
    if both := sorted(ranges.keys() & fixed.keys()):
        raise ConfigError("a setting is searched or fixed, not both", key=both[0], hint="leave out --space or --set")
    if trials < 1:
        raise ConfigError("at least one trial", key="trials")
    options = {key: distribution(text, fields[key].annotation in (int, int | None)) for key, text in ranges.items()}
    kept = out / "trials.jsonl"
    held = [json.dumps(fixed, sort_keys=True, default=str)] if fixed else []
    search = digest("tpe", model, repr(sorted(ranges.items())), data.hash, str(data.spec), str(seed), *held)
    best_file = out / "best.json"
    if not overwrite and best_file.is_file() and read_json(best_file).get("search") != search:
        hint = "nothing was changed; choose another folder, or --overwrite (overwrite=True)"
        raise ArtefactError("holds the best settings of another search", file=out, hint=hint)
    others = [record for record in _read(kept) if record["search"] != search]
    done = [record for record in _read(kept) if record["search"] == search][:trials]
    content = content or plan_content(data)
    task = tasks.get(kind.task_name)
    searched = ", ".join(f"{key} in {text}" for key, text in ranges.items())
    log.info("%s: %d trials of %s", model, trials, searched)
    for index in track(range(trials), f"tune {model}"):
        if index < len(done):
            continue
        scores = [task.rank_key(record["metric"], record["valid"]) for record in done]
        settings = suggest(options, [record["settings"] for record in done], scores, seed)
        fitted = fit(kind(**fixed, **settings), data, seed=seed, content=content, refit=False, device=device)
        fit_log = log_of(fitted)
        if fit_log.valid is None:
            raise ConfigError("no validation part to search on", key=str(data.spec), hint="choose a split with one")
        record = {
            "search": search,
            "trial": index,
            "settings": settings,
            "valid": fit_log.valid,
            "metric": fit_log.metric,
            "seconds": sum(fit_log.seconds.values()),
        }
        done.append(record)
        write_text(kept, "\n".join(json.dumps(line) for line in (*others, *done)) + "\n")
    ranked = sorted(done, key=lambda record: -_finite(task.rank_key(record["metric"], record["valid"])))
    best = {**ranked[0], "model": model, "settings": {**fixed, **ranked[0]["settings"]}}
    write_json(best_file, best)
    usual = {key: fields[key].get_default(call_default_factory=True, validated_data={}) for key in ranges}
    rows = [
        {
            "trial": record["trial"] + 1,
            f"valid {record['metric']}": record["valid"],
            **{key: "none" if value is None else value for key, value in (usual | record["settings"]).items()},
        }
        for record in ranked[:5]
    ]
    return {"best": rows, "trials": done, "settings": ranked[0]["settings"]}


def suggest(
    options: Mapping[str, BaseDistribution],
    settings: Sequence[Mapping[str, Any]],
    scores: Sequence[float],
    seed: int,
) -> dict[str, Any]:
    """Settings of the next trial.

    Args:
        options: setting -> what may be drawn.
        settings: those of the trials so far; the first are the defaults.
        scores: of these trials, more is better; NaN marks a trial without a score.
        seed: of the search.

    Returns:
        Setting -> value; empty, which means the defaults, for the first trial.

    Raises:
        MissingDependencyError: without optuna.
    """
    if not settings:
        return {}
    optuna = _optuna()
    sampler = optuna.samplers.TPESampler(seed=seed * 1_000_003 + len(settings))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for given, score in zip(settings, scores, strict=True):
        if given and math.isfinite(score):
            study.add_trial(optuna.trial.create_trial(params=dict(given), distributions=dict(options), value=score))
    return dict(study.ask(dict(options)).params)


def distribution(text: str, whole: bool = False) -> BaseDistribution:
    """What ``a,b,c`` or ``low..high`` (``:log`` for a log scale) stands for.

    Args:
        text: one range of a search space.
        whole: whether the setting takes integers only.

    Raises:
        ConfigError: for a range that is empty, or on a log scale and not positive.
        MissingDependencyError: without optuna.
    """
    distributions = _optuna().distributions
    matched = re.fullmatch(r"\s*([-\d.e+]+?)\.\.([-\d.e+]+?)(:log)?\s*", text)
    if not matched:
        chosen: BaseDistribution = distributions.CategoricalDistribution([_value(one) for one in text.split(",")])
        return chosen
    low, high, log = float(matched[1]), float(matched[2]), bool(matched[3])
    if low > high or (log and low <= 0) or (whole and math.ceil(low) > math.floor(high)):
        raise ConfigError("not a range", key=text, hint="write low..high or low..high:log with 0 < low < high")
    ranged: BaseDistribution = (
        distributions.IntDistribution(math.ceil(low), math.floor(high), log=log)
        if whole
        else distributions.FloatDistribution(low, high, log=log)
    )
    return ranged


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingDependencyError("optuna", "tune") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _finite(score: float) -> float:
    return score if math.isfinite(score) else -math.inf


def _value(text: str) -> Any:
    text = text.strip()
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
