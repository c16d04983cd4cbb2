"""Subscriptions and payment plans as they stand."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends

from contracts.billing import (
    Instalment,
    Interval,
    LineItem,
    Period,
    PlannedCharge,
    TaxLine,
)
from contracts.message import SubscriptionId
from services.gateway import readmodel
from services.gateway.api.document import refusals
from services.gateway.api.invoices import Invoice
from services.gateway.api.links import Link
from services.gateway.api.shapes import (
    Answer,
    AnyViewer,
    Cursor,
    Db,
    InState,
    Items,
    Limit,
    OfCustomer,
    items,
)
from services.gateway.readmodel.lists import PAGE
from services.gateway.readmodel.subscriptions import SubscriptionStatus
from services.gateway.security import AnyAccount, must_be_member

router = APIRouter(tags=["subscriptions"])


class Subscription(Answer):
    """A repeated charge, or a payment plan, in minor units of `currency`. Days are days of the merchant's time zone.

    It is past due while one of its invoices (`GET .../invoices`) is open after its `due_on`.
    """

    id: UUID
    customer_id: UUID
    kind: Literal["recurring", "payment_plan"]
    status: SubscriptionStatus
    title: str
    currency: str
    lines: list[LineItem]
    tax_inclusive: bool
    subtotal: int
    tax_lines: list[TaxLine]
    tax: int
    total: int
    interval: Interval | None
    starts_on: date | None
    trial_days: int
    trial_ends_on: date | None
    ends_after: int | None
    ends_on: date | None
    instalments: list[Instalment]
    anchor_on: date | None
    current_period: Period | None
    charges_made: int
    charges_paid: int
    next_charge: PlannedCharge | None
    pause_on: date | None
    paused_on: date | None
    resumes_on: date | None
    cancel_on: date | None
    cancel_reason: str | None
    cancelled_by: Literal["customer", "merchant", "collection", "archiving"] | None
    ended_on: date | None
    allow_customer_cancel: bool
    allow_customer_pause: bool
    minimum_payments: int
    after_last_retry: Literal["cancel", "keep"]
    plan_on_cancel: Literal["owe", "waive", "ask"]
    payment_method_id: UUID | None
    link: Link | None
    first_invoice_id: UUID | None
    memo: str | None
    created_at: datetime
    accepted_at: datetime | None
    ended_at: datetime | None


async def _seen(db: Db, viewer: AnyViewer, subscription_id: UUID) -> SubscriptionId:
    """A subscription that this session may see. Raises NotFound."""
    await readmodel.subscription(db, viewer, subscription_id)
    return SubscriptionId(subscription_id)


Seen = Annotated[SubscriptionId, Depends(_seen)]


async def _seen_by_member(subscription_id: Seen, session: AnyAccount) -> SubscriptionId:
    must_be_member(session)
    return subscription_id


SeenByMember = Annotated[SubscriptionId, Depends(_seen_by_member)]


@router.get("/subscriptions", operation_id="listSubscriptions", summary="Subscriptions and payment plans, newest first")
async def index(
    db: Db,
    viewer: AnyViewer,
    status: InState[SubscriptionStatus] = None,
    customer_id: OfCustomer = None,
    cursor: Cursor = None,
    limit: Limit = PAGE,
) -> Items[Subscription]:
    """A contact sees their customer's."""
    wanted = (status,) if status else ()
    found = await readmodel.subscriptions(
        db, viewer, statuses=wanted, customer_id=customer_id, cursor=cursor, limit=limit
    )
    return items(found, Subscription)


@router.get(
    "/subscriptions/{subscription_id}",
    operation_id="readSubscription",
    summary="One subscription or payment plan",
    responses=refusals(404),
)
async def read(db: Db, viewer: AnyViewer, subscription_id: UUID) -> Subscription:
    """As it stands now."""
    return Subscription.model_validate(await readmodel.subscription(db, viewer, subscription_id))


@router.get(
    "/subscriptions/{subscription_id}/invoices",
    operation_id="listSubscriptionInvoices",
    summary="Its invoices, newest first",
    responses=refusals(404),
)
async def invoices(
    db: Db, viewer: AnyViewer, subscription_id: Seen, cursor: Cursor = None, limit: Limit = PAGE
) -> Items[Invoice]:
    """One for each period or instalment that was charged."""
    return items(await readmodel.invoices_of(db, viewer, subscription_id, cursor=cursor, limit=limit), Invoice)
