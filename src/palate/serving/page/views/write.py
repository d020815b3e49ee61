"""Write a headline together: guidance, selection and post-editing, a form for each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from palate.contracts import Generated, GenerationRequest
from palate.core.errors import ConfigError
from palate.generation.flows.fact_check import FactCheck
from palate.generation.flows.session import EASIEST, HARDEST, MAX_CHARACTERS, STEPS, Condition, CoWriter
from palate.models.generate.co_creation import CoCreation
from palate.serving.content import ContentMaker
from palate.serving.content_request import content_request
from palate.serving.page.cards import item_card
from palate.serving.page.cookies import current_user
from palate.serving.page.form import Form, FormContent
from palate.serving.page.render import render_page, service_of
from palate.serving.page.values import column_label
from palate.serving.snapshot import ResolvedModel
from palate.serving.writing_sessions import OpenSession, WritingSessions

CHOICE = "choice."
"""Stands before the number of a perspective in a form."""
CONDITIONS: dict[Condition, str] = {
    "guidance_selection_post_editing": "Choose perspectives, choose a headline, edit it",
    "guidance_selection": "Choose perspectives and a headline",
    "selection": "Choose a headline",
    "none": "Write it yourself",
}
NAMES = {
    "read": "Read", "guide": "Choose perspectives", "select": "Choose a headline", "write": "Write", "edit": "Edit",
    "rate": "Rate",
}  # fmt: skip


class StepView(NamedTuple):
    """A step of the list of steps.

    Attributes:
        name: what it is called.
        state: ``done``, ``now`` or ``later``.
    """

    name: str
    state: str


@dataclass(frozen=True)
class ModeratedWriter:
    """Proposals of a writer that may be shown.

    Attributes:
        writer: proposes.
        request: the item.
        maker: holds the judge of content; None where this server makes none.
    """

    writer: CoWriter
    request: GenerationRequest
    maker: ContentMaker | None

    def keywords(self) -> Sequence[str]:
        """Perspectives to choose from."""
        return self._shown(self.writer.keywords())

    def headlines(self, perspectives: Sequence[str]) -> Sequence[str]:
        """Headlines to choose from.

        Args:
            perspectives: those that were chosen.
        """
        return self._shown(self.writer.headlines(perspectives))

    def _shown(self, texts: Sequence[str]) -> Sequence[str]:
        maker = self.maker
        return texts if maker is None else [t for t in texts if maker.moderate(self.request, Generated(t)) is None]


def register(router: APIRouter) -> None:
    """Add the routes.

    Args:
        router: router of the page.
    """
    router.get("/write")(begin)
    router.post("/write")(start)
    router.get("/write/{session}")(show)
    router.post("/write/{session}")(submit)


def begin(request: Request) -> Response:
    """The form that begins a session about an item.

    Args:
        request: the request; its parameter ``item`` is the item.

    Raises:
        UnknownItem: for an unknown item.
    """
    snapshot, _, row = service_of(request).find_item(request.query_params.get("item", ""))
    return render_page(request, "write_start.html", card=item_card(snapshot, row), conditions=CONDITIONS)


def start(request: Request, form: Form) -> Response:
    """Begin a session.

    Args:
        request: the request.
        form: ``item``, and ``condition``, the whole session by default.

    Raises:
        UnknownItem: for an unknown item.
        ConfigError: for an unknown condition, or an item of which nothing can be said.
    """
    condition: Any = form.get("condition") or next(iter(CONDITIONS))
    if condition not in CONDITIONS:
        raise ConfigError("no such way to write a headline", key=condition, hint="choose one of those that are offered")
    item = form.fields.get("item", "")
    asked = _asked(request, item)
    name = _sessions(request).start(asked, _writer(request, item), condition)
    return RedirectResponse(f"/write/{name}", 303)


def show(request: Request, session: str) -> Response:
    """The present step.

    Args:
        request: the request.
        session: id of the session.

    Raises:
        HTTPException: 404 for an unknown session.
        UnknownItem: if its item was removed.
    """
    return _page(request, _found(_sessions(request).find(session, lambda item: _writer(request, item))))


def submit(request: Request, session: str, form: Form) -> Response:
    """Do a step, and go on to the next; an answer that does not fit is shown again with what is wrong.

    Args:
        request: the request.
        session: id of the session.
        form: ``step``, and its answer: ``answer``, or ``choice.0``, ``choice.1`` ... for perspectives.

    Raises:
        HTTPException: 404 for an unknown session.
        UnknownItem: if its item was removed.
    """
    sessions, step = _sessions(request), form.get("step") or ""
    known = [one for steps in STEPS.values() for one in steps]
    try:
        if step not in known:
            raise ConfigError("no such step", key=step, hint="go on with the step that is shown")
        found = sessions.submit(session, lambda item: _writer(request, item), step, _answer(step, form))
        _found(found)
    except ConfigError as error:
        found = _found(sessions.find(session, lambda item: _writer(request, item)))
        return _page(request, found, error, form)
    return RedirectResponse(f"/write/{session}", 303)


def _page(
    request: Request, found: OpenSession, error: ConfigError | None = None, form: FormContent | None = None
) -> Response:
    session = found.session
    snapshot, _, row = service_of(request).find_item(found.item)
    steps, done = STEPS[session.condition], len(session.log)
    states = ["done" if at < done else "now" if at == done else "later" for at in range(len(steps))]
    sent = {} if form is None else form.fields
    claims: tuple[str, ...] = ()
    if session.step in ("rate", "done") and session.text:
        report = FactCheck().report(_asked(request, found.item), session.text)
        claims = tuple(dict.fromkeys(claim.text for claim in report.false_claims))
    return render_page(
        request,
        "write.html",
        200 if error is None else 422,
        id=found.id,
        card=item_card(snapshot, row),
        step=session.step,
        steps=[StepView(NAMES[name], state) for name, state in zip(steps, states)],
        document={column_label(column): text for column, text in session.document.items()},
        choices=session.view().get("choices", []),
        chosen={value for name, value in sent.items() if name.startswith(CHOICE)} | {sent.get("answer", "")},
        text=sent.get("answer", session.text or ""),
        most=MAX_CHARACTERS,
        grades=range(EASIEST, HARDEST + 1),
        summary=session.summary() if session.step == "done" else None,
        names=NAMES,
        claims=claims,
        error=error,
    )


def _answer(step: str, form: FormContent) -> Any:
    if step == "guide":
        return [form.fields[name] for name in sorted(form.fields) if name.startswith(CHOICE)]
    answer = form.fields.get("answer", "")
    # a number that is none is refused by the session, with the words for it
    return int(answer) if step == "rate" and answer.isdecimal() and len(answer) < 3 else answer


def _sessions(request: Request) -> WritingSessions:
    return WritingSessions(service_of(request).state / "writing")


def _asked(request: Request, item: str) -> GenerationRequest:
    service, user = service_of(request), current_user(request)
    snapshot, model, row = service.find_item(item)
    state = service.user_state(snapshot, user, None)
    return content_request(ResolvedModel(snapshot, model), "headline", row, state, user)


def _writer(request: Request, item: str) -> CoWriter:
    asked = _asked(request, item)
    return ModeratedWriter(CoCreation().writer(asked), asked, getattr(request.app.state, "content", None))


def _found(session: OpenSession | None) -> OpenSession:
    if session is None:
        raise HTTPException(404, "There is no such session. It may have been removed; begin another one.")
    return session
