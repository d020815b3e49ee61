"""Vectors of the pictures of a request: of known items as they are kept, of others encoded from their bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from palate.contracts import GenerationRequest, Model
from palate.core.batch import IntArray
from palate.core.content import Features
from palate.training.deployment import Deployment


class ReadsPictures(Protocol):
    """A fitted model that knows vectors of the catalogue's pictures."""

    @property
    def deployment(self) -> object | None:
        """Catalogue and encoders of the run."""
        ...

    @property
    def images(self) -> Features | None:
        """Vectors of all items; None for a model without pictures."""
        ...


def request_vectors(
    model: ReadsPictures, requests: Sequence[GenerationRequest], ids: str, width: int
) -> Features | None:
    """Vectors of the items of requests, item by item, each item before its history.

    Args:
        model: fitted.
        requests: a batch.
        ids: column of ids.
        width: of the vectors; 0 for a model without pictures.

    Returns:
        None for a model without pictures. Pictures that come with a request are encoded and win over those of the
        catalogue; an item that has neither, or a picture that cannot be read, is absent.
    """
    if not width:
        return None
    rows = [(request, row.get(ids)) for request in requests for row in (request.item, *request.history)]
    values, present = np.zeros((len(rows), width), np.float32), np.zeros(len(rows), bool)
    deployed = model.deployment
    if model.images is not None:
        places = catalog_rows(model, [item for _, item in rows])
        known = places >= 0
        values[known] = model.images.values[places[known]]
        present[known] = model.images.present[places[known]]
    given = [request.images.get(str(item)) for request, item in rows]
    encoded = encode_pictures(deployed, given)
    if encoded is not None:
        values[encoded.present] = encoded.values[encoded.present]
        present |= encoded.present
    return Features(np.where(present[:, None], values, 0), present)


def catalog_rows(model: Model | ReadsPictures, ids: Sequence[Any]) -> IntArray:
    """Rows of items in the catalogue of a fitted model, -1 for items that it does not know.

    Args:
        model: fitted.
        ids: ids of items; None for an item without one.
    """
    if not isinstance(model.deployment, Deployment) or not ids:
        return np.full(len(ids), -1, np.int64)
    found = model.deployment.items.ids.rows(["" if one is None else one for one in ids], "mark")
    return np.array(found, np.int64)


def own_pictures(request: GenerationRequest, ids: str, most: int) -> list[str]:
    """Keys of the pictures of the item, its own and further ones, without those of items of the history.

    Args:
        request: with pictures.
        ids: column of ids.
        most: keys at most.
    """
    taken = {str(row.get(ids)) for row in request.history} - {str(request.item.get(ids))}
    return [key for key in request.images if key not in taken][:most]


def picture_sets(
    model: ReadsPictures, requests: Sequence[GenerationRequest], ids: str, most: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Vectors of the pictures of each request's item, in the order of :func:`own_pictures`.

    A picture is encoded; where the run has no encoder of pictures, that of the catalogue's item of the same id is
    taken, if there is one.

    Args:
        model: fitted.
        requests: a batch.
        ids: column of ids.
        most: pictures of a request that are read.
        width: of the vectors.

    Returns:
        float32 [B, most, width] and bool [B, most].
    """
    values, present = np.zeros((len(requests), most, width), np.float32), np.zeros((len(requests), most), bool)
    places = [(row, at, key) for row, one in enumerate(requests) for at, key in enumerate(own_pictures(one, ids, most))]
    if not places:
        return values, present
    encoded = encode_pictures(model.deployment, [requests[row].images[key] for row, _, key in places])
    if encoded is None and model.images is not None:
        rows = catalog_rows(model, [key for _, _, key in places])
        known = rows >= 0
        found = Features(model.images.values[np.maximum(rows, 0)], known & model.images.present[np.maximum(rows, 0)])
        encoded = found
    if encoded is not None:
        for at, (row, place, _) in enumerate(places):
            values[row, place], present[row, place] = encoded.values[at], encoded.present[at]
    return np.where(present[..., None], values, 0), present


def encode_pictures(deployed: Any, pictures: Sequence[bytes | None]) -> Features | None:
    """Vectors of pictures by the encoder of a run; None where it has none, or there is no picture.

    Args:
        deployed: the deployment of a model, or None.
        pictures: bytes, None where there is none.
    """
    encoders: Mapping[str, Any] = deployed.content.encoders if isinstance(deployed, Deployment) else {}
    if "image" not in encoders or all(picture is None for picture in pictures):
        return None
    vectors: Features = deployed.content.store.encode(encoders["image"], list(pictures))
    return vectors
