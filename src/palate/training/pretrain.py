"""``palate pretrain`` as a function: read raw content, train towers, leave encoders behind."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from palate.contracts import Pretrainer, pretrainers
from palate.core.context import RunContext
from palate.core.encoder import Encoder
from palate.core.errors import ArtefactError, ConfigError
from palate.core.files import atomic_folder, digest, read_json, write_json
from palate.core.output import check_output, is_free, keep_others, mark
from palate.core.seeding import isolated, seed_torch
from palate.core.tuning import TuningSpec, parse_tuning
from palate.data.dataset import Dataset
from palate.data.views import TrainView
from palate.features.encoders.tower import READERS
from palate.features.feature_spec import feature_specs
from palate.features.initialization import InitSpec, initialize_towers, pretrained_weights
from palate.features.plan import ContentPlan, find_encoder
from palate.features.saved import save_encoder
from palate.features.store import FeatureStore
from palate.training import distributed
from palate.training.loop import train
from palate.training.saving import versions

P = TypeVar("P", bound=Pretrainer)
FACTS = "pretrained.json"


@isolated
def pretrain(
    model: P,
    data: Dataset,
    out: str | Path,
    *,
    seed: int = 0,
    readers: dict[str, str] | None = None,
    start: Mapping[str, str] | None = None,
    tuning: str = "full",
    pretrained_lr: float = 0.1,
    store: FeatureStore | str | Path | None = None,
    checkpoint: str | Path | None = None,
    device: str = "auto",
    checkpoint_seconds: float = 30.0,
    overwrite: bool = False,
) -> dict[str, Encoder]:
    """Train ``model`` on what the split lets training see, and write ``out``: one encoder folder a modality.

    Of several processes that torchrun started, the first writes.

    Args:
        model: a pretrainer that was not trained yet.
        data: whose items, and behaviour where the model needs it, are learnt from.
        out: folder to write.
        seed: same seed, same bits on a CPU.
        readers: modality -> reader specification, for example ``{"image": "pixels?side=96"}``.
        start: modality -> encoder whose weights training starts from: ``minilm``, ``hf:<path or id>``, or the folder
            of an encoder that was pretrained before. Others start at random.
        tuning: what of these is trained: ``full``, the upper blocks by ``partial:<n>``, or ``lora:<rank>``.
        pretrained_lr: factor on the learning rate of weights that were trained before.
        store: where what readers made is kept; None keeps it in memory.
        checkpoint: a file; training that was killed resumes from it to the same bits.
        device: ``auto`` takes CUDA when present.
        checkpoint_seconds: at least this long between two writes of it.
        overwrite: replace encoders in ``out`` that were learnt otherwise.

    Returns:
        The encoders by modality. Items that the split hides (validation's and test's new items) were not seen.

    Raises:
        ConfigError: when the data lack what ``model`` needs.
        ArtefactError: for a folder ``out`` that holds something else; it stays as it is.
    """
    check_output(out, "set of encoders", data.items.root)
    wanted = {**READERS, **model.default_readers, **(readers or {})}
    if start and not model.supports_init:
        able = ", ".join(name for name, kind in pretrainers.items() if kind.supports_init)
        raise ConfigError(f"{model.name} builds networks of its own", key="start", hint=f"these can start: {able}")
    starts = {m: InitSpec.of(find_encoder(spec, m), m) for m, spec in (start or {}).items()}
    wanted |= {m: found.preprocessor_spec for m, found in starts.items()}
    readable = set(data.items.modalities) & set(model.reads())
    plan = {m: (m, spec, None) for m, spec in wanted.items() if m in readable}
    if lacking := sorted(starts.keys() - plan.keys()):
        raise ConfigError("the items have no such content", key=lacking[0], hint="see palate check DATA")
    if not plan:
        wants = ", ".join(model.reads())
        raise ConfigError(
            f"{model.name} learns from {wants}; the items have none", key="data", hint="see palate check DATA"
        )
    shelf = store if isinstance(store, FeatureStore) else FeatureStore(store)
    started = time.perf_counter()
    chosen = data.select_view()
    columns = feature_specs(model.columns(data.items))
    content, features = ContentPlan(feature_specs(plan), shelf, columns).fit(chosen, data, fields=True)
    view = content.training_view(chosen, features, model.requirements.queries)
    inputs = {m: replace(f, network=starts[m].network) if m in starts else f for m, f in view.features.items()}
    view = view.with_features(inputs, view.fields)
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    seed_torch(seed, "init", model.name)
    run = RunContext(seed, model.task.headline(data), device)
    model.setup(view, run)
    how = parse_tuning(tuning)
    learnt = _facts(model, data, seed, content.encoders, starts, how)
    if not overwrite:
        _check_same(Path(out), learnt)
    initialize_towers(model, starts, how, view.features)
    model.pretrained_parameters, model.pretrained_lr_scale = pretrained_weights(model), pretrained_lr
    facts = [model.name, model.config.model_dump_json(), data.hash, data.spec.model_dump_json(), str(seed), repr(plan)]
    facts += [str(how), str(pretrained_lr), *(found.identity for found in starts.values())]
    file = Path(checkpoint) if checkpoint else None
    run = replace(run, checkpoint=file, checkpoint_seconds=checkpoint_seconds, fingerprint=digest(*facts))
    state = train(model, view, run)
    model.eval()
    fitted_on = digest(data.hash, view.visible_items.tobytes())
    made = model.export(content.encoders, fitted_on)
    if distributed.start()[0]:
        return made
    with atomic_folder(out) as aside:
        check_output(out, "set of encoders", data.items.root)
        if not overwrite:
            _check_same(Path(out), learnt)
        for modality, encoder in made.items():
            save_encoder(aside / modality, encoder)
        seconds = time.perf_counter() - started
        write_json(aside / FACTS, learnt | _measured(view, state.history) | {"seconds": seconds})
        mark(aside, "set of encoders")
        keep_others(Path(os.path.realpath(out)), aside)
    if file is not None:
        file.unlink(missing_ok=True)
    return made


def _facts(
    model: Pretrainer,
    data: Dataset,
    seed: int,
    readers: Mapping[str, Encoder],
    starts: Mapping[str, InitSpec],
    how: TuningSpec,
) -> dict[str, Any]:
    """What the encoders are learnt from, and how: the same facts, the same encoders."""
    return {
        "model": model.name,
        "settings": model.config.model_dump(mode="json"),
        "data": data.name,
        "hash": data.hash,
        "split": str(data.spec),
        "seed": seed,
        "readers": {modality: reader.identity for modality, reader in readers.items()},
        "start": {modality: found.identity for modality, found in starts.items()},
        "tuning": str(how),
    }


def _measured(view: TrainView, history: list[dict[str, Any]]) -> dict[str, Any]:
    """How much was learnt from: nothing outside ``corpus`` was seen."""
    corpus = {
        "items": int(view.visible_items.sum()),
        "content": {name: int(found.present.sum()) for name, found in view.features.items()},
        "users": int(np.unique(view.users).size),
        "positives": len(view.users),
        "relations": {name: len(edges.source) for name, edges in view.relations.edges.items()},
    }
    return {"corpus": corpus, "history": history, "versions": versions()}


def _check_same(out: Path, learnt: Mapping[str, Any]) -> None:
    """Refuse to replace encoders that were learnt otherwise.

    Raises:
        ArtefactError: naming what differs.
    """
    if is_free(out):
        return
    there = read_json(out / FACTS)
    different = [name for name, value in learnt.items() if name != "data" and there.get(name) != value]
    if different:
        raise ArtefactError(
            f"holds encoders of another {different[0]}",
            file=out,
            hint="nothing was changed; choose another folder, or --overwrite (overwrite=True)",
        )
