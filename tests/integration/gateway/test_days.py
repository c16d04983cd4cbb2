"""Around midnight: money counts by the merchant's day, a person's own to-dos by that person's, cards by UTC's."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import pytest

from chassis.ids import new_id
from chassis.tokens import digest
from contracts.billing import InvoiceOpened, PayLink, PaymentMethodAdded, SubscriptionAccepted, SubscriptionCreated
from contracts.identity import Contact, Customer
from contracts.message import InvoiceId
from contracts.todos import TodoAssigned, TodoCreated, TodoSubject
from tests.integration.gateway.browsing import signed_in
from tests.integration.gateway.world import World, invoice, payment_method, subscription, todo, with_link

DUE = date(2026, 3, 2)
BEFORE_MIDNIGHT = datetime(2026, 3, 2, 23, 30, tzinfo=UTC)
AFTER_MIDNIGHT = datetime(2026, 3, 3, 0, 30, tzinfo=UTC)
PLACES = [
    ("Europe/Berlin", BEFORE_MIDNIGHT, True),
    ("America/Los_Angeles", AFTER_MIDNIGHT, False),
    ("Pacific/Kiritimati", datetime(2026, 3, 2, 10, 30, tzinfo=UTC), True),
    ("Pacific/Pago_Pago", datetime(2026, 3, 3, 10, 30, tzinfo=UTC), False),
]
"""The merchant's zone, the moment, and whether what is due on 2 March is late. People read by UTC."""


async def contact_in(world: World, customer: Customer, time_zone: str) -> Contact:
    return await world.contact(customer, await world.person("Ada", f"{new_id()}@example.com", time_zone=time_zone))


async def customer_in(world: World, time_zone: str) -> Customer:
    return await world.customer(await world.merchant(time_zone=time_zone))


@pytest.mark.parametrize(("time_zone", "moment", "late"), PLACES)
async def test_an_invoice_is_late_by_the_merchants_day_on_every_page(
    world: World, time_zone: str, moment: datetime, late: bool
) -> None:
    merchant = await world.merchant(time_zone=time_zone)
    customer = await world.customer(merchant)
    agreed = subscription(customer)
    bill = with_link(invoice(customer, due_on=DUE, subscription_id=agreed.id), digest(f"bill-{customer.id}"))
    await world.hear(SubscriptionAccepted(state=agreed))
    await world.hear(InvoiceOpened(state=bill))
    world.h.clock.at = moment
    badge = ">Overdue</span>"
    async with await signed_in(world, await world.contact(customer)) as contact:
        home = (await contact.get("/portal")).text
        assert [badge in home, "1 overdue" in home, "due today" in home] == [late, late, not late]
        for path in ("/portal/payments", f"/portal/payments/{bill.id}", f"/portal/subscriptions/{agreed.id}"):
            assert (badge in (await contact.get(path)).text) is late, path
        page = (await contact.get(f"/portal/subscriptions/{agreed.id}")).text
        assert ("An invoice of it is overdue." in page) is late
    async with world.client() as visitor:
        assert (badge in (await visitor.get(f"/pay/bill-{customer.id}")).text) is late
    async with await signed_in(world, await world.member(merchant)) as member:
        assert (badge in (await member.get(f"/console/invoices/{bill.id}")).text) is late
        home = (await member.get("/console")).text
        assert ("was due on Mar 2, 2026" in home, "due today" in home) == (late, False)


async def test_the_to_do_of_a_bill_is_late_with_the_bill_and_ones_own_by_ones_own_day(world: World) -> None:
    customer = await customer_in(world, "Europe/Berlin")
    bill = invoice(customer, due_on=DUE, number="INV-1")
    about = TodoSubject(kind="invoice", id=InvoiceId(bill.id), label="INV-1")
    await world.hear(TodoCreated(state=todo(customer, "billing", subject=about, due_on=DUE)))
    await world.hear(TodoCreated(state=todo(customer, "own", "Water the plants", due_on=DUE)))
    await world.hear(TodoAssigned(state=todo(customer, "assigned", "Send the list", due_on=DUE)))
    world.h.clock.at = BEFORE_MIDNIGHT
    for time_zone, late in (("UTC", {"Pay INV-1"}), ("Asia/Tokyo", {"Pay INV-1", "Water the plants", "Send the list"})):
        async with await signed_in(world, await contact_in(world, customer, time_zone)) as reader:
            page = (await reader.get("/portal/todos")).text
        rows = {
            title: row
            for row in page.split("<li")
            for title in re.findall("Pay INV-1|Water the plants|Send the list", row)
        }
        assert {title for title, row in rows.items() if ">Overdue</span>" in row} == late
        assert {title for title, row in rows.items() if "due today" in row} == set(rows) - late


async def test_an_offer_begins_later_by_the_merchants_day(world: World) -> None:
    """Where the reader is, the day on which it begins has come; where it is charged, it has not."""
    customer = await customer_in(world, "America/Los_Angeles")
    offered = subscription(customer, "pending", starts_on=date(2026, 3, 3), link=PayLink(token_sha256=digest("offer")))
    await world.hear(SubscriptionCreated(state=offered))
    world.h.clock.at = AFTER_MIDNIGHT
    async with world.client() as visitor:
        assert "It begins on March 3, 2026." in (await visitor.get("/pay/offer")).text
    async with await signed_in(world, await world.contact(customer)) as contact:
        assert "It begins on March 3, 2026." in (await contact.get(f"/portal/subscriptions/{offered.id}")).text


async def test_a_trial_ends_by_the_merchants_day(world: World) -> None:
    customer = await customer_in(world, "America/Los_Angeles")
    agreed = subscription(customer, trial_days=3, trial_ends_on=date(2026, 3, 3))
    await world.hear(SubscriptionAccepted(state=agreed))
    world.h.clock.at = AFTER_MIDNIGHT
    async with await signed_in(world, await world.contact(customer)) as contact:
        assert "Trial ends on" in (await contact.get(f"/portal/subscriptions/{agreed.id}")).text


async def test_a_card_works_for_as_long_as_billing_charges_it(world: World) -> None:
    """Billing stops when its last day is over in UTC; in Tokyo it is April by then, in Honolulu still March."""
    customer = await customer_in(world, "Asia/Tokyo")
    card = payment_method(customer, is_default=False, exp_month=3, exp_year=2026)
    await world.hear(PaymentMethodAdded(state=card))
    for time_zone, moment, badge in (
        ("Asia/Tokyo", datetime(2026, 3, 31, 23, 30, tzinfo=UTC), "Expires soon"),
        ("Pacific/Honolulu", datetime(2026, 4, 1, 0, 30, tzinfo=UTC), "Expired"),
    ):
        world.h.clock.at = moment
        async with await signed_in(world, await contact_in(world, customer, time_zone)) as reader:
            page = (await reader.get("/portal/payment-methods")).text
        assert f">{badge}</span>" in page
        assert ("Make default" in page) is (badge == "Expires soon")
