"""Writing a headline together on the page: steps in order, without a script, logged, safe, kept over restarts."""

import re
from html import unescape

import pytest

from palate.core.json_lines import read_json_lines
from palate.serving.content import ContentMaker
from palate.serving.generators import GeneratorPool
from palate.serving.moderation import Blocklist
from palate.serving.writing_sessions import WritingSessions


def begun(client, item, **data):
    response = client.post("/write", data={"item": item, **data})
    assert response.status_code == 303, response.text
    return response.headers["location"]


def values(page, kind):
    return [unescape(one) for one in re.findall(rf'type="{kind}" name="[^"]+" value="([^"]*)"', page)]


def go(client, address, **data):
    response = client.post(address, data=data)
    assert response.status_code == 303 and response.headers["location"] == address, response.text
    return client.get(address).text


def test_a_whole_session_and_its_log(known, service, fitted):
    start = known.get(f"/write?item={fitted.plain}").text
    assert 'name="condition"' in start and "without your name" in start
    address = begun(known, fitted.plain)
    page = known.get(address).text
    assert 'aria-current="step"' in page and 'value="read"' in page and "choice." not in page
    page = go(known, address, step="read")
    words = values(page, "checkbox")
    assert len(words) >= 2 and "fieldset" in page and "legend" in page
    page = go(known, address, **{"step": "guide", "choice.000": words[0], "choice.001": words[1]})
    headlines = values(page, "radio")
    assert len(headlines) == 3 and all(words[0] in one.lower() and words[1] in one for one in headlines)
    page = go(known, address, step="select", answer=headlines[1])
    assert headlines[1] in unescape(page) and "<textarea" in page
    page = go(known, address, step="edit", answer="A fine thing of 1887 for <b>you</b>")
    assert "Not in what is known of it" in page and "1887" in page and "<b>you" not in page
    page = go(known, address, step="rate", answer="2")
    assert "2 of 5" in page and "characters" in page and " s</td>" in page
    lines = [record for _, record in read_json_lines(service.state / "writing" / "log.jsonl")]
    assert [one["step"] for one in lines] == ["read", "guide", "select", "edit", "rate"]
    assert {one["item"] for one in lines} == {fitted.plain} and {one["session"] for one in lines} == {address[7:]}
    assert lines[1]["answer"] == words[:2] and lines[1]["proposed"] == words
    assert all(one["seconds"] >= 0 for one in lines)
    assert fitted.user not in str(lines), "the log does not say who took part"


def test_mistakes_are_shown_with_what_was_sent(known, service, fitted):
    address = begun(known, fitted.plain)
    known.post(address, data={"step": "read"})
    for data, words in (
        ({"step": "guide"}, "at least one"),
        ({"step": "guide", "choice.000": "invented"}, "No such perspective"),
        ({"step": "edit", "answer": "x"}, "at step"),
        ({"step": "explode"}, "No such step"),
        ({}, "No such step"),
    ):
        response = known.post(address, data=data)
        assert response.status_code == 422 and words in unescape(response.text) and 'role="alert"' in response.text
    word = values(known.get(address).text, "checkbox")[0]
    page = go(known, address, **{"step": "guide", "choice.000": word})
    known.post(address, data={"step": "select", "answer": values(page, "radio")[0]})
    sent = known.post(address, data={"step": "edit", "answer": "y" * 600})
    assert sent.status_code == 422 and "y" * 600 in sent.text, "what was typed is not lost"
    go(known, address, step="edit", answer="short")
    assert known.post(address, data={"step": "rate", "answer": "9"}).status_code == 422
    assert len(read_json_lines(service.state / "writing" / "log.jsonl")) == 4, "refused answers are not in the log"


def test_conditions_items_and_strangers(known, service, fitted):
    own = begun(known, fitted.plain, condition="none")
    go(known, own, step="read")
    assert "Your headline" in known.get(own).text
    assert known.post("/write", data={"item": fitted.plain, "condition": "ai_only"}).status_code == 422
    assert known.post("/write", data={"item": "nope"}).status_code == 404
    assert known.get("/write?item=nope").status_code == 404
    for name in ("0" * 32, "..%2F..%2Fsecret", "x", "log"):
        assert known.get(f"/write/{name}").status_code == 404
        assert known.post(f"/write/{name}", data={"step": "read"}).status_code == 404
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.test"}):
        assert known.post(own, data={"step": "write", "answer": "z"}, headers=headers).status_code == 403
    headers = known.get(own).headers
    assert "form-action 'self'" in headers["content-security-policy"] and headers["cache-control"] == "no-store"
    (service.state / "writing" / f"{own[7:]}.json").write_text("{broken")
    assert known.get(own).status_code == 404
    assert known.post("/remove", data={"item": fitted.plain}).status_code == 303
    assert known.get(f"/write?item={fitted.plain}").status_code == 404


def test_hostile_items_and_blocked_words(app, known, fitted):
    address = begun(known, fitted.hostile)
    page = go(known, address, step="read")
    assert "<script>alert" not in page and "onerror=" not in page.replace("&lt;", "")
    app.state.content = ContentMaker(GeneratorPool(), Blocklist(values(page, "checkbox")[:1]), 5)
    blocked = values(page, "checkbox")[0]
    again = begun(known, fitted.hostile)
    assert blocked not in values(go(known, again, step="read"), "checkbox")


def test_time_between_requests_counts_and_old_sessions_go(tmp_path, monkeypatch):
    from palate.contracts import GenerationRequest
    from palate.models.generate.co_creation import CoCreation

    now = [100.0]
    asked = GenerationRequest("headline", {"id": "a", "title": "Coat", "material": "wool", "colour": "red"})

    def writer(item):
        return CoCreation().writer(asked)

    sessions = WritingSessions(tmp_path, lambda: now[0])
    name = sessions.start(asked, writer("a"), "selection")
    now[0] += 7
    assert sessions.submit(name, writer, "read", None).session.log[0].seconds == pytest.approx(7)
    now[0] += 5
    found = WritingSessions(tmp_path, lambda: now[0]).submit(name, writer, "select", "Coat: wool and red")
    assert found.session.log[1].seconds == pytest.approx(5), "another process goes on"
    monkeypatch.setattr("palate.serving.writing_sessions.MAX_SESSIONS", 1)
    other = sessions.start(asked, writer("a"), "selection")
    assert sessions.find(name, writer) is None and sessions.find(other, writer) is not None
