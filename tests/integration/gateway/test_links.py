"""The payment link's pages and operations: parts, dead links and what they offer, replacing, the billing defaults."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from chassis.ids import new_id
from chassis.tokens import digest
from contracts.billing import (
    BillingDefaults,
    BillingDefaultsChanged,
    ChangeDefaults,
    CreatePaymentLink,
    CreateSubscription,
    FreshLink,
    Invoice,
    InvoiceLinkChanged,
    InvoiceOpened,
    InvoicePartPaid,
    OpenInvoice,
    PayLink,
    ReadStripeAccount,
    Receipt,
    RenewPaymentLink,
    RenewSubscriptionLink,
    ReplaceInvoice,
    RequestFreshLink,
    StartInvoicePayment,
    StripeAccount,
    SubscriptionCreated,
)
from contracts.identity import Customer, Member, Merchant
from contracts.message import FieldError, InvalidInput, InvoiceId, MerchantId, NotAccepted, PaymentId
from tests.integration.gateway.browsing import CHECKOUT, posted, signed_in
from tests.integration.gateway.world import START, World, invoice, subscription, with_link


async def opened(world: World, customer: Customer, secret: str, **values: Any) -> Invoice:
    bill = with_link(invoice(customer, **values), digest(secret))
    await world.hear(InvoiceOpened(state=bill))
    return bill


async def changed(world: World, bill: Invoice, **link: Any) -> None:
    state = bill.model_copy(update={"link": PayLink(**({"token_sha256": digest("now")} | link))})
    await world.hear(InvoiceLinkChanged(state=state))


async def test_a_part_is_asked_for_and_sent_in_minor_units(world: World, customer: Customer) -> None:
    await opened(world, customer, "part", allow_partial=True)
    world.owners.answers[StartInvoicePayment] = lambda _: CHECKOUT
    async with world.client() as visitor:
        assert 'name="amount"' in (await visitor.get("/pay/part")).text
        answer = await posted(visitor, "/pay/part", amount="50.25")
        assert (answer.status_code, answer.headers["location"]) == (303, CHECKOUT.checkout_url)
        assert [each.request.amount for each in world.owners.asked] == [5025]  # type: ignore[attr-defined]  # of StartInvoicePayment
        wrong = await posted(visitor, "/pay/part", amount="fifty")
        assert wrong.status_code == 422
        assert 'value="fifty"' in wrong.text
        assert len(world.owners.asked) == 1


async def test_who_comes_back_is_told_when_their_part_has_arrived(world: World, customer: Customer) -> None:
    bill = await opened(world, customer, "share", allow_partial=True)
    world.owners.answers[StartInvoicePayment] = lambda _: CHECKOUT
    async with world.client() as visitor:
        await posted(visitor, "/pay/share", amount="50.25")
        back = world.owners.asked[-1].request.return_path  # type: ignore[attr-defined]  # of StartInvoicePayment
        assert back == "/pay/share?before=0&paid=confirming"
        assert "Your payment is being confirmed." in (await visitor.get(back)).text
        receipt = Receipt(number="REC-1", payment_id=PaymentId(new_id()), amount=5025, paid_at=START, last4="4242")
        part = {"amount_paid": 5025, "amount_due": bill.total - 5025, "receipts": (receipt,)}
        await world.hear(InvoicePartPaid(state=bill.model_copy(update=part)))
        page = (await visitor.get(back)).text
    assert "Your payment is being confirmed." not in page
    assert "We received €50.25" in page
    assert 'href="/pay/share/receipt.pdf"' in page


async def test_the_whole_is_paid_where_no_part_may_be(world: World, customer: Customer) -> None:
    await opened(world, customer, "whole")
    world.owners.answers[StartInvoicePayment] = lambda _: CHECKOUT
    async with world.client() as visitor:
        assert 'name="amount"' not in (await visitor.get("/pay/whole")).text
        await posted(visitor, "/pay/whole", amount="1.00")
    assert [each.request.amount for each in world.owners.asked] == [None]  # type: ignore[attr-defined]  # likewise


@pytest.mark.parametrize(
    ("link", "says", "offers"),
    [
        ({"expires_at": START - timedelta(days=1)}, "has expired", True),
        ({"token_sha256": digest("a newer one")}, "There is a newer payment link", True),
        ({"revoked": True}, "has been withdrawn", False),
        ({"replaced_by": UUID(int=5)}, "has been replaced", False),
    ],
)
async def test_a_dead_link_says_why_and_what_to_do_next(
    world: World, customer: Customer, link: dict[str, Any], says: str, offers: bool
) -> None:
    held, amount = f"held-{customer.id}", "€119.00"
    earlier = {"earlier_sha256": (digest(held),)} if "token_sha256" in link else {}
    bill = await opened(world, customer, held)
    async with world.client() as visitor:
        assert amount in (await visitor.get(f"/pay/{held}")).text
        await changed(world, bill, **({"token_sha256": digest(held)} | earlier | link))
        page = await visitor.get(f"/pay/{held}")
        assert page.status_code == 410
        assert says in page.text
        assert ("Mail me a new link" in page.text) is offers
        assert "help@nordlicht.example" in page.text
        assert amount not in page.text
        # Paying and documents say the same.
        if offers:
            assert (await posted(visitor, f"/pay/{held}")).status_code == 410
        assert (await visitor.get(f"/pay/{held}/invoice.pdf")).status_code == 410
    assert world.owners.asked == []


async def test_a_fresh_link_is_asked_for_by_whoever_holds_an_old_one(world: World, customer: Customer) -> None:
    bill = await opened(world, customer, "first")
    await changed(world, bill, earlier_sha256=(digest("held"),))
    world.owners.answers[RequestFreshLink] = lambda _: FreshLink(invoice_id=InvoiceId(bill.id))
    async with world.client() as visitor:
        answer = await posted(visitor, "/pay/held", "/pay/held/fresh-link")
        assert (answer.status_code, answer.headers["location"]) == (303, "/pay/held?done=fresh-link")
        page = (await visitor.get("/pay/held?done=fresh-link")).text
    assert "Please look into your inbox" in page
    assert "@example.com" not in page
    [asked] = world.owners.asked
    assert asked.request == RequestFreshLink(invoice_id=InvoiceId(bill.id), token_sha256=digest("held"))
    assert asked.cause.actor.kind == "public"


async def test_an_unknown_link_has_nothing_fresh_to_ask_for(world: World) -> None:
    async with world.client() as visitor:
        answer = await visitor.post("/pay/nobodys/fresh-link", data={})
    assert answer.status_code in (403, 404)
    assert world.owners.asked == []


async def test_a_new_link_takes_what_the_form_says(world: World, customer: Customer, member: Member) -> None:
    world.owners.answers[CreatePaymentLink] = lambda asked: invoice(customer)
    path = f"/console/customers/{customer.id}/payment-links/new"
    async with await signed_in(world, member) as browser:
        answer = await posted(
            browser,
            path,
            press="save",
            currency="EUR",
            due_on="2026-04-01",
            tax_inclusive="yes",
            allow_partial="yes",
            link_expires_on="2026-05-31",
            **{
                "lines.0.description": "Workshop",
                "lines.0.quantity": "1",
                "lines.0.unit_amount": "100",
                "lines.0.tax_rate": "19",
                "lines.0.discount_percent": "12.5",
                "lines.0.reverse_charge": "yes",
            },
        )
    assert answer.status_code == 303, answer.text
    order = world.owners.asked[-1].request
    assert isinstance(order, CreatePaymentLink)
    assert (order.tax_inclusive, order.allow_partial) == (True, True)
    assert order.link_expires_at is not None
    assert order.link_expires_at.isoformat() == "2026-06-01T00:00:00+00:00"
    [line] = order.lines
    assert (str(line.discount_percent), line.reverse_charge, bool(line.tax_rate)) == ("12.5", True, False)


async def test_the_end_of_a_link_that_cannot_be_is_named_as_it_was_given(
    world: World, customer: Customer, member: Member
) -> None:
    error = FieldError(field="link_expires_at", message="On 2036-03-02 or earlier.")
    refused = InvalidInput(errors=(error,))
    world.owners.answers = {CreatePaymentLink: lambda _: refused, ReplaceInvoice: lambda _: refused}
    world.owners.answers |= {OpenInvoice: lambda _: refused, RenewPaymentLink: lambda _: refused}
    world.owners.answers |= {RenewSubscriptionLink: lambda _: refused}
    bill, offer = await opened(world, customer, "ends"), subscription(customer, "pending")
    await world.hear(SubscriptionCreated(state=offer))
    line = {"description": "Workshop", "unit_amount": 100_00}
    given = {"currency": "EUR", "lines": [line], "expires_at": "2999-12-31T00:00:00Z"}
    async with world.client(await world.sign_in(member)) as browser:
        for path, body in (
            (f"customers/{customer.id}/payment-links", given),
            (f"invoices/{bill.id}/replace", given),
            (f"invoices/{bill.id}/open", {"expires_at": given["expires_at"]}),
            (f"invoices/{bill.id}/link/renew", {"expires_at": given["expires_at"]}),
            (f"subscriptions/{offer.id}/link/renew", {"expires_at": given["expires_at"]}),
        ):
            answer = await browser.post(f"/api/v1/{path}", json=body)
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "expires_at")
    typed = {"lines.0.description": "Workshop", "lines.0.unit_amount": "100", "currency": "EUR", "press": "save"}
    async with await signed_in(world, member) as browser:
        path = f"/console/customers/{customer.id}/payment-links/new"
        page = await posted(browser, path, **(typed | {"link_expires_on": "2999-12-31"}))
        assert (page.status_code, "On 2036-03-02 or earlier." in page.text) == (422, True)
        page = await posted(browser, path, **(typed | {"link_expires_on": "9999-12-31"}))
        assert (page.status_code, "Please enter a date." in page.text) == (422, True)


async def test_what_is_wrong_stands_at_its_row_when_an_empty_one_was_before_it(
    world: World, customer: Customer, member: Member
) -> None:
    early = FieldError(field="instalments.1.due_on", message="That is too early.")
    world.owners.answers[CreateSubscription] = lambda _: InvalidInput(errors=(early,))
    rows = {"lines.0.description": "", "lines.1.description": "Website", "lines.1.unit_amount": "100"}
    rows |= {"instalments.0.amount": "60", "instalments.1.amount": "", "instalments.1.due_on": ""}
    rows |= {"instalments.2.amount": "40", "instalments.2.due_on": "2026-03-03"}
    typed = {"kind": "payment_plan", "split": "custom", "currency": "EUR", "press": "save"} | rows
    async with await signed_in(world, member) as browser:
        page = await posted(browser, f"/console/customers/{customer.id}/payment-links/new", **typed)
    assert page.status_code == 422
    [shown] = re.findall(r'<input[^>]* value="2026-03-03"[^>]*>', page.text)
    assert 'name="instalments.1.due_on"' in shown
    assert "aria-invalid" in shown
    assert re.search(r'<input[^>]* name="lines.0.description"[^>]* value="Website"', page.text)


async def test_the_form_begins_with_the_merchants_defaults(world: World, customer: Customer, member: Member) -> None:
    defaults = BillingDefaults(
        id=customer.merchant_id,
        merchant_id=customer.merchant_id,
        due_days=30,
        link_days=10,
        tax_rate=19,
        allow_partial=True,
        memo="Thank you",
    )
    await world.hear(BillingDefaultsChanged(state=defaults))
    async with await signed_in(world, member) as browser:
        page = (await browser.get(f"/console/customers/{customer.id}/payment-links/new")).text
    today = world.h.clock.now().date()
    assert f'name="due_on" type="date" value="{today + timedelta(days=30)}"' in page
    assert f'name="link_expires_on" type="date" value="{today + timedelta(days=10)}"' in page
    assert 'value="19"' in page
    assert "Thank you</textarea>" in page
    assert re.search(r'name="allow_partial" type="checkbox" value="yes" checked', page)


async def test_an_invoice_is_due_by_the_merchants_calendar(world: World) -> None:
    merchant = await world.merchant(time_zone="Pacific/Auckland")
    customer = await world.customer(merchant)
    world.h.clock.at = datetime(2026, 3, 2, 23, 30, tzinfo=UTC)
    async with await signed_in(world, await world.member(merchant)) as browser:
        page = (await browser.get(f"/console/customers/{customer.id}/payment-links/new")).text
    days = BillingDefaults(id=merchant.id, merchant_id=MerchantId(merchant.id)).due_days
    assert f'name="due_on" type="date" value="{date(2026, 3, 3) + timedelta(days=days)}"' in page


async def test_an_invoice_is_replaced_by_a_form_that_knows_it(world: World, customer: Customer, member: Member) -> None:
    bill = await opened(world, customer, "first")
    world.owners.answers[ReplaceInvoice] = lambda asked: invoice(customer)
    path = f"/console/invoices/{bill.id}/replacements/new"
    async with await signed_in(world, member) as browser:
        page = (await browser.get(path)).text
        assert f"Replace invoice {bill.number}" in page
        assert 'value="Consulting"' in page
        assert 'value="119.00"' in page
        answer = await posted(
            browser,
            path,
            press="email",
            currency="EUR",
            due_on="2026-04-01",
            **{"lines.0.description": "Less", "lines.0.quantity": "1", "lines.0.unit_amount": "90"},
        )
    assert answer.status_code == 303, answer.text
    order = world.owners.asked[-1].request
    assert isinstance(order, ReplaceInvoice)
    assert (order.invoice_id, order.customer_id, order.lines[0].unit_amount, order.send_email) == (
        bill.id,
        customer.id,
        9000,
        True,
    )


async def test_defaults_are_shown_changed_and_come_back_when_they_are_wrong(
    world: World, merchant: Merchant, member: Member
) -> None:
    same = BillingDefaults(id=merchant.id, merchant_id=merchant.merchant_id)
    world.owners.answers[ChangeDefaults] = lambda _: same
    typed = {
        "due_days": "30",
        "tax_rate": "7.5",
        "minimum_payments": "0",
        "renewal_notice_days": "3",
        "retry_days": "1, 3, 5",
        "after_last_retry": "keep",
        "plan_on_cancel": "waive",
    }
    async with await signed_in(world, member) as browser:
        page = (await browser.get("/console/settings/billing")).text
        assert 'value="2, 7, 14, 21"' in page
        answer = await posted(browser, "/console/settings/billing", **typed)
        assert answer.status_code == 303, answer.text
        wrong = await posted(browser, "/console/settings/billing", **(typed | {"retry_days": "soon", "due_days": "x"}))
        assert wrong.status_code == 422
        assert 'value="soon"' in wrong.text
    orders = [each.request for each in world.owners.asked if isinstance(each.request, ChangeDefaults)]
    assert [(each.due_days, each.retry_days, each.link_days, str(each.tax_rate)) for each in orders] == [
        (30, (1, 3, 5), None, "7.5")
    ]


async def test_the_api_says_and_changes_defaults(world: World, merchant: Merchant, member: Member) -> None:
    after = BillingDefaults(id=merchant.id, merchant_id=merchant.merchant_id, due_days=5)
    world.owners.answers[ChangeDefaults] = lambda _: after
    async with world.client(await world.sign_in(member)) as browser:
        assert (await browser.get("/api/v1/billing-defaults")).json()["due_days"] == 14
        answer = await browser.patch("/api/v1/billing-defaults", json={"due_days": 5, "link_days": None})
        assert (answer.status_code, answer.json()["due_days"]) == (200, 5)
        refused = await browser.patch("/api/v1/billing-defaults", json={"due_days": -1})
        assert refused.status_code == 422
    [order] = [each.request for each in world.owners.asked if isinstance(each.request, ChangeDefaults)]
    assert order.model_dump(exclude_unset=True) == {"due_days": 5, "link_days": None}


async def test_the_api_names_partial_and_expires_at_as_the_product_does(
    world: World, customer: Customer, member: Member
) -> None:
    world.owners.answers[CreatePaymentLink] = lambda asked: invoice(customer)
    body = {
        "currency": "EUR",
        "lines": [{"description": "Consulting", "unit_amount": 1000}],
        "partial": True,
        "expires_at": "2026-06-01T00:00:00Z",
    }
    async with world.client(await world.sign_in(member)) as browser:
        answer = await browser.post(f"/api/v1/customers/{customer.id}/payment-links", json=body)
    assert answer.status_code == 201, answer.text
    order = world.owners.asked[-1].request
    assert isinstance(order, CreatePaymentLink)
    assert order.allow_partial is True
    assert order.due_on is None
    assert str(order.link_expires_at) == "2026-06-01 00:00:00+00:00"


async def test_the_settings_say_which_account_at_stripe_gets_the_money(world: World, member: Member) -> None:
    account = StripeAccount(account="acct_nordlicht", mode="test", since=START)
    world.owners.answers[ReadStripeAccount] = lambda _: account
    async with await signed_in(world, member) as browser:
        page = (await browser.get("/console/settings")).text
        for words in ("acct_nordlicht", "Test mode: no real money moves.", "Mar 2, 2026"):
            assert words in page
        world.owners.answers[ReadStripeAccount] = lambda _: StripeAccount(account=None, mode="live")
        page = (await browser.get("/console/settings")).text
        assert ("own account" in page, "Test mode" in page) == (True, False)
        # Billing is away: the settings are there all the same.
        world.owners.answers[ReadStripeAccount] = lambda _: NotAccepted()
        away = await browser.get("/console/settings")
        assert (away.status_code, "It cannot be shown right now." in away.text) == (200, True)
