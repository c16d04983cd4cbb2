"""The SQL of setups: hosted pages on which a customer gives a payment method."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis.database import Database, Row, Tx
from contracts.message import CustomerId, MerchantId, SubscriptionId
from services.billing.store.copies import Reader
from services.billing.store.reading import Page, page_of

PUBLIC = "public"
"""The payer of a page that was opened through a link."""


@dataclass(frozen=True)
class Setup:
    """A hosted page, opened or about to be. `request` is what Stripe was (or will be) asked, see `payments.Attempt`.

    `subscription_id`: the method is given to accept this subscription. `payer` is the actor who resumes it.
    """

    id: UUID
    merchant_id: MerchantId
    customer_id: CustomerId
    account: str | None
    subscription_id: SubscriptionId | None
    command_id: str
    payer: str
    correlation_id: str
    request: Mapping[str, Any]
    created_at: datetime
    status: str = "created"
    session_id: str | None = None
    session_url: str | None = None


_ALL = """id, merchant_id, customer_id, account, subscription_id, command_id, payer, correlation_id, request, created_at,
    status, session_id, session_url"""


def _setup(row: Row | None) -> Setup | None:
    if row is None:
        return None
    return Setup(**{**row, "account": row["account"] or None, "request": json.loads(row["request"])})


async def insert_setup(tx: Tx, setup: Setup) -> None:
    """Save a new setup, before Stripe is asked."""
    await tx.execute(
        """
        INSERT INTO setup (id, merchant_id, customer_id, account, subscription_id, command_id, payer, correlation_id, status,
                           request, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'created', $9, $10)
        """,
        setup.id,
        setup.merchant_id,
        setup.customer_id,
        setup.account or "",
        setup.subscription_id,
        setup.command_id,
        setup.payer,
        setup.correlation_id,
        json.dumps(setup.request),
        setup.created_at,
    )


async def open_setup(
    tx: Tx,
    merchant_id: MerchantId,
    customer_id: CustomerId,
    account: str | None,
    payer: str,
    subscription_id: SubscriptionId | None,
    not_before: datetime | None,
) -> Setup | None:
    """The setup that this person has begun for this purpose and not ended. Its caller holds the customer's lock."""
    row = await tx.fetchrow(
        f"""
        SELECT {_ALL} FROM setup
        WHERE merchant_id = $1 AND customer_id = $2 AND account = $3 AND payer = $4
          AND subscription_id IS NOT DISTINCT FROM $5 AND status = 'created'
          AND ($6::timestamptz IS NULL OR created_at >= $6)
        ORDER BY id DESC LIMIT 1
        """,  # noqa: S608 - a constant
        merchant_id,
        customer_id,
        account or "",
        payer,
        subscription_id,
        not_before,
    )
    return _setup(row)


async def setup(db: Reader, setup_id: UUID) -> Setup | None:
    """A setup of any merchant."""
    return _setup(await db.fetchrow(f"SELECT {_ALL} FROM setup WHERE id = $1", setup_id))  # noqa: S608 - a constant


async def command_was_used(tx: Tx, merchant_id: MerchantId, payer: str, command_id: str) -> bool:
    """Whether a command that runs again has made a setup before."""
    found = await tx.fetchval(
        "SELECT true FROM setup WHERE merchant_id = $1 AND payer = $2 AND command_id = $3",
        merchant_id,
        payer,
        command_id,
    )
    return bool(found)


async def bind_session(tx: Tx, setup_id: UUID, session_id: str, url: str | None) -> None:
    """Remember the page that was opened for a setup."""
    await tx.execute("UPDATE setup SET session_id = $2, session_url = $3 WHERE id = $1", setup_id, session_id, url)


async def end_setup(tx: Tx, setup_id: UUID, status: str) -> bool:
    """A setup is *done* or *ended*. False: it was before; a method that was given cannot be taken back."""
    told = await tx.execute(
        "UPDATE setup SET status = $2 WHERE id = $1 AND status <> 'done' AND status <> $2", setup_id, status
    )
    return told != "UPDATE 0"


async def not_ended(db: Database, before: datetime, after: UUID | None, limit: int) -> Page[Setup]:
    """Setups of every merchant made before `before` that have no end, in id order, after the given one."""
    rows = await db.fetch(
        f"""
        SELECT {_ALL} FROM setup
        WHERE status = 'created' AND created_at < $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3
        """,  # noqa: S608 - a constant
        before,
        after,
        limit,
    )
    return page_of("setup", rows, _setup, limit)
