"""Mends a text whose claims are not all supported: the true value in place of a wrong one, else without the clause."""

from __future__ import annotations

import re
from collections.abc import Callable

from palate.generation.facts.claims import Claim, FactReport
from palate.generation.facts.sheet import NAMES, FactSheet, relations_of
from palate.generation.facts.words import fold, key_of, sentences

ROUNDS = 6
"""Changes to one sentence, at most."""
SHORTEST = 3
"""Words of a sentence that is worth keeping."""
_CLAUSE = re.compile(r"\s*[,;–—]\s+(?:and\s+|but\s+)?|\s+(?=(?:starring|directed by|featuring|from the)\b)|\s*\(|\)")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
_DANGLING = re.compile(
    r"(?:\s+(?:and|or|but|by|with|of|from|in|starring|directed|the|a|an|und|et|y|e|en|it|is|was))+\s*$", re.I
)


def repair(text: str, sheet: FactSheet, check: Callable[[str], FactReport]) -> str | None:
    """A text all of whose claims are supported, made by changing or leaving out as little as possible.

    Args:
        text: what was generated.
        sheet: facts.
        check: the check that it has to pass.

    Returns:
        The text as it is where nothing is wrong; None where no sentence can be kept.
    """
    if not check(text).false_claims:
        return text
    kept = [mended for start, stop in sentences(text) if (mended := _mend(text[start:stop], sheet, check))]
    whole = " ".join(kept)
    return whole if kept and not check(whole).false_claims else None


def _mend(sentence: str, sheet: FactSheet, check: Callable[[str], FactReport]) -> str | None:
    for _ in range(ROUNDS):
        wrong = check(sentence).false_claims
        if not wrong:
            return sentence if len(sentence.split()) >= SHORTEST or not _DANGLING.search(sentence) else None
        candidates = [*_corrections(sentence, wrong[0], sheet), *_without_clause(sentence, wrong[0])]
        better = next((c for c in candidates if len(check(c).false_claims) < len(wrong)), None)
        if better is None:
            return None
        sentence = better
    return None


def _corrections(sentence: str, claim: Claim, sheet: FactSheet) -> list[str]:
    """The sentence with a true value of the claim's column; a value that is not yet said comes first."""
    if claim.verdict != "contradicted" or claim.negated:
        return []
    facts = [fact for fact in sheet.own if fact.row.column in claim.columns]
    said = fold(sentence)
    spellings: list[str] = []
    for fact in facts:
        if claim.kind in ("number", "year") and fact.measures:
            number = fact.measures[0]
            if number.low == number.high:
                spellings.append(_NUMBER.sub(_plain(number.low / number.unit), claim.text, count=1))
                spellings.append(_plain(number.low / number.unit))
        elif claim.kind in ("name", "value"):
            spellings += fact.spellings
    spellings.sort(key=lambda spelling: fold(spelling) in said)
    names = any(name in NAMES for column in claim.columns for name in relations_of(column))
    if claim.kind == "value" and not names and claim.text.islower():
        spellings = [spelling.lower() for spelling in spellings]
    spellings = [spelling for spelling in spellings if key_of(spelling) != key_of(claim.text)]
    possessive = re.search(r"['’]s$", claim.text)
    return [_put(sentence, claim, spelling + (possessive[0] if possessive else "")) for spelling in spellings]


def _plain(number: float) -> str:
    return f"{number:.10g}"


def _put(sentence: str, claim: Claim, words: str) -> str:
    before = sentence[: claim.start]
    article = re.search(r"\b(an?)\s+$", before, re.IGNORECASE)
    if article:
        vowel = words[:1].casefold() in "aeiou"
        fitting = ("an" if vowel else "a") if article[1][0].islower() else ("An" if vowel else "A")
        before = before[: article.start(1)] + fitting + before[article.end(1) :]
    return before + words + sentence[claim.stop :]


def _without_clause(sentence: str, claim: Claim) -> list[str]:
    """The sentence without the clause between commas, brackets or "starring" that makes a claim."""
    marks = [(m.start(), m.end()) for m in _CLAUSE.finditer(sentence)]
    start = max((mark for mark in marks if mark[1] <= claim.start), default=None)
    stop = min((mark for mark in marks if mark[0] >= claim.stop), default=None)
    if start is None:
        # the first clause carries the sentence
        return []
    ending = re.search(r"[.!?…]+[\"'”’»]*$", sentence)
    tail = sentence[stop[0] :] if stop else (ending[0] if ending else "")
    if tail.startswith(")"):
        tail = tail[1:]
    head = _DANGLING.sub("", sentence[: start[0]].rstrip())
    out = head + tail
    return [out] if len(head.split()) >= SHORTEST else []
