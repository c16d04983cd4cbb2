"""Which account at Stripe a merchant's money goes to: its connected one, or the platform's own."""

from datetime import datetime

from chassis.database import Database, Tx
from contracts.billing import BillingDefaults
from contracts.message import MerchantId
from services.billing.store.copies import Reader


async def account_of(db: Reader, merchant_id: MerchantId) -> str | None:
    """The merchant's connected account; None: the platform's own.

    For what begins now: what has begun keeps the account that it was begun with, whatever the merchant changes.
    """
    row = await db.fetchrow("SELECT stripe_account FROM billing_defaults WHERE merchant_id = $1", merchant_id)
    return None if row is None else row["stripe_account"]


async def account_since(db: Reader, merchant_id: MerchantId) -> tuple[str | None, datetime | None]:
    """The same, and since when; None: from the beginning."""
    row = await db.fetchrow(
        "SELECT stripe_account, account_changed_at FROM billing_defaults WHERE merchant_id = $1", merchant_id
    )
    return (None, None) if row is None else (row["stripe_account"], row["account_changed_at"])


async def connect(tx: Tx, merchant_id: MerchantId, account: str | None) -> bool:
    """Let a merchant's money go to this account from now on. False: it is another merchant's."""
    if await tx.fetchval(
        "SELECT true FROM billing_defaults WHERE stripe_account = $1 AND merchant_id <> $2", account, merchant_id
    ):
        return False
    # Sequence 0: its defaults were never changed, so they were never announced and are not republished.
    await tx.execute(
        """
        INSERT INTO billing_defaults (merchant_id, sequence, state, stripe_account, account_changed_at)
        VALUES ($1, 0, $2, $3, $4)
        ON CONFLICT (merchant_id) DO UPDATE
        SET stripe_account = excluded.stripe_account, account_changed_at = excluded.account_changed_at
        """,
        merchant_id,
        BillingDefaults(id=merchant_id, merchant_id=merchant_id).model_dump_json(),
        account,
        tx.now,
    )
    return True


async def every_account(db: Database) -> list[str | None]:
    """Every account that money of ours may be at: the platform's own first, then those connected now or before."""
    rows = await db.fetch(
        """
        SELECT stripe_account AS account FROM billing_defaults WHERE stripe_account IS NOT NULL
        UNION SELECT account FROM stripe_cursor WHERE account <> ''
        ORDER BY account
        """
    )
    return [None, *(row["account"] for row in rows)]
