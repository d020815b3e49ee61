"""What must not be shown of people who wrote a text: addresses, numbers, handles, names."""

from __future__ import annotations

import re
from collections.abc import Collection

from palate.generation.flows.item_values import contains, words

_MAIL = re.compile(r"[^\s@]+\s*(?:@|\(at\)|\[at\])\s*[^\s@]+\s*(?:\.|\(dot\)|\[dot\])\s*\w{2,}", re.IGNORECASE)
_LINK = re.compile(r"https?:|www\.|\b[\w-]+\.(?:com|net|org|io|me|tv|ly|de|fr|uk|ru|cn)\b", re.IGNORECASE)
_HANDLE = re.compile(r"(?<!\w)@\w+")
_PHONE = re.compile(r"\+?\d(?:[\s().\-/]*\d){6,}")
_SELF = re.compile(r"\bmy name(?: is|'s)\b|\b(?:call|text|message|dm|add|follow) me\b|\bsigned\b", re.IGNORECASE)


def is_private(text: str, names: Collection[str] = ()) -> bool:
    """Whether a text shows a mail address, a link, a handle, a telephone number, a writer's introduction or name.

    Args:
        text: a sentence.
        names: of people; each is looked for as a whole and by its parts of three letters or more.
    """
    if any(pattern.search(text) for pattern in (_MAIL, _LINK, _HANDLE, _PHONE, _SELF)):
        return True
    said = words(text)
    return any(contains(said, part) for name in names for part in name_parts(name))


def name_parts(name: str) -> list[list[str]]:
    """What of a name would tell who it is: the whole, and words of three letters or more.

    Args:
        name: as written in the data.
    """
    split = words(name)
    parts = [[part] for part in split if len(part) > 2]
    return parts if len(split) < 2 else [split, *parts]
