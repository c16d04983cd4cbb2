"""The timeline in words: every event has a sentence or is no news, and every sentence its because."""

from datetime import UTC, datetime
from typing import Any

import pytest

from chassis.ids import new_id
from contracts.message import EVENTS, CustomerId, MerchantId
from services.gateway.domain import Viewer
from services.gateway.pages import activity
from services.gateway.pages.language import Reader
from services.gateway.readmodel.timeline import Cause, Entry

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
ENGLISH = Reader.choose(["en"], None, NOW)
MEMBER = Viewer(MerchantId(new_id()))
CONTACT = Viewer(MerchantId(new_id()), CustomerId(new_id()))


def _entry(type_: str, **given: Any) -> Entry:
    values: dict[str, Any] = {
        "id": str(new_id()),
        "at": NOW,
        "type": type_,
        "subject_id": new_id(),
        "customer_id": new_id(),
        "customer_name": "Okafor Textiles",
        "actor_kind": "system",
        "actor_id": None,
        "actor_name": None,
        "about": {},
    }
    return Entry(**(values | given))


def _line(entry: Entry, viewer: Viewer = MEMBER) -> activity.Happening:
    (line,) = activity.happenings([entry], viewer, ENGLISH)
    return line


def test_every_sentence_is_about_an_event_that_exists() -> None:
    known = {type_.rsplit(".", 1)[0] for type_ in EVENTS}
    # Bounces come with a later part of the product; their sentence waits for them.
    assert set(activity._HAPPENED) - known == {"notifications.mail.bounced"}
    assert set(activity._BECAUSE) - known == set()


def test_a_payment_says_how_much_and_who_reported_it() -> None:
    line = _line(_entry("billing.payment.succeeded.v1", about={"amount": 12_000, "currency": "EUR"}))
    assert (line.what, line.because, line.tone) == (
        "Payment of €120.00 received",
        "reported by the payment provider",
        "good",
    )


def test_what_follows_from_another_event_names_it() -> None:
    because = Cause("billing.invoice.paid.v1", {"number": "INV-102"})
    about = {"template": "receipt", "recipient": "sam@okafor.example"}
    line = _line(_entry("notifications.mail.accepted.v1", about=about, because=because))
    assert (line.what, line.because) == ("Receipt sent to sam@okafor.example", "because invoice INV-102 was paid")


def test_an_invoice_that_a_subscription_makes_was_not_reported_by_the_payment_provider() -> None:
    assert _line(_entry("billing.invoice.opened.v1", about={"number": "INV-102"})).because == "as agreed"


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [("member", "Ada Byron", "by Ada Byron"), ("public", None, "through the payment link"), ("contact", None, "")],
)
def test_what_a_person_did_names_them(kind: str, name: str | None, said: str) -> None:
    entry = _entry("billing.invoice.payment_ended.v1", actor_kind=kind, actor_name=name, about={"number": "INV-1"})
    assert _line(entry).because == said


@pytest.mark.parametrize(
    ("origin", "said"), [("pay_link", "through the payment link"), ("merchant", "through the link in the mail")]
)
def test_an_invitation_says_by_which_link_somebody_asked_for_it(origin: str, said: str) -> None:
    about = {"email": "ada@example.com", "origin": origin}
    assert _line(_entry("identity.invitation.sent.v1", actor_kind="public", about=about)).because == said


def test_what_an_event_does_not_tell_is_a_dash() -> None:
    assert _line(_entry("billing.invoice.voided.v1")).what == "Invoice – withdrawn"  # noqa: RUF001 - the dash itself


def test_lines_lead_to_the_readers_own_side() -> None:
    entry = _entry("billing.invoice.paid.v1", about={"number": "INV-1", "total": 100, "currency": "EUR"})
    assert _line(entry, MEMBER).href == f"/console/invoices/{entry.subject_id}"
    assert _line(entry, CONTACT).href == f"/portal/payments/{entry.subject_id}"


def test_a_customer_is_not_told_that_they_were_added() -> None:
    entry = _entry("identity.customer.created.v1")
    assert activity.happenings([entry], CONTACT, ENGLISH) == []
    assert _line(entry, MEMBER).what == "Customer added"


@pytest.mark.parametrize(
    "type_",
    [
        "billing.payment.changed.v1",
        "billing.invoice.link_email_requested.v1",
        "billing.invoice.payment_started.v1",
        "identity.invitation.accepted.v1",
    ],
)
def test_what_another_line_tells_anyway_is_no_news(type_: str) -> None:
    assert activity.happenings([_entry(type_)], MEMBER, ENGLISH) == []
    assert type_ in EVENTS
    assert type_ not in activity.news(MEMBER)
