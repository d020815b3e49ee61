"""What a picture for an item and a user is asked to show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from palate.contracts import Evidence, GenerationRequest, PicturePrompt, Preference
from palate.contracts.generator import MEDIA
from palate.core.errors import ConfigError, UnsupportedError
from palate.generation.drawing.vocabulary import PictureVocabulary

Words = list[tuple[str, float]]
ITEM_ID = ("id", "item_id")


def item_words(item: Mapping[str, Any], vocabulary: PictureVocabulary, weight: float = 1.0) -> Words:
    """Attribute values of an item that the vocabulary knows, each with the same weight.

    Args:
        item: its columns.
        vocabulary: of the picture model.
        weight: of each.
    """
    return [(f"{column}={value}", weight) for column, value in vocabulary.attributes_of(item).values()]


def preference_words(preferences: Sequence[Preference], vocabulary: PictureVocabulary, most: int = 8) -> Words:
    """The strongest preferences that the vocabulary knows, with weights of mean 1.

    Args:
        preferences: the strongest first.
        vocabulary: of the picture model.
        most: that are kept.
    """
    pairs = [(f"{one.column}={one.value}", one.weight) for one in preferences if one.weight > 0]
    known = [(phrase, weight) for phrase, weight in pairs if vocabulary.phrase(phrase)][:most]
    total = sum(weight for _, weight in known)
    return [(phrase, weight * len(known) / total) for phrase, weight in known]


def weighted(words: Iterable[tuple[str, float]], factor: float) -> Words:
    """The same words, their weights times a factor; none where it is 0.

    Args:
        words: with weights.
        factor: at least 0.
    """
    return [(phrase, weight * factor) for phrase, weight in words] if factor > 0 else []


def number_option(request: GenerationRequest, name: str, default: float, low: float, high: float) -> float:
    """A numeric setting of a request.

    Args:
        request: whose options count.
        name: of the option.
        default: where it is not given.
        low: least value.
        high: greatest value.

    Raises:
        ConfigError: for anything but a number in this range.
    """
    value = request.options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ConfigError(f"a number from {low:g} to {high:g}, not {str(value)[:40]!r}", key=name)
    return float(value)


def picture_prompt(
    request: GenerationRequest, words: Words, guidance: float, preference: Any = None, preference_weight: float = 1.0
) -> PicturePrompt:
    """The prompt of a request; its options may name ``guidance``, ``strength``, ``negative`` and ``reference``.

    Args:
        request: gives size and, with the option ``reference: true``, the item's own picture to start from.
        words: what is to be seen.
        guidance: where the request names none.
        preference: tokens of the user's taste.
        preference_weight: of these.

    Raises:
        ConfigError: for an option out of range, or a reference that is not there.
    """
    negative = request.options.get("negative", ())
    if isinstance(negative, str) or not all(isinstance(word, str) for word in negative):
        raise ConfigError("a list of words", key="negative")
    reference = request.images.get(item_id(request.item)) if request.options.get("reference") else None
    if request.options.get("reference") and reference is None:
        raise ConfigError("the item has no picture to start from", key="reference", hint="leave the option out")
    return PicturePrompt(
        words=words,
        negative=tuple(negative),
        reference=reference,
        strength=number_option(request, "strength", 0.6, 0.0, 1.0),
        preference=preference,
        preference_weight=preference_weight,
        guidance=number_option(request, "guidance", guidance, 1.0, 20.0),
        size=request.size or (256, 256),
    )


def item_id(item: Mapping[str, Any]) -> str:
    """Id of an item: its column ``id`` or ``item_id``, else its first.

    Args:
        item: id and columns.
    """
    for name in ITEM_ID:
        if name in item:
            return str(item[name])
    return str(next(iter(item.values()), ""))


def shown_evidence(request: GenerationRequest, vocabulary: PictureVocabulary) -> list[Evidence]:
    """What a picture of the request is conditioned on: values of the item, and preferences with an item that has them.

    Args:
        request: the item and the user.
        vocabulary: of the picture model.
    """
    own = item_id(request.item)
    rows = [Evidence("item", own, column, value) for column, value in vocabulary.attributes_of(request.item).values()]
    for one in request.preferences:
        if one.weight > 0 and vocabulary.phrase(f"{one.column}={one.value}"):
            source = one.items[0] if one.items else (request.user or "")
            rows.append(Evidence("history" if one.items else "user", str(source), one.column, one.value))
    return rows


def refuse_other_kinds(requests: Sequence[GenerationRequest], kinds: Sequence[str], name: str) -> None:
    """Check that a generator can make what is asked.

    Args:
        requests: a batch.
        kinds: that it can make.
        name: of the generator.

    Raises:
        UnsupportedError: for another kind.
    """
    for request in requests:
        if request.kind not in kinds:
            what = "makes pictures" if MEDIA.get(request.kind) != "image" else "makes no such picture"
            raise UnsupportedError(f"{name} {what}, not {request.kind!r}", hint=f"it makes {', '.join(kinds)}")
