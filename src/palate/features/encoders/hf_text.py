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
from palate.features.encoders._hf import HfEncoder, Output, load_part
from palate.features.encoders.base import ContentEncoder
from palate.features.encoders.hf_ids import CHARS_PER_TOKEN, HfTokenizer
from palate.features.encoders.text import clean_text
from palate.modules.stages import Pooling as Pooled

Pooling = Literal["auto", "mean", "cls"]
_OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "mpnet", "clap")
_PROJECTED = {
    "clip": "CLIPTextModelWithProjection",
    "siglip": "SiglipTextModel",
    "clap": "ClapTextModelWithProjection",
}


@encoders.register("hf_text")
class HfText(HfEncoder):
    """Text tower of a checkpoint.

    Pooled: CLIP and CLAP, the projected text embedding; SigLIP, the pooled output of its head (padded to the full
    length, as it was trained); BERT types, the mean over real tokens, or the first token where ``pooling=cls`` or the
    checkpoint's own sentence-transformers settings say so. Tokens: the last hidden states of real tokens.

    Args:
        pooling: for BERT types; ``auto`` reads ``1_Pooling/config.json`` and falls back to the mean.
        max_length: tokens at most; default: what the checkpoint was made for.
    """

    name, modality = "hf_text", "text"
    towers = {
        **_PROJECTED,
        "bert": "BertModel",
        "roberta": "RobertaModel",
        "xlm-roberta": "XLMRobertaModel",
        "camembert": "CamembertModel",
        "distilbert": "DistilBertModel",
        "mpnet": "MPNetModel",
        "electra": "ElectraModel",
        "albert": "AlbertModel",
        "deberta": "DebertaModel",
        "deberta-v2": "DebertaV2Model",
        "modernbert": "ModernBertModel",
        "nomic_bert": "NomicBertModel",
    }

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
    def dim(self) -> int:
        inner = self.sub("text_config")
        if not self.pooled or self.model_type not in ("clip", "clap", "siglip"):
            return int(inner.get("hidden_size") or inner["dim"])
        if self.model_type == "siglip":
            return int(inner.get("projection_size") or inner["hidden_size"])
        return int(inner["projection_dim"])

    def read(self, raw: Raw) -> str | None:
        return clean_text(raw, self.max_length * CHARS_PER_TOKEN)

    def embed(self, contents: list[Any]) -> list[NDArray[np.float32]]:
        # Neighbours in length share a batch: little padding, and the order depends on the texts alone.
        sizes = np.array([len(text) for text in contents])
        out: list[NDArray[np.float32]] = [np.zeros(0, np.float32)] * len(contents)
        for rows, texts in self.in_batches(contents, np.argsort(sizes, kind="stable")):
            for row, made in zip(rows, self._forward(texts), strict=True):
                out[row] = made
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
            made = self._model(**inputs)
        if not self.pooled:
            return [
                states[mask].float().cpu().numpy() for states, mask in zip(made.last_hidden_state, real, strict=True)
            ]
        return list(self.finish(self._pool(made, real)))

    def _pool(self, made: Any, real: Tensor) -> Tensor:
        if self.model_type in ("clip", "clap"):
            projected: Tensor = made.text_embeds
            return projected
        if self.model_type == "siglip":
            headed: Tensor = made.pooler_output
            return headed
        states: Tensor = made.last_hidden_state
        if self.pooling == "cls":
            return states[:, 0]
        weight = real.unsqueeze(-1).to(states.dtype)
        return (states * weight).sum(1) / weight.sum(1).clamp(min=1e-9)

    @property
    def reader(self) -> ContentEncoder:
        self.refuse_fixed()
        return HfTokenizer(str(self.folder), self.max_length)

    @property
    def pad(self) -> int:
        return int(self._tokenizer.pad_token_id)

    @property
    def choice(self) -> Pooled | None:
        if self.model_type in _PROJECTED:
            return None
        return "first" if self.pooling == "cls" else "mean"

    def _positions(self) -> int:
        inner = self.sub("text_config")
        known = int(inner.get("max_position_embeddings") or 512)
        offset = int(inner.get("pad_token_id") or 0) + 1 if self.model_type in _OFFSET_POSITIONS else 0
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
        tokenizer = load_part("AutoTokenizer", self.folder)
        if tokenizer.pad_token_id is None:
            raise ConfigError("the tokenizer has no padding token", key=self.source)
        return tokenizer
