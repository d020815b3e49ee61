"""Encoders as folders of JSON and safetensors, so that new items are encoded the same way anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from palate.core.encoder import Encoder, FittedEncoder, encoders
from palate.core.errors import ArtefactError, ConfigError
from palate.core.files import atomic_folder, read_json, read_tensors, write_json, write_tensors
from palate.core.output import check_output
from palate.features.encoders.base import ContentEncoder
from palate.features.encoders.pca import Pca
from palate.features.encoders.tower import Tower

FORMAT = 1
FACTS = "encoder.json"
INNER = "inner"
_ARRAYS, _CHECKPOINT = "state.safetensors", "checkpoint"


def save_encoder(folder: str | Path, encoder: Encoder) -> None:
    """Write options, fitted state, and a checkpoint that exists only on this machine; the folder appears complete.

    Args:
        folder: is created, or replaced if it is an encoder.
        encoder: with a registered name.

    Raises:
        ArtefactError: for a folder that is neither empty nor an encoder.
        ConfigError: for encoders made in code, which have no registered name.
    """
    if not isinstance(encoder, ContentEncoder):
        raise ConfigError(f"{type(encoder).__name__} cannot be saved by name", key=encoder.name)
    check_output(folder, "encoder")
    with atomic_folder(folder) as temporary:
        facts: dict[str, Any] = {
            "format": FORMAT,
            "name": encoder.name,
            "version": encoder.version,
            "modality": encoder.modality,
            "options": encoder.options,
            "identity": encoder.identity,
            "fitted_on": encoder.fitted_on,
        }
        if isinstance(encoder, FittedEncoder | Tower) and encoder.fitted_on is not None:
            arrays, facts["state"] = encoder.state()
            tensors = {key: torch.from_numpy(np.ascontiguousarray(array)) for key, array in arrays.items()}
            write_tensors(temporary / _ARRAYS, tensors)
        if isinstance(encoder, Pca | Tower):
            save_encoder(temporary / INNER, encoder.of)
        encoder.copy_files(temporary / _CHECKPOINT)
        write_json(temporary / FACTS, facts)


def load_encoder(folder: str | Path) -> Encoder:
    """Read what :func:`save_encoder` wrote.

    Args:
        folder: of the encoder.

    Raises:
        ArtefactError: if it is damaged, of a newer format, or would no longer give the same vectors.
    """
    folder = Path(folder)
    file = folder / FACTS
    if not file.is_file():
        raise ArtefactError("not an encoder folder", file=folder, hint=f"expected {FACTS}")
    facts = read_json(file)
    if not isinstance(facts, dict) or not isinstance(facts.get("format"), int):
        raise ArtefactError("no format version", file=file)
    if facts["format"] > FORMAT:
        raise ArtefactError(f"written by a newer format {facts['format']}", file=file, hint="upgrade palate")
    try:
        encoder = _build(folder, facts)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ArtefactError(f"an incomplete encoder ({type(error).__name__}: {error})", file=file) from error
    if isinstance(encoder, Tower):
        encoder.folder = folder
    if encoder.identity != facts["identity"]:
        raise ArtefactError(
            f"this version gives other vectors ({encoder.identity}, saved as {facts['identity']})",
            file=file,
            hint="encode and fit again",
        )
    return encoder


def _build(folder: Path, facts: Mapping[str, Any]) -> Encoder:
    options = dict(facts["options"])
    if facts["name"] in ("pca", "tower"):
        options["of"] = load_encoder(folder / INNER)
    if (folder / _CHECKPOINT).is_dir() and "source" in options:
        options["source"] = str(folder / _CHECKPOINT)
    encoder = encoders.get(facts["name"])(**options)
    if isinstance(encoder, FittedEncoder | Tower) and facts["fitted_on"] is not None:
        arrays = {key: tensor.numpy() for key, tensor in read_tensors(folder / _ARRAYS).items()}
        encoder.load_state(arrays, facts["state"])
        encoder.fitted_on = str(facts["fitted_on"])
    return encoder
