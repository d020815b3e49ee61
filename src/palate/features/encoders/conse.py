"""Pictures in the space of words, by ConSE.

Norouzi et al., Zero-Shot Learning by Convex Combination of Semantic Embeddings, ICLR 2014.

A picture's vector is v = unit(sum over its T likeliest classes of p_c (t_c - t)), where p are EfficientNet-Lite0's
probabilities of the classes of ImageNet, scaled to sum 1, t_c MiniLM's vector of a sentence on class c, and t the mean
over all classes. A text's vector is MiniLM's, so cosines of words with pictures mean something without any training.

Ours: sentences name a class and say what it looks like; the colours of the picture are added, ``colour`` times the sum
over colours of share (t_colour - mean over colours), since the classes know nothing of colours; and, where ``learn``,
``learn`` times unit(W (x - mean)), a ridge regression of texts on the network's vectors x over items that have both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.cache import cache_folder
from palate.core.encoder import Raw, encoders
from palate.core.errors import ArtefactError, ConfigError, NotFittedError
from palate.core.files import digest
from palate.features.encoders.base import ContentEncoder
from palate.features.encoders.colour_names import COLOURS, ColourNames
from palate.features.encoders.derived import DerivedEncoder, Encode
from palate.features.encoders.efficientnet_lite0 import EfficientNetLite0
from palate.features.encoders.imagenet_names import class_sentences
from palate.features.encoders.minilm import MiniLM

Floats = NDArray[np.float32]
LEAST = 20
"""Items with picture and text below which nothing is learnt from them."""


@encoders.register("conse")
class ConSE(DerivedEncoder):
    """Pictures by the words for what they show and its colours, in MiniLM's space (Norouzi et al. 2014).

    Args:
        top: likeliest classes that count.
        colour: weight of the colours.
        learn: weight of what the catalogue's own pairs of picture and text teach; 0 learns nothing from them.

    Raises:
        ConfigError: for options out of range.
        MissingDependencyError: if the extras ``pictures`` and ``minilm`` are not installed.
    """

    name, modality, version = "conse", "image", 1

    def __init__(self, top: int = 10, colour: float = 1.2, learn: float = 0.0) -> None:
        if not 1 <= top <= 1000:
            raise ConfigError(f"1 to 1000 classes, not {top}", key="top")
        for key, value in (("colour", colour), ("learn", learn)):
            if not 0 <= value <= 100:
                raise ConfigError(f"a weight of 0 to 100, not {value}", key=key)
        self.network_encoder, self.words = EfficientNetLite0(), MiniLM()
        self.colours = ColourNames()
        self.options: dict[str, Any] = {"top": top, "colour": colour, "learn": learn}
        self.arrays: dict[str, Floats] = {}

    @property
    def parts(self) -> tuple[ContentEncoder, ...]:
        return self.network_encoder, self.colours

    @property
    def dim(self) -> int:
        return self.words.dim

    @property
    def settings(self) -> dict[str, Any]:
        return {**self.options, "parts": [part.identity for part in self.parts], "words": self.words.identity}

    @property
    def shared_space(self) -> str | None:
        return self.words.shared_space

    def derive(self, values: list[NDArray[np.generic]]) -> Floats:
        if not self.arrays:
            raise NotFittedError("the encoder conse is not fitted", hint="call fit(raws) or load_encoder(folder)")
        vectors, shares = (np.asarray(one, np.float32) for one in values)
        chances = self.network_encoder.classify(vectors)
        top = int(self.options["top"])
        least = np.partition(chances, -top, axis=1)[:, -top, None]
        kept = np.where(chances >= least, chances, 0)
        found = _unit(kept @ self.arrays["classes"])
        if "map" in self.arrays:
            found = found + self.options["learn"] * _unit((vectors - self.arrays["mean"]) @ self.arrays["map"])
        return _unit(_unit(found) + self.options["colour"] * shares @ self.arrays["colours"])

    def fit(self, batch: Sequence[Raw]) -> ConSE:
        """Read the names of classes and colours; learn nothing from ``batch``, which has no texts."""
        classes, colours = class_sentences(), list(COLOURS)
        found = _class_vectors(self.words, [*classes, *colours])
        split = (found[: len(classes)], found[len(classes) :])
        self.arrays = {key: one - one.mean(0) for key, one in zip(("classes", "colours"), split)}
        self.fitted_on = digest(found.tobytes())
        return self

    def fit_stored(self, encode: Encode, batch: Sequence[Raw], texts: Sequence[Raw]) -> None:
        self.fit(batch)
        if self.options["learn"]:
            pictures, described = encode(self.network_encoder, batch), encode(self.words, texts)
            both = pictures.present & described.present
            if both.sum() >= LEAST:
                self.fit_pairs(pictures.values[both], described.values[both])

    def fit_pairs(self, pictures: NDArray[np.generic], texts: NDArray[np.generic]) -> None:
        """Learn the map from pictures to texts.

        Args:
            pictures: vectors of the network, [n, 1280].
            texts: MiniLM's vectors of the texts of the same items, [n, 384].
        """
        x, y = np.asarray(pictures, np.float64), np.asarray(texts, np.float64)
        mean = x.mean(0)
        self.arrays["map"] = best_ridge(x - mean, y - y.mean(0)).astype(np.float32)
        self.arrays["mean"] = mean.astype(np.float32)
        self.fitted_on = digest(str(self.fitted_on), x.tobytes(), y.tobytes())

    def state(self) -> tuple[dict[str, NDArray[np.generic]], dict[str, Any]]:
        if not self.arrays:
            raise NotFittedError("the encoder conse is not fitted", hint="call fit(raws)")
        return dict(self.arrays), {}

    def load_state(self, arrays: Mapping[str, NDArray[np.generic]], facts: Mapping[str, Any]) -> None:
        self.arrays = {key: np.asarray(value, np.float32) for key, value in arrays.items()}


def best_ridge(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ridge regression of ``y`` on ``x``, both centred, with the penalty that is best for left-out rows (Allen 1974).

    Args:
        x: [n, d].
        y: [n, t].

    Returns:
        The map [d, t]; time O(n d^2 + d^3).
    """
    values, directions = np.linalg.eigh(x.T @ x)
    rotated = x @ directions
    cross = rotated.T @ y
    best, lowest = np.zeros((x.shape[1], y.shape[1])), np.inf
    for share in (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0):
        shrunk = 1 / (values.clip(0) + share * max(float(values.max()), 1e-12))
        leverage = (rotated**2 @ shrunk)[:, None] + 1 / len(x)
        left_out = (y - rotated @ (shrunk[:, None] * cross)) / np.maximum(1 - leverage, 1e-6)
        if (error := float((left_out**2).sum())) < lowest:
            best, lowest = directions @ (shrunk[:, None] * cross), error
    return best


def _class_vectors(words: MiniLM, sentences: list[str]) -> Floats:
    """MiniLM's vectors of sentences; kept in the user's cache, where there is one that can be written."""
    from palate.features.store import FeatureStore

    try:
        folder = cache_folder() / "vectors" / "imagenet-classes"
        found = FeatureStore(folder).encode(words, sentences, label="names of classes")
    except ArtefactError:
        found = FeatureStore(None).encode(words, sentences, label="names of classes")
    return np.array(found.values)


def _unit(vectors: NDArray[np.floating]) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), np.float32)
