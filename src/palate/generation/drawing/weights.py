"""A picture model in a folder: sizes and vocabulary as JSON, weights as safetensors, checked when they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from palate.core.errors import ArtefactError, PalateError
from palate.core.files import file_digest, read_json, read_tensors, write_json, write_tensors
from palate.generation.drawing.vocabulary import PictureVocabulary
from palate.modules.diffusion.network import LatentDiffusionNetwork, NetworkSize

FORMAT = 1
KIND = "picture model"
FACTS, WEIGHTS, MORE = "picture_model.json", "model.safetensors", "preference.safetensors"


@dataclass(frozen=True, eq=False)
class PictureModel:
    """What draws.

    Attributes:
        network: trained, frozen.
        vocabulary: of its conditions.
        version: digest of the weights.
        facts: how it was trained.
        more: tensors of a system that was trained on top of it; empty if none was.
    """

    network: LatentDiffusionNetwork
    vocabulary: PictureVocabulary
    version: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Tensor] = field(default_factory=dict)


def write_picture_model(folder: Path, model: PictureModel, facts: Mapping[str, Any]) -> None:
    """Write a model into an empty folder, which the caller makes visible.

    Args:
        folder: an empty folder.
        model: what is written.
        facts: how it was trained.
    """
    write_tensors(folder / WEIGHTS, model.network.state_dict())
    files = {WEIGHTS: file_digest(folder / WEIGHTS)}
    if model.more:
        write_tensors(folder / MORE, model.more)
        files[MORE] = file_digest(folder / MORE)
    size = asdict(model.network.size)
    about = {"format": FORMAT, "size": size, "vocabulary": model.vocabulary.to_json(), "files": files}
    write_json(folder / FACTS, {**about, "facts": dict(facts)})


def read_picture_model(folder: str | Path) -> PictureModel:
    """Read a folder that ``palate train-pictures`` wrote.

    Args:
        folder: the folder.

    Raises:
        ArtefactError: for anything else, or a damaged folder, naming the file.
    """
    folder = Path(folder)
    file = folder / FACTS
    if not file.is_file():
        raise ArtefactError(
            "is not a picture model", file=folder, hint="palate train-pictures DATA --out DIR makes one"
        )
    about = read_json(file)
    try:
        if int(about["format"]) > FORMAT:
            raise ArtefactError(f"written by a newer format {about['format']}", file=file, hint="upgrade palate")
        for name, wanted in about["files"].items():
            if name not in (WEIGHTS, MORE) or file_digest(folder / name) != wanted:
                raise ArtefactError("the file is damaged: its checksum differs", file=folder / name)
        vocabulary = PictureVocabulary.from_json(about["vocabulary"])
        size = NetworkSize(**{key: int(value) for key, value in about["size"].items()})
        if size.tokens != len(vocabulary):
            raise ValueError(f"{size.tokens} tokens, but a vocabulary of {len(vocabulary)}")
        with torch.random.fork_rng():
            network = LatentDiffusionNetwork(size)
        network.load_state_dict(read_tensors(folder / WEIGHTS))
        more = read_tensors(folder / MORE) if MORE in about["files"] else {}
        version = "-".join(digest[:12] for digest in about["files"].values())
    except PalateError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, OSError) as error:
        raise ArtefactError(
            f"cannot be read ({str(error)[:200]})", file=file, hint="copy the whole folder again"
        ) from error
    return PictureModel(network.requires_grad_(False).eval(), vocabulary, version, about.get("facts", {}), more)
