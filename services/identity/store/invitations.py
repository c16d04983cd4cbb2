from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chassis.database import Database, Row, Tx
from chassis.republish import CurrentRow
from contracts.identity import Invitation
from contracts.message import MerchantId, NotFound
from services.identity.store.paging import every_row

_COLUMNS = """invitation.id, invitation.sequence, invitation.merchant_id, invitation.customer_id, invitation.email,
    invitation.role, invitation.origin, invitation.status, invitation.invited_by, invitation.expires_at,
    invitation.created_at, invitation.accepted_at"""
_FOUND = f"""SELECT {_COLUMNS}, merchant.name AS merchant_name, customer.name AS customer_name,
        customer.email AS customer_email, customer.locale AS customer_locale,
        customer.time_zone AS customer_time_zone, customer.archived OR customer.portal_access = 'disabled' AS shut_out,
        EXISTS (SELECT FROM person WHERE lower(person.email) = lower(invitation.email)) AS has_account
    FROM invitation
    JOIN merchant ON merchant.id = invitation.merchant_id
    JOIN customer ON customer.id = invitation.customer_id"""  # noqa: S608 - our own column list


@dataclass(frozen=True)
class Found:
    """An invitation and what a mail or page about it says. `shut_out`: its customer may not use the portal at all."""

    invitation: Invitation
    merchant_name: str
    customer_name: str
    customer_email: str
    customer_locale: str
    customer_time_zone: str
    shut_out: bool
    has_account: bool


def invitation_state(row: Row) -> Invitation:
    """The public state of a row of `invitation`."""
    return Invitation(**dict(row))


async def find_by_token(db: Database | Tx, token_digest: str) -> Found | None:
    """The invitation that a link belongs to."""
    row = await db.fetchrow(f"{_FOUND} WHERE invitation.token_digest = $1", token_digest)
    return None if row is None else _found(row)


async def find_by_id(db: Database | Tx, merchant_id: MerchantId, invitation_id: UUID) -> Found:
    """The merchant's invitation. Raises NotFound."""
    row = await db.fetchrow(
        f"{_FOUND} WHERE invitation.merchant_id = $1 AND invitation.id = $2", merchant_id, invitation_id
    )
    if row is None:
        raise NotFound
    return _found(row)


def _found(row: Row) -> Found:
    return Found(
        invitation_state(row),
        row["merchant_name"],
        row["customer_name"],
        row["customer_email"],
        row["customer_locale"],
        row["customer_time_zone"],
        row["shut_out"],
        row["has_account"],
    )


async def lock_invitation(tx: Tx, merchant_id: MerchantId, invitation_id: UUID) -> Invitation:
    """The merchant's invitation, nobody else changing it until the transaction ends. Raises NotFound."""
    row = await tx.fetchrow(
        f"SELECT {_COLUMNS} FROM invitation WHERE merchant_id = $1 AND id = $2 FOR UPDATE",  # noqa: S608 - our own column list
        merchant_id,
        invitation_id,
    )
    if row is None:
        raise NotFound
    return invitation_state(row)


async def lock_pending(tx: Tx, customer_id: UUID, email: str | None = None) -> list[Invitation]:
    """A customer's pending invitations, all of them or those of one address, locked."""
    rows = await tx.fetch(
        f"""
        SELECT {_COLUMNS} FROM invitation
        WHERE customer_id = $1 AND status = 'pending' AND ($2::text IS NULL OR lower(email) = lower($2))
        ORDER BY id FOR UPDATE
        """,  # noqa: S608 - our own column list
        customer_id,
        email,
    )
    return [invitation_state(row) for row in rows]


async def lock_due(tx: Tx, now: datetime, limit: int) -> list[Invitation]:
    """Pending invitations whose time is over, oldest first; those that somebody else holds are left to them."""
    rows = await tx.fetch(
        f"""
        SELECT {_COLUMNS} FROM invitation WHERE status = 'pending' AND expires_at <= $1
        ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
        """,  # noqa: S608 - our own column list
        now,
        limit,
    )
    return [invitation_state(row) for row in rows]


async def latest_of_address(tx: Tx, customer_id: UUID, email: str) -> Invitation:
    """The newest invitation that an address was sent for a customer. Raises NotFound when it was sent none."""
    row = await tx.fetchrow(
        f"""
        SELECT {_COLUMNS} FROM invitation WHERE customer_id = $1 AND lower(email) = lower($2)
        ORDER BY id DESC LIMIT 1
        """,  # noqa: S608 - our own column list
        customer_id,
        email,
    )
    if row is None:
        raise NotFound
    return invitation_state(row)


async def insert_invitation(tx: Tx, invitation: Invitation, token_digest: str) -> None:
    """Keep a new invitation, at sequence 1. Its address must have no pending one of this customer."""
    await tx.execute(
        """
        INSERT INTO invitation (id, merchant_id, customer_id, email, role, origin, status, invited_by, token_digest,
                                expires_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        """,
        invitation.id,
        invitation.merchant_id,
        invitation.customer_id,
        invitation.email,
        invitation.role,
        invitation.origin,
        invitation.status,
        invitation.invited_by,
        token_digest,
        invitation.expires_at,
        invitation.created_at,
    )


async def save_invitation(tx: Tx, invitation: Invitation) -> int:
    """Overwrite a locked invitation's status; returns its new sequence."""
    sequence: int = await tx.fetchval(
        """
        UPDATE invitation SET status = $3, accepted_at = $4, sequence = sequence + 1
        WHERE id = $1 AND merchant_id = $2 RETURNING sequence
        """,
        invitation.id,
        invitation.merchant_id,
        invitation.status,
        invitation.accepted_at,
    )
    return sequence


async def every_invitation(db: Database) -> AsyncIterator[CurrentRow]:
    """All invitations as they are now."""
    query = f"SELECT {_COLUMNS} FROM invitation WHERE id > $1 ORDER BY id LIMIT $2"  # noqa: S608 - our own column list
    async for row in every_row(db, query):
        yield CurrentRow(invitation_state(row), row["sequence"])
