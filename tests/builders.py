"""States for tests, complete and plausible: name only what the test is about."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from chassis.ids import new_id
from chassis.tokens import digest
from contracts.billing import (
    CreditNote,
    Dispute,
    Interval,
    Invoice,
    LineItem,
    Party,
    PayLink,
    Payment,
    PaymentMethod,
    Period,
    PlannedCharge,
    Receipt,
    Refund,
    Subscription,
    TaxLine,
)
from contracts.identity import Contact, Customer, Invitation, Logo, Member, Merchant, Person
from contracts.message import Address, RefundId
from contracts.notifications import Mail
from contracts.todos import Todo

NOW = datetime.now(UTC).replace(microsecond=0)
TODAY = NOW.date()


def merchant(**given: Any) -> Merchant:
    """A business in Berlin that bills in euro."""
    id_ = given.pop("id", None) or new_id()
    values: dict[str, Any] = {
        "id": id_,
        "merchant_id": id_,
        "name": "Northwind Studio",
        "support_email": "help@northwind.example",
        "support_phone": "+49 30 901820",
        "brand_colour": "#0f766e",
        "address": Address(line1="Torstraße 1", postal_code="10119", city="Berlin", country="DE"),
        "tax_id": "DE123456789",
        "time_zone": "Europe/Berlin",
        "created_at": NOW - timedelta(days=400),
    }
    return Merchant.model_validate(values | given)


def logo(of: Merchant, png_base64: str | None) -> Logo:
    """The merchant's logo."""
    return Logo(id=of.id, merchant_id=of.merchant_id, png_base64=png_base64)


def person(**given: Any) -> Person:
    """Somebody who signs in."""
    values: dict[str, Any] = {
        "id": new_id(),
        "name": "Ada Byron",
        "email": "ada@northwind.example",
        "created_at": NOW - timedelta(days=300),
    }
    return Person.model_validate(values | given)


def member(of: Merchant, who: Person, **given: Any) -> Member:
    """An admin of the merchant's team."""
    values: dict[str, Any] = {
        "id": new_id(),
        "merchant_id": of.merchant_id,
        "person_id": who.id,
        "role": "admin",
        "name": who.name,
        "email": who.email,
        "created_at": NOW - timedelta(days=300),
    }
    return Member.model_validate(values | given)


def customer(of: Merchant, **given: Any) -> Customer:
    """A customer who uses the portal."""
    values: dict[str, Any] = {
        "id": new_id(),
        "merchant_id": of.merchant_id,
        "name": "Sam Okafor",
        "company": "Okafor Textiles",
        "email": "sam@okafor.example",
        "phone": "+44 20 7946 0958",
        "billing_address": Address(line1="1 Fleet Street", postal_code="EC4Y 1AA", city="London", country="GB"),
        "tax_ids": ("GB123456789",),
        "time_zone": "Europe/London",
        "portal_access": "active",
        "created_at": NOW - timedelta(days=90),
    }
    return Customer.model_validate(values | given)


def contact(of: Customer, who: Person, **given: Any) -> Contact:
    """The owner of a customer's portal."""
    values: dict[str, Any] = {
        "id": new_id(),
        "merchant_id": of.merchant_id,
        "customer_id": of.id,
        "person_id": who.id,
        "role": "owner",
        "name": who.name,
        "email": who.email,
        "active": True,
        "created_at": NOW - timedelta(days=80),
    }
    return Contact.model_validate(values | given)


def invitation(of: Customer, **given: Any) -> Invitation:
    """An invitation that waits for an answer."""
    values: dict[str, Any] = {
        "id": new_id(),
        "merchant_id": of.merchant_id,
        "customer_id": of.id,
        "email": of.email,
        "role": "owner",
        "origin": "merchant",
        "status": "pending",
        "invited_by": "Ada Byron",
        "expires_at": NOW + timedelta(days=6),
        "created_at": NOW - timedelta(days=1),
    }
    return Invitation.model_validate(values | given)


def invoice(of: Customer, amount: int = 12_000, *, token: str | None = None, **given: Any) -> Invoice:
    """An open invoice over one line, due in two weeks; `token` is the secret of its payment link."""
    values: dict[str, Any] = {
        "id": new_id(),
        "merchant_id": of.merchant_id,
        "customer_id": of.id,
        "kind": "one_time",
        "status": "open",
        "number": "INV-102",
        "currency": "EUR",
        "lines": (LineItem(description="Design work", quantity=Decimal(1), unit_amount=amount, amount=amount),),
        "subtotal": amount,
        "tax": 0,
        "total": amount,
        "amount_due": amount,
        "due_on": TODAY + timedelta(days=14),
        "seller": Party(name="Northwind Studio"),
        "buyer": Party(name=of.name or "", company=of.company, email=of.email),
        "link": PayLink(token_sha256=digest(token or str(new_id()))),
        "created_at": NOW - timedelta(days=3),
        "opened_at": NOW - timedelta(days=3),
    }
    return Invoice.model_validate(values | given)


def paid(of: Invoice, at: datetime | None = None, number: str = "R-2041") -> Invoice:
    """The same invoice once it is settled by card."""
    when = at or NOW - timedelta(hours=2)
    receipt = Receipt(
        payment_id=new_id(),
        number=number,
        amount=of.total,
        paid_at=when,
        method="card",
        last4="4242",
    )
    settled = {"status": "paid", "amount_paid": of.total, "amount_due": 0, "paid_at": when, "receipts": (receipt,)}
    return of.model_copy(update=settled | {"being_paid": None})


