"""Small training views with structure: users of group g take items of group g, content tells the group."""

from __future__ import annotations

import numpy as np
import torch

from palate.core.batch import PairBatch, RaggedArray, UserBatch
from palate.core.content import Features
from palate.core.context import RunContext
from palate.data.relations import Relations
from palate.data.views import EvaluationQueries, TrainView

N_USERS, N_ITEMS, GROUPS = 24, 20, 4
RUN = RunContext(metric="recall@3")


def features(rng: np.random.Generator, n: int = N_ITEMS, absent: tuple[int, ...] = (), dim: int = 6) -> Features:
    """Vectors that point to the group of each item; absent rows hold garbage to be masked."""
    values = rng.normal(0, 0.1, (n, dim)).astype(np.float32)
    values[np.arange(n), np.arange(n) % GROUPS] += 1
    present = np.ones(n, bool)
    present[list(absent)] = False
    values[~present] = 1e6
    return Features(values, present)


def view(absent: tuple[int, ...] = (3,), cold: int = 1, relations: Relations | None = None) -> TrainView:
    """Every user takes 3 of the 5 items of a group in training, 1 is asked; nobody takes the last ``cold`` items."""
    rng = np.random.default_rng(0)
    users, items, asked = [], [], []
    for user in range(N_USERS):
        own = np.arange(user % GROUPS, N_ITEMS - cold, GROUPS)
        taken = rng.permutation(own)[:4]
        users += [user] * 3
        items += list(taken[:3])
        asked.append([int(taken[3])])
    history = RaggedArray.build(np.array(users), np.array(items), N_USERS)
    valid = EvaluationQueries(UserBatch(np.arange(N_USERS), history), RaggedArray.of(asked), history)
    return TrainView(
        N_USERS,
        N_ITEMS,
        np.array(users),
        np.array(items),
        None,
        np.ones(N_ITEMS, bool),
        relations or Relations(),
        valid=valid,
    ).with_features({"image": features(rng, absent=absent), "text": features(rng)})


def batch(users: list[int], items: list[int], negatives: list[list[int]]) -> PairBatch:
    return PairBatch(torch.tensor(users), torch.tensor(items), torch.tensor(negatives).reshape(len(users), -1))


def as_users(train: TrainView, rows: list[int]) -> UserBatch:
    return train.user_batch(np.array(rows))


def log_sigmoid_loss(gap: np.ndarray) -> float:
    return float(np.log1p(np.exp(-gap)).mean())


def propagated(train: TrainView, table: np.ndarray, layers: int) -> np.ndarray:
    """LightGCN's mean over layers with dense matrices."""
    n = N_USERS + N_ITEMS
    a = np.zeros((n, n))
    a[train.users, N_USERS + train.items] = 1
    a += a.T
    degree = a.sum(1)
    scale = np.where(degree > 0, np.maximum(degree, 1) ** -0.5, 0)
    a *= scale[:, None] * scale[None, :]
    total, x = table.copy(), table
    for _ in range(layers):
        x = a @ x
        total += x
    return total / (layers + 1)


def numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()
