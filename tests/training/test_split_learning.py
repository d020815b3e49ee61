"""Split learning in processes of its own equals training in one."""

import io

import numpy as np
import pytest
import torch

from palate.core.content import Features
from palate.core.item_features import ItemFeatures
from palate.modules.picture_reader import PictureReader, ReaderSpec
from palate.training.loop import TrainingError
from palate.training.split_learning import PictureServers, read_frame, write_frame

N, STEPS = 9, 4


def reader() -> PictureReader:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    features = Features(rng.normal(size=(N, 3, 4, 4)).astype(np.float32), np.arange(N) != 4, "map")
    made = PictureReader(ReaderSpec((3, 4, 4), dim=5, widths=(4,), attention="category", categories=2))
    made.fit(features)
    made.use(ItemFeatures({"image": features}, N), "image", torch.device("cpu"))
    return made


CATEGORIES = torch.nn.functional.one_hot(torch.arange(N) % 2, 2).float()


def rest() -> torch.nn.Module:
    torch.manual_seed(1)
    return torch.nn.Linear(5, 1)


def batches():
    rng = np.random.default_rng(2)
    for _ in range(STEPS):
        yield torch.from_numpy(rng.integers(-1, N, (16, 2))), torch.from_numpy(rng.random(16).astype(np.float32))


def loss_of(head, vectors, labels):
    return torch.nn.functional.binary_cross_entropy_with_logits(head(vectors.sum(1))[:, 0], labels)


def joint() -> tuple[dict, list[float], torch.Tensor]:
    made, head = reader(), rest()
    optimizer = torch.optim.AdamW([*made.parameters(), *head.parameters()], lr=0.05, weight_decay=0.1)
    losses = []
    for rows, labels in batches():
        optimizer.zero_grad()
        loss = loss_of(head, made(rows, CATEGORIES), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return made.state_dict(), losses, head.weight


@pytest.mark.parametrize("servers", [1, 2])
def test_split_learning_equals_joint_training(servers, tmp_path):
    state, losses, weight = joint()
    head, found = rest(), []
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.05, weight_decay=0.1)
    with PictureServers(reader(), tmp_path, servers, 0.05, 0.1, CATEGORIES) as cluster:
        for rows, labels in batches():
            optimizer.zero_grad()
            loss = loss_of(head, cluster.embed(rows), labels)
            loss.backward()
            optimizer.step()
            cluster.step()
            found.append(loss.item())
        states = [cluster.weights(index) for index in range(servers)]
    exact = {"rtol": 0, "atol": 0} if servers == 1 else {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(torch.tensor(found), torch.tensor(losses), **exact)
    torch.testing.assert_close(head.weight, weight, **exact)
    for one in states:
        for name, tensor in state.items():
            torch.testing.assert_close(one[name], tensor, **exact)
    unique = sum(len({row for row in rows.flatten().tolist() if row not in (-1, 4)}) for rows, _ in batches())
    assert cluster.traffic.embeddings == unique * 5 * 4, "each picture of a batch is asked for once"
    assert (cluster.traffic.weights > 0) == (servers > 1)


def test_messages_are_bytes_and_a_closed_pipe_is_named():
    pipe = io.BytesIO()
    sent = write_frame(pipe, "embed", np.arange(6, dtype=np.int64).reshape(2, 3))
    assert sent == len(pipe.getvalue())
    pipe.seek(0)
    verb, array = read_frame(pipe)
    assert verb == "embed" and array.tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(TrainingError, match="has ended"):
        read_frame(pipe)
    with pytest.raises(TrainingError, match="type object"):
        header = b'{"verb": "embed", "dtype": "object", "shape": [1]}'
        read_frame(io.BytesIO(len(header).to_bytes(4, "little") + header))
