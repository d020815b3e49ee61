"""A gallery: one page that shows users beside each other for the same item, plain beside personal content."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from palate.contracts import Generated, GenerationRequest, generators
from palate.serving.content_request import ContentOptions, content_request
from palate.serving.offline import OfflineRun

WIDTH, HEIGHT = 600, 314
SHOWN_LIKES = 5


@dataclass(frozen=True)
class Panel:
    """Content for one user, or for nobody in particular.

    Attributes:
        banner: data address of its picture.
        headline: its headline.
        explanation: its explanation.
        scores: name -> value as text.
    """

    banner: str
    headline: str
    explanation: str
    scores: dict[str, str]


@dataclass(frozen=True)
class GalleryRow:
    """A user and an item.

    Attributes:
        user: id of the user.
        likes: what the user likes, the strongest first.
        item: title of the item.
        plain: content without the user.
        personal: content for the user.
    """

    user: str
    likes: tuple[str, ...]
    item: str
    plain: Panel
    personal: Panel


def gallery_page(run: OfflineRun, users: Sequence[str], items: Sequence[str], language: str, seed: int) -> str:
    """The page as HTML; pictures are part of it, and it loads nothing.

    Args:
        run: the run.
        users: ids of users.
        items: ids of items; every user is shown each of them.
        language: language to write in.
        seed: same seed, same page.

    Raises:
        DataError: for an unknown user or item.
    """
    rows = [
        GalleryRow(
            user,
            tuple(
                f"{one.value} ({one.column})" for one in _request(run, user, item, language).preferences[:SHOWN_LIKES]
            ),
            run.snapshot.stats.titles[run.row(item)],
            _panel(run, None, item, language, seed),
            _panel(run, user, item, language, seed),
        )
        for item in items
        for user in users
    ]
    source = files(__package__).joinpath("page/templates/gallery.html").read_text(encoding="utf-8")
    jinja = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return jinja.from_string(source).render(rows=rows, width=WIDTH, height=HEIGHT, language=language)


def _request(run: OfflineRun, user: str | None, item: str, language: str) -> GenerationRequest:
    options = ContentOptions(language=language, size=(WIDTH, HEIGHT))
    return content_request(run.resolved, "banner", run.row(item), run.user(user), user, options)


def _panel(run: OfflineRun, user: str | None, item: str, language: str, seed: int) -> Panel:
    template, creative = generators.get("template")(), generators.get("creative")()
    options, made = ContentOptions(language=language), list[Generated]()
    for kind in ("headline", "explanation"):
        request = content_request(run.resolved, kind, run.row(item), run.user(user), user, options)
        made += template.generate([request], seed=seed)
    banner = creative.generate([request := _request(run, user, item, language)], seed=seed)[0]
    picture = base64.b64encode(banner.image or b"").decode()
    return Panel(
        f"data:image/jpeg;base64,{picture}",
        made[0].text or "",
        made[1].text or "",
        _scores(request, made, banner),
    )


def _scores(request: GenerationRequest, texts: Sequence[Generated], banner: Generated) -> dict[str, str]:
    """What can be counted of the content; scores of generators come with it."""
    rows = {row for one in (*texts, banner) for row in one.evidence}
    said = {(row.column, str(row.value).lower()) for row in rows if row.source in ("item", "history")}
    top = request.preferences[:SHOWN_LIKES]
    used = sum((one.column, one.value.lower()) in said for one in top)
    facts = banner.provenance
    scores = {
        "likes used": f"{used} of {len(top)}" if top else "none known",
        "rows of the history": str(len({(row.id, row.column) for row in rows if row.source == "history"})),
        "rows of the item": str(len({row.column for row in rows if row.source == "item"})),
        "contrast": f"{facts['contrast']} : 1" if "contrast" in facts else "",
        "subject covered": f"{float(facts['covered']):.0%}" if "covered" in facts else "",
    }
    scores |= {name: f"{value:.2f}" for one in texts for name, value in one.scores.items()}
    return {name: value for name, value in scores.items() if value}
