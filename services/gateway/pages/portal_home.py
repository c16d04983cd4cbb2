"""A customer's home: what is due, what is to be done, and what happened lately and why."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.gateway import readmodel
from services.gateway.security.doors import ContactSession

from .activity import happenings, news
from .language import gettext_noop as _
from .page import NavEntry, Page

router = APIRouter()
navigation = NavEntry("portal", 10, "/portal", _("Home"), "home")


@router.get("/portal")
async def show(request: Request, session: ContactSession) -> Response:
    """Home, from the read model alone: it loads when every other service is down."""
    viewer = session.viewer
    assert viewer is not None
    page = await Page.of(request, session)
    home = await readmodel.portal_home(
        request.app.state.runtime.db, viewer, today=page.merchants_day, news=news(viewer)
    )
    return page.render(
        "portal_home.html",
        home=home,
        open_count=sum(each.invoices for each in home.due),
        overdue_count=home.overdue,
        activity=happenings(home.lately, viewer, page.reader)[:8],
    )
