"""Customers, and inviting them to the portal."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field, StringConstraints

from chassis.database import Database
from contracts.identity import ContactRole, CreateCustomer, Phone, SendInvitation, TimeZone, UpdateCustomer
from contracts.message import Address, CustomerId, EmailAddress, FieldError, Flag, InvalidInput, Line, Locale
from services.gateway import readmodel
from services.gateway.api.document import COMMAND, refusals
from services.gateway.api.shapes import (
    Answer,
    AnyViewer,
    Cursor,
    Db,
    Given,
    IdempotencyKey,
    Items,
    Limit,
    done,
    given,
    items,
)
from services.gateway.domain import Viewer
from services.gateway.readmodel.lists import PAGE
from services.gateway.security import AnyAccount, MemberSession, must_be_member, viewer_of

router = APIRouter(tags=["customers"])

TaxIds = Annotated[list[Annotated[str, StringConstraints(max_length=40)]], Field(max_length=10)]


class Customer(Answer):
    """Somebody that the merchant bills."""

    id: UUID
    name: str | None
    company: str | None
    email: str | None
    phone: str | None
    billing_address: Address | None
    tax_ids: list[str]
    locale: str
    time_zone: str
    portal_access: Literal["none", "invited", "active", "disabled"]
    archived: bool
    created_at: datetime


class Invitation(Answer):
    """An invitation to a customer's portal. Its link travels by mail alone."""

    id: UUID
    customer_id: UUID
    email: str | None
    role: ContactRole
    status: Literal["pending", "accepted", "revoked", "expired", "superseded"]
    expires_at: datetime
    created_at: datetime


class NewCustomer(Given):
    """A customer to add."""

    name: Annotated[Line, Field(examples=["Lovelace Engines"])]
    company: Line | None = None
    email: Annotated[EmailAddress, Field(examples=["ada@example.com"])]
    phone: Phone | None = None
    billing_address: Address = Address()
    tax_ids: TaxIds = Field(default_factory=list)
    locale: Locale = "en"
    time_zone: TimeZone = "UTC"


class CustomerChange(Given):
    """What to change; fields that are left out stay."""

    name: Line | None = None
    company: Annotated[str, StringConstraints(max_length=200)] | None = None
    email: EmailAddress | None = None
    phone: Phone | None = None
    billing_address: Address | None = None
    tax_ids: TaxIds | None = None
    locale: Locale | None = None
    time_zone: TimeZone | None = None
    archived: Flag | None = None


class NewInvitation(Given):
    """Whom to invite; by default the customer's own address."""

    email: EmailAddress | None = None
    role: ContactRole = "owner"


async def _managed(db: Db, session: AnyAccount, customer_id: UUID) -> CustomerId:
    """A customer that a member may change: a foreign one is not found, a contact's own is not permitted."""
    await readmodel.customer(db, viewer_of(session), customer_id)
    must_be_member(session)
    return CustomerId(customer_id)


Managed = Annotated[CustomerId, Depends(_managed)]


async def customer_of(db: Database, viewer: Viewer, asked: UUID | None) -> CustomerId:
    """The customer asked for, or a contact's own. Raises NotFound for another's, InvalidInput when none is named."""
    customer_id = asked or viewer.customer_id
    if customer_id is None:
        message = "A member says for which customer."
        raise InvalidInput(message, errors=(FieldError(field="customer_id", message=message, code="missing"),))
    await readmodel.customer(db, viewer, customer_id)
    return CustomerId(customer_id)


@router.get(
    "/customers",
    operation_id="listCustomers",
    summary="The merchant's customers, newest first",
    responses=refusals(403),
)
async def index(
    db: Db,
    viewer: AnyViewer,
    _session: MemberSession,
    q: Annotated[str, Query(max_length=200, description="Words that name, company or e-mail begin words with.")] = "",
    archived: bool = False,
    cursor: Cursor = None,
    limit: Limit = PAGE,
) -> Items[Customer]:
    """Members only."""
    found = await readmodel.customers(db, viewer, search=q, archived=archived, cursor=cursor, limit=limit)
    return items(found, Customer)


@router.post(
    "/customers",
    operation_id="createCustomer",
    summary="Add a customer",
    status_code=201,
    responses=refusals(*COMMAND, 409),
)
async def create(request: Request, body: NewCustomer, _session: MemberSession, key: IdempotencyKey) -> Customer:
    """Nobody is invited by this."""
    return await done(request, CreateCustomer(**body.fields()), key, Customer)


@router.get("/customers/{customer_id}", operation_id="readCustomer", summary="One customer", responses=refusals(404))
async def read(db: Db, viewer: AnyViewer, customer_id: UUID) -> Customer:
    """A contact reads their own."""
    return Customer.model_validate(await readmodel.customer(db, viewer, customer_id))


@router.patch(
    "/customers/{customer_id}",
    operation_id="changeCustomer",
    summary="Change a customer's details",
    responses=refusals(*COMMAND, 404, 409),
)
async def change(request: Request, customer_id: Managed, body: CustomerChange, key: IdempotencyKey) -> Customer:
    """Members only."""
    return await done(request, UpdateCustomer(customer_id=customer_id, **body.fields()), key, Customer)


@router.post(
    "/customers/{customer_id}/invitations",
    operation_id="inviteCustomer",
    summary="Send Invite",
    status_code=201,
    responses=refusals(*COMMAND, 404, 409),
)
async def invite(
    request: Request, customer_id: Managed, key: IdempotencyKey, body: NewInvitation | None = None
) -> Invitation:
    """Mail an invitation to the portal; a pending one to the same address no longer works then. Members only."""
    return await done(request, SendInvitation(customer_id=customer_id, **given(body)), key, Invitation)
