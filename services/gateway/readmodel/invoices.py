"""Invoices and payments."""

from __future__ import annotations

from datetime import date
from typing import Literal
from uuid import UUID

from contracts.billing import Invoice, Payment
from services.gateway.domain import Viewer
from services.gateway.readmodel.lists import FIRST, LAST, PAGE, Page, Reader, cut, from_cursor, newest, state_in

Status = Literal["draft", "open", "paid", "void", "uncollectible"]


def _scope(viewer: Viewer, customer_id: UUID | None) -> tuple[str, UUID]:
    """The condition on whose invoices these are, as $1; an index begins with either column.

    A contact's own customer beats what was asked for: asking for another's shows nothing.
    """
    if viewer.customer_id is not None:
        own = viewer.customer_id if customer_id in {None, viewer.customer_id} else FIRST
        return "customer_id = $1 AND merchant_id = $2 AND status <> 'draft'", own
    if customer_id is not None:
        return "customer_id = $1 AND merchant_id = $2", customer_id
    return "merchant_id = $1 AND merchant_id = $2", viewer.merchant_id


async def invoice(db: Reader, viewer: Viewer, invoice_id: UUID) -> Invoice:
    """One invoice. A contact sees their customer's, and no drafts. Raises NotFound."""
    row = await db.fetchrow(
        """
        SELECT state FROM copy_invoice
        WHERE id = $1 AND merchant_id = $2 AND NOT deleted
          AND ($3::uuid IS NULL OR (customer_id = $3 AND status <> 'draft'))
        """,
        invoice_id,
        viewer.merchant_id,
        viewer.customer_id,
    )
    return state_in(row, Invoice)


async def invoice_by_link(db: Reader, token_sha256: str) -> Invoice | None:
    """The invoice whose public URL holds the token with this hash, dead links too: the page says what to do instead."""
    row = await db.fetchrow("SELECT state FROM copy_invoice WHERE link_sha256 = $1 AND NOT deleted", token_sha256)
    if row is None:
        row = await db.fetchrow(
            "SELECT state FROM copy_invoice WHERE earlier_links ? $1 AND earlier_links IS NOT NULL AND NOT deleted",
            token_sha256,
        )
    return None if row is None else state_in(row, Invoice)


async def invoices(
    db: Reader,
    viewer: Viewer,
    *,
    status: Status | None = None,
    customer_id: UUID | None = None,
    cursor: str | None = None,
    limit: int = PAGE,
) -> Page[Invoice]:
    """Invoices, newest first."""
    scope, owner = _scope(viewer, customer_id)
    before = from_cursor(cursor, "invoices", UUID) or [LAST]
    wanted = "AND status = $5" if status else "AND $5::text IS NULL"
    rows = await db.fetch(
        f"""
        SELECT id, state FROM copy_invoice
        WHERE {scope} AND NOT deleted AND id < $3 {wanted} ORDER BY id DESC LIMIT $4
        """,  # noqa: S608 - texts of this file alone
        owner,
        viewer.merchant_id,
        *before,
        limit + 1,
        status,
    )
    return newest(rows, limit, Invoice, "invoices")


async def open_invoices(
    db: Reader,
    viewer: Viewer,
    *,
    customer_id: UUID | None = None,
    due_before: date | None = None,
    cursor: str | None = None,
    limit: int = PAGE,
) -> Page[Invoice]:
    """Open invoices, the earliest due first; with `due_before` (today where the merchant is) only the overdue ones."""
    scope, owner = _scope(viewer, customer_id)
    after = from_cursor(cursor, "due", date, UUID) or [date.min, FIRST]
    rows = await db.fetch(
        f"""
        SELECT id, due_on, state FROM copy_invoice
        WHERE {scope} AND status = 'open' AND NOT deleted AND (due_on, id) > ($3, $4) AND due_on < $6
        ORDER BY due_on, id LIMIT $5
        """,  # noqa: S608 - texts of this file alone
        owner,
        viewer.merchant_id,
        *after,
        limit + 1,
        due_before or date.max,
    )
    return cut(rows, limit, lambda row: state_in(row, Invoice), "due", lambda row: [row["due_on"], row["id"]])


async def payments(
    db: Reader,
    viewer: Viewer,
    *,
    invoice_id: UUID | None = None,
    customer_id: UUID | None = None,
    cursor: str | None = None,
    limit: int = PAGE,
) -> Page[Payment]:
    """Attempts to collect, newest first."""
    scope, owner = _scope(viewer, customer_id)
    before = from_cursor(cursor, "payments", UUID) or [LAST]
    about = "AND invoice_id = $5" if invoice_id else "AND $5::uuid IS NULL"
    rows = await db.fetch(
        f"""
        SELECT id, state FROM copy_payment
        WHERE {scope} AND NOT deleted AND id < $3 {about} ORDER BY id DESC LIMIT $4
        """,  # noqa: S608 - texts of this file alone
        owner,
        viewer.merchant_id,
        *before,
        limit + 1,
        invoice_id,
    )
    return newest(rows, limit, Payment, "payments")
