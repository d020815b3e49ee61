"""What sentences are filled with: slots of a request, each with its text and the rows where it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from palate.contracts import Evidence, GenerationRequest, Preference
from palate.generation.evidence import (
    MAX_TITLE,
    Fact,
    facts_of,
    item_id,
    role_of,
    said,
    shared_with_history,
    title_of,
    words_of,
)
from palate.generation.taste import history_preferences
from palate.generation.templates.language import Language, isolated

MAX_SHARED, MAX_VALUES, MAX_FACTS = 2, 3, 5
MIN_TAKEN, OFTEN = 2, 3
"""People who took an item from which the figure is said; items with a value from which a user took it often."""
MAX_SENTENCE = 45
"""Words of a sentence of a description that is said as it stands."""
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
_LATER = ("year", "price", "duration", "rated", "country", "language", "size", "other")
"""Roles that come after what the user likes."""


@dataclass
class Slots:
    """Texts by slot, and the evidence of each.

    Attributes:
        texts: slot -> text.
        rows: slot -> where it stands.
        facts: facts of the item.
        liked: what the user likes.
    """

    facts: Sequence[Fact]
    liked: Sequence[Preference]
    texts: dict[str, str] = field(default_factory=dict)
    rows: dict[str, tuple[Evidence, ...]] = field(default_factory=dict)

    def put(self, name: str, text: str, rows: Sequence[Evidence] = ()) -> None:
        """Fill a slot; an empty text leaves it unfilled.

        Args:
            name: of the slot.
            text: what it says.
            rows: where that stands.
        """
        if text:
            self.texts[name], self.rows[name] = text, tuple(rows)


def read_request(request: GenerationRequest) -> Slots:
    """Facts of the item, and what the user likes: as the request says, else by its history alone.

    Args:
        request: the request.
    """
    facts = facts_of(request.item)
    # with evidence the catalogue was asked: where it names no preference, nothing sets the user apart from others
    if request.preferences or request.evidence or not request.history:
        return Slots(facts, request.preferences)
    columns = [fact.column for fact in facts if fact.role not in ("title", "description", *_LATER)]
    return Slots(facts, history_preferences(request.history, columns, item_id))


def ordered_facts(slots: Slots, title: str) -> list[Fact]:
    """Facts of the item besides title and description, those that the user likes first, with their values.

    Args:
        slots: facts of the item, and what the user likes.
        title: title of the item; what it says is not said again.
    """
    wanted = {(one.column, one.value.lower()): one.weight for one in slots.liked}
    facts = []
    for fact in slots.facts:
        if fact.role in ("title", "description"):
            continue
        values = sorted(fact.values, key=lambda value: -wanted.get((fact.column, value.lower()), 0.0))
        # a value that the title says already is not repeated, unless the user likes it
        fresh = [one for one in values if one.lower() not in title.lower() or (fact.column, one.lower()) in wanted]
        if fresh:
            facts.append(Fact(fact.id, fact.column, fact.role, tuple(fresh[:MAX_VALUES])))
    weight = {f.column: max((wanted.get((f.column, v.lower()), 0.0) for v in f.values), default=0.0) for f in facts}
    return sorted(facts, key=lambda fact: (fact.role in _LATER and not weight[fact.column], -weight[fact.column]))


def fill_slots(slots: Slots, request: GenerationRequest, language: Language) -> None:
    """Fill all slots that a request can fill.

    Args:
        slots: are filled.
        request: the request.
        language: the language to write in.
    """
    own = item_id(request.item)
    column, title = title_of(request.item) or ("", said(own, MAX_TITLE))
    row = [Evidence("item", own, column or next(iter(request.item), "id"), title)]
    slots.put("item", language.quoted(title), row)
    slots.put("item_plain", isolated(title), row)
    _taste(slots, request, language)
    _facts(slots, ordered_facts(slots, title), language)
    for fact in slots.facts:
        if fact.role == "description" and "about" not in slots.texts:
            passages = sentences(fact.values[0])
            if passages and len(passages[0].split()) <= MAX_SENTENCE and "…" not in passages[0]:
                slots.put("about", passages[0], [Evidence("item", own, fact.column, passages[0])])
        if fact.role == "price":
            slots.put("price", language.number("price", fact.values[0]), fact.evidence())
    for one in request.evidence:
        if one.source == "catalog" and one.column == "taken" and int(one.value) >= MIN_TAKEN:
            slots.put("taken", language.count(int(one.value)), [one])
            slots.put("taken_cap", capital(language.count(int(one.value))), [one])
    if request.prompt:
        asked = said(request.prompt, 200)
        slots.put("prompt", asked, [Evidence("user", request.user or "", "prompt", asked)])


def sentences(text: str) -> list[str]:
    """Sentences of a text, in order.

    Args:
        text: any text.
    """
    return [part.strip() for part in _SENTENCE.split(text) if part.strip()]


def capital(text: str) -> str:
    """A text with a capital first letter.

    Args:
        text: any text.
    """
    return text[:1].upper() + text[1:]


def _title_row(item: Mapping[str, Any]) -> tuple[str, Evidence]:
    column, title = title_of(item) or ("id", said(item_id(item), MAX_TITLE))
    return title, Evidence("history", item_id(item), column, title)


def _taste(slots: Slots, request: GenerationRequest, language: Language) -> None:
    """What the item shares with the history, and which items of it."""
    shared = shared_with_history(request.item, request.history, slots.liked)
    if shared:
        first, having = shared[0]
        # values of the same column that the same item of the history has too
        same = [one for one, others in shared[:6] if one.column == first.column and having[0] in others][:MAX_SHARED]
        named = [one for one in having if all(one in others for part, others in shared if part in same)][:2]
        values, role = [one.value for one in same], role_of(first.column)
        rows = [
            row
            for one in named
            for row in (_title_row(one)[1], *(Evidence("history", item_id(one), first.column, v) for v in values))
        ]
        rows += [Evidence("item", item_id(request.item), first.column, value) for value in values]
        label = language.label(role, words_of(first.column))
        titles = [_title_row(one)[0] for one in named]
        often = len(having) >= OFTEN
        for name, text in (
            ("shared", language.phrase("post", role, values, label)),
            ("shared_pred", language.phrase("pred", role, values, label)),
            ("values", language.listing(values)),
            ("values_cap", capital(language.listing(values))),
            ("shared_often", language.phrase("post", role, values[:1], label) if often else ""),
            ("values_often", capital(values[0]) if often else ""),
            ("liked", language.listing([language.quoted(one) for one in titles])),
            ("liked_one", language.quoted(titles[0])),
            ("liked_plain", isolated(titles[0])),
        ):
            slots.put(name, text, rows)
        return
    carried = [one for one in request.evidence if one.source == "history" and one.column == "share of the score"]
    by_id = {item_id(one): one for one in request.history}
    known = [(by_id[one.id], one) for one in carried if one.id in by_id][:2]
    if known:
        rows = [row for item, one in known for row in (_title_row(item)[1], one)]
        slots.put("carried", language.listing([language.quoted(_title_row(item)[0]) for item, _ in known]), rows)
    elif recent := [one for one in request.history[-2:] if item_id(one) != item_id(request.item)]:
        texts = [_title_row(one) for one in recent[::-1]]
        slots.put("recent", language.listing([language.quoted(t) for t, _ in texts]), [row for _, row in texts])


def _facts(slots: Slots, facts: Sequence[Fact], language: Language) -> None:
    """Phrases of facts; those that are shared with the history are said by :func:`_taste`."""
    shared = {(row.column, row.value) for row in slots.rows.get("shared", ())}
    fresh = []
    for fact in facts:
        values = tuple(value for value in fact.values if (fact.column, value) not in shared)
        if values:
            fresh.append(Fact(fact.id, fact.column, fact.role, values))
    for at, fact in enumerate(fresh[:MAX_FACTS]):
        label, number = language.label(fact.role, fact.label), "" if at == 0 else str(at + 1)
        slots.put(f"fact{number}", language.phrase("post", fact.role, fact.values, label), fact.evidence())
        slots.put(f"pred{number}", language.phrase("pred", fact.role, fact.values, label), fact.evidence())
    for name, part in (("facts", fresh[:3]), ("facts_more", fresh[3:6])):
        phrases = [language.phrase("post", f.role, f.values, language.label(f.role, f.label)) for f in part]
        if phrases:
            slots.put(name, language.clauses(phrases), [row for fact in part for row in fact.evidence()])
    extra = [(value, fact) for fact in facts if fact.role not in _LATER for value in fact.values[:1]][:2]
    if extra:
        text = language.file["comma"].join(language.number(fact.role, value) for value, fact in extra)
        slots.put("extra", text, [row for value, fact in extra for row in fact.evidence([value])])
