"""Generated content of a server: within a time, judged before it is shown, and by templates where a model fails."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from dataclasses import replace
from typing import NamedTuple

from palate.contracts import Generated, GenerationRequest, Generator
from palate.serving.generators import DEFAULTS, GeneratorPool
from palate.serving.moderation import Moderator

LOG = logging.getLogger("palate.serving")
WORKERS = 4
"""Threads of generators that are not the default; one that is late keeps its own until it ends."""


class Content(NamedTuple):
    """Generated content.

    Attributes:
        generator: name of the generator that made it.
        generated: what it made.
    """

    generator: str
    generated: Generated


class ContentMaker:
    """Makes content.

    Args:
        pool: the generators.
        moderate: judges content before it is shown.
        seconds: for one content; then the generator without a model answers.
    """

    def __init__(self, pool: GeneratorPool, moderate: Moderator, seconds: float) -> None:
        self.pool, self.moderate, self.seconds = pool, moderate, seconds
        self._threads = ThreadPoolExecutor(WORKERS, "palate-generate")

    def make(self, request: GenerationRequest, seed: int = 0, generator: str | None = None) -> Content:
        """Generate content; what fails, is late or is withheld is made again without a model.

        Args:
            request: what is asked for.
            seed: same seed, same content where the generator can.
            generator: name of a generator; one without a model by default.

        Raises:
            UnsupportedError: if no generator makes this kind.
            ConfigError: for an unknown generator.
        """
        name, chosen = self.pool.get(request.kind, generator)
        default = DEFAULTS[request.medium]
        if name == default:
            return self._shown(request, Content(name, chosen.generate([request], seed=seed)[0]))
        content, why = self._within_time(chosen, request, seed), "failed"
        if isinstance(content, Generated):
            reason = self.moderate(request, content)
            if reason is None:
                return Content(name, content)
            why = f"was withheld: {reason}"
        elif content is not None:
            why = content
        plain, without_model = self.pool.get(request.kind, default)
        made = without_model.generate([request], seed=seed)[0]
        noted = {**made.provenance, "fallback": _joined(f"{name} {why}", made.provenance.get("fallback"))}
        return self._shown(request, Content(plain, replace(made, provenance=noted)))

    def close(self) -> None:
        """Take no more requests; threads that are late end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _within_time(self, generator: Generator, request: GenerationRequest, seed: int) -> Generated | str:
        """Content, or why there is none."""
        future = self._threads.submit(generator.generate, [request], seed=seed)
        try:
            return future.result(self.seconds)[0]
        except Late:
            future.cancel()
            return f"took more than {self.seconds:g} seconds"
        except Exception:
            # whatever a model or its server does, the user gets an answer; the log says what happened
            LOG.exception("the generator %s failed", getattr(generator, "name", "?"))
            return "failed"

    def _shown(self, request: GenerationRequest, content: Content) -> Content:
        reason = self.moderate(request, content.generated)
        if reason is None:
            return content
        facts = {**content.generated.provenance, "withheld": reason}
        return Content(content.generator, Generated(provenance=facts))


def _joined(*notes: str | None) -> str:
    return "; ".join(note for note in notes if note)
