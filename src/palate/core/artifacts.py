"""What a run keeps besides weights and encoders: codebooks, semantic ids, vocabularies, prompts, adapters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from palate.core.errors import ArtefactError, ConfigError, did_you_mean
from palate.core.files import digest, inside, read_json, read_tensors, write_json, write_tensors

FORMAT = 1
KINDS = ("codebook", "semantic_ids", "vocabulary", "prompt", "adapter", "schema", "counters", "trees")
_FACTS, _TENSORS = "artifact.json", "tensors.safetensors"


@dataclass(frozen=True, eq=False)
class Artifact:
    """A named part of a run that other runs may use.

    Attributes:
        kind: one of ``KINDS``.
        tensors: name -> tensor.
        state: JSON-able facts.
        made_from: hash of what it was learnt from, such as the data.
    """

    kind: str
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    made_from: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError("unknown kind of artifact", key=self.kind, hint=did_you_mean(self.kind, KINDS))

    @property
    def hash(self) -> str:
        """Hash of kind, facts and tensors."""
        parts: list[bytes | str] = [self.kind, json.dumps(dict(self.state), sort_keys=True)]
        for name in sorted(self.tensors):
            tensor = self.tensors[name].detach().cpu().contiguous()
            raw = tensor.flatten().view(torch.uint8) if tensor.numel() else tensor.new_zeros(0, dtype=torch.uint8)
            parts += [name, str(tensor.dtype), str(tuple(tensor.shape)), raw.numpy().tobytes()]
        return digest(*parts)


def save_artifacts(folder: Path, artifacts: Mapping[str, Artifact]) -> dict[str, dict[str, str]]:
    """Write artifacts, a folder each.

    Args:
        folder: made if there is any artifact.
        artifacts: by name.

    Returns:
        Name -> kind and hash, for the manifest.
    """
    for name, artifact in artifacts.items():
        place = inside(folder, name)
        place.mkdir(parents=True)
        if artifact.tensors:
            write_tensors(place / _TENSORS, dict(artifact.tensors))
        facts = {"format": FORMAT, "kind": artifact.kind, "hash": artifact.hash, "made_from": artifact.made_from}
        write_json(place / _FACTS, facts | {"state": dict(artifact.state)})
    return {name: {"kind": artifact.kind, "hash": artifact.hash} for name, artifact in artifacts.items()}


def load_artifacts(folder: Path) -> dict[str, Artifact]:
    """Read all artifacts of a run.

    Args:
        folder: as written; a missing one holds none.

    Raises:
        ArtefactError: for one that is damaged or written by a newer format.
    """
    if not folder.is_dir():
        return {}
    return {place.name: load_artifact(place) for place in sorted(folder.iterdir()) if place.is_dir()}


def load_artifact(place: Path) -> Artifact:
    """Read one artifact.

    Args:
        place: its folder.

    Raises:
        ArtefactError: when it is damaged or written by a newer format.
    """
    facts = read_json(place / _FACTS)
    if not isinstance(facts, dict) or not isinstance(facts.get("format"), int):
        raise ArtefactError("not an artifact", file=place / _FACTS)
    if facts["format"] > FORMAT:
        raise ArtefactError(f"written by a newer format {facts['format']}", file=place / _FACTS, hint="upgrade palate")
    tensors = read_tensors(place / _TENSORS) if (place / _TENSORS).is_file() else {}
    artifact = Artifact(facts["kind"], tensors, facts["state"], facts["made_from"])
    if artifact.hash != facts["hash"]:
        raise ArtefactError("the artifact is damaged", file=place, hint="copy the run again, or fit it again")
    return artifact


def required_artifacts(wanted: Mapping[str, str], sources: Mapping[str, str | Path], model: str) -> dict[str, Artifact]:
    """Artifacts that a model requires, out of other runs.

    Args:
        wanted: name -> kind, as the model's requirements say.
        sources: name -> run that holds it.
        model: name of the model, for error messages.

    Raises:
        ConfigError: when no run is named for one, or the named run lacks it.
        ArtefactError: when it is damaged.
    """
    read = {}
    for name, kind in wanted.items():
        if name not in sources:
            hint = f"give a run that holds it: artifacts={{{name!r}: RUN}}"
            raise ConfigError(f"{model} requires a {kind}", key=name, hint=hint)
        place = Path(sources[name]) / "artifacts" / name
        if not (place / _FACTS).is_file():
            raise ConfigError(f"the run holds no {kind} of this name", key=name, hint=f"looked for {place}")
        read[name] = load_artifact(place)
        if read[name].kind != kind:
            raise ConfigError(f"it is a {read[name].kind}, {model} requires a {kind}", key=name)
    return read
