"""The SQL of invoices and of the numbers they get."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import to_json

from chassis.database import Database, Row, Tx
from chassis.republish import CurrentRow
from contracts.billing import Invoice
from contracts.message import InvoiceId, MerchantId
from services.billing.store.copies import Reader

_STATE = """
    id, merchant_id, customer_id, kind, status, number, currency, lines, tax_inclusive, subtotal, tax_lines, tax, total,
    amount_paid, amount_processing, due_on, memo, seller, buyer, link, being_paid, last_decline, receipts,
    subscription_id, period, instalment, collection, allow_partial, amount_refunded, amount_disputed, credit_notes,
    replaces, created_at, opened_at, paid_at, closed_at
"""
_JSON = (
    "lines",
    "tax_lines",
    "seller",
    "buyer",
    "link",
    "being_paid",
    "last_decline",
    "receipts",
    "period",
    "collection",
    "credit_notes",
)


def invoice_state(row: Row) -> Invoice:
    """The public state of a row that holds the columns of `_STATE`."""
    values: dict[str, Any] = {name: row[name] for name in Invoice.model_fields if name not in ("amount_due", "deleted")}
    for name in _JSON:
        values[name] = None if values[name] is None else json.loads(values[name])
    return Invoice.model_validate({**values, "amount_due": row["total"] - row["amount_paid"]})


async def insert_invoice(tx: Tx, invoice: Invoice, charge_number: int | None = None) -> bool:
    """Save a new draft, at sequence 0: the first announcement makes it 1.

    `charge_number` says which of its subscription's charges it is, from 1. False: that charge has its invoice already.
    """
    inserted = await tx.fetchval(
        """
        INSERT INTO invoice (id, merchant_id, customer_id, sequence, kind, status, currency, lines, tax_inclusive, subtotal,
                             tax_lines, tax, total, due_on, memo, created_at, subscription_id, charge_number, period,
                             instalment, collection, allow_partial, replaces)
        VALUES ($1, $2, $3, 0, $4, 'draft', $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
        ON CONFLICT (subscription_id, charge_number) DO NOTHING
        RETURNING true
        """,
        invoice.id,
        invoice.merchant_id,
        invoice.customer_id,
        invoice.kind,
        invoice.currency,
        _jsonb(invoice.lines),
        invoice.tax_inclusive,
        invoice.subtotal,
        _jsonb(invoice.tax_lines),
        invoice.tax,
        invoice.total,
        invoice.due_on,
        invoice.memo,
        invoice.created_at,
        invoice.subscription_id,
        charge_number,
        _jsonb(invoice.period),
        invoice.instalment,
        _jsonb(invoice.collection),
        invoice.allow_partial,
        invoice.replaces,
    )
    return bool(inserted)


async def save_invoice(tx: Tx, invoice: Invoice) -> int:
    """Write everything that may change after an invoice was made. Returns its new sequence: announce with it, once."""
    sequence: int = await tx.fetchval(
        """
        UPDATE invoice
        SET status = $3, number = $4, amount_paid = $5, amount_processing = $6, seller = $7, buyer = $8, link = $9,
            being_paid = $10, last_decline = $11, receipts = $12, opened_at = $13, paid_at = $14, closed_at = $15,
            period = $16, collection = $17, next_try_at = $18, amount_refunded = $19, amount_disputed = $20,
            credit_notes = $21, sequence = sequence + 1
        WHERE merchant_id = $1 AND id = $2
        RETURNING sequence
        """,
        invoice.merchant_id,
        invoice.id,
        invoice.status,
        invoice.number,
        invoice.amount_paid,
        invoice.amount_processing,
        _jsonb(invoice.seller),
        _jsonb(invoice.buyer),
        _jsonb(invoice.link),
        _jsonb(invoice.being_paid),
        _jsonb(invoice.last_decline),
        _jsonb(invoice.receipts),
        invoice.opened_at,
        invoice.paid_at,
        invoice.closed_at,
        _jsonb(invoice.period),
        _jsonb(invoice.collection),
        invoice.collection.next_try_at if invoice.collection and invoice.status == "open" else None,
        invoice.amount_refunded,
        invoice.amount_disputed,
        _jsonb(invoice.credit_notes),
    )
    return sequence


async def lock_invoice(tx: Tx, merchant_id: MerchantId, invoice_id: InvoiceId) -> Invoice | None:
    """A merchant's invoice, locked until the transaction ends: whatever happens to its payments waits in line here."""
    row = await tx.fetchrow(
        f"SELECT {_STATE} FROM invoice WHERE merchant_id = $1 AND id = $2 FOR UPDATE",  # noqa: S608 - a constant
        merchant_id,
        invoice_id,
    )
    return None if row is None else invoice_state(row)


async def invoice(db: Reader, merchant_id: MerchantId, invoice_id: InvoiceId) -> Invoice | None:
    """A merchant's invoice, to look at."""
    row = await db.fetchrow(
        f"SELECT {_STATE} FROM invoice WHERE merchant_id = $1 AND id = $2",  # noqa: S608 - a constant
        merchant_id,
        invoice_id,
    )
    return None if row is None else invoice_state(row)


async def link_generation(db: Reader, invoice_id: InvoiceId) -> int:
    """Which of its links an invoice has now; a replaced link is a new generation."""
    row = await db.fetchrow("SELECT link_generation FROM invoice WHERE id = $1", invoice_id)
    assert row is not None
    generation: int = row["link_generation"]
    return generation


async def next_link(tx: Tx, invoice_id: InvoiceId) -> int:
    """Begin a new generation of the invoice's link: the token of the one before is dead."""
    generation: int = await tx.fetchval(
        "UPDATE invoice SET link_generation = link_generation + 1 WHERE id = $1 RETURNING link_generation", invoice_id
    )
    return generation


async def next_attempt(tx: Tx, invoice_id: InvoiceId) -> int:
    """Number the next attempt to collect. Its caller holds the invoice's lock."""
    number: int = await tx.fetchval(
        "UPDATE invoice SET last_attempt = last_attempt + 1 WHERE id = $1 RETURNING last_attempt", invoice_id
    )
    return number


async def next_number(tx: Tx, merchant_id: MerchantId, kind: Literal["invoice", "receipt", "credit_note"]) -> int:
    """The merchant's next number. Take it last: everyone else's next number waits until this transaction ends."""
    number: int = await tx.fetchval(
        """
        INSERT INTO counter (merchant_id, kind, last) VALUES ($1, $2, 1)
        ON CONFLICT (merchant_id, kind) DO UPDATE SET last = counter.last + 1
        RETURNING last
        """,
        merchant_id,
        kind,
    )
    return number


def _jsonb(value: BaseModel | Sequence[BaseModel] | None) -> str | None:
    return None if value is None else to_json(value).decode()


async def every_invoice(db: Database) -> AsyncIterator[CurrentRow]:
    """Every merchant's invoices with their present sequence, for Republish."""
    after: UUID | None = None
    while True:
        rows = await db.fetch(
            f"SELECT {_STATE}, sequence FROM invoice WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT 500",  # noqa: S608 - a constant
            after,
        )
        for row in rows:
            yield CurrentRow(invoice_state(row), row["sequence"])
        if not rows:
            return
        after = rows[-1]["id"]
