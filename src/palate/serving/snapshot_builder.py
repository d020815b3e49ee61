"""Snapshots are made: of a run folder, and of a snapshot whose catalogue changes."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from palate.contracts import Matcher
from palate.core.errors import ConfigError, PalateError
from palate.core.files import read_json
from palate.core.shared_copy import shared_copy
from palate.features.store import FeatureStore
from palate.ranking.scorer import PaddedScorer, Scorer
from palate.serving.catalog_updates import CatalogUpdate, apply_update
from palate.serving.index.calibration import sample_queries
from palate.serving.index.vector_index import VectorIndex, open_index
from palate.serving.snapshot import MAIN, ModelSnapshot, ServedModel, run_fingerprint, run_version
from palate.training.deployment import deployment_of
from palate.training.manifest import erased_rows
from palate.training.saving import restore

LOG = logging.getLogger("palate.serving")

WARM_UP_ITEMS = 4
"""Items that the warm-up encodes again: a single one may lack what others have."""

MakeIndex = Callable[[Scorer], VectorIndex | None]


def open_snapshot(
    run: str | Path,
    index_folder: Path | None = None,
    store: FeatureStore | None = None,
    index_url: str | None = None,
) -> ModelSnapshot:
    """Restore a run and make its scorers.

    Args:
        run: run folder, or a link to one.
        index_folder: folder of indexes of item vectors; without it all items are scored.
        store: store of the encoded content of items that are added.
        index_url: URL of a Qdrant server that holds the indexes instead.

    Raises:
        ArtefactError: if ``run`` is not a run folder, or is damaged.
        ConfigError: if its model does not recommend items.
    """
    folder, resolved = Path(run), Path(os.path.realpath(run))
    version, fingerprint = run_version(folder), run_fingerprint(resolved)
    model = restore(resolved)
    if not isinstance(model, Matcher):
        raise ConfigError(f"{model.name} does not recommend items", key=str(resolved))
    deployment = deployment_of(model)
    erased = set(erased_rows(read_json(resolved / "manifest.json")))
    items = deployment.items
    if store is not None:
        deployment.content = deployment.content.with_store(store)
    snapshot = ModelSnapshot(
        folder,
        resolved,
        version,
        fingerprint,
        model,
        items,
        deployment.content,
        deployment.features,
        deployment,
        {str(item): row for row, item in enumerate(items.ids.ids.to_list())},
        {str(user): row for row, user in enumerate(deployment.users.ids.to_list()) if row not in erased},
        np.ones(len(items), bool),
        np.zeros(len(items)),
    )
    _build_models(snapshot, None if index_folder is None else partial(_open_index, snapshot, index_folder, index_url))
    return snapshot


def with_items(snapshot: ModelSnapshot, update: CatalogUpdate) -> ModelSnapshot:
    """The next snapshot, in which the catalogue is updated; ``snapshot`` stays as it is.

    New content is encoded; the vectors of the catalogue are copied; what a model derives from them is updated for
    these items only, where the model can. Requests do not see the result before :meth:`.ModelSnapshot.commit`.

    Args:
        snapshot: the snapshot to start from.
        update: items to add or change.

    Raises:
        DataError: for a column that the catalogue lacks or that names files, or a value that does not fit.
    """
    content = snapshot.content
    items, features, rows, new_rows = apply_update(snapshot.items, content, snapshot.features, snapshot.rows, update)
    model = snapshot.model
    if model.capabilities.new_items:
        model = shared_copy(model)
        model.update_items(content.model_features(features))
        model.meet_catalog(items)
    n_new = len(items) - len(snapshot)
    active = np.concatenate([snapshot.active, np.zeros(n_new, bool)])
    active[rows] = True
    added_at = np.concatenate([snapshot.added_at, np.zeros(n_new)])
    is_new = rows >= len(snapshot)
    added_at[rows[is_new]] = update.times[is_new]
    # an item that comes back after it was removed keeps nothing, its image neither
    emptied = set(rows[update.is_new].tolist())
    images = {row: path for row, path in snapshot.images.items() if row not in emptied}
    images |= {int(row): path for row, path in zip(rows, update.images) if path is not None}
    successor = replace(
        snapshot,
        model=model,
        items=items,
        features=features,
        active=active,
        added_at=added_at,
        images=images,
        models={},
        new_rows=new_rows,
        changed_rows=rows,
    )
    _build_models(successor, lambda scorer: snapshot.models[MAIN].index)
    successor.stats.precompute(like=snapshot.stats, changed=rows)
    return successor


def warm_up(snapshot: ModelSnapshot) -> None:
    """Load and compute what the first requests, or the first added item, would wait for."""
    content, ids = snapshot.content.with_store(FeatureStore(None)), snapshot.ids[:WARM_UP_ITEMS]
    unchanged = CatalogUpdate(ids, [{}] * len(ids), [None] * len(ids), np.zeros(len(ids), bool), snapshot.added_at)
    try:
        apply_update(snapshot.items, content, snapshot.features, snapshot.rows, unchanged)
    except PalateError as error:
        # lists need no encoder: a run whose encoders are not installed, or are of another version, is served
        LOG.warning("items cannot be added to the run %s: %s", snapshot.run, error)
    snapshot.stats.precompute()


def _build_models(snapshot: ModelSnapshot, make_index: MakeIndex | None) -> None:
    """Make the scorers: the model's own, and those of its members."""
    with torch.inference_mode():
        scorer = _over_all(snapshot.model.scorer(), len(snapshot))
        index = None if make_index is None else make_index(scorer)
        new_users = snapshot.model.capabilities.new_users
        snapshot.models[MAIN] = ServedModel(MAIN, scorer, snapshot.active & scorer.scorable(), new_users, index)
        for name, member in scorer.members().items():
            eligible = snapshot.active & member.scorable()
            snapshot.models[name] = ServedModel(name, member, eligible, new_users=True)


def _over_all(scorer: Scorer, n_items: int) -> Scorer:
    """A scorer of all items: added items that the model cannot score are never its answer."""
    return scorer if scorer.n_items == n_items else PaddedScorer(scorer, n_items)


def _open_index(snapshot: ModelSnapshot, folder: Path, index_url: str | None, scorer: Scorer) -> VectorIndex | None:
    """The index of the scorer's item vectors; None where it has none."""
    if type(scorer).item_vectors is Scorer.item_vectors:
        return None
    queries = partial(sample_queries, scorer, snapshot.deployment.seen, snapshot.users.values())
    return open_index(folder, index_url, scorer.item_vectors().numpy(), scorer.scorable(), queries)
