"""Every error a user can meet: it names the place (file, row, column, key) and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class PalateError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: what is wrong, one sentence.
        file: the file it was found in.
        row: 1-based row (header not counted) or line number.
        column: column name.
        key: configuration key, id or name.
        hint: what the user can do.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | Path | None = None,
        row: int | None = None,
        column: str | None = None,
        key: object = None,
        hint: str | None = None,
    ) -> None:
        self.message, self.file, self.row, self.column, self.key, self.hint = (
            message, None if file is None else str(file), row, column, key, hint,
        )  # fmt: skip
        super().__init__(str(self))

    def __str__(self) -> str:
        named = (("file", self.file), ("row", self.row), ("column", self.column), ("key", self.key))
        place = ", ".join(f"{name} {value!r}" for name, value in named if value is not None)
        text = f"{place}: {self.message}" if place else self.message
        return f"{text} -> {self.hint}" if self.hint else text


class DataError(PalateError):
    """Input data cannot be used as it is."""


class EmptyPartError(DataError):
    """A part of a split has no questions to judge a model by."""


class FeatureError(PalateError):
    """A modality cannot be encoded, or its vectors are unusable."""


class NoContentError(FeatureError):
    """No row holds anything that an encoder could be fitted to."""


class ConfigError(PalateError):
    """A setting is unknown or out of range."""


class NotFittedError(PalateError):
    """A model was asked for something that only a fitted model has."""


class UnsupportedError(PalateError):
    """The model cannot do this by design; the message names models that can."""


class BackendError(PalateError):
    """A model that generates gave no usable answer: it failed, took too long, or would cost more than allowed."""


class ArtefactError(PalateError):
    """A saved file is damaged, unsafe, or written by a newer format."""


class MissingDependencyError(PalateError):
    """An optional package is needed; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"the package {package!r} is not installed", hint=f"pip install 'palate[{extra}]'")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint that offers the closest known names, else lists them all."""
    names = sorted(known)
    close = get_close_matches(name, names, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names)}"
