"""The shop whose personal texts are known."""

import re

import numpy as np
import pytest

from palate.simulation.personal_texts import COLOURS, FACTS, KINDS, PHRASES, TEXTS, PersonalTexts, stated


@pytest.fixture(scope="module")
def shop():
    return PersonalTexts(seed=3, n_items=150, n_users=100)


def test_the_same_seed_is_the_same_shop(shop):
    again, other = PersonalTexts(seed=3, n_items=150, n_users=100), PersonalTexts(seed=4, n_items=150, n_users=100)
    assert again.log.equals(shop.log) and again.items.equals(shop.items)
    np.testing.assert_array_equal(again.pictures.values, shop.pictures.values)
    assert not other.log.equals(shop.log)


def test_descriptions_tell_all_facts_and_no_colour(shop):
    for at, row in enumerate(shop.items.iter_rows(named=True)):
        assert all(shop.facts[at][fact].lower() in row["description"].lower() for fact in FACTS)
        assert not set(COLOURS) & set(re.findall(r"\w+", " ".join(map(str, row.values())).lower()))


def test_headlines_name_the_fact_that_the_person_cares_for(shop):
    for case in shop.cases(20):
        said = stated(shop.texts(case)["headline"])
        assert said == {shop.cared(case): [shop.facts[case.item][shop.cared(case)].lower()]}


def test_answers_tell_what_was_asked_and_name_something_taken_of_the_same_kind(shop):
    siblings = 0
    for case in shop.cases(20):
        answer, sibling = shop.texts(case)["answer"], shop.sibling(case)
        assert {case.asked, shop.cared(case)} == set(stated(answer))
        if sibling is not None:
            siblings += 1
            assert sibling in case.history and shop.kinds[sibling] == shop.kinds[case.item]
            assert answer.endswith(f"like your {shop.names[sibling]}.")
        else:
            assert "like your" not in answer
    assert siblings > 3


def test_cases_are_of_new_people_and_new_things(shop):
    taken, people = set(shop.log["item"]), set(shop.log["user"])
    for case in shop.cases(20):
        assert f"i{case.item}" not in taken and f"u{case.user}" not in people and len(case.history) == 8


def test_people_take_what_advertises_what_they_care_for(shop):
    own = np.mean(shop.advertised[shop.taken] == shop.cares[:, None])
    coloured = np.mean(shop.colours[shop.taken] == shop.likes[:, None])
    assert 0.45 < own < 0.85 and 0.45 < coloured < 0.85


def test_wrong_values_are_stated_as_well():
    assert stated("Zorvan lamp made of oak at 49 euros from Taldun") == {
        "material": ["oak"], "price": ["49"], "origin": ["taldun"],
    }  # fmt: skip
    assert stated("Zorvan lamp") == {} and set(PHRASES) == set(FACTS)


def test_pictures_tell_the_colour_and_texts_are_columns_of_the_log(shop):
    data = shop.dataset()
    assert set(TEXTS) <= set(data.select_view().events.context_values)
    values = shop.pictures.values - shop.pictures.values.mean(0)
    hot = np.eye(6)[shop.colours]
    found = np.linalg.lstsq(values, hot - hot.mean(0), rcond=None)[0]
    assert np.mean((values @ found).argmax(1) == shop.colours) > 0.9
    assert {shop.texts(case)["pairing"].split()[2] for case in shop.cases(20)} <= set(KINDS)
