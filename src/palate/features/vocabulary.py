"""Word pieces learnt from a catalogue's own texts: what text towers are trained on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from palate.core.errors import ArtefactError, MissingDependencyError

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""Ids 0 to 4."""
LETTERS = 1000
"""Letters that get a piece of their own."""


class Vocabulary:
    """Texts to ids of word pieces (WordPiece, Schuster & Nakajima, ICASSP 2012), by the ``tokenizers`` library.

    A text becomes [CLS], its pieces, [SEP]; lower case, accents dropped.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def learn(cls, texts: Iterable[str], size: int = 8000) -> Self:
        """Learn at most ``size`` pieces from ``texts``; the same texts in the same order give the same pieces."""
        try:
            from tokenizers import BertWordPieceTokenizer
        except ImportError as error:
            raise MissingDependencyError("tokenizers", "encoders") from error
        known = list(texts)
        made = BertWordPieceTokenizer(lowercase=True, strip_accents=True)
        # The library numbers continuations in the order of a randomly seeded hash map, and breaks ties by number.
        # Told beforehand, they have a number that depends on the texts alone.
        letters = sorted({letter for text in known for letter in made.normalize(text) if not letter.isspace()})
        inner = [f"##{letter}" for letter in letters[:LETTERS]]
        made.train_from_iterator(
            known, size, min_frequency=2, limit_alphabet=LETTERS, show_progress=False, special_tokens=[*SPECIAL, *inner]
        )
        pieces = made.get_vocab()
        return cls.load(BertWordPieceTokenizer(pieces, lowercase=True, strip_accents=True).to_str())

    @classmethod
    def load(cls, text: str) -> Self:
        """From what :meth:`dump` gave.

        Raises:
            ArtefactError: when it is damaged.
        """
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingDependencyError("tokenizers", "encoders") from error
        try:
            json.loads(text)
            made = Tokenizer.from_str(text)
        except Exception as error:  # the library raises bare Exceptions
            raise ArtefactError(f"a damaged tokenizer ({str(error)[:200]})") from error
        made.no_padding()
        return cls(made)

    def dump(self) -> str:
        """JSON from which :meth:`load` makes the same vocabulary."""
        return str(self._tokenizer.to_str())

    def __len__(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def ids(self, texts: Sequence[str | None], length: int) -> NDArray[np.int64]:
        """int64 [n, length], 0 beyond a text's end and for None; longer texts are cut, keeping [SEP]."""
        self._tokenizer.enable_truncation(length)
        made = self._tokenizer.encode_batch([text or "" for text in texts])
        out = np.zeros((len(texts), length), np.int64)
        for row, (text, found) in enumerate(zip(texts, made)):
            if text:
                out[row, : len(found.ids)] = found.ids
        return out
