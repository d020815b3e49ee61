"""Shops that say next to nothing: every content model and the blend fit them, and what cannot be judged is named."""

import hypothesis.extra.numpy as hnp
import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import palate
from palate.contracts.parse import parse_model
from palate.core.errors import ConfigError, DataError
from palate.evaluation.evaluate import evaluate
from palate.evaluation.openings import openings_of
from palate.evaluation.runs import run_fit
from palate.features.plan import plan_content
from palate.models.match.content_kernel.directions import fit_weights
from palate.models.match.content_kernel.factor import cholesky
from palate.training.fit import fit
from palate.training.saving import restore

ENCODERS = {"text": "tfidf"}
WORDS = ("red", "blue", "lamp", "chair", "table", "green", "old", "new", "oak", "steel")


def titles(n):
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, 4)) for _ in range(n)]


def shop(n, users, split="random", events=None, **columns):
    rng = np.random.default_rng(1)
    u, i = events or (rng.integers(users, size=6 * users), rng.integers(n, size=6 * users))
    items = pl.DataFrame({"item": [f"i{x}" for x in range(n)], **columns}, strict=False)
    log = pl.DataFrame({"user": [f"u{x}" for x in u], "item": [f"i{x}" for x in i]}).unique(maintain_order=True)
    kinds = {name: "text" if name in ("title", "more") else "attributes" for name in columns}
    return palate.Dataset.from_frames(items, log, columns={"item": "id", **kinds}, split=split)


def light(data):
    return plan_content(data, {m: spec for m, spec in ENCODERS.items() if m in data.items.modalities})


SHOPS = {
    "all alike": lambda s: shop(30, 20, s, title=["a lamp"] * 30, genre=["x"] * 30),
    "one user": lambda s: shop(30, 1, s, (np.zeros(12, int), np.arange(12)), title=titles(30)),
    "one value": lambda s: shop(30, 20, s, genre=["x"] * 30),
    "constant number": lambda s: shop(30, 20, s, price=[5.0] * 30),
    "all took all": lambda s: shop(8, 6, s, (np.repeat(np.arange(6), 8), np.tile(np.arange(8), 6)), title=titles(8)),
    "an empty column": lambda s: shop(30, 20, s, title=titles(30), more=[""] * 30, genre=[None] * 30),
    "a huge number": lambda s: shop(30, 20, s, title=titles(30), price=[1e300, *map(float, range(29))]),
}


@pytest.mark.parametrize("split", ["random", "item_cold"])
@pytest.mark.parametrize("name", SHOPS)
@pytest.mark.parametrize("model", ["content_kernel", "content_kernel@aligned", "content_knn"])
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_content_models_fit(model, name, split):
    data = SHOPS[name](split)
    fitted = fit(parse_model(model), data, content=light(data))
    means = evaluate(fitted, data).metrics
    assert all(0 <= value <= 1 for value in means.values() if not np.isnan(value))
    lists = fitted.recommend(users=fitted.user_ids[:2], k=3)
    assert len(lists) or name == "all took all"


@pytest.mark.parametrize("name", ["all alike", "an empty column"])
def test_the_blend_fits(name):
    data = SHOPS[name]("item_cold")
    fitted = fit(parse_model("blend:members=[popularity@log,content_kernel@aligned]"), data, content=light(data))
    assert 0 <= evaluate(fitted, data).metrics["recall@20"] <= 1


def test_a_blend_of_items_with_empty_texts_reads_no_content():
    data = shop(30, 20, title=[""] * 30)
    fitted = fit(parse_model("blend"), data, content=light(data))
    assert {name.partition("@")[0] for name in fitted.members()} == {"popularity", "ease"}


