"""Closed forms say what they cost before they start, and refuse what cannot fit into memory."""

import logging

import pytest
import tiny_view
from hypothesis import given
from hypothesis import strategies as st
from tiny_view import RUN

from palate.core.errors import ConfigError
from palate.models.match.blend.members import members_for
from palate.models.match.content_kernel.blocks import BlockKernel
from palate.models.match.content_kernel.model import ContentKernel
from palate.models.match.ease import EASE
from palate.models.match.ease_content import EASEContent
from palate.models.match.shared import cost


def slow(gram, l2):
    """An inverse that is never called."""
    raise AssertionError("measured without need")


@given(st.integers(1, 30_000), st.integers(1, 6))
def test_memory_is_four_bytes_a_cell(n_items, matrices):
    assert cost.memory_of(n_items, matrices) == 4 * n_items * n_items * matrices


def test_seconds_grow_with_the_cube(monkeypatch):
    monkeypatch.setattr(cost, "_trial", lambda invert: 0.2)
    assert cost.seconds_of(20_000, slow) == pytest.approx(8 * cost.seconds_of(10_000, slow))
    assert cost.seconds_of(100, slow) == 0


def test_what_is_long_or_large_is_said(monkeypatch, caplog):
    monkeypatch.setattr(cost, "_trial", lambda invert: 0.2)
    monkeypatch.setattr(cost, "available_memory", lambda: 2**40)
    caplog.set_level(logging.INFO, "palate")
    cost.say_cost("ease", 300, 3, 6, slow)
    assert not caplog.records
    cost.say_cost("ease", 23_033, 3, 6, slow)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("ease: 6 inverses of a 23,033 x 23,033 matrix, about 9") and said.endswith("5.9 GiB")


@pytest.mark.parametrize("model", [EASE(), EASEContent()])
def test_what_cannot_fit_is_refused_with_a_way_out(model, monkeypatch):
    monkeypatch.setattr(cost, "available_memory", lambda: 1000)
    with pytest.raises(ConfigError, match=r"needs about .* are free.*use lightgcn"):
        model.setup(tiny_view.view(), RUN)
        model.solve(tiny_view.view(), RUN)


def test_the_kernel_counts_its_search(monkeypatch, caplog):
    """Nine kernels and three smoothings on 4,000 of 8,000 items are an eighth each; two inverses are of all items."""
    monkeypatch.setattr(cost, "_trial", lambda invert: 0.2)
    monkeypatch.setattr(cost, "available_memory", lambda: 2**40)
    caplog.set_level(logging.INFO, "palate")
    model = ContentKernel()
    model.kernel = BlockKernel({"text": 3}, {"text": "sparse"})
    assert [model._inverses(n) for n in (4_000, 8_000)] == [2 + 12, 2 + round(12 / 8)]
    given = ContentKernel(sharpness=1.0, ridge=0.1, l2=100.0, mix=0.1, popularity=0.0)
    given.kernel = model.kernel
    assert given._inverses(8_000) == 2
    monkeypatch.setattr(cost, "available_memory", lambda: 1000)
    with pytest.raises(ConfigError, match=r"content_kernel needs about .* are free"):
        ContentKernel().setup(tiny_view.view(), RUN)


def test_the_blend_leaves_out_members_that_cannot_fit(monkeypatch, caplog):
    train = tiny_view.view()
    assert "ease_content" in members_for(train)
    monkeypatch.setattr(cost, "available_memory", lambda: 1000)
    assert members_for(train) == ["popularity@log", "freedom"]
    assert any("leaves out ease_content" in record.getMessage() for record in caplog.records)


def test_memory_that_is_available_is_a_positive_number():
    free = cost.available_memory()
    assert free is None or free > 0
