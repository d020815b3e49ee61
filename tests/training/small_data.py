"""A small dataset for the loop, and the fit that tests interrupt."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch

from palate.contracts import Matcher, models
from palate.data.dataset import Dataset
from palate.training.fit import fit

N_USERS, N_ITEMS = 40, 30


def small(split: str | None = None) -> Dataset:
    rng = np.random.default_rng(3)
    rows = []
    for user in range(N_USERS):
        weight = np.where(np.arange(N_ITEMS) % 4 == user % 4, 20.0, 1.0)
        taken = rng.choice(N_ITEMS, 8, replace=False, p=weight / weight.sum())
        rows += [(user, int(item), max(0, place - 5)) for place, item in enumerate(taken)]
    log = pl.DataFrame(rows, schema=["user", "item", "part"], orient="row")
    items, users = pl.DataFrame({"item": np.arange(N_ITEMS)}), pl.DataFrame({"user": np.arange(N_USERS)})
    return Dataset.from_frames(items, log, users, columns={"item": "id"}, split=split)


def learn(name: str, folder: Path | str | None, split: str | None = None, **settings: object) -> Matcher:
    """Fit with a checkpoint after every epoch."""
    kind = models.get(name)
    chosen = {"dim": 8, "batch_size": 64, "lr": 0.02, "epochs": 5, **settings} if name != "blend" else settings
    model = fit(kind(**chosen), small(split), seed=1, checkpoint=folder, checkpoint_seconds=0.0)  # type: ignore[arg-type]
    assert isinstance(model, Matcher)
    return model


BLEND = {
    "members": ("lightgcn", "bpr"),
    "settings": {name: {"dim": 8, "epochs": 6, "batch_size": 64} for name in ("lightgcn", "bpr")},
}


def bits(model: Matcher) -> bytes:
    """All tensors of a model as bytes."""
    state = model.saved_tensors()
    return b"".join(name.encode() + state[name].contiguous().numpy().tobytes() for name in sorted(state))


def main() -> None:
    """Subprocess entry: ``learn MODEL FOLDER RUN`` or ``parallel OUT``."""
    torch.set_num_threads(1)
    if sys.argv[1] == "learn":
        name, folder, run = sys.argv[2:5]
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "started").write_text(str(time.time()))
        learn(name, folder, **(BLEND if name == "blend" else {"epochs": 30, "patience": 40})).save(run)
    else:
        model = learn("bpr", None, penalty="squares", epochs=3)
        if os.environ.get("RANK", "0") == "0":
            losses = [record["loss"] for record in model.deployment.log.history]
            np.savez(sys.argv[2], losses=losses, table=torch.cat([p.reshape(-1) for p in model.parameters()]).detach())


if __name__ == "__main__":
    main()
