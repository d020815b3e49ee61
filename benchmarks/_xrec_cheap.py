"""Explanations without a language model: templates, retrieval, and a small network that is trained here."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from _xrec_data import Pair
from palate.core.seeding import rng_for, seed_torch
from palate.generation.facts import FactChecker
from palate.generation.facts.repair import repair
from palate.generation.facts.sheet import FactSheet
from palate.generation.facts.words import key_of, stem
from palate.generation.scoring import consensus
from palate.models.generate.template import Template
from palate.modules.text_generation.copying import localize
from palate.modules.text_generation.decoding import Decoder, beam_search, sample
from palate.modules.text_generation.pointer_generator import Memory, PointerDecoder, Source, WordEncoder
from palate.modules.text_generation.token_losses import likelihood_loss
from palate.modules.text_generation.words import PAD, START, Lexicon, WordVocabulary

LENGTH = {"item": 48, "user": 56, "target": 64}
"""Words that are read of each summary and written."""


K = 12
"""Neighbours that are read."""
SHORTEST = 8
"""Words of an explanation."""


def template(pairs: Sequence[Pair], seed: int) -> list[str]:
    """Sentences of the template generator."""
    return [made.text or "" for made in Template().generate([pair.request for pair in pairs], seed=seed)]


class Neighbours:
    """Training pairs nearest to a pair, by BM25 over summaries and title.

    Args:
        train: pairs to choose among.
    """

    def __init__(self, train: Sequence[Pair]) -> None:
        from bm25s import BM25

        self.train, self.ids = train, dict[str, int]()
        rows = [[self.ids.setdefault(w, len(self.ids)) for w in self._words(pair)] for pair in train]
        self.index = BM25(method="lucene")
        self.index.index((rows, self.ids), show_progress=False)

    def of(self, pair: Pair, k: int) -> list[Pair]:
        """The k nearest, the best first."""
        return [self.train[row] for row in np.argsort(-self.scores(pair), kind="stable")[:k]]

    def scores(self, pair: Pair) -> np.ndarray:
        """BM25 of each training pair."""
        asked = [self.ids[word] for word in self._words(pair) if word in self.ids]
        return self.index.get_scores_from_ids(asked)

    def _words(self, pair: Pair) -> list[str]:
        return [stem(word) for word in key_of(f"{pair.title} {pair.item_summary} {pair.user_summary}")]


def retitled(found: Pair, pair: Pair) -> str:
    """A neighbour's explanation with the title of another pair's item in place of its own."""
    short = re.split(r"\s*[:(]", found.title)[0]
    names = "|".join(re.escape(name) for name in (found.title, short) if len(name) > 3)
    return re.sub(names, lambda _: re.split(r"\s*[:(]", pair.title)[0], found.reference) if names else found.reference


def first_true(texts: Iterable[str], pair: Pair, checker: FactChecker, used: Container[str] = ()) -> str | None:
    """The first text that can be made true of a pair, and has not been used; None where none can.

    What the item's and the user's own texts do not support is corrected or taken out.
    """
    check = checker.on(sheet := FactSheet(pair.columns, pair.evidence))
    mended = (repair(text, sheet, check) for text in texts)
    return next((text for text in mended if text and len(text.split()) >= SHORTEST and text not in used), None)


class Writer(nn.Module):
    """A pointer-generator that reads the summary of the item, after its title, and that of the user.

    Args:
        train: pairs to learn from.
        seed: of weights and order.
        words: that can be written without being copied.
        dim: width.
    """

    def __init__(self, train: Sequence[Pair], seed: int, words: int = 2000, dim: int = 64) -> None:
        super().__init__()
        seed_torch(seed, "writer")
        self.train_pairs, self.seed = train, seed
        texts = [_inner(text) for pair in train for text in (pair.reference, pair.user_summary, pair.item_summary)]
        self.vocabulary = WordVocabulary.learn(texts, words, least=3)
        self.words = nn.Embedding(len(self.vocabulary), dim, padding_idx=PAD)
        self.item, self.user = WordEncoder(self.words, dim), WordEncoder(self.words, dim)
        self.decoder = PointerDecoder(self.words, dim, 2)
        self.drop = nn.Dropout(0.3)

    def read(self, pairs: Sequence[Pair], lexicon: Lexicon) -> tuple[Memory, Tensor, Tensor]:
        """Memory, target, and the ids that words beyond the vocabulary stand for."""
        item = lexicon.ids([f"{pair.title}. {pair.item_summary}" for pair in pairs], LENGTH["item"])
        user = lexicon.ids([pair.user_summary for pair in pairs], LENGTH["user"])
        target = lexicon.ids([pair.reference for pair in pairs], LENGTH["target"], end=True)
        (one, two), wanted, beyond = localize(
            [torch.from_numpy(item), torch.from_numpy(user)], torch.from_numpy(target), len(self.vocabulary)
        )
        (a, first), (b, second) = self.item(one), self.user(two)
        sources = (Source(one, self.drop(a)), Source(two, self.drop(b)))
        return Memory(sources, self.drop(first + second), extra=len(beyond)), wanted, beyond

    def fit(self, epochs: int, file: Path, batch_size: int = 32, lr: float = 3e-3) -> Writer:
        """Learn; the state of the last epoch is in ``file``, from which an interrupted run goes on."""
        optimiser = torch.optim.Adam(self.parameters(), lr)
        first = 0
        if file.is_file():
            state = torch.load(file, weights_only=True)
            first = state["epoch"]
            self.load_state_dict(state["network"])
            optimiser.load_state_dict(state["optimiser"])
        self.train()
        for epoch in range(first, epochs):
            order, total = rng_for(self.seed, "order", epoch).permutation(len(self.train_pairs)), 0.0
            seed_torch(self.seed, "epoch", epoch)
            for start in range(0, len(order), batch_size):
                rows = [self.train_pairs[row] for row in order[start : start + batch_size]]
                memory, target, _ = self.read(rows, Lexicon(self.vocabulary))
                target = target[:, : int((target != PAD).sum(1).max())]
                loss = likelihood_loss(self.decoder(F.pad(target, (1, 0), value=START)[:, :-1], memory), target)
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.parameters(), 2.0)
                optimiser.step()
                total += float(loss.detach()) * len(rows)
            print(f"epoch {epoch + 1}: {total / len(order):.3f}", flush=True)
            state = {"epoch": epoch + 1, "network": self.state_dict(), "optimiser": optimiser.state_dict()}
            torch.save(state, file.with_suffix(".part"))
            file.with_suffix(".part").replace(file)
        return self.eval()

    @torch.inference_mode()
    def write(self, pairs: Sequence[Pair], times: int = 0, temperature: float = 0.5) -> list[list[str]]:
        """Texts for each pair: the best of a beam, then ``times`` that are drawn."""
        lexicon = Lexicon(self.vocabulary)
        memory, _, beyond = self.read(pairs, lexicon)
        limits = torch.full((len(pairs),), LENGTH["target"] - 1)
        decoders = {width: self.decoder.decoder(memory.repeat(width)) for width in (4, *([times] if times else []))}
        found = [beam_search(_fluent(decoders[4]), limits, 4)[0][:, None]]
        if times:
            draws = rng_for(self.seed, "draws").random((len(pairs) * times, LENGTH["target"]))
            drawn = sample(
                _fluent(decoders[times]), limits.repeat_interleave(times), torch.from_numpy(draws), temperature
            )
            found.append(drawn.view(len(pairs), times, -1))
        size, known = len(self.vocabulary), beyond.tolist()
        return [
            [
                lexicon.text(word if word < size else known[word - size] for word in row)
                for part in found
                for row in part[at].tolist()
            ]
            for at in range(len(pairs))
        ]


def nearest(train: Sequence[Pair], pairs: Sequence[Pair]) -> list[str]:
    """The nearest training explanation of each pair with the title replaced, true or not."""
    index = Neighbours(train)
    return [retitled(index.of(pair, 1)[0], pair) for pair in pairs]


def retrieved(train: Sequence[Pair], pairs: Sequence[Pair], checker: FactChecker, seed: int) -> list[str]:
    """The nearest training explanation that can be made true of each pair; templates where there is none."""
    index, spare = Neighbours(train), template(pairs, seed)
    return [
        first_true((retitled(found, pair) for found in index.of(pair, K)), pair, checker) or spare[at]
        for at, pair in enumerate(pairs)
    ]


def by_consensus(pool: Sequence[str], agreement: Callable[[Sequence[str]], NDArray]) -> list[str]:
    """Texts by their likeness to the others in words and meaning, the most alike first.

    Args:
        pool: candidates.
        agreement: likeness of meaning of each to the others.
    """
    return [pool[at] for at in np.argsort(-(consensus(pool) + agreement(pool)), kind="stable")]


def first_new(
    pools: Iterable[Sequence[str]], pairs: Sequence[Pair], checker: FactChecker, spare: Sequence[str]
) -> list[str]:
    """Of each pool the first text that can be made true and that no pair before has.

    Args:
        pools: candidates of each pair, the best first.
        pairs: what they are about.
        checker: of facts.
        spare: texts of the pairs of whose candidates none can be taken.
    """
    out: list[str] = []
    used = set[str]()
    for pool, pair, other in zip(pools, pairs, spare, strict=True):
        out.append(first_true(pool, pair, checker, used) or other)
        used.add(out[-1])
    return out


def _inner(text: str) -> str:
    """A text as it would stand inside a sentence, so that words are learnt in their usual spelling."""
    return re.sub(r"(?:^|(?<=[.!?] ))[A-Z](?=[a-z])", lambda letter: letter[0].lower(), text)


def _fluent(decoder: Decoder) -> Decoder:
    return replace(decoder, no_repeat=3)
