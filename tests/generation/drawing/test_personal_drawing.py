"""PMG and Textual Inversion on the library's own diffusion."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from colour_shop import COLOURS, TINY, nearest, png, shop

from palate.contracts import GenerationRequest, Preference
from palate.core.batch import RaggedArray
from palate.core.errors import ConfigError, NotFittedError
from palate.generation.drawing.inversion import learn_tokens
from palate.generation.drawing.pairs import taste_examples
from palate.generation.drawing.taste import read_taste, soft_tokens
from palate.generation.drawing.train import train_pictures
from palate.generation.drawing.weights import read_picture_model
from palate.models.generate.latent_diffusion import LatentDiffusion
from palate.models.generate.pmg import PMG
from palate.models.generate.textual_inversion import TextualInversion
from palate.modules.diffusion.network import Conditions
from palate.modules.diffusion.preference import PreferenceMapper, keyword_lift


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("base") / "weights"
    train_pictures(LatentDiffusion(**TINY), shop(), out, device="cpu")
    return out


@pytest.fixture(scope="module")
def personal(folder, tmp_path_factory):
    """Weights with preference tokens, trained without keywords so that only the soft tokens can tell users apart."""
    out = tmp_path_factory.mktemp("pmg") / "weights"
    model = PMG(weights=str(folder), keyword_drop=1.0, hidden=64, epochs=30, batch_size=32, lr=1e-2)
    train_pictures(model, shop(), out, device="cpu")
    return out


def of(colour, item="red", **more):
    """A request for an item by a user who took four items of a colour."""
    history = [{"id": f"h{i}", "colour": colour} for i in range(4)]
    images = {f"h{i}": png(colour, i) for i in range(4)} | {"x": png(item, 9)}
    return GenerationRequest("product_picture", {"id": "x", "colour": item}, history, images=images, **more)


def test_lift_of_keywords_by_hand():
    counts = torch.tensor([[3.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    shares = torch.tensor([0.25, 0.5, 0.25])
    found, weights = keyword_lift(counts, torch.tensor([4.0, 0.0]), shares, 2, shrink=4.0)
    # (3 + 1) / 8 over 1/4 is a lift of log 2; (1 + 2) / 8 over 1/2 is below 0
    assert found[0, 0] == 0 and weights.tolist() == [[1.0, 0.0], [0.0, 0.0]]
    counts = torch.tensor([[3.0, 3.0, 0.0]])
    found, weights = keyword_lift(counts, torch.tensor([4.0]), torch.tensor([0.25, 0.125, 0.5]), 2, shrink=4.0)
    lifts = [np.log((3 + 1) / 8 / 0.25), np.log((3 + 0.5) / 8 / 0.125)]
    assert found[0].tolist() == [1, 0] and weights.mean() == pytest.approx(1)
    assert (weights[0, 0] / weights[0, 1]).item() == pytest.approx(lifts[1] / lifts[0], rel=1e-5)


def test_the_item_that_is_drawn_is_never_read():
    class View:
        history = RaggedArray.of([[1, 2, 3, 4], [5], [2, 0]])

    rows = taste_examples(View, np.array([0, 0, 0, 0, -1, 0]), 2)
    assert rows.tolist() == [[1, 4, 3], [2, 4, 3], [3, 4, 2], [2, 0, -1], [0, 2, -1]]


def test_the_mapper_starts_at_the_keywords_and_ignores_padding():
    torch.manual_seed(0)
    mapper = PreferenceMapper(8, 6, 4, 16)
    words, weights = torch.randn(1, 3, 8), torch.tensor([[1.0, 2.0, 0.0]])
    seen, shown = torch.randn(1, 2, 6), torch.tensor([[True, False]])
    start = mapper(words, weights, seen, shown)[0]
    assert torch.allclose(start, (words[0, 0] + 2 * words[0, 1]) / 3 + mapper.base)
    assert mapper.base.abs().max() < 0.1 and (mapper.base[0] - mapper.base[1]).abs().max() > 0
    torch.nn.init.normal_(mapper.second.weight)
    base = mapper(words, weights, seen, shown)
    other = mapper(words + torch.tensor([0, 0, 1.0])[:, None], weights, seen + torch.tensor([0, 9.0])[:, None], shown)
    assert torch.allclose(base, other) and not torch.allclose(base, mapper(words, weights, seen + 1, shown))


def test_untrained_soft_tokens_draw_as_the_keyword_alone(folder):
    """Tokens of random places, which the frozen network never saw, would change every picture."""
    torch.manual_seed(0)
    model = read_picture_model(folder)
    network, token = model.network, model.vocabulary.phrase("colour=blue")
    ids, weight = torch.tensor([token]), torch.ones(1, 1)
    mapper = PreferenceMapper(network.size.dim, network.size.picture_dim)
    seen, shown = torch.randn(1, 2, network.size.picture_dim), torch.ones(1, 2, dtype=torch.bool)
    soft = mapper(network.denoiser.tokens(ids), weight, seen, shown)
    z, time = torch.randn(1, network.size.latent, *[network.size.places] * 2), torch.tensor([0.7])
    as_word = network.denoiser(z, time, Conditions(ids, weight * 4))
    as_soft = network.denoiser(z, time, Conditions(ids, weight * 0, None, None, soft, torch.ones(1, 4)))
    far = network.denoiser(z, time, Conditions(ids, weight * 0, None, None, torch.randn_like(soft), torch.ones(1, 4)))
    assert (as_word - as_soft).abs().mean() < 0.1 * (as_word - far).abs().mean()


def test_gradients_reach_every_part_of_the_mapper(folder):
    model = PMG(weights=str(folder), epochs=2, lr=1e-2, hidden=16)
    train_pictures(model, shop(), folder.parent / "two", device="cpu")
    torch.manual_seed(0)
    new = PreferenceMapper(model.mapper.base.shape[1], model.open().model.network.size.picture_dim, 4, 16)
    assert model.mapper.second.weight.abs().max() > 0 and model.mapper.second.bias.abs().max() > 0
    assert model.mapper.base.abs().max() > new.base.abs().max()
    # two layers: the first one's gradient is 0 until the second has moved
    assert set(model.mapper.second.weight.flatten(1).std(1).gt(0).tolist()) == {True}


def test_the_items_own_values_are_given_in_training_with_the_probability_of_the_setting(folder, monkeypatch):
    model = PMG(weights=str(folder), item_drop=0.25, keyword_drop=1.0, epochs=1)
    seen = []
    network = model.open().model.network
    told = network.denoising_loss

    def watched(latents, conditions, *rest, **more):
        seen.append(conditions)
        return told(latents, conditions, *rest, **more)

    monkeypatch.setattr(network, "denoising_loss", watched)
    train_pictures(model, shop(), folder.parent / "given", device="cpu")
    own = torch.cat([one.weights[:, -1] for one in seen])
    assert set(own.tolist()) == {0.0, 1.0} and own.mean().item() == pytest.approx(0.75, abs=0.1)


def test_soft_tokens_alone_draw_what_the_user_likes(personal):
    """Without item and keywords, the picture is the user's colour; the base model without them draws any."""
    model = PMG(weights=str(personal), ratios=(1.0,), space="image_stats")
    right = []
    for seed in range(3):
        requests = [replace(of(name), item={"id": "x"}) for name in COLOURS]
        prompts = [replace(one[0], words=[], size=(16, 16)) for one in model.candidates(requests)]
        right += [nearest(one) == name for one, name in zip(model.open().draw(prompts, seed=seed), COLOURS)]
    assert np.mean(right) >= 0.8


