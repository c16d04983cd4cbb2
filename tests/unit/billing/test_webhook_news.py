"""What may come in at the webhook door, and what it means."""

import json
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import stripe

from contracts.message import Money
from services.billing.stripe_gateway import Event, NotFromStripeError, event_of, found_event, payload_of, verify
from services.billing.webhooks.news import CardSeen, Declined, Ended, OnItsWay, Succeeded, Told, understand
from tests.fake_stripe import charge_object, intent_object, session_object

SECRET = "whsec_test"
IDS = {name: str(UUID(int=number)) for number, name in enumerate(("merchant_id", "invoice_id", "payment_id"), 1)}


def event(kind: str, thing: dict[str, Any]) -> Event:
    return Event("evt_1", kind, None, 1_772_442_000, thing)


def said(kind: str, thing: dict[str, Any]) -> object:
    told = understand(event(kind, thing))
    return told.news if isinstance(told, Told) else told


def session(**changes: Any) -> dict[str, Any]:
    return session_object("cs_1", IDS, 1250, "eur") | changes


def test_a_completed_checkout_is_paid_only_when_it_says_so() -> None:
    paid = session(status="complete", payment_status="paid")
    assert said("checkout.session.completed", paid) == Succeeded(Money(1250, "EUR"))
    assert said("checkout.session.completed", session(status="complete")) == OnItsWay()


def test_a_debit_that_arrives_days_later_is_money_and_one_that_fails_is_the_end() -> None:
    paid = session(status="complete", payment_status="paid")
    assert said("checkout.session.async_payment_succeeded", paid) == Succeeded(Money(1250, "EUR"))
    assert said("checkout.session.async_payment_failed", session(status="complete")) == Ended()
    assert said("checkout.session.expired", session(status="expired")) == Ended()


def test_a_payment_intent_says_what_was_really_received() -> None:
    intent = intent_object("pi_1", IDS, 1250, "eur", status="succeeded") | {"amount_received": 1000}
    assert said("payment_intent.succeeded", intent) == Succeeded(Money(1000, "EUR"))


def test_a_failed_payment_intent_is_a_decline_with_the_banks_reason() -> None:
    intent = intent_object("pi_1", IDS, 1250, "eur", status="requires_payment_method")
    intent["last_payment_error"] = {
        "code": "card_declined",
        "decline_code": "insufficient_funds",
        "message": "No money.",
    }
    told = said("payment_intent.payment_failed", intent)
    assert isinstance(told, Declined)
    assert (told.refusal.code, told.refusal.message) == ("insufficient_funds", "No money.")


def test_a_charge_only_says_which_card_it_was() -> None:
    told = understand(event("charge.succeeded", charge_object("ch_1", "pi_1", IDS, "visa", "4242")))
    assert isinstance(told, Told)
    assert told.news == CardSeen()
    assert told.card is not None
    assert (told.card.method, told.card.last4) == ("visa", "4242")


@pytest.mark.parametrize("kind", ["customer.created", "checkout.session.somewhat", "payment_intent.created", "x"])
def test_other_types_say_nothing_to_us(kind: str) -> None:
    assert said(kind, session()) == "unknown type"


@pytest.mark.parametrize("metadata", [{}, {"payment_id": "42"}, IDS | {"invoice_id": "not-a-uuid"}])
def test_an_object_without_our_metadata_is_foreign(metadata: dict[str, str]) -> None:
    assert said("checkout.session.completed", session(metadata=metadata)) == "foreign: without our metadata"


def test_a_finding_reads_like_the_event_that_should_have_come_and_has_the_same_id_again() -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    found = found_event("checkout.session.expired", session(status="expired", url=None), None, now)
    assert event_of(payload_of(found)) == found
    assert found.id == "found:checkout.session.expired:cs_1:unpaid"


def signed(raw: bytes, at: float | None = None, secret: str = SECRET) -> str:
    text = raw.decode("utf-8", "replace")
    header: str = stripe.WebhookSignature.generate_signature_header(text, secret, int(at or time.time()))
    return header


def test_a_signed_body_passes() -> None:
    verify(b'{"a": 1}', signed(b'{"a": 1}'), SECRET)


@pytest.mark.parametrize(
    ("raw", "header"),
    [
        (b"{}", None),
        (b"{}", ""),
        (b"{}", "nonsense"),
        (b"{}", "t=now,v1=x"),
        (b"{}", f"t={int(time.time())},v1=\xe9"),
        (b"{} ", signed(b"{}")),
        (b"{}", signed(b"{}", secret="whsec_other")),
        (b"{}", signed(b"{}", at=time.time() - 301)),
        (b"\xff\xfe", signed(b"{}")),
    ],
)
def test_whatever_is_not_signed_over_exactly_these_bytes_is_refused(raw: bytes, header: str | None) -> None:
    with pytest.raises(NotFromStripeError):
        verify(raw, header, SECRET)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b"{}",
        b'{"id": "evt_1", "type": "x"}',
        b'{"id": "evt_1", "type": "x", "data": {"object": []}}',
        b'{"id": 7, "type": "x", "data": {"object": {}}}',
        b'{"id": "", "type": "x", "data": {"object": {}}}',
        b'{"id": "a\\u0000b", "type": "x", "data": {"object": {}}}',
        b'{"id": "evt_1", "type": "x", "created": "soon", "data": {"object": {}}}',
        b"[" * 200_000,
        json.dumps({"id": "e" * 256, "type": "x", "data": {"object": {}}}).encode(),
    ],
)
def test_what_is_no_event_is_refused_whatever_it_is(payload: bytes) -> None:
    with pytest.raises(NotFromStripeError):
        event_of(payload)
