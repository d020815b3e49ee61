"""Whether a closed form reads its seed: what ``compare`` relies on when it fits a model once for all seeds."""

import numpy as np
import pytest
from shop_frames import light_content, make_shop

from palate.contracts import Matcher, models

SEEDS = range(6)
CLOSED = [
    name
    for name, kind in models.items()
    if issubclass(kind, Matcher) and kind.solve is not Matcher.solve and name not in ("blend", "mmr")
]


def lists(name, data, content, seed):
    kind = models.get(name)
    wanted = {"select_users": 15, "modality_dropout": 0.5}
    settings = {key: value for key, value in wanted.items() if key in kind.Config.model_fields}
    model = kind(**settings).fit(data, seed=seed, content=content)
    return np.asarray(model.recommend(users=model.user_ids, k=10)["item"].to_list())


@pytest.fixture(scope="module")
def shops():
    made = [make_shop(150, 60, split="random"), make_shop(60, 90, split="random")]
    return [(data, light_content(data)) for data in made]


@pytest.mark.parametrize("name", CLOSED)
def test_lists_are_equal_for_all_seeds_exactly_where_the_model_says_so(name, shops):
    """Settings that draw are on, and more users are asked than a choice reads: a seed that is read shows."""
    equal = True
    for data, content in shops:
        first, *others = (lists(name, data, content, seed) for seed in SEEDS)
        equal &= all(np.array_equal(first, other) for other in others)
    assert equal == models.get(name).deterministic


def test_the_closed_forms_are_all_here():
    kinds = {"popularity", "item_knn", "content_knn", "ease", "ease_content", "spectral", "content_kernel"}
    assert kinds <= set(CLOSED)
