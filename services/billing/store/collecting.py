"""Collecting without the customer being there: what can be charged, what is to be tried again, what a failure brings."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chassis.database import Database, Tx
from contracts.billing import Collection, Decline, Invoice
from contracts.message import CustomerId, InvoiceId, MerchantId, PaymentMethodId
from services.billing.domain.dunning import Policy, hard, next_try
from services.billing.domain.periods import local_day
from services.billing.domain.subscriptions import after_last_retry
from services.billing.store import (
    agreements,
    archiving,
    books,
    copies,
    defaults,
    invoices,
    links,
    subscriptions,
    wallets,
)
from services.billing.store.copies import Reader
from services.billing.store.payments import Attempt

CHARGES = "charge_due"
"""What is notified when an automatic attempt waits to be charged."""
RETRIES = agreements.CHANNEL
"""What is notified when debt may be collected at once."""
AUTHENTICATE = "authentication_required"
"""Stripe's word for a bank that wants the customer to confirm."""

NEVER_CHARGED = "never_charged"
"""What stands on an attempt that never reached the bank."""
NO_METHOD = "no_payment_method"
"""What stands on a charge that was not even tried, since there is nothing to charge."""


@dataclass(frozen=True)
class Chargeable:
    """A method that can be charged: ours and Stripe's ids of it, and Stripe's of whose it is, on which account."""

    method_id: PaymentMethodId
    stripe_id: str
    customer: str
    account: str | None


async def chargeable(
    db: Reader, merchant_id: MerchantId, customer_id: CustomerId, named: PaymentMethodId | None
) -> Chargeable | None:
    """The method that a subscription names, else the customer's default one; None: there is none that works.

    Only one that lives at the account which the merchant's money goes to now: no other account can charge it, and what is
    charged where it lives would go where the merchant does not want its money any more.
    Nor is there one of a customer who was archived or erased: their card may be kept, but is not charged.
    """
    row = await db.fetchrow(
        """
        SELECT m.id, m.stripe_id, m.account, c.stripe_id AS customer
        FROM payment_method AS m JOIN stripe_customer AS c USING (merchant_id, customer_id, account)
        JOIN copy_customer AS k ON k.id = m.customer_id AND NOT k.archived AND NOT k.deleted
        WHERE m.merchant_id = $1 AND m.customer_id = $2 AND m.working AND NOT m.removed AND c.stripe_id IS NOT NULL
          AND (m.id = $3 OR m.is_default)
          AND m.account = coalesce((SELECT stripe_account FROM billing_defaults WHERE merchant_id = $1), '')
        ORDER BY m.is_default LIMIT 1
        """,
        merchant_id,
        customer_id,
        named,
    )
    if row is None:
        return None
    return Chargeable(row["id"], row["stripe_id"], row["customer"], row["account"] or None)


def no_method(now: datetime) -> Decline:
    """There is nothing to charge."""
    return Decline(code=NO_METHOD, message="There is no payment method that could be charged.", at=now)


async def charge_failed(
    tx: Tx, invoice: Invoice, attempt: Attempt | None, decline: Decline, secret_key: str
) -> Invoice:
    """A charge failed, or was in vain (no `attempt`): plan the next try; after the last one the subscription's end.

    A method that was declined for good is not charged again until it was renewed, whoever told of the decline.
    Whoever is told of it can pay: a customer without the portal gets a new link where the old one is dead. Links are
    derived from `secret_key`. Whoever was archived or erased meanwhile is not told, and nothing is tried again (see
    docs/decisions/0008). The caller holds the invoice's lock.
    """
    customer = await copies.customer(tx, invoice.merchant_id, invoice.customer_id)
    if attempt is not None and archiving.is_closed(customer):
        return await books.charge_ended(tx, invoice, attempt, decline, None)
    invoice = await _with_a_way_to_pay(tx, invoice, secret_key)
    merchant = await copies.merchant(tx, invoice.merchant_id)
    zone = merchant.time_zone if merchant else "UTC"
    before = invoice.collection or Collection()
    failures, first = before.failures + 1, before.first_failed_at or tx.now
    usual = await defaults.defaults(tx, invoice.merchant_id)
    at = next_try(Policy(usual.retry_days), failures, first, tx.now, zone)
    collection = Collection(
        failures=failures,
        first_failed_at=first,
        next_try_at=at,
        last_failure=decline,
        confirm=decline.code == AUTHENTICATE,
        exhausted=at is None,
        attempted=attempt is not None,
        declined_for_good=hard(decline.code),
    )
    failed = await books.charge_failed(tx, invoice, attempt, decline, collection)
    if at is None:
        await _give_up(tx, invoice, zone)
    if attempt is not None and attempt.payment.payment_method_id is not None and hard(decline.code):
        # After the subscription, which whoever changes methods locks first.
        await wallets.stopped_working(tx, invoice.merchant_id, attempt.payment.payment_method_id, decline.code)
    return failed


