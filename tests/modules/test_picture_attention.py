"""Attention over maps and over clicked pictures, each against its formula written out."""

import math

import numpy as np
import pytest
import torch

from palate.core.content import Features
from palate.core.errors import FeatureError
from palate.core.item_features import ItemFeatures
from palate.modules.picture_attention import ChannelAttention, MapAttention, PlaceAttention
from palate.modules.picture_interest import AttentivePooling, PictureInterest
from palate.modules.picture_reader import PictureReader, ReaderSpec, chosen_picture

NOWHERE = torch.zeros(1, 0)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_channels_are_weighed_by_what_is_squeezed_and_the_prior_of_the_category():
    maps = torch.tensor([[[[1.0, 3.0]], [[0.0, 2.0]]]])  # means 2 and 1, maxima 3 and 2

    def filled(**kind) -> ChannelAttention:
        layer = ChannelAttention(2, **kind)
        with torch.no_grad():
            layer.squeeze.weight.zero_()
            layer.squeeze.weight[0, :2] = torch.tensor([1.0, -1.0])
            layer.excite.weight.zero_()
            layer.excite.weight[:, 0] = torch.tensor([1.0, 0.5])
        return layer

    # SE: relu(2 - 1) = 1; CBAM adds relu(3 - 2) = 1
    assert filled(maximum=False).weights(maps, NOWHERE)[0].tolist() == pytest.approx([sigmoid(1), sigmoid(0.5)])
    assert filled().weights(maps, NOWHERE)[0].tolist() == pytest.approx([sigmoid(2), sigmoid(1)])
    prior = filled(categories=2, prior=1)
    with torch.no_grad():
        prior.prior.copy_(torch.tensor([[4.0], [-9.0]]))
        prior.squeeze.weight[0, 2] = 1.0
    # A = 4: relu(1 + 4) twice; A = -9: relu(1 - 9) = 0
    assert prior.weights(maps, torch.tensor([[1.0, 0.0]]))[0].tolist() == pytest.approx([sigmoid(10), sigmoid(5)])
    assert prior.weights(maps, torch.tensor([[0.0, 1.0]]))[0].tolist() == pytest.approx([0.5, 0.5])
    assert torch.allclose(filled()(maps, NOWHERE)[0, 0, 0], maps[0, 0, 0] * sigmoid(2))


def test_places_are_weighed_by_mean_maximum_and_the_prior_of_the_category():
    maps = torch.tensor([[[[1.0, 3.0]], [[0.0, 2.0]]]])  # over channels: means .5 and 2.5, maxima 1 and 3
    layer = PlaceAttention(categories=1, kernel=1)
    with torch.no_grad():
        layer.conv.weight.copy_(torch.tensor([2.0, 1.0, 1.0]).view(1, 3, 1, 1))
        layer.prior.copy_(torch.tensor([0.0, 0, 0, 6, 6, 6]).repeat(6)[None])
    # the left half of A is 0, the right 6
    known, unknown = torch.ones(1, 1), torch.zeros(1, 1)
    assert layer.weights(maps, known)[0, 0].tolist() == pytest.approx([sigmoid(2), sigmoid(14)], abs=1e-6)
    assert layer.weights(maps, unknown)[0, 0].tolist() == pytest.approx([sigmoid(2), sigmoid(8)], abs=1e-6)
    assert torch.allclose(layer(maps, unknown)[0, :, 0, 0], maps[0, :, 0, 0] * sigmoid(2))


def test_kinds_of_attention_are_what_their_names_say():
    def parts(kind: str) -> tuple[bool, bool, bool, bool]:
        made = MapAttention(kind, 8, categories=3)
        channels = made.channels
        prior = channels is not None and channels.prior is not None
        return channels is not None, channels is not None and channels.maximum, made.places is not None, prior

    assert parts("none") == (False, False, False, False)
    assert parts("se") == (True, False, False, False)
    assert parts("cbam_channel") == (True, True, False, False)
    assert parts("cbam") == (True, True, True, False)
    assert parts("category") == (True, True, True, True)
    assert parts("se_category") == (True, False, False, True)


