"""``palate fit`` as a function: fit, open test once, write the run with its report."""

from __future__ import annotations

import logging
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from palate.contracts import models
from palate.contracts.parse import parse_model
from palate.core.context import Callback
from palate.core.errors import ArtefactError
from palate.core.files import atomic_folder, read_json, sweep_leftovers, write_json, write_text
from palate.data.dataset import Dataset
from palate.data.splits import SplitSpec
from palate.data.tables import read_table
from palate.evaluation.evaluate import evaluate
from palate.evaluation.fit_result import FitResult, fit_one
from palate.evaluation.report import write_report
from palate.features.plan import ContentPlan
from palate.models.base import Recommender
from palate.training import distributed
from palate.training.deployment import log_of
from palate.training.fit import fit, usable_device
from palate.training.saving import restore, restore_as, save

log = logging.getLogger("palate")
BASELINES = ("popularity", "ease")


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
    device: str = "auto",
    callbacks: Sequence[Callback] = (),
    source: Mapping[str, str | None] | None = None,
) -> dict[str, Any]:
    """Fit a model (and baselines for the report) and write a run folder.

    Killed, the same call resumes from the checkpoint of ``out``. Of several processes that torchrun started all train
    ``model``; the first one does and writes the rest, the others return no rows.

    Args:
        data: dataset with a split.
        model: ``name``, ``name@preset`` or ``name:key=value;key=value``.
        out: folder of the run.
        content: encoders and where vectors are kept.
        settings: further settings of the model.
        seed: of everything random.
        init_from: a run whose weights to start from.
        test: open the test part once, at the end.
        baselines: fit popularity and EASE too.
        device: as for ``fit``.
        callbacks: of the model's training, as for ``fit``.
        source: ``path``, ``layout`` and ``name`` of the data, kept for a later evaluation.

    Returns:
        ``run``, the folder, and ``headline``, rows of a table.

    Raises:
        ConfigError: for an unknown model or setting, or data that lack what the model requires.
    """
    out = Path(out)
    work = out.parent / f".{out.name}.checkpoint"
    main = parse_model(model, settings)
    usable_device(device)
    rank, world = distributed.start()
    if rank:
        fit(main, data, seed=seed, content=content, checkpoint=work, init_from=init_from, device=device)
        return {"run": str(out), "headline": []}
    sweep_leftovers(out.parent, f"-{out.name}")
    with logged(work / "log.txt"):
        log.info("%s", command_line())
        log.info("%s: %s, positives: %s", data.name, data.spec, data.positive)
        fits = {main.name: fit_one(main, data, content, seed, test, work, init_from, device, callbacks)}
        # closed forms: no step of theirs waits for another process
        for name in BASELINES if baselines and main.task_name == models.get(BASELINES[0]).task_name else ():
            if name not in fits and _affordable(name, data):
                fits[name] = fit_one(parse_model(name), data, content, seed, test)
        headline = [_row(name, done, data) for name, done in fits.items()]
        for row in headline:
            log.info("%s", ", ".join(f"{key} {_short(value)}" for key, value in row.items()))
        for key, value in log_of(fits[main.name].model).selected.items():
            log.info("chosen on validation: %s = %s", key, value)
        facts = {
            "command": command_line(),
            "seconds": {name: done.seconds for name, done in fits.items()},
            "openings_of_test": int(test),
            "processes": world,
            "notes": list(data.notes),
            "source": dict(source or {}),
        }
        save(fits[main.name].model, out, facts, training_tensors=True)
        write_json(out / "metrics.json", {name: d.judgement.to_json() for name, d in fits.items() if d.judgement})
        write_report(out, data, fits)
    write_text(out / "log.txt", (work / "log.txt").read_text(encoding="utf-8"))
    _clear(work)
    return {"run": str(out), "headline": headline}


def run_evaluate(run: str, load: Callable[[dict[str, Any]], Dataset]) -> dict[str, Any]:
    """Open test for a saved run, and count the opening in its manifest.

    Args:
        run: the run folder.
        load: reads the data, given options such as the split.

    Raises:
        ArtefactError: for data other than those the run was fitted on.
    """
    manifest = read_json(Path(run) / "manifest.json")
    data = load(_rule(manifest["about"]))
    if data.hash != manifest["about"]["hash"]:
        raise ArtefactError("the run was fitted on other data", file=run, hint="give the data it was fitted on")
    model = restore(run)
    result = evaluate(model, data).to_json()
    manifest["openings_of_test"] = int(manifest.get("openings_of_test", 0)) + 1
    write_json(Path(run) / "manifest.json", manifest)
    return result | {"openings_of_test": manifest["openings_of_test"]}


def run_add(run: str | Path, items: str | Path) -> int:
    """Add the rows of a table to a saved run; report, log and what was counted stay. Returns how many were added.

    The run changes as a whole or not at all.
    """
    run = Path(run)
    model = restore_as(run, Recommender)
    table = read_table(Path(items))
    model.add_items(table)
    manifest = read_json(run / "manifest.json")
    with atomic_folder(run) as aside:
        save(model, aside)
        fresh = read_json(aside / "manifest.json")
        added = int(manifest.get("added_items", 0)) + len(table)
        for file in run.iterdir():
            if file.is_file() and not (aside / file.name).exists():
                shutil.copy2(file, aside / file.name)
                if file.name in manifest["files"]:
                    fresh["files"][file.name] = manifest["files"][file.name]
        write_json(aside / "manifest.json", {**manifest, **fresh, "added_items": added})
    return len(table)


def command_line() -> str:
    """The command that runs, without where it is installed."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    return shlex.join(["palate" if program == "__main__.py" else program, *sys.argv[1:]])


def source_of(run: str | Path) -> dict[str, str | None]:
    """Where the data of a run were when it was fitted: ``path``, ``layout``, ``name``.

    Args:
        run: the run folder.

    Raises:
        ArtefactError: for a run that does not say so, or whose data are no longer there.
    """
    manifest = Path(run) / "manifest.json"
    if not manifest.is_file():
        raise ArtefactError("not a run folder", file=run, hint="expected manifest.json, written by palate fit")
    source = read_json(manifest).get("source") or {}
    path = source.get("path")
    if not path or not Path(path).exists():
        what = f"its data are no longer at {path}" if path else "the run does not say where its data are"
        raise ArtefactError(what, file=run, hint="name them: --data DATA")
    return {key: source.get(key) for key in ("path", "layout", "name")}


def _short(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _rule(about: Mapping[str, Any]) -> dict[str, Any]:
    """Options for reading the data as they were read when the run was made."""
    rule = about.get("rule")
    if rule is None:
        return {"split": about["split"]}
    return {"split": SplitSpec(**rule["split"]), "positive": rule["positive"]}


def _affordable(name: str, data: Dataset) -> bool:
    limit = getattr(models.get(name).Config.model_fields.get("max_items"), "default", None)
    return limit is None or data.n_items <= min(limit, 10_000)


def _row(name: str, done: FitResult, data: Dataset) -> dict[str, Any]:
    row: dict[str, Any] = {"model": name}
    fitted = log_of(done.model)
    if fitted.valid is not None:
        row[f"valid {fitted.metric}"] = fitted.valid
    if done.judgement is not None:
        row |= {name: done.judgement.metrics[name] for name in done.model.task.shown(data)}
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
