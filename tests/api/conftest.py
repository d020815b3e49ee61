"""A small data set in tables, as a user of a notebook has it."""

import numpy as np
import polars as pl
import pytest

import palate

N_ITEMS, N_USERS = 30, 24


@pytest.fixture(scope="session")
def frames():
    """Items of three kinds, and users who like one."""
    items = pl.DataFrame(
        {
            "item_id": [f"i{row}" for row in range(N_ITEMS)],
            "title": [f"{('lamp', 'chair', 'vase')[row % 3]} number {row}" for row in range(N_ITEMS)],
            "price": [10.0 + row for row in range(N_ITEMS)],
        }
    )
    rng = np.random.default_rng(0)
    rows = []
    for user in range(N_USERS):
        own = np.arange(user % 3, N_ITEMS, 3)
        rows += [(f"u{user}", f"i{item}", 1_600_000_000 + at) for at, item in enumerate(rng.permutation(own)[:7])]
    return items, pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


@pytest.fixture(scope="session")
def shop(frames):
    return palate.Dataset.from_frames(*frames, split="leave_one_out", name="corner shop")


@pytest.fixture(scope="session")
def bpr(shop):
    return palate.models.BPR(dim=8, epochs=3).fit(shop)


@pytest.fixture(scope="session")
def ease(shop):
    return palate.models.EASE().fit(shop)
