"""Word pieces learnt from a catalogue's own texts."""

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
"""Letters that get a piece of their own, at most."""


class Vocabulary:
    """Texts to ids of word pieces (WordPiece, Schuster & Nakajima, ICASSP 2012), by the ``tokenizers`` library.

    A text becomes [CLS], its pieces, [SEP]; lower case, accents dropped.

    Args:
        tokenizer: of the ``tokenizers`` library.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def learn(cls, texts: Iterable[str], size: int = 8000) -> Self:
        """Learn pieces; the same texts in the same order give the same pieces.

        Args:
            texts: to learn from.
            size: pieces at most.

        Raises:
            MissingDependencyError: without the ``tokenizers`` library.
        """
        try:
            from tokenizers import BertWordPieceTokenizer
        except ImportError as error:
            raise MissingDependencyError("tokenizers", "encoders") from error
        corpus = list(texts)
        trainer = BertWordPieceTokenizer(lowercase=True, strip_accents=True)
        # The library numbers continuations in the order of a randomly seeded hash map, and breaks ties by number.
        # Given as special pieces, they have a number that depends on the texts alone.
        letters = sorted({letter for text in corpus for letter in trainer.normalize(text) if not letter.isspace()})
        inner = [f"##{letter}" for letter in letters[:LETTERS]]
        trainer.train_from_iterator(
            corpus,
            size,
            min_frequency=2,
            limit_alphabet=LETTERS,
            show_progress=False,
            special_tokens=[*SPECIAL, *inner],
        )
        pieces = trainer.get_vocab()
        return cls.load(BertWordPieceTokenizer(pieces, lowercase=True, strip_accents=True).to_str())

    @classmethod
    def load(cls, text: str) -> Self:
        """Restore what :meth:`dump` returned.

        Args:
            text: JSON.

        Raises:
            ArtefactError: if it is damaged.
            MissingDependencyError: without the ``tokenizers`` library.
        """
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingDependencyError("tokenizers", "encoders") from error
        try:
            json.loads(text)
            tokenizer = Tokenizer.from_str(text)
        except Exception as error:  # the library raises bare Exceptions
            raise ArtefactError(f"a damaged tokenizer ({str(error)[:200]})") from error
        tokenizer.no_padding()
        return cls(tokenizer)

    def dump(self) -> str:
        """JSON from which :meth:`load` makes the same vocabulary."""
        return str(self._tokenizer.to_str())

    def __len__(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def ids(self, texts: Sequence[str | None], length: int) -> NDArray[np.int64]:
        """Ids of texts.

        Args:
            texts: None where there is no text.
            length: ids of each text; longer texts are cut, keeping [SEP].

        Returns:
            int64 [n, length], 0 beyond a text's end and for None.
        """
        self._tokenizer.enable_truncation(length)
        encodings = self._tokenizer.encode_batch([text or "" for text in texts])
        out = np.zeros((len(texts), length), np.int64)
        for row, (text, encoding) in enumerate(zip(texts, encodings)):
            if text:
                out[row, : len(encoding.ids)] = encoding.ids
        return out
