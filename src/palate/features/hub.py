"""Checkpoints in the Hugging Face layout: found, checked and loaded without running code that comes with them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from palate.core.errors import ConfigError, FeatureError, MissingDependencyError
from palate.core.files import digest, file_digest

ALLOW_PATTERNS = ("*.safetensors", "*.json", "*.txt", "*.model")
"""Files of a checkpoint that are downloaded, hashed and copied: configuration, vocabulary, preprocessing, weights."""


def checkpoint_folder(source: str, revision: str | None) -> Path:
    """The folder of a local path, or of a hub id, which is downloaded once.

    Args:
        source: folder or hub id.
        revision: branch, tag or commit of a hub id.

    Raises:
        FeatureError: if there is no such checkpoint, or it has no safetensors weights.
        MissingDependencyError: for a hub id without huggingface_hub.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        folder = _download(source, revision)
    if not (folder / "config.json").is_file():
        raise FeatureError("no config.json: not a checkpoint", file=folder)
    if not list(folder.glob("*.safetensors")):
        raise FeatureError(
            "no safetensors weights; other weight files can run code and are not read",
            file=folder,
            hint="convert the checkpoint with save_pretrained(folder)",
        )
    return folder


def checkpoint_files(folder: Path) -> list[Path]:
    """The files of a checkpoint that matter, sorted."""
    return sorted(file for pattern in ALLOW_PATTERNS for file in folder.glob(pattern) if file.is_file())


def fingerprint(folder: Path) -> str:
    """Hash of configuration, vocabulary, preprocessing and weights: the same wherever the folder lies."""
    files = checkpoint_files(folder)
    return digest(*(f"{file.name}:{_digest_once(str(file), file.stat().st_mtime_ns)}" for file in files))


def load_pretrained(kind: str, folder: Path, **options: Any) -> Any:
    """``transformers.<kind>.from_pretrained`` from local files; remote code is never run.

    Args:
        kind: name of a class of transformers.
        folder: of the checkpoint.
        options: further arguments of ``from_pretrained``.

    Raises:
        FeatureError: if the class cannot be loaded from this folder.
        MissingDependencyError: without transformers.
    """
    if find_spec("transformers") is None:
        raise MissingDependencyError("transformers", "encoders")
    with _quiet():
        import transformers

        try:
            return getattr(transformers, kind).from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False, **options
            )
        except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError) as error:
            raise FeatureError(f"{kind} cannot be loaded ({str(error)[:300]})", file=folder) from error


def load_model(kind: str, folder: Path, device: torch.device, **options: Any) -> torch.nn.Module:
    """A model in evaluation mode, frozen, float32, from safetensors.

    Args:
        kind: name of a model class of transformers.
        folder: of the checkpoint.
        device: where the model is put.
        options: further arguments of ``from_pretrained``.

    Raises:
        FeatureError: if the checkpoint lacks weights of the class, or cannot be loaded.
        MissingDependencyError: without transformers.
    """
    model, info = load_pretrained(
        kind, folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **options
    )
    # generic towers carry a pooler that masked language models do not have and that is not used here
    missing = sorted(key for key in info["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise FeatureError(f"the checkpoint lacks {len(missing)} weights of {kind}, first {missing[0]}", file=folder)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    loaded: torch.nn.Module = model.eval().to(device)
    return loaded


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a checkpoint.

    Raises:
        ConfigError: if it has no padding token.
        FeatureError: if it cannot be loaded.
        MissingDependencyError: without transformers.
    """
    tokenizer = load_pretrained("AutoTokenizer", folder)
    if tokenizer.pad_token_id is None:
        raise ConfigError("the tokenizer has no padding token", file=folder)
    return tokenizer


def _download(source: str, revision: str | None) -> Path:
    if find_spec("huggingface_hub") is None:
        raise MissingDependencyError("huggingface_hub", "encoders")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    hint = "give a folder, or download it where there is a network; HF_HUB_OFFLINE=1 uses cached files"
    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=list(ALLOW_PATTERNS)))
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise FeatureError(f"no such checkpoint ({str(error).splitlines()[0][:200]})", key=source, hint=hint) from error


@lru_cache(maxsize=256)
def _digest_once(path: str, mtime: int) -> str:
    return file_digest(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's own progress bars and advice off the screen."""
    logger = logging.getLogger("transformers")
    level = logger.level
    from transformers.utils import logging as transformers_logging

    bars = transformers_logging.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()
