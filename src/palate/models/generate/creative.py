"""Creative: banner, card, story, sticker, clean product picture and cover, from the item's own picture and facts.

Layout by search over boxes as in content-aware poster layout (PosterLayout, Hsu et al., CVPR 2023, whose learned
saliency and generator are replaced by our own maps and an exhaustive search); colours from the picture. In the user's
taste: the attribute of the tag line, which of several pictures, and the accent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from palate.contracts import Generated, GenerationRequest, Generator, generators
from palate.contracts.generator import ContentKind
from palate.core.errors import ConfigError, UnsupportedError
from palate.generation.compose.brief import Brief, brief_of
from palate.generation.compose.creative import FORMATS, MAX_SIDE, MIN_SIDE, compose, product_picture, to_jpeg
from palate.generation.compose.fonts import what_to_install
from palate.generation.compose.sticker import SIDE, make_sticker, to_png
from palate.generation.templates.language import language_of
from palate.generation.templates.writer import write

VERSION = "1"


@generators.register("creative")
class Creative(Generator):
    """Pictures composed of the item's own."""

    name = "creative"
    paper = "own; layout search after PosterLayout, Hsu et al., CVPR 2023"
    kinds: tuple[ContentKind, ...] = ("banner", "product_picture", "sticker", "cover")

    def generate(self, requests: Sequence[GenerationRequest], *, seed: int = 0) -> list[Generated]:
        """One picture a request; ``options`` may hold ``format`` and ``layout``.

        Args:
            requests: a batch.
            seed: of the headline of a cover; layouts are searched, not drawn.

        Raises:
            UnsupportedError: for a kind that is not among ``kinds``.
            ConfigError: for an unknown format, or a size out of range.
        """
        return [self._one(request, seed) for request in requests]

    def _one(self, request: GenerationRequest, seed: int) -> Generated:
        if request.kind not in self.kinds:
            raise UnsupportedError(f"creative does not generate {request.kind!r}", hint=", ".join(self.kinds))
        size = _size(request)
        language, known = language_of(request.language)
        facts = {"model": self.name, "version": VERSION, "backend": "none", "seed": str(seed)}
        facts["language"] = language.code
        notes = [] if known else [f"no templates in {request.language!r}: written in {language.code!r}"]
        if request.kind == "cover":
            headline = write(replace(request, kind="headline", max_words=request.max_words or 10), seed)
            request = replace(request, options={**request.options, "headline": headline.text})
            brief = brief_of(request)
            brief = brief._replace(evidence=tuple(dict.fromkeys([*headline.evidence, *brief.evidence])))
        else:
            brief = brief_of(request)
        notes += [brief.note] if brief.note else []
        image, said, more = _drawn(request, brief, size)
        facts |= {"width": str(size[0]), "height": str(size[1])} | more
        notes += filter(None, [facts.pop("missing", ""), facts.pop("lost", "")])
        if notes:
            facts["fallback"] = "; ".join(notes)
        text = brief.copy.headline if request.kind == "cover" else None
        return Generated(text, image, evidence=brief.evidence if said else brief.evidence[:1], provenance=facts)


def _drawn(request: GenerationRequest, brief: Brief, size: tuple[int, int]) -> tuple[bytes, bool, dict[str, str]]:
    """The picture, whether it has words, and what is to be said of it."""
    if brief.picture is not None and request.kind == "product_picture":
        return to_jpeg(product_picture(brief.picture, size)), False, {}
    if brief.picture is not None and request.kind == "sticker":
        sticker = make_sticker(brief.picture, min(size))
        return to_png(sticker.image), False, {"layout": "cut out" if sticker.cut else "whole picture"}
    made = compose(
        brief.picture,
        brief.copy,
        size,
        liked=brief.liked,
        category=brief.category,
        only=request.options.get("layout"),
    )
    more = {"contrast": f"{made.contrast:.2f}"}
    if made.missing:
        why = dict.fromkeys(what_to_install(getattr(brief.copy, name)) for name in made.missing)
        more["missing"] = f"{', '.join(made.missing)} not drawn: {'; '.join(why)}"
    if lost := "".join(dict.fromkeys("".join(line.fitted.lost for line in made.lines))):
        more["lost"] = f"letters that no font of this machine has are left out: {lost}"
    if made.layout is not None:
        more |= {"layout": made.layout.arrangement, "covered": f"{made.layout.covered:.3f}"}
    return to_jpeg(made.image), bool(made.lines), more


def _size(request: GenerationRequest) -> tuple[int, int]:
    """Width and height: as asked, else of the format, else of the kind."""
    if request.size is not None:
        if not all(MIN_SIDE <= side <= MAX_SIDE for side in request.size):
            raise ConfigError(
                f"{request.size[0]} x {request.size[1]} pixels", key="size", hint=f"sides of {MIN_SIDE} to {MAX_SIDE}"
            )
        return request.size[0], request.size[1]
    if (name := request.options.get("format")) is not None:
        if name not in FORMATS:
            raise ConfigError(f"unknown format {name!r}", key="format", hint=f"one of {', '.join(FORMATS)}")
        return FORMATS[name]
    if request.kind == "sticker":
        return SIDE, SIDE
    return FORMATS["card" if request.kind == "product_picture" else "banner"]
