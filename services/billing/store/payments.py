"""The SQL of payments: attempts to collect an invoice, with what only billing knows about them."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from chassis.database import Database, Row, Tx
from chassis.republish import CurrentRow
from contracts.billing import Payment
from contracts.message import InvoiceId, MerchantId, PaymentId, PaymentMethodId
from services.billing.store.copies import Reader
from services.billing.store.reading import Page, page_of, readable

_STATE = """
    id, merchant_id, customer_id, invoice_id, attempt, status, amount, currency, surplus, automatic, payment_method_id,
    amount_refunded, amount_disputed, method, last4, decline, receipt_number, created_at, settled_at
"""
_ALL = f"{_STATE}, command_id, payer, payer_name, correlation_id, account, request, session_id, session_url, intent_id, stripe_method, close_requested, claimed_until"


@dataclass(frozen=True)
class Attempt:
    """A payment and what stays with us: who pressed Pay with which command, and the checkout opened for it.

    `payer` is the actor (`contact:<id>`, or `public` for whoever holds the link); `payer_name` is what others may read.
    `request` is what Stripe was (or will be) asked, kept because its idempotency key must always come with the same body.
    `account` is the connected account that the money goes to; None is the platform's own. `claimed_until`: until then a
    worker was, or is, asking Stripe to charge it; None: nobody ever has. `stripe_method` is Stripe's id of what was paid
    with on the checkout's page.
    """

    payment: Payment
    command_id: str
    payer: str
    payer_name: str
    correlation_id: str
    request: Mapping[str, Any]
    account: str | None = None
    session_id: str | None = None
    session_url: str | None = None
    intent_id: str | None = None
    stripe_method: str | None = None
    close_requested: bool = False
    claimed_until: datetime | None = None

    @property
    def key(self) -> str:
        """The idempotency key under which Stripe opens this attempt's checkout, and no other's."""
        return f"{self.payment.invoice_id}:{self.payment.attempt}"


def payment_state(row: Row) -> Payment:
    """The public state of a row that holds the columns of `_STATE`."""
    values = {name: row[name] for name in Payment.model_fields if name != "deleted"}
    values["decline"] = None if values["decline"] is None else json.loads(values["decline"])
    return Payment.model_validate(values)


def _attempt(row: Row | None) -> Attempt | None:
    return None if row is None else attempt_in(row)


def attempt_in(row: Row) -> Attempt:
    """The attempt of a row that holds all its columns."""
    return Attempt(
        payment_state(row),
        command_id=row["command_id"],
        payer=row["payer"],
        payer_name=row["payer_name"],
        correlation_id=row["correlation_id"],
        request=json.loads(row["request"]),
        account=row["account"],
        session_id=row["session_id"],
        session_url=row["session_url"],
        intent_id=row["intent_id"],
        stripe_method=row["stripe_method"],
        close_requested=row["close_requested"],
        claimed_until=row["claimed_until"],
    )


async def insert_attempt(tx: Tx, attempt: Attempt) -> None:
    """Save a new attempt, at sequence 0: the first announcement makes it 1."""
    payment = attempt.payment
    await tx.execute(
        """
        INSERT INTO payment (id, merchant_id, customer_id, invoice_id, sequence, attempt, status, amount, currency,
                             created_at, settled_at, command_id, payer, payer_name, correlation_id, account, request,
                             automatic, payment_method_id)
        VALUES ($1, $2, $3, $4, 0, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
        """,
        payment.id,
        payment.merchant_id,
        payment.customer_id,
        payment.invoice_id,
        payment.attempt,
        payment.status,
        payment.amount,
        payment.currency,
        payment.created_at,
        payment.settled_at,
        attempt.command_id,
        attempt.payer,
        attempt.payer_name,
        attempt.correlation_id,
        attempt.account,
        json.dumps(attempt.request),
        payment.automatic,
        payment.payment_method_id,
    )


async def save_attempt(tx: Tx, attempt: Attempt) -> int:
    """Write everything that may change after an attempt was made. Returns its new sequence: announce with it, once."""
    payment = attempt.payment
    sequence: int = await tx.fetchval(
        """
        UPDATE payment
        SET status = $3, surplus = $4, method = $5, last4 = $6, decline = $7, receipt_number = $8, settled_at = $9,
            session_id = $10, session_url = $11, intent_id = $12, close_requested = $13, amount_refunded = $14,
            amount_disputed = $15, stripe_method = $16, sequence = sequence + 1
        WHERE merchant_id = $1 AND id = $2
        RETURNING sequence
        """,
        payment.merchant_id,
        payment.id,
        payment.status,
        payment.surplus,
        payment.method,
        payment.last4,
        None if payment.decline is None else to_json(payment.decline).decode(),
        payment.receipt_number,
        payment.settled_at,
        attempt.session_id,
        attempt.session_url,
        attempt.intent_id,
        attempt.close_requested,
        payment.amount_refunded,
        payment.amount_disputed,
        attempt.stripe_method,
    )
    return sequence


async def note_card(tx: Tx, attempt: Attempt) -> None:
    """Remember which card an attempt tries. Not announced: it goes out with the attempt's outcome."""
    payment = attempt.payment
    await tx.execute(
        "UPDATE payment SET method = $2, last4 = $3, stripe_method = $4 WHERE id = $1",
        payment.id,
        payment.method,
        payment.last4,
        attempt.stripe_method,
    )


async def request_close(tx: Tx, payment_id: PaymentId, *, wanted: bool = True) -> None:
    """Ask the closing worker to expire an attempt's checkout at Stripe. Not announced: nothing has changed yet."""
    await tx.execute("UPDATE payment SET close_requested = $2 WHERE id = $1", payment_id, wanted)


async def open_attempt(db: Reader, merchant_id: MerchantId, invoice_id: InvoiceId) -> Attempt | None:
    """The one attempt of an invoice whose checkout may be open."""
    row = await db.fetchrow(
        f"""
        SELECT {_ALL} FROM payment
        WHERE merchant_id = $1 AND invoice_id = $2 AND status IN ('created', 'requires_action', 'unknown')
        """,  # noqa: S608 - constants
        merchant_id,
        invoice_id,
    )
    return _attempt(row)


async def attempt_of_command(db: Reader, invoice_id: InvoiceId, payer: str, command_id: str) -> Attempt | None:
    """The attempt that a command saved when it ran before."""
    row = await db.fetchrow(
        f"SELECT {_ALL} FROM payment WHERE invoice_id = $1 AND payer = $2 AND command_id = $3",  # noqa: S608 - a constant
        invoice_id,
        payer,
        command_id,
    )
    return _attempt(row)


async def attempt(db: Reader, merchant_id: MerchantId, payment_id: PaymentId) -> Attempt | None:
    """A merchant's attempt."""
    row = await db.fetchrow(
        f"SELECT {_ALL} FROM payment WHERE merchant_id = $1 AND id = $2",  # noqa: S608 - a constant
        merchant_id,
        payment_id,
    )
    return _attempt(row)


async def attempt_of_intent(db: Reader, intent_id: str) -> Attempt | None:
    """The attempt, of whichever merchant, whose money this payment intent of Stripe's brought."""
    row = await db.fetchrow(
        f"SELECT {_ALL} FROM payment WHERE intent_id = $1 AND status = 'succeeded'",  # noqa: S608 - a constant
        intent_id,
    )
    return _attempt(row)


async def succeeded(tx: Tx, merchant_id: MerchantId, invoice_id: InvoiceId) -> list[Attempt]:
    """An invoice's payments that brought money, the latest first."""
    rows = await tx.fetch(
        f"""
        SELECT {_ALL} FROM payment
        WHERE merchant_id = $1 AND invoice_id = $2 AND status = 'succeeded' ORDER BY settled_at DESC, attempt DESC
        """,  # noqa: S608 - a constant
        merchant_id,
        invoice_id,
    )
    return [found for row in rows if (found := _attempt(row))]


async def booked_since(db: Database, account: str | None, since: datetime, page: int = 500) -> AsyncIterator[Attempt]:
    """Payments at an account whose money arrived since a moment, oldest first; `page` of them are in memory at a time."""
    after = (since, UUID(int=0))
    while True:
        rows = await db.fetch(
            f"""
            SELECT {_ALL} FROM payment
            WHERE status = 'succeeded' AND account IS NOT DISTINCT FROM $1 AND (settled_at, id) > ($2, $3)
            ORDER BY settled_at, id LIMIT $4
            """,  # noqa: S608 - a constant
            account,
            *after,
            page,
        )
        for attempt in readable("payment", rows, attempt_in):
            yield attempt
        if len(rows) < page:
            return
        after = (rows[-1]["settled_at"], rows[-1]["id"])


async def intent_is_recorded(tx: Tx, intent_id: str) -> bool:
    """Whether the money of this payment intent is in our books."""
    found = await tx.fetchval("SELECT true FROM payment WHERE intent_id = $1 AND status = 'succeeded'", intent_id)
    return bool(found)


async def not_ended(db: Database, before: datetime, after: UUID | None, limit: int) -> Page[Attempt]:
    """Attempts of every merchant made before `before` without an end, in id order, after the given one."""
    rows = await db.fetch(
        f"""
        SELECT {_ALL} FROM payment
        WHERE status IN ('created', 'processing', 'requires_action', 'unknown') AND created_at < $1
          AND ($2::uuid IS NULL OR id > $2)
        ORDER BY id LIMIT $3
        """,  # noqa: S608 - a constant
        before,
        after,
        limit,
    )
    return page_of("payment", rows, attempt_in, limit)


async def claim_charge(db: Database, now: datetime, lease: timedelta) -> Row | None:
    """Take the automatic attempt that waits longest to be charged, for `lease`: a dead worker's is then taken up again.

    Not held by a lock, because no transaction stays open while Stripe is asked. It is the row, for `attempt_in`, so that
    one that cannot be read is known by its `merchant_id` and `id`.
    """
    return await db.fetchrow(
        f"""
        UPDATE payment SET claimed_until = $2
        WHERE id = (
            SELECT id FROM payment
            WHERE automatic AND status = 'created' AND (claimed_until IS NULL OR claimed_until <= $1)
            ORDER BY created_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
        )
        RETURNING {_ALL}
        """,  # noqa: S608 - a constant
        now,
        now + lease,
    )


async def charge_waits(db: Database) -> bool:
    """Whether an automatic attempt is to be charged."""
    return bool(await db.fetchval("SELECT EXISTS (SELECT FROM payment WHERE automatic AND status = 'created')"))


async def last_charge(tx: Tx, invoice_id: InvoiceId) -> Payment | None:
    """The last automatic attempt of an invoice."""
    row = await tx.fetchrow(
        f"SELECT {_STATE} FROM payment WHERE invoice_id = $1 AND automatic ORDER BY attempt DESC LIMIT 1",  # noqa: S608 - a constant
        invoice_id,
    )
    return None if row is None else payment_state(row)


async def methods_charged(tx: Tx, invoice_id: InvoiceId) -> list[PaymentMethodId]:
    """The methods that an invoice was automatically charged to, in that order."""
    rows = await tx.fetch(
        """
        SELECT payment_method_id FROM payment
        WHERE invoice_id = $1 AND automatic AND payment_method_id IS NOT NULL ORDER BY attempt
        """,
        invoice_id,
    )
    return [PaymentMethodId(row["payment_method_id"]) for row in rows]


async def to_close(db: Database, after: UUID | None, limit: int) -> Page[Attempt]:
    """Attempts of every merchant whose checkout is to be expired at Stripe, in id order, after the given one."""
    rows = await db.fetch(
        f"""
        SELECT {_ALL} FROM payment
        WHERE close_requested AND NOT automatic AND ($1::uuid IS NULL OR id > $1) ORDER BY id LIMIT $2
        """,  # noqa: S608 - a constant
        after,
        limit,
    )
    return page_of("payment", rows, attempt_in, limit)


async def every_payment(db: Database) -> AsyncIterator[CurrentRow]:
    """Every merchant's payments with their present sequence, for Republish."""
    after: UUID | None = None
    while True:
        rows = await db.fetch(
            f"SELECT {_STATE}, sequence FROM payment WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT 500",  # noqa: S608 - a constant
            after,
        )
        for row in rows:
            yield CurrentRow(payment_state(row), row["sequence"])
        if not rows:
            return
        after = rows[-1]["id"]


async def bind_checkout(tx: Tx, payment_id: PaymentId, session_id: str, session_url: str | None) -> None:
    """Remember the checkout that was opened for an attempt. Not announced: its URL is for the payer alone."""
    await tx.execute(
        "UPDATE payment SET session_id = $2, session_url = $3 WHERE id = $1", payment_id, session_id, session_url
    )
