"""All SQL of notifications, one function per statement."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic_core import from_json

from chassis.database import Database, Row, Tx
from chassis.republish import CurrentRow
from contracts.identity import Contact, Customer, Logo, Merchant
from contracts.message import CustomerId, MerchantId
from contracts.notifications import Mail
from services.notifications.domain import Verdict

CHANNEL = "mail"
"""Notified when a mail is queued."""

_COLUMNS = """id, sequence, merchant_id, customer_id, template, subject_kind, subject_id, invoice_id, occasion, recipient,
    status, reason, message_id, queued_at, settled_at"""


@dataclass(frozen=True)
class Claimed:
    """A mail that this worker may send while its lease lasts. `event` is the causing event's data."""

    mail: Mail
    event: dict[str, Any]
    correlation_id: str
    tries: int
    lease: UUID


def mail_state(row: Row) -> Mail:
    """The announced state of a row of `mail`."""
    return Mail.model_validate(dict(row))


async def insert_mail(tx: Tx, mail: Mail, event_json: str) -> bool:
    """Queue a mail. False when this logical mail is there already."""
    inserted = await tx.fetchval(
        """
        INSERT INTO mail (id, merchant_id, customer_id, template, subject_kind, subject_id, invoice_id, occasion,
            correlation_id, recipient, message_id, event, queued_at, due_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::jsonb, $13, $13)
        ON CONFLICT (template, subject_id, occasion, recipient) DO NOTHING RETURNING true
        """,
        mail.id,
        mail.merchant_id,
        mail.customer_id,
        mail.template,
        mail.subject_kind,
        mail.subject_id,
        mail.invoice_id,
        mail.occasion,
        tx.cause.correlation_id,
        mail.recipient,
        mail.message_id,
        event_json,
        mail.queued_at,
    )
    return bool(inserted)


async def claim_due_mail(db: Database, lease: UUID, now: datetime, until: datetime) -> Claimed | None:
    """Lease the mail that has been due longest, passing over those that others hold."""
    row = await db.fetchrow(
        f"""
        UPDATE mail SET lease = $1, lease_until = $3
        WHERE id = (
            SELECT id FROM mail
            WHERE status = 'queued' AND due_at <= $2 AND (lease_until IS NULL OR lease_until <= $2)
            ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
        )
        RETURNING {_COLUMNS}, event, correlation_id, tries
        """,  # noqa: S608 - our own column list
        lease,
        now,
        until,
    )
    if row is None:
        return None
    return Claimed(mail_state(row), from_json(row["event"]), row["correlation_id"], row["tries"], lease)


async def begin_sending(db: Database, mail_id: UUID, lease: UUID, now: datetime, until: datetime) -> bool:
    """Mark, in a transaction of its own, that the final dot may go out from now on. False when the lease is not ours."""
    marked = await db.fetchval(
        """
        UPDATE mail SET status = 'sending', lease_until = $4
        WHERE id = $1 AND lease = $2 AND status = 'queued' AND lease_until > $3 RETURNING true
        """,
        mail_id,
        lease,
        now,
        until,
    )
    return bool(marked)


async def settle_mail(tx: Tx, mail_id: UUID, lease: UUID, verdict: Verdict) -> Row | None:
    """Write down what became of a mail; None when somebody else has taken it over or this was written before.

    A mail that was called in doubt while its worker was frozen is settled by that worker's late answer.
    """
    return await tx.fetchrow(
        f"""
        UPDATE mail SET status = $3, reason = $4, tries = $5, due_at = coalesce($6, due_at),
            settled_at = CASE WHEN $3 = 'queued' THEN NULL ELSE $7::timestamptz END,
            sequence = sequence + CASE WHEN $3 = 'queued' THEN 0 ELSE 1 END,
            lease = NULL, lease_until = NULL
        WHERE id = $1 AND lease = $2 AND status IN ('queued', 'sending', 'in_doubt')
        RETURNING {_COLUMNS}
        """,  # noqa: S608 - our own column list
        mail_id,
        lease,
        verdict.status,
        verdict.reason,
        verdict.tries,
        verdict.due_at,
        tx.now,
    )


