"""The SQL of payment methods: what customers pay with, as we mirror it from Stripe."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from chassis.database import Database, Row, Tx
from chassis.republish import CurrentRow
from contracts.billing import PaymentMethod, Subscription
from contracts.message import CustomerId, MerchantId, PaymentMethodId, SubscriptionId
from services.billing.store.copies import Reader


@dataclass(frozen=True)
class Kept:
    """A payment method and what only billing knows of it; `account` None is the platform's own."""

    method: PaymentMethod
    account: str | None
    stripe_id: str
    fingerprint: str | None = None
    expires_on: date | None = None
    expiry_told: date | None = None

    @property
    def id(self) -> PaymentMethodId:
        """Its id with us."""
        return PaymentMethodId(self.method.id)


@dataclass(frozen=True)
class Use:
    """A subscription that is running or paused, and the method that it names; None: the customer's default one."""

    subscription_id: SubscriptionId
    method_id: PaymentMethodId | None


LEFT_BEHIND = "account_changed"
"""Why a method does not work that is at an account which its merchant does not bill with any more."""

_ALL = "state, account, stripe_id, fingerprint, expires_on, expiry_told"


def _kept(row: Row) -> Kept:
    return Kept(
        PaymentMethod.model_validate_json(row["state"]),
        row["account"] or None,
        row["stripe_id"],
        row["fingerprint"],
        row["expires_on"],
        row["expiry_told"],
    )


async def find_method(db: Reader, merchant_id: MerchantId, method_id: PaymentMethodId) -> Kept | None:
    """A merchant's customer's payment method, a removed one too."""
    row = await db.fetchrow(
        f"SELECT {_ALL} FROM payment_method WHERE merchant_id = $1 AND id = $2",  # noqa: S608 - a constant
        merchant_id,
        method_id,
    )
    return None if row is None else _kept(row)


async def method_at_stripe(
    db: Reader, merchant_id: MerchantId, customer_id: CustomerId, account: str | None, stripe_id: str
) -> Kept | None:
    """A customer's method by Stripe's id of it; None: it is not there, or not known here yet."""
    row = await db.fetchrow(
        f"""
        SELECT {_ALL} FROM payment_method
        WHERE merchant_id = $1 AND customer_id = $2 AND account = $3 AND stripe_id = $4 AND NOT removed
        """,  # noqa: S608 - a constant
        merchant_id,
        customer_id,
        account or "",
        stripe_id,
    )
    return None if row is None else _kept(row)


async def default_method(db: Reader, merchant_id: MerchantId, customer_id: CustomerId) -> Kept | None:
    """What a customer is charged with unless something else is said."""
    row = await db.fetchrow(
        f"SELECT {_ALL} FROM payment_method WHERE merchant_id = $1 AND customer_id = $2 AND is_default AND NOT removed",  # noqa: S608 - a constant
        merchant_id,
        customer_id,
    )
    return None if row is None else _kept(row)


async def methods_of(tx: Tx, merchant_id: MerchantId, customer_id: CustomerId) -> list[Kept]:
    """A customer's payment methods, the oldest first. Whoever changes them holds the lock of the customer's row."""
    rows = await tx.fetch(
        f"SELECT {_ALL} FROM payment_method WHERE merchant_id = $1 AND customer_id = $2 AND NOT removed ORDER BY id",  # noqa: S608 - a constant
        merchant_id,
        customer_id,
    )
    return [_kept(row) for row in rows]


async def lock_owner(tx: Tx, merchant_id: MerchantId, customer_id: CustomerId) -> None:
    """Wait for whoever is changing the customer's payment methods; they are ours until the transaction ends."""
    await tx.execute(
        "SELECT FROM stripe_customer WHERE merchant_id = $1 AND customer_id = $2 ORDER BY account FOR UPDATE",
        merchant_id,
        customer_id,
    )


async def lock_users(tx: Tx, merchant_id: MerchantId, customer_id: CustomerId) -> None:
    """Lock the customer's subscriptions that name a method, or are about to.

    Before `lock_owner`: whoever ends one holds it by then.
    """
    await tx.execute(
        """
        SELECT FROM subscription
        WHERE merchant_id = $1 AND customer_id = $2 AND (payment_method_id IS NOT NULL OR given_method IS NOT NULL)
        ORDER BY id FOR UPDATE
        """,
        merchant_id,
        customer_id,
    )


