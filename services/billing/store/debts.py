"""Old debt that a new method is to settle at once: asked for by whoever changes methods, done by the collector."""

from collections.abc import Sequence
from datetime import datetime

from chassis.database import Database, Row, Tx
from contracts.message import CustomerId, MerchantId, SubscriptionId

CHANNEL = "subscription_due"
"""What is notified when something may be collected at once; the same as of subscriptions, for the same worker."""


async def is_owed(tx: Tx, subscription_id: SubscriptionId) -> bool:
    """Whether an invoice of this subscription is open of which an automatic charge has failed."""
    found = await tx.fetchval(
        """
        SELECT EXISTS (SELECT FROM invoice
                       WHERE subscription_id = $1 AND status = 'open' AND (collection->>'failures')::int > 0)
        """,
        subscription_id,
    )
    return bool(found)


async def collect(tx: Tx, merchant_id: MerchantId, customer_id: CustomerId) -> None:
    """There is a method that their debt was not charged to yet: it is collected at once, once this has committed.

    Only asked for here: whoever changes methods holds the customer's row, and waits for no invoice.
    """
    await tx.execute(
        "UPDATE stripe_customer SET collect_since = $3 WHERE merchant_id = $1 AND customer_id = $2",
        merchant_id,
        customer_id,
        tx.now,
    )
    tx.notify(CHANNEL)


async def collect_for(tx: Tx, subscription_id: SubscriptionId) -> None:
    """Another method was chosen for this one subscription: its debt alone is collected at once, as with `collect`.

    Its caller holds the subscription's lock.
    """
    await tx.execute("UPDATE subscription SET collect_since = $2 WHERE id = $1", subscription_id, tx.now)
    tx.notify(CHANNEL)


async def debtors(db: Database, at: datetime, limit: int) -> Sequence[Row]:
    """Whose debt is to be collected by `at`: `merchant_id`, `customer_id`, `subscription_id`, `collect_since`.

    All that a customer owes where `subscription_id` is null, else that subscription's alone.
    """
    return await db.fetch(
        """
        SELECT DISTINCT merchant_id, customer_id, NULL::uuid AS subscription_id, collect_since
        FROM stripe_customer WHERE collect_since <= $1
        UNION ALL
        SELECT merchant_id, customer_id, id, collect_since FROM subscription WHERE collect_since <= $1
        ORDER BY collect_since LIMIT $2
        """,
        at,
        limit,
    )


async def collected(db: Database | Tx, debtor: Row, again_at: datetime | None) -> None:
    """Their debt is being collected, or the rest of it from `again_at`, unless somebody has asked again meanwhile."""
    asked = (debtor["merchant_id"], debtor["customer_id"], debtor["collect_since"], again_at)
    if debtor["subscription_id"] is None:
        await db.execute(
            """
            UPDATE stripe_customer SET collect_since = $4
            WHERE merchant_id = $1 AND customer_id = $2 AND collect_since = $3
            """,
            *asked,
        )
    else:
        await db.execute(
            """
            UPDATE subscription SET collect_since = $4
            WHERE merchant_id = $1 AND customer_id = $2 AND collect_since = $3 AND id = $5
            """,
            *asked,
            debtor["subscription_id"],
        )


async def forget(tx: Tx, merchant_id: MerchantId, customer_id: CustomerId) -> None:
    """Nothing of theirs is collected automatically any more."""
    await tx.execute(
        "UPDATE stripe_customer SET collect_since = NULL WHERE merchant_id = $1 AND customer_id = $2",
        merchant_id,
        customer_id,
    )
