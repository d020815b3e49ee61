"""Checks a text's claims against the facts: a value must stand in the column that the sentence speaks of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from palate.contracts import Evidence
from palate.generation.facts.claims import Claim, FactReport, Verdict
from palate.generation.facts.lexicon import Lexicon
from palate.generation.facts.mentions import Mention, SentenceReader, SheetPhrases
from palate.generation.facts.relations import Link, Relations
from palate.generation.facts.repair import repair
from palate.generation.facts.sheet import DIMENSIONS, NAMES, Fact, FactSheet, is_title
from palate.generation.facts.words import Token, sentences, stem, tokenize, word_lists

QUOTED = 0.8
"""Share of a sentence's words in one text of the facts from which it is a quotation."""
Finding = tuple[Verdict, tuple[Fact, ...], tuple[str, ...]]
"""Verdict, the facts it rests on, and the relations that were looked up."""


class FactChecker:
    """A check of facts by lists of words and the catalogue's own values; no language model.

    What it sees: names and titles, attribute values, numbers, years and dates, superlatives, each with the relation
    that the words around it say and whether they deny it. Statements without any of these pass.

    Args:
        lexicon: values of the catalogue, from :meth:`Lexicon.learn`; without one, common colours, materials and genres.
    """

    def __init__(self, lexicon: Lexicon | None = None) -> None:
        self.lexicon = lexicon or Lexicon()

    def check(self, text: str, item: Mapping[str, Any], evidence: Sequence[Evidence] = ()) -> FactReport:
        """The claims of a text, each with its verdict.

        Args:
            text: what was generated.
            item: columns of the item that it is about.
            evidence: what else may be said.
        """
        return self.on(FactSheet(item, evidence))(text)

    def on(self, sheet: FactSheet) -> Callable[[str], FactReport]:
        """The check of many texts against the same facts, which are read once.

        Args:
            sheet: facts.
        """
        phrases = SheetPhrases(sheet, self.lexicon)
        return lambda text: self._check(text, phrases)

    def _check(self, text: str, phrases: SheetPhrases) -> FactReport:
        parts = sentences(text)
        claims = [
            claim
            for at, (start, stop) in enumerate(parts)
            for claim in _Sentence(text, tokenize(text[start:stop], start), phrases).claims(at)
        ]
        return FactReport(text, tuple(parts), tuple(claims))

    def repair(self, text: str, item: Mapping[str, Any], evidence: Sequence[Evidence] = ()) -> str | None:
        """The text without what is not supported; None where too little would be left.

        Args:
            text: what was generated.
            item: columns of the item that it is about.
            evidence: what else may be said.
        """
        sheet = FactSheet(item, evidence)
        return repair(text, sheet, self.on(sheet))


