"""What a cell of a media column holds: a path, an address, a format that is not read, several files."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

MEDIA = ("image", "audio", "video")
MEDIA_ENDINGS = {
    "image": (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"),
    "audio": (".wav", ".flac", ".mp3", ".ogg"),
    "video": (".mp4", ".webm", ".mkv", ".avi", ".mov"),
}
_ALSO_READ = {"image": (".jpe", ".jfif", ".apng"), "audio": (".opus", ".oga"), "video": (".m4v",)}
NOT_READ = {
    "image": (
        ".heic",
        ".heif",
        ".avif",
        ".tif",
        ".tiff",
        ".svg",
        ".ico",
        ".psd",
        ".jp2",
        ".jxl",
        ".raw",
        ".cr2",
        ".nef",
    ),
    "audio": (".m4a", ".aac", ".wma", ".aif", ".aiff", ".amr", ".mid", ".ape"),
    "video": (".wmv", ".flv", ".mpg", ".mpeg", ".3gp"),
}
ADDRESS = r"(?i)^(?:[a-z][a-z0-9+.-]*://|//[^/]|data:)"
_SEPARATORS = r"\s*[|;,]\s*"


@dataclass(frozen=True)
class MediaColumn:
    """A column of media with one path a row.

    Attributes:
        values: paths or bytes; null where absent, and for addresses.
        address: bool [n]: rows that hold an address (``https://``, ``s3://``, ``data:``) instead of a file.
        not_read: bool [n]: rows with the ending of a format that is not read; their path is kept.
        several: bool [n]: rows that name several files; the first is kept.
    """

    values: pl.Series
    address: pl.Series
    not_read: pl.Series
    several: pl.Series

    @property
    def usable(self) -> pl.Series:
        """bool [n]: rows with a path that may be read, or bytes."""
        return self.values.is_not_null() & ~self.not_read


def known_endings(kind: str) -> tuple[str, ...]:
    """All endings that speak of a medium, read or not.

    Args:
        kind: ``image``, ``audio`` or ``video``.
    """
    return MEDIA_ENDINGS[kind] + _ALSO_READ[kind] + NOT_READ[kind]


def ending_pattern(endings: tuple[str, ...]) -> str:
    """A regular expression that finds one of the endings at the end of a path or address.

    Args:
        endings: with their dot.
    """
    return rf"(?i)(?:{'|'.join(ending.replace('.', chr(92) + '.') for ending in endings)})(?:[?#][^/\\]*)?$"


def media_column(values: pl.Series, kind: str) -> MediaColumn:
    """A column of paths, addresses, bytes or lists of them as media.

    Args:
        values: text, bytes, lists of one of them, or structs of ``bytes`` and ``path``.
        kind: ``image``, ``audio`` or ``video``.
    """
    name, none = values.name, pl.repeat(False, len(values), eager=True)
    if values.dtype == pl.Binary:
        return MediaColumn(values, none, none, none)
    if isinstance(values.dtype, pl.Struct):
        fields = values.struct.fields
        return media_column(values.struct.field("bytes" if "bytes" in fields else fields[0]).alias(name), kind)
    several = none
    if isinstance(values.dtype, (pl.List, pl.Array)):
        lists = values.cast(pl.List(values.dtype.inner))
        lists = lists.list.drop_nulls()
        several = (lists.list.len() > 1).fill_null(False)
        values = lists.list.first().alias(name)
        if values.dtype.is_nested() or values.dtype == pl.Binary:
            rest = media_column(values, kind)
            return MediaColumn(rest.values, rest.address, rest.not_read, several)
    text = values.cast(pl.String).str.strip_chars().replace("", None)
    first = text.str.replace_all(_SEPARATORS, "\0").str.split("\0").list.first()
    listed = first.str.contains(ending_pattern(known_endings(kind))).fill_null(False) & (first != text).fill_null(False)
    listed &= ~text.str.contains(ADDRESS).fill_null(False)
    frame = pl.DataFrame({"text": text, "first": first, "listed": listed})
    text = frame.select(pl.when("listed").then("first").otherwise("text"))[:, 0].alias(name)
    address = text.str.contains(ADDRESS).fill_null(False)
    not_read = text.str.contains(ending_pattern(NOT_READ[kind])).fill_null(False) & ~address
    return MediaColumn(text.set(address, None), address, not_read, several | listed)
