"""Which facts become which mails, to whom, and only once."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from functools import partial

import pytest

from chassis.testing import envelope_of
from contracts.billing import (
    BillingDefaults,
    BillingDefaultsChanged,
    ChangeWish,
    Collection,
    DisputeOpened,
    InvoiceChargeFailed,
    LinkEmailRequested,
    PaymentMethodExpiring,
    Period,
    PlannedCharge,
    RefundFailed,
    RefundSucceeded,
    SubscriptionAccepted,
    SubscriptionCancelled,
    SubscriptionCancelPlanned,
    SubscriptionChangeRequested,
    SubscriptionPaused,
)
from contracts.identity import ContactJoined, CustomerChanged, InvitationSent, MemberAdded
from contracts.notifications import Mail
from services.notifications.handlers import on_renewal_ahead
from services.notifications.schedules import announce_renewals
from services.notifications.store import every_mail
from tests import builders

from .conftest import Office


async def queued(office: Office) -> list[tuple[str, str]]:
    return [(mail["template"], mail["recipient"]) for mail in await office.mails()]


async def test_an_invitation_goes_to_the_invited_address(office: Office) -> None:
    invitation = builders.invitation(office.customer, email="new@okafor.example")
    event = await office.h.deliver(InvitationSent(state=invitation))
    assert await queued(office) == [("invitation", "new@okafor.example")]
    [announced] = await office.h.outbox()
    mail = Mail.model_validate(announced.data["state"])
    assert announced.type == "notifications.mail.queued.v1"
    assert (announced.sequence, announced.causationid, announced.correlationid) == (1, event.id, event.correlationid)
    assert mail == Mail(
        id=mail.id,
        merchant_id=office.customer.merchant_id,
        customer_id=invitation.customer_id,
        template="invitation",
        subject_kind="invitation",
        subject_id=invitation.id,
        occasion=event.id,
        recipient="new@okafor.example",
        status="queued",
        message_id=f"<{mail.id}@portal.example>",
        queued_at=office.h.clock.now(),
    )


async def test_a_payment_link_goes_to_the_customers_address_of_today(office: Office) -> None:
    await office.is_known()
    moved = office.customer.model_copy(update={"email": "moved@okafor.example"})
    await office.h.deliver(CustomerChanged(state=moved), sequence=2)
    await office.h.deliver(LinkEmailRequested(state=office.invoice), sequence=2)
    [mail] = await office.mails()
    assert (mail["template"], mail["recipient"]) == ("payment_link", "moved@okafor.example")
    assert (mail["subject_kind"], mail["subject_id"], mail["invoice_id"]) == (
        "invoice",
        office.invoice.id,
        office.invoice.id,
    )


async def test_the_address_on_the_invoice_serves_until_the_customer_is_known(office: Office) -> None:
    await office.h.deliver(LinkEmailRequested(state=office.invoice))
    assert await queued(office) == [("payment_link", "sam@okafor.example")]


async def test_a_fact_about_nobody_known_comes_again_instead_of_being_lost(office: Office) -> None:
    invoice = office.invoice.model_copy(update={"buyer": None})
    with pytest.raises(LookupError):
        await office.h.deliver(LinkEmailRequested(state=invoice))
    assert await queued(office) == []
    await office.is_known()
    await office.h.deliver(LinkEmailRequested(state=invoice))
    assert await queued(office) == [("payment_link", "sam@okafor.example")]


async def test_an_erased_customer_gets_no_mail(office: Office) -> None:
    await office.is_known()
    erased = office.customer.model_copy(update={"deleted": True, "name": None, "email": None})
    await office.h.deliver(CustomerChanged(state=erased), sequence=2)
    await office.h.deliver(office.paid())
    await office.h.deliver(LinkEmailRequested(state=office.invoice))
    assert await queued(office) == []
    assert await office.h.outbox() == []


async def test_a_receipt_goes_to_active_owners_and_billing_contacts_once_each(office: Office) -> None:
    await office.is_known()
    await office.gets_contact("owner", "owner@okafor.example")
    await office.gets_contact("billing", "OWNER@okafor.example")
    await office.gets_contact("billing", "money@okafor.example")
    await office.gets_contact("member", "intern@okafor.example")
    await office.gets_contact("owner", "left@okafor.example", active=False)
    await office.h.deliver(office.paid())
    assert await queued(office) == [("receipt", "money@okafor.example"), ("receipt", "owner@okafor.example")]


async def test_a_receipt_goes_to_the_customer_when_nobody_has_signed_up(office: Office) -> None:
    await office.is_known()
    await office.h.deliver(office.paid())
    assert await queued(office) == [("receipt", "sam@okafor.example")]


async def test_asking_for_the_link_again_is_another_mail_and_the_same_event_is_not(office: Office) -> None:
    await office.is_known()
    event = LinkEmailRequested(state=office.invoice)
    envelope = envelope_of(event, clock=office.h.clock)
    await asyncio.gather(*(office.h.deliver(event, envelope=envelope) for _ in range(5)))
    assert len(await office.mails()) == 1
    await office.h.deliver(event)
    first, second = await office.mails()
    assert first["occasion"] != second["occasion"]
    assert first["message_id"] != second["message_id"]
    assert await office.h.announced() == ["notifications.mail.queued.v1"] * 2


async def test_one_occasion_makes_one_mail_even_if_the_inbox_has_forgotten_it(office: Office) -> None:
    await office.is_known()
    event = office.paid()
    envelope = await office.h.deliver(event)
    await office.h.db.execute("DELETE FROM inbox")
    await office.h.deliver(event, envelope=envelope)
    assert len(await office.mails()) == 1
    assert await office.h.announced() == ["notifications.mail.queued.v1"]


async def test_every_mail_is_republished_as_it_is_now(office: Office) -> None:
    await office.is_known()
    await office.h.deliver(office.paid())
    await office.h.deliver(LinkEmailRequested(state=office.invoice))
    rows = [row async for row in every_mail(office.h.db)]
    states = {row.state.id: (row.state, row.sequence) for row in rows}
    announced = {e.data["state"]["id"]: e for e in await office.h.outbox()}  # type: ignore[index, call-overload]  # JSON
    assert {str(key) for key in states} == set(announced)
    assert all(sequence == 1 for _, sequence in states.values())
    for key, envelope in announced.items():
        assert next(s for i, (s, _) in states.items() if str(i) == key) == Mail.model_validate(envelope.data["state"])


async def test_a_refund_is_told_to_the_customer_and_its_failure_to_those_who_may_refund(office: Office) -> None:
    await office.is_known()
    for role, address in (("admin", "ada@n.example"), ("manager", "max@n.example"), ("sales", "sue@n.example")):
        person = builders.person(email=address)
        await office.h.deliver(MemberAdded(state=builders.member(office.merchant, person, role=role)))
    paid = builders.paid(office.invoice)
    back = builders.refund(paid, 500)
    await office.h.deliver(RefundSucceeded(state=back, invoice=paid))
    failed = back.model_copy(update={"status": "failed", "failure": "lost_or_stolen_card"})
    await office.h.deliver(RefundFailed(state=failed, invoice=paid), sequence=2)
    disputed = builders.dispute(paid)
    await office.h.deliver(DisputeOpened(state=disputed, invoice=paid))
    assert sorted(await queued(office)) == [
        ("dispute_opened", "ada@n.example"),
        ("dispute_opened", "max@n.example"),
        ("refund", "sam@okafor.example"),
        ("refund_failed", "ada@n.example"),
        ("refund_failed", "max@n.example"),
    ]
    assert {(mail["subject_kind"], mail["invoice_id"]) for mail in await office.mails()} == {
        ("refund", paid.id),
        ("dispute", paid.id),
    }


async def test_a_card_that_expires_soon_is_told_to_those_who_look_after_the_money(office: Office) -> None:
    await office.is_known()
    people = [
        builders.contact(office.customer, builders.person(), role=role, email=f"{role}@okafor.example")
        for role in ("owner", "billing", "member")
    ]
    for each in people:
        await office.h.deliver(ContactJoined(state=each))
    card = builders.payment_method(office.customer)
    await office.h.deliver(PaymentMethodExpiring(state=card))
    assert sorted(await queued(office)) == [
        ("card_expiring", "billing@okafor.example"),
        ("card_expiring", "owner@okafor.example"),
    ]
    mails = await office.mails()
    assert {(mail["subject_kind"], mail["subject_id"], mail["invoice_id"]) for mail in mails} == {
        ("payment_method", card.id, None)
    }


async def test_what_happens_to_a_subscription_is_told_and_a_request_goes_to_the_merchant(office: Office) -> None:
    await office.is_known()
    person = builders.person(email="ada@n.example")
    await office.h.deliver(MemberAdded(state=builders.member(office.merchant, person, role="admin")))
    agreed = builders.subscription(office.customer)
    wish = ChangeWish(wish="cancel", note="We move away.", asked_by="Sam")
    await office.h.deliver(SubscriptionPaused(state=agreed), sequence=1)
    await office.h.deliver(SubscriptionChangeRequested(state=agreed, wish=wish), sequence=2)
    await office.h.deliver(SubscriptionCancelPlanned(state=agreed), sequence=3)
    await office.h.deliver(SubscriptionCancelled(state=agreed), sequence=4)
    offered = builders.subscription(office.customer, status="pending", accepted_at=None)
    await office.h.deliver(SubscriptionCancelled(state=offered))
    assert sorted(await queued(office)) == [
        ("customer_request", "ada@n.example"),
        ("subscription_cancel_planned", "sam@okafor.example"),
        ("subscription_cancelled", "sam@okafor.example"),
        ("subscription_paused", "sam@okafor.example"),
    ]


async def test_a_failed_charge_is_told_as_such_or_as_one_to_confirm(office: Office) -> None:
    await office.is_known()
    for confirm in (False, True):
        failed = office.invoice.model_copy(update={"collection": Collection(failures=1, confirm=confirm)})
        await office.h.deliver(InvoiceChargeFailed(state=failed))
    assert sorted(template for template, _ in await queued(office)) == ["confirm_payment", "payment_failed"]


async def test_a_charge_is_announced_once_with_the_notice_that_its_merchant_wants(office: Office) -> None:
    await office.is_known()
    today = office.h.clock.now().date()
    charge = PlannedCharge(on=today + timedelta(days=5), amount=1200)
    old = Period(starts_on=today - timedelta(days=25), ends_on=today + timedelta(days=4))
    agreed = builders.subscription(office.customer, next_charge=charge, current_period=old)
    await office.h.deliver(SubscriptionAccepted(state=agreed))
    queue = partial(on_renewal_ahead, mail_host="portal.example")
    await announce_renewals(office.h.runtime, queue=queue)
    assert await queued(office) == []
    wants = BillingDefaults(id=office.merchant.id, merchant_id=agreed.merchant_id, renewal_notice_days=7)
    await office.h.deliver(BillingDefaultsChanged(state=wants))
    for _ in range(2):
        await announce_renewals(office.h.runtime, queue=queue)
    assert await queued(office) == [("renewal_ahead", "sam@okafor.example")]
    [mail] = await office.mails()
    assert mail["occasion"] == f"renewal-{charge.on}"


async def test_the_longest_notice_is_given_in_the_morning_where_the_merchants_day_is_ahead(office: Office) -> None:
    """Half past nine of 2 March on the islands, where UTC has the first: the 30 days to 1 April begin."""
    office.merchant = office.merchant.model_copy(update={"time_zone": "Pacific/Kiritimati"})
    await office.is_known()
    charge = PlannedCharge(on=date(2026, 4, 1), amount=1200)
    old = Period(starts_on=date(2026, 3, 1), ends_on=date(2026, 3, 31))
    agreed = builders.subscription(office.customer, next_charge=charge, current_period=old)
    await office.h.deliver(SubscriptionAccepted(state=agreed))
    wants = BillingDefaults(id=office.merchant.id, merchant_id=agreed.merchant_id, renewal_notice_days=30)
    await office.h.deliver(BillingDefaultsChanged(state=wants))
    queue = partial(on_renewal_ahead, mail_host="portal.example")
    office.h.clock.at = datetime(2026, 3, 1, 18, 30, tzinfo=UTC)
    await announce_renewals(office.h.runtime, queue=queue)
    assert await queued(office) == []
    office.h.clock.at = datetime(2026, 3, 1, 19, 30, tzinfo=UTC)
    await announce_renewals(office.h.runtime, queue=queue)
    assert await queued(office) == [("renewal_ahead", "sam@okafor.example")]
