"""Making, opening and sending invoices."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial

from chassis.database import Tx
from chassis.ids import new_id
from chassis.requests import Commands
from chassis.tokens import digest
from contracts.billing import (
    BillingDefaults,
    CreatePaymentLink,
    Invoice,
    InvoiceAlreadyPaid,
    InvoiceDrafted,
    InvoiceNotPayable,
    LineItem,
    LinkEmailRequested,
    NewLine,
    OpenInvoice,
    Party,
    PayLink,
    TaxLine,
)
from contracts.identity import Customer, Merchant
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
from services.billing.domain.invoices import (
    in_words,
    invoice_problems,
    line_problems,
    link_end_problem,
    why_not_opened,
)
from services.billing.domain.lines import Line, Totals, totals
from services.billing.domain.periods import local_day
from services.billing.handlers.access import lock_of_member, require_role
from services.billing.store import books, copies, defaults, invoices
from services.billing.store.links import current_token

SELLERS = ("admin", "manager", "sales")
"""The roles that may bill."""


async def create_payment_link(tx: Tx, command: CreatePaymentLink, *, secret_key: str) -> Invoice:
    """Make an invoice, and open and mail it as the member wishes."""
    require_role(tx.cause.actor, *SELLERS)
    return await created(tx, command, secret_key)


@dataclass(frozen=True)
class Wanted:
    """An invoice as a command asks for it, not yet made."""

    invoice: Invoice
    customer: Customer
    merchant: Merchant
    link_ends: datetime | None


async def wanted(tx: Tx, command: CreatePaymentLink) -> Wanted:
    """What a command asks for. Raises InvalidInput, NotFound (customer); nothing has been made then."""
    customer = await billable_customer(tx, command.customer_id)
    usual = await defaults.defaults(tx, tx.merchant)
    merchant = await _known_merchant(tx)
    invoice = _drafted(tx, command, usual, customer, local_day(tx.now, merchant.time_zone))
    if command.send_email:
        require_address(customer, draft=command.draft)
    if command.draft and command.link_expires_at is not None:
        message = "A draft has no payment link yet. Say until when it lives when you open it."
        error = FieldError(field="link_expires_at", message=message, code="draft-without-link")
        raise InvalidInput(message, errors=(error,))
    return Wanted(invoice, customer, merchant, _link_end(tx, command, usual))


async def created(tx: Tx, command: CreatePaymentLink, secret_key: str, replaces: InvoiceId | None = None) -> Invoice:
    """The invoice that a command asks for, open unless it is to stay a draft."""
    asked = await wanted(tx, command)
    invoice = asked.invoice.model_copy(update={"replaces": replaces})
    await invoices.insert_invoice(tx, invoice)
    if command.draft:
        return await books.tell_invoice(tx, InvoiceDrafted, invoice)
    return await _opened(
        tx, invoice, asked.customer, asked.merchant, secret_key, asked.link_ends, send_email=command.send_email
    )


def _link_end(tx: Tx, command: CreatePaymentLink | OpenInvoice, usual: BillingDefaults) -> datetime | None:
    if "link_expires_at" in command.model_fields_set:
        return require_link_end(command.link_expires_at, tx.now)
    return None if usual.link_days is None else tx.now + timedelta(days=usual.link_days)


def require_link_end(moment: datetime | None, now: datetime) -> datetime | None:
    """A link's end, if it can be one. Raises InvalidInput."""
    if problem := link_end_problem(moment, now):
        raise InvalidInput(problem.message, errors=(problem,))
    return moment


async def open_invoice(tx: Tx, command: OpenInvoice, *, secret_key: str) -> Invoice:
    """Open a draft."""
    require_role(tx.cause.actor, *SELLERS)
    invoice = await lock_of_member(tx, command.invoice_id)
    if reason := why_not_opened(invoice.status):
        raise Conflict(reason)
    customer = await billable_customer(tx, invoice.customer_id)
    if command.send_email:
        require_address(customer, draft=False)
    usual, merchant = await defaults.defaults(tx, tx.merchant), await _known_merchant(tx)
    ends = _link_end(tx, command, usual)
    return await _opened(tx, invoice, customer, merchant, secret_key, ends, send_email=command.send_email)


def require_open(invoice: Invoice) -> None:
    """Raises InvoiceAlreadyPaid or InvoiceNotPayable unless the invoice waits for money."""
    if invoice.status == "paid":
        assert invoice.paid_at is not None, "A paid invoice knows since when: the same UPDATE writes both."
        raise InvoiceAlreadyPaid(paid_at=utc(invoice.paid_at))
    if invoice.status != "open":
        raise InvoiceNotPayable(f"This invoice is {in_words(invoice.status)}.", why=invoice.status)


