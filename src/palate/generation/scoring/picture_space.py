"""Pictures as vectors, and how personal and how true a picture is: d_p, d_t and z of PMG.

Shen et al., WWW 2024: d_p and d_t are cosines of the made picture with the user's taste and with the item, and
z = alpha log d_p + (1 - alpha) log d_t. A logarithm needs d > 0: cosines below 1e-6 count as 1e-6. Their text encoder
is CLIP's; here taste is the mean vector of the user's pictures and the item is its own picture, in the space of a named
encoder. d_p and d_t are always given together: a picture that keeps neither has both low (guidance collapse), and each
alone is best for a copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.contracts import Generated
from palate.core.encoder import Encoder, encoders
from palate.core.errors import ConfigError
from palate.features.default_encoders import default_encoder
from palate.generation.drawing.prompts import item_id

Floats = NDArray[np.float32]
LEAST = 1e-6
ALPHA = 2 / 3
"""Weight of the user's side, as in the released code of PMG."""


class PictureSpace:
    """Unit vectors of pictures in the space of a pooled picture encoder.

    Args:
        encoder: name of one; the best that is installed if None.

    Raises:
        ConfigError: for an encoder that reads no pictures, or that makes no single vector.
    """

    def __init__(self, encoder: str | None = None) -> None:
        self.name = encoder or default_encoder("image")
        self.encoder: Encoder = encoders.get(self.name)()
        if self.encoder.modality != "image" or self.encoder.kind != "pooled":
            raise ConfigError("does not make one vector of a picture", key=self.name, hint="image_stats does")

    def vectors(self, pictures: Sequence[bytes]) -> Floats:
        """Unit vectors, float32 [n, d].

        Args:
            pictures: encoded.

        Raises:
            FeatureError: for a picture that cannot be read, with its number.
        """
        if not pictures:
            return np.zeros((0, self.encoder.dim), np.float32)
        values = np.asarray(self.encoder.encode(pictures).values, np.float32)
        return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12), np.float32)

    def taste(self, history: Sequence[bytes]) -> Floats:
        """Unit mean vector of the user's pictures, float32 [d].

        Args:
            history: pictures of items that the user took, at least one.
        """
        mean = self.vectors(history).mean(0)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)


def z_score(personal: float, relevant: float, alpha: float = ALPHA) -> float:
    """alpha log d_p + (1 - alpha) log d_t, each d at least 1e-6.

    Args:
        personal: d_p, cosine with the user's taste.
        relevant: d_t, cosine with the item.
        alpha: weight of the user's side, from 0 to 1.
    """
    return float(alpha * np.log(max(personal, LEAST)) + (1 - alpha) * np.log(max(relevant, LEAST)))


def personal_scores(made: Floats, taste: Floats, item: Floats, alpha: float = ALPHA) -> dict[str, float]:
    """d_p, d_t and z of one picture.

    Args:
        made: its unit vector.
        taste: unit vector of the user's taste.
        item: unit vector of the item.
        alpha: weight of the user's side.
    """
    personal, relevant = float(made @ taste), float(made @ item)
    return {"d_p": personal, "d_t": relevant, "z": z_score(personal, relevant, alpha)}


def copy_nearest(space: PictureSpace, item: bytes, history: Sequence[bytes]) -> int:
    """The baseline that draws nothing: the picture of the history that is most similar to the item's.

    Args:
        space: where similarity is measured.
        item: picture of the item.
        history: pictures of items that the user took, at least one.

    Returns:
        Place in ``history``.
    """
    return int(np.argmax(space.vectors(history) @ space.vectors([item])[0]))


class PersonalPictureScorer:
    """A judge of pictures, :class:`palate.contracts.ContentScorer`: d_p, d_t and z.

    Args:
        images: picture bytes by item id.
        encoder: whose space counts; the best that is installed if None.
        alpha: weight of the user's side in z.
    """

    def __init__(self, images: Mapping[str, bytes], encoder: str | None = None, alpha: float = ALPHA) -> None:
        self.images, self.space, self.alpha = images, PictureSpace(encoder), alpha

    def score(
        self, item: Mapping[str, Any], user: Sequence[Mapping[str, Any]], generated: Generated
    ) -> Mapping[str, float]:
        """Scores by name; nan where a picture is missing.

        Args:
            item: id and columns of the item.
            user: the user's history.
            generated: what to judge.
        """
        own = self.images.get(item_id(item))
        history = [self.images[item_id(one)] for one in user if item_id(one) in self.images]
        if generated.image is None or own is None or not history:
            return dict.fromkeys(("d_p", "d_t", "z"), float("nan"))
        made, target = self.space.vectors([generated.image, own])
        return personal_scores(made, self.space.taste(history), target, self.alpha)
