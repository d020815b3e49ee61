"""Dates of a catalogue: what is new, and facets of the page."""

import numpy as np
import polars as pl
import pytest
from starlette.datastructures import QueryParams

import palate
from palate.core.batch import RaggedArray
from palate.core.item_features import ItemFeatures
from palate.serving.page.facets import catalog_facets, parse_filters
from palate.serving.snapshot_stats import CatalogStats

DAYS = ["31.12.2019", "01.02.2021", None, "15.03.2020"]


def stats(**columns):
    frame = pl.DataFrame({"item": list("abcd"), "title": ["A lamp", "A vase", "A bowl", "A cup"], **columns})
    log = pl.DataFrame({"user": ["u", "v"], "item": ["a", "b"]})
    items = palate.Dataset.from_frames(frame, log, columns={"item": "id", "title": "text"}).items
    return CatalogStats(items, ItemFeatures({}, 4), RaggedArray.of([[]]), np.zeros(4))


@pytest.mark.parametrize("name", ["released", "Erschienen"])
def test_what_is_new_by_dates_in_text(name):
    assert np.argsort(-stats(**{name: DAYS}).recency, kind="stable").tolist() == [1, 3, 0, 2]


def test_a_named_column_comes_before_another_of_dates():
    found = stats(checked=DAYS, year=[1990, 1995, 2001, None])
    assert np.argsort(-found.recency, kind="stable").tolist() == [2, 1, 0, 3]


def test_dates_are_facets():
    class Snapshot:
        active = np.ones(4, bool)

    snapshot = Snapshot()
    snapshot.stats = stats(released=DAYS)
    query = QueryParams("min.released=2020-01-01&max.released=2020")
    (facet,) = [one for one in catalog_facets(snapshot, query) if one.is_date]
    assert (facet.lowest, facet.highest, facet.minimum) == ("2019-12-31", "2021-02-01", "2020-01-01") and facet.is_used
    mask = snapshot.stats.filters.mask(parse_filters(QueryParams("min.released=2020-01-01&max.released=2020-12-31")))
    assert mask.tolist() == [False, False, False, True]
