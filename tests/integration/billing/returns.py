"""What merchants do on Stripe's own pages, and what cardholders' banks do: over the fake and over the sandbox."""

from __future__ import annotations

from typing import Any

from contracts.billing import Dispute, Invoice, Refund, RefundInvoice
from contracts.message import Actor, InvoiceId, PaymentId
from services.billing.store import payments
from tests.integration.billing.shop import FakeTill, SandboxTill, Shop


async def paid(shop: Shop, **changes: Any) -> tuple[Invoice, PaymentId]:
    """A paid invoice (EUR 12.50 unless told otherwise) and its payment; nothing of it is news any more."""
    invoice = await shop.link(**changes)
    started = await shop.pay(invoice, shop.contact())
    await shop.customer_pays(started)
    await shop.news()
    return await shop.invoice(invoice), started.payment_id


async def refund(shop: Shop, invoice: Invoice, actor: Actor | None = None, **given: Any) -> Refund:
    """A member gives money back."""
    id_ = given.pop("id", None)
    command = RefundInvoice(invoice_id=InvoiceId(invoice.id), **given)
    made: Refund = await shop.order(command, actor or shop.member(), id=id_)
    return made


async def intent_of(shop: Shop, payment_id: PaymentId) -> str:
    """Stripe's id of a payment's money."""
    found = await payments.attempt(shop.h.db, shop.merchant_id, payment_id)
    assert found is not None
    assert found.intent_id is not None
    return found.intent_id


async def stripe_id_of(shop: Shop, made: Refund) -> str:
    """Stripe's id of a refund."""
    found: str = await shop.h.db.fetchval("SELECT stripe_id FROM refund WHERE id = $1", made.id)
    return found


async def refunds_of(shop: Shop, invoice: Invoice) -> list[Refund]:
    """An invoice's refunds, oldest first."""
    rows = await shop.h.db.fetch("SELECT state FROM refund WHERE invoice_id = $1 ORDER BY id", invoice.id)
    return [Refund.model_validate_json(row["state"]) for row in rows]


async def disputes_of(shop: Shop, invoice: Invoice) -> list[Dispute]:
    """An invoice's disputes, oldest first."""
    rows = await shop.h.db.fetch("SELECT state FROM dispute WHERE invoice_id = $1 ORDER BY id", invoice.id)
    return [Dispute.model_validate_json(row["state"]) for row in rows]


async def press_refund_at_stripe(shop: Shop, intent_id: str, amount: int) -> str:
    """Somebody refunds on Stripe's own pages. Its webhooks are stored, not handled."""
    if isinstance(shop.till, FakeTill):
        made = shop.till.stripe.refunded(intent_id, amount, account=shop.till.stripe.owners.get(intent_id))
        await shop.till.deliver()
    else:
        assert isinstance(shop.till, SandboxTill)
        made = await shop.till.control("/refunds", payment_intent=intent_id, amount=amount)
        await shop.till._stored("refund.created", made["id"])
    return str(made["id"])


async def refund_comes_back(shop: Shop, stripe_id: str) -> None:
    """The customer's bank sends a refund back."""
    if isinstance(shop.till, FakeTill):
        shop.till.stripe.refund_fails(stripe_id)
        await shop.till.deliver()
    else:
        assert isinstance(shop.till, SandboxTill)
        await shop.till.control(f"/refunds/{stripe_id}/fail", reason="expired_or_canceled_card")
        await shop.till._stored("refund.failed", stripe_id)


async def dispute(shop: Shop, intent_id: str, amount: int) -> str:
    """A cardholder disputes a payment at their bank."""
    if isinstance(shop.till, FakeTill):
        made = shop.till.stripe.disputed(intent_id, amount)
        await shop.till.deliver()
        return made
    assert isinstance(shop.till, SandboxTill)
    opened = await shop.till.control("/disputes", payment_intent=intent_id, amount=amount)
    await shop.till._stored("charge.dispute.created", opened["id"])
    return str(opened["id"])


async def bank_decides(shop: Shop, dispute_id: str, outcome: str) -> None:
    """The bank decides a dispute."""
    if isinstance(shop.till, FakeTill):
        shop.till.stripe.dispute_closes(dispute_id, outcome)
        await shop.till.deliver()
    else:
        assert isinstance(shop.till, SandboxTill)
        await shop.till.control(f"/disputes/{dispute_id}/close", outcome=outcome)
        await shop.till._stored("charge.dispute.closed", dispute_id)
