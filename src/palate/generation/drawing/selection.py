"""The best of several pictures for one user and one item."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from palate.contracts import GenerationRequest
from palate.generation.drawing.prompts import item_id
from palate.generation.drawing.vocabulary import PictureVocabulary
from palate.generation.scoring.picture_space import PictureSpace, personal_scores


def best_by_z(
    pictures: Sequence[bytes], request: GenerationRequest, space: PictureSpace, alpha: float, plain: bytes | None = None
) -> tuple[int, dict[str, float]]:
    """The picture with the greatest z, and its d_p, d_t and z.

    Args:
        pictures: candidates, at least one.
        request: gives the pictures of item and history.
        space: where similarity is measured.
        alpha: weight of d_p.
        plain: stands for the picture of an item that has none: what was drawn for the item alone.

    Returns:
        Place in ``pictures``; -1 and nan where the item or the whole history has no picture to compare with.
    """
    item = request.images.get(item_id(request.item), plain)
    history = [request.images[item_id(one)] for one in request.history if item_id(one) in request.images]
    if item is None or not history:
        return -1, dict.fromkeys(("d_p", "d_t", "z"), float("nan"))
    taste, (target, *made) = space.taste(history), space.vectors([item, *pictures])
    scores = [personal_scores(one, taste, target, alpha) for one in made]
    best = int(np.argmax([one["z"] for one in scores]))
    return best, scores[best]


def most_alike(request: GenerationRequest, vocabulary: PictureVocabulary) -> bytes | None:
    """The picture of the history whose item has the most attribute values in common with the request's item.

    Args:
        request: the item, and a history with pictures.
        vocabulary: whose attribute values count.

    Returns:
        The newest of equals; None without pictures.
    """
    wanted, best, most = set(vocabulary.attributes_of(request.item)), None, -1.0
    for one in request.history:
        picture, own = request.images.get(item_id(one)), set(vocabulary.attributes_of(one))
        shared = len(own & wanted) / max(len(own | wanted), 1)
        if picture is not None and shared >= most:
            best, most = picture, shared
    return best
