"""Moderation: what is generated is judged before it is shown; by default by the operator's list of words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from palate.contracts import Generated, GenerationRequest
from palate.core.errors import ConfigError
from palate.core.folding import fold_letters

Moderator = Callable[[GenerationRequest, Generated], str | None]
"""Says why content is withheld; None where it may be shown."""
MAX_WORDS = 20_000
"""Lines of a blocklist."""


class Blocklist:
    """Words and phrases that generated content may not hold, whole and without regard to case or accents.

    What a picture says is judged by its evidence: every word on it stands there.

    Args:
        words: words and phrases.
    """

    def __init__(self, words: Iterable[str] = ()) -> None:
        plain = sorted({one for word in words if (one := _plain(word))}, key=len, reverse=True)
        self._pattern = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, plain))})(?!\w)") if plain else None

    @classmethod
    def from_file(cls, file: str | Path | None) -> Blocklist:
        """Read a list: one word or phrase a line; empty lines and lines that begin with ``#`` do not count.

        Args:
            file: the file; None for an empty list.

        Raises:
            ConfigError: for a file that cannot be read, or is no list of words.
        """
        if file is None:
            return cls()
        try:
            lines = Path(file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise ConfigError(f"the blocklist cannot be read ({reason})", file=file) from error
        if len(lines) > MAX_WORDS:
            raise ConfigError(f"a blocklist of {len(lines):,} lines", file=file, hint=f"at most {MAX_WORDS:,}")
        return cls(line for line in lines if not line.lstrip().startswith("#"))

    def __call__(self, request: GenerationRequest, content: Generated) -> str | None:
        """Why content is withheld.

        Args:
            request: what was asked for.
            content: what was generated.
        """
        if self._pattern is None:
            return None
        texts = [content.text or "", *(str(row.value) for row in content.evidence)]
        found = next((match for text in texts if (match := self._pattern.search(_plain(text)))), None)
        return None if found is None else "it holds a word of the blocklist"


def _plain(text: str) -> str:
    return " ".join(fold_letters(text).split())
