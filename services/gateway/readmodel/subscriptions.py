"""Subscriptions and payment plans, and the invoices that they make."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from typing import Literal
from uuid import UUID

from contracts.billing import Invoice, Subscription
from services.gateway.domain import Viewer
from services.gateway.readmodel.lists import FIRST, LAST, PAGE, Page, Reader, from_cursor, newest, state_in

SubscriptionStatus = Literal["pending", "active", "paused", "cancelled", "completed"]


async def subscription(db: Reader, viewer: Viewer, subscription_id: UUID) -> Subscription:
    """One subscription; a contact sees their customer's. Raises NotFound."""
    row = await db.fetchrow(
        """
        SELECT state FROM copy_subscription
        WHERE id = $1 AND merchant_id = $2 AND NOT deleted AND ($3::uuid IS NULL OR customer_id = $3)
        """,
        subscription_id,
        viewer.merchant_id,
        viewer.customer_id,
    )
    return state_in(row, Subscription)


async def subscription_by_link(db: Reader, token_sha256: str) -> Subscription | None:
    """The subscription whose own public URL holds the token with this hash, dead links too."""
    row = await db.fetchrow("SELECT state FROM copy_subscription WHERE link_sha256 = $1 AND NOT deleted", token_sha256)
    if row is None:
        row = await db.fetchrow(
            "SELECT state FROM copy_subscription WHERE earlier_links ? $1 AND earlier_links IS NOT NULL AND NOT deleted",
            token_sha256,
        )
    return None if row is None else state_in(row, Subscription)


async def subscriptions(
    db: Reader,
    viewer: Viewer,
    *,
    statuses: Collection[SubscriptionStatus] = (),
    customer_id: UUID | None = None,
    cursor: str | None = None,
    limit: int = PAGE,
) -> Page[Subscription]:
    """Subscriptions, newest first: those in one of `statuses`, or all. A contact's own customer beats what was asked for."""
    owner = customer_id if viewer.is_member else viewer.customer_id
    if not viewer.is_member and customer_id not in {None, viewer.customer_id}:
        owner = FIRST
    scope = "customer_id = $1" if owner is not None else "$1::uuid IS NULL"
    before = from_cursor(cursor, "subscriptions", UUID) or [LAST]
    rows = await db.fetch(
        f"""
        SELECT id, state FROM copy_subscription
        WHERE {scope} AND merchant_id = $2 AND NOT deleted AND id < $3
          AND ($5::text[] = '{{}}' OR status = ANY($5::text[]))
        ORDER BY id DESC LIMIT $4
        """,  # noqa: S608 - texts of this file alone
        owner,
        viewer.merchant_id,
        *before,
        limit + 1,
        list(statuses),
    )
    return newest(rows, limit, Subscription, "subscriptions")


async def invoices_of(
    db: Reader, viewer: Viewer, subscription_id: UUID, *, cursor: str | None = None, limit: int = PAGE
) -> Page[Invoice]:
    """The invoices that a subscription has made, newest first."""
    before = from_cursor(cursor, "of-subscription", UUID) or [LAST]
    rows = await db.fetch(
        """
        SELECT id, state FROM copy_invoice
        WHERE subscription_id = $1 AND merchant_id = $2 AND ($3::uuid IS NULL OR customer_id = $3)
          AND NOT deleted AND id < $4
        ORDER BY id DESC LIMIT $5
        """,
        subscription_id,
        viewer.merchant_id,
        viewer.customer_id,
        *before,
        limit + 1,
    )
    return newest(rows, limit, Invoice, "of-subscription")


async def past_due(db: Reader, viewer: Viewer, subscription_ids: Sequence[UUID], today: date) -> frozenset[UUID]:
    """Those of the subscriptions that have an open invoice which was due before `today`, and nothing on its way to pay it."""
    if not subscription_ids:
        return frozenset()
    rows = await db.fetch(
        """
        SELECT DISTINCT subscription_id AS id FROM copy_invoice
        WHERE subscription_id = ANY($1::uuid[]) AND subscription_id IS NOT NULL AND merchant_id = $2
          AND status = 'open' AND NOT deleted AND due_on < $3 AND amount_due > amount_processing
        """,
        list(subscription_ids),
        viewer.merchant_id,
        today,
    )
    return frozenset(row["id"] for row in rows)
