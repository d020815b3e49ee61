"""The newsroom: desks and their sections, and what an article says about place, theme, tone and form.

In version 1 it is text alone; in version 2 headlines say theme and place, and a cover picture has a look of its own.
"""

from __future__ import annotations

from dataclasses import replace

from palate.simulation.schema import Attribute, Category, Schema

WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "place": {
        "capital": ("the capital", "downtown", "the old town"), "coast": ("the coast", "the harbour", "the shore"),
        "mountains": ("the mountains", "the valley", "the pass"),
        "border": ("the border", "the crossing", "the frontier"),
        "abroad": ("abroad", "overseas", "another continent"),
        "suburbs": ("the suburbs", "the outskirts", "the estates"),
    },
    "theme": {
        "money": ("money", "the budget", "prices"), "health": ("health", "clinics", "medicine"),
        "climate": ("the climate", "drought", "storms"), "schools": ("schools", "teachers", "exams"),
        "crime": ("crime", "a trial", "the police"), "technology": ("technology", "software", "robots"),
        "family": ("families", "children", "parents"), "travel": ("travel", "trains", "airports"),
    },
    "tone": {
        "grave": ("grave", "sombre", "sobering"), "hopeful": ("hopeful", "uplifting", "encouraging"),
        "angry": ("angry", "furious", "outraged"), "dry": ("dry", "matter-of-fact", "factual"),
    },
    "form": {
        "report": ("report", "account", "dispatch"), "interview": ("interview", "conversation", "talk"),
        "comment": ("comment", "opinion", "column"), "list": ("list", "ranking", "overview"),
    },
}  # fmt: skip

CLAIMS: dict[str, dict[str, tuple[str, ...]]] = {
    "place": {
        "plain": ("It happened in {word}.", "From {word}."),
        "warm": ("The people of {word} tell it.", "Close to {word}."),
        "technical": ("Location: {word}.", "Dateline {word}."), "playful": ("Guess what, {word}!", "Off to {word}."),
    },
    "theme": {
        "plain": ("It is about {word}.", "The subject is {word}."),
        "warm": ("It matters for {word}.", "All about {word}."),
        "technical": ("Subject: {word}.", "Keyword {word}."), "playful": ("Yes, {word} again!", "Mostly {word}."),
    },
    "tone": {
        "plain": ("The tone is {word}.", "It reads {word}."), "warm": ("A {word} piece.", "It feels {word}."),
        "technical": ("Register: {word}.", "Tone {word}."), "playful": ("So {word}!", "Rather {word}."),
    },
    "form": {
        "plain": ("This is a {word}.", "Read the {word}."), "warm": ("A {word} to keep.", "Our {word} for you."),
        "technical": ("Format: {word}.", "Type {word}."), "playful": ("Another {word}!", "One more {word}."),
    },
}  # fmt: skip

NEWS_1 = Schema(
    categories=(
        Category("politics", ("election", "parliament", "treaty", "reform"), (1, 1, 1, 1)),
        Category("business", ("merger", "strike", "startup", "market"), (1, 1, 1, 1)),
        Category("sport", ("match", "transfer", "record", "tournament"), (1, 1, 1, 1)),
        Category("culture", ("film", "exhibition", "concert", "novel"), (1, 1, 1, 1)),
        Category("science", ("discovery", "mission", "study", "vaccine"), (1, 1, 1, 1)),
        Category("life", ("recipe", "home", "garden", "holiday"), (1, 1, 1, 1)),
    ),
    attributes=tuple(Attribute(name, tuple(values)) for name, values in WORDS.items()),
    visibility={"text": {"place": 0.93, "theme": 0.95, "tone": 0.9, "form": 0.9}},
    importance={"subcategory": 0.9, "place": 0.8, "theme": 1.3, "tone": 0.6, "form": 0.5},
    words=WORDS,
    claims=CLAIMS,
)

NEWS = replace(
    NEWS_1,
    attributes=(
        *NEWS_1.attributes,
        Attribute("colour", ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")),
        Attribute("pattern", ("plain", "stripes", "checks", "dots", "rings", "zigzag")),
        Attribute("shape", ("round", "square", "triangular", "star", "hexagonal", "cross")),
    ),
    visibility={
        "text": NEWS_1.visibility["text"],
        "image": {"colour": 0.95, "pattern": 0.9, "shape": 0.9},
    },
    importance={**NEWS_1.importance, "subcategory": 0.5, "colour": 1.1, "pattern": 0.4, "shape": 0.7},
    headlines=(
        "{leaf}: {theme}, {place}", "{place}: {theme} and the {leaf}", "What the {leaf} means for {theme} ({place})",
        "{leaf}: {theme}", "{place}: the {leaf}", "The {leaf}",
    ),
)  # fmt: skip
