"""Texts for one person about one thing, of which it is known what they must say: a shop that writes to its customers.

Each thing has a kind and a name of its own, five facts (material, price, origin, weight, use), each in a sentence of
its description, a colour that only its picture shows, and one fact that its title advertises by an adjective. Each
person cares for one fact, and takes things that advertise it ``LOYALTY`` of the time; the colour that a person likes is
taken as often. Texts are functions of person and thing, see :class:`PersonalTexts`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.core.content import Features
from palate.core.seeding import rng_for
from palate.data.dataset import Dataset

LOYALTY = 0.6
"""Share of a person's things that advertise the fact that the person cares for; the others are drawn from all."""
KINDS = ("lamp", "kettle", "chair", "basket", "clock", "blanket")
COLOURS = ("red", "green", "blue", "yellow", "black", "white")
MATERIALS = ("oak", "steel", "linen", "glass", "bamboo", "leather", "cork", "wool", "copper", "clay")
USES = (
    "kitchens",
    "gardens",
    "offices",
    "children",
    "travellers",
    "students",
    "cooks",
    "readers",
    "guests",
    "balconies",
)
START, DAY = 1_700_000_000, 86_400
FACTS = ("material", "price", "origin", "weight", "use")
SENTENCES = {
    "material": "It is made of {}.", "price": "It costs {} euros.", "origin": "It comes from {}.",
    "weight": "It weighs {} kilos.", "use": "It suits {}.",
}  # fmt: skip
PHRASES = {
    "material": "made of {}", "price": "at {} euros", "origin": "from {}", "weight": "weighing {} kilos",
    "use": "for {}",
}  # fmt: skip
QUESTIONS = {
    "material": "What is it made of?", "price": "How much is it?", "origin": "Where does it come from?",
    "weight": "How heavy is it?", "use": "What is it good for?",
}  # fmt: skip
ADJECTIVES = {
    "material": ("solid", "genuine"), "price": ("thrifty", "cheap"), "origin": ("regional", "local"),
    "weight": ("light", "portable"), "use": ("handy", "practical"),
}  # fmt: skip
TEXTS = ("headline", "picture_headline", "question", "answer", "explanation", "pairing")
"""Columns of the log."""


@dataclass(frozen=True)
class Case:
    """A person, a thing that this person did not take, and what was taken before.

    Attributes:
        user: row of the person.
        item: row of the thing.
        history: rows of what was taken, oldest first.
        asked: the fact that the question is about.
    """

    user: int
    item: int
    history: tuple[int, ...]
    asked: str


