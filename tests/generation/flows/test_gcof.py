"""Genetic copy optimisation: operators, budget, truth, click-through model, language model in the loop."""

import numpy as np
import pytest
from flow_backends import Scripted

from palate.contracts import GenerationRequest, Preference, generators
from palate.core.errors import ConfigError, DataError, UnsupportedError
from palate.generation.flows.copywriter import acceptable, compose
from palate.generation.flows.ctr import InContextCtr, WordCtr
from palate.generation.flows.genetic import CopyFeatures, SearchSpace, Settings, differential, evolve, mutate
from palate.generation.flows.item_values import attributes, true_of, values_of, words
from palate.models.generate.gcof import GCOF

ITEM = {
    "id": "m1",
    "title": "Harbour Lights",
    "genre": "Drama, Romance, Mystery",
    "colour": ["blue", "grey"],
    "year": 1998,
    "picture": "pictures/m1.jpg",
    "plot": "A keeper finds letters, and none of them, it turns out, was ever meant for him. It is not a comedy.",
}
SPACE = SearchSpace(tuple("abcdefghij"), ("plain", "lively"), ("", "gift"), None, 1, 4)


def request(**more):
    return GenerationRequest("marketing_copy", ITEM, **more)


def test_keywords_are_short_values_and_truth_knows_negation():
    assert attributes(ITEM) == {"genre": ("Drama", "Romance", "Mystery"), "colour": ("blue", "grey")}
    assert values_of("a|b|a") == ("a", "b") and values_of("https://a.b") == () and values_of(7) == values_of(None) == ()
    assert true_of(ITEM, "letters") == "plot" and true_of(ITEM, "romance") == "genre"
    assert true_of(ITEM, "comedy") is None and true_of(ITEM, "horror") is None and true_of(ITEM, "") is None
    assert true_of({"a": "sugar free, gluten-free"}, "sugar") is None


def test_the_difference_of_two_parents_is_added_to_the_base():
    base, better, worse = (CopyFeatures("", "plain", tuple(keys)) for keys in ("ab", "bc", "ad"))
    better = CopyFeatures("gift", "lively", better.keywords)
    rng = np.random.default_rng(0)
    child = differential(base, better, worse, SPACE, 1.0, rng)
    # {a, b} + {b, c} - {a, d}: c comes, a goes
    assert child == CopyFeatures("gift", "lively", ("b", "c"))
    assert differential(base, better, worse, SPACE, 0.0, rng) == base


def test_mutation_stays_within_the_space():
    rng = np.random.default_rng(1)
    base = CopyFeatures("gift", "lively", ("c", "d"))
    assert mutate(base, SPACE, 0.0, rng) == base
    many = {mutate(base, SPACE, 0.5, rng) for _ in range(200)}
    assert len(many) > 50
    for one in many:
        assert 1 <= len(one.keywords) <= 4 and set(one.keywords) <= set(SPACE.keywords)
        assert list(one.keywords) == sorted(one.keywords)


def test_the_search_keeps_to_its_budget_and_finds_a_planted_optimum():
    wanted = set("bdfh")
    written = []

    def write(batch):
        written.extend(batch)
        return [" ".join(one.keywords) + (" !" if one.style == "lively" else "") for one in batch]

    def fitness(texts):
        return np.array([len(wanted & set(text.split())) - len(set(text.split()) - wanted) for text in texts], float)

    best = {}
    for search in ("genetic", "random"):
        found = []
        for seed in range(10):
            written.clear()
            settings = Settings(population=8, budget=60, search=search)
            out = evolve(SPACE, write, fitness, settings, np.random.default_rng(seed))
            assert len(written) == len(set(written)) == 60 == out.history[-1].calls
            assert [one.best for one in out.history] == sorted(one.best for one in out.history)
            assert out.population[0].fitness == out.history[-1].best
            found.append(out.population[0].fitness)
        best[search] = np.mean(found)
    assert best["genetic"] > best["random"] + 0.5


