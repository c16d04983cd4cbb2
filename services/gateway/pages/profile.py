"""A person's own page, the same for contacts and members: name, language, time zone, and where they are signed in."""

from __future__ import annotations

from functools import lru_cache
from uuid import UUID
from zoneinfo import available_timezones

from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts import identity
from services.gateway import commands, security
from services.gateway.security import Session
from services.gateway.security.doors import AnyAccount

from .forms import Form
from .language import gettext_noop as _
from .page import Page, done
from .rendering import locale_choices

router = APIRouter()
said = {
    "session-ended": _("That device is signed out."),
    "saved": _("Your changes have been saved."),
}


@lru_cache
def time_zones() -> list[tuple[str, str]]:
    """Every time zone of a place, by name, and UTC."""
    places = [
        name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "SystemV/", "US/"))
    ]
    return [("UTC", "UTC"), *((name, name.replace("_", " ")) for name in sorted(places))]


async def _show(request: Request, session: Session, form: Form) -> Response:
    page = await Page.of(request, session)
    db, now = request.app.state.runtime.db, request.app.state.runtime.clock.now()
    return page.render(
        "profile.html",
        status=form.status,
        form=form,
        locales=locale_choices(),
        time_zones=time_zones(),
        sessions=await security.list_sessions(db, session, now),
    )


@router.get("/portal/profile")
@router.get("/console/profile")
async def show(request: Request, session: AnyAccount) -> Response:
    """What we know of the person, and their sessions."""
    language = session.locale.split("-")[0]
    return await _show(
        request, session, Form({"name": session.name, "locale": language, "time_zone": session.time_zone})
    )


@router.post("/portal/profile")
@router.post("/console/profile")
async def save(request: Request, session: AnyAccount) -> Response:
    """Change name, language or time zone."""
    form = await Form.posted(request)
    page = await Page.of(request, session)
    with form.refusals(page.reader):
        order = {name: form.get(name) for name in ("name", "locale", "time_zone")}
        await commands.send(request, identity.UpdatePerson.model_validate(order), id=form.command_id)
        return done(page.profile, "saved")
    return await _show(request, session, form)


@router.post("/portal/profile/sessions/{session_id:uuid}/end")
@router.post("/console/profile/sessions/{session_id:uuid}/end")
async def end(request: Request, session: AnyAccount, session_id: UUID) -> Response:
    """Sign a device out, everywhere within a second."""
    page = await Page.of(request, session)
    await security.revoke_session(request.app.state.runtime.db, session, session_id)
    return done(page.profile, "session-ended")