def test_soft_tokens_differ_by_user_and_need_no_history(personal):
    model = PMG(weights=str(personal))
    picture_model = model.open().model
    empty = GenerationRequest("product_picture", {"id": "x", "colour": "red"})
    tastes = [read_taste(one, picture_model, model.shares, 8, 20) for one in (of("red"), of("blue"), empty)]
    tokens = soft_tokens(tastes, picture_model, model.mapper)
    assert tokens.shape == (3, 4, 32) and (tokens[0] - tokens[1]).abs().max() > 0.1
    assert tastes[0].words == [("colour=red", 1.0)] and tastes[2].words == []
    assert [len(taste.pictures) for taste in tastes] == [4, 4, 0]


def test_the_ratio_moves_the_picture_from_the_item_to_the_taste(personal):
    model = PMG(weights=str(personal), space="image_stats")
    blue = np.array(COLOURS["blue"], float)

    def distance(ratio):
        import io

        from PIL import Image

        made = model.generate([of("blue", "red", options={"ratio": ratio}, size=(16, 16))], seed=1)[0]
        assert made.provenance["ratio"] == f"{ratio:g}"
        return float(np.abs(np.asarray(Image.open(io.BytesIO(made.image)), float).mean((0, 1)) - blue).sum())

    plain, equal, strong = distance(0.0), distance(2.0), distance(20.0)
    # a strong taste is guided past its colour, so that the last two may be as near
    assert plain > 250 and max(equal, strong) < plain / 2


def test_of_several_ratios_the_one_with_the_best_z_is_kept(personal):
    ratios = (0.0, 1.0, 8.0)
    one = of("blue", "red", size=(16, 16))
    best = PMG(weights=str(personal), ratios=ratios, space="image_stats").generate([one], seed=2)[0]
    each = [
        PMG(weights=str(personal), ratios=(ratio,), space="image_stats").generate([one], seed=2)[0] for ratio in ratios
    ]
    assert set(best.scores) == {"d_p", "d_t", "z"} and best.provenance["space"] == "image_stats"
    assert best.scores["z"] == pytest.approx(max(made.scores["z"] for made in each), abs=1e-6)
    assert each[0].scores["d_t"] > each[2].scores["d_t"] and each[2].scores["d_p"] > each[0].scores["d_p"]


