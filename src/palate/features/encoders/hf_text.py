"""Text by a transformer checkpoint: ``hf:<path or hub id>``."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.encoder import Raw, encoders
from palate.core.errors import ConfigError
from palate.core.files import read_json
from palate.features.architectures import TEXT
from palate.features.encoders.base import ContentEncoder
from palate.features.encoders.hf_encoder import HfEncoder, Output
from palate.features.encoders.hf_ids import CHARS_PER_TOKEN, HfTokenizer
from palate.features.encoders.text import clean_text
from palate.features.hub import load_tokenizer
from palate.modules.stages import Pooling as TokenPooling

Pooling = Literal["auto", "mean", "cls"]


@encoders.register("hf_text")
class HfText(HfEncoder):
    """Text tower of a checkpoint.

    Pooled: CLIP and CLAP, the projected text embedding; SigLIP, the pooled output of its head (padded to the full
    length, as it was trained); BERT types, the mean over real tokens, or the first token where ``pooling=cls`` or the
    checkpoint's own sentence-transformers settings say so. Tokens: the last hidden states of real tokens.

    Args:
        source: folder or hub id.
        output: ``pooled`` or ``tokens``.
        pooling: for BERT types; ``auto`` reads ``1_Pooling/config.json`` and falls back to the mean.
        max_length: tokens at most; default: as many as the checkpoint was made for.
        normalize: scale pooled vectors to unit length.
        batch: texts in one forward pass.
        device: ``auto`` takes CUDA when there is one.
        revision: of a hub id.

    Raises:
        ConfigError: for an unknown pooling, or a length below 1.
        FeatureError: if there is no such checkpoint, or its type has no text tower.
    """

    name, modality = "hf_text", "text"
    architectures, config_part = TEXT, "text_config"

    def __init__(
        self,
        source: str,
        output: Output = "pooled",
        pooling: Pooling = "auto",
        max_length: int | None = None,
        normalize: bool = False,
        batch: int = 32,
        device: str = "auto",
        revision: str | None = None,
    ) -> None:
        super().__init__(source, output, normalize, batch, device, revision)
        if pooling not in ("auto", "mean", "cls"):
            raise ConfigError(f"pooling is auto, mean or cls, not {pooling!r}", key="pooling")
        self.max_length = min(max_length or self._default_length(), self._positions())
        if self.max_length < 1:
            raise ConfigError(f"at least 1, not {max_length}", key="max_length")
        self.pooling = self._own_pooling() if pooling == "auto" else pooling
        self.options |= {"pooling": self.pooling, "max_length": self.max_length}

    @property
    def preprocessor(self) -> ContentEncoder:
        self.check_trainable()
        return HfTokenizer(str(self.folder), self.max_length)

    @property
    def pad_token_id(self) -> int:
        return int(self._tokenizer.pad_token_id)

    @property
    def pooling_mode(self) -> TokenPooling | None:
        if self.architecture.pooling is None:
            return None
        return "first" if self.pooling == "cls" else "mean"

    def read(self, raw: Raw) -> str | None:
        return clean_text(raw, self.max_length * CHARS_PER_TOKEN)

    def embed(self, contents: list[Any]) -> list[NDArray[np.float32]]:
        # Texts of similar length share a batch: little padding, and the order depends on the texts alone.
        sizes = np.array([len(text) for text in contents])
        out: list[NDArray[np.float32]] = [np.zeros(0, np.float32)] * len(contents)
        for rows, texts in self.in_batches(contents, np.argsort(sizes, kind="stable")):
            for row, vectors in zip(rows, self._forward(texts), strict=True):
                out[row] = vectors
        return out

    def _forward(self, texts: list[str]) -> list[NDArray[np.float32]]:
        padding: Any = "max_length" if self.model_type == "siglip" else True
        inputs = self._tokenizer(
            texts, padding=padding, truncation=True, max_length=self.max_length, return_tensors="pt"
        ).to(self.device)
        if self.model_type == "siglip":
            # Its tokenizer may give no mask; the model was trained without one.
            real = inputs["input_ids"] != self._tokenizer.pad_token_id
            inputs = {"input_ids": inputs["input_ids"]}
        else:
            real = inputs["attention_mask"].bool()
        with torch.inference_mode():
            outputs = self._model(**inputs)
        if not self.pooled:
            states = outputs.last_hidden_state
            return [tokens[mask].float().cpu().numpy() for tokens, mask in zip(states, real, strict=True)]
        return list(self.normalized(self._pool(outputs, real)))

    def _pool(self, outputs: Any, real: Tensor) -> Tensor:
        if self.architecture.vector_output is not None:
            vectors: Tensor = getattr(outputs, self.architecture.vector_output)
            return vectors
        states: Tensor = outputs.last_hidden_state
        if self.pooling == "cls":
            return states[:, 0]
        weight = real.unsqueeze(-1).to(states.dtype)
        return (states * weight).sum(1) / weight.sum(1).clamp(min=1e-9)

    def _positions(self) -> int:
        known = int(self.tower_config.get("max_position_embeddings") or 512)
        offset = int(self.tower_config.get("pad_token_id") or 0) + 1 if self.architecture.position_offset else 0
        return max(1, known - offset)

    def _default_length(self) -> int:
        settings = self.folder / "sentence_bert_config.json"
        if settings.is_file():
            return int(read_json(settings).get("max_seq_length") or 512)
        return 512

    def _own_pooling(self) -> Pooling:
        settings = self.folder / "1_Pooling" / "config.json"
        return "cls" if settings.is_file() and read_json(settings).get("pooling_mode_cls_token") else "mean"

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self.folder)
