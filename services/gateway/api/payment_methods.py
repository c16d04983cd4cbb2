"""Payment methods: what a customer pays with. Card numbers are typed on the payment provider's page, never here."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from contracts.billing import (
    AddPaymentMethod,
    RemovePaymentMethod,
    SetDefaultPaymentMethod,
    UpdatePaymentMethod,
)
from contracts.message import Count, EmailAddress, FieldError, Flag, InvalidInput, Line, PaymentMethodId
from services.gateway import commands, readmodel
from services.gateway.api.customers import customer_of
from services.gateway.api.document import COMMAND, refusals
from services.gateway.api.shapes import (
    EXAMPLE,
    Answer,
    AnyViewer,
    Cursor,
    Db,
    Given,
    IdempotencyKey,
    Items,
    Limit,
    OfCustomer,
    done,
    items,
)
from services.gateway.readmodel.lists import PAGE

router = APIRouter(tags=["payment methods"])

Path = Annotated[str, Field(pattern=r"^/[A-Za-z0-9_\-/.?=&]*$", max_length=500)]


class PaymentMethod(Answer):
    """A card or a bank account that a customer is charged with. `failure` says why one does not work."""

    id: UUID
    customer_id: UUID
    kind: str
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    is_default: bool
    in_use: bool
    working: bool
    failure: str | None
    billing_name: str | None
    billing_email: str | None
    billing_country: str | None
    added_at: datetime


class NewPaymentMethod(Given):
    """Where the browser is to come back to. A member says for which customer."""

    customer_id: Annotated[UUID | None, Field(examples=[EXAMPLE])] = None
    return_path: Annotated[Path, Field(examples=["/portal/payment-methods"])] = "/portal/payment-methods"


class SetupPage(Answer):
    """The provider's page on which the customer gives the payment method, good for a day at most."""

    setup_url: str


class PaymentMethodChange(Given):
    """What to change; fields that are left out stay, null clears. `default`: true charges this one from now on."""

    exp_month: Annotated[Count | None, Field(ge=1, le=12)] = None
    exp_year: Annotated[Count | None, Field(ge=2000, le=2100)] = None
    billing_name: Line | None = None
    billing_email: EmailAddress | None = None
    billing_country: Annotated[str | None, Field(pattern=r"^[A-Z]{2}$")] = None
    default: Annotated[Flag | None, Field(description="Only true means anything, and it goes alone.")] = None


class Removal(Given):
    """Which method takes the place of the removed one; needed while subscriptions charge it."""

    replacement_id: Annotated[UUID | None, Field(examples=[EXAMPLE])] = None


@router.get("/payment-methods", operation_id="listPaymentMethods", summary="Payment methods, newest first")
async def index(
    db: Db, viewer: AnyViewer, customer_id: OfCustomer = None, cursor: Cursor = None, limit: Limit = PAGE
) -> Items[PaymentMethod]:
    """A contact sees their customer's, a member those of all customers."""
    found = await readmodel.payment_methods(db, viewer, customer_id=customer_id, cursor=cursor, limit=limit)
    return items(found, PaymentMethod)


@router.post(
    "/payment-methods",
    operation_id="addPaymentMethod",
    summary="Open the page on which a payment method is given",
    status_code=201,
    responses=refusals(*COMMAND, 404, 409),
)
async def add(request: Request, db: Db, viewer: AnyViewer, body: NewPaymentMethod, key: IdempotencyKey) -> SetupPage:
    """The method appears once it was given there; pressing again resumes the same page."""
    whose = await customer_of(db, viewer, body.customer_id)
    return await done(request, AddPaymentMethod(customer_id=whose, return_path=body.return_path), key, SetupPage)


async def _seen(db: Db, viewer: AnyViewer, payment_method_id: UUID) -> PaymentMethodId:
    """A method of theirs. Whether it is still there is for billing to say: what comes again gets its first reply."""
    await readmodel.payment_method(db, viewer, payment_method_id, removed=True)
    return PaymentMethodId(payment_method_id)


Seen = Annotated[PaymentMethodId, Depends(_seen)]


@router.get(
    "/payment-methods/{payment_method_id}",
    operation_id="readPaymentMethod",
    summary="One payment method",
    responses=refusals(404),
)
async def read(db: Db, viewer: AnyViewer, payment_method_id: UUID) -> PaymentMethod:
    """As it stands now."""
    return PaymentMethod.model_validate(await readmodel.payment_method(db, viewer, payment_method_id))


@router.patch(
    "/payment-methods/{payment_method_id}",
    operation_id="changePaymentMethod",
    summary="Change a card's expiry or the billing details, or make it the default",
    responses=refusals(*COMMAND, 404, 409),
)
async def change(
    request: Request, payment_method_id: Seen, body: PaymentMethodChange, key: IdempotencyKey
) -> PaymentMethod:
    """Owners and those for billing, and admins and managers of the merchant."""
    given = body.fields()
    if "default" not in given:
        order = UpdatePaymentMethod(payment_method_id=payment_method_id, **given)
        return await done(request, order, key, PaymentMethod)
    if given != {"default": True}:
        message = "Give `default: true` alone, or leave it out."
        raise InvalidInput(message, errors=(FieldError(field="default", message=message),))
    return await set_default(request, payment_method_id, key)


@router.post(
    "/payment-methods/{payment_method_id}/default",
    operation_id="setDefaultPaymentMethod",
    summary="Charge this one from now on",
    responses=refusals(*COMMAND, 404, 409),
)
async def set_default(request: Request, payment_method_id: Seen, key: IdempotencyKey) -> PaymentMethod:
    """What could not be charged is charged to it at once."""
    return await done(request, SetDefaultPaymentMethod(payment_method_id=payment_method_id), key, PaymentMethod)


@router.delete(
    "/payment-methods/{payment_method_id}",
    operation_id="removePaymentMethod",
    summary="Remove a payment method",
    status_code=204,
    responses=refusals(*COMMAND, 404, 409),
)
async def remove(request: Request, payment_method_id: Seen, key: IdempotencyKey, body: Removal | None = None) -> None:
    """In use by subscriptions: `replacement_id` takes its place, and is the default if this one was."""
    replacement = body.replacement_id if body else None
    order = RemovePaymentMethod(
        payment_method_id=payment_method_id,
        replacement_id=PaymentMethodId(replacement) if replacement else None,
    )
    await commands.send(request, order, id=key)
