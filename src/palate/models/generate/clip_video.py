"""Clip: a short film of an item's picture and facts, by any backend of clips; one without a model by default."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from palate.contracts import Generated, GenerationRequest, Generator, generators
from palate.contracts.generator import ContentKind
from palate.core.config import ModelConfig
from palate.core.errors import UnsupportedError
from palate.generation.compose.brief import brief_of
from palate.generation.registries import video_backend


@generators.register("clip")
class Clip(Generator):
    """Clips by a backend."""

    name = "clip"
    paper = "own; the backend may be a text-to-video pipeline"
    kinds: tuple[ContentKind, ...] = ("video",)

    class Config(ModelConfig):
        """Settings of clips."""

        backend: str = Field("clip", description="backend of clips, name or name:argument")

    config: Config

    def generate(self, requests: Sequence[GenerationRequest], *, seed: int = 0) -> list[Generated]:
        """One clip a request.

        Args:
            requests: a batch.
            seed: same seed, same clip where the backend can.

        Raises:
            UnsupportedError: for a kind that is not ``video``, or where the backend cannot run.
        """
        for request in requests:
            if request.kind not in self.kinds:
                raise UnsupportedError(f"clip does not generate {request.kind!r}", hint="video")
        backend = video_backend(self.config.backend)
        made = []
        for request, video in zip(requests, backend.film(requests, seed=seed), strict=True):
            facts = {"model": self.name, "version": backend.version, "backend": backend.name, "seed": str(seed)}
            brief = brief_of(request)
            if brief.note:
                facts["fallback"] = brief.note
            made.append(Generated(video=video, evidence=brief.evidence, provenance=facts))
        return made
