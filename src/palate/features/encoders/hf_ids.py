"""Texts as token ids of a checkpoint's own tokenizer: the inputs of its network."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.encoder import Raw, encoders
from palate.core.errors import ConfigError
from palate.features.encoders.hf_preprocessor import HfPreprocessor
from palate.features.encoders.text import clean_text
from palate.features.hub import load_tokenizer

CHARS_PER_TOKEN = 64


@encoders.register("hf_ids")
class HfTokenizer(HfPreprocessor):
    """Ids + 1 as whole float32 numbers [max_length], 0 beyond a text's end.

    Args:
        source: folder of a checkpoint; its weights are not read.
        max_length: tokens at most.

    Raises:
        ConfigError: for a length below 1.
        FeatureError: if there is no such folder.
    """

    name, modality = "hf_ids", "text"
    files = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "vocab.json",
             "merges.txt", "sentencepiece.bpe.model", "spiece.model", "tokenizer.model", "config.json")  # fmt: skip

    def __init__(self, source: str, max_length: int = 256) -> None:
        if max_length < 1:
            raise ConfigError(f"at least 1, not {max_length}", key="max_length")
        super().__init__(source)
        self.options |= {"max_length": max_length}

    @property
    def settings(self) -> dict[str, Any]:
        return {"tokenizer": self.files_digest, "max_length": self.options["max_length"]}

    @property
    def dim(self) -> int:
        return int(self.options["max_length"])

    def read(self, raw: Raw) -> str | None:
        return clean_text(raw, self.dim * CHARS_PER_TOKEN)

    def embed(self, contents: list[Any]) -> NDArray[np.float32]:
        encoded = self.tokenizer(contents, padding="max_length", truncation=True, max_length=self.dim)
        ids = np.array(encoded["input_ids"])
        # SigLIP's tokenizer gives no mask
        masked = "attention_mask" in encoded
        real = np.array(encoded["attention_mask"]) if masked else ids != self.tokenizer.pad_token_id
        values: NDArray[np.float32] = ((ids + 1) * real).astype(np.float32)
        return values

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer of transformers."""
        return load_tokenizer(self.folder)
