"""Subscriptions and payment plans in the API and on the pages: who sees which, what is asked of billing, what is refused."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from chassis.tokens import digest
from contracts.billing import (
    AcceptSubscription,
    AskAboutSubscription,
    CancelSubscription,
    ChangeNotPermitted,
    CreatePaymentLink,
    CreateSubscription,
    Instalment,
    InvoiceOpened,
    PayLink,
    PlannedCharge,
    PreviewSubscription,
    SetupStarted,
    StartInvoicePayment,
    Subscription,
    SubscriptionAccepted,
    SubscriptionCancelled,
    SubscriptionCreated,
    SubscriptionPreview,
)
from contracts.identity import Contact, ContactChanged, Customer, Member, Merchant, SignIn
from contracts.message import FieldError, InvalidInput, NotAllowed, SubscriptionId
from services.gateway import readmodel
from services.gateway.domain import Viewer
from tests.integration.gateway.browsing import CHECKOUT, posted, problem, signed_in
from tests.integration.gateway.world import World, invoice, subscription, with_link

LINE = {"description": "Hosting", "unit_amount": 1200}
MONTHLY: dict[str, Any] = {"kind": "recurring", "currency": "EUR", "lines": [LINE], "interval": {"unit": "month"}}
PLAN: dict[str, Any] = {"kind": "payment_plan", "currency": "EUR", "lines": [LINE]}


# --- the API --------------------------------------------------------------------------------------------------------


async def test_a_contact_lists_their_customers_subscriptions_alone(
    world: World, merchant: Merchant, customer: Customer, contact: Contact, member: Member
) -> None:
    other = await world.customer(merchant, "Bob")
    own, ended, foreign = subscription(customer), subscription(customer, "cancelled"), subscription(other)
    for each in (own, foreign):
        await world.hear(SubscriptionAccepted(state=each))
    await world.hear(SubscriptionCancelled(state=ended))
    async with world.client(await world.sign_in(contact)) as browser:
        listed = (await browser.get("/api/v1/subscriptions")).json()["items"]
        assert [each["id"] for each in listed] == [str(ended.id), str(own.id)]
        assert listed[1]["next_charge"] == {"on": "2026-04-02", "amount": 1200, "period": None, "instalment": None}
        running = (await browser.get("/api/v1/subscriptions?status=active")).json()["items"]
        assert [each["id"] for each in running] == [str(own.id)]
        theirs = await browser.get(f"/api/v1/subscriptions?customer_id={other.id}")
        assert theirs.json()["items"] == []
    async with world.client(await world.sign_in(member)) as browser:
        listed = (await browser.get("/api/v1/subscriptions?limit=2")).json()
        rest = (await browser.get(f"/api/v1/subscriptions?limit=2&cursor={listed['next_cursor']}")).json()
        seen = [each["id"] for each in (*listed["items"], *rest["items"])]
        assert seen == sorted((str(own.id), str(ended.id), str(foreign.id)), reverse=True)


async def test_it_is_past_due_by_an_open_invoice_of_its_own_alone(world: World, customer: Customer) -> None:
    late, fine = subscription(customer), subscription(customer)
    for bill in (
        invoice(customer, subscription_id=late.id, due_on=date(2026, 3, 1)),
        invoice(customer, "paid", subscription_id=fine.id, due_on=date(2026, 3, 1)),
        invoice(customer, subscription_id=fine.id, due_on=date(2026, 3, 2)),
        invoice(customer, due_on=date(2026, 3, 1)),
    ):
        await world.hear(InvoiceOpened(state=bill))
    viewer, ids = Viewer(customer.merchant_id), [late.id, fine.id]
    assert await readmodel.past_due(world.h.db, viewer, ids, date(2026, 3, 2)) == {late.id}
    assert [each.due_on for each in (await readmodel.invoices_of(world.h.db, viewer, fine.id)).items] == [
        date(2026, 3, 2),
        date(2026, 3, 1),
    ]


async def test_a_recurring_link_and_a_plan_become_a_subscription(
    world: World, customer: Customer, member: Member
) -> None:
    made = subscription(customer, "pending")
    world.owners.answers[CreateSubscription] = lambda _: made
    path = f"/api/v1/customers/{customer.id}/payment-links"
    async with world.client(await world.sign_in(member)) as browser:
        given = MONTHLY | {"ends": {"after": 12}, "trial_days": 14, "allow_customer_cancel": True, "send_email": True}
        answer = await browser.post(path, json=given)
        assert (answer.status_code, answer.json()["id"], answer.json()["status"]) == (201, str(made.id), "pending")
        equal = {"instalments": {"count": 3, "interval": {"unit": "month", "count": 2}}}
        assert (await browser.post(path, json=PLAN | equal)).status_code == 201
        custom = {"instalments": [{"amount": 700}, {"due_on": "2026-05-01", "amount": 500}]}
        assert (await browser.post(path, json=PLAN | custom)).status_code == 201
    orders = [each.request for each in world.owners.asked if isinstance(each.request, CreateSubscription)]
    first, second, third = orders
    assert (first.trial_days, first.allow_customer_cancel, first.allow_customer_pause) == (14, True, None)
    assert first.ends is not None
    assert (first.ends.after, first.interval and first.interval.unit) == (12, "month")
    assert (second.instalment_count, second.interval and second.interval.count, second.instalments) == (3, 2, None)
    assert third.instalments is not None
    assert [(each.amount, each.due_on) for each in third.instalments] == [(700, None), (500, date(2026, 5, 1))]
    assert (third.instalment_count, third.interval) == (None, None)


async def test_a_wrong_link_is_refused_by_the_names_that_it_was_given_with(
    world: World, customer: Customer, member: Member
) -> None:
    wrong = [
        FieldError(field="instalment_count", message="At most 36."),
        FieldError(field="interval.count", message="At most 36 months."),
        FieldError(field="link_expires_at", message="In the future, please."),
    ]
    world.owners.answers[CreateSubscription] = lambda _: InvalidInput(errors=tuple(wrong))
    path = f"/api/v1/customers/{customer.id}/payment-links"
    async with world.client(await world.sign_in(member)) as browser:

        async def fields(body: dict[str, Any]) -> list[str]:
            return [each["field"] for each in problem(await browser.post(path, json=body), 422)["errors"]]

        equal = PLAN | {"instalments": {"count": 99}}
        assert await fields(equal) == ["instalments.count", "instalments.interval.count", "expires_at"]
        asked = len(world.owners.asked)
        assert await fields({"kind": "monthly", "currency": "EUR", "lines": [LINE]}) == ["kind"]
        assert await fields(MONTHLY | {"interval": {"unit": "fortnight"}}) == ["interval.unit"]
        assert await fields(PLAN | {"instalments": [{"amount": "12.00"}]}) == ["instalments.0.amount"]
        assert await fields(PLAN | {"instalments": {"interval": None}}) == ["instalments.count"]
        assert await fields(MONTHLY | {"due_on": "2026-04-01"}) == ["due_on"]
        assert await fields(PLAN) == ["instalments"]
    assert len(world.owners.asked) == asked
    assert CreatePaymentLink not in {type(each.request) for each in world.owners.asked}


async def test_a_change_is_previewed_ordered_and_refused_with_its_reason(
    world: World, customer: Customer, contact: Contact
) -> None:
    agreed = subscription(customer)
    await world.hear(SubscriptionAccepted(state=agreed))
    seen = SubscriptionPreview(allowed=False, why_not="minimum-term", reason="Two more.", ask=True, status="active")
    world.owners.answers[PreviewSubscription] = lambda _: seen
    world.owners.answers[CancelSubscription] = lambda _: ChangeNotPermitted("Two more.", why="minimum-term", ask=True)
    async with world.client(await world.sign_in(contact)) as browser:
        path = f"/api/v1/subscriptions/{agreed.id}"
        shown = (await browser.post(f"{path}/preview", json={"action": "cancel", "when": "period_end"})).json()
        assert (shown["allowed"], shown["why_not"], shown["ask"]) == (False, "minimum-term", True)
        refused = problem(await browser.post(f"{path}/cancel", json={"when": "period_end", "reason": "Moved"}), 403)
        assert (refused["why"], refused["ask"], refused["detail"]) == ("minimum-term", True, "Two more.")
    orders = [each.request for each in world.owners.asked if isinstance(each.request, CancelSubscription)]
    assert orders == [CancelSubscription(subscription_id=SubscriptionId(agreed.id), when="period_end", reason="Moved")]


# --- the pages ------------------------------------------------------------------------------------------------------


async def accepted(world: World, customer: Customer, **values: Any) -> Subscription:
    state = subscription(customer, **values)
    await world.hear(SubscriptionAccepted(state=state))
    return state


async def test_the_list_says_what_comes_when_and_what_is_past_due(
    world: World, customer: Customer, contact: Contact, member: Member
) -> None:
    late = await accepted(world, customer, title="Backups")
    await accepted(world, customer, status="cancelled", title="Old hosting", ended_on=date(2026, 2, 1))
    await world.hear(InvoiceOpened(state=invoice(customer, subscription_id=late.id, due_on=date(2026, 3, 1))))
    async with await signed_in(world, contact) as browser:
        page = (await browser.get("/portal/subscriptions")).text
        for words in ("Backups", "€12.00 every month", "Past due", "Apr 2, 2026", "Old hosting", "Feb 1, 2026"):
            assert words in page
        home = (await browser.get("/portal")).text
        assert "Next charges" in home
        assert "Backups" in home
    async with await signed_in(world, member) as browser:
        tab = (await browser.get(f"/console/customers/{customer.id}/subscriptions")).text
        assert f"/console/subscriptions/{late.id}" in tab


async def test_a_page_is_of_ones_own_customer_alone(world: World, merchant: Merchant, contact: Contact) -> None:
    foreign = await accepted(world, await world.customer(merchant, "Bob"))
    async with await signed_in(world, contact) as browser:
        for path in ("", "/pause", "/cancel", "/ask"):
            assert (await browser.get(f"/portal/subscriptions/{foreign.id}{path}")).status_code == 404
    assert [each for each in world.owners.asked if not isinstance(each.request, SignIn)] == []


async def test_a_forbidden_change_says_why_and_leads_to_asking_the_merchant(
    world: World, customer: Customer, contact: Contact
) -> None:
    agreed = await accepted(world, customer)
    seen = SubscriptionPreview(allowed=False, why_not="minimum-term", reason="Two more.", ask=True, status="active")
    world.owners.answers[PreviewSubscription] = lambda _: seen
    world.owners.answers[AskAboutSubscription] = lambda _: agreed
    base = f"/portal/subscriptions/{agreed.id}"
    async with await signed_in(world, contact) as browser:
        shown = (await browser.get(base)).text
        assert "To pause or cancel it, ask Nordlicht GmbH." in shown
        assert f"{base}/ask?wish=cancel" in shown
        page = (await browser.get(f"{base}/cancel")).text
        assert "It can be cancelled only after the payments that were agreed." in page
        assert '<button class="button danger">' not in page
        answer = await posted(browser, f"{base}/ask?wish=cancel", f"{base}/ask", wish="cancel", note="We move away.")
        assert (answer.status_code, answer.headers["location"]) == (303, f"{base}?done=merchant-asked")
    orders = [each.request for each in world.owners.asked if isinstance(each.request, AskAboutSubscription)]
    assert [(each.wish, each.note) for each in orders] == [("cancel", "We move away.")]


async def test_a_cancellation_is_shown_before_it_is_confirmed_and_sent_as_shown(
    world: World, customer: Customer, contact: Contact
) -> None:
    agreed = await accepted(world, customer, allow_customer_cancel=True)
    gone = PlannedCharge(on=date(2026, 5, 2), amount=1200)
    seen = SubscriptionPreview(allowed=True, disappear=(gone,), effective_on=date(2026, 4, 2), status="active")
    world.owners.answers[PreviewSubscription] = lambda _: seen
    after = agreed.model_copy(update={"cancel_on": date(2026, 4, 2)})
    world.owners.answers[CancelSubscription] = lambda _: after
    base = f"/portal/subscriptions/{agreed.id}"
    async with await signed_in(world, contact) as browser:
        page = (await browser.get(f"{base}/cancel")).text
        for words in ("It ends on Apr 2, 2026.", "These charges will not come", "May 2, 2026", "€12.00"):
            assert words in page
        answer = await posted(browser, f"{base}/cancel", when="period_end", reason="Too dear")
        assert (answer.status_code, answer.headers["location"]) == (303, f"{base}?done=cancel-planned")
    questions = [each.request for each in world.owners.asked if isinstance(each.request, PreviewSubscription)]
    assert {(each.action, each.when) for each in questions} == {("cancel", "period_end")}
    [order] = [each.request for each in world.owners.asked if isinstance(each.request, CancelSubscription)]
    assert (order.when, order.rest, order.reason) == ("period_end", None, "Too dear")


async def test_a_choice_whose_consequences_were_not_looked_at_is_shown_first(
    world: World, customer: Customer, contact: Contact
) -> None:
    agreed = await accepted(world, customer, allow_customer_cancel=True)
    seen = SubscriptionPreview(allowed=True, effective_on=date(2026, 3, 2), status="active")
    world.owners.answers[PreviewSubscription] = lambda _: seen
    world.owners.answers[CancelSubscription] = lambda _: agreed.model_copy(update={"status": "cancelled"})
    base = f"/portal/subscriptions/{agreed.id}"
    chosen = {"seen.when": "period_end", "when": "now", "reason": "Too dear"}
    async with await signed_in(world, contact) as browser:
        anew = await posted(browser, f"{base}/cancel", **chosen)
        assert (anew.status_code, "You have chosen something else." in anew.text) == (200, True)
        assert 'name="seen.when" value="now"' in anew.text
        assert "Too dear" in anew.text
        looked = await posted(browser, f"{base}/cancel", look="again", **chosen)
        assert (looked.status_code, "You have chosen something else." in looked.text) == (200, False)
        assert CancelSubscription not in {type(each.request) for each in world.owners.asked}
        answer = await posted(browser, f"{base}/cancel", **chosen | {"seen.when": "now"})
        assert (answer.status_code, answer.headers["location"]) == (303, f"{base}?done=cancelled")
    [order] = [each.request for each in world.owners.asked if isinstance(each.request, CancelSubscription)]
    assert (order.when, order.reason) == ("now", "Too dear")


async def test_before_the_minimum_term_is_over_the_customer_asks_and_is_told_how_far_it_is(
    world: World, customer: Customer, contact: Contact
) -> None:
    agreed = await accepted(world, customer, allow_customer_cancel=True, minimum_payments=3, charges_paid=1)
    seen = SubscriptionPreview(allowed=False, why_not="minimum-term", reason="Two more.", ask=True, status="active")
    world.owners.answers[PreviewSubscription] = lambda _: seen
    base = f"/portal/subscriptions/{agreed.id}"
    async with await signed_in(world, contact) as browser:
        page = (await browser.get(base)).text
        assert f'href="{base}/ask?wish=cancel">Ask to cancel it</a>' in page
        assert f'href="{base}/cancel"' not in page
        refused = (await browser.get(f"{base}/cancel")).text
        assert "only after the payments that were agreed: 1 of 3 so far." in refused


async def test_a_planned_cancellation_is_seen_in_the_list_and_taken_back_by_whoever_planned_it(
    world: World, customer: Customer, contact: Contact, member: Member
) -> None:
    ends: dict[str, Any] = {"allow_customer_cancel": True, "cancel_on": date(2026, 4, 2), "next_charge": None}
    own = await accepted(world, customer, cancelled_by="customer", **ends)
    theirs = await accepted(world, customer, cancelled_by="merchant", **ends)
    async with await signed_in(world, contact) as browser:
        assert (await browser.get("/portal/subscriptions")).text.count("none, it ends on Apr 2, 2026") == 2
        page = (await browser.get(f"/portal/subscriptions/{own.id}")).text
        assert "Do not cancel after all" in page
        assert "You may cancel it at any time." not in page
        page = (await browser.get(f"/portal/subscriptions/{theirs.id}")).text
        assert "Ask not to cancel it" in page
        assert "Do not cancel after all" not in page
    async with await signed_in(world, member) as browser:
        assert "Do not cancel after all" in (await browser.get(f"/console/subscriptions/{own.id}")).text


async def test_a_pause_that_cannot_be_comes_back_with_what_was_chosen(
    world: World, customer: Customer, contact: Contact
) -> None:
    agreed = await accepted(world, customer, allow_customer_pause=True)
    values: dict[str, Any] = {"first": {"date": "2026-03-03"}, "last": {"date": "2028-03-02"}}
    error = FieldError(field="until", code="pause-end-out-of-range", message="No.", values=values)
    world.owners.answers[PreviewSubscription] = lambda _: InvalidInput(errors=(error,))
    async with await signed_in(world, contact) as browser:
        answer = await browser.get(f"/portal/subscriptions/{agreed.id}/pause?until=2020-01-01&when=now")
    assert answer.status_code == 422
    assert 'value="2020-01-01"' in answer.text
    assert "The pause must end between Mar 3, 2026 and Mar 2, 2028." in answer.text
    assert "Pause it" not in answer.text


async def test_the_form_of_a_link_makes_a_subscription_or_comes_back_filled(
    world: World, customer: Customer, member: Member
) -> None:
    made = subscription(customer, "pending")
    world.owners.answers[CreateSubscription] = lambda _: made
    path = f"/console/customers/{customer.id}/payment-links/new"
    line = {
        "lines.0.description": "Hosting",
        "lines.0.unit_amount": "12.00",
        "lines.0.quantity": "1",
        "currency": "EUR",
    }
    every = {"kind": "recurring", "interval.count": "2", "interval.unit": "week", "ends.after": "6", "press": "email"}
    plan = {"kind": "payment_plan", "split": "custom", "press": "save", "plan_on_cancel": "waive"}
    rows = {"instalments.0.amount": "7.00", "instalments.2.amount": "5.00", "instalments.2.due_on": "2026-05-01"}
    async with await signed_in(world, member) as browser:
        answer = await posted(browser, path, **line | every)
        assert answer.headers["location"] == f"/console/subscriptions/{made.id}?done=offer-mailed"
        answer = await posted(browser, path, **line | plan | rows)
        assert answer.headers["location"] == f"/console/subscriptions/{made.id}?done=offer-saved"
        wrong = await posted(browser, path, **line | plan | {"instalments.0.amount": "seven"})
        assert wrong.status_code == 422
        assert 'value="seven"' in wrong.text
        assert 'value="payment_plan" checked' in wrong.text
        longer = await posted(browser, path, **line | plan | rows | {"press": "add_instalments"})
        assert 'name="instalments.5.amount"' in longer.text
    first, second = (each.request for each in world.owners.asked if isinstance(each.request, CreateSubscription))
    assert (first.interval and (first.interval.unit, first.interval.count), first.send_email) == (("week", 2), True)
    assert (first.ends and first.ends.after, first.instalments) == (6, None)
    assert second.instalments is not None
    assert [(each.amount, each.due_on) for each in second.instalments] == [(700, None), (500, date(2026, 5, 1))]
    assert (second.interval, second.instalment_count, second.plan_on_cancel) == (None, None, "waive")


async def test_the_first_invoices_link_says_what_is_agreed_by_paying(world: World, customer: Customer) -> None:
    pending = subscription(customer, "pending", ends_after=6, allow_customer_cancel=True, minimum_payments=3)
    bill = with_link(invoice(customer, subscription_id=pending.id), digest("agree"))
    await world.hear(InvoiceOpened(state=bill))
    await world.hear(SubscriptionCreated(state=pending))
    async with world.client() as visitor:
        page = (await visitor.get("/pay/agree")).text
        for words in (
            "By paying you agree to this: €12.00 every month.",
            "It ends after 6 payments.",
            "You may cancel it after 3 payments.",
        ):
            assert words in page
        await world.hear(SubscriptionAccepted(state=pending.model_copy(update={"status": "active"})))
        assert "By paying you agree" not in (await visitor.get("/pay/agree")).text


@pytest.mark.parametrize(
    ("rest", "says", "offers"),
    [
        ("ask", "To cancel it, ask Nordlicht GmbH.", "Ask to cancel it"),
        ("owe", "The remaining instalments are then due at once.", "Cancel it"),
        ("waive", "The remaining instalments are then waived.", "Cancel it"),
    ],
)
async def test_a_plan_promises_no_cancellation_that_is_the_merchants_to_decide(
    world: World, customer: Customer, contact: Contact, rest: str, says: str, offers: str
) -> None:
    parts = tuple(Instalment(number=number, amount=amount) for number, amount in ((1, 400), (2, 400), (3, 401)))
    plan: dict[str, Any] = {"kind": "payment_plan", "instalments": parts, "total": 1201, "plan_on_cancel": rest}
    agreed = subscription(customer, "pending", allow_customer_cancel=True, allow_customer_pause=True, **plan)
    here = f"/portal/subscriptions/{agreed.id}"
    await world.hear(SubscriptionCreated(state=agreed))
    async with await signed_in(world, contact) as browser:
        page = (await browser.get(here)).text
        assert says in page
        assert ("You may cancel it at any time." in page) is (rest != "ask")
        assert "After the first instalment: €4.00 every month." in page
        running = {"status": "active", "next_charge": PlannedCharge(on=date(2026, 5, 2), amount=400)}
        await world.hear(SubscriptionAccepted(state=agreed.model_copy(update=running)))
        assert f">{offers}</a>" in (await browser.get(here)).text


async def test_in_the_portal_too_nobody_begins_a_subscription_without_having_read_what_is_agreed(
    world: World, customer: Customer, contact: Contact
) -> None:
    pending = subscription(customer, "pending", ends_after=6)
    bill = invoice(customer, subscription_id=pending.id)
    await world.hear(InvoiceOpened(state=bill))
    await world.hear(SubscriptionCreated(state=pending))
    world.owners.answers[StartInvoicePayment] = lambda _: CHECKOUT
    here = f"/portal/payments/{bill.id}"
    async with await signed_in(world, contact) as browser:
        page = (await browser.get(here)).text
        assert "By paying you agree to this: €12.00 every month." in page
        assert "It ends after 6 payments." in page
        pressed_in_a_list = await posted(browser, "/portal/payments", path=f"{here}/pay")
        assert (pressed_in_a_list.status_code, pressed_in_a_list.headers["location"]) == (303, here)
        assert [each for each in world.owners.asked if isinstance(each.request, StartInvoicePayment)] == []
        pressed_here = await posted(browser, here, path=f"{here}/pay", agreed="yes")
        assert pressed_here.headers["location"] == CHECKOUT.checkout_url
        await world.hear(SubscriptionAccepted(state=pending.model_copy(update={"status": "active"})))
        assert "By paying you agree" not in (await browser.get(here)).text
        pressed_in_a_list = await posted(browser, "/portal/payments", path=f"{here}/pay")
        assert pressed_in_a_list.headers["location"] == CHECKOUT.checkout_url


async def test_an_offer_is_accepted_in_the_portal_by_who_looks_after_the_payments(
    world: World, customer: Customer, contact: Contact
) -> None:
    offered = subscription(customer, "pending", trial_days=14)
    await world.hear(SubscriptionCreated(state=offered))
    world.owners.answers[AcceptSubscription] = lambda _: SetupStarted(setup_url="https://setup.example/x")
    here = f"/portal/subscriptions/{offered.id}"
    async with await signed_in(world, contact) as browser:
        listed = (await browser.get("/portal/subscriptions")).text
        assert "Waiting for you" in listed
        assert ">Active<" not in listed
        answer = await posted(browser, here, path=f"{here}/accept")
        assert (answer.status_code, answer.headers["location"]) == (303, "https://setup.example/x")
        asked = world.owners.asked[-1]
        assert asked.request == AcceptSubscription(
            subscription_id=SubscriptionId(offered.id), return_path=f"{here}?accepted=confirming"
        )
        assert "It is being confirmed." in (await browser.get(f"{here}?accepted=confirming")).text
        world.owners.answers[AcceptSubscription] = lambda _: NotAllowed("Only an owner or a billing contact may.")
        refused = await posted(browser, here, path=f"{here}/accept")
        assert (refused.status_code, 'id="problem"' in refused.text) == (403, True)
    onlooker = (await world.contact(customer)).model_copy(update={"role": "member"})
    await world.hear(ContactChanged(state=onlooker))
    async with await signed_in(world, onlooker) as browser:
        assert f"{here}/accept" not in (await browser.get(here)).text


async def test_an_offer_without_an_invoice_has_a_page_of_its_own(world: World, customer: Customer) -> None:
    offered = subscription(customer, "pending", trial_days=14, link=PayLink(token_sha256=digest("offer")))
    await world.hear(SubscriptionCreated(state=offered))
    world.owners.answers[AcceptSubscription] = lambda _: SetupStarted(setup_url="https://setup.example/x")
    async with world.client() as visitor:
        page = await visitor.get("/pay/offer")
        assert page.status_code == 200
        for words in ("€12.00 every month", "The first 14 days are free.", "Nothing is due today."):
            assert words in page.text
        started = await posted(visitor, "/pay/offer")
        assert (started.status_code, started.headers["location"]) == (303, "https://setup.example/x")
        [asked] = world.owners.asked
        assert asked.request == AcceptSubscription(
            subscription_id=SubscriptionId(offered.id),
            link_token_sha256=digest("offer"),
            return_path="/pay/offer?accepted=confirming",
        )
        assert asked.cause.actor.kind == "public"
        await world.hear(SubscriptionCancelled(state=offered.model_copy(update={"status": "cancelled"})))
        over = await visitor.get("/pay/offer")
        assert (over.status_code, "nothing to accept any more" in over.text) == (410, True)
