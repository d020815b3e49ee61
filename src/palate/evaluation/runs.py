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

from palate.contracts import Model, models
from palate.contracts.parse import parse_model
from palate.core.asides import mend
from palate.core.context import Callback
from palate.core.errors import ArtefactError
from palate.core.files import write_json, write_text
from palate.core.locks import WAIT, locked
from palate.core.output import check_output, claimed
from palate.core.progress import stage
from palate.core.stable_read import read_stable
from palate.data.absent import absent_note
from palate.data.columns import errors_from
from palate.data.dataset import Dataset
from palate.data.splits import SplitSpec
from palate.data.tables import read_source
from palate.evaluation.evaluate import evaluate
from palate.evaluation.fit_result import FitResult, fit_one
from palate.evaluation.known import KNOWN, RANDOM, is_random
from palate.evaluation.openings import one_opening, openings_of
from palate.evaluation.report import flat_settings, write_report
from palate.evaluation.verdict import verdicts
from palate.features.default_encoders import pictures_notes
from palate.features.plan import ContentPlan
from palate.models.base import Recommender
from palate.training import distributed
from palate.training.deployment import absent_content, deployment_of, log_of
from palate.training.fit import fit, fit_fingerprint, usable_device
from palate.training.manifest import MANIFEST, read_manifest
from palate.training.replacing import RunIdentity, check_replacement, checkpoint_of
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
    overwrite: bool = False,
    device: str = "auto",
    callbacks: Sequence[Callback] = (),
    source: Mapping[str, str | None] | None = None,
) -> dict[str, Any]:
    """Fit a model (and baselines for the report) and write a run folder.

    Killed, the same call resumes from the checkpoint of ``out``. The same call over its finished run fits again and
    replaces it; the greater count of openings of test is kept. Of several processes that torchrun started all train
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
        overwrite: replace whatever run is in ``out``, and what was added to it or erased from it since.
        device: as for ``fit``.
        callbacks: of the model's training, as for ``fit``.
        source: ``path``, ``layout`` and ``name`` of the data, kept for a later evaluation.

    Returns:
        ``run``, the folder, ``headline``, rows of a table, ``verdict``, a sentence for each baseline,
        ``openings_of_test``, how often this test part was opened on this machine, and ``encoders``, what read which
        feature.

    Raises:
        ConfigError: for an unknown model or setting, or data that lack what the model requires.
        ArtefactError: before anything is fitted: for a folder that is not a run, holds another run, or one that was
            changed since it was fitted, or while another process fits into it.
    """
    out = Path(out)
    work = checkpoint_of(out)
    main = parse_model(model, settings)
    usable_device(device)
    rank, world = distributed.start()
    if rank:
        fit(main, data, seed=seed, content=content, checkpoint=work, init_from=init_from, device=device)
        return {"run": str(out), "headline": [], "verdict": [], "openings_of_test": 0, "encoders": {}}
    check_output(out, "run", data.items.root)
    about = {"hash": data.hash, "split": str(data.spec), "seed": seed}
    about["fingerprint"] = fit_fingerprint(main, data, content, seed, given=[str(init_from or "")])
    with claimed(work, "checkpoint", shown=out):
        mend(out, wait=WAIT)
        check_replacement(out, RunIdentity.of(main.name, about), data.items.ids.ids, None, overwrite)
        try:
            return _fit(
                main,
                data,
                out,
                work,
                content,
                seed,
                init_from,
                test,
                baselines,
                overwrite,
                world,
                device,
                callbacks,
                source,
            )
        except BaseException:
            if not any(work.rglob("*.safetensors")):
                # nothing was trained that the same call could go on with
                _clear(work)
            raise


