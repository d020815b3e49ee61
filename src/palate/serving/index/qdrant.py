"""An index in Qdrant: for catalogues that outgrow one machine, with the behaviour of :class:`.LocalIndex`.

Why Qdrant and not Milvus: one server process and nothing beside it (a Milvus cluster wants etcd, an object store and a
Why Qdrant and not Milvus: one server process and nothing else (a Milvus cluster wants etcd, an object store and a
exactly and finds everything; aliases move in one step; rows can be point ids as they are; and the client has a store of
its own, against which the same tests run without a server.

``NAME-N`` is a collection, the alias ``NAME`` names N. All requests go to the alias, so that a row put by any process
is found by all of them at once. Unlike in a folder, a put of many rows becomes visible part by part, a search meets a
new base as soon as the alias moves, and of equal scores at the end of a list the server chooses.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray
from palate.core.errors import ArtefactError, MissingDependencyError, PalateError
from palate.serving.index.exact import FILTERED_SHARE, SearchResult, empty_result, merge_top_k
from palate.serving.index.local import APPROXIMATE_FROM
from palate.serving.index.validation import check_rows, check_update, check_vectors

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

URL, KEY = "PALATE_QDRANT_URL", "PALATE_QDRANT_API_KEY"
"""Environment variables: URL of the server, and its API key."""
ROW = "row"
"""The one field of a point: its id again, because Qdrant has conditions on ranges of fields but not of ids."""
TIMEOUT = 60
"""Seconds of one request, at most."""
UPLOAD_NUMBERS = 1 << 18
"""Numbers in one upload: about 5 MiB of JSON, of the 32 that a server takes."""
MAX_FILTER_IDS, MAX_REQUEST_IDS = 100_000, 1_000_000
"""Ids in one filter, and in all filters of one request (about 9 MiB); larger masks are split into ranges."""
MIN_EF = 128
"""Candidates of a search in the graph of neighbours, at least."""


class EngineError(PalateError):
    """The server cannot be reached, or refused a request."""


class Conditions(NamedTuple):
    """Conditions of a filter.

    Attributes:
        must: conditions that a row must meet.
        must_not: conditions that a row must not meet.
    """

    must: list[Any]
    must_not: list[Any]


def connect(location: str | None = None) -> QdrantClient:
    """A client of a server, with the key in PALATE_QDRANT_API_KEY if there is one; it is neither stored nor logged.

    Args:
        location: URL of the server, by default PALATE_QDRANT_URL; ``:memory:`` or a folder for the client's own store,
            which is slow and meant for trials.

    Raises:
        MissingDependencyError: if qdrant-client is not installed.
        EngineError: if no location is given, or another process uses the folder.
    """
    client = _package()
    location = location or os.environ.get(URL)
    if not location:
        raise EngineError("no Qdrant server is given", key=URL, hint=f"export {URL}=https://host:6333")
    if "://" in location:
        secret = os.environ.get(KEY) or None
        return client.QdrantClient(url=location, api_key=secret, timeout=TIMEOUT, check_compatibility=False)
    try:
        return client.QdrantClient(location=location) if location == ":memory:" else client.QdrantClient(path=location)
    except RuntimeError as error:
        raise EngineError("another process uses the folder", file=location, hint="a server can be shared") from error


class QdrantIndex:
    """A :class:`.VectorIndex` in Qdrant; rows are point ids.

    Args:
        name: name of an index made by :meth:`build`.
        client: client, by default of :func:`connect`.

    Raises:
        ArtefactError: if there is no index of that name.
        EngineError: if the server cannot be reached.
    """

    def __init__(self, name: str, client: QdrantClient | None = None) -> None:
        self.name, self.client = name, client or connect()
        self._open()

    @classmethod
    def build(
        cls,
        name: str,
        vectors: NDArray[np.float32],
        present: NDArray[np.bool_] | None = None,
        approximate: bool | None = None,
        *,
        client: QdrantClient | None = None,
        shards: int | None = None,
        replicas: int = 1,
    ) -> QdrantIndex:
        """Write an index, or the next one; the alias moves when all of it is written.

        Rows that other processes put meanwhile go to the former one.

        Args:
            name: name of the index.
            vectors: float32 [n, d].
            present: bool [n], rows that can be found; all by default.
            approximate: a graph of neighbours (HNSW) or all vectors compared; by default a graph from 100,000 rows on.
            client: client, by default of :func:`connect`.
            shards: parts that machines share; by default one a machine.
            replicas: copies of each part; a write is acknowledged by all of them, so that any may answer the next
                search, and refused while one is down.

        Raises:
            DataError: if a vector that is present is not finite.
            EngineError: if the server refuses or cannot be reached.
        """
        models, client = _package().models, client or connect()
        vectors, present = check_vectors(vectors, present)
        rows = np.flatnonzero(present)
        graph = approximate if approximate is not None else len(rows) >= APPROXIMATE_FROM
        with _translate_errors(name):
            old = _collection(client, name)
            collection = f"{name}-{0 if old is None else int(old.rpartition('-')[2]) + 1}"
            # remains of a builder that was killed
            client.delete_collection(collection)
            client.create_collection(
                collection,
                vectors_config=models.VectorParams(size=vectors.shape[1], distance=models.Distance.DOT),
                hnsw_config=None if graph else models.HnswConfigDiff(m=0),
                shard_number=shards,
                replication_factor=replicas,
                write_consistency_factor=replicas,
            )
            with warnings.catch_warnings():
                # the client's own store warns that it needs none
                warnings.simplefilter("ignore", UserWarning)
                field = models.IntegerIndexParams(type="integer", lookup=False, range=True)
                client.create_payload_index(collection, ROW, field)
            _upload(client, collection, rows, vectors if present.all() else vectors[rows])
            aliases: list[Any] = [_create_alias(models, name, collection)]
            if old is not None:
                aliases.insert(0, models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=name)))
            client.update_collection_aliases(aliases)
            if old is not None:
                client.delete_collection(old)
        return cls(name, client)

    def _open(self) -> None:
        with _translate_errors(self.name):
            collection = _collection(self.client, self.name)
            if collection is None:
                raise ArtefactError("there is no index of this name", key=self.name, hint="QdrantIndex.build makes one")
            config = self.client.get_collection(collection).config
        self.collection, self.dim = collection, int(config.params.vectors.size)
        self.exact = config.hnsw_config.m == 0

    def refresh(self) -> bool:
        """Whether the index was rebuilt since the last call; rows that others put and drop are found without it."""
        before = self.collection
        self._open()
        return self.collection != before

    def put(self, rows: Sequence[int] | IntArray, vectors: NDArray[np.float32]) -> None:
        """Make rows findable by these vectors; the next search of any process finds them.

        Args:
            rows: rows; new ones may lie beyond the last.
            vectors: float32 [m, d].

        Raises:
            DataError: for rows below 0, and vectors of another width or that are not finite.
            EngineError: if the server refuses or cannot be reached.
        """
        places, vectors = check_update(rows, vectors, self.dim)
        # of several vectors of a row the last counts
        _, first = np.unique(places[::-1], return_index=True)
        last = np.sort(len(places) - 1 - first)
        with _translate_errors(self.name):
            _upload(self.client, self.name, places[last], vectors[last])

    def drop(self, rows: Sequence[int] | IntArray) -> None:
        """Never find these rows again, unless they are put once more.

        Args:
            rows: rows.

        Raises:
            DataError: for rows below 0.
            EngineError: if the server refuses or cannot be reached.
        """
        dropped = check_rows(rows)
        with _translate_errors(self.name):
            for start in range(0, len(dropped), MAX_FILTER_IDS):
                points = dropped[start : start + MAX_FILTER_IDS].tolist()
                self.client.delete(self.name, _package().models.PointIdsList(points=points), wait=True)

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.bool_] | None = None,
        exclude: RaggedArray | None = None,
    ) -> tuple[IntArray, NDArray[np.float32]]:
        """Best rows of each query.

        Time grows with the smaller of the rows that ``allowed`` holds and those that it leaves out; see
        ``docs/distributed.md``.

        Args:
            queries: float32 [B, d].
            k: number of rows.
            allowed: bool [rows], rows that may be found; rows beyond it may not. None allows all.
            exclude: rows that each query must not find.

        Returns:
            Rows int64 [B, k], -1 where there are no more; inner products float32 [B, k].

        Raises:
            EngineError: if the server refuses or cannot be reached.
        """
        queries = np.asarray(queries, np.float32)
        exact = self.exact or (allowed is not None and int(allowed.sum()) < FILTERED_SHARE * len(allowed))
        # an empty one first, so that there is always something to merge
        results: list[SearchResult] = [empty_result(len(queries), 0)]
        for conditions in [Conditions([], [])] if allowed is None else _conditions(allowed):
            results.append(self._search(queries, k, conditions, exclude, exact))
        return merge_top_k(k, None, *results)

    def _search(
        self, queries: NDArray[np.float32], k: int, conditions: Conditions, exclude: RaggedArray | None, exact: bool
    ) -> SearchResult:
        models, (must, must_not) = _package().models, conditions
        params = models.SearchParams(exact=True) if exact else models.SearchParams(hnsw_ef=max(MIN_EF, 2 * k))
        rows, scores = empty_result(len(queries), k)
        n_ids = sum(len(one.has_id) for one in (*must, *must_not) if hasattr(one, "has_id"))
        n_ids += int(exclude.lengths.max(initial=0)) if exclude is not None else 0
        step = max(1, min(100, MAX_REQUEST_IDS // max(n_ids, 1)))
        for start in range(0, len(queries), step):
            requests = []
            for place in range(start, min(start + step, len(queries))):
                excluded = [] if exclude is None else exclude[place].tolist()
                never = [*must_not, models.HasIdCondition(has_id=excluded)] if excluded else must_not
                wanted = models.Filter(must=must, must_not=never) if must or never else None
                query = queries[place].tolist()
                requests.append(models.QueryRequest(query=query, filter=wanted, limit=k, params=params))
            with _translate_errors(self.name):
                answers = self.client.query_batch_points(self.name, requests)
            for place, answer in enumerate(answers, start):
                points = answer.points
                rows[place, : len(points)] = [point.id for point in points]
                scores[place, : len(points)] = [point.score for point in points]
        return rows, scores


def _conditions(allowed: NDArray[np.bool_]) -> Iterator[Conditions]:
    """Conditions of at most :data:`MAX_FILTER_IDS` ids that together let through ``allowed``, each row by one of them.

    They list the rows that are allowed or, where those are more, a range of rows and what in it is not.
    """
    models = _package().models
    inside, outside = np.flatnonzero(allowed), np.flatnonzero(~allowed)
    if len(inside) <= len(outside):
        for start in range(0, len(inside), MAX_FILTER_IDS):
            yield Conditions([models.HasIdCondition(has_id=inside[start : start + MAX_FILTER_IDS].tolist())], [])
        return
    low = 0
    for start in range(0, max(len(outside), 1), MAX_FILTER_IDS):
        rows = outside[start : start + MAX_FILTER_IDS]
        high = int(rows[-1]) + 1 if start + MAX_FILTER_IDS < len(outside) else len(allowed)
        between = models.FieldCondition(key=ROW, range=models.Range(gte=low, lt=high))
        yield Conditions([between], [models.HasIdCondition(has_id=rows.tolist())] if len(rows) else [])
        low = high


def _upload(client: Any, name: str, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
    """Write in parts, each of which can be found as soon as its request returns."""
    models, step = _package().models, max(1, UPLOAD_NUMBERS // max(vectors.shape[1], 1))
    for start in range(0, len(rows), step):
        ids = rows[start : start + step].tolist()
        payloads = [{ROW: row} for row in ids]
        batch = models.Batch(ids=ids, vectors=vectors[start : start + step].tolist(), payloads=payloads)
        client.upsert(name, batch, wait=True)


def _collection(client: Any, name: str) -> str | None:
    return next((one.collection_name for one in client.get_aliases().aliases if one.alias_name == name), None)


def _create_alias(models: Any, name: str, collection: str) -> Any:
    return models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=collection, alias_name=name))


@contextmanager
def _translate_errors(name: str) -> Iterator[None]:
    from qdrant_client.http.exceptions import ApiException

    try:
        yield
    except ApiException as error:
        hint = f"is the server up, and {KEY} set?"
        raise EngineError(f"Qdrant refused or cannot be reached ({str(error)[:200]})", key=name, hint=hint) from error


def _package() -> Any:
    try:
        import qdrant_client
    except ImportError as error:
        raise MissingDependencyError("qdrant-client", extra="qdrant") from error
    return qdrant_client
