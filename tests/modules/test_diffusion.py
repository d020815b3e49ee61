"""Latent diffusion: schedule, samplers, guidance, average of weights, autoencoder, conditions; hand-computed cases."""

import math

import pytest
import torch
from torch import nn

from palate.modules.diffusion import schedule
from palate.modules.diffusion.autoencoder import PictureAutoencoder, kl_to_standard_normal, pyramid_loss
from palate.modules.diffusion.moving_average import MovingAverage
from palate.modules.diffusion.network import (
    Conditions,
    LatentDiffusionNetwork,
    NetworkSize,
    from_bytes,
    to_bytes,
)
from palate.modules.diffusion.samplers import guided, sample, start_from, time_grid
from palate.modules.diffusion.transformer import DiffusionTransformer

TINY = NetworkSize(tokens=9, side=16, channels=8, latent=4, patch=2, dim=16, depth=2, heads=2)


@pytest.fixture
def network():
    """A network whose zero layers are set, so that conditions have an effect without training."""
    torch.manual_seed(0)
    made = LatentDiffusionNetwork(TINY)
    for name, parameter in made.named_parameters():
        if "modulation" in name or "cross.out" in name or "transformer.final" in name:
            nn.init.normal_(parameter, std=0.2)
    return made.eval()


def conditions(rows, weights=None):
    ids = torch.tensor(rows)
    return Conditions(ids, (ids > 0).float() if weights is None else torch.tensor(weights))


def test_the_cosine_schedule_at_hand_computed_times():
    alpha, sigma = schedule.alpha_sigma(torch.tensor([0.0, 1 / 3, 0.5, 1.0], dtype=torch.float64))
    assert alpha.tolist() == pytest.approx([1, math.sqrt(3) / 2, math.sqrt(0.5), 0])
    assert sigma.tolist() == pytest.approx([0, 0.5, math.sqrt(0.5), 1])
    # alpha / sigma = sqrt(3) at a third
    assert float(schedule.half_log_snr(torch.tensor(1 / 3))) == pytest.approx(0.5 * math.log(3), abs=1e-6)


def test_noise_velocity_and_what_they_stand_for():
    x, noise = torch.tensor([[2.0]]), torch.tensor([[-1.0]])
    time = torch.tensor([1 / 3])
    z = schedule.add_noise(x, noise, time)
    v = schedule.velocity(x, noise, time)
    assert z.item() == pytest.approx(2 * math.sqrt(3) / 2 - 0.5)
    assert v.item() == pytest.approx(-math.sqrt(3) / 2 - 1.0)
    assert schedule.clean_from_velocity(z, v, time).item() == pytest.approx(2.0, abs=1e-6)
    assert schedule.noise_from_clean(z, x, time).item() == pytest.approx(-1.0, abs=1e-6)


def test_min_snr_weights_by_hand():
    # SNR 3 at a third, 1 at a half
    times = torch.tensor([1 / 3, 0.5])
    assert schedule.min_snr_weight(times, 2.0).tolist() == pytest.approx([2 / 4, 1 / 2], rel=1e-5)
    assert schedule.min_snr_weight(times, 5.0).tolist() == pytest.approx([3 / 4, 1 / 2], rel=1e-5)


def test_times_of_training_are_spread_over_the_whole_range():
    times = schedule.draw_times(50, torch.device("cpu")).sort().values
    parts = ((times - schedule.EARLIEST) / (schedule.LATEST - schedule.EARLIEST) * 50).floor()
    assert parts.tolist() == list(range(50))


def test_a_step_of_ddim_by_hand():
    seen = []

    def predict(z, time):
        seen.append((z.item(), float(time)))
        return torch.full_like(z, 0.5)

    end = sample(predict, torch.tensor([[1.0]]), torch.tensor([0.5, 1 / 3, 0.0], dtype=torch.float64), "ddim")
    half = math.sqrt(0.5)
    noise = (1.0 - half * 0.5) / half
    assert seen[1][0] == pytest.approx(math.sqrt(3) / 2 * 0.5 + 0.5 * noise, rel=1e-5)
    assert end.item() == 0.5


