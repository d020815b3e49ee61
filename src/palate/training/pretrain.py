"""``palate pretrain`` as a function: read raw content, train towers, leave encoders behind."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, TypeVar

import torch

from palate.core.encoder import Encoder
from palate.core.errors import ConfigError
from palate.core.files import atomic_folder, digest, write_json
from palate.core.model import Pretrainer
from palate.core.seeding import isolated, seed_torch
from palate.data.dataset import Dataset
from palate.features.encoders.tower import READERS
from palate.features.plan import Content
from palate.features.saved import save_encoder
from palate.features.store import FeatureStore

from .loop import LoopOptions, train

P = TypeVar("P", bound=Pretrainer)


@isolated
def pretrain(
    model: P,
    data: Dataset,
    out: str | Path,
    *,
    seed: int = 0,
    readers: dict[str, str] | None = None,
    store: FeatureStore | str | Path | None = None,
    checkpoint: str | Path | None = None,
    device: str = "auto",
    checkpoint_seconds: float = 30.0,
) -> dict[str, Encoder]:
    """Train ``model`` on what the split lets training see, and write ``out``: one encoder folder a modality.

    Args:
        readers: modality -> reader specification, for example ``{"image": "pixels?side=96"}``.
        store: where what readers made is kept; None keeps it in memory.
        checkpoint: a file; training that was killed resumes from it to the same bits.
        checkpoint_seconds: at least this long between two writes of it.

    Returns:
        The encoders by modality. Items that the split hides (validation's and test's new items) were not seen.

    Raises:
        ConfigError: when the data lack what ``model`` needs.
    """
    wanted = {**READERS, **(readers or {})}
    plan = {m: (m, spec, None) for m, spec in wanted.items() if m in data.items.modalities}
    if not plan:
        raise ConfigError("the items have no text, pictures or sound to learn from", key="data")
    shelf = store if isinstance(store, FeatureStore) else FeatureStore(store)
    content = Content(plan, shelf)
    started = time.perf_counter()
    view = content.view(data.select_view(seed), data, queries=model.needs.queries)
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    seed_torch(seed, "init", model.name)
    model.setup(view)
    facts = [model.name, model.config.model_dump_json(), data.hash, data.spec.model_dump_json(), str(seed), repr(plan)]
    file = Path(checkpoint) if checkpoint else None
    options = LoopOptions(seed, "retrieval", file, checkpoint_seconds, digest(*facts), device)
    state = train(model, view, options)
    model.eval()
    fitted_on = digest(data.hash, view.fit_items.tobytes())
    made = model.export(content.fitted, fitted_on)
    with atomic_folder(out) as aside:
        for modality, encoder in made.items():
            save_encoder(aside / modality, encoder)
        write_json(
            aside / "pretrained.json", _manifest(model, data, seed, view.fit_items.sum(), state.history, started)
        )
    if file is not None:
        file.unlink(missing_ok=True)
    return made


def _manifest(
    model: Pretrainer, data: Dataset, seed: int, items: Any, history: list[dict[str, Any]], started: float
) -> dict[str, Any]:
    return {
        "model": model.name,
        "settings": model.config.model_dump(mode="json"),
        "data": data.name,
        "hash": data.hash,
        "split": str(data.spec),
        "seed": seed,
        "items": int(items),
        "seconds": time.perf_counter() - started,
        "history": history,
    }
