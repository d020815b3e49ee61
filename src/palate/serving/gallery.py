"""A gallery: one page that compares plain and personal content of the same item for several users."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from palate.contracts import Generated, GenerationRequest, generators
from palate.generation.scoring.text_scorer import TextScorer
from palate.serving.content_request import ContentOptions, content_request
from palate.serving.content_scores import MEANINGS, judged, run_scorer
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
        scores: (name, value, meaning) of each score.
    """

    banner: str
    headline: str
    explanation: str
    scores: Sequence[tuple[str, str, str]]


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
    scorer = run_scorer(run.snapshot, seed)
    rows = [
        GalleryRow(
            user,
            tuple(
                f"{one.value} ({one.column})" for one in _request(run, user, item, language).preferences[:SHOWN_LIKES]
            ),
            run.snapshot.stats.titles[run.row(item)],
            _panel(run, scorer, (user, None), item, language, seed),
            _panel(run, scorer, (user, user), item, language, seed),
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


def _panel(
    run: OfflineRun, scorer: TextScorer, users: tuple[str, str | None], item: str, language: str, seed: int
) -> Panel:
    """Content for the second of ``users``, judged for the first."""
    template, creative = generators.get("template")(), generators.get("creative")()
    options, made = ContentOptions(language=language), list[Generated]()
    judge, user = users
    for kind in ("headline", "explanation"):
        request = content_request(run.resolved, kind, run.row(item), run.user(user), user, options)
        made += template.generate([request], seed=seed)
    banner = creative.generate([_request(run, user, item, language)], seed=seed)[0]
    picture = base64.b64encode(banner.image or b"").decode()
    return Panel(
        f"data:image/jpeg;base64,{picture}",
        made[0].text or "",
        made[1].text or "",
        _scores(scorer, _request(run, judge, item, language), made, banner),
    )


def _scores(
    scorer: TextScorer, request: GenerationRequest, texts: Sequence[Generated], banner: Generated
) -> list[tuple[str, str, str]]:
    """The four scores of headline and explanation together, and what can be counted of them and of the banner."""
    rows = {row for one in (*texts, banner) for row in one.evidence}
    said = {(row.column, str(row.value).lower()) for row in rows if row.source in ("item", "history")}
    top = request.preferences[:SHOWN_LIKES]
    used = sum((one.column, one.value.lower()) in said for one in top)
    text = " ".join(f"{(one.text or '').rstrip('.')}." for one in texts)
    values = judged(scorer, request, text, [row for one in texts for row in one.evidence])
    facts = banner.provenance
    found = [
        ({"personal": "personal fit", "factual": "factual support"}.get(name, name), _number(value), MEANINGS[name])
        for name, value in values.items()
    ]
    found += [
        ("likes used", f"{used} of {len(top)}" if top else "none known", "of the strongest likes, those that are said"),
        ("rows of the history", str(len({(row.id, row.column) for row in rows if row.source == "history"})), ""),
        ("rows of the item", str(len({row.column for row in rows if row.source == "item"})), ""),
    ]
    if "contrast" in facts:
        found.append(("contrast", f"{facts['contrast']} : 1", "of the words with what lies behind them, at least"))
    if "covered" in facts:
        found.append(
            ("subject covered", f"{float(facts['covered']):.0%}", "share of the picture's subject under words")
        )
    return found


def _number(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.2f}"
