"""``palate fit`` as a function: fit, open test once, write the run with its report."""

from __future__ import annotations

import logging
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palate.core.errors import ArtefactError, ConfigError
from palate.core.files import atomic_folder, read_json, read_tensors, sweep_leftovers, write_json, write_text
from palate.core.model import Matcher, Model, models, parse
from palate.data.dataset import Dataset
from palate.data.splits import SplitSpec
from palate.data.tables import read_table
from palate.features.plan import ContentPlan
from palate.training import distributed
from palate.training.fit import fit
from palate.training.saving import restore, save

from .evaluate import Result, evaluate

log = logging.getLogger("palate")
HEADLINE = ("recall@20", "capped_recall@20", "ndcg@20", "recall@10", "ndcg@10")
BASELINES = ("popularity", "ease")


@dataclass
class Fit:
    """One fitted model with its test result (None while test is sealed) and its time."""

    model: Matcher
    result: Result | None
    seconds: float


def parse_model(text: str, extra: Mapping[str, Any] | None = None) -> Matcher:
    """``name``, ``name@preset`` or ``name:key=value;key=value`` as an unfitted matcher."""
    model = parse(text, models, extra)
    if not isinstance(model, Matcher):
        raise ConfigError(f"{model.name} does not recommend items", key="model")
    return model


def fit_one(
    model: Matcher, data: Dataset, content: ContentPlan, seed: int, test: bool, checkpoint: Path | None = None
) -> Fit:
    """Fit, then (if ``test``) open the test part."""
    started = time.perf_counter()
    model = fit(model, data, seed=seed, content=content, checkpoint=checkpoint)
    seconds = time.perf_counter() - started
    return Fit(model, evaluate(model, data) if test else None, seconds)


def run_fit(
    data: Dataset,
    model: str,
    out: str | Path,
    *,
    content: ContentPlan,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    init_from: str | None = None,
    test: bool = True,
    baselines: bool = True,
) -> dict[str, Any]:
    """Fit ``model`` (and baselines for the report) and write the run folder ``out``.

    Killed, the same call resumes from ``out``'s checkpoint. Returns the headline as rows of a table. Of several
    processes that torchrun started all train ``model``; the first does and writes the rest, the others return no rows.
    """
    from .report import write_report

    out = Path(out)
    work = out.parent / f".{out.name}.checkpoint"
    main = parse_model(model, settings)
    if init_from:
        warm_start(main, init_from)
    rank, world = distributed.start()
    if rank:
        fit(main, data, seed=seed, content=content, checkpoint=work)
        return {"run": str(out), "headline": []}
    sweep_leftovers(out.parent, f"-{out.name}")
    with logged(work / "log.txt"):
        log.info("%s %s: %s, positives: %s", command_line(), data.name, data.spec, data.positive)
        fits = {main.name: fit_one(main, data, content, seed, test, work)}
        # closed forms: no step of theirs waits for another process
        for name in BASELINES if baselines else ():
            if name not in fits and _affordable(name, data):
                fits[name] = fit_one(parse_model(name), data, content, seed, test)
        headline = [_row(name, done) for name, done in fits.items()]
        for row in headline:
            log.info("%s", ", ".join(f"{key} {value}" for key, value in row.items()))
        log.info("chosen on validation: %s", fits[main.name].model.deployment.log.selected)
        facts = {
            "command": command_line(),
            "seconds": {name: done.seconds for name, done in fits.items()},
            "openings_of_test": int(test),
            "processes": world,
            "notes": list(data.notes),
        }
        save(fits[main.name].model, out, facts)
        write_json(out / "metrics.json", {name: d.result.to_json() for name, d in fits.items() if d.result})
        write_report(out, data, fits)
    write_text(out / "log.txt", (work / "log.txt").read_text(encoding="utf-8"))
    _clear(work)
    return {"run": str(out), "headline": headline}


def run_evaluate(run: str, load: Callable[[dict[str, Any]], Dataset]) -> dict[str, Any]:
    """Open test for a saved run; refuses other data, counts the opening in the manifest."""
    manifest = read_json(Path(run) / "manifest.json")
    data = load(_rule(manifest["about"]))
    if data.hash != manifest["about"]["hash"]:
        raise ArtefactError("the run was fitted on other data", file=run, hint="give the data it was fitted on")
    model = restore(run)
    if not isinstance(model, Matcher):
        raise ConfigError(f"{model.name} does not recommend items")
    result = evaluate(model, data).to_json()
    manifest["openings_of_test"] = int(manifest.get("openings_of_test", 0)) + 1
    write_json(Path(run) / "manifest.json", manifest)
    return result | {"openings_of_test": manifest["openings_of_test"]}


def run_add(run: str | Path, items: str | Path) -> int:
    """Add the rows of a table to a saved run; report, log and what was counted stay. Returns how many were added.

    The run changes as a whole or not at all.
    """
    run = Path(run)
    model = restore(run)
    if not isinstance(model, Matcher):
        raise ConfigError(f"{model.name} does not recommend items")
    table = read_table(Path(items))
    model.add_items(table)
    manifest = read_json(run / "manifest.json")
    with atomic_folder(run) as aside:
        save(model, aside)
        fresh = read_json(aside / "manifest.json")
        added = int(manifest.get("added_items", 0)) + len(table)
        write_json(aside / "manifest.json", {**manifest, **fresh, "added_items": added})
        for file in run.iterdir():
            if file.is_file() and not (aside / file.name).exists():
                shutil.copy2(file, aside / file.name)
    return len(table)


def command_line() -> str:
    """The command that runs, without where it is installed."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    return shlex.join(["palate" if program == "__main__.py" else program, *sys.argv[1:]])


def _rule(about: Mapping[str, Any]) -> dict[str, Any]:
    """Options for reading the data as they were read when the run was made."""
    rule = about.get("rule")
    if rule is None:
        return {"split": about["split"]}
    return {"split": SplitSpec(**rule["split"]), "positive": rule["positive"]}


def warm_start(model: Model, run: str) -> None:
    """Start from another run's weights wherever name and shape agree; nothing in common is an error."""
    tensors = read_tensors(Path(run) / "model.safetensors")
    built, renew = model.build, model.clone

    def build_and_copy(shape: Any) -> None:
        built(shape)
        own = dict(model.named_parameters())
        shared = [name for name, tensor in tensors.items() if name in own and own[name].shape == tensor.shape]
        if not shared:
            raise ConfigError("no weight of this run fits the model", key=run, hint="init from the same kind of model")
        for name in shared:
            own[name].data.copy_(tensors[name])

    def clone(changes: Mapping[str, Any]) -> Any:
        successor = renew(changes)
        warm_start(successor, run)
        return successor

    model.build = build_and_copy  # type: ignore[method-assign]
    model.clone = clone  # type: ignore[method-assign]


def _affordable(name: str, data: Dataset) -> bool:
    limit = getattr(models.get(name).Config.model_fields.get("max_items"), "default", None)
    return limit is None or data.n_items <= min(limit, 10_000)


def _row(name: str, done: Fit) -> dict[str, Any]:
    row: dict[str, Any] = {"model": name}
    if done.model.deployment.log.valid is not None:
        row[f"valid {done.model.deployment.log.metric}"] = done.model.deployment.log.valid
    if done.result is not None:
        row |= {name: done.result.metrics[name] for name in HEADLINE}
    return row | {"seconds": round(done.seconds, 1)}


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Everything the library says goes to ``path`` as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    level = log.level
    log.addHandler(handler)
    if not log.isEnabledFor(logging.INFO):
        log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)
        handler.close()


def _clear(work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)