def test_a_second_step_of_dpm_solver_by_hand():
    clean, seen = iter((0.5, 0.8, 0.3)), []

    def predict(z, time):
        seen.append(z.item())
        return torch.full_like(z, next(clean))

    times = torch.tensor([0.6, 0.4, 0.2, 0.0], dtype=torch.float64)
    sample(predict, torch.tensor([[1.0]]), times, "dpm")
    a, s = [[f(math.pi / 2 * t) for t in (0.6, 0.4, 0.2)] for f in (math.cos, math.sin)]
    lam = [math.log(one / other) for one, other in zip(a, s)]
    first = s[1] / s[0] * 1.0 - a[1] * (math.exp(-(lam[1] - lam[0])) - 1) * 0.5
    r = (lam[1] - lam[0]) / (lam[2] - lam[1])
    mixed = (1 + 1 / (2 * r)) * 0.8 - 1 / (2 * r) * 0.5
    second = s[2] / s[1] * first - a[2] * (math.exp(-(lam[2] - lam[1])) - 1) * mixed
    assert seen == pytest.approx([1.0, first, second], rel=1e-5)


@pytest.mark.parametrize(("sampler", "error"), [("ddim", 0.08), ("dpm", 0.03)])
def test_samplers_reach_a_normal_distribution_that_is_known(sampler, error):
    """The best prediction of x ~ N(m, s^2) is known: 20 steps then map noise to nearly N(m, s^2)."""
    mean, deviation = 1.5, 0.4

    def predict(z, time):
        alpha, sigma = (float(one[0]) for one in schedule.alpha_sigma(time))
        gain = alpha * deviation**2 / (alpha**2 * deviation**2 + sigma**2)
        return mean + gain * (z - alpha * mean)

    grid = torch.linspace(-2, 2, 41)[:, None]
    made = sample(predict, grid, time_grid(20), sampler)
    assert (made - (mean + deviation * grid)).abs().max() < error
    exact = sample(predict, grid, time_grid(400), sampler)
    assert (exact - (mean + deviation * grid)).abs().max() < 0.01


def test_guidance_is_a_step_beyond_the_condition():
    conditional, other = torch.tensor([3.0, 1.0]), torch.tensor([1.0, 1.0])
    assert guided(conditional, other, 2.0).tolist() == [5.0, 1.0]
    assert guided(conditional, other, 1.0).tolist() == conditional.tolist()
    assert guided(conditional, other, torch.tensor([0.0, 1.0])).tolist() == [1.0, 1.0]


def test_a_reference_is_kept_as_far_as_its_strength_says():
    reference, noise = torch.full((1, 1), 2.0), torch.full((1, 1), 1.0)
    z, times = start_from(reference, noise, 0.5, 20)
    start = schedule.LATEST / 2
    assert times[0] == pytest.approx(start) and len(times) == 11
    expected = 2 * math.cos(start * math.pi / 2) + math.sin(start * math.pi / 2)
    assert z.item() == pytest.approx(expected, rel=1e-5)
    z, times = start_from(reference, noise, 1.0, 20)
    assert z is noise and len(times) == 21


def test_the_average_of_weights_by_hand():
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 0.0)
    average = MovingAverage(network, 0.15)
    nn.init.constant_(network.weight, 1.0)
    average.update(network)  # d = min(.15, 1 / 10)
    assert average.average.weight.item() == pytest.approx(0.9)
    average.update(network)  # d = min(.15, 2 / 11)
    assert average.average.weight.item() == pytest.approx(0.15 * 0.9 + 0.85)
    assert int(average.updates) == 2 and not average.average.weight.requires_grad


def test_the_divergence_of_latents_by_hand():
    # N(1, 4) from N(0, 1): (1 + 4 - 1 - log 4) / 2
    divergence = kl_to_standard_normal(torch.tensor([1.0]), torch.tensor([math.log(4.0)]))
    assert divergence.item() == pytest.approx((4 - math.log(4)) / 2)
    assert kl_to_standard_normal(torch.zeros(3), torch.zeros(3)).item() == 0


