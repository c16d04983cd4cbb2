"""What customers pay with, as billing mirrors it."""

from __future__ import annotations

from uuid import UUID

from contracts.billing import PaymentMethod
from contracts.message import NotFound
from services.gateway.domain import Viewer
from services.gateway.readmodel.lists import LAST, PAGE, Page, Reader, cut, from_cursor


def _method(row: dict[str, str]) -> PaymentMethod:
    return PaymentMethod.model_validate_json(row["state"])


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
    if row is None:
        raise NotFound
    return _method(row)


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
    return cut(rows, limit, _method, "payment methods", lambda row: [row["id"]])
