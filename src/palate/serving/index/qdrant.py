"""The index in Qdrant: for catalogues that outgrow one machine, with the behaviour of :class:`.LocalIndex`.

Why Qdrant and not Milvus: one server process and nothing beside it (a Milvus cluster wants etcd, an object store and a
Why Qdrant and not Milvus: one server process and nothing else (a Milvus cluster wants etcd, an object store and a
exactly and finds everything; aliases move in one step; rows can be point ids as they are; and the client has an engine
of its own, against which the same tests run without a server.

``NAME-N`` is a collection, the alias ``NAME`` names N. All requests go to the alias, so that what any process writes
is found by all of them at once. What is not as in a folder: a put of many rows becomes visible part by part, whoever
searches meets a new base as soon as the alias moves, and of equal scores at the end of a list the engine chooses.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray
from palate.core.errors import ArtefactError, MissingDependencyError, PalateError
from palate.serving.index.exact import FILTERED_SHARE, SearchResult, merge_top_k
from palate.serving.index.local import APPROXIMATE_FROM
from palate.serving.index.validation import check_rows, check_update, check_vectors

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

URL, KEY = "PALATE_QDRANT_URL", "PALATE_QDRANT_API_KEY"
"""Environment variables: where the server is, and the secret it wants."""
ROW = "row"
"""The one field of a point: its id once more, since Qdrant has conditions on ranges of fields but not of ids."""
TIMEOUT = 60
"""Seconds that one request may take."""
NUMBERS = 1 << 18
"""Numbers in one upload: about 5 MiB of JSON, of the 32 that a server takes."""
MOST, IDS = 100_000, 1_000_000
"""Ids in one filter, and in all filters of one request (about 9 MiB); larger masks are asked for in stretches."""
EF = 128
"""Candidates that a search in the graph of neighbours keeps, at least."""


class EngineError(PalateError):
    """The engine cannot be reached, or refused."""


def connect(place: str | None = None) -> QdrantClient:
    """A client of a server, with the secret in PALATE_QDRANT_API_KEY if there is one; it is neither kept nor logged.

    Args:
        place: ``https://...``, by default what PALATE_QDRANT_URL says; ``:memory:`` or a folder for the client's own
            engine, which is slow and for trying things out.

    Raises:
        MissingDependencyError: without qdrant-client. EngineError: when no place is given, or a folder is in use.
    """
    client = _package()
    place = place or os.environ.get(URL)
    if not place:
        raise EngineError("no server is named", key=URL, hint=f"export {URL}=https://host:6333")
    if "://" in place:
        secret = os.environ.get(KEY) or None
        return client.QdrantClient(url=place, api_key=secret, timeout=TIMEOUT, check_compatibility=False)
    try:
        return client.QdrantClient(location=place) if place == ":memory:" else client.QdrantClient(path=place)
    except RuntimeError as error:
        raise EngineError("another process uses the folder", file=place, hint="a server can be shared") from error


class QdrantIndex:
    """Inner products of queries with the vectors of catalogue rows, best first; rows are point ids.

    Args:
        name: made by :meth:`build`. client: by default of :func:`connect`.

    Raises:
        ArtefactError: when there is no index of that name.
    """

    def __init__(self, name: str, client: QdrantClient | None = None) -> None:
        self.name, self.client = name, client or connect()
        self._open()

    @classmethod
    def build(
        cls,
        name: str,
        vectors: NDArray[np.float32],
        there: NDArray[np.bool_] | None = None,
        approximate: bool | None = None,
        *,
        client: QdrantClient | None = None,
        shards: int | None = None,
        replicas: int = 1,
    ) -> QdrantIndex:
        """Write an index, the next one if there is one already; the alias moves when all of it is there.

        What others put meanwhile goes to the former one.

        Args:
            vectors: float32 [n, d]. there: bool [n], rows that can be found; all by default.
            approximate: a graph of neighbours (HNSW) or all vectors compared; by default a graph from 100,000 rows on.
            client: by default of :func:`connect`.
            shards: parts that machines share; by default one a machine. replicas: copies of each; a write is
                acknowledged by all of them, so that any may answer the next search, and refused while one is down.

        Raises:
            DataError: for vectors that are not finite. EngineError: when the engine refuses.
        """
        models, client = _package().models, client or connect()
        vectors, there = check_vectors(vectors, there)
        rows = np.flatnonzero(there)
        graph = approximate if approximate is not None else len(rows) >= APPROXIMATE_FROM
        with _reaching(name):
            old = _base(client, name)
            fresh = f"{name}-{0 if old is None else int(old.rpartition('-')[2]) + 1}"
            # what a builder that was killed has left
            client.delete_collection(fresh)
            client.create_collection(
                fresh,
                vectors_config=models.VectorParams(size=vectors.shape[1], distance=models.Distance.DOT),
                hnsw_config=None if graph else models.HnswConfigDiff(m=0),
                shard_number=shards,
                replication_factor=replicas,
                write_consistency_factor=replicas,
            )
            with warnings.catch_warnings():
                # the client's own engine says that it needs none
                warnings.simplefilter("ignore", UserWarning)
                field = models.IntegerIndexParams(type="integer", lookup=False, range=True)
                client.create_payload_index(fresh, ROW, field)
            _upload(client, fresh, rows, vectors if there.all() else vectors[rows])
            moved: list[Any] = [_named(models, name, fresh)]
            if old is not None:
                moved.insert(0, models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=name)))
            client.update_collection_aliases(moved)
            if old is not None:
                client.delete_collection(old)
        return cls(name, client)

    def _open(self) -> None:
        with _reaching(self.name):
            base = _base(self.client, self.name)
            if base is None:
                raise ArtefactError("there is no index of this name", key=self.name, hint="QdrantIndex.build makes one")
            about = self.client.get_collection(base).config
        self.base, self.wide, self.exact = base, int(about.params.vectors.size), about.hnsw_config.m == 0

    def refresh(self) -> bool:
        """Whether the index was built anew since this was last asked; what others put and drop is found without."""
        before = self.base
        self._open()
        return self.base != before

    def put(self, rows: Sequence[int] | IntArray, vectors: NDArray[np.float32]) -> None:
        """Make rows findable by these vectors; the next search, of any process, finds them.

        Raises:
            DataError: for rows below 0, and vectors of another width or that are not finite.
        """
        places, vectors = check_update(rows, vectors, self.wide)
        # of several vectors of a row the last counts
        _, first = np.unique(places[::-1], return_index=True)
        last = np.sort(len(places) - 1 - first)
        with _reaching(self.name):
            _upload(self.client, self.name, places[last], vectors[last])

    def drop(self, rows: Sequence[int] | IntArray) -> None:
        """Never find these rows again, unless they are put once more."""
        gone = check_rows(rows)
        with _reaching(self.name):
            for start in range(0, len(gone), MOST):
                some = _package().models.PointIdsList(points=gone[start : start + MOST].tolist())
                self.client.delete(self.name, some, wait=True)

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.bool_] | None = None,
        exclude: RaggedArray | None = None,
    ) -> tuple[IntArray, NDArray[np.float32]]:
        """Best rows of each query: int64 [B, k] (-1 where there are no more), inner products float32 [B, k].

        Time grows with the smaller of what ``allowed`` holds and what it leaves out; see ``docs/distributed.md``.

        Args:
            queries: float32 [B, d]. allowed: bool [rows], the only ones that may be found; rows beyond it may not.
            exclude: rows that a query must not find.
        """
        queries = np.asarray(queries, np.float32)
        exact = self.exact or (allowed is not None and int(allowed.sum()) < FILTERED_SHARE * len(allowed))
        # none at all, so that there is something to take the best of
        found: list[SearchResult] = [_nothing(len(queries), 0)]
        for filters in [([], [])] if allowed is None else _stretches(allowed):
            found.append(self._asked(queries, k, filters, exclude, exact))
        return merge_top_k(k, None, *found)

    def _asked(
        self, queries: NDArray[np.float32], k: int, filters: Filters, exclude: RaggedArray | None, exact: bool
    ) -> SearchResult:
        models, (must, must_not) = _package().models, filters
        how = models.SearchParams(exact=True) if exact else models.SearchParams(hnsw_ef=max(EF, 2 * k))
        rows, scores = _nothing(len(queries), k)
        held = sum(len(one.has_id) for one in (*must, *must_not) if hasattr(one, "has_id"))
        held += int(exclude.lengths.max(initial=0)) if exclude is not None else 0
        step = max(1, min(100, IDS // max(held, 1)))
        for start in range(0, len(queries), step):
            asked = []
            for place in range(start, min(start + step, len(queries))):
                unwanted = [] if exclude is None else exclude[place].tolist()
                never = [*must_not, models.HasIdCondition(has_id=unwanted)] if unwanted else must_not
                which = models.Filter(must=must, must_not=never) if must or never else None
                asked.append(models.QueryRequest(query=queries[place].tolist(), filter=which, limit=k, params=how))
            with _reaching(self.name):
                answers = self.client.query_batch_points(self.name, asked)
            for place, answer in enumerate(answers, start):
                points = answer.points
                rows[place, : len(points)] = [point.id for point in points]
                scores[place, : len(points)] = [point.score for point in points]
        return rows, scores


Filters = tuple[list[Any], list[Any]]
"""Conditions that a row must meet, and that it must not."""


def _stretches(allowed: NDArray[np.bool_]) -> Iterator[Filters]:
    """Filters with ``MOST`` ids at most that together let through what is allowed, each row by one of them.

    They list the rows that are allowed or, where those are more, a range of rows and what in it is not.
    """
    models = _package().models
    inside, outside = np.flatnonzero(allowed), np.flatnonzero(~allowed)
    if len(inside) <= len(outside):
        for start in range(0, len(inside), MOST):
            yield [models.HasIdCondition(has_id=inside[start : start + MOST].tolist())], []
        return
    low = 0
    for start in range(0, max(len(outside), 1), MOST):
        rows = outside[start : start + MOST]
        high = int(rows[-1]) + 1 if start + MOST < len(outside) else len(allowed)
        between = models.FieldCondition(key=ROW, range=models.Range(gte=low, lt=high))
        yield [between], [models.HasIdCondition(has_id=rows.tolist())] if len(rows) else []
        low = high


def _nothing(count: int, k: int) -> SearchResult:
    return np.full((count, k), -1, np.int64), np.full((count, k), -np.inf, np.float32)


def _upload(client: Any, name: str, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
    """Write in parts, each of which is found as soon as its request returns."""
    models, step = _package().models, max(1, NUMBERS // max(vectors.shape[1], 1))
    for start in range(0, len(rows), step):
        ids = rows[start : start + step].tolist()
        payloads = [{ROW: row} for row in ids]
        some = models.Batch(ids=ids, vectors=vectors[start : start + step].tolist(), payloads=payloads)
        client.upsert(name, some, wait=True)


def _base(client: Any, name: str) -> str | None:
    return next((one.collection_name for one in client.get_aliases().aliases if one.alias_name == name), None)


def _named(models: Any, name: str, base: str) -> Any:
    return models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=base, alias_name=name))


@contextmanager
def _reaching(name: str) -> Iterator[None]:
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
