"""The SQL of what a person decides: of automatic charges whose outcome is unknown, and that nobody can be asked about."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chassis.database import Database, Tx
from contracts.message import MerchantId, PaymentId
from services.billing.store.copies import Reader
from services.billing.store.payments import Attempt, attempt


@dataclass(frozen=True)
class Decision:
    """What was decided, why and by whom. `intent_id` is the processor's id of the payment that took the money; None: none did."""

    intent_id: str | None
    reason: str
    decided_by: str


async def unknown_charges(db: Database) -> list[dict[str, Any]]:
    """Every merchant's automatic charges of unknown outcome, the oldest first, with what a person needs to look them up."""
    rows = await db.fetch(
        """
        SELECT p.id AS payment_id, p.merchant_id, m.state->>'name' AS merchant, p.customer_id, c.state->>'name' AS customer,
               i.number AS invoice, i.status AS invoice_status, p.attempt, p.amount, p.currency, p.account,
               d.stripe_account AS billed_with_now, p.request->>'customer' AS stripe_customer,
               p.request->>'payment_method' AS stripe_method, p.intent_id, p.invoice_id || ':' || p.attempt AS idempotency_key,
               p.created_at, p.claimed_until
        FROM payment AS p JOIN invoice AS i ON i.id = p.invoice_id
        LEFT JOIN copy_merchant AS m ON m.id = p.merchant_id
        LEFT JOIN copy_customer AS c ON c.id = p.customer_id
        LEFT JOIN billing_defaults AS d ON d.merchant_id = p.merchant_id
        WHERE p.automatic AND p.status = 'unknown' ORDER BY p.created_at, p.id
        """
    )
    return [dict(row) for row in rows]


async def charge(db: Reader, payment_id: UUID) -> Attempt | None:
    """An automatic charge, whichever merchant's."""
    row = await db.fetchrow("SELECT merchant_id FROM payment WHERE id = $1 AND automatic", payment_id)
    return None if row is None else await attempt(db, MerchantId(row["merchant_id"]), PaymentId(payment_id))


async def decision(db: Reader, payment_id: UUID) -> Decision | None:
    """What was decided of a charge; None: nothing was."""
    row = await db.fetchrow(
        "SELECT intent_id, reason, decided_by FROM decided_charge WHERE payment_id = $1", payment_id
    )
    return None if row is None else Decision(row["intent_id"], row["reason"], row["decided_by"])


async def note_decision(tx: Tx, payment_id: PaymentId, decided: Decision) -> None:
    """Record it. It is never changed."""
    await tx.execute(
        """
        INSERT INTO decided_charge (payment_id, intent_id, reason, decided_by, decided_at) VALUES ($1, $2, $3, $4, $5)
        """,
        payment_id,
        decided.intent_id,
        decided.reason,
        decided.decided_by,
        tx.now,
    )


async def payment_with(db: Reader, intent_id: str) -> UUID | None:
    """The payment that this payment of the processor's belongs to in our books."""
    row = await db.fetchrow("SELECT id FROM payment WHERE intent_id = $1", intent_id)
    return None if row is None else row["id"]