def test_a_small_space_ends_before_the_budget():
    space = SearchSpace(("a", "b"), ("plain",))
    out = evolve(space, lambda batch: [one.keywords[0] for one in batch], lambda t: np.zeros(len(t)), Settings(),
                 np.random.default_rng(0))  # fmt: skip
    assert out.history[-1].calls == 3


def test_click_through_is_learnt_from_past_copies_and_survives_json():
    rng = np.random.default_rng(0)
    vocabulary = np.array(["red", "blue", "warm", "cheap", "new", "soft"])
    effect = np.array([0.8, -0.6, 0.4, 0.0, -0.2, 0.0])
    chosen = rng.random((400, 6)) < 0.4
    texts = [" ".join(vocabulary[row]) or "nothing" for row in chosen]
    rate = 1 / (1 + np.exp(-(chosen @ effect - 2.0)))
    model = WordCtr.fit(texts, np.full(400, 500), rng.binomial(500, rate))
    assert np.corrcoef(model.predict(texts), rate)[0, 1] > 0.97
    assert abs(model.predict(["red warm"])[0] - 1 / (1 + np.exp(0.8))) < 0.05
    again = WordCtr.from_state(model.state())
    assert np.array_equal(again.predict(texts[:5]), model.predict(texts[:5]))
    with pytest.raises(DataError, match="row 2"):
        WordCtr.fit(["a", "b"], [5, 5], [1, 6])


def test_copies_are_written_for_clicks_and_are_true():
    rng = np.random.default_rng(3)
    said = ["drama", "romance", "mystery", "blue", "grey", "horror"]
    texts = [", ".join(rng.choice(said, 2, replace=False)) for _ in range(200)]
    clicks = [rng.binomial(100, 0.05 + 0.2 * ("mystery" in t) + 0.2 * ("horror" in t)) for t in texts]
    model = GCOF(budget=40).fit_copies(texts, np.full(200, 100), clicks)
    made = model.generate([request(options={"keywords": ["horror", "letters"]})], seed=5)[0]
    assert "Mystery" in made.text and "horror" not in made.text.casefold()
    assert made.scores["ctr"] >= made.scores["ctr_at_start"] > 0
    assert {one.column for one in made.evidence} >= {"title", "genre"} and made.evidence[0].id == "m1"
    assert made.provenance["backend"] == "none" and made.provenance["seed"] == "5"
    assert model.generate([request()], seed=5)[0] == model.generate([request()], seed=5)[0]
    again = GCOF(budget=40)
    again.load_extra_state(model.extra_state())
    assert again.generate([request()], seed=5)[0] == model.generate([request()], seed=5)[0]


def test_without_past_copies_the_taste_of_the_user_is_named():
    likes = [
        Preference("genre", "Romance", 2.0),
        Preference("colour", "grey", 1.0),
        Preference("genre", "Western", 9.0),
    ]
    text = GCOF().generate([request(preferences=likes)])[0].text
    assert {"romance", "grey"} <= set(words(text)) and "western" not in words(text)


def test_starts_by_people_lose_what_is_untrue():
    starts = [CopyFeatures("", "plain", ("horror",)), CopyFeatures("free car", "plain", ("Drama",)),
              CopyFeatures("", "plain", ("Drama", "horror"))]  # fmt: skip
    found = GCOF(budget=3, population=3).evolution(request(), start=starts)
    plans = {one.features for one in found.population}
    assert CopyFeatures("", "plain", ("Drama",)) in plans
    assert all("horror" not in one.keywords and one.entitlement == "" for one in plans)


