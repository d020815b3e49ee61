"""Guides: which tokens may come next under a constraint, and a valid end for every answer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from palate.contracts import Constraint
from palate.core.errors import BackendError, ConfigError, UnsupportedError
from palate.generation.decoding.constraints import (
    allowed_choices,
    check_constraint,
    grammar_of,
    has_grammar,
    require_llguidance,
)
from palate.generation.decoding.words import Exclusion, ExclusionAutomaton

BEAM = 4
"""States that the search for a short end keeps at each length."""
LETTER, DIGIT = 256, 257
"""Kinds of first bytes, beside the bytes themselves."""
LONGEST = 96
"""Steps of that search; what a grammar forces is one step."""


class Guide(Protocol):
    """The state of one answer under a constraint."""

    def allowed(self) -> NDArray[np.bool_]:
        """Which tokens may come next: bool [V]."""
        ...

    def push(self, token: int) -> bool:
        """Take an allowed token that does not end the answer.

        Args:
            token: its number.

        Returns:
            Whether the answer can only end now.
        """
        ...

    def finish(self, tokens: Sequence[int]) -> list[int]:
        """A valid answer, of as many of these tokens as can be kept within the limit.

        Args:
            tokens: all that were pushed.
        """
        ...


class Guides:
    """Guides for one tokenizer.

    Args:
        tokenizer: a fast one of transformers.
        n_vocab: tokens that the model scores, at least as many as the tokenizer has.
        end_ids: tokens that end an answer.

    Raises:
        MissingDependencyError: without llguidance.
        UnsupportedError: for a tokenizer that llguidance cannot read.
    """

    def __init__(self, tokenizer: Any, n_vocab: int, end_ids: Sequence[int]) -> None:
        require_llguidance()
        self.n_vocab, self.end_ids = n_vocab, list(end_ids)
        self.tokenizer = _readable(tokenizer, n_vocab, list(end_ids))
        self.special = np.asarray([self.tokenizer.is_special_token(token) for token in range(n_vocab)])
        self.special[list(tokenizer.all_special_ids)] = True
        self._start = lru_cache(maxsize=64)(self._make_matcher)
        self._automaton = lru_cache(maxsize=16)(self._make_automaton)
        self._shortest = lru_cache(maxsize=256)(self._find_shortest)

    def guide(self, constraint: Constraint, max_tokens: int) -> Guide:
        """A guide for one answer.

        Args:
            constraint: what the answer must look like. Demanded words are not its business.
            max_tokens: of the answer.

        Raises:
            ConfigError: for a constraint that is not valid, or that no answer of ``max_tokens`` was found to keep.
            UnsupportedError: for one that cannot be kept.
        """
        check_constraint(constraint)
        if not has_grammar(constraint):
            return Exclusion(self._automaton(tuple(constraint.must_exclude)), self.end_ids)
        grammar = grammar_of(constraint)
        choices = tuple(text.encode() for text in allowed_choices(constraint))
        if self._shortest(grammar, choices, max_tokens) is None:
            raise ConfigError(
                f"no answer of at most {max_tokens} tokens that keeps the constraint was found",
                key="max_tokens",
                hint="raise it, or allow shorter answers",
            )
        return GrammarGuide(self, grammar, choices, max_tokens)

    def matcher(self, grammar: str) -> Any:
        """A matcher at the start of a grammar.

        Args:
            grammar: of llguidance.
        """
        return self._start(grammar).deep_copy()

    def text(self, tokens: Sequence[int]) -> bytes:
        """The bytes that tokens stand for.

        Args:
            tokens: their numbers.
        """
        return bytes(self.tokenizer.decode_bytes(list(tokens)))

    def mask(self, matcher: Any) -> NDArray[np.bool_]:
        """Which tokens a matcher allows: bool [V].

        Args:
            matcher: of llguidance.

        Raises:
            BackendError: where the matcher gave up.
        """
        bits = np.frombuffer(matcher.compute_bitmask(), np.uint8)
        if matcher.is_error():
            raise BackendError(f"the constraint is too complex ({matcher.get_error()[:200]})", key="constraint")
        mask = np.unpackbits(bits, bitorder="little", count=self.n_vocab).astype(bool)
        mask &= ~self.special
        mask[self.end_ids] = matcher.is_accepting()
        return mask

    def shortest_end(self, matcher: Any, written: bytes, choices: Sequence[bytes], limit: int) -> list[int] | None:
        """Few tokens after which a matcher accepts.

        Args:
            matcher: at any state; it is not changed.
            written: what it has read.
            choices: all answers, where they are few.
            limit: tokens at most.

        Returns:
            The tokens; None where none were found.
        """
        if choices:
            ends = [self.tokenizer.tokenize_bytes(text[len(written) :]) for text in choices if text.startswith(written)]
            fitting = [end for end in ends if len(end) <= limit and self._completes(matcher, end)]
            return min(fitting, key=len) if fitting else None
        for fine in (False, True):
            if (path := self._search(matcher, limit, fine)) is not None:
                # one token for what the search spelled letter by letter
                merged = list(self.tokenizer.tokenize_bytes(self.text(path)))
                if len(merged) < len(path) and self._completes(matcher, merged):
                    path = merged
                if len(path) <= limit:
                    return path
        return None

    def _search(self, matcher: Any, limit: int, fine: bool) -> list[int] | None:
        """Beam search by length; states that allow few tokens, which are nearer to an end, are kept."""
        if matcher.is_accepting():
            return []
        beam: list[tuple[Any, list[int]]] = [(matcher.deep_copy(), [])]
        for _ in range(min(4 * limit, LONGEST)):
            reached: list[tuple[tuple[int, int], Any, list[int]]] = []
            for state, path in beam:
                for tokens in self._steps(state, fine):
                    if (child := state.deep_copy()).consume_tokens(tokens):
                        longer = path + tokens
                        if child.is_accepting():
                            return longer
                        n_allowed = int.from_bytes(child.compute_bitmask(), "little").bit_count()
                        reached.append(((n_allowed, -int(self.lengths[longer].sum())), child, longer))
            beam = [(child, path) for _, child, path in sorted(reached, key=lambda entry: entry[0])[:BEAM]]
        return None

    def _steps(self, matcher: Any, fine: bool) -> list[list[int]]:
        """Forced tokens, or one short token for each (kind of) first byte, and the longest of letters and digits."""
        if forced := list(matcher.compute_ff_tokens()):
            return [forced]
        allowed = self.by_length[self.mask(matcher)[self.by_length]]
        plain = allowed[self.first_bytes[allowed] < 128]
        if len(plain) and not fine:
            # letters beyond ASCII take several bytes each
            allowed = plain
        kinds = self.kinds[allowed]
        _, shortest = np.unique(self.first_bytes[allowed] if fine else kinds, return_index=True)
        longest = [np.flatnonzero(kinds == kind)[-1:] for kind in (LETTER, DIGIT)]
        return [[int(token)] for token in allowed[np.unique(np.concatenate([shortest, *longest]))]]

    @cached_property
    def by_length(self) -> NDArray[np.int64]:
        """Tokens from the shortest to the longest: int64 [V]."""
        return np.argsort(self.lengths, kind="stable")

    @cached_property
    def kinds(self) -> NDArray[np.int64]:
        """First byte of each token, all letters taken as one, and all digits: int64 [V]."""
        table = np.arange(256)
        table[[byte for byte in range(256) if chr(byte).isalpha() or byte > 127]] = LETTER
        table[[byte for byte in range(128) if chr(byte).isdigit()]] = DIGIT
        return table[self.first_bytes]

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Bytes of each token: int64 [V]."""
        return np.asarray([len(token) for token in self.token_bytes])

    @cached_property
    def first_bytes(self) -> NDArray[np.uint8]:
        """First byte of each token: uint8 [V]; 0 for those without."""
        return np.asarray([token[0] if token else 0 for token in self.token_bytes], np.uint8)

    @cached_property
    def token_bytes(self) -> list[bytes]:
        """The bytes of each token; none for special ones."""
        return [b"" if self.special[token] else self.text([token]) for token in range(self.n_vocab)]

    def _completes(self, matcher: Any, tokens: list[int]) -> bool:
        copy = matcher.deep_copy()
        return copy.try_consume_tokens(tokens) == len(tokens) and bool(copy.is_accepting())

    def _make_matcher(self, grammar: str) -> Any:
        from llguidance import LLMatcher

        matcher = LLMatcher(self.tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise UnsupportedError(f"the constraint cannot be kept ({matcher.get_error()[:200]})", key="constraint")
        return matcher

    def _make_automaton(self, words: tuple[str, ...]) -> ExclusionAutomaton:
        return ExclusionAutomaton(words, self.token_bytes)

    def _find_shortest(self, grammar: str, choices: tuple[bytes, ...], limit: int) -> tuple[int, ...] | None:
        found = self.shortest_end(self.matcher(grammar), b"", choices, limit)
        return None if found is None else tuple(found)


class GrammarGuide:
    """The state of one answer in a grammar.

    Args:
        guides: of the tokenizer.
        grammar: of llguidance.
        choices: all answers, where they are few.
        limit: tokens of an answer at most; an answer of that length is known to exist.
    """

    def __init__(self, guides: Guides, grammar: str, choices: Sequence[bytes], limit: int) -> None:
        self.guides, self.grammar, self.choices, self.limit = guides, grammar, choices, limit
        self.matcher = guides.matcher(grammar)

    def allowed(self) -> NDArray[np.bool_]:
        """Which tokens may come next: bool [V]."""
        return self.guides.mask(self.matcher)

    def push(self, token: int) -> bool:
        """Take an allowed token that does not end the answer.

        Args:
            token: its number.

        Returns:
            Whether the answer can only end now.

        Raises:
            BackendError: for a token that is not allowed.
        """
        if not self.matcher.consume_token(token):
            raise BackendError(f"the token {token} breaks the constraint", key="constraint")
        return bool(self.matcher.is_stopped())

    def finish(self, tokens: Sequence[int]) -> list[int]:
        """A valid answer: these tokens, or as many of the first as leave room for a valid end.

        Args:
            tokens: all that were pushed.

        Raises:
            BackendError: where no end is found.
        """
        if self.matcher.is_accepting():
            return list(tokens)
        back = 1
        while True:
            kept = list(tokens[: max(0, len(tokens) - back)])
            state = self.guides.matcher(self.grammar)
            if state.try_consume_tokens(kept) == len(kept):
                room = self.limit - len(kept)
                end = self.guides.shortest_end(state, self.guides.text(kept), self.choices, room)
                if end is not None:
                    return kept + end
            if not kept:
                raise BackendError("no valid end was found", key="constraint")
            back *= 3


class _Pieces:
    """The vocabulary of a tokenizer whose pieces begin with a mark for a blank, as llguidance reads one.

    Args:
        tokenizer: of transformers.
        n_vocab: tokens that the model scores.
        end_id: token that ends an answer.
    """

    def __init__(self, tokenizer: Any, n_vocab: int, end_id: int) -> None:
        self.eos_token_id, self.bos_token_id, self.model = end_id, None, tokenizer.backend_tokenizer.model
        pieces = tokenizer.convert_ids_to_tokens(range(min(n_vocab, len(tokenizer))))
        self.tokens = [piece.replace("▁", " ").encode() for piece in pieces] + [b""] * (n_vocab - len(pieces))
        self.special_token_ids = list(tokenizer.all_special_ids)

    def __call__(self, text: str) -> list[int]:
        # the tokenizer itself puts a blank before every text
        return [piece.id for piece in self.model.tokenize(text.replace(" ", "▁"))]


def _readable(tokenizer: Any, n_vocab: int, end_ids: list[int]) -> Any:
    """The tokenizer as llguidance reads it.

    Raises:
        UnsupportedError: where it cannot.
    """
    from llguidance import LLTokenizer, TokenizerWrapper
    from llguidance.hf import from_tokenizer

    try:
        if type(getattr(tokenizer.backend_tokenizer, "decoder", None)).__name__ == "Metaspace":
            return LLTokenizer(TokenizerWrapper(_Pieces(tokenizer, n_vocab, end_ids[0])), eos_token=end_ids)
        return from_tokenizer(tokenizer, n_vocab, end_ids)
    except (ValueError, RuntimeError, AttributeError) as error:
        raise UnsupportedError(f"no constraint can be kept with this tokenizer ({str(error)[:200]})") from error