async def save_method(tx: Tx, kept: Kept) -> int:
    """Write a method as it is now, a new one too. Returns its new sequence: announce with it, once."""
    method = kept.method
    sequence: int = await tx.fetchval(
        """
        INSERT INTO payment_method (id, merchant_id, customer_id, sequence, account, stripe_id, is_default, working, removed,
                                    fingerprint, expires_on, expiry_told, state, created_at)
        VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        ON CONFLICT (id) DO UPDATE
        SET sequence = payment_method.sequence + 1, stripe_id = excluded.stripe_id, is_default = excluded.is_default,
            working = excluded.working, removed = excluded.removed, fingerprint = excluded.fingerprint,
            expires_on = excluded.expires_on, expiry_told = excluded.expiry_told, state = excluded.state
        RETURNING sequence
        """,
        method.id,
        method.merchant_id,
        method.customer_id,
        kept.account or "",
        kept.stripe_id,
        method.is_default,
        method.working,
        method.deleted,
        kept.fingerprint,
        kept.expires_on,
        kept.expiry_told,
        method.model_dump_json(),
        method.added_at,
    )
    return sequence


async def uses_of(tx: Tx, merchant_id: MerchantId, customer_id: CustomerId) -> list[Use]:
    """The customer's subscriptions that are running or paused, with what they charge."""
    rows = await tx.fetch(
        """
        SELECT id, payment_method_id FROM subscription
        WHERE merchant_id = $1 AND customer_id = $2 AND status IN ('active', 'paused') ORDER BY id
        """,
        merchant_id,
        customer_id,
    )
    return [Use(SubscriptionId(row["id"]), row["payment_method_id"]) for row in rows]


async def to_act_on(db: Database | Tx, today: date, soon: date, limit: int) -> list[tuple[MerchantId, PaymentMethodId]]:
    """Methods of every merchant whose last day is over but that count as working, or is by `soon` without a word of it."""
    rows = await db.fetch(
        """
        (SELECT merchant_id, id FROM payment_method
         WHERE working AND NOT removed AND expires_on < $1 ORDER BY expires_on LIMIT $3)
        UNION ALL
        (SELECT merchant_id, id FROM payment_method
         WHERE NOT removed AND expiry_told IS DISTINCT FROM expires_on AND expires_on BETWEEN $1 AND $2
         ORDER BY expires_on LIMIT $3)
        LIMIT $3
        """,
        today,
        soon,
        limit,
    )
    return [(row["merchant_id"], row["id"]) for row in rows]


async def at_another_account(db: Database | Tx, limit: int) -> list[tuple[MerchantId, PaymentMethodId]]:
    """Methods whose merchant has changed its account, and of which that is not said yet.

    They count as working at an account that was left, or as left behind at the one that their merchant has come back to.
    Costs three looks into an index for each merchant that has ever changed its account, however many methods it has:
    `ORDER BY` keeps PostgreSQL from reading all of them instead, when most are one merchant's.
    """
    rows = await db.fetch(
        f"""
        SELECT m.merchant_id, m.id
        FROM (SELECT merchant_id, coalesce(stripe_account, '') AS account FROM billing_defaults
              WHERE account_changed_at IS NOT NULL) AS d
        CROSS JOIN LATERAL (
            (SELECT merchant_id, id FROM payment_method
             WHERE merchant_id = d.merchant_id AND working AND NOT removed AND account < d.account
             ORDER BY account LIMIT $1)
            UNION ALL
            (SELECT merchant_id, id FROM payment_method
             WHERE merchant_id = d.merchant_id AND working AND NOT removed AND account > d.account
             ORDER BY account LIMIT $1)
            UNION ALL
            (SELECT merchant_id, id FROM payment_method
             WHERE merchant_id = d.merchant_id AND NOT removed AND state->>'failure' = '{LEFT_BEHIND}'
               AND account = d.account ORDER BY account LIMIT $1)
        ) AS m
        LIMIT $1
        """,  # noqa: S608 - a constant, written out so that its partial index is used
        limit,
    )
    return [(row["merchant_id"], row["id"]) for row in rows]


async def move_uses(
    tx: Tx, merchant_id: MerchantId, method_id: PaymentMethodId, replacement_id: PaymentMethodId | None
) -> list[tuple[Subscription, int]]:
    """Have the subscriptions that name one method name another; None: the customer's default.

    Returns each with its new sequence: announce with it, once.
    """
    rows = await tx.fetch(
        """
        UPDATE subscription
        SET payment_method_id = $3, state = jsonb_set(state, '{payment_method_id}', coalesce(to_jsonb($3::uuid), 'null')),
            sequence = sequence + 1
        WHERE merchant_id = $1 AND payment_method_id = $2
        RETURNING state, sequence
        """,
        merchant_id,
        method_id,
        replacement_id,
    )
    return [(Subscription.model_validate_json(row["state"]), row["sequence"]) for row in rows]


async def every_payment_method(db: Database) -> AsyncIterator[CurrentRow]:
    """Every merchant's payment methods with their present sequence, tombstones too, for Republish."""
    after: UUID | None = None
    while True:
        rows = await db.fetch(
            """
            SELECT id, state, sequence FROM payment_method WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT 500
            """,
            after,
        )
        for row in rows:
            yield CurrentRow(PaymentMethod.model_validate_json(row["state"]), row["sequence"])
        if not rows:
            return
        after = rows[-1]["id"]