class _Sentence:
    """One sentence with its mentions and relations."""

    def __init__(self, text: str, tokens: list[Token], phrases: SheetPhrases) -> None:
        sheet = phrases.sheet
        self.text, self.tokens, self.sheet, self.lexicon = text, tokens, sheet, phrases.lexicon
        self.relations = Relations(tokens, sheet)
        self.mentions = SentenceReader(text, tokens, phrases, self.relations.cue_places).read() if tokens else []
        self.relations.hide(self.mentions)
        functions = set(word_lists()["functions"])
        content = [t.folded for t in tokens if t.text[0].isalnum() and t.folded not in functions]
        self.functions = functions
        self.quoted = [
            fact
            for fact in sheet.texts
            if len(content) > 3 and sum(f" {word} " in fact.words for word in content) >= QUOTED * len(content)
        ]

    def claims(self, sentence: int) -> list[Claim]:
        out = []
        for mention in self.mentions:
            link = self.relations.link(mention, self.mentions)
            finding = self._judge(mention, link)
            if finding is None:
                continue
            verdict, facts, looked_up = finding
            start, stop = self.tokens[mention.start].start, self.tokens[mention.stop - 1].stop
            columns = tuple(
                dict.fromkeys(f.row.column for f in self.sheet.own if set(looked_up).intersection(f.relations))
            ) or tuple(looked_up)
            negated = link.negated and mention.kind not in ("title", "superlative")
            rows = tuple(fact.row for fact in facts)
            words = self.text[start:stop]
            out.append(Claim(sentence, start, stop, words, mention.kind, columns, negated, verdict, rows))
        return out

    def _judge(self, mention: Mention, link: Link) -> Finding | None:
        if mention.kind == "title":
            return self._phrase(mention, ("title",))
        if mention.kind == "superlative":
            return None if link.negated else self._superlative(mention)
        if mention.kind == "value":
            return self._value(mention, link)
        if mention.kind == "name":
            return self._name(mention, link)
        return self._measure(mention, link)

    def _phrase(self, mention: Mention, looked_up: tuple[str, ...]) -> Finding:
        facts = [fact for fact in self.sheet.facts if fact.has_phrase(mention.key) or mention.key in fact.values]
        return ("supported" if facts else "unsupported"), tuple(facts[:1]), looked_up

    def _superlative(self, mention: Mention) -> Finding:
        facts = [f for f in self.sheet.facts if (f.is_text or f.row.source == "catalog") and f.has_phrase(mention.key)]
        return ("supported" if facts else "unsupported"), tuple(facts[:1]), ()

    def _name(self, mention: Mention, link: Link) -> Finding | None:
        said = link.relations
        relations = tuple(name for name in said if name in self.sheet.relations)
        if not mention.certain and not said:
            return None
        if mention.initial and mention.stop - mention.start == 1 and not said:
            return None
        if relations:
            return self._name_in(mention, link, relations)
        keys = [mention.key, mention.key[1:]] if mention.initial and len(mention.key) > 1 else [mention.key]
        held = [fact for fact in self.sheet.facts if any(self._names(key, fact) for key in keys)]
        if said and not any(fact.is_text for fact in held):
            held = []
        if link.negated:
            return None if not held else ("contradicted", tuple(held[:1]), tuple(said))
        return ("supported" if held else "unsupported"), tuple(held[:1]), tuple(said)

    def _name_in(self, mention: Mention, link: Link, relations: tuple[str, ...]) -> Finding:
        """A name that has to stand in certain columns."""
        facts = self.sheet.about(relations, self.relations.about_history)
        held = [fact for fact in facts if any(_same_name(mention.key, value) for value in fact.values)]
        texts = [fact for fact in self.sheet.texts if fact.has_phrase(mention.key)]
        if not held and texts and (not link.strong or any(self._in_context(mention, fact) for fact in texts)):
            return self._polar(texts, link.negated, relations)
        if held or link.strong:
            return _verdict(held, facts, link.negated, relations)
        elsewhere = [f for f in self.sheet.own if any(_same_name(mention.key, value) for value in f.values)]
        return _verdict((), elsewhere, link.negated, relations)

    def _polar(self, texts: Sequence[Fact], negated: bool, relations: tuple[str, ...]) -> Finding:
        """A claim that a text makes, in the text's own polarity."""
        contradicted = negated and not fact_denies(texts)
        return ("contradicted" if contradicted else "supported"), tuple(texts[:1]), relations

    def _names(self, key: tuple[str, ...], fact: Fact) -> bool:
        if fact.has_phrase(key) or any(_same_name(key, value) for value in fact.values):
            return True
        return len(key) > 1 and fact.is_text and all(f" {word} " in fact.words for word in key)

    def _value(self, mention: Mention, link: Link) -> Finding | None:
        known = tuple(dict.fromkeys(relation for relation, _ in mention.meanings))
        said = tuple(name for name in link.relations if name in known)
        near = bool(said) or self._next_to_same(mention, known)
        if not mention.certain and not near:
            return None
        relations = said or known
        told = [name for name in relations if name in self.sheet.relations]
        meanings = [meaning for meaning in mention.meanings if meaning[0] in (told or relations)]
        facts = self.sheet.about(told, self.relations.about_history)
        held = [fact for fact in facts if any(m[0] in fact.relations and _holds(fact, m[1]) for m in meanings)]
        if held or (told and said):
            return _verdict(held, facts, link.negated, tuple(told))
        texts = [fact for fact in self.sheet.facts if fact.is_text or is_title(fact.row.column)]
        quoted = [
            fact for fact in texts if fact.has_phrase(mention.key) and (not told or self._in_context(mention, fact))
        ]
        if quoted:
            return (
                ("contradicted" if link.negated and fact_denies(quoted) else "supported"),
                tuple(quoted[:1]),
                tuple(told),
            )
        if told:
            return _verdict(held, facts, link.negated, tuple(told))
        if link.negated or not (said or self.lexicon.relations.intersection(known)):
            return None
        return "unsupported", (), relations

    def _next_to_same(self, mention: Mention, relations: tuple[str, ...]) -> bool:
        """Whether a certain value of the same relation stands next to it: "a family adventure"."""
        for other in self.mentions:
            apart = max(other.start - mention.stop, mention.start - other.stop)
            same = any(relation in relations for relation, _ in other.meanings)
            if same and other.certain and 0 <= apart <= 1:
                return True
        return False

    def _in_context(self, mention: Mention, fact: Fact) -> bool:
        """Whether a text has the value next to the same word, or has the whole sentence."""
        if fact in self.quoted:
            return True
        before = self.tokens[mention.start - 1].folded if mention.start else ""
        after = self.tokens[mention.stop].folded if mention.stop < len(self.tokens) else ""
        pairs = [(before, (before, *mention.key)), (after, (*mention.key, after))]
        return any(
            word and word[0].isalpha() and word not in self.functions and fact.has_phrase(key) for word, key in pairs
        )

    def _measure(self, mention: Mention, link: Link) -> Finding | None:
        measure = mention.measure
        if measure is None:
            return None
        if measure.spelled and measure.kind == "number" and not measure.dimension:
            after = self.tokens[mention.stop].folded if mention.stop < len(self.tokens) else ""
            if measure.low < 2 or stem(after) not in self.sheet.stems or after in self.functions:
                return None
        listed = mention.start == 0 and len(self.tokens) > 1 and self.tokens[1].text in ".)"
        if listed and mention.kind == "number" and not measure.dimension:
            return None
        own = self._measured(mention, link)
        facts = self.sheet.about(own, self.relations.about_history) if own else self.sheet.facts
        if mention.kind in ("year", "date") and own:
            facts = facts + [
                fact for fact in self.sheet.facts if is_title(fact.row.column) and fact.row.source == "item"
            ]
        held = [fact for fact in facts if any(measure.agrees(told) for told in fact.measures)]
        loose = mention.kind != "number" and not (link.strong and "year" in link.relations)
        if not held and self.quoted:
            held = [fact for fact in self.quoted if any(measure.agrees(told) for told in fact.measures)]
        if not held and own and (loose or not any(fact.measures for fact in facts)):
            held = [fact for fact in self.sheet.texts if any(measure.agrees(told) for told in fact.measures)]
        known = (
            [fact for fact in facts if any(told.dimension == measure.dimension for told in fact.measures)]
            if own
            else []
        )
        return _verdict(held, known, link.negated, own)

    def _measured(self, mention: Mention, link: Link) -> tuple[str, ...]:
        """Relations in whose columns a number has to stand; empty for anywhere."""
        measure, told = mention.measure, self.sheet.relations
        if measure is None:
            return ()
        if mention.kind in ("year", "date"):
            return ("year",) if "year" in told else ()
        said = tuple(name for name in link.relations if name in told and name != "year" and name not in NAMES)
        numeric = tuple(name for name in said if any(fact.measures for fact in self.sheet.about((name,))))
        if measure.dimension == "time" and measure.unit > 60:
            return ()
        if measure.dimension:
            return (
                tuple(n for n, dimension in DIMENSIONS.items() if dimension == measure.dimension and n in told)
                or numeric
            )
        return numeric