class PersonalTexts:
    """The shop, its log and its truth.

    Texts of the log, and of every :class:`Case`: ``headline``, the name and the fact that the person cares for;
    ``picture_headline``, colour, name and kind; ``question`` about one fact, and its ``answer``: that fact, the one
    that the person cares for, and the newest thing taken of the same kind; ``explanation``, the colour and the fact
    that the person cares for; ``pairing``, the colours of the thing and of the newest thing taken.

    Args:
        seed: decides every bit.
        n_items: things; a fifth of them is never taken and is there to be asked about.
        n_users: people; a fifth of them does not stand in the log.
        events: things that each of them takes.
        width: of the vectors of pictures.
    """

    def __init__(self, seed: int = 0, n_items: int = 400, n_users: int = 300, events: int = 8, width: int = 32) -> None:
        self.seed, self.n_items, self.n_users, self.events, self.width = seed, n_items, n_users, events, width
        rng = rng_for(seed, "personal texts")
        names = _names(rng, n_items + 60)
        self.names, towns = names[:n_items], names[n_items:]
        self.kinds, self.colours = rng.integers(len(KINDS), size=n_items), rng.integers(len(COLOURS), size=n_items)
        self.advertised, self.cares = rng.integers(5, size=n_items), rng.integers(5, size=n_users)
        self.likes = rng.integers(len(COLOURS), size=n_users)
        drawn = {
            "material": rng.choice(MATERIALS, n_items), "price": rng.integers(5, 400, n_items),
            "origin": rng.choice(towns, n_items), "weight": rng.integers(1, 90, n_items),
            "use": rng.choice(USES, n_items),
        }  # fmt: skip
        self.facts = [{fact: str(drawn[fact][row]) for fact in FACTS} for row in range(n_items)]
        self.known = np.arange(n_items * 4 // 5)
        self.taken = np.stack([self._takes(user, rng) for user in range(n_users)])

    def _takes(self, user: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Things that a person takes, each once."""
        weights = np.ones(len(self.known))
        for liked in (self.advertised[self.known] == self.cares[user], self.colours[self.known] == self.likes[user]):
            # a share LOYALTY of what is taken is drawn from the liked things, the rest from all
            share = max(float(liked.mean()), 1e-9)
            weights *= np.where(liked, LOYALTY / share, 0) + 1 - LOYALTY
        return rng.choice(self.known, self.events, replace=False, p=weights / weights.sum())

    @cached_property
    def items(self) -> pl.DataFrame:
        """The catalogue: item, title, description, kind."""
        rng = rng_for(self.seed, "descriptions")
        rows = []
        for at, name in enumerate(self.names):
            kind, own = KINDS[self.kinds[at]], self.facts[at]
            told = [SENTENCES[FACTS[fact]].format(own[FACTS[fact]]) for fact in rng.permutation(5)]
            adjective = rng.choice(ADJECTIVES[FACTS[self.advertised[at]]])
            rows.append(
                (f"i{at}", f"{name}, the {adjective} {kind}", f"The {name} is a {kind}. {' '.join(told)}", kind)
            )
        return pl.DataFrame(rows, ["item", "title", "description", "kind"], orient="row")

    @cached_property
    def pictures(self) -> Features:
        """Vectors of pictures: colour, kind and material under a random projection, with noise."""
        rng = rng_for(self.seed, "pictures")
        material = np.array([MATERIALS.index(one["material"]) for one in self.facts])
        shown = [np.eye(6)[self.colours], np.eye(6)[self.kinds], np.eye(10)[material]]
        values = np.concatenate(shown, 1) @ rng.normal(size=(22, self.width)) / 22**0.5
        values += rng.normal(0, 0.05, values.shape)
        return Features(values.astype(np.float32), np.ones(self.n_items, bool), identity=f"given:texts-{self.seed}")

    @cached_property
    def log(self) -> pl.DataFrame:
        """What was taken, with the texts that were written to whoever took it."""
        rng, rows = rng_for(self.seed, "log"), []
        for user in range(self.n_users * 4 // 5):
            for time, item in enumerate(self.taken[user].tolist()):
                case = Case(user, item, tuple(self.taken[user, :time].tolist()), FACTS[rng.integers(5)])
                told = self.texts(case)
                rows.append((f"u{user}", f"i{item}", START + time * DAY, *(told[name] for name in TEXTS)))
        return pl.DataFrame(rows, ["user", "item", "time", *TEXTS], orient="row")

    def dataset(self, pictures: bool = True) -> Dataset:
        """The shop as a dataset; some of the log is held out for validation.

        Args:
            pictures: False leaves their vectors out.
        """
        return Dataset.from_frames(
            self.items,
            self.log,
            columns={"item": "id", "title": "text", "description": "text", "kind": "category"},
            roles={"user": "user", "item": "item", "time": "time", "context": list(TEXTS)},
            features={"image": self.pictures} if pictures else None,
            split="random:test=0.05,valid=0.1",
            name=f"personal texts {self.seed}",
        )

    def cases(self, number: int) -> list[Case]:
        """People who do not stand in the log, each with a thing that nobody took, drawn without regard to taste.

        Args:
            number: at most as many as there are such people.
        """
        rng, first = rng_for(self.seed, "cases"), self.n_users * 4 // 5
        users = range(first, min(first + number, self.n_users))
        new = np.arange(len(self.known), self.n_items)
        return [Case(u, int(rng.choice(new)), tuple(self.taken[u].tolist()), FACTS[rng.integers(5)]) for u in users]

    def row(self, item: int) -> dict[str, str]:
        """Columns of a thing.

        Args:
            item: its row.
        """
        return self.items.row(item, named=True)

    def cared(self, case: Case) -> str:
        """The fact that the person of a case cares for.

        Args:
            case: person and thing.
        """
        return FACTS[self.cares[case.user]]

    def sibling(self, case: Case) -> int | None:
        """The newest thing of the history that is of the same kind; None where there is none.

        Args:
            case: person and thing.
        """
        same = [one for one in case.history if self.kinds[one] == self.kinds[case.item]]
        return same[-1] if same else None

    def texts(self, case: Case) -> Mapping[str, str | None]:
        """The right texts of a case by name; no pairing without a history.

        Args:
            case: person and thing.
        """
        own, name, kind = self.facts[case.item], self.names[case.item], KINDS[self.kinds[case.item]]
        cared, colour, sibling = self.cared(case), COLOURS[self.colours[case.item]], self.sibling(case)
        mine, asked = (PHRASES[fact].format(own[fact]) for fact in (cared, case.asked))
        like = "" if sibling is None else f", like your {self.names[sibling]}"
        last = case.history[-1] if case.history else None
        return {
            "headline": f"{name} {kind} {mine}",
            "picture_headline": f"{colour.capitalize()} {name} {kind}",
            "question": QUESTIONS[case.asked],
            "answer": f"It is {asked} and {mine}{like}.",
            "explanation": f"A {colour} {kind} {mine}.",
            "pairing": None
            if last is None
            else f"The {colour} {kind} goes with your {COLOURS[self.colours[last]]} {KINDS[self.kinds[last]]}.",
        }


def stated(text: str) -> dict[str, list[str]]:
    """Facts that a text states, right or wrong: fact -> values, in the order of the text.

    Args:
        text: any text in the phrases of this shop.
    """
    found = {fact: re.findall(phrase.format(r"(\w+)"), text.lower()) for fact, phrase in PHRASES.items()}
    return {fact: values for fact, values in found.items() if values}


def _names(rng: np.random.Generator, number: int) -> Sequence[str]:
    """Words that stand for nothing, each once."""
    syllables = np.array([a + b for a in "bdfgklmnprstvz" for b in "aeiou"])
    found: dict[str, None] = {}
    while len(found) < number:
        found["".join(rng.choice(syllables, 3)).capitalize() + str(rng.choice(list("lnrsx")))] = None
    return list(found)[:number]
