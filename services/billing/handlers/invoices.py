"""Making, opening and sending invoices."""

from decimal import Decimal
from functools import partial

from chassis.database import Tx
from chassis.ids import new_id
from chassis.requests import Commands
from chassis.tokens import derive, digest
from contracts.billing import (
    CreatePaymentLink,
    Invoice,
    InvoiceAlreadyPaid,
    InvoiceDrafted,
    InvoiceNotPayable,
    LineItem,
    LinkEmailRequested,
    OpenInvoice,
    Party,
    PayLink,
    SendPaymentLink,
    TaxLine,
)
from contracts.identity import Customer
from contracts.message import (
    Conflict,
    CustomerId,
    FieldError,
    InvalidInput,
    InvoiceId,
    NotAccepted,
    NotFound,
    utc,
)
from services.billing.domain.invoices import invoice_problems, line_problems, why_not_opened
from services.billing.domain.lines import Line, totals
from services.billing.handlers.access import lock_of_member, require_role
from services.billing.store import books, copies, invoices

_SELLERS = ("admin", "manager", "sales")


async def create_payment_link(tx: Tx, command: CreatePaymentLink, *, secret_key: str) -> Invoice:
    """Make an invoice, and open and mail it as the member wishes."""
    require_role(tx.cause.actor, *_SELLERS)
    customer = await _billable_customer(tx, command.customer_id)
    invoice = _drafted(tx, command)
    if command.send_email:
        _require_address(customer, draft=command.draft)
    await invoices.insert_invoice(tx, invoice)
    if command.draft:
        return await books.tell_invoice(tx, InvoiceDrafted, invoice)
    return await _opened(tx, invoice, customer, secret_key, send_email=command.send_email)


async def open_invoice(tx: Tx, command: OpenInvoice, *, secret_key: str) -> Invoice:
    """Open a draft."""
    require_role(tx.cause.actor, *_SELLERS)
    invoice = await lock_of_member(tx, command.invoice_id)
    if reason := why_not_opened(invoice.status):
        raise Conflict(reason)
    customer = await _billable_customer(tx, invoice.customer_id)
    if command.send_email:
        _require_address(customer, draft=False)
    return await _opened(tx, invoice, customer, secret_key, send_email=command.send_email)


async def send_payment_link(tx: Tx, command: SendPaymentLink) -> Invoice:
    """Mail the payment link (again)."""
    require_role(tx.cause.actor, *_SELLERS)
    invoice = await lock_of_member(tx, command.invoice_id)
    require_open(invoice)
    _require_address(await _billable_customer(tx, invoice.customer_id), draft=False)
    return await books.tell_invoice(tx, LinkEmailRequested, invoice)


def require_open(invoice: Invoice) -> None:
    """Raises InvoiceAlreadyPaid or InvoiceNotPayable unless the invoice waits for money."""
    if invoice.status == "paid":
        assert invoice.paid_at is not None, "A paid invoice knows since when: the same UPDATE writes both."
        raise InvoiceAlreadyPaid(paid_at=utc(invoice.paid_at))
    if invoice.status != "open":
        raise InvoiceNotPayable(f"This invoice is {invoice.status}.", why=invoice.status)


async def _opened(tx: Tx, invoice: Invoice, customer: Customer, secret_key: str, *, send_email: bool) -> Invoice:
    merchant = await copies.merchant(tx, tx.merchant)
    if merchant is None:
        # Its announcement is still on the way to us; an invoice without a seller may not be made.
        raise NotAccepted("We do not know this merchant yet. Please try again in a moment.")
    seller = Party(
        name=merchant.name,
        email=merchant.support_email,
        address=merchant.address,
        tax_ids=(merchant.tax_id,) if merchant.tax_id else (),
    )
    buyer = Party(
        name=customer.name or "",
        company=customer.company,
        email=customer.email,
        address=customer.billing_address or Party(name="").address,
        tax_ids=customer.tax_ids,
    )
    token = pay_link_token(secret_key, InvoiceId(invoice.id), await invoices.link_generation(tx, InvoiceId(invoice.id)))
    opened = await books.invoice_opened(tx, invoice, seller, buyer, PayLink(token_sha256=digest(token)))
    return await books.tell_invoice(tx, LinkEmailRequested, opened) if send_email else opened


def pay_link_token(secret_key: str, invoice_id: InvoiceId, generation: int) -> str:
    """The secret in an invoice's public URL."""
    return derive(secret_key, "pay_link", invoice_id, generation)


async def _billable_customer(tx: Tx, customer_id: CustomerId) -> Customer:
    customer = await copies.customer(tx, tx.merchant, customer_id)
    if customer is None or customer.archived:
        raise NotFound("There is no such customer.")
    return customer


def _require_address(customer: Customer, *, draft: bool) -> None:
    if draft:
        code, message = "draft-not-sent", "A draft is not sent. Open it first."
    elif customer.email is None:
        code, message = "no-email-address", "This customer has no e-mail address."
    else:
        return
    raise InvalidInput(message, errors=(FieldError(field="send_email", message=message, code=code),))


def _drafted(tx: Tx, command: CreatePaymentLink) -> Invoice:
    """The draft that a command asks for. Raises InvalidInput, naming every field that is wrong."""
    lines = [
        Line(line.description, line.quantity, line.unit_amount, line.discount_percent, line.tax_rate)
        for line in command.lines
    ]
    sums = totals(lines, tax_inclusive=command.tax_inclusive)
    problems = line_problems(lines) + invoice_problems(command.currency, sums, command.due_on, tx.now.date())
    if problems:
        raise InvalidInput(problems[0].message if len(problems) == 1 else "", errors=tuple(problems))
    return Invoice(
        id=new_id(),
        merchant_id=tx.merchant,
        customer_id=command.customer_id,
        kind=command.kind,
        status="draft",
        currency=command.currency,
        lines=tuple(
            LineItem(
                description=line.description,
                quantity=_plain(line.quantity),
                unit_amount=line.unit_amount,
                discount_percent=_plain(line.discount_percent),
                tax_rate=_plain(line.tax_rate),
                amount=amount,
            )
            for line, amount in zip(lines, sums.amounts, strict=True)
        ),
        tax_inclusive=command.tax_inclusive,
        subtotal=sums.subtotal,
        tax_lines=tuple(TaxLine(rate=_plain(each.rate), base=each.base, amount=each.amount) for each in sums.rates),
        tax=sums.tax,
        total=sums.total,
        amount_due=sums.total,
        due_on=command.due_on,
        memo=command.memo,
        created_at=tx.now,
    )


def _plain(number: Decimal) -> Decimal:
    """`19.00` and `1.9E+1` are both 19: one way to write a number, so that states compare."""
    return Decimal(f"{number.normalize():f}")


def commands(secret_key: str) -> Commands:
    """Which function answers which command. Pay links are derived from `secret_key`."""
    return {
        CreatePaymentLink: partial(create_payment_link, secret_key=secret_key),
        OpenInvoice: partial(open_invoice, secret_key=secret_key),
        SendPaymentLink: send_payment_link,
    }