def fact_denies(facts: Sequence[Fact]) -> bool:
    """Whether texts deny anything.

    Args:
        facts: texts.
    """
    return any(f" {word} " in fact.words for fact in facts for word in ("not", "no", "without", "never"))


def _verdict(held: Sequence[Fact], facts: Sequence[Fact], negated: bool, relations: tuple[str, ...]) -> Finding:
    if held:
        return ("contradicted" if negated else "supported"), tuple(held[:1]), relations
    if facts:
        return ("supported" if negated else "contradicted"), tuple(facts[:1]), relations
    return ("supported" if negated else "unsupported"), (), relations


def _same_name(key: tuple[str, ...], value: tuple[str, ...]) -> bool:
    """Whether a name is meant: whole, a part of it in order, or with initials."""
    if not key or len(key) > len(value):
        return False
    if len(key) == len(value):
        return all(a == b or (len(a) == 1 and b.startswith(a)) for a, b in zip(key, value))
    places = [value.index(word) if word in value else -1 for word in key]
    return -1 not in places and places == sorted(places) and len(key[-1]) > 1


def _holds(fact: Fact, value: tuple[str, ...]) -> bool:
    """Whether a fact has a value, alone or with a word beside it ("dark red")."""
    wanted = tuple(map(stem, value))
    for key in fact.values:
        stems = tuple(map(stem, key))
        if any(stems[i : i + len(wanted)] == wanted for i in range(len(stems) - len(wanted) + 1)):
            return True
    return False
