"""A copy from its features: by templates, or by a language model whose answer is checked against the item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from palate.contracts import Constraint, Prompt
from palate.generation.flows.genetic import CopyFeatures
from palate.generation.flows.item_values import contains, listed, numbers, title_of, true_of, words

STYLES: Mapping[str, str] = {
    "plain": "{title}: {keywords}.{offer}",
    "lively": "Meet {title}: {keywords}!{offer}",
    "question": "Looking for {keywords}? Here is {title}.{offer}",
    "personal": "Chosen for you: {title}, with {keywords}.{offer}",
    "offer": "{offer_first}{title}, {keywords}.",
}
"""Style -> template in English."""


def compose(features: CopyFeatures, item: Mapping[str, Any]) -> str:
    """A copy by the template of its style; a style without one is written plainly.

    Args:
        features: what is said.
        item: id and columns.
    """
    offer = features.entitlement.strip().rstrip(".!")
    return (
        STYLES.get(features.style, STYLES["plain"])
        .format(
            title=title_of(item).rstrip("."),
            keywords=listed(features.keywords),
            offer=f" {offer}." if offer else "",
            offer_first=f"{offer}! " if offer else "",
        )
        .strip()
    )


def copy_prompt(features: CopyFeatures, facts: Mapping[str, str], max_words: int | None) -> Prompt:
    """What a language model is asked.

    Args:
        features: what is said.
        facts: column -> text of the item.
        max_words: length at most.
    """
    length = f" of at most {max_words} words" if max_words else ""
    task = (
        f"Write one advertising sentence{length} for the product. Use every keyword and the given style. "
        "Promise nothing but the offer, and say nothing of the product that its data does not say."
    )
    asked = {"style": features.style, "keywords": ", ".join(features.keywords), "offer": features.entitlement or "none"}
    return Prompt(task, {**facts, **asked})


def copy_constraint(features: CopyFeatures) -> Constraint:
    """Words that must occur in the copy.

    Args:
        features: what is said.
    """
    offer = (features.entitlement,) if features.entitlement else ()
    return Constraint(must_include=(*features.keywords, *offer))


def acceptable(
    text: str,
    features: CopyFeatures,
    item: Mapping[str, Any],
    max_words: int | None = None,
    vocabulary: Sequence[str] = (),
    promises: Sequence[str] = (),
) -> bool:
    """Whether a copy says what it should and nothing that is known to be untrue.

    Refused are: a keyword or the entitlement left out; a number that neither item nor entitlement has; a keyword of the
    vocabulary that is untrue of the item; an entitlement other than its own; too many words.

    Args:
        text: the copy.
        features: what it was written from.
        item: id and columns.
        max_words: length at most.
        vocabulary: keywords of all items.
        promises: entitlements of all copies.
    """
    said = words(text)
    if max_words is not None and len(text.split()) > max_words:
        return False
    if not all(contains(said, words(one)) for one in (*features.keywords, features.entitlement) if one):
        return False
    if any(one and one != features.entitlement and contains(said, words(one)) for one in promises):
        return False
    known = numbers(" ".join(str(value) for value in item.values())) | numbers(features.entitlement)
    if not numbers(text) <= known:
        return False
    return not any(contains(said, words(one)) and true_of(item, one) is None for one in vocabulary)
