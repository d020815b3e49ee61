"""Tokens and comparable forms of texts, in any script."""

from __future__ import annotations

import re

from palate.core.folding import fold_accents as fold

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")
"""Runs of scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, kana and Chinese characters."""
_YEAR = re.compile(r"\s*\((?:1[89]|20)\d\d\)\s*$")
_ASIDE = re.compile(r"\s*\(([^()]*)\)")
_ARTICLES = (
    *("the", "a", "an", "la", "le", "les", "l'", "un", "une", "il", "lo", "gli", "i", "el", "los", "las"),
    *("der", "die", "das", "ein", "eine", "de", "het"),
)
_TRAILING = re.compile(rf"^(?P<rest>.+),\s*(?P<article>{'|'.join(map(re.escape, _ARTICLES))})$")


def words(text: str) -> list[str]:
    """Words of a text, folded and without apostrophes; a run without spaces is one word.

    Args:
        text: any text.
    """
    return [re.sub(r"['’]", "", word) for word in _WORD.findall(fold(text))]


def tokens(text: str) -> list[str]:
    """Tokens to search by: words, and single characters with their pairs where a script puts no spaces.

    Args:
        text: any text.
    """
    out: list[str] = []
    for word in words(text):
        rest = 0
        for run in _UNSPACED.finditer(word):
            if run.start() > rest:
                out.append(word[rest : run.start()])
            characters = run.group()
            out += [*characters, *(characters[at : at + 2] for at in range(len(characters) - 1))]
            rest = run.end()
        if rest < len(word):
            out.append(word[rest:])
    return out


def phrase(text: str) -> str:
    """The words of a text joined by single spaces, so that texts that differ in punctuation or case compare equal.

    Args:
        text: any text.
    """
    return " ".join(words(text))


def title_forms(title: str) -> tuple[str, ...]:
    """Phrases by which a title is known, the fullest first.

    ``Shawshank Redemption, The (1994)`` is known with and without its year, with the article in front and without it;
    ``Seven (a.k.a. Se7en)`` also by each of its two names.

    Args:
        title: as the catalogue has it.
    """
    bare = _YEAR.sub("", title)
    names = [bare, _ASIDE.sub("", bare), *_ASIDE.findall(bare)]
    forms = [phrase(title)]
    for name in names:
        name = re.sub(r"^a\.?k\.?a\.?\s+", "", name.strip(), flags=re.IGNORECASE)
        match = _TRAILING.match(fold(name))
        if match:
            forms += [phrase(f"{match['article']} {match['rest']}"), phrase(match["rest"])]
        else:
            whole = phrase(name)
            first, _, rest = whole.partition(" ")
            forms += [whole, rest if first in _ARTICLES and rest else whole]
    return tuple(dict.fromkeys(form for form in forms if form))
