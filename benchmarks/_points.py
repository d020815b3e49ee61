"""Does a pretraining system show its own point? What a point is, the data it is shown on, and who judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

import palate
from _common import WORK, real
from palate.contracts import Pretrainer
from palate.core.encoder import Encoder
from palate.data.dataset import Dataset
from palate.metrics.held_out import rank_held_out
from palate.metrics.lists import evaluate_lists
from palate.simulation.world import World

ITEMS, USERS = 800, 800
K = 20
READY = "encoder:"
"""How an ablation begins that is no training but an encoder as it comes: ``encoder:image=image_stats``."""
Judge = Callable[[Pretrainer, Mapping[str, Encoder], Dataset, int], NDArray[np.float64]]
Data = Callable[[int, bool], Dataset | None]


@dataclass(frozen=True)
class Point:
    """What a system claims, and the ablation that lacks only that.

    Attributes:
        system: registered name. claim: one sentence. supervision: as the tutorial groups systems.
        data: (seed, effect) -> data; None where there is no variant without effect.
        whole, ablation: ``name:key=value;key=value``, equal in parameters and budget, except that ``epochs=0`` is the
            system untrained, without any budget; or an encoder to be better than (``READY``), whose parameters and
            budget are what they are.
        judge: (model, encoders, data, seed) -> one value for each held-out unit, the higher the better.
        readers: modality -> reader. real: whether the data are.
    """

    system: str
    claim: str
    data: Data
    whole: str
    ablation: str
    judge: Judge
    supervision: str = "self"
    readers: Mapping[str, str] = field(default_factory=dict)
    real: bool = False


def shop(seed: int, effect: bool) -> Dataset:
    """The simulated shop, all modalities; a fifth of the items is new. Without effect, taste ignores content."""
    world = World.make("shop", seed=200 + seed, n_items=ITEMS, n_users=USERS, no_effect=not effect, image_size=64)
    folder = WORK / "worlds" / f"shop-{world.config.seed}-{world.config.hash[:12]}"
    if not (folder / "palate.yaml").is_file():
        world.write(folder, overwrite=True)
    return palate.load(folder, split=f"item_cold:seed={seed}")


def movies(seed: int, effect: bool) -> Dataset | None:
    """Posters and plots."""
    return palate.load(real("movies"), split=f"item_cold:seed={seed}") if effect else None


def clothing(seed: int, effect: bool) -> Dataset | None:
    """Photos of garments and their kind; a fifth is new. Nobody clicks: one user a photo stands in."""
    if not effect:
        return None
    files = sorted(real("clothing-cc0").glob("*/*/*.jpg"))
    names = [f"{file.parts[-3]}-{file.stem}" for file in files]
    items = pl.DataFrame({"item": names, "photo": [str(f) for f in files], "kind": [f.parts[-2] for f in files]})
    log = pl.DataFrame({"user": [f"u{i}" for i in range(len(files))], "item": names})
    columns = {"item": "id", "photo": "image", "kind": "attributes"}
    return palate.Dataset.from_frames(items, log, columns=columns, split=f"item_cold:seed={seed}")


def unseen(data: Dataset) -> NDArray[np.int64]:
    """Rows of the test part's new items."""
    return np.flatnonzero(data.split.test_candidates)


def vectors(encoder: Encoder, modality: str, data: Dataset, rows: NDArray[np.int64]):
    """What an encoder makes of these items."""
    return encoder.encode(data.items.raw(modality, rows))


def retrieval(one: str, other: str) -> Judge:
    """Reciprocal rank of a new item's other modality among the new items, both ways."""

    def judge(model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int) -> NDArray[np.float64]:
        a, b = (vectors(encoders[m], m, data, unseen(data)) for m in (one, other))
        both = a.present & b.present
        scores = a.values[both] @ b.values[both].T
        own = scores.diagonal()
        ranks = [(scores >= own[:, None]).sum(1), (scores >= own[None, :]).sum(0)]
        return np.mean([1 / rank for rank in ranks], axis=0)

    return judge


