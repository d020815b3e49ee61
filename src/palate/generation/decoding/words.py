"""Words that must or must not occur: the test, an automaton that keeps words out, and the natural place for one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray


def occurs(word: str, text: str) -> bool:
    """Whether a word or phrase stands in a text as whole words, in capitals or not.

    Args:
        word: word or phrase.
        text: any text.
    """
    return _pattern(word).search(text) is not None


def holds(text: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether a text has all words of one list and none of the other.

    Args:
        text: any text.
        include: words that must occur.
        exclude: words that must not.
    """
    return all(occurs(word, text) for word in include) and not any(occurs(word, text) for word in exclude)


class ExclusionAutomaton:
    """A deterministic automaton over the bytes of an answer that refuses forbidden words.

    A letter or byte beyond ASCII counts as the edge of a word, so that somewhat more is refused than :func:`occurs`
    finds, never less. State 0 is the start; a refused byte leads to -1.

    Args:
        words: what must not occur.
        tokens: the bytes of each token of the vocabulary; empty for tokens that stand for no text.
    """

    def __init__(self, words: Sequence[str], tokens: Sequence[bytes]) -> None:
        self.words = [[_variants(char) for char in word] for word in words]
        self.edges = [(word[0].isalnum(), word[-1].isalnum()) for word in words]
        self.lengths = np.asarray([len(token) for token in tokens])
        self.bytes = np.zeros((len(tokens), max(1, int(self.lengths.max(initial=0)))), np.uint8)
        for row, token in enumerate(tokens):
            self.bytes[row, : len(token)] = np.frombuffer(token, np.uint8)
        self.states: list[tuple[frozenset[_Position], bool]] = [(frozenset(), True)]
        self.numbers = {self.states[0]: 0}
        self.rows: dict[int, IntArray] = {}
        self.after: dict[int, IntArray] = {}

    def next_states(self, state: int) -> IntArray:
        """The state after each token; -1 where the token brings a forbidden word, or stands for no text.

        Args:
            state: before the token.
        """
        if state not in self.after:
            self.after[state] = self._next_states(state)
        return self.after[state]

    def may_end(self, state: int) -> bool:
        """Whether a text may end here: not right after a forbidden word.

        Args:
            state: after the text.
        """
        return not any(self._is_whole(position) for position in self.states[state][0])

    def _next_states(self, state: int) -> IntArray:
        states = np.where(self.lengths > 0, state, -1)
        for place in range(self.bytes.shape[1]):
            going = np.flatnonzero((states >= 0) & (self.lengths > place))
            for number in np.unique(states[going]):
                rows = going[states[going] == number]
                states[rows] = self._row(int(number))[self.bytes[rows, place]]
        return states

    def _row(self, number: int) -> IntArray:
        """The states after each byte."""
        if number not in self.rows:
            self.rows[number] = np.asarray([self._step(number, byte) for byte in range(256)])
        return self.rows[number]

    def _step(self, number: int, byte: int) -> int:
        positions, at_edge = self.states[number]
        edge = not (byte < 128 and (chr(byte).isalnum() or byte == ord("_")))
        if edge and any(self._is_whole(position) for position in positions):
            return -1
        starts = {(word, 0, b"") for word, (left, _) in enumerate(self.edges) if at_edge or not left}
        reached: set[_Position] = set()
        for word, index, part in (*positions, *starts):
            if index == len(self.words[word]):
                continue
            for variant in self.words[word][index]:
                if variant.startswith(longer := part + bytes([byte])):
                    reached.add((word, index + 1, b"") if variant == longer else (word, index, longer))
        if any(self._is_whole(position) and not self.edges[position[0]][1] for position in reached):
            return -1
        key = (frozenset(reached), edge)
        if key not in self.numbers:
            self.numbers[key] = len(self.states)
            self.states.append(key)
        return self.numbers[key]

    def _is_whole(self, position: _Position) -> bool:
        return position[1] == len(self.words[position[0]])


_Position = tuple[int, int, bytes]
"""Word, characters of it that were read, bytes of the next character that were read."""


class Exclusion:
    """The state of one answer in an automaton.

    Args:
        automaton: for its forbidden words.
        end_ids: tokens that end an answer.
    """

    def __init__(self, automaton: ExclusionAutomaton, end_ids: Sequence[int]) -> None:
        self.automaton, self.end_ids, self.path = automaton, list(end_ids), [0]

    def allowed(self) -> NDArray[np.bool_]:
        """Which tokens may come next: bool [V]."""
        mask = self.automaton.next_states(self.path[-1]) >= 0
        mask[self.end_ids] = self.automaton.may_end(self.path[-1])
        return mask

    def push(self, token: int) -> bool:
        """Take a token.

        Args:
            token: an allowed one that does not end the answer.

        Returns:
            Whether the answer can only end now.
        """
        self.path.append(int(self.automaton.next_states(self.path[-1])[token]))
        return False

    def finish(self, tokens: Sequence[int]) -> list[int]:
        """The longest beginning of an answer that may end where it ends.

        Args:
            tokens: all that were pushed.
        """
        end = len(tokens)
        while not self.automaton.may_end(self.path[end]):
            end -= 1
        return list(tokens[:end])


def place_words(
    text: str, words: Sequence[str], score: Callable[[list[str]], Sequence[float]], fits: Callable[[str], bool]
) -> str | None:
    """Put each missing word where the text stays most probable.

    Args:
        text: an answer.
        words: what must occur; those that already do are left where they are.
        score: log-probability of each of some texts.
        fits: whether a text is allowed and short enough.

    Returns:
        The text with all words, or None where a word fits nowhere.
    """
    for word in words:
        if occurs(word, text):
            continue
        candidates = [candidate for candidate in _with_word(text, word) if occurs(word, candidate) and fits(candidate)]
        if not candidates:
            return None
        text = candidates[int(np.argmax(score(candidates)))]
    return text


def _with_word(text: str, word: str) -> list[str]:
    """The text with a word before, between and after its words, also before the mark that ends it."""
    gaps = [match.end() for match in re.finditer(r"\s+", text)]
    within = [f"{text[:gap]}{word} {text[gap:]}" for gap in gaps if text[gap:].strip()]
    body = text.rstrip(" .!?\n")
    ends = [f"{body} {word}{text[len(body) :]}"] if body != text else []
    return list(dict.fromkeys([f"{word} {text}".strip(), *within, *ends, f"{text.rstrip()} {word}".strip()]))


@lru_cache(maxsize=4096)
def _pattern(word: str) -> re.Pattern[str]:
    letters = "".join(f"(?:{'|'.join(re.escape(v.decode()) for v in _variants(char))})" for char in word)
    left, right = r"(?<!\w)" if word[0].isalnum() else "", r"(?!\w)" if word[-1].isalnum() else ""
    return re.compile(left + letters + right)


def _variants(char: str) -> list[bytes]:
    return [variant.encode() for variant in dict.fromkeys((char, char.lower(), char.upper()))]
