"""The content of a run as a folder: plan, encoders, vectors, imputer, and networks that were trained with the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from palate.core.content import Features
from palate.core.encoder import Encoder
from palate.core.files import inside, read_json, read_tensors, write_json, write_tensors
from palate.core.item_features import ItemFeatures
from palate.features.feature_spec import feature_specs
from palate.features.fitted import FittedContent
from palate.features.impute import Imputer
from palate.features.relational import is_relational
from palate.features.saved import load_encoder, save_encoder
from palate.features.store import FeatureStore
from palate.features.trainable import TrainableEncoders

_PLAN, _TRAINED, _IMPUTER = "plan.json", "adapted", "_imputer.safetensors"


class StoredEncoders(Mapping[str, Encoder]):
    """Encoders of a run, each read when it is needed: recommending known items needs none.

    Args:
        folders: feature name -> folder of its encoder.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = dict(folders)
        self._read: dict[str, Encoder] = {}

    def __getitem__(self, name: str) -> Encoder:
        if name not in self._read:
            self._read[name] = load_encoder(self._folders[name])
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._folders

    def __iter__(self) -> Iterator[str]:
        return iter(self._folders)

    def __len__(self) -> int:
        return len(self._folders)


def save_content(folder: Path, content: FittedContent, features: ItemFeatures) -> None:
    """Write plan, encoders and vectors, so that a run works and encodes new items on another machine.

    Args:
        folder: is created.
        content: plan and encoders.
        features: of all items of the run.

    Raises:
        ConfigError: for encoders made in code, which have no registered name.
    """
    folder.mkdir(parents=True)
    for name in content.plan:
        if name in content.encoders:
            save_encoder(inside(folder, name), content.encoders[name])
    for name, vectors in features.items():
        tensors = {"values": torch.from_numpy(np.require(vectors.values, requirements=["C", "W"]))}
        write_tensors(inside(folder, f"{name}.safetensors"), tensors | {"present": torch.from_numpy(vectors.present)})
    if content.trained is not None:
        content.trained.save(folder / _TRAINED)
    facts: dict[str, Any] = {
        "plan": {name: list(spec) for name, spec in content.plan.items()},
        "vectors": {name: [vectors.identity, vectors.fitted_on] for name, vectors in features.items()},
        "sources": {name: list(made_of) for name, made_of in content.sources.items()},
    }
    if content.imputer is not None:
        tensors, facts["imputer"] = content.imputer.state()
        write_tensors(folder / _IMPUTER, tensors)
    write_json(folder / _PLAN, facts)


def load_content(folder: Path, n_items: int | None = None) -> tuple[FittedContent, ItemFeatures]:
    """Read what :func:`save_content` wrote.

    Args:
        folder: was written by :func:`save_content`.
        n_items: number of items of the run; needed only where it has no features.

    Raises:
        ArtefactError: if trained weights are damaged or do not fit; for an encoder, when it is first needed.
    """
    facts = read_json(folder / _PLAN)
    plan = feature_specs(facts["plan"])
    loaded = StoredEncoders({name: inside(folder, name) for name, spec in plan.items() if not spec.given})
    vectors = {}
    for name, (identity, fitted_on) in facts["vectors"].items():
        tensors = read_tensors(inside(folder, f"{name}.safetensors"))
        values, present = tensors["values"].numpy(), tensors["present"].numpy()
        vectors[name] = Features(values, present, identity=identity, fitted_on=fitted_on)
    relational = {name: features for name, features in vectors.items() if is_relational(features)}
    sources = {name: tuple(made_of) for name, made_of in facts.get("sources", {}).items()}
    trained = folder / _TRAINED
    content = FittedContent(
        plan,
        loaded,
        FeatureStore(None),
        sources,
        main=(*plan, *relational),
        relational=relational,
        imputer=Imputer.from_state(read_tensors(folder / _IMPUTER), facts["imputer"]) if "imputer" in facts else None,
        trained=TrainableEncoders.load(trained, loaded) if trained.is_dir() else None,
    )
    return content, ItemFeatures(vectors, n_items, sources)
