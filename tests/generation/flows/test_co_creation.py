"""Co-creation: steps hidden until the earlier is done, log of time and edits, save and resume, simulated person."""

import json

import numpy as np
import pytest
from flow_backends import Scripted

from palate.contracts import GenerationRequest, Preference
from palate.core.errors import ConfigError
from palate.generation.flows.edits import edits_between
from palate.generation.flows.session import STEPS, CoCreationSession
from palate.generation.flows.simulated_person import Clock, SimulatedPerson
from palate.models.generate.co_creation import CoCreation

ITEM = {
    "id": "n1",
    "title": "Town opens new bridge",
    "section": "local news",
    "body": "The bridge shortens the way to school. Cyclists welcome the bridge; cyclists had waited 12 years. "
    "It was not expensive.",
}
REQUEST = GenerationRequest("headline", ITEM)
ALL = "guidance_selection_post_editing"


def session(condition=ALL, **more):
    clock = Clock()
    return CoCreation(**more).session(REQUEST, condition, clock=clock), clock


def test_each_step_is_hidden_until_the_earlier_is_done():
    one, clock = session()
    assert one.view()["step"] == "read" and "choices" not in one.view() and one.view()["done"] == []
    for early in ("guide", "select", "edit", "rate"):
        with pytest.raises(ConfigError, match="'read'"):
            one.submit(early, "anything")
    clock.now = 10
    assert one.submit("read") == "guide"
    words = one.view()["choices"]
    assert {"cyclists", "local news"} <= set(words) and "expensive" not in words and "bridge" not in words
    clock.now = 14
    assert one.submit("guide", ["cyclists", "school"]) == "select"
    headlines = one.view()["choices"]
    assert len(headlines) == 3 and all("cyclists" in text.lower() and "school" in text for text in headlines)
    assert one.submit("select", headlines[1]) == "edit" and one.view()["text"] == headlines[1]
    clock.now = 30
    one.submit("edit", "Cyclists and school get a  bridge")
    assert one.submit("rate", 2) == "done" and "choices" not in one.view()
    found = one.summary()
    assert found["text"] == "Cyclists and school get a bridge" and found["difficulty"] == 2
    assert found["seconds"] == {"read": 10, "guide": 4, "select": 0, "edit": 16, "rate": 0}
    assert found["edits"]["distance"] == edits_between(headlines[1], found["text"]).distance > 0
    with pytest.raises(ConfigError, match="'done'"):
        one.submit("read")


@pytest.mark.parametrize(
    "step, answer, words",
    [("guide", [], "at least one"), ("guide", ["taxes"], "no such perspective"), ("select", "mine", "no such headline"),
     ("edit", "  ", "1 to 500"), ("edit", "x" * 501, "1 to 500"), ("rate", 6, "1 "), ("rate", True, "1 "),
     ("rate", "3", "1 ")],
)  # fmt: skip
def test_a_wrong_answer_changes_nothing(step, answer, words):
    one, _ = session()
    right = {"read": None, "guide": ["school"], "edit": "A text"}
    while one.step != step:
        at = one.step
        one.submit(at, one.view()["choices"][0] if at == "select" else right[at])
    before = json.dumps(one.view())
    with pytest.raises(ConfigError, match=words):
        one.submit(step, answer)
    assert json.dumps(one.view()) == before and one.step == step


def test_conditions_have_their_steps():
    for condition, steps in STEPS.items():
        one, clock = session(condition)
        SimulatedPerson(["school"], clock=clock).run(one)
        assert tuple(entry.step for entry in one.log) == steps and one.text
    alone, _ = session("ai_only")
    assert alone.step == "done" and alone.text and alone.log == []
    none, _ = session("none")
    none.submit("read")
    assert "choices" not in none.view()
    with pytest.raises(ConfigError, match="selection"):
        session("selecton")


def test_a_session_is_resumed_with_the_proposals_that_were_shown(tmp_path):
    one, clock = session()
    clock.now = 3
    one.submit("read")
    clock.now = 8
    shown = one.view()
    one.save(tmp_path / "session.json")

    class Silent:
        def keywords(self):
            raise AssertionError("proposed twice")

        headlines = CoCreation().writer(REQUEST).headlines

    other = Clock()
    other.now = 1000
    again = CoCreationSession.resume(tmp_path / "session.json", Silent(), other)
    assert again.view() == shown
    other.now = 1002
    again.submit("guide", ["school"])
    assert again.summary()["seconds"] == {"read": 3, "guide": 7}, "5 s before, 2 s after, none between"
    assert len(again.view()["choices"]) == 3
    (tmp_path / "other.json").write_text('{"format": 9}')
    with pytest.raises(ConfigError, match="no session"):
        CoCreationSession.resume(tmp_path / "other.json", Silent())


def test_edits_are_counted_in_characters_and_words():
    assert edits_between("", "") == edits_between("a b", "a b").__class__(0, 1.0, 1.0)
    found = edits_between("kitten sat", "sitting sat")
    assert (found.distance, found.words_kept) == (3, 0.5) and found.similarity == pytest.approx(1 - 3 / 11)


def test_control_over_the_writer_improves_what_a_simulated_person_gets():
    quality = {condition: [] for condition in STEPS}
    seconds = {condition: [] for condition in STEPS}
    for seed in range(30):
        for condition in STEPS:
            one, clock = session(condition)
            person = SimulatedPerson(["school", "cyclists"], ["local news"], clock=clock, seed=seed)
            person.run(one)
            quality[condition].append(person.quality(one.text))
            seconds[condition].append(one.summary()["total_seconds"])
    means = {condition: np.mean(values) for condition, values in quality.items()}
    assert means["ai_only"] <= means["selection"] < means["guidance_selection"] < means[ALL]
    assert np.mean(seconds["selection"]) < np.mean(seconds[ALL]) and np.mean(seconds["ai_only"]) == 0


def test_a_language_model_proposes_and_invented_numbers_are_refused():
    def reply(prompt, constraint):
        words = " and ".join(constraint.must_include)
        return f"A bridge for {words} after {'99' if backend.seeds[-1] % 2 else '12'} years"

    backend = Scripted(reply)
    one, _ = session(backend=backend)
    one.submit("read")
    one.submit("guide", ["school"])
    choices = one.view()["choices"]
    assert choices[0] == "A bridge for school after 12 years" and not any("99" in text for text in choices)
    assert len(choices) == 3 and backend.prompts[0].data["title"] == ITEM["title"]
    assert not any("bridge" in prompt.instruction for prompt in backend.prompts)


def test_alone_it_takes_up_the_taste_of_the_user():
    model = CoCreation()
    plain = model.generate([REQUEST])[0]
    liked = model.generate(
        [GenerationRequest("headline", ITEM, preferences=[Preference("section", "local news", 1.0)])]
    )
    assert liked[0].text == "Town opens new bridge: local news"
    assert [one.column for one in liked[0].evidence] == ["section"] and plain.provenance["condition"] == "ai_only"
    asked = GenerationRequest("headline", ITEM, options={"perspectives": ["school", "taxes", "expensive"]})
    assert model.generate([asked])[0].text == "Town opens new bridge: school"
    bare = model.generate([GenerationRequest("headline", {"id": "x", "title": "Box"})])[0]
    assert bare.text == "Box" and not bare.evidence