VALUES = torch.tensor([[[1.0, -2.0], [3.0, -5.0], [0.0, 0.0]]])
THERE = torch.tensor([[True, True, False]])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("concat", [1.0, -2.0, 3.0, -5.0, 0.0, 0.0]), ("sum", [4.0, -7.0]), ("max", [3.0, -2.0])],
)
def test_aggregators_without_attention(kind, expected):
    pool = PictureInterest(kind, dim=2, ids=1, longest=3)
    picture, ids = torch.zeros(1, 2), torch.zeros(1, 1)
    assert pool(VALUES, THERE, picture, ids)[0].tolist() == expected and pool.width == len(expected)
    nothing = pool(VALUES * 0, THERE & False, picture, ids)
    assert not nothing.any()


def test_attention_is_a_softmax_over_what_is_there_and_each_query_has_its_own():
    def set_weights(layer: AttentivePooling, query: float) -> None:
        with torch.no_grad():
            layer.score[0].weight.zero_()
            layer.score[0].weight[0, 0] = 1.0  # the first number of v
            layer.score[0].weight[0, 2] = query
            layer.score[0].bias.zero_()
            layer.score[2].weight.zero_()
            layer.score[2].weight[0, 0] = 1.0

    pool = PictureInterest("multi_query", dim=2, ids=1, longest=3)
    set_weights(pool.attend[0], 1.0)
    set_weights(pool.attend[1], -2.0)
    out = pool(VALUES, THERE, torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0]]))[0]
    # first query: scores 2 and 4; second: PReLU (slope 1/4) of -1 and 1
    first = sigmoid(2.0)
    second = sigmoid(1 + 0.25)
    expected = [v for share in (first, second) for v in (1 - share + 3 * share, -2 * (1 - share) - 5 * share)]
    assert out.tolist() == pytest.approx(expected)
    assert not pool(VALUES, THERE & False, torch.ones(1, 2), torch.ones(1, 1)).any()


def loaded(shape: tuple[int, ...], **settings) -> tuple[PictureReader, Features]:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    values = rng.normal(2, 3, (5, *shape)).astype(np.float32)
    features = Features(values, np.array([True, True, False, True, True]), "pooled" if len(shape) == 1 else "map")
    reader = PictureReader(ReaderSpec(shape, dim=3, widths=(4,), **settings))
    reader.fit(features)
    reader.use(ItemFeatures({"image": features}, 5), "image", torch.device("cpu"))
    return reader, features


@pytest.mark.parametrize("shape", [(6,), (2, 5, 4), (3, 1, 1)])
def test_pictures_are_looked_up_as_they_are_read(shape):
    reader, _ = loaded(shape, attention="category", categories=2)
    category = torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 0], [1, 0]])
    rows = torch.tensor([[3, 0], [-1, 2], [3, 4]])
    with_gradients = reader(rows, category)
    assert with_gradients.shape == (3, 2, 3)
    assert not with_gradients[1].any(), "padding and an item without a picture"
    assert torch.equal(with_gradients[0, 0], with_gradients[2, 0])
    reader.eval()
    with torch.no_grad():
        assert torch.allclose(reader(rows, category), with_gradients, atol=1e-6)
        reader.project[-1].weight += 1.0
        assert not torch.allclose(reader(rows, category), with_gradients), "other weights, other vectors"


def test_columns_and_channels_are_standardised_over_pictures_that_are_there():
    reader, features = loaded((2, 5, 4))
    seen = features.values[features.present]
    assert reader.mean.tolist() == pytest.approx(seen.mean((0, 2, 3)).tolist(), rel=1e-5)
    assert reader.scale.tolist() == pytest.approx((1 / seen.std((0, 2, 3))).tolist(), rel=1e-5)


def test_pictures_of_another_size_are_refused_and_lost_ones_are_absent():
    reader, _ = loaded((6,))
    with pytest.raises(FeatureError, match="fitted on"):
        other = ItemFeatures({"image": Features(np.zeros((5, 4), np.float32))}, 5)
        reader.use(other, "image", torch.device("cpu"))
    reader.use(ItemFeatures({}, 7), "image", torch.device("cpu"))
    assert not reader(torch.arange(7), torch.zeros(7, 0)).any()


def test_maps_of_pictures_are_read_where_there_are_any():
    assert chosen_picture(None, ["image.pixels"], ["image", "text"]) == "image.pixels"
    assert chosen_picture(None, ["audio.mel"], ["text", "image"]) == "image"
    assert chosen_picture(None, [], ["text"]) is None and chosen_picture("none", ["image"], []) is None
    assert chosen_picture("text", ["image"], ["text"]) == "text"
    with pytest.raises(FeatureError, match="there are: image"):
        chosen_picture("pixels", ["image"], [])
