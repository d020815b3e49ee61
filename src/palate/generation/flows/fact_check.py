"""The check of facts as a check of what a language model wrote for a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from palate.contracts import Evidence, GenerationRequest
from palate.generation.facts import FactChecker, FactReport, FactSheet, history_evidence
from palate.generation.flows.sentences import documents


class FactCheck:
    """Accepts a text whose claims the request bears out: its item, history, evidence, comments and offers.

    Args:
        checker: the check of facts; one that knows the values of a catalogue sees more
            (:meth:`palate.generation.facts.Lexicon.learn`).
    """

    def __init__(self, checker: FactChecker | None = None) -> None:
        self.checker = checker or FactChecker()
        self._last: tuple[GenerationRequest, Callable[[str], FactReport]] | None = None

    def __call__(self, request: GenerationRequest, text: str) -> bool:
        """Whether none of a text's claims is contradicted or unsupported.

        Args:
            request: what the text is about.
            text: what was written.
        """
        return not self.report(request, text).false_claims

    def report(self, request: GenerationRequest, text: str) -> FactReport:
        """The claims of a text, each with its verdict.

        Args:
            request: what the text is about.
            text: what was written.
        """
        last = self._last
        if last is None or last[0] is not request:
            # many texts are written for one request, whose facts are read once
            last = self._last = request, self.checker.on(FactSheet(request.item, may_be_told(request)))
        return last[1](text)


def may_be_told(request: GenerationRequest) -> Iterator[Evidence]:
    """What a text may state beside the item: history, evidence, comments, and the offers of the request.

    Args:
        request: the request.
    """
    yield from history_evidence(request.history)
    yield from request.evidence
    yield from documents(request)[0]
    for offer in request.options.get("entitlements", ()):
        if offer:
            yield Evidence("document", "", "offer", str(offer))
