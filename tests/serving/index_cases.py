"""Indexes of every kind, each built and opened in its own way, and exact results to compare with."""

import os
import uuid

import numpy as np

from palate.serving.index import LocalIndex
from palate.serving.index.qdrant import QdrantIndex, connect

DIM = 8


def vectors(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)


def brute(queries, table, k, allowed=None, exclude=None):
    """Best rows by inner product over a dict row -> vector."""
    out = []
    for place, query in enumerate(queries):
        gone = set(exclude[place]) if exclude is not None else set()
        rows = [r for r in table if r not in gone and (allowed is None or (r < len(allowed) and allowed[r]))]
        scores = {r: float(query @ table[r]) for r in rows}
        best = sorted(rows, key=lambda r: (-scores[r], r))[:k]
        out.append(best + [-1] * (k - len(best)))
    return np.array(out).reshape(len(queries), k)


class Folder:
    """The index in a folder."""

    def __init__(self, folder):
        self.folder = folder

    def build(self, *arguments):
        return LocalIndex.build(self.folder, *arguments)

    def another(self):
        """The index as another process opens it."""
        return LocalIndex(self.folder)


class Qdrant:
    """The index in Qdrant: in the client's own store, or in the server of PALATE_QDRANT_URL."""

    def __init__(self, place):
        self.client, self.name = connect(place), f"palate-test-{uuid.uuid4().hex}"

    def build(self, *arguments):
        return QdrantIndex.build(self.name, *arguments, client=self.client)

    def another(self):
        return QdrantIndex(self.name, self.client)

    def close(self):
        for one in self.client.get_collections().collections:
            if one.name.startswith(self.name):
                self.client.delete_collection(one.name)
        self.client.close()


def server():
    """URL of a real server, or None."""
    return os.environ.get("PALATE_QDRANT_URL")
