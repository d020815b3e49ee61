"""Checkpoints in the Hugging Face layout: found, checked and loaded without running anybody's code."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.errors import (
    ArtefactError,
    ConfigError,
    FeatureError,
    MissingDependencyError,
    UnsupportedError,
    did_you_mean,
)
from palate.core.files import digest, read_json
from palate.modules.checkpoint import STAGED, split_model, unsupported_checkpoint
from palate.modules.network import Network
from palate.modules.stages import Pooling, PoolingHead, TransformerStages

from ._base import ContentEncoder

Output = Literal["pooled", "tokens"]
_NOT_KEPT = ("dtype", "torch_dtype", "transformers_version", "architectures")
JOINT = ("clip", "siglip", "clap")
_WANTED = ("*.safetensors", "*.json", "*.txt", "*.model")


def checkpoint_folder(source: str, revision: str | None) -> Path:
    """The folder of a local path, or of a hub id (downloaded once: configuration, vocabulary, safetensors only).

    Raises:
        FeatureError: when there is no such checkpoint, or it has no safetensors weights.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        folder = _from_hub(source, revision)
    if not (folder / "config.json").is_file():
        raise FeatureError("no config.json: not a checkpoint", file=folder)
    if not list(folder.glob("*.safetensors")):
        raise FeatureError(
            "no safetensors weights; other weight files can run code and are not read",
            file=folder,
            hint="convert the checkpoint with save_pretrained(folder)",
        )
    return folder


def _from_hub(source: str, revision: str | None) -> Path:
    if find_spec("huggingface_hub") is None:
        raise MissingDependencyError("huggingface_hub", "encoders")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    hint = "give a folder, or download it where there is a network; HF_HUB_OFFLINE=1 uses what is cached"
    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=list(_WANTED)))
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise FeatureError(f"no such checkpoint ({str(error).splitlines()[0][:200]})", key=source, hint=hint) from error


def fingerprint(folder: Path) -> str:
    """Hash of configuration, vocabulary, preprocessing and weights: the same wherever the folder lies."""
    files = sorted(file for pattern in _WANTED for file in folder.glob(pattern) if file.is_file())
    return digest(*(f"{file.name}:{_file_hash(str(file), file.stat().st_mtime_ns)}" for file in files))


@lru_cache(maxsize=256)
def _file_hash(path: str, mtime: int) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def load_part(kind: str, folder: Path, **more: Any) -> Any:
    """``transformers.<kind>.from_pretrained`` from local files, remote code never."""
    if find_spec("transformers") is None:
        raise MissingDependencyError("transformers", "encoders")
    with _quiet():
        import transformers

        try:
            return getattr(transformers, kind).from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False, **more
            )
        except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError) as error:
            raise FeatureError(f"{kind} cannot be loaded ({str(error)[:300]})", file=folder) from error


def load_model(kind: str, folder: Path, device: torch.device, **more: Any) -> torch.nn.Module:
    """A model in evaluation mode, float32, from safetensors; a checkpoint that lacks weights is refused."""
    model, info = load_part(kind, folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **more)
    # Generic towers carry a pooler that masked language models do not have and that is not used here.
    lacking = sorted(key for key in info["missing_keys"] if not key.startswith("pooler."))
    if lacking:
        raise FeatureError(f"the checkpoint lacks {len(lacking)} weights of {kind}, first {lacking[0]}", file=folder)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    found: torch.nn.Module = model.eval().to(device)
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's own progress bars and advice off the screen."""
    logger = logging.getLogger("transformers")
    level = logger.level
    from transformers.utils import logging as theirs

    bars = theirs.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            theirs.enable_progress_bar()


