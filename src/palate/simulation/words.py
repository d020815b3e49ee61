"""Texts: titles, descriptions, tags and queries from a small grammar; every fact in them is recorded with its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
LINKS = ("about us", "all products", "opening hours", "find a shop", "newsletter", "careers")
"""Titles of links that say nothing about the item."""
QUERIES = ("{word} {leaf}", "{leaf} {word}", "{leaf} that is {word}", "looking for a {word} {leaf}")
FIELD = re.compile(r"{(\w+)}")
COLOURS = ("red", "green", "blue", "purple", "yellow", "pink")


@dataclass(frozen=True)
class Fact:
    """A claim about an item in its text.

    Attributes:
        field: ``title``, ``description``, ``tags`` or ``sitelinks``.
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
        facts: all claims in them.
        sitelinks: titles of links, separated by bars; None without links.
    """

    title: str
    description: str | None
    tags: str | None
    facts: list[Fact] = field(default_factory=list)
    sitelinks: str | None = None


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
    stated = _stated(items, row, "text")
    title, facts = f"{brand} {leaf}", list[Fact]()
    sitelinks = _sitelinks(items, row, config, truth, facts)
    if not items.present["text"][row]:
        return Copy(title, None, None, facts, sitelinks)
    if schema.headlines:
        title = _headline(schema, leaf, stated, truth, facts, rng_for(config.seed, "headline", row))
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
    return Copy(title, " ".join(sentences), ", ".join([tags, *_tags(rng)]), facts, sitelinks)


def _stated(items: Items, row: int, modality: str) -> dict[str, str]:
    """Attribute -> value that a modality says."""
    schema, shown = items.schema, items.shown[modality][row]
    codes = {name: int(shown[schema.column(name)]) for name in schema.visibility[modality]}
    return {name: schema.values(name)[code] for name, code in codes.items() if code != HIDDEN}


def _headline(
    schema: Schema,
    leaf: str,
    stated: Mapping[str, str],
    truth: Mapping[str, str],
    facts: list[Fact],
    rng: np.random.Generator,
) -> str:
    """A title from a template of which the text knows all, as much as it can say."""
    known = stated.keys() | {"leaf"}
    fields = {headline: FIELD.findall(headline) for headline in schema.headlines}
    fitting = {headline: len(names) for headline, names in fields.items() if known >= set(names)}
    title = ""
    for part in re.split(FIELD, _pick(tuple(h for h, n in fitting.items() if n == max(fitting.values())), rng)):
        if part in stated:
            word = _pick(schema.words[part][stated[part]], rng)
            true = stated[part] == truth[part]
            facts.append(Fact("title", len(title), len(title) + len(word), part, stated[part], true))
            title += word
        else:
            title += leaf if part == "leaf" else part
    return title


def _sitelinks(items: Items, row: int, config: WorldConfig, truth: Mapping[str, str], facts: list[Fact]) -> str | None:
    """Titles of links below an advertisement: what is offered, among some that say nothing."""
    if "sitelinks" not in items.present or not items.present["sitelinks"][row]:
        return None
    rng, schema, stated = rng_for(config.seed, "sitelinks", row), items.schema, _stated(items, row, "sitelinks")
    links: list[tuple[str, str | None]] = [(_pick(schema.words[name][stated[name]], rng), name) for name in stated]
    links += [(LINKS[i], None) for i in rng.permutation(len(LINKS))[: int(rng.integers(1, 3))]]
    text = ""
    for words, name in (links[i] for i in rng.permutation(len(links))):
        text += " | " if text else ""
        if name is not None:
            true = stated[name] == truth[name]
            facts.append(Fact("sitelinks", len(text), len(text) + len(words), name, stated[name], true))
        text += words
    return text


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
