"""Texts as token ids of a checkpoint's own tokenizer: what its network takes in."""

from __future__ import annotations

import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.encoder import Raw, encoders
from palate.core.errors import ArtefactError, ConfigError, FeatureError
from palate.core.files import digest

from ._base import ContentEncoder
from ._hf import load_part
from ._text import clean_text

CHARS_PER_TOKEN = 64
_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "vocab.json", "merges.txt",
          "sentencepiece.bpe.model", "spiece.model", "config.json")  # fmt: skip


@encoders.register("hf_ids")
class HfIds(ContentEncoder):
    """Ids + 1 as whole float32 numbers [max_length], 0 beyond a text's end.

    Args:
        source: folder of a checkpoint; its weights are not read. max_length: tokens at most.
    """

    name, modality, version = "hf_ids", "text", 1

    def __init__(self, source: str, max_length: int = 256) -> None:
        if max_length < 1:
            raise ConfigError(f"at least 1, not {max_length}", key="max_length")
        self.folder = Path(source).expanduser()
        if not self.folder.is_dir():
            raise FeatureError("no such folder", file=source, hint="the folder of a checkpoint with its tokenizer")
        self.options: dict[str, Any] = {"source": source, "max_length": max_length}

    @property
    def settings(self) -> dict[str, Any]:
        files = [self.folder / name for name in _FILES]
        vocabulary = digest(*(part for file in files if file.is_file() for part in (file.name, file.read_bytes())))
        return {"tokenizer": vocabulary, "max_length": self.options["max_length"]}

    @property
    def dim(self) -> int:
        return int(self.options["max_length"])

    def read(self, raw: Raw) -> str | None:
        return clean_text(raw, self.dim * CHARS_PER_TOKEN)

    def embed(self, contents: list[Any]) -> NDArray[np.float32]:
        made = self.tokenizer(contents, padding="max_length", truncation=True, max_length=self.dim)
        ids, real = (np.array(made[key], np.float32) for key in ("input_ids", "attention_mask"))
        found: NDArray[np.float32] = (ids + np.float32(1)) * real
        return found

    def copy_files(self, folder: Path) -> None:
        """Copy the tokenizer; weights are not needed."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in _FILES:
                if (self.folder / name).is_file():
                    shutil.copyfile(self.folder / name, folder / name)
        except OSError as error:
            raise ArtefactError(f"the tokenizer cannot be copied ({error})", file=folder) from error

    @cached_property
    def tokenizer(self) -> Any:
        """As transformers loads it."""
        tokenizer = load_part("AutoTokenizer", self.folder)
        if tokenizer.pad_token_id is None:
            raise ConfigError("the tokenizer has no padding token", key=str(self.folder))
        return tokenizer
