"""Subscriptions and payment plans, made, accepted and changed on the real database, over the fake and over the sandbox."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from chassis.ids import new_id
from chassis.tokens import digest
from contracts.billing import (
    AskAboutSubscription,
    BillingMailFacts,
    CancelSubscription,
    ChangeNotPermitted,
    CreateSubscription,
    Invoice,
    NewEnd,
    NewInstalment,
    NewInterval,
    NewLine,
    PauseSubscription,
    PreviewSubscription,
    ResumeSubscription,
    Subscription,
    SubscriptionNotChangeable,
    UndoCancelSubscription,
    VoidInvoice,
)
from contracts.message import InvalidInput, InvoiceId, NotAllowed, NotFound, SubscriptionId
from services.billing.store import subscriptions
from tests.integration.billing.shop import Shop

MONTHLY = NewInterval(unit="month")


def monthly(shop: Shop, **changes: Any) -> CreateSubscription:
    """The command for EUR 12.50 each month."""
    given: dict[str, Any] = {
        "customer_id": shop.customer.id,
        "kind": "recurring",
        "currency": "EUR",
        "lines": (NewLine(description="Website care", unit_amount=1250),),
        "interval": MONTHLY,
    }
    return CreateSubscription(**(given | changes))


def plan_of_three(shop: Shop, **changes: Any) -> CreateSubscription:
    """The command for EUR 100 in three parts."""
    given = {"kind": "payment_plan", "lines": (NewLine(description="Website", unit_amount=10000),)}
    return monthly(shop, **(given | {"instalment_count": 3} | changes))


async def now(shop: Shop, subscription: Subscription) -> Subscription:
    """It as it is now."""
    found = await subscriptions.subscription(shop.h.db, shop.merchant_id, SubscriptionId(subscription.id))
    assert found is not None
    return found.state


async def first_invoice(shop: Shop, subscription: Subscription) -> Invoice:
    """The invoice whose payment accepts it."""
    assert subscription.first_invoice_id is not None
    (row,) = await shop.h.db.fetch("SELECT id FROM invoice WHERE id = $1", subscription.first_invoice_id)
    return await shop.invoice_of(InvoiceId(row["id"]))


async def accepted(shop: Shop, command: CreateSubscription) -> Subscription:
    """A subscription whose first invoice the customer has paid."""
    made: Subscription = await shop.order(command)
    started = await shop.pay(await first_invoice(shop, made), shop.contact())
    await shop.customer_pays(started)
    return await now(shop, made)


async def test_a_monthly_subscription_opens_its_first_invoice_and_paying_it_accepts_it(shop: Shop) -> None:
    made: Subscription = await shop.order(monthly(shop))
    assert (made.status, made.title, made.total, made.link) == ("pending", "Website care", 1250, None)
    invoice = await first_invoice(shop, made)
    assert (invoice.kind, invoice.status, invoice.number, invoice.total) == ("recurring", "open", "INV-1", 1250)
    assert (invoice.subscription_id, invoice.period, invoice.collection) == (made.id, None, None)
    started = await shop.pay(invoice, shop.contact())
    await shop.customer_pays(started)
    today = shop.clock.now().date()
    active = await now(shop, made)
    assert (active.status, active.anchor_on, active.charges_made, active.charges_paid) == ("active", today, 1, 1)
    assert active.next_charge is not None
    assert active.next_charge.on > today + timedelta(days=27)
    paid = await shop.invoice_of(InvoiceId(invoice.id))
    assert paid.status == "paid"
    assert paid.period == active.current_period
    assert paid.period is not None
    assert paid.period.ends_on == active.next_charge.on - timedelta(days=1)


async def test_it_is_announced_with_its_first_invoice_and_accepted_once(shop: Shop) -> None:
    await shop.news()
    made: Subscription = await shop.order(monthly(shop, send_email=True))
    assert await shop.news() == ["invoice.opened", "subscription.created", "invoice.link_email_requested"]
    started = await shop.pay(await first_invoice(shop, made), shop.contact())
    await shop.news()
    await shop.customer_pays(started)
    assert (await shop.news()).count("subscription.accepted") == 1


async def test_a_plan_charges_its_parts_and_their_tax_exactly(shop: Shop) -> None:
    line = NewLine(description="Website", unit_amount=10000, tax_rate=19)
    made = await accepted(shop, plan_of_three(shop, lines=(line,)))
    assert [each.amount for each in made.instalments] == [3966, 3966, 3968]
    assert [each.status for each in made.instalments] == ["invoiced", "planned", "planned"]
    invoice = await first_invoice(shop, made)
    assert (invoice.kind, invoice.instalment, invoice.total, invoice.subtotal, invoice.tax) == (
        "payment_plan",
        1,
        3966,
        3333,
        633,
    )
    assert made.next_charge is not None
    assert (made.next_charge.instalment, made.next_charge.amount) == (2, 3966)


async def test_the_mail_of_a_first_invoice_is_told_what_paying_it_accepts(shop: Shop) -> None:
    made: Subscription = await shop.order(monthly(shop, send_email=True))
    first = await first_invoice(shop, made)
    question = BillingMailFacts(kind="payment_link", id=InvoiceId(first.id))
    told = (await shop.h.ask(question, merchant_id=shop.merchant_id)).facts
    assert Subscription.model_validate(told["accepts"]) == made
    once = await shop.link()
    question = BillingMailFacts(kind="payment_link", id=InvoiceId(once.id))
    assert "accepts" not in (await shop.h.ask(question, merchant_id=shop.merchant_id)).facts


async def test_with_a_trial_nothing_is_due_and_it_has_a_link_of_its_own(shop: Shop) -> None:
    made: Subscription = await shop.order(monthly(shop, trial_days=14, send_email=True))
    assert made.first_invoice_id is None
    assert made.link is not None
    assert await shop.h.db.fetchval("SELECT count(*) FROM invoice") == 0
    assert (await shop.news())[-2:] == ["subscription.created", "subscription.link_email_requested"]


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"interval": None}, "interval", "interval-missing"),
        ({"interval": NewInterval(unit="month", count=0)}, "interval.count", "interval-out-of-range"),
        ({"interval": NewInterval(unit="year", count=10**30)}, "interval.count", "interval-out-of-range"),
        ({"trial_days": -1}, "trial_days", "number-out-of-range"),
        ({"starts_on": date(1900, 1, 1)}, "starts_on", "start-out-of-range"),
        ({"starts_on": date(9999, 1, 1)}, "starts_on", "start-out-of-range"),
        ({"ends": NewEnd(on=date(1900, 1, 1))}, "ends.on", "end-before-start"),
        ({"ends": NewEnd(after=0)}, "ends.after", "number-out-of-range"),
        ({"ends": NewEnd(after=-3)}, "ends.after", "number-out-of-range"),
        ({"ends": NewEnd(after=3, on=date(2099, 1, 1))}, "ends", "two-ends"),
        ({"currency": "XXX"}, "currency", "currency-not-in-use"),
        ({"minimum_payments": -1}, "minimum_payments", "number-out-of-range"),
        ({"instalment_count": 3}, "instalment_count", "does-not-belong"),
        ({"lines": (NewLine(description="Cheap", unit_amount=1),)}, "lines", "total-too-small"),
        ({"kind": "payment_plan"}, "instalments", "instalments-missing"),
        ({"kind": "payment_plan", "instalment_count": 37}, "instalment_count", "instalments-out-of-range"),
        ({"kind": "payment_plan", "instalment_count": 3, "interval": None}, "interval", "interval-missing"),
        ({"kind": "payment_plan", "instalment_count": 3, "trial_days": 3}, "trial_days", "does-not-belong"),
        (
            {"kind": "payment_plan", "interval": None, "instalments": (NewInstalment(amount=1000),)},
            "instalments",
            "instalments-sum-differs",
        ),
        (
            {
                "kind": "payment_plan",
                "interval": None,
                "instalments": (NewInstalment(amount=1000), NewInstalment(amount=250)),
            },
            "instalments",
            "instalments-without-days",
        ),
        (
            {"kind": "payment_plan", "interval": None, "instalments": (NewInstalment(amount=100),) * 37},
            "instalments",
            "instalments-out-of-range",
        ),
        ({"kind": "payment_plan", "instalment_count": 26}, "instalment_count", "instalment-too-small"),
        ({"link_expires_at": datetime.max.replace(tzinfo=UTC)}, "link_expires_at", "link-end-too-late"),
    ],
)
async def test_what_is_wrong_is_named_by_its_field_and_nothing_is_made(
    fake_shop: Shop, changes: dict[str, Any], field: str, code: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await fake_shop.order(monthly(fake_shop, **changes))
    assert (field, code) in [(each.field, each.code) for each in refused.value.errors]
    assert await fake_shop.h.db.fetchval("SELECT count(*) FROM subscription") == 0
    assert await fake_shop.h.db.fetchval("SELECT count(*) FROM invoice") == 0


async def test_another_merchants_customer_and_subscription_are_not_found(fake_shop: Shop) -> None:
    with pytest.raises(NotFound):
        await fake_shop.order(monthly(fake_shop, customer_id=new_id()))
    made = await accepted(fake_shop, monthly(fake_shop))
    stranger = fake_shop.contact().model_copy(update={"customer_id": new_id()})
    for command in (PauseSubscription, ResumeSubscription, CancelSubscription, UndoCancelSubscription):
        with pytest.raises(NotFound):
            await fake_shop.order(command(subscription_id=SubscriptionId(made.id)), stranger)
    assert await now(fake_shop, made) == made


async def test_the_customer_may_do_what_is_allowed_and_is_told_why_not(fake_shop: Shop) -> None:
    owner = fake_shop.contact().model_copy(update={"role": "owner"})
    made = await accepted(fake_shop, monthly(fake_shop, allow_customer_cancel=True, minimum_payments=2))
    order = SubscriptionId(made.id)
    with pytest.raises(ChangeNotPermitted) as paused:
        await fake_shop.order(PauseSubscription(subscription_id=order), owner)
    assert paused.value.members == {"why": "pause-not-allowed", "ask": True}
    with pytest.raises(ChangeNotPermitted) as early:
        await fake_shop.order(CancelSubscription(subscription_id=order), owner)
    assert early.value.members["why"] == "minimum-term"
    with pytest.raises(NotAllowed):
        await fake_shop.order(CancelSubscription(subscription_id=order), fake_shop.member("sales"))
    with pytest.raises(NotAllowed):
        await fake_shop.order(CancelSubscription(subscription_id=order), fake_shop.contact())
    assert await now(fake_shop, made) == made
    await fake_shop.news()
    await fake_shop.order(AskAboutSubscription(subscription_id=order, wish="pause", note="In May"), owner)
    (asked,) = await fake_shop.news_events()
    assert asked.type == "billing.subscription.change_requested.v1"
    assert asked.data["wish"] == {"wish": "pause", "note": "In May", "asked_by": "Ada"}


async def test_a_cancellation_at_the_periods_end_is_previewed_planned_and_undone(shop: Shop) -> None:
    made = await accepted(shop, monthly(shop))
    order = SubscriptionId(made.id)
    assert made.next_charge is not None
    asked = PreviewSubscription(subscription_id=order, action="cancel", when="period_end")
    seen = await shop.h.ask(asked, actor=shop.member(), merchant_id=shop.merchant_id)
    assert (seen.allowed, seen.effective_on, seen.next_charge) == (True, made.next_charge.on, None)
    assert seen.disappear[0] == made.next_charge
    planned = await shop.order(CancelSubscription(subscription_id=order, when="period_end", reason="Too dear"))
    assert (planned.status, planned.cancel_on, planned.next_charge) == ("active", made.next_charge.on, None)
    assert (planned.cancelled_by, planned.cancel_reason) == ("merchant", "Too dear")
    undone = await shop.order(UndoCancelSubscription(subscription_id=order))
    assert undone == made
    with pytest.raises(SubscriptionNotChangeable):
        await shop.order(UndoCancelSubscription(subscription_id=order))


async def test_a_preview_allows_nobody_what_the_command_would_refuse(fake_shop: Shop) -> None:
    offered = await fake_shop.order(monthly(fake_shop, allow_customer_cancel=True))
    made = await accepted(fake_shop, monthly(fake_shop, allow_customer_cancel=True))
    for whose, subscription, why, ask in (
        (fake_shop.member("sales"), made, "role-not-allowed", False),
        (fake_shop.contact().model_copy(update={"role": "member"}), made, "role-not-allowed", True),
        (fake_shop.contact().model_copy(update={"role": "owner"}), offered, "not-accepted", False),
    ):
        order = SubscriptionId(subscription.id)
        asked = PreviewSubscription(subscription_id=order, action="cancel")
        seen = await fake_shop.h.ask(asked, actor=whose, merchant_id=fake_shop.merchant_id)
        assert (seen.allowed, seen.why_not, seen.ask) == (False, why, ask)
        with pytest.raises((NotAllowed, SubscriptionNotChangeable)):
            await fake_shop.order(CancelSubscription(subscription_id=order), whose)


async def test_a_paused_plan_keeps_its_instalments_and_names_their_old_and_new_days(fake_shop: Shop) -> None:
    made = await accepted(fake_shop, plan_of_three(fake_shop))
    days = [each.due_on for each in made.instalments]
    assert days[1] is not None
    until = days[1] + timedelta(days=1)
    order = SubscriptionId(made.id)
    paused = await fake_shop.order(PauseSubscription(subscription_id=order, until=until))
    assert paused.status == "paused"
    assert [each.was_due_on for each in paused.instalments] == [None, days[1], days[2]]
    assert paused.instalments[1].due_on == days[2]
    open_end = await accepted(fake_shop, plan_of_three(fake_shop))
    waiting = await fake_shop.order(PauseSubscription(subscription_id=SubscriptionId(open_end.id)))
    assert [each.due_on for each in waiting.instalments] == [days[0], None, None]
    assert waiting.next_charge is None


async def test_cancelling_a_plan_asks_what_becomes_of_the_rest(fake_shop: Shop) -> None:
    made = await accepted(fake_shop, plan_of_three(fake_shop))
    order = SubscriptionId(made.id)
    asked = PreviewSubscription(subscription_id=order, action="cancel")
    seen = await fake_shop.h.ask(asked, actor=fake_shop.member(), merchant_id=fake_shop.merchant_id)
    assert (seen.rest_needed, seen.rest_amount, [each.amount for each in seen.come]) == (True, 6667, [6667])
    with pytest.raises(InvalidInput) as refused:
        await fake_shop.order(CancelSubscription(subscription_id=order))
    assert refused.value.errors[0].field == "rest"
    waived = await fake_shop.order(CancelSubscription(subscription_id=order, rest="waive"))
    assert [each.status for each in waived.instalments] == ["invoiced", "waived", "waived"]
    assert (waived.status, waived.next_charge) == ("cancelled", None)


async def test_what_becomes_of_the_rest_is_said_by_members_of_plans_only(fake_shop: Shop) -> None:
    owner = fake_shop.contact().model_copy(update={"role": "owner"})
    repeated = await accepted(fake_shop, monthly(fake_shop))
    agreed = await accepted(fake_shop, plan_of_three(fake_shop, allow_customer_cancel=True, plan_on_cancel="owe"))
    for made, actor, code in (
        (repeated, fake_shop.member(), "does-not-belong"),
        (agreed, owner, "rest-undecided"),
    ):
        order = SubscriptionId(made.id)
        with pytest.raises(InvalidInput) as refused:
            await fake_shop.order(CancelSubscription(subscription_id=order, rest="waive"), actor)
        assert [(each.field, each.code) for each in refused.value.errors] == [("rest", code)]
        asked = PreviewSubscription(subscription_id=order, action="cancel", rest="waive")
        with pytest.raises(InvalidInput):
            await fake_shop.h.ask(asked, actor=actor, merchant_id=fake_shop.merchant_id)
        assert await now(fake_shop, made) == made


@pytest.mark.parametrize(
    ("action", "given"),
    [
        ("cancel", {"until": date(2030, 1, 1)}),
        ("resume", {"until": date(2030, 1, 1)}),
        ("pause", {"rest": "waive"}),
        ("resume", {"when": "period_end"}),
        ("undo_cancel", {"when": "period_end"}),
    ],
)
async def test_a_preview_refuses_what_its_action_has_nothing_to_do_with(
    fake_shop: Shop, action: Any, given: dict[str, Any]
) -> None:
    made = await accepted(fake_shop, monthly(fake_shop) if action == "undo_cancel" else plan_of_three(fake_shop))
    if action == "undo_cancel":
        await fake_shop.order(CancelSubscription(subscription_id=SubscriptionId(made.id), when="period_end"))
    if action == "resume":
        await fake_shop.order(PauseSubscription(subscription_id=SubscriptionId(made.id)))
    asked = PreviewSubscription(subscription_id=SubscriptionId(made.id), action=action, **given)
    with pytest.raises(InvalidInput) as refused:
        await fake_shop.h.ask(asked, actor=fake_shop.member(), merchant_id=fake_shop.merchant_id)
    assert [(each.field, each.code) for each in refused.value.errors] == [(*given, "does-not-belong")]


async def test_a_plan_that_nobody_has_accepted_has_no_rest_to_decide_about(fake_shop: Shop) -> None:
    made = await fake_shop.order(plan_of_three(fake_shop))
    order = SubscriptionId(made.id)
    asked = PreviewSubscription(subscription_id=order, action="cancel")
    seen = await fake_shop.h.ask(asked, actor=fake_shop.member(), merchant_id=fake_shop.merchant_id)
    assert (seen.allowed, seen.rest_needed, seen.rest_amount) == (True, False, 0)
    with pytest.raises(InvalidInput) as refused:
        await fake_shop.h.ask(
            asked.model_copy(update={"rest": "owe"}), actor=fake_shop.member(), merchant_id=fake_shop.merchant_id
        )
    assert [(each.field, each.code) for each in refused.value.errors] == [("rest", "does-not-belong")]
    with pytest.raises(InvalidInput) as refused:
        await fake_shop.order(CancelSubscription(subscription_id=order, rest="owe"))
    assert [(each.field, each.code) for each in refused.value.errors] == [("rest", "does-not-belong")]
    assert await now(fake_shop, made) == made
    assert (await fake_shop.order(CancelSubscription(subscription_id=order))).status == "cancelled"


async def test_nothing_is_asked_about_what_is_over(fake_shop: Shop) -> None:
    made = await accepted(fake_shop, monthly(fake_shop))
    order = SubscriptionId(made.id)
    await fake_shop.order(CancelSubscription(subscription_id=order))
    await fake_shop.news()
    with pytest.raises(SubscriptionNotChangeable) as refused:
        await fake_shop.order(AskAboutSubscription(subscription_id=order, wish="resume"), fake_shop.contact())
    assert refused.value.members["why"] == "already-cancelled"
    assert await fake_shop.news() == []


async def test_what_nobody_accepted_is_cancelled_with_its_first_invoice_and_its_checkout(shop: Shop) -> None:
    made: Subscription = await shop.order(monthly(shop))
    invoice = await first_invoice(shop, made)
    started = await shop.pay(invoice, shop.contact())
    cancelled = await shop.order(CancelSubscription(subscription_id=SubscriptionId(made.id), reason="A mistake"))
    assert (cancelled.status, cancelled.cancel_reason) == ("cancelled", "A mistake")
    assert (await shop.invoice(invoice)).status == "void"
    assert await shop.session_of(started) not in await shop.till.open_sessions()


async def test_voiding_the_first_invoice_withdraws_the_offer(fake_shop: Shop) -> None:
    made: Subscription = await fake_shop.order(monthly(fake_shop))
    await fake_shop.order(VoidInvoice(invoice_id=InvoiceId(made.first_invoice_id or new_id())))
    assert (await now(fake_shop, made)).status == "cancelled"


async def test_a_mail_about_a_subscription_is_true_while_it_stands_so_and_an_offer_has_its_link(
    fake_shop: Shop,
) -> None:
    shop = fake_shop
    made: Subscription = await shop.order(monthly(shop, trial_days=14))
    offer = BillingMailFacts(kind="subscription_link", id=SubscriptionId(made.id))
    facts = await shop.h.ask(offer, merchant_id=shop.merchant_id)
    assert made.link is not None
    assert (facts.still_true, digest((facts.path or "").removeprefix("/pay/"))) == (True, made.link.token_sha256)
    paused = BillingMailFacts(kind="subscription_paused", id=SubscriptionId(made.id))
    facts = await shop.h.ask(paused, merchant_id=shop.merchant_id)
    assert (facts.still_true, facts.why_not, facts.path) == (False, "pending", None)
    planned = BillingMailFacts(kind="subscription_cancel_planned", id=SubscriptionId(made.id))
    facts = await shop.h.ask(planned, merchant_id=shop.merchant_id)
    assert (facts.still_true, facts.why_not) == (False, "pending")
    await shop.order(CancelSubscription(subscription_id=SubscriptionId(made.id)))
    facts = await shop.h.ask(offer, merchant_id=shop.merchant_id)
    assert (facts.still_true, facts.why_not, facts.path) == (False, "cancelled", None)
