"""The merchant's settings: name and branding, support contact, address, defaults."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts import identity
from contracts.billing import ReadStripeAccount, StripeAccount
from contracts.identity import Merchant
from contracts.message import FieldError, InvalidInput, NotFound, Problem
from services.gateway import commands
from services.gateway.security import Session
from services.gateway.security.doors import MemberSession

from .customers import countries
from .forms import Form
from .language import gettext_noop as _
from .lines import currencies
from .page import NavEntry, Page, done
from .profile import time_zones
from .rendering import locale_choices

router = APIRouter()
navigation = NavEntry("console", 30, "/console/settings", _("Settings"), "settings")

MOST_BYTES = 1_000_000
_PATIENCE = 1.0
"""So many seconds the page waits for billing, which alone knows the account at Stripe."""


def _merchant(session: Session) -> Merchant:
    if session.merchant is None:
        raise NotFound
    return session.merchant


async def _show(page: Page, session: Session, form: Form | None = None, logo_form: Form | None = None) -> Response:
    merchant = _merchant(session)
    known = {
        "name": merchant.name,
        "brand_colour": merchant.brand_colour,
        "support_email": merchant.support_email or "",
        "support_phone": merchant.support_phone or "",
        "tax_id": merchant.tax_id or "",
        "locale": merchant.locale.split("-")[0],
        "time_zone": merchant.time_zone,
        "currency": merchant.currency,
        **{f"address.{part}": value for part, value in merchant.address.model_dump().items()},
    }
    shown = form or Form(known)
    other = logo_form or Form()
    return page.render(
        "settings.html",
        status=max(shown.status, other.status),
        form=shown,
        stripe=await _stripe_account(page.request),
        logo_form=other,
        may_change=session.account is not None and session.account.role == "admin",
        countries=countries(page.reader),
        locales=locale_choices(),
        time_zones=time_zones(),
        currencies=currencies(merchant.currency),
    )


async def _stripe_account(request: Request) -> StripeAccount | None:
    """Where the merchant's money goes; None when billing does not say so at once: the settings do not wait for it."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await commands.ask(request, ReadStripeAccount())
    except (Problem, TimeoutError):
        return None


@router.get("/console/settings")
async def show(request: Request, session: MemberSession) -> Response:
    """The settings as they are."""
    return await _show(await Page.of(request, session), session)


def _typed(form: Form) -> dict[str, Any]:
    names = ("name", "support_email", "support_phone", "tax_id", "locale", "time_zone", "currency")
    # Empty is sent as empty: it takes away what may be missing, and is refused where something must stand.
    given = {name: form.get(name).strip() for name in names if name in form.values}
    return given | {"brand_colour": form.get("brand_colour").lower(), "address": form.group("address")}


@router.post("/console/settings")
async def save(request: Request, session: MemberSession) -> Response:
    """Save them."""
    page = await Page.of(request, session)
    form = await Form.posted(request)
    with form.refusals(page.reader):
        await commands.send(request, identity.UpdateMerchant.model_validate(_typed(form)), id=form.command_id)
        return done("/console/settings", "saved")
    return await _show(page, session, form)


@router.post("/console/settings/logo")
async def set_logo(request: Request, session: MemberSession) -> Response:
    """Upload a logo; identity looks at the picture and makes it ours."""
    page = await Page.of(request, session)
    form = await Form.posted(request)
    with form.refusals(page.reader):
        content = await form.files["image"].read(MOST_BYTES + 1) if "image" in form.files else b""
        if not content or len(content) > MOST_BYTES:
            message = page.reader.gettext("Please choose a picture of at most 1 MB.")
            raise InvalidInput(errors=(FieldError(field="image", message=message),))
        image = base64.b64encode(content).decode()
        await commands.send(request, identity.SetLogo(image_base64=image), id=form.command_id)
        return done("/console/settings", "saved")
    return await _show(page, session, logo_form=form)


@router.post("/console/settings/logo/remove")
async def remove_logo(request: Request, session: MemberSession) -> Response:
    """Take the logo away."""
    page = await Page.of(request, session)
    form = await Form.posted(request)
    with form.refusals(page.reader):
        await commands.send(request, identity.SetLogo(image_base64=None), id=form.command_id)
        return done("/console/settings", "saved")
    return await _show(page, session, logo_form=form)