async def abandoned_mails(db: Database, now: datetime) -> list[Row]:
    """Mails whose worker did not come back from sending: `id`, `merchant_id`, `occasion`, `correlation_id`."""
    return await db.fetch(
        """
        SELECT id, merchant_id, occasion, correlation_id FROM mail
        WHERE status = 'sending' AND lease_until < $1 ORDER BY lease_until LIMIT 100
        """,
        now,
    )


async def doubt_mail(tx: Tx, mail_id: UUID, reason: str) -> Row | None:
    """Call an abandoned mail in doubt. The lease stays: its holder may still come back with the answer."""
    return await tx.fetchrow(
        f"""
        UPDATE mail SET status = 'in_doubt', reason = $3, settled_at = $2, sequence = sequence + 1
        WHERE id = $1 AND status = 'sending' AND lease_until < $2
        RETURNING {_COLUMNS}
        """,  # noqa: S608 - our own column list
        mail_id,
        tx.now,
        reason,
    )


async def every_mail(db: Database) -> AsyncIterator[CurrentRow]:
    """Every mail as it is now, a thousand at a time."""
    after = UUID(int=0)
    while rows := await db.fetch(
        f"SELECT {_COLUMNS} FROM mail WHERE id > $1 ORDER BY id LIMIT 1000",  # noqa: S608 - our own column list
        after,
    ):
        for row in rows:
            yield CurrentRow(mail_state(row), row["sequence"])
        after = rows[-1]["id"]


async def known_merchant(db: Database, merchant_id: MerchantId) -> Merchant | None:
    """The merchant as last heard of."""
    state = await db.fetchval("SELECT state FROM copy_merchant WHERE id = $1", merchant_id)
    return None if state is None else Merchant.model_validate_json(state)


async def known_logo(db: Database, merchant_id: MerchantId) -> Logo | None:
    """The merchant's logo; its aggregate has the merchant's id."""
    state = await db.fetchval("SELECT state FROM copy_logo WHERE id = $1 AND NOT deleted", merchant_id)
    return None if state is None else Logo.model_validate_json(state)


async def known_customer(db: Database | Tx, merchant_id: MerchantId, customer_id: CustomerId) -> Customer | None:
    """The merchant's customer as last heard of; a deleted one has no address any more."""
    state = await db.fetchval(
        "SELECT state FROM copy_customer WHERE merchant_id = $1 AND id = $2", merchant_id, customer_id
    )
    return None if state is None else Customer.model_validate_json(state)


async def active_contacts(tx: Tx, merchant_id: MerchantId, customer_id: CustomerId) -> list[Contact]:
    """The people who may use the customer's portal, oldest first."""
    rows = await tx.fetch(
        """
        SELECT state FROM copy_contact
        WHERE merchant_id = $1 AND customer_id = $2 AND active AND NOT deleted ORDER BY id
        """,
        merchant_id,
        customer_id,
    )
    return [Contact.model_validate_json(row["state"]) for row in rows]


async def money_members(tx: Tx, merchant_id: MerchantId) -> list[str]:
    """The addresses of the members who may give money back: admins and managers, the first who joined first."""
    rows = await tx.fetch(
        """
        SELECT state->>'email' AS email FROM copy_member
        WHERE merchant_id = $1 AND NOT deleted AND state->>'role' IN ('admin', 'manager')
          AND state->>'email' IS NOT NULL
        ORDER BY id
        """,
        merchant_id,
    )
    return [row["email"] for row in rows]


async def next_charges(db: Database, yesterday: date, after: UUID) -> list[Row]:
    """The charges of the next 30 days that no mail has announced: `state`, `notice_days` (null: as the contract has it).

    500 at a time, by the subscription's id. `yesterday` is UTC's: merchants have the next day, that day or the one before.
    """
    return await db.fetch(
        """
        SELECT s.id, s.state, (d.state->>'renewal_notice_days')::integer AS notice_days
        FROM copy_subscription AS s LEFT JOIN copy_defaults AS d ON d.id = s.merchant_id
        WHERE s.state->>'status' = 'active' AND NOT s.deleted
          AND s.state->'next_charge'->>'on' BETWEEN $1::date::text AND ($1::date + 32)::text
          AND s.id > $2
          AND NOT EXISTS (SELECT FROM mail AS m WHERE m.template = 'renewal_ahead' AND m.subject_id = s.id
                          AND m.occasion = 'renewal-' || (s.state->'next_charge'->>'on'))
        ORDER BY s.id LIMIT 500
        """,
        yesterday,
        after,
    )
