"""Texts: titles, descriptions, tags and queries from a small grammar; every fact in them is recorded with its place."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from palate.core.seeding import rng_for
from palate.simulation.items import HIDDEN, Items
from palate.simulation.presets import WorldConfig
from palate.simulation.schema import Schema
from palate.simulation.shop import BRANDS, VOICES

# templates are short, so that the facts of a text weigh more than the voice of its brand
OPENINGS = {
    "plain": ("A {leaf} by {brand}.", "{brand} makes this {leaf}."),
    "warm": ("We love this {leaf}.", "A {leaf} with heart."),
    "technical": ("{leaf}, series {number}.", "Model {number}: {leaf}."),
    "playful": ("Meet your {leaf}!", "Psst, a {leaf}!"),
}
# sentences with attribute words that are unrelated to the item; the last three name a value drawn at random
ASIDES = (
    "Delivery takes {number} days.", "Returns are free for {number} weeks.", "Rated by {number} customers.",
    "Ships in a {colour} box.", "Unlike our other series, it is not {word}.", "Pairs well with anything in {word}.",
)  # fmt: skip
TAGS = ("new", "bestseller", "limited", "handmade", "online only", "gift wrap")
TAGGED = 0.8
"""Probability that a fact of the description is repeated among the tags, in its plain word."""
QUERIES = ("{word} {leaf}", "{leaf} {word}", "{leaf} that is {word}", "looking for a {word} {leaf}")
COLOURS = ("red", "green", "blue", "purple", "yellow", "pink")


@dataclass(frozen=True)
class Fact:
    """A claim about an item in its text.

    Attributes:
        field: ``description`` or ``tags``.
        start: first character of the claim.
        stop: one past its last character.
        attribute: name of the attribute.
        value: claimed value.
        true: whether the item has this value.
    """

    field: str
    start: int
    stop: int
    attribute: str
    value: str
    true: bool


@dataclass
class Copy:
    """Texts of one item.

    Attributes:
        title: always present.
        description: None where the text is missing.
        tags: separated by commas, None where the text is missing.
        facts: all claims in description and tags.
    """

    title: str
    description: str | None
    tags: str | None
    facts: list[Fact] = field(default_factory=list)


def write_copy(items: Items, row: int, config: WorldConfig) -> Copy:
    """Write title, description and tags of an item in its brand's voice, with all facts.

    Args:
        items: all items.
        row: of the item.
        config: settings of the world.
    """
    rng = rng_for(config.seed, "words", row)
    schema, source = items.schema, int(items.content[row])
    leaf, brand = schema.leaves[items.leaf[source]], BRANDS[items.brand[source]]
    voice = VOICES[items.brand[source] % len(VOICES)]
    truth = {name: schema.values(name)[items.codes[source, schema.column(name)]] for name in schema.names}
    stated = {
        name: schema.values(name)[code]
        for name in schema.visibility["text"]
        if (code := int(items.shown["text"][row, schema.column(name)])) != HIDDEN
    }
    title, facts = f"{brand} {leaf}", []
    if not items.present["text"][row]:
        return Copy(title, None, None)
    bound = {"leaf": leaf, "brand": brand, "number": str(int(rng.integers(2, 99)))}
    sentences = [_pick(OPENINGS[voice], rng).format(**bound)]
    names = list(stated)
    order = [names[i] for i in rng.permutation(len(names))] + ["aside"] * int(rng.integers(0, 3))
    length = len(sentences[0])
    for name in (order[i] for i in rng.permutation(len(order))):
        if name == "aside":
            sentence = _aside(schema, rng)
        else:
            word = _pick(schema.words[name][stated[name]], rng)
            template = _pick(schema.claims[name][voice], rng)
            start = length + 1 + template.index("{word}")
            sentence = template.format(word=word)
            facts.append(Fact("description", start, start + len(word), name, stated[name], stated[name] == truth[name]))
        sentences.append(sentence)
        length += 1 + len(sentence)
    tags = leaf
    for name in (names[i] for i in rng.permutation(len(names)) if rng.random() < TAGGED):
        tags += ", "
        facts.append(
            Fact("tags", len(tags), len(tags) + len(stated[name]), name, stated[name], stated[name] == truth[name])
        )
        tags += stated[name]
    return Copy(title, " ".join(sentences), ", ".join([tags, *_tags(rng)]), facts)


def write_query(items: Items, row: int, draw: float) -> str:
    """Write a search query for something like an item.

    Args:
        items: all items.
        row: of the item.
        draw: in [0, 1), determines the words.
    """
    schema, source = items.schema, int(items.content[row])
    names = tuple(schema.visibility["text"])
    share, place = np.modf(draw * len(names))
    name = names[int(place)]
    words = schema.words[name][schema.values(name)[items.codes[source, schema.column(name)]]]
    share, place = np.modf(share * len(words))
    template = QUERIES[int(share * len(QUERIES))]
    return template.format(word=words[int(place)], leaf=schema.leaves[items.leaf[source]])


def _pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _aside(schema: Schema, rng: np.random.Generator) -> str:
    group = _pick(tuple(schema.words), rng)
    word = _pick(_pick_words(schema, group, rng), rng)
    return _pick(ASIDES, rng).format(number=int(rng.integers(2, 30)), colour=_pick(COLOURS, rng), word=word)


def _pick_words(schema: Schema, group: str, rng: np.random.Generator) -> tuple[str, ...]:
    return schema.words[group][_pick(tuple(schema.words[group]), rng)]


def _tags(rng: np.random.Generator) -> list[str]:
    return [TAGS[i] for i in rng.permutation(len(TAGS))[: int(rng.integers(0, 3))]]