FEW = {
    "three events": lambda: shop(5, 3, "random", (np.array([0, 0, 1]), np.array([0, 1, 2])), title=titles(5)),
    "one item": lambda: shop(1, 5, "random", (np.arange(5), np.zeros(5, int)), title=titles(1)),
    "one popular item": lambda: shop(20, 30, "random", (np.arange(30), np.zeros(30, int)), title=titles(20)),
    "a user an item": lambda: shop(30, 30, "item_cold", (np.arange(30), np.arange(30)), title=titles(30)),
}


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("model", ["content_kernel", "content_knn"])
def test_where_nobody_can_be_asked_the_model_is_there_and_the_judgement_says_so(model, name):
    data = FEW[name]()
    fitted = fit(parse_model(model), data, content=light(data))
    assert name == "one item" or len(fitted.recommend(users=fitted.user_ids[:1], k=2))
    before = openings_of(data)
    with pytest.raises(DataError, match="the test part asks about nobody"):
        evaluate(fitted, data)
    assert openings_of(data) == before


def test_a_fit_that_cannot_be_judged_is_saved_and_says_why(tmp_path, caplog):
    data = FEW["one popular item"]()
    found = run_fit(data, "content_kernel", tmp_path / "run", content=light(data))
    assert len(restore(tmp_path / "run").recommend(history=["i1"], k=3)) == 3
    assert "content_kernel is not judged: the test part asks about nobody" in caplog.text
    assert found["openings_of_test"] == 0 and openings_of(data) == 0
    assert all("are not compared: neither validation nor test" in sentence for sentence in found["verdict"])
    assert (tmp_path / "run" / "report.html").is_file()


def test_settings_without_anybody_to_ask_are_the_first_of_each_grid(caplog):
    fitted = fit(parse_model("content_kernel"), data := FEW["a user an item"](), content=light(data))
    chosen, first = fitted.selected_settings(), fitted.Config()
    assert chosen["sharpness"] == first.sharpness_grid[0] and chosen["ridge"] == first.ridge_grid[0]
    assert (chosen["l2"], chosen["mix"]) == (first.l2_grid[0], first.mix_grid[0])
    assert "too few interactions" in caplog.text


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(0, 2**32 - 1), st.floats(1e-6, 1.0), st.floats(0, 1e-2))
def test_weights_of_nearly_constant_terms_are_finite_and_not_negative(size, seed, scale, noise):
    """Covariances that rounding left indefinite; where they are not, the weights are those of the definition."""
    rng = np.random.default_rng(seed)
    terms = 1 + scale * rng.standard_normal((size, 50)) * rng.integers(0, 2, (size, 1))
    gram = np.cov(terms, bias=True).reshape(size, size) + noise * np.diag(rng.standard_normal(size))
    spread = np.sqrt(np.maximum(np.diagonal(gram), 1e-12))
    weights = fit_weights(gram, rng.standard_normal(size), spread)
    assert weights.shape == (size,) and np.isfinite(weights).all() and (weights >= 0).all()


def test_an_indefinite_covariance_is_fitted_as_the_nearest_definite_one():
    gram = np.array([[1.0, 1.2], [1.2, 1.0]])
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.cholesky(gram + 3e-3 * np.eye(2))
    weights = fit_weights(gram, np.array([1.0, 1.0]), np.ones(2))
    # of the direction (1, 1), whose variance is 2.2 + 3e-3
    np.testing.assert_allclose(weights, [1 / 2.203] * 2, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=st.floats(-2, 2, width=32)))
def test_a_singular_kernel_has_a_factor(points):
    values = torch.from_numpy(np.concatenate([points, points]))
    gram = values @ values.T
    assume(float(gram.diagonal().mean()) > 0.01)
    lower = cholesky(gram)
    assert torch.isfinite(lower).all()
    torch.testing.assert_close(lower @ lower.T, gram, atol=0.05 * float(gram.diagonal().mean()) + 1e-6, rtol=1e-3)


def test_a_definite_kernel_has_its_own_factor_and_a_kernel_that_is_none_is_named():
    gram = torch.eye(3) * 2 + 0.5
    assert torch.equal(cholesky(gram), torch.linalg.cholesky(gram))
    for wrong in (torch.full((2, 2), torch.nan), -torch.eye(2)):
        with pytest.raises(ConfigError, match="cannot be inverted"):
            cholesky(wrong)
