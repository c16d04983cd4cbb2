"""The merchant's customers: find, add, edit."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts import identity
from contracts.identity import Customer
from services.gateway import commands, readmodel
from services.gateway.security.doors import MemberSession

from .forms import Form
from .language import NOTHING, Reader
from .language import gettext_noop as _
from .page import NavEntry, Page, done
from .profile import time_zones
from .rendering import locale_choices

router = APIRouter()
navigation = NavEntry("console", 20, "/console/customers", _("Customers"), "people")
said = {
    "customer-added": _("The customer has been added."),
}


def countries(reader: Reader) -> list[tuple[str, str]]:
    """ISO 3166-1 countries in the reader's language and order, and none."""
    named = [(code, str(name)) for code, name in reader.locale.territories.items() if re.fullmatch("[A-Z]{2}", code)]
    not_countries = {"EU", "EZ", "UN", "XA", "XB", "ZZ", "QO"}
    return [("", NOTHING), *sorted((each for each in named if each[0] not in not_countries), key=lambda each: each[1])]


@router.get("/console/customers")
async def index(request: Request, session: MemberSession, q: str = "", after: str = "") -> Response:
    """The newest first, or those that a search finds."""
    assert session.viewer is not None
    page = await Page.of(request, session)
    found = await readmodel.customers(
        request.app.state.runtime.db, session.viewer, search=q[:200], cursor=after or None
    )
    return page.render("customers.html", customers=found, q=q[:200])


def _form(page: Page, form: Form, customer: Customer | None) -> Response:
    return page.render(
        "customer_form.html",
        status=form.status,
        form=form,
        customer=customer,
        countries=countries(page.reader),
        locales=locale_choices(),
        time_zones=time_zones(),
    )


def _typed(form: Form) -> dict[str, Any]:
    return {
        "name": form.get("name"),
        "company": form.given("company"),
        "email": form.get("email"),
        "phone": form.given("phone"),
        "billing_address": form.group("billing_address"),
        "tax_ids": [part.strip() for part in form.get("tax_ids").split(",") if part.strip()],
        "locale": form.get("locale") or "en",
        "time_zone": form.get("time_zone") or "UTC",
    }


@router.get("/console/customers/new")
async def new(request: Request, session: MemberSession) -> Response:
    """An empty form with the merchant's defaults."""
    page = await Page.of(request, session)
    merchant = session.merchant
    defaults = {"locale": merchant.locale.split("-")[0], "time_zone": merchant.time_zone} if merchant else {}
    if merchant:
        defaults["billing_address.country"] = merchant.address.country
    return _form(page, Form(defaults), None)


@router.post("/console/customers/new")
async def create(request: Request, session: MemberSession) -> Response:
    """Add the customer and show them."""
    page = await Page.of(request, session)
    form = await Form.posted(request)
    with form.refusals(page.reader):
        order = identity.CreateCustomer.model_validate(_typed(form))
        customer = await commands.send(request, order, id=form.command_id)
        return done(f"/console/customers/{customer.id}", "customer-added")
    return _form(page, form, None)


@router.get("/console/customers/{customer_id:uuid}/edit")
async def edit(request: Request, session: MemberSession, customer_id: UUID) -> Response:
    """The form with what we know."""
    assert session.viewer is not None
    page = await Page.of(request, session)
    customer = await readmodel.customer(request.app.state.runtime.db, session.viewer, customer_id)
    address = customer.billing_address.model_dump() if customer.billing_address else {}
    known = {
        "name": customer.name or "",
        "company": customer.company or "",
        "email": customer.email or "",
        "phone": customer.phone or "",
        "tax_ids": ", ".join(customer.tax_ids),
        "locale": customer.locale.split("-")[0],
        "time_zone": customer.time_zone,
        **{f"billing_address.{part}": value for part, value in address.items()},
    }
    return _form(page, Form(known), customer)


@router.post("/console/customers/{customer_id:uuid}/edit")
async def save(request: Request, session: MemberSession, customer_id: UUID) -> Response:
    """Save the details."""
    assert session.viewer is not None
    page = await Page.of(request, session)
    customer = await readmodel.customer(request.app.state.runtime.db, session.viewer, customer_id)
    form = await Form.posted(request)
    with form.refusals(page.reader):
        # What was emptied is sent as empty: left out, it would stay as it was.
        emptied = {name: "" for name in ("company", "phone") if name in form.values and not form.given(name)}
        order = identity.UpdateCustomer.model_validate(_typed(form) | emptied | {"customer_id": customer_id})
        await commands.send(request, order, id=form.command_id)
        return done(f"/console/customers/{customer_id}", "saved")
    return _form(page, form, customer)
