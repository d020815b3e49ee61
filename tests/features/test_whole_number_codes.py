"""Codes of categories keep all their digits."""

import pytest

from palate.features.encoders.tfidf_attributes import TfIdfAttributes


@pytest.mark.parametrize("step", [1, 1000, 1_000_000_007])
@pytest.mark.parametrize("first", [1, 1_000_001, 2_053_013_555_631_882_655])
def test_every_code_is_a_term_of_its_own(first, step):
    encoder = TfIdfAttributes(min_df=1, max_df=1.0)
    codes = [first + step * n for n in range(6)]
    contents = [encoder.read({"category_id": code}) for code in codes]
    assert encoder.counts(contents)["term"].to_list() == [f"category_id={code}" for code in codes]


def test_fractions_keep_all_their_digits():
    encoder = TfIdfAttributes(min_df=1, max_df=1.0)
    contents = [encoder.read({"size": size}) for size in (0.1234567, 0.1234568, 12.0)]
    assert encoder.counts(contents)["term"].n_unique() == 3
    assert encoder.counts(contents[2:])["term"].to_list() == ["size=12"]
