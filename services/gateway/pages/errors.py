"""When there is no page to show: why, in words, and where to go from there."""

from __future__ import annotations

from fastapi import Request
from fastapi.routing import iter_route_contexts
from starlette.responses import Response

from contracts import message
from contracts.message import Problem
from services.gateway.security import CsrfRefused, Overloaded, SignInRequired, current_session
from services.gateway.security.doors import WrongAccount

from .language import gettext_noop as _
from .page import Page, see
from .problems import explain

_HEADINGS = {
    401: _("Please sign in"),
    403: _("This is not open to you"),
    404: _("There is no such page"),
    405: _("That is not possible here"),
    410: _("This is no longer there"),
    422: _("That address is not quite right"),
    429: _("Please wait a little"),
    503: _("This does not work right now"),
    504: _("We do not know yet whether this was done"),
}
_NOT_THERE = _("The address may be mistyped, or what stood here has been removed. Perhaps you have to switch accounts.")
_WENT_WRONG = _("Something went wrong on our side. Nothing is lost; please try again in a moment.")
_NOT_NOW = _("A part of the system does not answer at this moment. Nothing has been changed; please try again soon.")


async def problem_page(request: Request, problem: Problem) -> Response:
    """The page for a refusal that no page of its own has dealt with; whoever has to sign in is led there."""
    if isinstance(problem, SignInRequired):
        posted = request.method != "GET"
        wanted = form_page(request) if posted else request.url.path
        if not wanted.startswith(("/portal", "/console")):
            return see("/sign-in")
        return see(f"/sign-in?next={wanted}{'&done=form-expired' if posted else ''}")
    try:
        session = await current_session(request)
    except Exception:  # noqa: BLE001 - the database may be what went wrong, and the page must still come
        session = request.state.session = None
    page = await Page.of(request, session)
    heading = _HEADINGS.get(problem.status, _("Something went wrong"))
    explanation = explain(problem, page.reader)
    if isinstance(problem, message.NotFound):
        explanation = page.reader.gettext(_NOT_THERE)
    elif type(problem) is message.NotAccepted:
        explanation = page.reader.gettext(_NOT_NOW)
    elif problem.status >= 500 and not isinstance(problem, message.OutcomeUnknown | Overloaded):
        explanation = page.reader.gettext(_WENT_WRONG)
    again = request.url.path if request.method == "GET" and problem.status >= 500 else ""
    if isinstance(problem, CsrfRefused):
        again = form_page(request)
    if isinstance(problem, CsrfRefused | WrongAccount):
        heading = _HEADINGS[403]
    return page.render(
        "error.html",
        status=problem.status,
        heading=page.reader.gettext(heading),
        explanation=explanation,
        incident=problem.members.get("incident"),
        again=again,
    )


def form_page(request: Request) -> str:
    """The page that a posted form stands on: the nearest address up the path that can be got. Empty when there is none.

    (Browsers do not tell: our referrer policy forbids it, because some addresses hold a secret.)
    """
    pages = [each for each in iter_route_contexts(request.app.routes) if "GET" in (each.methods or ())]
    path = request.url.path
    while path:
        if any(each.path_regex.fullmatch(path) for each in pages):
            return path
        path = path.rpartition("/")[0]
    return ""
