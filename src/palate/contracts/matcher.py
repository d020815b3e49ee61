"""The contract of retrieval: which items for this user?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from palate.contracts.model import Model
from palate.core.errors import UnsupportedError
from palate.ranking.scorer import Scorer


class Matcher(Model):
    """A system that answers which items suit a user, out of the whole catalogue."""

    task_name: ClassVar[str] = "match"

    def scorer(self) -> Scorer:
        """A frozen scorer over all items; made once per evaluation or for serving.

        Raises:
            UnsupportedError: for a model that does not score.
        """
        raise UnsupportedError(f"{self.name} does not score")

    def members(self) -> Mapping[str, Matcher]:
        """Models that a composed model combines, by name; empty for any other."""
        return {}