def test_the_pyramid_counts_colours_and_edges():
    flat = torch.zeros(1, 3, 8, 8)
    assert pyramid_loss(flat + 0.5, flat).item() == pytest.approx(0.5 + 0.25)
    edge = flat.clone()
    edge[..., 4:] = 1.0
    # half of the pixels differ by 1, absolute and squared; one of 7 neighbour pairs of each row does
    assert pyramid_loss(edge, flat, 1).item() == pytest.approx(0.5 + 0.5 + 1 / 7)


def test_the_autoencoder_learns_to_give_pictures_back():
    torch.manual_seed(0)
    network = PictureAutoencoder(8, 4)
    pictures = torch.rand(8, 3, 1, 1).expand(8, 3, 16, 16) * 2 - 1
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        made, mean, log_variance = network(pictures)
        loss = pyramid_loss(made, pictures) + 1e-4 * kl_to_standard_normal(mean, log_variance)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert made.shape == pictures.shape and mean.shape == (8, 4, 4, 4)
    assert losses[-1] < 0.5 * losses[0]


def test_an_autoencoder_starts_as_the_principal_components_of_squares():
    """Pictures whose squares lie in a plane of 2 dimensions come back exactly from 2 channels, before any training."""
    torch.manual_seed(0)
    network, axes = PictureAutoencoder(8, 2), torch.randn(2, 48) * 0.1
    squares = torch.randn(4, 4, 4, 2) @ axes + 0.1
    pictures = torch.nn.functional.pixel_shuffle(squares.permute(0, 3, 1, 2), 4)
    before = (network.decode(network.encode(pictures)[0]) - pictures).abs().max().item()
    network.start_from(pictures)
    latents = network.encode(pictures)[0]
    assert before > 0.1 and torch.allclose(network.decode(latents), pictures, atol=1e-4)
    spread = latents.var((0, 2, 3))
    assert spread[0] > spread[1] and abs(latents.mean()) < 1e-4


def test_more_channels_than_a_square_has_numbers_are_zero():
    torch.manual_seed(0)
    network, pictures = PictureAutoencoder(8, 50), torch.rand(2, 3, 16, 16) * 2 - 1
    network.start_from(pictures)
    latents = network.encode(pictures)[0]
    assert torch.equal(latents[:, 48:], torch.zeros(2, 2, 4, 4))
    assert torch.allclose(network.decode(latents), pictures, atol=1e-4)


def test_bytes_and_pixels_are_the_same_pictures():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(to_bytes(from_bytes(levels)), levels)


def test_an_untrained_transformer_predicts_nothing():
    torch.manual_seed(0)
    network = DiffusionTransformer(4, 4, 2, 16, 1, 2)
    made = network(torch.randn(2, 4, 4, 4), torch.rand(2), torch.randn(2, 3, 16), torch.ones(2, 3))
    assert made.shape == (2, 4, 4, 4) and not made.any()


def test_a_weight_of_two_is_the_token_twice(network):
    z, time = torch.randn(1, 4, 4, 4), torch.tensor([0.4])
    twice = network.denoiser(z, time, conditions([[3, 5, 5]]))
    weighted = network.denoiser(z, time, conditions([[3, 5]], [[1.0, 2.0]]))
    once = network.denoiser(z, time, conditions([[3, 5]]))
    assert torch.allclose(twice, weighted, atol=1e-5)
    assert not torch.allclose(twice, once, atol=1e-3)


def test_padding_and_parts_of_weight_zero_have_no_effect(network):
    z, time = torch.randn(1, 4, 4, 4), torch.tensor([0.4])
    plain = network.denoiser(z, time, conditions([[3]]))
    padded = Conditions(
        torch.tensor([[3, 0, 0]]), torch.tensor([[1.0, 0, 0]]),
        torch.randn(1, TINY.picture_dim), torch.zeros(1), torch.randn(1, 4, 16), torch.zeros(1, 4),
    )  # fmt: skip
    assert torch.allclose(plain, network.denoiser(z, time, padded), atol=1e-6)


