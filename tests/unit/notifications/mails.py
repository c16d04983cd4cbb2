"""One mail of every kind, written with made-up facts and read as people and mail programs read it."""

from __future__ import annotations

import email
from datetime import UTC, date, datetime
from email.message import EmailMessage
from email.policy import SMTP
from html.parser import HTMLParser
from typing import Any

from contracts.billing import ChangeWish
from contracts.identity import Merchant
from services.notifications import emails
from services.notifications.emails import Reader, Words
from services.notifications.handlers import KINDS
from tests import builders

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (600).to_bytes(4, "big") + (100).to_bytes(4, "big")
TIMES = "\N{MULTIPLICATION SIGN}"
AT = datetime(2026, 11, 22, 22, 30, tzinfo=UTC)
MERCHANT = builders.merchant(name="Nordlicht GmbH", support_email="hilfe@nordlicht.example", support_phone="+49 30 1")
CUSTOMER = builders.customer(MERCHANT)
INVITATION = builders.invitation(CUSTOMER, invited_by="Ada Byron", expires_at=AT)
INVOICE = builders.invoice(CUSTOMER, 10_710, number="INV-102", due_on=date(2026, 12, 6), memo="Danke!\nBis bald.")
REFUND = builders.refund(INVOICE, 5_000, issued_at=AT)
FAILED = builders.refund(INVOICE, 5_000, status="failed", failure="expired_or_canceled_card")
DISPUTE = builders.dispute(INVOICE, evidence_due_at=AT)
PAYMENT = builders.payment(INVOICE, at=AT, method="visa", receipt_number="REC-7")

CARD = builders.payment_method(CUSTOMER, exp_month=12, exp_year=2026)
AGREED = builders.subscription(
    CUSTOMER, title="Hosting", cancel_on=date(2026, 12, 1), ended_on=date(2026, 12, 1), cancel_reason="Too dear."
)
WISH = ChangeWish(wish="cancel", note="We move away.", asked_by="Sam Okafor")

VALUES: dict[str, dict[str, object]] = {
    "card_expiring": {
        "payment_method": CARD,
        "last_month": date(2026, 12, 1),
        "url": "https://p.example/portal/payment-methods",
    },
    "invitation": {"invitation": INVITATION, "asked_for": False, "url": "https://p.example/invitations/a?b=1&c=2"},
    "payment_link": {"invoice": INVOICE, "subscription": None, "url": "https://p.example/pay/abc"},
    "refund": {"invoice": INVOICE, "refund": REFUND, "has_portal": True, "url": "https://p.example/portal"},
    "refund_failed": {"invoice": INVOICE, "refund": FAILED, "url": "https://p.example/console"},
    "dispute_opened": {"invoice": INVOICE, "dispute": DISPUTE, "url": "https://p.example/console"},
    **{
        name: {
            "subscription": AGREED,
            "has_portal": True,
            "has_method": True,
            "url": "https://p.example/portal/subscriptions",
        }
        for name, kind in KINDS.items()
        if kind.about == "subscription"
    },
    "customer_request": {"subscription": AGREED, "wish": WISH, "url": "https://p.example/console/subscriptions"},
    "payment_failed": {
        "invoice": INVOICE,
        "case": "declined",
        "has_portal": True,
        "url": "https://p.example/pay/abc",
    },
    "confirm_payment": {"invoice": INVOICE, "url": "https://p.example/pay/abc"},
    "receipt": {"invoice": INVOICE, "payment": PAYMENT, "has_portal": True, "url": "https://p.example/portal"},
}


def render(template: str, locale: str = "en", merchant: Merchant = MERCHANT, **changes: object) -> Words:
    reader = Reader.of(locale, "Europe/Berlin")
    return emails.render(template, reader, merchant, None, VALUES[template] | changes)


def mail(words: Words, **changes: Any) -> EmailMessage:
    """The mail as a receiving program parses it."""
    given: dict[str, Any] = {
        "sender": "portal@example.test",
        "recipient": "sam@okafor.example",
        "message_id": "<1@p.example>",
        "sent_at": AT,
        "merchant": MERCHANT,
        "logo": None,
    }
    parsed = email.message_from_bytes(bytes(emails.message(words, **given | changes)), policy=SMTP)
    assert isinstance(parsed, EmailMessage)
    return parsed


class Page(HTMLParser):
    """What a browser would make of the HTML: visible text, elements, links."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._silent = 0
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._silent += tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag == "style"

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def links(self) -> list[str | None]:
        return [attributes.get("href") for tag, attributes in self.elements if tag == "a"]
