"""Encoders over one public checkpoint in the Hugging Face layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.errors import ArtefactError, ConfigError, FeatureError, UnsupportedError, did_you_mean
from palate.core.files import read_json
from palate.features.architectures import Architecture
from palate.features.encoders.base import ContentEncoder
from palate.features.hub import checkpoint_files, checkpoint_folder, fingerprint, load_model, load_pretrained
from palate.modules.checkpoint import split_model, unsupported_checkpoint
from palate.modules.network import Network
from palate.modules.stages import Pooling, PoolingHead, TransformerStages

Output = Literal["pooled", "tokens"]
_NOT_IN_CONFIG = ("dtype", "torch_dtype", "transformers_version", "architectures")


class HfEncoder(ContentEncoder):
    """Base of the encoders over one checkpoint; subclasses know the inputs of their modality.

    Args:
        source: folder or hub id.
        output: ``pooled``, one vector each, or ragged ``tokens``.
        normalize: scale pooled vectors to unit length.
        batch: entities in one forward pass.
        device: ``auto`` takes CUDA when there is one.
        revision: of a hub id.

    Attributes:
        architectures: type of checkpoint -> its tower for this modality.
        config_part: name of the tower's own configuration in a checkpoint of several towers.

    Raises:
        ConfigError: for an unknown output or batch size.
        FeatureError: if there is no such checkpoint, or its type has no tower for this modality.
    """

    version = 1
    architectures: ClassVar[Mapping[str, Architecture]]
    config_part: ClassVar[str]

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
        """The type of the checkpoint.

        Raises:
            FeatureError: if it has no tower for this modality.
        """
        found = self.config.get("model_type")
        if found not in self.architectures:
            raise FeatureError(
                f"{found} has no {self.modality} tower here",
                file=self.folder,
                hint=did_you_mean(str(found), self.architectures),
            )
        return str(found)

    @property
    def architecture(self) -> Architecture:
        """The tower of the checkpoint for this modality."""
        return self.architectures[self.model_type]

    @property
    def pooled(self) -> bool:
        """Whether it gives one vector an entity."""
        return self.kind == "pooled"

    @property
    def dim(self) -> int:
        keys = self.architecture.width_keys if self.pooled else ("hidden_size", "dim")
        return next(int(self.tower_config[key]) for key in keys if self.tower_config.get(key))

    @property
    def settings(self) -> dict[str, Any]:
        # the content of a checkpoint changes the vectors, its place does not
        options = {key: value for key, value in self.options.items() if key not in ("source", "revision")}
        return {**options, "weights": self.weights}

    @property
    def shared_space(self) -> str | None:
        return f"{self.model_type}:{self.weights}" if self.pooled and self.architecture.multimodal else None

    @property
    def trainable(self) -> bool:
        return self.pooled and self.architecture.trainable

    @property
    def pad_token_id(self) -> int:
        """Id of padding, for texts."""
        return 0

    @property
    def pooling_mode(self) -> Pooling | None:
        """How tokens become one vector, where the class in transformers leaves a choice."""
        return None

    @cached_property
    def weights(self) -> str:
        """Hash of the checkpoint's files."""
        return fingerprint(self.folder)

    @cached_property
    def tower_config(self) -> dict[str, Any]:
        """Configuration of the tower, with the library's defaults."""
        config = load_pretrained("AutoConfig", self.folder)
        return dict(getattr(config, self.config_part, config).to_dict())

    def build_tower(self) -> tuple[dict[str, Any], TransformerStages, PoolingHead]:
        """The checkpoint's network in stages, so that a part of it can be trained.

        Returns:
            Arguments of :func:`palate.modules.towers.make_tower` for a tower like it, and its stages and head with
            their weights.

        Raises:
            UnsupportedError: if it cannot be trained.
        """
        self.check_trainable()
        cpu = torch.device("cpu")
        model: Any = load_model(self.architecture.model_class, self.folder, cpu, **self._model_kwargs)
        known = json.loads(model.config.to_json_string(use_diff=False))
        config = {key: value for key, value in known.items() if key[0] != "_" and key not in _NOT_IN_CONFIG}
        arguments = {"kind": "checkpoint", "model": type(model).__name__, "config": config, "dim": self.dim}
        arguments |= {"pad": self.pad_token_id, "pooling": self.pooling_mode}
        return arguments, *split_model(model, self.pad_token_id, self.pooling_mode, self.normalize)

    def network(self) -> Network:
        arguments, stages, head = self.build_tower()
        return Network(stages, head, json.dumps(arguments, sort_keys=True))

    def check_trainable(self) -> None:
        """Check that the checkpoint can be trained.

        Raises:
            UnsupportedError: if it gives tokens, or its architecture cannot stop between blocks.
        """
        if not self.pooled:
            raise UnsupportedError("output=tokens cannot be trained", key=self.source, hint="leave it at pooled")
        if not self.trainable:
            raise unsupported_checkpoint(self.model_type, self.source)

    def copy_files(self, folder: Path) -> None:
        """Copy a local checkpoint, so that the encoder works on another machine; hub ids are fetched again there.

        Raises:
            ArtefactError: if it cannot be copied.
        """
        if not Path(self.source).expanduser().is_dir():
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for file in checkpoint_files(self.folder):
                shutil.copyfile(file, folder / file.name)
        except OSError as error:
            raise ArtefactError(f"the checkpoint cannot be copied ({error})", file=folder) from error

    def normalized(self, vectors: Tensor) -> NDArray[np.float32]:
        """Pooled vectors as NumPy array, of unit length if ``normalize``."""
        if self.normalize:
            vectors = torch.nn.functional.normalize(vectors, dim=-1)
        values: NDArray[np.float32] = vectors.float().cpu().numpy()
        return values

    def in_batches(
        self, contents: Sequence[Any], order: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], list[Any]]]:
        """Slices of ``order`` of at most ``batch`` entities, with their contents."""
        for start in range(0, len(order), self.batch):
            rows = order[start : start + self.batch]
            yield rows, [contents[row] for row in rows]

    @cached_property
    def _model(self) -> torch.nn.Module:
        return load_model(self.architecture.model_class, self.folder, self.device, **self._model_kwargs)

    @property
    def _model_kwargs(self) -> dict[str, Any]:
        return dict(self.architecture.model_kwargs)
