"""Subscriptions and payment plans in the API and on the pages: who sees which, what is asked of billing, what is refused."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest_asyncio

from contracts.billing import (
    CancelSubscription,
    ChangeNotPermitted,
    CreatePaymentLink,
    CreateSubscription,
    InvoiceOpened,
    PreviewSubscription,
    SubscriptionAccepted,
    SubscriptionCancelled,
    SubscriptionPreview,
)
from contracts.identity import Contact, Customer, Member, Merchant
from contracts.message import FieldError, InvalidInput, SubscriptionId
from services.gateway import readmodel
from services.gateway.domain import Viewer
from tests.integration.gateway.test_api import problem
from tests.integration.gateway.world import World, invoice, subscription

LINE = {"description": "Hosting", "unit_amount": 1200}
MONTHLY: dict[str, Any] = {"kind": "recurring", "currency": "EUR", "lines": [LINE], "interval": {"unit": "month"}}
PLAN: dict[str, Any] = {"kind": "payment_plan", "currency": "EUR", "lines": [LINE]}


@pytest_asyncio.fixture
async def merchant(world: World) -> Merchant:
    return await world.merchant(support_email="help@nordlicht.example")


@pytest_asyncio.fixture
async def member(world: World, merchant: Merchant) -> Member:
    return await world.member(merchant)


@pytest_asyncio.fixture
async def customer(world: World, merchant: Merchant) -> Customer:
    return await world.customer(merchant)


@pytest_asyncio.fixture
async def contact(world: World, customer: Customer) -> Contact:
    return await world.contact(customer)


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
        assert await fields(PLAN | {"instalments": [{"amount": "much"}]}) == ["instalments.0.amount"]
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