@pytest.mark.parametrize("part", ["word", "picture", "extra"])
def test_every_condition_changes_what_is_drawn(network, part):
    noise, none = torch.randn(1, 4, 4, 4), Conditions.none(1)
    ids, weights = torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, 1)
    some = {
        "word": conditions([[2]]),
        "picture": Conditions(ids, weights, torch.randn(1, TINY.picture_dim), torch.ones(1)),
        "extra": Conditions(ids, weights, None, None, torch.randn(1, 2, 16), torch.ones(1, 2)),
    }[part]
    plain = network.sample(noise, none, none, steps=3)
    drawn = network.sample(noise, some, none, steps=3)
    assert (plain - drawn).abs().max() > 0.01
    more = network.sample(noise, some, none, guidance=6.0, steps=3)
    assert (more - drawn).abs().max() > 0.01
    assert torch.equal(drawn, network.sample(noise, some, none, steps=3))


def test_what_is_not_wanted_changes_the_picture_only_with_guidance(network):
    noise, some = torch.randn(1, 4, 4, 4), conditions([[2]])
    none, unwanted = Conditions.none(1), conditions([[4]])
    one, other = (network.sample(noise, some, away, guidance=1.0, steps=2) for away in (none, unwanted))
    assert torch.equal(one, other)
    one, other = (network.sample(noise, some, away, guidance=3.0, steps=2) for away in (none, unwanted))
    assert not torch.allclose(one, other, atol=1e-4)


def test_a_picture_does_not_depend_on_its_batch(network):
    noise, both, none = torch.randn(2, 4, 4, 4), conditions([[2, 3], [4, 0]]), Conditions.none(2)
    together = network.sample(noise, both, none, torch.tensor([2.0, 4.0]), steps=3)
    alone = network.sample(noise[1:], conditions([[4]]), Conditions.none(1), 4.0, steps=3)
    assert torch.allclose(together[1:], alone, atol=1e-5)


def test_a_reference_of_no_strength_stays(network):
    reference, none = torch.randn(1, 4, 4, 4), Conditions.none(1)
    noise = torch.randn(1, 4, 4, 4)
    kept = network.sample(noise, none, none, reference=reference, strength=0.0)
    near = network.sample(noise, none, none, reference=reference, strength=0.1, steps=10)
    far = network.sample(noise, none, none, reference=reference, strength=0.9, steps=10)
    assert torch.equal(kept, reference)
    assert (near - reference).abs().mean() < (far - reference).abs().mean()


def test_latents_are_standardised_by_channel(network):
    pictures = torch.randint(0, 256, (20, 3, 16, 16), dtype=torch.uint8)
    network.standardise(pictures)
    latents = network.latents(pictures)
    assert latents.mean((0, 2, 3)).abs().max() < 1e-4
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(4), atol=1e-4)
    back = network.decode(latents)
    direct = to_bytes(network.autoencoder.decode(network.autoencoder.encode(from_bytes(pictures))[0]))
    assert (back.int() - direct.int()).abs().max() <= 1


def test_the_loss_of_a_perfect_denoiser_is_zero(network):
    """With one picture and no freedom, v is known from z: a network that says so has no loss."""
    latents = torch.zeros(3, 4, 4, 4)

    class Perfect(nn.Module):
        def forward(self, z, time, known):
            # x is 0, so eps = z / sigma and v = alpha eps
            alpha, sigma = schedule.alpha_sigma(time)
            return (alpha / sigma)[:, None, None, None] * z

    before = network.denoising_loss(latents, Conditions.none(3), rows=True)
    network.denoiser = Perfect()
    assert before.shape == (3,) and before.max() > 1e-2
    assert network.denoising_loss(latents, Conditions.none(3)) < 1e-9