async def _with_a_way_to_pay(tx: Tx, invoice: Invoice, secret_key: str) -> Invoice:
    if invoice.status != "open":
        return invoice
    token = await links.current_token(tx, secret_key, InvoiceId(invoice.id))
    if links.why_dead(invoice.link, tx.now, token) is None:
        return invoice
    customer = await copies.customer(tx, invoice.merchant_id, invoice.customer_id)
    if customer is None or customer.portal_access == "active":
        return invoice
    return await links.renew(tx, invoice, secret_key, await links.usual_end(tx, invoice.merchant_id))


async def never_charged(tx: Tx, invoice: Invoice, attempt: Attempt) -> None:
    """An attempt never reached Stripe. While something is owed, another one follows soon."""
    before = invoice.collection or Collection()
    at = tx.now if invoice.status == "open" else None
    decline = Decline(code=NEVER_CHARGED, message="The charge did not reach the bank.", at=tx.now)
    # Not a failed charge: nobody's card was refused, and the customer is told of none.
    await books.charge_ended(tx, invoice, attempt, decline, before.model_copy(update={"next_try_at": at}))
    tx.notify(RETRIES)


async def _give_up(tx: Tx, invoice: Invoice, zone: str) -> None:
    """What was agreed for when the last retry has failed. The invoice stays open: the customer still owes it."""
    if invoice.subscription_id is None:
        return
    kept = await subscriptions.lock_subscription(tx, invoice.merchant_id, invoice.subscription_id)
    assert kept is not None, "Subscriptions are never deleted."
    after = after_last_retry(agreements.terms_of(kept.state), kept.standing, local_day(tx.now, zone))
    if after.status != kept.standing.status:
        await agreements.stood(tx, kept, after, zone, cancelled_by="collection")


async def something_due(db: Database, at: datetime) -> bool:
    """Whether there is anything to renew, to try again or to collect."""
    found = await db.fetchval(
        """
        SELECT EXISTS (SELECT FROM subscription WHERE next_turn_at <= $1)
            OR EXISTS (SELECT FROM invoice WHERE next_try_at <= $1)
            OR EXISTS (SELECT FROM stripe_customer WHERE collect_since <= $1)
            OR EXISTS (SELECT FROM subscription WHERE collect_since <= $1)
        """,
        at,
    )
    return bool(found)


async def claim_retry(tx: Tx, at: datetime) -> tuple[MerchantId, InvoiceId] | None:
    """Lock the open invoice whose next try has waited longest; those that another has locked are passed over."""
    row = await tx.fetchrow(
        """
        SELECT merchant_id, id FROM invoice WHERE next_try_at <= $1
        ORDER BY next_try_at LIMIT 1 FOR UPDATE SKIP LOCKED
        """,
        at,
    )
    return None if row is None else (row["merchant_id"], row["id"])


async def put_off(db: Database | Tx, invoice_id: UUID, until: datetime | None) -> None:
    """Try it later. Not announced: what was said of it stays true."""
    await db.execute("UPDATE invoice SET next_try_at = $2 WHERE id = $1", invoice_id, until)


async def lock_debts(
    tx: Tx, merchant_id: MerchantId, customer_id: CustomerId, subscription_id: UUID | None
) -> list[Invoice]:
    """The customer's open invoices of which an automatic charge has failed, locked, the oldest first.

    With a `subscription_id` those of this subscription alone.
    """
    rows = await tx.fetch(
        """
        SELECT merchant_id, id FROM invoice
        WHERE merchant_id = $1 AND customer_id = $2 AND status = 'open' AND (collection->>'failures')::int > 0
          AND ($3::uuid IS NULL OR subscription_id = $3)
        ORDER BY id FOR UPDATE
        """,
        merchant_id,
        customer_id,
        subscription_id,
    )
    found = [await invoices.lock_invoice(tx, merchant_id, InvoiceId(row["id"])) for row in rows]
    return [each for each in found if each is not None]
