"""Making the invoices of subscriptions: of a period, of an instalment, opened at once.

The caller holds the subscription's lock.
"""

from datetime import datetime
from decimal import Decimal

from chassis.database import Tx
from chassis.ids import new_id
from chassis.tokens import derive, digest
from contracts.billing import Collection, Invoice, LineItem, Party, PayLink, Subscription, TaxLine
from contracts.identity import Customer, Merchant
from contracts.message import SubscriptionId
from services.billing.domain import periods
from services.billing.domain.lines import RateTotal, Totals
from services.billing.domain.refunds import credit_note
from services.billing.domain.subscriptions import Charge, Standing
from services.billing.store import books, invoices
from services.billing.store.agreements import period_of
from services.billing.store.subscriptions import Kept


def seller(merchant: Merchant) -> Party:
    """The merchant, as an invoice names it from now on."""
    tax_ids = (merchant.tax_id,) if merchant.tax_id else ()
    return Party(name=merchant.name, email=merchant.support_email, address=merchant.address, tax_ids=tax_ids)


def buyer(customer: Customer) -> Party:
    """The customer, as an invoice names them from now on."""
    return Party(
        name=customer.name or "",
        company=customer.company,
        email=customer.email,
        address=customer.billing_address or Party(name="").address,
        tax_ids=customer.tax_ids,
    )


async def make_invoice(
    tx: Tx,
    kept: Kept,
    charge: Charge,
    merchant: Merchant,
    customer: Customer,
    secret_key: str,
    link_expires_at: datetime | None = None,
) -> Invoice | None:
    """Make and open the invoice of a charge. None: it has one already, made by another run.

    That of a subscription which nobody has accepted is for somebody who is there: it is never charged automatically.
    """
    today = periods.local_day(tx.now, merchant.time_zone)
    draft = _draft(tx, kept, charge).model_copy(update={"due_on": max(charge.on, today)})
    if not await invoices.insert_invoice(tx, draft, charge.number):
        return None
    token = derive(secret_key, "pay_link", draft.id, 1)
    link = PayLink(token_sha256=digest(token), expires_at=link_expires_at)
    return await books.invoice_opened(tx, draft, seller(merchant), buyer(customer), link)


def _draft(tx: Tx, kept: Kept, charge: Charge) -> Invoice:
    agreed, accepted = kept.state, kept.standing.status != "pending"
    draft = Invoice(
        id=new_id(),
        merchant_id=agreed.merchant_id,
        customer_id=agreed.customer_id,
        kind=agreed.kind,
        status="draft",
        currency=agreed.currency,
        lines=agreed.lines,
        tax_inclusive=agreed.tax_inclusive,
        subtotal=agreed.subtotal,
        tax_lines=agreed.tax_lines,
        tax=agreed.tax,
        total=agreed.total,
        amount_due=charge.amount,
        due_on=charge.on,
        memo=agreed.memo,
        subscription_id=SubscriptionId(agreed.id),
        period=period_of(charge.period) if accepted else None,
        instalment=charge.instalment,
        collection=Collection() if accepted else None,
        created_at=tx.now,
    )
    return draft if charge.instalment is None else _of_instalment(draft, agreed, kept.standing, charge)


def _of_instalment(draft: Invoice, agreed: Subscription, standing: Standing, charge: Charge) -> Invoice:
    """One part of a plan: a line for each rate of tax, in net amounts, so that all parts together are exactly the whole."""
    rates = tuple(RateTotal(each.rate, each.base, each.amount) for each in agreed.tax_lines)
    whole = Totals((), agreed.subtotal, rates, agreed.tax, agreed.total)
    made: list[tuple[RateTotal, ...]] = []
    for each in standing.instalments[: standing.made]:
        made.append(credit_note(whole, each.amount, made))
    parts = credit_note(whole, charge.amount, made)
    subtotal, tax = sum(each.base for each in parts), sum(each.amount for each in parts)
    lines = tuple(
        LineItem(
            description=_named(agreed, part),
            quantity=Decimal(1),
            unit_amount=part.base,
            tax_rate=part.rate,
            amount=part.base,
            reverse_charge=any(line.reverse_charge for line in agreed.lines if line.tax_rate == part.rate),
        )
        for part in parts
    )
    return draft.model_copy(
        update={
            "lines": lines,
            "tax_inclusive": False,
            "subtotal": subtotal,
            "tax_lines": tuple(TaxLine(rate=each.rate, base=each.base, amount=each.amount) for each in parts)
            if rates
            else (),
            "tax": tax,
            "total": subtotal + tax,
        }
    )


def _named(agreed: Subscription, part: RateTotal) -> str:
    """What a part is for: the first of the plan's lines that is taxed like it."""
    return next((line.description for line in agreed.lines if line.tax_rate == part.rate), agreed.title)
