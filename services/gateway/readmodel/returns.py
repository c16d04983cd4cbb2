"""Money that went back or is held: refunds, disputes, surplus, and how our books compare with Stripe's."""

from __future__ import annotations

from uuid import UUID

from contracts.billing import Dispute, Reconciliation, Refund
from services.gateway.domain import Viewer
from services.gateway.readmodel.lists import LAST, PAGE, Page, Reader, from_cursor, newest, state_in


async def refunds(
    db: Reader, viewer: Viewer, *, invoice_id: UUID | None = None, cursor: str | None = None, limit: int = PAGE
) -> Page[Refund]:
    """Refunds, newest first. A contact sees their customer's."""
    before = from_cursor(cursor, "refunds", UUID) or [LAST]
    about = "AND invoice_id = $5" if invoice_id else "AND $5::uuid IS NULL"
    rows = await db.fetch(
        f"""
        SELECT id, state FROM copy_refund
        WHERE merchant_id = $1 AND ($2::uuid IS NULL OR customer_id = $2) AND NOT deleted AND id < $3 {about}
        ORDER BY id DESC LIMIT $4
        """,  # noqa: S608 - one of two texts that stand right above
        viewer.merchant_id,
        viewer.customer_id,
        *before,
        limit + 1,
        invoice_id,
    )
    return newest(rows, limit, Refund, "refunds")


async def refund(db: Reader, viewer: Viewer, invoice_id: UUID, refund_id: UUID) -> Refund:
    """One refund of an invoice. Raises NotFound."""
    row = await db.fetchrow(
        """
        SELECT state FROM copy_refund
        WHERE id = $1 AND invoice_id = $2 AND merchant_id = $3 AND ($4::uuid IS NULL OR customer_id = $4) AND NOT deleted
        """,
        refund_id,
        invoice_id,
        viewer.merchant_id,
        viewer.customer_id,
    )
    return state_in(row, Refund)


async def disputes(
    db: Reader,
    viewer: Viewer,
    *,
    invoice_id: UUID | None = None,
    status: str | None = None,
    cursor: str | None = None,
    limit: int = PAGE,
) -> Page[Dispute]:
    """Disputes, newest first. Members only: a contact gets none."""
    before = from_cursor(cursor, "disputes", UUID) or [LAST]
    about = "AND invoice_id = $5" if invoice_id else "AND $5::uuid IS NULL"
    rows = await db.fetch(
        f"""
        SELECT id, state FROM copy_dispute
        WHERE merchant_id = $1 AND $2 AND NOT deleted AND id < $3 {about} AND ($6::text IS NULL OR status = $6)
        ORDER BY id DESC LIMIT $4
        """,  # noqa: S608 - one of two texts that stand right above
        viewer.merchant_id,
        viewer.is_member,
        *before,
        limit + 1,
        invoice_id,
        status,
    )
    return newest(rows, limit, Dispute, "disputes")


async def reconciliation(db: Reader, viewer: Viewer) -> Reconciliation | None:
    """The last comparison of the merchant's books with Stripe's; None before the first. Members only."""
    row = await db.fetchrow(
        "SELECT state FROM copy_reconciliation WHERE merchant_id = $1 AND $2 AND NOT deleted",
        viewer.merchant_id,
        viewer.is_member,
    )
    return None if row is None else state_in(row, Reconciliation)
