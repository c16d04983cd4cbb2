"""The SQL of what merchants want unless they say otherwise."""

from collections.abc import AsyncIterator

from chassis.database import Database, Tx
from chassis.republish import CurrentRow
from contracts.billing import BillingDefaults
from contracts.message import MerchantId
from services.billing.store.copies import Reader


async def defaults(db: Reader, merchant_id: MerchantId) -> BillingDefaults:
    """What the merchant wants; the contract's own values where it has said nothing."""
    row = await db.fetchrow("SELECT state FROM billing_defaults WHERE merchant_id = $1", merchant_id)
    if row is None:
        return BillingDefaults(id=merchant_id, merchant_id=merchant_id)
    return BillingDefaults.model_validate_json(row["state"])


async def lock_defaults(tx: Tx, merchant_id: MerchantId) -> BillingDefaults:
    """What the merchant wants, locked until the transaction ends: who changes them waits for who is changing them."""
    # Nothing can be locked before there is a row. Sequence 0: never announced, so not republished.
    await tx.execute(
        """
        INSERT INTO billing_defaults (merchant_id, sequence, state) VALUES ($1, 0, $2)
        ON CONFLICT (merchant_id) DO NOTHING
        """,
        merchant_id,
        BillingDefaults(id=merchant_id, merchant_id=merchant_id).model_dump_json(),
    )
    await tx.execute("SELECT FROM billing_defaults WHERE merchant_id = $1 FOR UPDATE", merchant_id)
    return await defaults(tx, merchant_id)


async def save_defaults(tx: Tx, defaults: BillingDefaults) -> int:
    """Write them. Returns their new sequence: announce with it, once."""
    sequence: int = await tx.fetchval(
        """
        INSERT INTO billing_defaults (merchant_id, sequence, state) VALUES ($1, 1, $2)
        ON CONFLICT (merchant_id) DO UPDATE SET state = excluded.state, sequence = billing_defaults.sequence + 1
        RETURNING sequence
        """,
        defaults.merchant_id,
        defaults.model_dump_json(),
    )
    return sequence


async def every_defaults(db: Database) -> AsyncIterator[CurrentRow]:
    """Every merchant's, with their present sequence, for Republish."""
    for row in await db.fetch("SELECT state, sequence FROM billing_defaults WHERE sequence > 0"):
        yield CurrentRow(BillingDefaults.model_validate_json(row["state"]), row["sequence"])
