"""Hashed n-grams of text: no fitting, no download, any language.

Weinberger et al., *Feature hashing for large scale multitask learning*, 2009: n-grams go to a fixed number of signed
buckets, so that inner products are kept in expectation.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.encoder import Raw, encoders
from palate.core.errors import ConfigError
from palate.features.encoders.base import ContentEncoder
from palate.features.encoders.ngram_hashes import mix, runs, windows
from palate.features.encoders.text import clean_text

_SPACES = re.compile(r"\s+")
_NOT_WORD = re.compile(r"[\W_]+")
_BLANK = ord(" ")
_BLOCK_CHARS = 2_000_000


@encoders.register("hash")
class HashedNgrams(ContentEncoder):
    """Words, word pairs and character n-grams, counted into ``dim`` signed buckets; signed square root, L2 norm.

    Args:
        dim: buckets.
        chars_from: length of the shortest character n-grams (spaces included).
        chars_to: length of the longest.
        words: also words and pairs of neighbouring words.

    Raises:
        ConfigError: for fewer than 2 buckets, or n-grams of no length.
    """

    name, modality, version = "hash", "text", 1

    def __init__(self, dim: int = 2048, chars_from: int = 3, chars_to: int = 5, words: bool = True) -> None:
        if dim < 2 or not 1 <= chars_from <= chars_to:
            raise ConfigError(
                f"hash needs dim >= 2 and 1 <= chars_from <= chars_to, got {dim}, {chars_from}, {chars_to}"
            )
        self.options: dict[str, Any] = {"dim": dim, "chars_from": chars_from, "chars_to": chars_to, "words": words}

    @property
    def dim(self) -> int:
        return int(self.options["dim"])

    def read(self, raw: Raw) -> str | None:
        text = clean_text(raw)
        if text is None:
            return None
        folded = _SPACES.sub(" ", unicodedata.normalize("NFKC", text).lower()).strip()
        return f" {folded} " if folded else None

    def embed(self, contents: list[Any]) -> NDArray[np.float32]:
        out = np.zeros((len(contents), self.dim), np.float32)
        start = size = 0
        for end, text in enumerate(contents, 1):
            size += len(text)
            if size >= _BLOCK_CHARS or end == len(contents):
                out[start:end] = self._block(contents[start:end])
                start, size = end, 0
        return out

    def _block(self, texts: list[str]) -> NDArray[np.float32]:
        codes, letter_owners = _codes(texts)
        hashed = [
            windows(codes, letter_owners, n) for n in range(self.options["chars_from"], self.options["chars_to"] + 1)
        ]
        if self.options["words"]:
            plain = [f" {_NOT_WORD.sub(' ', text).strip()} " for text in texts]
            keys, owners = runs(*_codes(plain), _BLANK)
            pairs = mix(keys[:-1] * np.uint64(3) + keys[1:])
            together = owners[:-1] == owners[1:]
            hashed += [(keys, owners), (pairs[together], owners[:-1][together])]
        keys = np.concatenate([keys for keys, _ in hashed])
        rows = np.concatenate([owners for _, owners in hashed])
        bucket = (keys % np.uint64(self.dim)).astype(np.int64)
        sign = 1.0 - 2.0 * (keys >> np.uint64(63)).astype(np.float64)
        # Counts are whole numbers, exact in any order: a row never depends on other rows.
        flat = np.bincount(rows * self.dim + bucket, weights=sign, minlength=len(texts) * self.dim)
        counts = flat.reshape(len(texts), self.dim)
        values = np.sign(counts) * np.sqrt(np.abs(counts))
        # The squared norm is a sum of whole numbers too; a text whose n-grams all cancel keeps a zero row.
        norm = np.sqrt(np.abs(counts).sum(axis=1, keepdims=True))
        return (values / np.where(norm == 0, 1.0, norm)).astype(np.float32)


def _codes(texts: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    joined = "".join(texts).encode("utf-32-le", "replace")
    owners = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    return np.frombuffer(joined, np.uint32), owners