async def _known_merchant(tx: Tx) -> Merchant:
    merchant = await copies.merchant(tx, tx.merchant)
    if merchant is None:
        # Its announcement is still on the way to us; an invoice without a seller may not be made.
        raise NotAccepted("We do not know this merchant yet. Please try again in a moment.")
    return merchant


async def _opened(
    tx: Tx,
    invoice: Invoice,
    customer: Customer,
    merchant: Merchant,
    secret_key: str,
    link_ends: datetime | None,
    *,
    send_email: bool,
) -> Invoice:
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
    token = await current_token(tx, secret_key, InvoiceId(invoice.id))
    link = PayLink(token_sha256=digest(token), expires_at=link_ends)
    opened = await books.invoice_opened(tx, invoice, seller, buyer, link)
    return await books.tell_invoice(tx, LinkEmailRequested, opened) if send_email else opened


async def billable_customer(tx: Tx, customer_id: CustomerId) -> Customer:
    """The merchant's customer, who may be asked for money. Raises NotFound: another's, or archived."""
    customer = await copies.customer(tx, tx.merchant, customer_id)
    if customer is None or customer.archived:
        raise NotFound("There is no such customer.")
    return customer


def require_address(customer: Customer, *, draft: bool) -> None:
    """Raises InvalidInput (`send_email`) unless there is something to mail and an address to mail it to."""
    if draft:
        code, message = "draft-not-sent", "A draft is not sent. Open it first."
    elif customer.email is None:
        code, message = "no-email-address", "This customer has no e-mail address."
    else:
        return
    raise InvalidInput(message, errors=(FieldError(field="send_email", message=message, code=code),))


def _drafted(tx: Tx, command: CreatePaymentLink, usual: BillingDefaults, customer: Customer, today: date) -> Invoice:
    """The draft that a command asks for. Raises InvalidInput, naming every field that is wrong."""
    lines = lines_of(command.lines)
    inclusive = usual.tax_inclusive if command.tax_inclusive is None else command.tax_inclusive
    due_on = today + timedelta(days=usual.due_days) if command.due_on is None else command.due_on
    sums = totals(lines, tax_inclusive=inclusive)
    problems = [
        *line_problems(lines),
        *reverse_charge_problems(lines, customer),
        *invoice_problems(command.currency, sums, due_on, today),
    ]
    if problems:
        raise InvalidInput(problems[0].message if len(problems) == 1 else "", errors=tuple(problems))
    return Invoice(
        id=new_id(),
        merchant_id=tx.merchant,
        customer_id=command.customer_id,
        kind=command.kind,
        status="draft",
        currency=command.currency,
        lines=line_items(lines, sums),
        tax_inclusive=inclusive,
        subtotal=sums.subtotal,
        tax_lines=tuple(TaxLine(rate=plain(each.rate), base=each.base, amount=each.amount) for each in sums.rates),
        tax=sums.tax,
        total=sums.total,
        amount_due=sums.total,
        due_on=due_on,
        memo=command.memo if "memo" in command.model_fields_set else usual.memo,
        allow_partial=usual.allow_partial if command.allow_partial is None else command.allow_partial,
        created_at=tx.now,
    )


def lines_of(typed: Sequence[NewLine]) -> list[Line]:
    """The lines as the domain adds them up."""
    return [
        Line(
            each.description, each.quantity, each.unit_amount, each.discount_percent, each.tax_rate, each.reverse_charge
        )
        for each in typed
    ]


def line_items(lines: Sequence[Line], sums: Totals) -> tuple[LineItem, ...]:
    """The lines as an invoice shows them."""
    return tuple(
        LineItem(
            description=line.description,
            quantity=plain(line.quantity),
            unit_amount=line.unit_amount,
            discount_percent=plain(line.discount_percent),
            tax_rate=plain(line.tax_rate),
            reverse_charge=line.reverse_charge,
            amount=amount,
        )
        for line, amount in zip(lines, sums.amounts, strict=True)
    )


def reverse_charge_problems(lines: Sequence[Line], customer: Customer) -> list[FieldError]:
    """Who owes the tax must be named with a tax number (Directive 2006/112/EC, article 226, no. 4)."""
    if customer.tax_ids:
        return []
    message = "Reverse charge needs the customer's tax number. Add it to the customer first."
    return [
        FieldError(field=f"lines.{place}.reverse_charge", message=message, code="reverse-charge-without-tax-id")
        for place, line in enumerate(lines)
        if line.reverse_charge
    ]


def plain(number: Decimal) -> Decimal:
    """`19.00` and `1.9E+1` are both 19: one way to write a number, so that states compare."""
    return Decimal(f"{number.normalize():f}")


def commands(secret_key: str) -> Commands:
    """Which function answers which command. Pay links are derived from `secret_key`."""
    return {
        CreatePaymentLink: partial(create_payment_link, secret_key=secret_key),
        OpenInvoice: partial(open_invoice, secret_key=secret_key),
    }
