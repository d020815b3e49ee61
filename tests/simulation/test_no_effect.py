"""Without an effect of content, a ranker that sees content alone knows nothing of items that it did not learn from."""

import numpy as np
import pytest

from palate.metrics.rating import auc
from palate.simulation import World


def content_auc(world: World) -> float:
    """AUC on half of the items of the sum, over attributes, of a user's click rates of the value that an item shows.

    Rates come from the other half of the items, by category, with those of all users beside them.
    """
    (_, block), *_ = world.blocks()
    items, schema, rows = world.items, world.items.schema, block.impressions
    category = (items.leaf[items.content] // schema.per_category).astype(int)
    learn = np.random.default_rng(0).random(len(items)) < 0.5
    train = learn[rows["item"]]
    user, item, clicked = rows["user"], rows["item"], rows["clicked"]
    shown = np.bincount(user[train], minlength=world.config.n_users)
    # less the user's own click rate, which is no content
    usual = np.bincount(user[train], clicked[train], world.config.n_users) / np.maximum(shown, 1)
    surprise = clicked - usual[user]
    scores = np.zeros(len(user))
    codes = [category] + [
        np.where(items.present[m], items.shown[m][:, schema.column(name)], -1) + 1 + 16 * category
        for m, attributes in schema.visibility.items()
        for name in attributes
    ]
    for code in codes:
        width = int(code.max()) + 1
        for key, size in ((user * width + code[item], world.config.n_users * width), (code[item], width)):
            total = np.bincount(key[train], weights=surprise[train], minlength=size)
            count = np.bincount(key[train], minlength=size)
            scores += (total / (count + 5))[key]
    return auc(clicked[~train], scores[~train])


@pytest.mark.parametrize("preset", ["shop", "news@1", "news", "ads"])
def test_content_gains_vanish(preset):
    size = dict(n_items=500, n_users=500, media=False)
    gains = {
        flag: [content_auc(World.make(preset, seed=s, no_effect=flag, **size)) for s in (1, 2, 3)] for flag in (0, 1)
    }
    assert min(gains[False]) > 0.58
    # each world is one draw of the shuffle
    assert np.abs(np.array(gains[True]) - 0.5).max() < 0.03


@pytest.mark.parametrize("preset", ["news", "ads"])
def test_behaviour_is_the_same_to_the_bit(preset):
    plain, shuffled = (World.make(preset, seed=2, n_items=90, n_users=60, media=False, no_effect=f) for f in (0, 1))
    (_, one), (_, two) = next(plain.blocks()), next(shuffled.blocks())
    for name in one.impressions:
        np.testing.assert_array_equal(one.impressions[name], two.impressions[name])
    assert not (plain.items.leaf[plain.items.content] == shuffled.items.leaf[shuffled.items.content]).all()