def probe(modality: str, label: str) -> Judge:
    """Whether a linear classifier on the vectors of seen items names ``label`` of a new one: 1 or 0 an item."""

    def judge(model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int) -> NDArray[np.float64]:
        new = unseen(data)
        old = np.setdiff1d(np.arange(data.n_items), new)
        names = labels(data, label)
        learn, ask = (vectors(encoders[modality], modality, data, rows) for rows in (old, new))
        known, asked = names[old][learn.present], names[new][ask.present]
        found = classify(learn.values[learn.present], known, ask.values[ask.present])
        return (found == asked).astype(np.float64)

    return judge


def labels(data: Dataset, name: str) -> NDArray[np.str_]:
    """A column of the items, or an attribute that only the simulated world's truth tells."""
    if name in data.items.frame.columns:
        return data.items.frame[name].cast(pl.String).fill_null("").to_numpy()
    assert data.items.root is not None
    return _truth(str(data.items.root))[name]


@cache
def _truth(folder: str) -> dict[str, NDArray[np.str_]]:
    items = World.load(folder).items
    codes = items.codes[items.content]
    return {
        name: np.array(items.schema.values(name))[codes[:, items.schema.column(name)].astype(int)]
        for name in items.schema.names
    }


def classify(known: NDArray, names: NDArray[np.str_], asked: NDArray) -> NDArray[np.str_]:
    """A ridge classifier on standardised vectors; its penalty is chosen on a fifth of what is known."""
    mean, scale = known.mean(0), known.std(0) + 1e-6
    a, b = ((x.astype(np.float64) - mean) / scale for x in (known, asked))
    classes, place = np.unique(names, return_inverse=True)
    hot = np.eye(len(classes))[place] - 1 / len(classes)
    order = np.random.default_rng(0).permutation(len(a))
    learn, check = order[len(a) // 5 :], order[: len(a) // 5]

    def fitted(rows: NDArray[np.int64], penalty: float) -> NDArray[np.float64]:
        x = a[rows]
        return np.linalg.solve(x.T @ x + penalty * len(rows) * np.eye(x.shape[1]), x.T @ hot[rows])

    right = {p: float(((a[check] @ fitted(learn, p)).argmax(1) == place[check]).mean()) for p in (1e-3, 1e-2, 0.1, 1.0)}
    return classes[(b @ fitted(order, max(right, key=lambda p: right[p]))).argmax(1)]


def cold_recall(*modalities: str) -> Judge:
    """Capped recall@20 of a user's new items, found by their vectors' mean cosine to those of the user's own."""

    def judge(model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int) -> NDArray[np.float64]:
        return recalled({m: encoders[m] for m in modalities}, data)

    return judge


def recalled(encoders: Mapping[str, Encoder], data: Dataset) -> NDArray[np.float64]:
    """Capped recall@20 of each test user's new items by all of these encoders."""
    rows = np.arange(data.n_items)
    parts = [vectors(encoder, modality, data, rows) for modality, encoder in encoders.items()]
    return nearest(data, [(part.values, part.present) for part in parts])


def nearest(data: Dataset, parts: list[tuple[NDArray, NDArray[np.bool_]]]) -> NDArray[np.float64]:
    """Capped recall@20 of each test user by mean cosines, averaged over the modalities that an item has."""
    import torch

    from palate.ranking.scorer import VectorScorer, mean_of

    held = data.test_queries()
    view = data.refit_view() or data.select_view()
    whole = []
    for values, present in parts:
        # new items are only asked about: the centre is that of items that training may see
        centred = np.where(present[:, None], values - values[present & view.visible_items].mean(0), 0)
        whole.append(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9))
    there = np.stack([present for _, present in parts]).sum(0)
    joint = np.concatenate(whole, axis=1) / np.sqrt(np.maximum(there, 1))[:, None]
    items = torch.from_numpy(joint.astype(np.float32))
    scorer = VectorScorer(mean_of(items, view.history), items, known=there > 0)
    lists = rank_held_out(scorer, held, K)
    return np.asarray(dict(evaluate_lists(lists, held.relevant, (K,), ("capped_recall",)))[f"capped_recall@{K}"])