class HfReader(ContentEncoder):
    """A checkpoint's own preprocessing, without its weights.

    Args:
        source: folder of the checkpoint.

    Attributes:
        files: names of those that it is made of.
    """

    version = 1
    files: ClassVar[tuple[str, ...]]

    def __init__(self, source: str) -> None:
        self.folder = Path(source).expanduser()
        if not self.folder.is_dir():
            raise FeatureError("no such folder", file=source, hint=f"the folder of a checkpoint ({self.files[0]}, ...)")
        self.options: dict[str, Any] = {"source": source}

    @property
    def key(self) -> str:
        """Hash of the files."""
        files = [self.folder / name for name in self.files]
        return digest(*(part for file in files if file.is_file() for part in (file.name, file.read_bytes())))

    def copy_files(self, folder: Path) -> None:
        """Copy the files; weights are not needed."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in self.files:
                if (self.folder / name).is_file():
                    shutil.copyfile(self.folder / name, folder / name)
        except OSError as error:
            raise ArtefactError(f"the preprocessing cannot be copied ({error})", file=folder) from error


class HfEncoder(ContentEncoder):
    """What the encoders over one checkpoint share; subclasses know the towers of their modality.

    Args:
        source: folder or hub id. output: one vector each, or ragged tokens. normalize: L2-norm pooled vectors.
        batch: entities in one forward pass. device: ``auto`` takes CUDA when there is one. revision: of a hub id.

    Attributes:
        towers: type of checkpoint -> class in transformers.
    """

    version = 1
    towers: ClassVar[Mapping[str, str]]

    def __init__(
        self,
        source: str,
        output: Output = "pooled",
        normalize: bool = False,
        batch: int = 32,
        device: str = "auto",
        revision: str | None = None,
    ) -> None:
        if output not in ("pooled", "tokens"):
            raise ConfigError(f"output is pooled or tokens, not {output!r}", key="output")
        if batch < 1:
            raise ConfigError(f"at least 1, not {batch}", key="batch")
        self.source, self.batch, self.normalize = source, batch, normalize
        self.kind = output
        self.device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        self.folder = checkpoint_folder(source, revision)
        self.config: dict[str, Any] = read_json(self.folder / "config.json")
        self.options: dict[str, Any] = {
            "source": source,
            "output": output,
            "normalize": normalize,
            "revision": revision,
        }
        self.model_type  # noqa: B018 - refuses an architecture without a tower here, before any work

    @property
    def model_type(self) -> str:
        """The checkpoint's architecture."""
        found = self.config.get("model_type")
        if found not in self.towers:
            raise FeatureError(
                f"{found} has no {self.modality} tower here",
                file=self.folder,
                hint=did_you_mean(str(found), self.towers),
            )
        return str(found)

    @property
    def trainable(self) -> bool:
        return self.pooled and self.towers[self.model_type] in STAGED

    @property
    def pad(self) -> int:
        """Id of padding, for texts."""
        return 0

    @property
    def choice(self) -> Pooling | None:
        """How tokens become one vector, where the class does not say."""
        return None

    def parts(self) -> tuple[dict[str, Any], TransformerStages, PoolingHead]:
        """Arguments of ``make_tower`` for a tower like it, and its own parts with their weights.

        Raises:
            UnsupportedError: when it cannot be trained.
        """
        self.refuse_fixed()
        model: Any = load_model(self.towers[self.model_type], self.folder, torch.device("cpu"), **self.more)
        known = json.loads(model.config.to_json_string(use_diff=False))
        config = {key: value for key, value in known.items() if key[0] != "_" and key not in _NOT_KEPT}
        made = {"kind": "checkpoint", "model": type(model).__name__, "config": config, "dim": self.dim}
        made |= {"pad": self.pad, "pooling": self.choice}
        return made, *split_model(model, self.pad, self.choice, self.normalize)

    def network(self) -> Network:
        made, stages, head = self.parts()
        return Network(stages, head, json.dumps(made, sort_keys=True))

    def refuse_fixed(self) -> None:
        """Refuse what cannot be trained."""
        if not self.pooled:
            raise UnsupportedError("output=tokens is read as it is", key=self.source, hint="leave it at pooled")
        if not self.trainable:
            raise unsupported_checkpoint(self.model_type, self.source)

    @property
    def more(self) -> dict[str, Any]:
        """Further arguments with which its class is loaded."""
        return {"add_pooling_layer": False} if self.towers[self.model_type] == "ViTModel" else {}

    @cached_property
    def _model(self) -> torch.nn.Module:
        return load_model(self.towers[self.model_type], self.folder, self.device, **self.more)

    @cached_property
    def weights(self) -> str:
        """Hash of the checkpoint's files."""
        return fingerprint(self.folder)

    @property
    def settings(self) -> dict[str, Any]:
        # Where the checkpoint lies does not change what it gives; what is in it does.
        kept = {key: value for key, value in self.options.items() if key not in ("source", "revision")}
        return {**kept, "weights": self.weights}

    @property
    def shared_space(self) -> str | None:
        # checkpoints of these types were trained to put two modalities into one space; their towers project into it
        return f"{self.model_type}:{self.weights}" if self.pooled and self.model_type in JOINT else None

    @property
    def pooled(self) -> bool:
        """One vector an entity."""
        return self.kind == "pooled"

    def copy_files(self, folder: Path) -> None:
        """Copy a local checkpoint, so that the encoder works on another machine; hub ids are fetched again there."""
        if not Path(self.source).expanduser().is_dir():
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for pattern in _WANTED:
                for file in self.folder.glob(pattern):
                    shutil.copyfile(file, folder / file.name)
        except OSError as error:
            raise ArtefactError(f"the checkpoint cannot be copied ({error})", file=folder) from error

    def sub(self, part: str) -> dict[str, Any]:
        """A nested configuration (``text_config``), with what the library fills in by default."""
        whole = self._full_config
        return dict(getattr(whole, part).to_dict()) if hasattr(whole, part) else dict(whole.to_dict())

    @cached_property
    def _full_config(self) -> Any:
        return load_part("AutoConfig", self.folder)

    def finish(self, vectors: Tensor) -> NDArray[np.float32]:
        """Pooled vectors to NumPy, normalised if asked for."""
        if self.normalize:
            vectors = torch.nn.functional.normalize(vectors, dim=-1)
        found: NDArray[np.float32] = vectors.float().cpu().numpy()
        return found

    def in_batches(
        self, contents: Sequence[Any], order: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], list[Any]]]:
        """Slices of ``order`` of at most ``batch`` entities, with their contents."""
        for start in range(0, len(order), self.batch):
            rows = order[start : start + self.batch]
            yield rows, [contents[row] for row in rows]
