"""Views of pictures: what a crop, a flip and a jitter keep, and that each picture has its own draws."""

import pytest
import torch

from palate.modules.augment import crop_flip, hue, jitter, random_view


def pictures(n=16, side=12):
    torch.manual_seed(0)
    return torch.rand(n, 3, side, side) * 2 - 1


def test_nothing_asked_changes_nothing():
    x = pictures()
    assert torch.equal(random_view(x, crop=1, flip=0, colour=0), x)
    torch.testing.assert_close(crop_flip(x, 1.0, 0.0), x, atol=1e-5, rtol=0)


def test_a_flip_mirrors_left_and_right():
    x = pictures()
    torch.testing.assert_close(crop_flip(x, 1.0, 1.0), x.flip(3), atol=1e-5, rtol=0)


def test_crops_are_boxes_of_the_asked_area():
    """On a ramp of coordinates, a crop's slopes are the sides of its box."""
    side = 32
    ramp = ((torch.arange(side) + 0.5) / side).expand(side, side)
    x = torch.stack([ramp, ramp.T, torch.zeros(side, side)]).expand(200, -1, -1, -1)
    torch.manual_seed(1)
    seen = crop_flip(x, 0.25, 0.5)
    inner = slice(8, 24)
    width = (seen[:, 0, 16, inner].diff(dim=1).mean(1) * side).abs()
    height = seen[:, 1, inner, 16].diff(dim=1).mean(1) * side
    area = width * height
    assert 0.2 < float(area.min()) < 0.35 and 0.9 < float(area.max()) <= 1.01
    assert float((width / height).max()) < 4 / 3 + 0.02
    assert float(seen.min()) >= 0 and float(seen.max()) <= 1


def test_jitter_keeps_the_range_and_greys_some():
    x = pictures(400, 4)
    torch.manual_seed(2)
    seen = jitter(x, 0.4)
    assert float(seen.min()) >= -1 and float(seen.max()) <= 1
    grey = (seen.amax(1) - seen.amin(1)).amax((1, 2)) < 1e-6
    same = (seen - x).abs().amax((1, 2, 3)) < 1e-6
    assert 0.12 < float(grey.float().mean()) < 0.28
    assert 0.08 < float(same.float().mean()) < 0.24


def test_a_turn_of_hue_moves_red_to_green_and_keeps_grey():
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
    turned = hue(red, torch.tensor([1 / 3])).flatten()
    torch.testing.assert_close(turned, torch.tensor([0.0, 1, 0]), atol=1e-5, rtol=0)
    grey = torch.full((1, 3, 2, 2), 0.4)
    torch.testing.assert_close(hue(grey, torch.tensor([0.37])), grey)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_views(seed):
    x = pictures()
    torch.manual_seed(seed)
    one = random_view(x)
    torch.manual_seed(seed)
    assert torch.equal(random_view(x), one)
    assert not torch.equal(random_view(x), one)
