"""The beginning of an automatic charge: the numbered attempt is saved, with all that Stripe will be asked."""

from chassis.database import Tx
from chassis.ids import new_id
from contracts.billing import Invoice, Payment
from contracts.message import InvoiceId, Money, PaymentId
from services.billing.domain.invoices import Balance
from services.billing.store import books, collecting, invoices
from services.billing.store.collecting import Chargeable
from services.billing.store.payments import Attempt
from services.billing.stripe_gateway import Reference, charge_request

AUTOMATIC = "automatic"
"""The payer of an attempt for which nobody was there."""


async def begin_charge(tx: Tx, invoice: Invoice, by: Chargeable) -> Attempt:
    """Save an attempt over all that is payable. Its caller holds the invoice's lock and saw that none is open."""
    amount = Balance(
        invoice.status, invoice.currency, invoice.total, invoice.amount_paid, invoice.amount_processing
    ).payable_now
    payment = Payment(
        id=new_id(),
        merchant_id=invoice.merchant_id,
        customer_id=invoice.customer_id,
        invoice_id=InvoiceId(invoice.id),
        attempt=await invoices.next_attempt(tx, InvoiceId(invoice.id)),
        status="created",
        amount=amount,
        currency=invoice.currency,
        automatic=True,
        payment_method_id=by.method_id,
        created_at=tx.now,
    )
    request = charge_request(
        Reference(invoice.merchant_id, InvoiceId(invoice.id), PaymentId(payment.id)),
        Money(amount, invoice.currency),
        f"{invoice.number} · {invoice.seller.name}" if invoice.seller else str(invoice.number),
        by.customer,
        by.stripe_id,
    )
    attempt = Attempt(
        payment,
        command_id=str(payment.id),
        payer=AUTOMATIC,
        payer_name="",
        correlation_id=tx.cause.correlation_id,
        request=request,
        account=by.account,
    )
    await books.payment_started(tx, attempt)
    tx.notify(collecting.CHARGES)
    return attempt
