"""The SQL of refunds: the public state, and what stays with us."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chassis.database import Database, Row, Tx
from chassis.republish import CurrentRow
from contracts.billing import Refund
from contracts.message import InvoiceId, MerchantId, PaymentId, RefundId
from services.billing.store.copies import Reader
from services.billing.store.reading import Page, page_of, readable

_ALL = "state, account, stripe_id, command_id, correlation_id"


@dataclass(frozen=True)
class Giving:
    """A refund and what only we need to know of it: the account that the money leaves, and Stripe's id once it has one.

    `command_id` is the command that began it; None: it was begun at Stripe.
    """

    refund: Refund
    account: str | None
    correlation_id: str
    command_id: str | None = None
    stripe_id: str | None = None

    @property
    def key(self) -> str:
        """The idempotency key under which Stripe makes this refund, and no other."""
        return f"refund:{self.refund.id}"


def _giving(row: Row | None) -> Giving | None:
    if row is None:
        return None
    return Giving(
        Refund.model_validate_json(row["state"]),
        account=row["account"],
        correlation_id=row["correlation_id"],
        command_id=row["command_id"],
        stripe_id=row["stripe_id"],
    )


async def insert_refund(tx: Tx, giving: Giving) -> None:
    """Save a new refund, at sequence 0: the first announcement makes it 1."""
    refund = giving.refund
    await tx.execute(
        """
        INSERT INTO refund (id, merchant_id, customer_id, invoice_id, payment_id, sequence, status, amount, currency, state,
                            account, stripe_id, command_id, correlation_id, created_at)
        VALUES ($1, $2, $3, $4, $5, 0, $6, $7, $8, $9, $10, $11, $12, $13, $14)
        """,
        refund.id,
        refund.merchant_id,
        refund.customer_id,
        refund.invoice_id,
        refund.payment_id,
        refund.status,
        refund.amount,
        refund.currency,
        refund.model_dump_json(),
        giving.account,
        giving.stripe_id,
        giving.command_id,
        giving.correlation_id,
        refund.created_at,
    )


async def save_refund(tx: Tx, giving: Giving) -> int:
    """Write everything that may change after a refund was begun. Returns its new sequence: announce with it, once."""
    refund = giving.refund
    sequence: int = await tx.fetchval(
        """
        UPDATE refund
        SET status = $3, credit_note_number = $4, state = $5, stripe_id = $6, sequence = sequence + 1
        WHERE merchant_id = $1 AND id = $2
        RETURNING sequence
        """,
        refund.merchant_id,
        refund.id,
        refund.status,
        refund.credit_note_number,
        refund.model_dump_json(),
        giving.stripe_id,
    )
    return sequence


async def refund_of_command(db: Reader, invoice_id: InvoiceId, command_id: str) -> Giving | None:
    """The refund that a command saved when it ran before."""
    row = await db.fetchrow(
        f"SELECT {_ALL} FROM refund WHERE invoice_id = $1 AND command_id = $2",  # noqa: S608 - a constant
        invoice_id,
        command_id,
    )
    return _giving(row)


async def refund(db: Reader, merchant_id: MerchantId, refund_id: RefundId) -> Giving | None:
    """A merchant's refund."""
    row = await db.fetchrow(
        f"SELECT {_ALL} FROM refund WHERE merchant_id = $1 AND id = $2",  # noqa: S608 - a constant
        merchant_id,
        refund_id,
    )
    return _giving(row)


async def refund_at_stripe(db: Reader, stripe_id: str) -> Giving | None:
    """The refund that Stripe knows by this id."""
    row = await db.fetchrow(f"SELECT {_ALL} FROM refund WHERE stripe_id = $1", stripe_id)  # noqa: S608 - a constant
    return _giving(row)


async def refunds_of_payment(db: Database | Tx, payment_id: PaymentId) -> list[Refund]:
    """A payment's refunds that did not fail, oldest first."""
    rows = await db.fetch(
        "SELECT state FROM refund WHERE payment_id = $1 AND status <> 'failed' ORDER BY created_at", payment_id
    )
    return [Refund.model_validate_json(row["state"]) for row in rows]


async def standing_notes(tx: Tx, invoice_id: InvoiceId) -> list[Refund]:
    """An invoice's refunds whose credit note stands: issued, and not failed since."""
    rows = await tx.fetch(
        "SELECT state FROM refund WHERE invoice_id = $1 AND credit_note_number IS NOT NULL AND status <> 'failed'",
        invoice_id,
    )
    return [Refund.model_validate_json(row["state"]) for row in rows]


async def unsent_refunds(db: Database, before: datetime, after: UUID | None, limit: int) -> Page[Giving]:
    """Refunds of every merchant begun before `before` without a word of Stripe's, in id order, after the given one."""
    rows = await db.fetch(
        f"""
        SELECT id, {_ALL} FROM refund
        WHERE status IN ('created', 'unknown') AND stripe_id IS NULL AND created_at < $1
          AND ($2::uuid IS NULL OR id > $2)
        ORDER BY id LIMIT $3
        """,  # noqa: S608 - a constant
        before,
        after,
        limit,
    )
    return page_of("refund", rows, _giving, limit)


async def refunds_booked(db: Database, account: str | None, since: datetime) -> list[tuple[str, Refund]]:
    """Refunds of an account begun since a moment that Stripe has taken: its id, and ours."""
    rows = await db.fetch(
        """
        SELECT id, stripe_id, state FROM refund
        WHERE account IS NOT DISTINCT FROM $1 AND stripe_id IS NOT NULL AND created_at >= $2
        """,
        account,
        since,
    )
    return list(readable("refund", rows, lambda row: (str(row["stripe_id"]), Refund.model_validate_json(row["state"]))))


async def every_refund(db: Database) -> AsyncIterator[CurrentRow]:
    """Every merchant's refunds with their present sequence, for Republish."""
    after: UUID | None = None
    while True:
        rows = await db.fetch(
            "SELECT id, state, sequence FROM refund WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT 500", after
        )
        for row in rows:
            yield CurrentRow(Refund.model_validate_json(row["state"]), row["sequence"])
        if not rows:
            return
        after = rows[-1]["id"]