def payment_method(of: Customer, **given: Any) -> PaymentMethod:
    """A default visa that works."""
    values: dict[str, Any] = {
        "id": new_id(),
        "merchant_id": of.merchant_id,
        "customer_id": of.id,
        "kind": "card",
        "brand": "visa",
        "last4": "4242",
        "exp_month": 12,
        "exp_year": 2034,
        "is_default": True,
        "billing_name": "Sam Okafor",
        "added_at": NOW - timedelta(days=40),
    }
    return PaymentMethod.model_validate(values | given)


def subscription(of: Customer, amount: int = 1_200, **given: Any) -> Subscription:
    """A subscription by the month that has been running for two of them."""
    title = given.get("title", "Hosting, small")
    last = TODAY - timedelta(days=10)
    period = Period(starts_on=last, ends_on=last + timedelta(days=29))
    values: dict[str, Any] = {
        "id": new_id(),
        "merchant_id": of.merchant_id,
        "customer_id": of.id,
        "kind": "recurring",
        "status": "active",
        "title": title,
        "currency": "EUR",
        "lines": (LineItem(description=title, quantity=Decimal(1), unit_amount=amount, amount=amount),),
        "subtotal": amount,
        "tax": 0,
        "total": amount,
        "interval": Interval(unit="month"),
        "anchor_on": TODAY - timedelta(days=40),
        "current_period": period,
        "charges_made": 2,
        "charges_paid": 2,
        "next_charge": PlannedCharge(on=last + timedelta(days=30), amount=amount, period=period),
        "created_at": NOW - timedelta(days=42),
        "accepted_at": NOW - timedelta(days=40),
    }
    return Subscription.model_validate(values | given)


def payment(of: Invoice, at: datetime | None = None, **given: Any) -> Payment:
    """A payment by card that has succeeded."""
    values: dict[str, Any] = {
        "id": new_id(),
        "merchant_id": of.merchant_id,
        "customer_id": of.customer_id,
        "invoice_id": of.id,
        "attempt": 1,
        "status": "succeeded",
        "amount": of.total,
        "currency": of.currency,
        "method": "card",
        "last4": "4242",
        "created_at": at or NOW - timedelta(hours=2),
        "settled_at": at or NOW - timedelta(hours=2),
    }
    return Payment.model_validate(values | given)


def refund(of: Invoice, amount: int, **given: Any) -> Refund:
    """A refund of a paid invoice that has succeeded, with its credit note."""
    values: dict[str, Any] = {
        "id": new_id(),
        "merchant_id": of.merchant_id,
        "customer_id": of.customer_id,
        "invoice_id": of.id,
        "payment_id": of.receipts[0].payment_id if of.receipts else new_id(),
        "status": "succeeded",
        "amount": amount,
        "credited": amount,
        "currency": of.currency,
        "reason": "One page was not needed.",
        "credit_note_number": "CN-3",
        "tax_lines": (TaxLine(rate=Decimal(0), base=amount, amount=0),),
        "by": "Ada Byron",
        "created_at": NOW - timedelta(hours=1),
        "issued_at": NOW - timedelta(hours=1),
        "settled_at": NOW - timedelta(hours=1),
    }
    return Refund.model_validate(values | given)


def refunded(of: Invoice, back: Refund) -> Invoice:
    """The same invoice once this refund is on its credit notes."""
    note = CreditNote(
        refund_id=RefundId(back.id),
        number=back.credit_note_number or "",
        amount=back.credited,
        issued_at=back.issued_at or NOW,
        failed=back.status == "failed",
    )
    counted = 0 if note.failed else back.credited
    return of.model_copy(
        update={"amount_refunded": of.amount_refunded + counted, "credit_notes": (*of.credit_notes, note)}
    )


def dispute(of: Invoice, **given: Any) -> Dispute:
    """A dispute over all of a paid invoice that is open."""
    values: dict[str, Any] = {
        "id": new_id(),
        "merchant_id": of.merchant_id,
        "customer_id": of.customer_id,
        "invoice_id": of.id,
        "payment_id": of.receipts[0].payment_id if of.receipts else new_id(),
        "status": "open",
        "amount": of.total,
        "currency": of.currency,
        "reason": "product_not_received",
        "evidence_due_at": NOW + timedelta(days=6),
        "opened_at": NOW - timedelta(hours=1),
    }
    return Dispute.model_validate(values | given)


def todo(of: Customer, title: str = "Send the signed contract", **given: Any) -> Todo:
    """An open to-do that the merchant assigned."""
    values: dict[str, Any] = {
        "id": new_id(),
        "merchant_id": of.merchant_id,
        "customer_id": of.id,
        "origin": "assigned",
        "title": title,
        "due_on": TODAY + timedelta(days=5),
        "status": "open",
        "created_by": "Ada Byron",
        "created_at": NOW - timedelta(days=2),
    }
    return Todo.model_validate(values | given)


def mail(about: Invoice | Invitation, **given: Any) -> Mail:
    """A mail that was delivered."""
    invitation_mail = isinstance(about, Invitation)
    values: dict[str, Any] = {
        "id": new_id(),
        "merchant_id": about.merchant_id,
        "customer_id": about.customer_id,
        "template": "invitation" if invitation_mail else "payment_link",
        "subject_kind": "invitation" if invitation_mail else "invoice",
        "subject_id": about.id,
        "invoice_id": None if invitation_mail else about.id,
        "occasion": str(new_id()),
        "recipient": "sam@okafor.example",
        "status": "accepted",
        "message_id": f"<{new_id()}@portal.example>",
        "queued_at": NOW - timedelta(hours=5),
        "settled_at": NOW - timedelta(hours=5),
    }
    return Mail.model_validate(values | given)


def due(in_days: int) -> date:
    """A due date relative to today."""
    return TODAY + timedelta(days=in_days)
