"""The index in Qdrant: masks as filters, requests in parts, remains of a killed builder, and the API key."""

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from index_cases import DIM, Qdrant, brute, vectors

from palate.core.batch import RaggedArray
from palate.core.errors import ArtefactError
from palate.serving.index import qdrant
from palate.serving.index.qdrant import EngineError, QdrantIndex, connect

pytest.importorskip("qdrant_client")
pytestmark = pytest.mark.filterwarnings("ignore:Local mode:UserWarning")


@pytest.fixture
def engine():
    made = Qdrant(":memory:")
    yield made
    made.close()


def listed(allowed):
    """Of each filter: how many rows it lists as wanted, how many as unwanted."""
    count = [(must[0], never) for must, never in qdrant._conditions(np.asarray(allowed, bool))]
    return [(len(getattr(must, "has_id", [])), sum(len(one.has_id) for one in never)) for must, never in count]


def test_a_mask_lists_the_fewer_rows(monkeypatch):
    monkeypatch.setattr(qdrant, "MAX_FILTER_IDS", 3)
    assert listed([1, 0, 0, 0, 1]) == [(2, 0)]
    assert listed([1, 1, 0, 1, 1]) == [(0, 1)]
    assert listed([1] * 9) == [(0, 0)]
    assert listed([0] * 9) == []
    assert listed([1, 0] * 5) == [(3, 0), (2, 0)]
    assert listed([1, 0, 1] * 4 + [1]) == [(0, 3), (0, 1)]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.8, 1.0])
def test_split_masks_and_queries_find_the_same(engine, monkeypatch, share):
    made, rng = vectors(60), np.random.default_rng(3)
    index = engine.build(made)
    allowed = rng.random(50) < share
    exclude = RaggedArray.of([rng.integers(0, 60, 6).tolist() for _ in range(7)])
    queries, table = vectors(7, seed=5), dict(enumerate(made))
    monkeypatch.setattr(qdrant, "MAX_FILTER_IDS", 4)
    monkeypatch.setattr(qdrant, "MAX_REQUEST_IDS", 20)
    found, _ = index.search(queries, 8, allowed, exclude)
    np.testing.assert_array_equal(found, brute(queries, table, 8, allowed, exclude))


def test_large_uploads_and_drops_go_in_parts(engine, monkeypatch):
    monkeypatch.setattr(qdrant, "UPLOAD_NUMBERS", 3 * DIM)
    monkeypatch.setattr(qdrant, "MAX_FILTER_IDS", 3)
    made = vectors(20)
    index = engine.build(made[:10])
    index.put([3, *range(10, 20)], made[[3, *range(10, 20)]])
    index.drop(range(0, 20, 2))
    found, _ = index.search(vectors(2, seed=9), 20)
    np.testing.assert_array_equal(found, brute(vectors(2, seed=9), {r: made[r] for r in range(1, 20, 2)}, 20))


def test_remains_of_a_killed_builder_are_replaced(engine):
    index = engine.build(vectors(5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(qdrant, "_create_alias", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            engine.build(vectors(9))
    assert index.search(vectors(1), 20)[0].max() == 4, "the alias has not moved"
    engine.build(vectors(7))
    assert index.search(vectors(1), 20)[0].max() == 6
    assert len(engine.client.get_collections().collections) == 1, "former bases are gone"


def test_an_unreachable_server_is_named(engine, monkeypatch):
    with pytest.raises(ArtefactError, match="QdrantIndex"):
        QdrantIndex("nothing", engine.client)
    monkeypatch.delenv(qdrant.URL, raising=False)
    with pytest.raises(EngineError, match=qdrant.URL):
        connect()
    with pytest.raises(EngineError, match="cannot be reached"):
        QdrantIndex("shop", connect("http://127.0.0.1:9"))


def test_the_key_goes_to_the_server_and_nowhere_else(monkeypatch, caplog, recwarn):
    monkeypatch.setenv(qdrant.KEY, "hush-hush")
    caplog.set_level(logging.DEBUG)
    client = connect("https://127.0.0.1:9")
    assert client._client._rest_headers["api-key"] == "hush-hush"
    with pytest.raises(EngineError) as raised:
        QdrantIndex("shop", client)
    said = [str(raised.value), repr(client), caplog.text, *(str(one.message) for one in recwarn)]
    assert not any("hush" in one for one in said)


@pytest.fixture
def listener():
    """A server that answers as Qdrant would for one index and keeps what it was asked: (verb, path, secret, body)."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            asked.append((self.command, self.path, self.headers["api-key"], json.loads(body or "null")))
            hit = {"id": 3, "version": 0, "score": 0.5}
            about = {
                "params": {"vectors": {"size": 2, "distance": "Dot"}},
                "hnsw_config": HNSW,
                "optimizer_config": TIDY,
            }
            result = {
                "/aliases": {"aliases": [{"alias_name": "shop", "collection_name": "shop-4"}]},
                "/collections/shop-4": {
                    "status": "green", "optimizer_status": "ok", "segments_count": 1, "config": about,
                    "payload_schema": {},
                },
                "/collections/shop/points/query/batch": [{"points": [hit]}],
            }.get(self.path.split("?")[0], {"operation_id": 0, "status": "completed"})  # fmt: skip
            said = json.dumps({"result": result, "status": "ok", "time": 0.0}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_PUT = do_POST = answer

        def log_message(self, *given):
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


HNSW = {"m": 0, "ef_construct": 100, "full_scan_threshold": 10000}
TIDY = {"deleted_threshold": 0.2, "vacuum_min_vector_number": 1, "default_segment_number": 0, "flush_interval_sec": 5}


@pytest.mark.filterwarnings("ignore:Api key is used:UserWarning")
def test_requests_to_a_server(listener, monkeypatch):
    place, asked = listener
    monkeypatch.setenv(qdrant.KEY, "hush-hush")
    index = QdrantIndex("shop", connect(place))
    assert index.exact and index.dim == 2
    index.put([3], np.ones((1, 2), np.float32))
    index.drop([4])
    found, scores = index.search(np.ones((1, 2), np.float32), 2, np.array([1, 1, 0, 1], bool), RaggedArray.of([[1]]))
    assert found.tolist() == [[3, -1]] and scores.tolist() == [[0.5, -np.inf]]
    put, drop, search = asked[-3:]
    assert put[:2] == ("PUT", "/collections/shop/points?wait=true") and drop[1].endswith("/delete?wait=true")
    assert put[3]["batch"] == {"ids": [3], "vectors": [[1.0, 1.0]], "payloads": [{"row": 3}]}
    assert drop[3] == {"points": [4]}
    (query,) = search[3]["searches"]
    assert query["limit"] == 2 and query["params"] == {"exact": True}
    never = [one["has_id"] for one in query["filter"]["must_not"]]
    assert never == [[2], [1]] and query["filter"]["must"] == [{"key": "row", "range": {"lt": 4.0, "gte": 0.0}}]
    assert {secret for _, _, secret, _ in asked} == {"hush-hush"}
