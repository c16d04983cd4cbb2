"""Ending what would be charged to a customer who was archived or erased (docs/decisions/0008).

The collector calls; what needs Stripe, expiring a checkout or taking a card away, is asked for here and done outside.
"""

from datetime import datetime, timedelta

from chassis.database import Database, Tx
from contracts.billing import Invoice, InvoiceCollectionStopped, InvoiceLinkChanged, InvoiceVoided
from contracts.identity import Customer
from contracts.message import CustomerId, InvoiceId, MerchantId, PaymentId, SubscriptionId
from services.billing.domain import subscriptions as domain
from services.billing.domain.periods import local_day
from services.billing.store import agreements, books, copies, debts, invoices, payments, subscriptions
from services.billing.store.subscriptions import Kept

_AGAIN_AFTER = timedelta(minutes=1)


def is_closed(customer: Customer | None) -> bool:
    """Whether nothing is charged to them any more: archived, or erased (None)."""
    return customer is None or customer.archived or customer.deleted


async def ask_to_close(tx: Tx, merchant_id: MerchantId, customer_id: CustomerId) -> None:
    """Have all that would be charged to this customer ended soon."""
    await tx.execute(
        """
        INSERT INTO customer_to_close (merchant_id, customer_id, due_at) VALUES ($1, $2, $3)
        ON CONFLICT (merchant_id, customer_id) DO UPDATE SET due_at = excluded.due_at
        """,
        merchant_id,
        customer_id,
        tx.now,
    )
    tx.notify(agreements.CHANNEL)


async def closed(tx: Tx, merchant_id: MerchantId, customer_id: CustomerId) -> None:
    """Nothing is left to be ended."""
    await tx.execute(
        "DELETE FROM customer_to_close WHERE merchant_id = $1 AND customer_id = $2", merchant_id, customer_id
    )


async def next_to_close(db: Database, at: datetime) -> tuple[MerchantId, CustomerId] | None:
    """The customer who has waited longest, put off for a minute: whoever comes meanwhile takes the next one."""
    row = await db.fetchrow(
        """
        UPDATE customer_to_close SET due_at = $2
        WHERE (merchant_id, customer_id) = (
            SELECT merchant_id, customer_id FROM customer_to_close
            WHERE due_at <= $1 ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
        )
        RETURNING merchant_id, customer_id
        """,
        at,
        at + _AGAIN_AFTER,
    )
    return None if row is None else (row["merchant_id"], row["customer_id"])


async def end_all(tx: Tx, merchant_id: MerchantId, customer_id: CustomerId) -> bool:
    """End all that would be charged to them. False: a checkout has to be expired at Stripe first; come again.

    Invoices come before subscriptions, as when one is paid.
    """
    erased = await copies.customer(tx, merchant_id, customer_id) is None
    waiting: set[SubscriptionId] = set()
    done = True
    for invoice in await _lock_open(tx, merchant_id, customer_id):
        if not await _stop(tx, invoice, erased=erased):
            done = False
            waiting |= {invoice.subscription_id} if invoice.subscription_id else set()
    for subscription_id in await _unended(tx, merchant_id, customer_id):
        if subscription_id not in waiting:
            await _cancel(tx, await _locked(tx, merchant_id, subscription_id), erased=erased)
    await debts.forget(tx, merchant_id, customer_id)
    return done


async def _lock_open(tx: Tx, merchant_id: MerchantId, customer_id: CustomerId) -> list[Invoice]:
    rows = await tx.fetch(
        """
        SELECT id FROM invoice WHERE merchant_id = $1 AND customer_id = $2 AND status = 'open' ORDER BY id FOR UPDATE
        """,
        merchant_id,
        customer_id,
    )
    found = [await invoices.lock_invoice(tx, merchant_id, InvoiceId(row["id"])) for row in rows]
    return [each for each in found if each is not None]


async def _unended(tx: Tx, merchant_id: MerchantId, customer_id: CustomerId) -> list[SubscriptionId]:
    rows = await tx.fetch(
        """
        SELECT id FROM subscription
        WHERE merchant_id = $1 AND customer_id = $2 AND status IN ('pending', 'active', 'paused') ORDER BY id
        """,
        merchant_id,
        customer_id,
    )
    return [SubscriptionId(row["id"]) for row in rows]


async def _stop(tx: Tx, invoice: Invoice, *, erased: bool) -> bool:
    """No more automatic charges of an open invoice; that of an open offer is withdrawn. False: not yet, it is being paid."""
    standing = await payments.open_attempt(tx, invoice.merchant_id, InvoiceId(invoice.id))
    offer = await _offer(tx, invoice)
    if standing is not None and standing.payment.automatic:
        # Not at Stripe yet: it is not made. On its way: what becomes of it is asked about.
        await payments.request_close(tx, PaymentId(standing.payment.id))
    elif standing is not None and (offer or erased):
        await books.close_checkout(tx, standing)
        return False
    if offer is not None and not invoice.amount_processing and not invoice.amount_paid:
        await _cancel(tx, offer, erased=erased)
        await books.invoice_closed(tx, invoice, InvoiceVoided)
        return True
    await stop_collecting(tx, invoice)
    if erased and invoice.link is not None and not invoice.link.revoked:
        now = await invoices.lock_invoice(tx, invoice.merchant_id, InvoiceId(invoice.id))
        assert now is not None, "Invoices are never deleted."
        await books.tell_invoice(tx, InvoiceLinkChanged, now, link=invoice.link.model_copy(update={"revoked": True}))
    return True


async def stop_collecting(tx: Tx, invoice: Invoice) -> None:
    """An open invoice is not charged automatically any more; it is still owed, and can be paid. Its lock is held."""
    if invoice.collection is None:
        return
    await books.tell_invoice(tx, InvoiceCollectionStopped, invoice, collection=None)


async def _offer(tx: Tx, invoice: Invoice) -> Kept | None:
    """What paying it would accept, locked; None: nobody's acceptance hangs on it."""
    if invoice.subscription_id is None:
        return None
    kept = await _locked(tx, invoice.merchant_id, invoice.subscription_id)
    return kept if kept.standing.status == "pending" else None


async def _locked(tx: Tx, merchant_id: MerchantId, subscription_id: SubscriptionId) -> Kept:
    kept = await subscriptions.lock_subscription(tx, merchant_id, subscription_id)
    assert kept is not None, "Subscriptions are never deleted."
    return kept


async def _cancel(tx: Tx, kept: Kept, *, erased: bool) -> None:
    """Cancel it today. A plan's rest is owed unless it was agreed otherwise: archiving someone forgives no debt.

    Of an erased customer nobody could write an invoice: their rest is waived.
    """
    merchant = await copies.merchant(tx, kept.state.merchant_id)
    zone = merchant.time_zone if merchant else "UTC"
    terms = agreements.terms_of(kept.state)
    kept = await agreements.let_turn(tx, kept, zone)
    if kept.standing.status not in ("pending", "active", "paused"):
        return
    rest: domain.Rest = "waive" if erased or terms.plan_on_cancel == "waive" else "owe"
    after = domain.cancel(terms, kept.standing, local_day(tx.now, zone), "now", rest, by="merchant")
    await agreements.stood(tx, kept, after, zone, cancelled_by="archiving")
