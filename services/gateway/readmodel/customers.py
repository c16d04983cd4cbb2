"""Customers, the people who look after them, and the invitations sent to them."""

from __future__ import annotations

import re
from uuid import UUID

from contracts.identity import Contact, Customer, Invitation
from services.gateway.domain import Viewer
from services.gateway.readmodel.lists import LAST, PAGE, Page, Reader, from_cursor, newest, state_in


async def customer(db: Reader, viewer: Viewer, customer_id: UUID) -> Customer:
    """One customer. A contact sees their own alone. Raises NotFound."""
    row = await db.fetchrow(
        """
        SELECT state FROM copy_customer
        WHERE id = $1 AND merchant_id = $2 AND ($3::uuid IS NULL OR id = $3) AND NOT deleted
        """,
        customer_id,
        viewer.merchant_id,
        viewer.customer_id,
    )
    return state_in(row, Customer)


async def customers(
    db: Reader,
    viewer: Viewer,
    *,
    search: str = "",
    archived: bool = False,
    cursor: str | None = None,
    limit: int = PAGE,
) -> Page[Customer]:
    """The merchant's customers, newest first. `search`: words that name, company or e-mail begin words with."""
    before = from_cursor(cursor, "customers", UUID) or [LAST]
    words = re.findall(r"\w+", search.casefold())[:8]
    if search.strip() and not words:
        return Page(())
    found = "AND search @@ to_tsquery('simple', $6)" if words else "AND $6::text IS NULL"
    rows = await db.fetch(
        f"""
        SELECT id, state FROM copy_customer
        WHERE merchant_id = $1 AND ($2::uuid IS NULL OR id = $2) AND NOT deleted AND archived = $3 AND id < $4 {found}
        ORDER BY id DESC LIMIT $5
        """,  # noqa: S608 - one of two texts that stand right above
        viewer.merchant_id,
        viewer.customer_id,
        archived,
        *before,
        limit + 1,
        " & ".join(f"{word}:*" for word in words) or None,
    )
    return newest(rows, limit, Customer, "customers")


async def invitations(db: Reader, viewer: Viewer, customer_id: UUID) -> tuple[Invitation, ...]:
    """The newest twenty invitations of a customer, newest first. Members only: a contact gets none."""
    rows = await db.fetch(
        """
        SELECT state FROM copy_invitation
        WHERE customer_id = $1 AND merchant_id = $2 AND NOT deleted AND $3 ORDER BY id DESC LIMIT 20
        """,
        customer_id,
        viewer.merchant_id,
        viewer.is_member,
    )
    return tuple(state_in(row, Invitation) for row in rows)


async def contacts(db: Reader, viewer: Viewer, customer_id: UUID) -> tuple[Contact, ...]:
    """The people who may use a customer's portal, at most a hundred, the first who joined first."""
    rows = await db.fetch(
        """
        SELECT state FROM copy_contact
        WHERE customer_id = $1 AND merchant_id = $2 AND ($3::uuid IS NULL OR customer_id = $3) AND NOT deleted
        ORDER BY id LIMIT 100
        """,
        customer_id,
        viewer.merchant_id,
        viewer.customer_id,
    )
    return tuple(state_in(row, Contact) for row in rows)
