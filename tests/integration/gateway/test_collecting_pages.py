"""What the pages say of money that is on its way, and of charges that nobody was there for."""

from __future__ import annotations

import html
import re
from datetime import timedelta

from contracts.billing import Collection, Decline, Invoice, InvoiceChargeFailed, InvoiceOpened, SubscriptionCancelled
from contracts.identity import Customer, Member
from contracts.message import SubscriptionId
from tests.integration.gateway.world import START, World, invoice, subscription

BROKE = Decline(code="insufficient_funds", message="Your card has insufficient funds.", at=START)
PAYABLE = re.compile(r'action="/portal/payments/[^"]+/pay"')


async def people(world: World) -> tuple[Customer, str, str]:
    """A customer, a session of their contact, and one of the merchant's."""
    merchant = await world.merchant()
    customer = await world.customer(merchant)
    member: Member = await world.member(merchant)
    return customer, await world.sign_in(await world.contact(customer)), await world.sign_in(member)


async def read(world: World, session: str, path: str) -> str:
    """The words of a page, and its forms' addresses."""
    async with world.client(session) as browser:
        answer = await browser.get(path)
    assert answer.status_code == 200
    return html.unescape(answer.text)


async def test_an_invoice_whose_debit_is_under_way_is_neither_overdue_nor_to_be_paid_again(world: World) -> None:
    customer, contact, member = await people(world)
    bill = invoice(customer, due_on=START.date() - timedelta(days=3))
    bill = bill.model_copy(update={"amount_processing": bill.amount_due})
    await world.hear(InvoiceOpened(state=bill))
    for path in ("/portal", "/portal/payments", f"/portal/payments/{bill.id}?paid=confirming"):
        page = await read(world, contact, path)
        assert "€119.00 is on its way." in page
        assert ("Being processed" in page) == (path != "/portal")
        assert "overdue" not in page.lower()
        assert not PAYABLE.search(page)
        assert "Your payment is being confirmed." not in page
    assert "The money is on its way." in await read(world, member, f"/console/invoices/{bill.id}")


async def test_what_is_on_its_way_is_told_beside_what_is_due_and_not_in_it(world: World) -> None:
    customer, contact, _ = await people(world)
    coming, other = invoice(customer, due_on=START.date() - timedelta(days=3)), invoice(customer)
    partly = invoice(customer).model_copy(update={"amount_processing": 5_000})
    for bill in (coming.model_copy(update={"amount_processing": coming.amount_due}), other, partly):
        await world.hear(InvoiceOpened(state=bill))
    home = await read(world, contact, "/portal")
    assert re.findall(r'class="hero-amount"><bdi class="amount">([^<]*)<', home) == ["€188.00"]
    assert "2 open invoices" in home
    assert "overdue" not in home
    assert "€169.00 is on its way." in home
    assert f"/portal/payments/{coming.id}/pay" not in home
    page = await read(world, contact, f"/portal/payments/{partly.id}")
    assert "€50.00 is on its way." in page
    assert "Pay €69.00" in page


async def failed(world: World, customer: Customer, **collection: object) -> Invoice:
    """A subscription's invoice that could not be charged."""
    agreed = subscription(customer)
    bill = invoice(customer, subscription_id=SubscriptionId(agreed.id), kind="recurring")
    bill = bill.model_copy(
        update={"last_decline": BROKE, "collection": Collection.model_validate({"failures": 1} | collection)}
    )
    await world.hear(InvoiceChargeFailed(state=bill))
    return bill


async def test_both_sides_see_when_a_failed_charge_is_tried_again(world: World) -> None:
    customer, contact, member = await people(world)
    bill = await failed(world, customer, next_try_at=START + timedelta(days=2))
    for session, side in ((contact, "portal/payments"), (member, "console/invoices")):
        assert "The next automatic try is on" in await read(world, session, f"/{side}/{bill.id}")
    assert f'href="/console/subscriptions/{bill.subscription_id}"' in await read(
        world, member, f"/console/invoices/{bill.id}"
    )


async def test_who_has_to_confirm_is_told_so_and_no_try_is_promised(world: World) -> None:
    customer, contact, member = await people(world)
    bill = await failed(world, customer, confirm=True, next_try_at=START + timedelta(days=2))
    theirs = await read(world, contact, f"/portal/payments/{bill.id}")
    ours = await read(world, member, f"/console/invoices/{bill.id}")
    assert "Your bank wants you to confirm the payment: please pay it here." in theirs
    assert "The bank wants the customer to confirm the payment." in ours
    assert "automatic try" not in theirs + ours


async def test_after_a_refusal_for_good_no_try_is_promised(world: World) -> None:
    customer, contact, member = await people(world)
    bill = await failed(world, customer, declined_for_good=True, next_try_at=START + timedelta(days=2))
    for session, side in ((contact, "portal/payments"), (member, "console/invoices")):
        page = await read(world, session, f"/{side}/{bill.id}")
        assert "The saved payment method is not tried again by itself." in page
        assert "automatic try" not in page


async def test_after_the_last_try_no_other_is_promised(world: World) -> None:
    customer, contact, _ = await people(world)
    bill = await failed(world, customer, failures=5, exhausted=True)
    assert "There is no further automatic try." in await read(world, contact, f"/portal/payments/{bill.id}")


async def test_the_merchant_reads_what_the_customer_may_do_and_who_has_cancelled(world: World) -> None:
    customer, contact, member = await people(world)
    agreed = subscription(customer, "cancelled", cancelled_by="collection")
    await world.hear(SubscriptionCancelled(state=agreed))
    activity = await read(world, member, f"/console/customers/{customer.id}/activity")
    assert "because its charges failed until the last try" in activity
    assert "as agreed" not in activity
    for session, side in ((contact, "portal"), (member, "console")):
        page = await read(world, session, f"/{side}/subscriptions/{agreed.id}")
        assert "nobody: its charges failed until the last try" in page
    running = subscription(customer, allow_customer_cancel=True, minimum_payments=3)
    await world.hear(SubscriptionCancelled(state=running))
    ours = await read(world, member, f"/console/subscriptions/{running.id}")
    theirs = await read(world, contact, f"/portal/subscriptions/{running.id}")
    assert "The customer may cancel it after 3 payments." in ours
    assert "The customer may not pause it." in ours
    assert "You may cancel it" not in ours
    assert "You may cancel it after 3 payments." in theirs