def test_a_language_model_writes_and_untrue_copies_are_refused():
    def reply(prompt, constraint):
        extra = " Over 5000 sold!" if "lively" in prompt.data["style"] else ""
        extra += " A true comedy." if "question" in prompt.data["style"] else ""
        return f"Harbour Lights brings you {' and '.join(constraint.must_include)}.{extra}"

    backend = Scripted(reply)
    model = GCOF(backend=backend, budget=30)
    asked = request(options={"vocabulary": ["comedy", "Drama"], "entitlements": ["free popcorn"]})
    found = model.evolution(asked)
    assert len(backend.prompts) == 30
    refused = {one.features.style for one in found.population if not one.text}
    assert refused <= {"lively", "question"}
    made = model.generate([asked])[0]
    assert made.provenance["style"] not in ("lively", "question") and "free popcorn" in made.text
    assert not any("ignore" in prompt.instruction.casefold() for prompt in backend.prompts)


def test_a_check_refuses_what_a_language_model_writes():
    backend = Scripted(lambda prompt, constraint: f"Award-winning: {' and '.join(constraint.must_include)}.")
    accept = lambda request, text: True  # noqa: E731
    unnamed = GCOF(backend=backend, budget=5, check=accept).generate([request()])[0]
    assert "title" not in {one.column for one in unnamed.evidence}, "the copy does not name it"
    refused = GCOF(backend=backend, budget=5, check=lambda request, text: "Award" not in text).generate([request()])[0]
    assert refused.text == "Harbour Lights" and "fallback" in refused.provenance
    assert GCOF(backend=backend, budget=5, check=accept).generate([request()])[0].text.startswith("Award")
    unasked = GCOF(backend=backend, budget=5).generate([request()])[0]
    assert unasked.text == "Harbour Lights", "the item has won nothing, which the check of facts sees by default"


def test_a_backend_is_also_named():
    assert (
        GCOF(backend="mine:there").config.backend == GCOF(backend="mine:there").clone({}).config.backend == "mine:there"
    )
    with pytest.raises(ConfigError, match="mine"):
        GCOF(backend="mine:there").generate([request()])


def test_a_language_model_that_cannot_keep_words_leaves_the_templates():
    backend = Scripted(lambda prompt, constraint: "anything", able=())
    made = GCOF(backend=backend, budget=5).generate([request()])[0]
    assert "Harbour Lights" in made.text


def test_what_makes_a_copy_acceptable():
    plan = CopyFeatures("free tea", "plain", ("Drama",))
    good = compose(plan, ITEM)
    assert good == "Harbour Lights: Drama. free tea."
    assert acceptable(good, plan, ITEM)
    assert not acceptable("Harbour Lights. free tea.", plan, ITEM), "the keyword is missing"
    assert not acceptable(good.replace("free tea", "tea"), plan, ITEM), "the offer is missing"
    assert not acceptable(good + " 50 % off", plan, ITEM) and acceptable(good + " 1998", plan, ITEM)
    assert not acceptable(good, plan, ITEM, max_words=4)
    assert not acceptable(good + " free coffee", plan, ITEM, promises=("free coffee", "free tea"))
    assert not acceptable(good + " with comedy", plan, ITEM, vocabulary=("comedy",))


def test_nothing_to_say_is_said_by_the_title():
    model = GCOF()
    made = model.generate([GenerationRequest("marketing_copy", {"id": "x", "title": "Plain Box"})])[0]
    assert made.text == "Plain Box" and "fallback" in made.provenance
    assert model.generate([request(max_words=1)])[0].text == "Harbour"
    with pytest.raises(UnsupportedError, match="marketing_copy"):
        model.generate([GenerationRequest("banner", ITEM)])
    assert generators.get("gcof") is GCOF


def test_a_language_model_judges_with_past_copies_in_context():
    def reply(prompt, constraint):
        assert [answer for _, answer in prompt.examples] == ["1.0", "5.0", "9.0"]
        return "7.5" if "mystery" in prompt.data["copy"].casefold() else "2.0"

    backend = Scripted(reply)
    scorer = InContextCtr(backend, ["x", "y", "z", "u", "v"], [0.09, 0.05, 0.01, 0.04, 0.06], examples=3)
    assert scorer.predict(["a mystery", "a drama"]).tolist() == [0.075, 0.02]
    assert "Mystery" in GCOF(scorer=scorer, budget=30).generate([request()])[0].text
