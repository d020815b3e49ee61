"""Values of one attribute cell, as the tf-idf of attributes reads them."""

import pytest

from palate.features.encoders.attribute_values import attribute_values
from palate.features.encoders.tfidf_attributes import TfIdfAttributes


@pytest.mark.parametrize("value, expected", [
    ("$1,299.00", 1299.0), ("12,99", 12.99), ("€ 1.940,34", 1940.34), ("['Home', 'Lamp']", ["home", "lamp"]),
    ("Smith, John|Doe, Jane", ["smith, john", "doe, jane"]), ("Drama, Comedy", ["drama", "comedy"]),
    ("12", ["12"]), (1234567.0, 1234567.0), (2**60 + 1, [str(2**60 + 1)]), ("<b>Red</b>", ["red"]), (None, []),
])  # fmt: skip
def test_values(value, expected):
    assert attribute_values(value) == expected


def test_a_mapping_is_one_attribute_a_field():
    encoder = TfIdfAttributes()
    rows = [encoder.read({"meta": value}) for value in ({"brand": "X", "size": {"w": 1}}, {"brand": "Y", "size": None})]
    assert rows == [{"meta.brand": ["x"], "meta.size.w": 1.0}, {"meta.brand": ["y"]}]


def test_codes_in_text_are_not_cut_into_bins():
    encoder = TfIdfAttributes()
    rows = [encoder.read({"category": str(code)}) for code in range(10, 70)]
    encoder.learn(rows)
    assert not encoder.edges and "category=69" in encoder.counts(rows)["term"].to_list()
