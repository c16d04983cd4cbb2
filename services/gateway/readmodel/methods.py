"""What customers pay with, as billing mirrors it."""

from __future__ import annotations

from uuid import UUID

from contracts.billing import PaymentMethod
from services.gateway.domain import Viewer
from services.gateway.readmodel.lists import LAST, PAGE, Page, Reader, from_cursor, newest, state_in


async def payment_method(db: Reader, viewer: Viewer, method_id: UUID, *, removed: bool = False) -> PaymentMethod:
    """One payment method that is still there; with `removed` also one that was. Raises NotFound."""
    row = await db.fetchrow(
        """
        SELECT state FROM copy_payment_method
        WHERE id = $1 AND merchant_id = $2 AND ($3::uuid IS NULL OR customer_id = $3) AND ($4 OR NOT deleted)
        """,
        method_id,
        viewer.merchant_id,
        viewer.customer_id,
        removed,
    )
    return state_in(row, PaymentMethod)


async def payment_methods(
    db: Reader, viewer: Viewer, *, customer_id: UUID | None = None, cursor: str | None = None, limit: int = PAGE
) -> Page[PaymentMethod]:
    """Payment methods, newest first: a contact's customer's, or those of the merchant's customers."""
    before = from_cursor(cursor, "payment methods", UUID) or [LAST]
    rows = await db.fetch(
        """
        SELECT id, state FROM copy_payment_method
        WHERE merchant_id = $1 AND ($2::uuid IS NULL OR customer_id = $2) AND ($3::uuid IS NULL OR customer_id = $3)
          AND NOT deleted AND id < $4
        ORDER BY id DESC LIMIT $5
        """,
        viewer.merchant_id,
        viewer.customer_id,
        customer_id,
        *before,
        limit + 1,
    )
    return newest(rows, limit, PaymentMethod, "payment methods")
