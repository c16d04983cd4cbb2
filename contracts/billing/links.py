"""Payment links: making an invoice that is paid through one, sending, renewing and revoking it, and paying there."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..message import (
    Command,
    Currency,
    CustomerId,
    Day,
    Flag,
    InvoiceId,
    MailFacts,
    Moment,
    PaymentId,
    Problem,
    Question,
    Shape,
    Text,
    command,
    question,
)
from .invoices import Invoice
from .shapes import NewLine


class PayLinkNotUsable(Problem):
    """A payment link is dead: member `why` is *revoked*, *expired*, *replaced*, *unknown* or *outdated*.

    *outdated*: it was made under another secret key, so that nobody can say its URL again; make a new one.
    """

    status = 410
    title = "This payment link can no longer be used."


@command("billing.create_payment_link.v1")
class CreatePaymentLink(Command[Invoice]):
    """Make an invoice and, unless `draft`, open it: it gets a number and a public URL, by mail if `send_email`.

    `return_url` of a later checkout is the gateway's business. Refusals: InvalidInput, NotFound (customer), NotAllowed.
    """

    customer_id: CustomerId
    kind: Literal["one_time"] = "one_time"
    currency: Currency
    lines: Annotated[tuple[NewLine, ...], Field(min_length=1, max_length=200)]
    tax_inclusive: Flag | None = None
    """Whether prices hold the tax already; null: as the merchant's defaults say."""
    due_on: Day | None = None
    """Null: after as many days as the merchant's defaults say."""
    memo: Text | None = None
    """Not given: as the merchant's defaults say."""
    allow_partial: Flag | None = None
    """Whether a part may be paid; null: as the merchant's defaults say."""
    link_expires_at: Moment | None = None
    """Until when the payment link shows it; not given: as the merchant's defaults say; null: no end."""
    send_email: Flag = False
    draft: Flag = False


@command("billing.replace_invoice.v1")
class ReplaceInvoice(CreatePaymentLink):
    """Withdraw an open invoice in favour of a new one for the same customer; the old payment link says so.

    Refusals: those of CreatePaymentLink, and Conflict when money is on the old one or under way.
    """

    invoice_id: InvoiceId
    """The one to withdraw."""


@command("billing.send_payment_link.v1")
class SendPaymentLink(Command[Invoice]):
    """Mail the payment link (again). Refusals: NotFound, InvoiceNotPayable, InvoiceAlreadyPaid."""

    invoice_id: InvoiceId


@command("billing.revoke_payment_link.v1")
class RevokePaymentLink(Command[Invoice]):
    """Withdraw the payment link alone: the invoice stays open in the portal. Refusals: NotFound, Conflict."""

    invoice_id: InvoiceId


@command("billing.renew_payment_link.v1")
class RenewPaymentLink(Command[Invoice]):
    """Make a new payment link for an open invoice; the old one is dead from now on.

    `link_expires_at` as in CreatePaymentLink. Refusals: NotFound, InvoiceNotPayable, InvoiceAlreadyPaid, InvalidInput.
    """

    invoice_id: InvoiceId
    link_expires_at: Moment | None = None
    send_email: Flag = False


class FreshLink(Shape):
    """The answer to whoever asked for a fresh link: the same whether or not one was sent."""

    invoice_id: InvoiceId


@command("billing.request_fresh_link.v1")
class RequestFreshLink(Command[FreshLink]):
    """Mail a fresh payment link to the customer's address on record. The actor is *public*: whoever holds an expired one.

    Asked more than once an hour it sends nothing more. Refusals: NotFound, PayLinkNotUsable (it was revoked or replaced).
    """

    invoice_id: InvoiceId
    token_sha256: str
    """Of the link in their hands."""


class CheckoutStarted(Shape):
    """Where the browser goes to pay."""

    payment_id: PaymentId
    checkout_url: str
    invoice_id: InvoiceId


@command("billing.start_invoice_payment.v1")
class StartInvoicePayment(Command[CheckoutStarted]):
    """Open (or resume) the one checkout of an invoice.

    The actor is a contact of the invoice's customer, or *public*: whoever holds the pay link, then `link_token_sha256`
    must be the invoice's. `return_path` is where the browser comes back to, relative to the portal's public address.
    `amount` is a part of what is payable, where the invoice allows that; null is all of it. Another amount than the open
    checkout's begins a new one.
    Refusals: InvoiceAlreadyPaid, InvoiceNotPayable, AmountNotChargeable, PayLinkNotUsable, PaymentsUnavailable, NotFound,
    InvalidInput (`amount`).
    """

    invoice_id: InvoiceId
    link_token_sha256: str | None = None
    amount: Annotated[int, Field(gt=0, le=99_999_999_999, strict=True)] | None = None
    return_path: Annotated[str, Field(pattern=r"^/[A-Za-z0-9_\-/.?=&]*$", max_length=500)]


@question("billing.pay_link.v1")
class PayLinkUrl(Question[MailFacts]):
    """The secret path of an invoice's public page, for a member who copies it; a paid one's shows the receipt.

    Refusals: NotFound, PayLinkNotUsable.
    """

    invoice_id: InvoiceId
