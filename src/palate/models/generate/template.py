"""Template: texts without a language model, from the facts of the item and what it shares with the user's history.

Which attribute is put forward is what the user takes more often than people do; sentences are drawn from a grammar by
seed, so that neighbours differ. What is not in catalogue or history is not said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from palate.contracts import Generated, GenerationRequest, Generator, generators
from palate.contracts.generator import ContentKind, TextKind
from palate.core.errors import UnsupportedError
from palate.generation.templates.writer import write

VERSION = "1"


@generators.register("template")
class Template(Generator):
    """Sentences of a grammar, filled with facts."""

    name = "template"
    paper = "own; grounded explanation templates as in Zhang et al., SIGIR 2014"
    kinds: tuple[ContentKind, ...] = get_args(TextKind)
    deterministic = False

    def generate(self, requests: Sequence[GenerationRequest], *, seed: int = 0) -> list[Generated]:
        """One text a request; no two neighbours begin with the same pattern where another can be said.

        Args:
            requests: a batch.
            seed: same seed, same texts.

        Raises:
            UnsupportedError: for a kind that is no text.
        """
        made, before = [], ""
        for request in requests:
            if request.kind not in self.kinds:
                raise UnsupportedError(f"template does not generate {request.kind!r}", hint=", ".join(self.kinds))
            written = write(request, seed, before)
            before = written.pattern
            provenance = {"model": self.name, "version": VERSION, "backend": "none", "seed": str(seed)}
            provenance["language"] = written.language
            if not written.known:
                provenance["fallback"] = f"no templates in {request.language!r}: written in {written.language!r}"
            made.append(Generated(written.text, evidence=written.evidence, provenance=provenance))
        return made