def _fit(
    main: Model,
    data: Dataset,
    out: Path,
    work: Path,
    content: ContentPlan,
    seed: int,
    init_from: str | None,
    test: bool,
    baselines: bool,
    overwrite: bool,
    world: int,
    device: str,
    callbacks: Sequence[Callback],
    source: Mapping[str, str | None] | None,
) -> dict[str, Any]:
    """The part of :func:`run_fit` that works, in one process."""
    with logged(work / "log.txt"), one_opening(command_line()):
        log.info("%s", command_line())
        log.info("%s: %s, positives: %s", data.name, data.spec, data.positive)
        fits = {main.name: fit_one(main, data, content, seed, test, work, init_from, device, callbacks)}
        # closed forms: no step of theirs waits for another process
        for name in BASELINES if baselines and main.task_name == models.get(BASELINES[0]).task_name else ():
            if name not in fits and _affordable(name, data):
                with stage(f"baseline {name}"):
                    fits[name] = fit_one(parse_model(name), data, content, seed, test)
        used = deployment_of(fits[main.name].model).content
        for message in absent_content(used.failures):
            log.warning(message)
        said = pictures_notes((spec.modality, spec.encoder) for spec in used.main_plan.values())
        for message in said:
            log.info("%s", message)
        openings = openings_of(data) if test else 0
        if openings:
            log.info("test part opened %d times on this machine, this one included", openings)
        headline = [_row(name, done, data) for name, done in fits.items()]
        for row in headline:
            log.info("%s", ", ".join(f"{key} {_short(value)}" for key, value in flat_settings(row).items()))
        for key, value in flat_settings(log_of(fits[main.name].model).selected).items():
            log.info("chosen on validation: %s = %s", key, value, extra={"detail": True})
        verdict = [one.sentence for one in verdicts(fits, main.task.headline(data))]
        for sentence in verdict:
            log.info("%s", sentence)
        facts = {
            "command": command_line(),
            "seconds": {name: done.seconds for name, done in fits.items()},
            "openings_of_test": openings,
            "processes": world,
            "notes": [*data.notes, *said],
            "source": dict(source or {}),
        }

        def reports(folder: Path) -> None:
            judged = {name: done.judgement.to_json() for name, done in fits.items() if done.judgement}
            write_json(folder / "metrics.json", judged)
            write_report(folder, data, fits)
            write_text(folder / "log.txt", (work / "log.txt").read_text(encoding="utf-8"))

        save(fits[main.name].model, out, facts, training_tensors=True, overwrite=overwrite, reports=reports)
    _clear(work)
    found = {"run": str(out), "headline": headline, "verdict": verdict, "openings_of_test": openings}
    return found | {"encoders": {name: spec.encoder for name, spec in used.main_plan.items()}}


def run_evaluate(run: str, load: Callable[[dict[str, Any]], Dataset]) -> dict[str, Any]:
    """Open test for a saved run, and count the opening in the user's cache and in the manifest of the run.

    Args:
        run: the run folder.
        load: reads the data, given options such as the split.

    Raises:
        ArtefactError: for data other than those the run was fitted on.
    """
    manifest = read_stable(run, MANIFEST, read_manifest)
    data = load(_rule(manifest["about"]))
    if data.hash != manifest["about"]["hash"]:
        raise ArtefactError("the run was fitted on other data", file=run, hint="give the data it was fitted on")
    model = restore(run)
    with one_opening(command_line()):
        result = evaluate(model, data).to_json()
    with locked(run):
        manifest = read_manifest(Path(run))
        # the cache may have been emptied, or the run may come from another machine
        manifest["openings_of_test"] = max(int(manifest.get("openings_of_test", 0)) + 1, openings_of(data))
        write_json(Path(run) / MANIFEST, manifest)
    return result | {"openings_of_test": manifest["openings_of_test"]}


def run_add(run: str | Path, items: str | Path) -> int:
    """Add the rows of a table to a saved run; report, log and what was counted stay. Returns how many were added.

    The run changes as a whole or not at all. Another writer of the run is waited for.

    Args:
        run: the run folder, or a link to it.
        items: table of new items.

    Raises:
        ArtefactError: if the run is damaged, or another writer takes too long.
    """
    run, table = Path(run), read_source(Path(items))
    for message in (*(issue.message for issue in table.issues), absent_note("new items", table.absent)):
        if message:
            log.warning(message)
    read_stable(run, MANIFEST, read_manifest)
    with locked(run):
        model = restore_as(run, Recommender)
        added = int(read_manifest(run).get("added_items", 0)) + len(table.frame)
        with errors_from(str(items)):
            model.add_items(table)
        save(model, run, {"added_items": added})
    return len(table.frame)


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
    source = read_stable(run, MANIFEST, read_manifest).get("source") or {}
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
    row["seconds"] = round(done.seconds, 1)
    random = done.judgement is not None and is_random(done.judgement.about.get(KNOWN))
    return row | ({"note": RANDOM} if random else {})


class _LogFile(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """On a full disk lines are lost; what cannot do without the disk says so itself."""


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Everything the library says goes to ``path`` as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = _LogFile(path, encoding="utf-8")
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
