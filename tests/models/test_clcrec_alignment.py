"""CLCRec's alignment: its terms by hand, each can be left out, held-out items stay unseen, content finds its users."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from taste import ITEMS, READERS, build, colour_of, same_colour, set_up, shop, view_of

from palate.core.batch import ExampleBatch
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.features.saved import load_encoder
from palate.training.pretrain import pretrain

NAME = "clcrec_alignment"


def parts():
    """Two users who took candidates 0 and 2; 1 lacks content, 2 shows it instead of its ID, user 0 also took 3."""
    torch.manual_seed(0)
    users, ids, content = torch.randn(2, 8), torch.randn(4, 8), torch.randn(4, 8)
    place, has = torch.tensor([0, 2]), torch.tensor([True, False, True, True])
    swapped, taken = torch.tensor([False, False, True, False]), torch.zeros(2, 4, dtype=torch.bool)
    taken[0, 0] = taken[0, 3] = taken[1, 2] = True
    return users, ids, content, place, has, swapped, taken


def test_the_terms_by_hand():
    model, _ = set_up(NAME, shop(), share=0.3, tau=0.5, tau_user=2.0, reg=0.1)
    users, ids, content, place, has, swapped, taken = parts()
    found = model.terms(users, ids, content, place, has, swapped, taken)
    first = []
    for item in (0, 2):
        logits = torch.stack([F.cosine_similarity(ids[item], content[j], dim=0) / 0.5 for j in (0, 2, 3)])
        first.append(torch.logsumexp(logits, 0) - logits[(0, 2).index(item)])
    hybrid = torch.stack([ids[0], ids[1], content[2], ids[3]])
    second = [
        torch.logsumexp(hybrid[[0, 1, 2]] @ users[0] / 2, 0) - hybrid[0] @ users[0] / 2,
        torch.logsumexp(hybrid @ users[1] / 2, 0) - hybrid[2] @ users[1] / 2,
    ]
    norms = 0.1 * (users.norm(dim=1).mean() + ids[[0, 2]].norm(dim=1).mean()) / 2
    wanted = 0.3 * sum(first) / 2 + 0.7 * sum(second) / 2 + norms
    assert float(found["loss"]) == pytest.approx(float(wanted), abs=1e-5)


def test_positives_without_content_take_no_part_in_the_contrast():
    model, _ = set_up(NAME, shop())
    users, ids, content, _, has, swapped, taken = parts()
    found = model.terms(users, ids, content, torch.tensor([1, 1]), has, swapped, taken)
    assert float(found["content"]) == 0 and bool(found["loss"].isfinite())


@pytest.mark.parametrize(("settings", "learns"), [({"share": 0.0, "replaced": 0.0}, False), ({"share": 0.0}, True)])
def test_content_learns_from_either_part(settings, learns):
    """Without the contrast and without content in place of IDs nothing reaches the encoders."""
    torch.manual_seed(1)
    model, view = set_up(NAME, shop(titled=False), modality_dropout=0.0, candidates=16, **settings)
    model.loss(ExampleBatch(torch.from_numpy(model.examples(view, RunContext())[:16])))["loss"].backward()
    grads = [float(p.grad.abs().sum()) for p in model.views.parameters() if p.grad is not None]
    assert (sum(grads) > 0) == learns
    assert float(model.people.grad.abs().sum()) > 0


def test_held_out_items_are_neither_examples_nor_candidates():
    model, view = set_up(NAME, shop())
    kept = model.held_out.eval_items
    assert len(kept) and not np.isin(model.examples(view, RunContext())[:, 1], kept).any()
    assert not np.isin(model.pool, kept).any()


def test_content_finds_its_users(tmp_path):
    data = shop(titled=False)
    model = build(NAME, epochs=25, patience=25, batch_size=64, candidates=32)
    encoders = pretrain(model, data, tmp_path / "clcrec", readers=READERS)
    assert model.validation_score() > 0.7
    assert set(encoders) == {"image", "text"}
    raws = data.items.raw("image")
    assert same_colour(encoders["image"], raws, [colour_of(i) for i in range(ITEMS)]) > 0.9
    again = load_encoder(tmp_path / "clcrec" / "image")
    np.testing.assert_array_equal(again.encode(raws[:5]).values, encoders["image"].encode(raws[:5]).values)


def test_items_without_any_content_keep_their_ids():
    """Every third item has nothing: it is an example and a candidate by its ID alone."""
    model, view = set_up(NAME, shop(titled=False, photos=False), candidates=64)
    blank = np.flatnonzero(~model.views.presence.any(1).numpy() & view.warm_items)
    assert (
        len(blank)
        and np.isin(blank, model.pool).all()
        and np.isin(blank, model.examples(view, RunContext())[:, 1]).all()
    )
    rows = model.examples(view, RunContext())
    with torch.no_grad():
        out = model.loss(ExampleBatch(torch.from_numpy(rows[np.isin(rows[:, 1], blank)][:4])))
    assert float(out["content"]) == 0 and bool(out["loss"].isfinite())


def test_a_catalogue_without_content_is_refused():
    view = view_of(shop())
    with pytest.raises(ConfigError, match="found none"):
        build(NAME).setup(view.with_features({}), RunContext())