def test_more_draws_keep_the_first_and_never_lower_z(personal):
    one = of("blue", "red", size=(16, 16))
    few, many = (
        PMG(weights=str(personal), draws=n, ratios=(0.0, 1.0), space="image_stats").generate([one], seed=2)[0]
        for n in (1, 4)
    )
    assert many.scores["z"] >= few.scores["z"] and many.provenance["ratio"] in ("0", "1")


def test_the_picture_of_the_history_is_a_start(personal):
    model = PMG(weights=str(personal), reference=True, strength=0.01, ratios=(0.0,), space="image_stats")
    (prompt,) = model.candidates([of("blue", "red")])[0]
    assert prompt.reference == png("blue", 3) and prompt.strength == 0.01
    assert nearest(model.generate([of("blue", "red")])[0].image) == "blue"
    own = model.candidates([of("blue", "red", options={"reference": True, "strength": 0.3})])[0][0]
    assert own.reference == png("red", 9) and own.strength == 0.3


def test_a_user_of_whom_nothing_is_known_gets_the_plain_picture(personal, folder):
    empty = GenerationRequest("product_picture", {"id": "x", "colour": "green"})
    made = PMG(weights=str(personal), space="image_stats").generate([empty], seed=4)[0]
    plain = LatentDiffusion(weights=str(folder)).generate([empty], seed=4)[0]
    assert made.image == plain.image and made.provenance["ratio"] == "0"
    assert np.isnan(made.scores["z"])


def test_preferences_of_the_request_are_the_keywords(personal):
    model = PMG(weights=str(personal), ratios=(1.0,), soft=False)
    liked = [Preference("colour", "green", 0.7)]
    (prompt,) = model.candidates([of("blue", preferences=liked)])[0]
    assert prompt.preference is None
    assert list(prompt.words) == [("colour=red", 1.0), ("colour=green", 1.0)]


def test_weights_without_preference_tokens_are_refused(folder):
    with pytest.raises(NotFittedError, match="no preference tokens"):
        PMG(weights=str(folder)).generate([of("red")])
    with pytest.raises(NotFittedError, match="no weights"):
        PMG().generate([of("red")])
    with pytest.raises(NotFittedError, match="no weights"):
        TextualInversion().generate([of("red")])


@pytest.mark.parametrize("ratio", [-1, "much", True])
def test_a_ratio_out_of_range_is_named(personal, ratio):
    with pytest.raises(ConfigError, match="ratio"):
        PMG(weights=str(personal)).generate([of("red", options={"ratio": ratio})])


def test_an_inverted_token_draws_its_pictures(folder):
    """From a start that means nothing, the token comes to mean the colour of the pictures; the network stays."""
    network = read_picture_model(folder).network
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    own = [network.latents(torch.stack([_pixels(name, i) for i in range(3)])) for name in COLOURS]
    starts = torch.zeros(4, network.size.dim)
    tokens = learn_tokens(network, own, starts, steps=60, lr=0.1, batch=8, seed=0)
    none = Conditions.none(4)
    known = replace(none, extra=tokens, extra_weights=torch.ones(4, 1))
    drawn = network.decode(network.sample(torch.randn(1, 4, 4, 4).expand(4, -1, -1, -1), known, none, 3.0))
    assert [nearest(one.numpy()) for one in drawn] == list(COLOURS)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert torch.equal(tokens, learn_tokens(network, own, starts, steps=60, lr=0.1, batch=8, seed=0))


def _pixels(colour, seed):
    rng = np.random.default_rng(seed)
    value = np.array(COLOURS[colour])[:, None, None] + rng.integers(-15, 15, (3, 16, 16))
    return torch.from_numpy(np.clip(value, 0, 255).astype(np.uint8))


def test_a_token_does_not_depend_on_who_else_asks(folder):
    model = TextualInversion(weights=str(folder), inversion_steps=5)
    together = model.learn([of("blue"), GenerationRequest("product_picture", {"id": "q"}), of("green")], seed=3)
    alone = model.learn([of("green")], seed=3)
    assert together[1] is None and np.allclose(together[2], alone[0], atol=1e-4)
    assert not np.allclose(together[0], together[2], atol=1e-2)


def test_textual_inversion_leans_towards_the_user(folder):
    model = TextualInversion(weights=str(folder), inversion_steps=20, token_weight=8.0)
    plain = TextualInversion(weights=str(folder), token_weight=0.0)
    assert nearest(model.generate([of("blue", "red")], seed=1)[0].image) == "blue"
    made = plain.generate([of("blue", "red")], seed=1)[0]
    assert nearest(made.image) == "red" and made.provenance["model"] == "textual_inversion"
