"""Ids that a client sends: one spelling for each, and none that an address, a log line or a header cannot hold."""

from __future__ import annotations

import unicodedata
from collections.abc import Container
from urllib.parse import quote

from starlette.convertors import Convertor, register_url_convertor

from palate.core.errors import DataError
from palate.serving.database import MAX_ID_LENGTH
from palate.serving.service import RecommenderService

REFUSED = frozenset(("Cc", "Cs", "Zl", "Zp"))
"""Unicode categories: control characters, halves of surrogate pairs, separators of lines and paragraphs."""
DOTS = (".", "..")
"""Ids that clients take out of an address before they send it."""
HINT = "send it without control characters; '.', '..' and blanks are no ids"


def clean_id(name: str, value: str) -> str:
    """The one spelling of a new id: composed (NFC) and without surrounding blanks.

    Args:
        name: what it identifies, for the error.
        value: the id as sent.

    Raises:
        DataError: for an id that is blank, too long, ``.`` or ``..``, or holds control characters.
    """
    text = unicodedata.normalize("NFC", value).strip()
    if not text:
        raise DataError("an id must not be blank", column=name, hint=HINT)
    if len(text) > MAX_ID_LENGTH:
        raise DataError(f"an id has at most {MAX_ID_LENGTH} characters", column=name)
    if text in DOTS or (not text.isalnum() and any(unicodedata.category(part) in REFUSED for part in text)):
        raise DataError(f"{text!r} cannot be an id", column=name, hint=HINT)
    return text


def known_id(name: str, value: str, known: Container[str]) -> str:
    """An id as it is where it is known, however it is spelt; else the one spelling of a new one.

    Args:
        name: what it identifies, for the error.
        value: the id as sent.
        known: ids that exist.

    Raises:
        DataError: for a new id that is refused.
    """
    return value if value in known else clean_id(name, value)


def user_id(service: RecommenderService, value: str) -> str:
    """The id of a user; see :func:`known_id`.

    Args:
        service: the service, whose run knows users.
        value: the id as sent.

    Raises:
        DataError: for a new id that is refused.
    """
    return known_id("user", value, service.snapshot.users)


def item_id(service: RecommenderService, value: str) -> str:
    """The id of an item; see :func:`known_id`.

    Args:
        service: the service, whose catalogue knows items.
        value: the id as sent.

    Raises:
        DataError: for a new id that is refused.
    """
    return known_id("item", value, service.snapshot.rows)


def id_address(prefix: str, value: str) -> str:
    """The address of what an id names; as a parameter where clients would take the id out of the path.

    Args:
        prefix: path of all of them.
        value: the id.
    """
    return f"{prefix}?id={value}" if value in DOTS else f"{prefix}/{quote(value, safe='')}"


class IdConvertor(Convertor[str]):
    """An id as the rest of a path, whatever characters it has: ``{item:id}``."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        """The id.

        Args:
            value: the rest of the path.
        """
        return value

    def to_string(self, value: str) -> str:
        """The rest of a path.

        Args:
            value: the id.
        """
        return value


register_url_convertor("id", IdConvertor())
