"""The form of a table file: encoding, separator, header, quotes and words for no value."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palate.core.errors import DataError
from palate.data.absent import ABSENT

FORMAT_KEYS = ("encoding", "separator", "header", "names", "quote")
_NAMED_SEPARATORS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "bar": "|", "space": " "}
_NO = ("none", "no", "false", "off")


@dataclass(frozen=True)
class TableFormat:
    """How a table of text is to be read; only ``absent`` matters to Parquet and JSONL.

    Attributes:
        encoding: of the file.
        separator: between fields; found out from the header if None.
        header: whether the first line names the columns.
        names: names of the columns, without a header; ``column_1`` ... by default.
        quote: whether quotation marks enclose fields; found out if None.
        absent: words that mean "no value".
    """

    encoding: str = "utf-8"
    separator: str | None = None
    header: bool = True
    names: tuple[str, ...] = ()
    quote: bool | None = None
    absent: tuple[str, ...] = ABSENT

    @classmethod
    def parse(cls, section: Mapping[str, Any], absent: Collection[str] | None = None) -> TableFormat:
        """A format from the section of a table in palate.yaml.

        Args:
            section: may have ``encoding``, ``separator``, ``header`` (``none``, or the names of the columns),
                ``names``, ``quote`` (``none``); other keys are passed over.
            absent: words that mean "no value", instead of the usual ones.

        Raises:
            DataError: for a value that cannot be read.
        """
        encoding = str(section.get("encoding") or "utf-8")
        try:
            codecs.lookup(encoding)
        except LookupError as error:
            raise DataError("unknown encoding", key=encoding, hint="for example utf-8, latin-1, cp1252") from error
        separator = section.get("separator")
        if separator is not None:
            separator = _NAMED_SEPARATORS.get(str(separator), str(separator))
            if not separator:
                raise DataError("the separator is empty", key="separator", hint="for example ';' or tab")
        header, names = section.get("header", True), section.get("names") or ()
        if isinstance(header, Sequence) and not isinstance(header, str):
            header, names = False, header
        if not isinstance(names, Sequence) or isinstance(names, str):
            raise DataError("expected a list of column names", key="names", hint="write names: [user, item]")
        return cls(
            encoding,
            separator,
            not _is_no(header, "header") and not names,
            tuple(map(str, names)),
            None if (quote := section.get("quote")) is None else not _is_no(quote, "quote"),
            ABSENT if absent is None else tuple(map(str, absent)),
        )


def _is_no(value: Any, key: str) -> bool:
    if isinstance(value, bool) or value is None:
        return not value
    text = str(value).strip().lower()
    if text in _NO:
        return True
    if text in ("yes", "true", "on", '"'):
        return False
    raise DataError(f"cannot read {value!r}", key=key, hint=f"write {key}: none, or leave it out")
