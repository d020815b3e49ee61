"""``palate train-pictures`` as a function: read pictures, train, leave a folder behind that draws."""

from __future__ import annotations

import os
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from palate.contracts import Generator
from palate.core.context import Callback, RunContext
from palate.core.errors import ArtefactError
from palate.core.files import atomic_folder, digest, read_json, write_json
from palate.core.output import check_output, is_free, keep_others, mark
from palate.core.seeding import isolated, seed_torch
from palate.data.dataset import Dataset
from palate.generation.drawing.weights import FACTS, KIND, PictureModel, write_picture_model
from palate.training import distributed
from palate.training.fit import usable_device
from palate.training.loop import train
from palate.training.saving import versions

HISTORY = "history.json"


class PictureTrainer(Generator):
    """A generator whose picture model is trained by the loop."""

    @abstractmethod
    def picture_model(self) -> PictureModel:
        """What was trained."""


T = TypeVar("T", bound=PictureTrainer)


@isolated
def train_pictures(
    model: T,
    data: Dataset,
    out: str | Path,
    *,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    device: str = "auto",
    checkpoint_seconds: float = 30.0,
    callbacks: Sequence[Callback] = (),
    overwrite: bool = False,
) -> T:
    """Train ``model`` on the pictures that the split lets training see, and write a folder that draws.

    Args:
        model: that was not trained yet.
        data: whose items, and behaviour where the model needs it, are learnt from.
        out: folder to write: new, empty, or one that the same training wrote, which is replaced.
        seed: same seed, same bits on a CPU.
        checkpoint: a file; training that was killed resumes from it to the same bits.
        device: ``auto`` takes CUDA when present.
        checkpoint_seconds: at least this long between two writes of it.
        callbacks: called after every epoch with its record.
        overwrite: replace a picture model in ``out`` that was trained otherwise.

    Returns:
        The same model, trained.

    Raises:
        ConfigError: for data without pictures, or a device that is not here.
        ArtefactError: for a folder ``out`` that holds something else; it stays as it is.
        TrainingError: when the loss is not finite.
    """
    check_output(out, KIND, data.items.root)
    started = time.perf_counter()
    view = data.select_view()
    file = Path(checkpoint) if checkpoint else None
    facts: dict[str, Any] = {
        "model": model.name,
        "settings": model.config.model_dump(mode="json"),
        "data": data.name,
        "hash": data.hash,
        "split": str(data.spec),
        "seed": seed,
    }
    if not overwrite:
        _check_same(Path(out), facts)
    name = digest(*(repr(value) for key, value in facts.items() if key != "data"))
    run = RunContext(seed, model.task.headline(data), usable_device(device), file, checkpoint_seconds, name)
    seed_torch(seed, "init", model.name)
    model.setup(view, run)
    state = train(model, view, replace(run, callbacks=tuple(callbacks)))
    model.to("cpu")
    model.eval()
    if distributed.start()[0]:
        return model
    with atomic_folder(out) as aside:
        check_output(out, KIND, data.items.root)
        if not overwrite:
            _check_same(Path(out), facts)
        seconds = time.perf_counter() - started
        write_picture_model(aside, model.picture_model(), facts | {"seconds": seconds, "versions": versions()})
        write_json(aside / HISTORY, state.history)
        mark(aside, KIND)
        keep_others(Path(os.path.realpath(out)), aside)
    if file is not None:
        file.unlink(missing_ok=True)
    return model


def _check_same(out: Path, facts: Mapping[str, Any]) -> None:
    """Refuse to replace a picture model that was trained otherwise.

    Raises:
        ArtefactError: naming what differs.
    """
    if is_free(out):
        return
    there = read_json(out / FACTS).get("facts", {})
    different = [key for key, value in facts.items() if key != "data" and there.get(key) != value]
    if different:
        raise ArtefactError(
            f"holds a picture model of another {different[0]}",
            file=out,
            hint="nothing was changed; choose another folder, or --overwrite (overwrite=True)",
        )
