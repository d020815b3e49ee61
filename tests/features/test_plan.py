"""Which encoders a plan takes, and what progress says about them."""

import logging

import polars as pl
import pytest

from palate.core.errors import ConfigError
from palate.core.progress import set_mode
from palate.data.dataset import Dataset
from palate.features import default_encoders
from palate.features.encoders.make import make_encoder
from palate.features.fitted import content_label
from palate.features.plan import plan_content


def films() -> Dataset:
    items = pl.DataFrame(
        {
            "item": [f"i{row}" for row in range(12)],
            "title": [f"film {row % 5} of the sea" for row in range(12)],
            "plot": [f"a long story {row % 3} about a ship" for row in range(12)],
            "genre": [("drama", "comedy")[row % 2] for row in range(12)],
        }
    )
    log = pl.DataFrame({"user": [f"u{row % 6}" for row in range(24)], "item": [f"i{row % 12}" for row in range(24)]})
    columns = {"item": "id", "title": "text", "plot": "text", "genre": "attributes"}
    return Dataset.from_frames(items, log.unique(maintain_order=True), columns=columns)


@pytest.fixture
def installed(monkeypatch):
    """MiniLM as if it were installed."""
    monkeypatch.setattr(default_encoders, "find_spec", lambda name: object())


def used(encoders: dict[str, str] | None) -> set[str]:
    plan = plan_content(films(), encoders)
    return {spec.encoder for spec in (*plan.features.values(), *plan.fields.values())}


@pytest.mark.parametrize("encoders", [None, {"text": "minilm"}, {"text.a": "tfidf", "text.b": "minilm"}])
def test_single_columns_are_read_by_minilm_where_the_texts_are(installed, encoders):
    assert "minilm" in used(encoders)
    plan = plan_content(films(), encoders)
    assert {name for name, spec in plan.fields.items() if spec.encoder == "minilm"} == {
        "meaning_title",
        "meaning_plot",
        "meaning_all",
    }


@pytest.mark.parametrize("encoder", ["tfidf", "hash?dim=32", "tfidf?dim=64", "none"])
def test_another_encoder_of_texts_switches_minilm_off_everywhere(installed, encoder):
    assert not any("minilm" in spec for spec in used({"text": encoder}))


def test_progress_names_the_columns_that_are_read(caplog):
    set_mode("plain")
    data = films()
    try:
        with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.INFO, logger="palate"):
            patch.delenv("PALATE_PROGRESS", raising=False)
            plan_content(data, {"text": "tfidf", "attributes": "none"}).fit(data.select_view(), data, fields=True)
    finally:
        set_mode("auto")
    lines = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("encode text: title, plot (tfidf)") for line in lines)
    assert any(line.startswith("encode text: plot (tfidf)") for line in lines)


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ((), "image"),
        (("a",), "image: a"),
        (tuple("abc"), "image: a, b, c"),
        (tuple("abcde"), "image: a, b, c and 2 more"),
    ],
)
def test_a_label_names_three_columns_and_counts_the_others(columns, text):
    assert content_label("image", columns) == text


def test_an_unknown_encoder_lists_those_of_its_modality():
    with pytest.raises(ConfigError) as caught:
        make_encoder("bert", "text")
    assert "tfidf" in str(caught.value) and "minilm" in str(caught.value) and "image_stats" not in str(caught.value)
    assert "hf:PATH" in str(caught.value)
