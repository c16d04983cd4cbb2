"""The pages' forms and lists, as a browser without scripts sends and reads them."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest

from chassis.ids import new_id
from chassis.tokens import digest
from contracts.billing import CreatePaymentLink, InvoiceGivenUp, InvoiceOpened, InvoicePaid, ReadStripeAccount
from contracts.identity import Customer, Member, Merchant, UpdateCustomer, UpdateMerchant
from contracts.message import FieldError, InvalidInput, NotAccepted
from tests.integration.gateway.browsing import fields_of, posted, signed_in
from tests.integration.gateway.world import World, invoice, with_link


@pytest.fixture
async def merchant(world: World) -> Merchant:
    return await world.merchant(support_email="help@nordlicht.example", support_phone="+49 30 1", tax_id="DE1")


# --- clearing what was filled in ------------------------------------------------------------------------------------


async def test_an_archived_customers_page_says_that_nothing_is_charged_any_more(
    world: World, merchant: Merchant, member: Member
) -> None:
    async with await signed_in(world, member) as browser:
        for archived in (True, False):
            customer = await world.customer(merchant, f"Archived {archived}", archived=archived)
            for tab in ("", "/payments", "/subscriptions"):
                page = (await browser.get(f"/console/customers/{customer.id}{tab}")).text
                assert ("Nothing is charged automatically any more" in page) is archived


async def test_an_emptied_field_of_a_customer_is_sent_as_empty(
    world: World, merchant: Merchant, member: Member
) -> None:
    customer = await world.customer(merchant, company="Analytical Engines", phone="+44 1", tax_ids=("GB1",))
    orders: list[UpdateCustomer] = []

    def save(asked: Any) -> Customer:
        orders.append(asked.request)
        return customer

    world.owners.answers[UpdateCustomer] = save
    path = f"/console/customers/{customer.id}/edit"
    async with await signed_in(world, member) as browser:
        form = fields_of((await browser.get(path)).text, path)
        assert (form["company"], form["phone"], form["tax_ids"]) == ("Analytical Engines", "+44 1", "GB1")
        answer = await browser.post(path, data=form | {"company": "", "phone": " ", "tax_ids": ""})
    assert answer.status_code == 303
    assert (orders[0].company, orders[0].phone, orders[0].tax_ids, orders[0].name) == ("", "", (), "Ada")


async def test_an_emptied_setting_is_sent_as_empty(world: World, merchant: Merchant, member: Member) -> None:
    orders: list[UpdateMerchant] = []

    def save(asked: Any) -> Merchant:
        orders.append(asked.request)
        return merchant

    world.owners.answers[UpdateMerchant] = save
    world.owners.answers[ReadStripeAccount] = lambda _: NotAccepted()
    emptied = dict.fromkeys(("support_email", "support_phone", "tax_id"), "")
    async with await signed_in(world, member) as browser:
        form = fields_of((await browser.get("/console/settings")).text, "/console/settings")
        assert {name: form[name] for name in emptied} == {
            "support_email": "help@nordlicht.example",
            "support_phone": "+49 30 1",
            "tax_id": "DE1",
        }
        answer = await browser.post("/console/settings", data=form | emptied)
        wrong = await browser.post("/console/settings", data=form | {"support_email": "nobody"})
        unnamed = await browser.post("/console/settings", data=form | {"name": " "})
    assert answer.status_code == 303
    assert orders[0].model_dump(include=set(emptied)) == emptied
    assert wrong.status_code == 422
    assert 'id="support-email-error">Please enter an e-mail address' in wrong.text
    assert unnamed.status_code == 422
    assert 'id="name-error">Please fill this in.' in unnamed.text
    assert len(orders) == 1


# --- a new payment link ---------------------------------------------------------------------------------------------


async def test_every_link_of_the_error_summary_leads_to_something(
    world: World, merchant: Merchant, member: Member
) -> None:
    customer = await world.customer(merchant)
    wrong = [FieldError(field=name, message=f"Wrong: {name}") for name in ("lines", "due_on", "currency", "memo")]
    world.owners.answers[CreatePaymentLink] = lambda _: InvalidInput(errors=tuple(wrong))
    path = f"/console/customers/{customer.id}/payment-links/new"
    line = {"lines.0.description": "Workshop", "lines.0.quantity": "1", "lines.0.unit_amount": "5"}
    async with await signed_in(world, member) as browser:
        csrf = re.search(r'name="csrf" value="([^"]+)"', (await browser.get(path)).text)
        assert csrf is not None
        typed = {"csrf": csrf[1], "press": "save", "currency": "EUR", "due_on": "2026-04-01"} | line
        answer = await browser.post(path, data=typed)
    assert answer.status_code == 422
    links = dict(re.findall(r'<a href="#([^"]+)">([^<]*Wrong: \w+)', answer.text))
    assert links == {
        "lines": "Wrong: lines",
        "due-on": "Due on: Wrong: due_on",
        "currency": "Currency: Wrong: currency",
        "memo": "Memo: Wrong: memo",
    }
    for anchor in links:
        assert f' id="{anchor}"' in answer.text, anchor


async def test_the_error_summary_says_in_which_row_a_field_is_wrong(
    world: World, merchant: Merchant, member: Member
) -> None:
    customer = await world.customer(merchant)
    rows = {f"lines.{row}.{part}": "1" for row in range(3) for part in ("description", "quantity", "unit_amount")}
    parts = {"instalments.0.amount": "1", "instalments.1.amount": "2", "instalments.1.due_on": "soon"}
    plan = {"kind": "payment_plan", "split": "custom", "currency": "EUR", "press": "save"} | rows
    path = f"/console/customers/{customer.id}/payment-links/new"
    async with await signed_in(world, member) as browser:
        line = await posted(browser, path, **plan | parts | {"lines.2.unit_amount": "x", "lines.1.tax_rate": "y"})
        part = await posted(browser, path, **plan | parts)
    assert re.findall(r'<li><a href="#([^"]+)">([^:<]*): ', line.text) == [
        ("lines-1-tax-rate", "Line 2, Tax in percent"),
        ("lines-2-unit-amount", "Line 3, Unit price"),
    ]
    assert re.findall(r'<li><a href="#([^"]+)">([^:<]*): ', part.text) == [
        ("instalments-1-due-on", "Instalment 2, Due on")
    ]


async def test_enter_in_a_new_payment_link_saves_it(world: World, merchant: Merchant, member: Member) -> None:
    customer = await world.customer(merchant)
    async with await signed_in(world, member) as browser:
        page = (await browser.get(f"/console/customers/{customer.id}/payment-links/new")).text
    # Enter presses the first button of the form, wherever it is shown (HTML, implicit submission).
    buttons = re.findall(r'<button[^>]*name="press" value="(\w+)"[^>]*>', page)
    assert buttons == ["save", "add_line", "add_instalments", "email", "save"]


# --- what the debtor is told ----------------------------------------------------------------------------------------


async def test_the_account_menu_names_the_businesses_and_not_ones_own_name_again_and_again(world: World) -> None:
    sam = await world.person("Sam Okafor", f"{new_id()}@example.com")
    for name in ("Alpha", "Beta"):
        customer = await world.customer(await world.merchant(name), "Sam Okafor")
        last = await world.contact(customer, sam)
    async with world.client(await world.sign_in(last)) as browser:
        menu = (await browser.get("/portal")).text
    shown = re.findall(r'name="account"[^>]*><bdi>(\w+)</bdi>\s*<br><span[^>]*>([^<]*)<bdi>([^<]*)</bdi>', menu)
    assert sorted(shown) == [(name, "Customer portal · ", "Sam Okafor") for name in ("Alpha", "Beta")]


async def test_who_owes_an_uncollectible_invoice_is_not_told_that_there_is_nothing_to_pay(
    world: World, merchant: Merchant
) -> None:
    customer = await world.customer(merchant)
    bill = with_link(invoice(customer, "uncollectible"), digest("a-secret-of-an-uncollectible-one"))
    await world.hear(InvoiceGivenUp(state=bill))
    async with world.client() as visitor, await signed_in(world, await world.contact(customer)) as contact:
        public = await visitor.get("/pay/a-secret-of-an-uncollectible-one")
        own = await contact.get(f"/portal/payments/{bill.id}")
    for page in (public, own):
        assert page.status_code == 200
        assert "This invoice cannot be paid here any more. Please contact Nordlicht GmbH." in page.text
        assert "withdrawn" not in page.text
        assert "nothing to pay" not in page.text
    assert "help@nordlicht.example" in public.text.partition("<footer")[0]


async def test_a_payment_link_does_not_tell_whether_its_customer_has_an_account(
    world: World, merchant: Merchant
) -> None:
    shown: set[str] = set()
    done: set[str] = set()
    for access in ("none", "invited", "active", "disabled"):
        customer = await world.customer(merchant, f"Mia {access}", portal_access=access)
        secret = f"secret-{customer.id}"
        bill = with_link(invoice(customer, number="INV-1"), digest(secret))
        await world.hear(InvoiceOpened(state=bill))
        async with world.client() as visitor:
            for query, pages in (("", shown), ("?done=signed-up", done)):
                page = (await visitor.get(f"/pay/{secret}{query}")).text
                card = re.search(r'<section class="card" aria-labelledby="portal">(.*?)</section>', page, re.DOTALL)
                assert card is not None
                pages.add(re.sub(r'name="(csrf|command_id)" value="[^"]+"', "", card[1]).replace(secret, "SECRET"))
                assert "@example.com" not in page
    assert len(shown) == len(done) == 1
    block = shown.pop()
    assert 'href="/sign-in"' in block
    assert "Sign up for the portal" in block


# --- lists of several pages -----------------------------------------------------------------------------------------


def pages_linked(page: str, path: str) -> dict[str, str]:
    """Where "Next" and "Back to the start" lead, each by its list's name and its own."""
    found = {}
    for label, links in re.findall(r'<nav class="actions" aria-label="([^"]+)">(.*?)</nav>', page, re.DOTALL):
        for href, text in re.findall(r'<a[^>]*href="([^"]+)"[^>]*>([^<]+)</a>', links):
            assert href.startswith(path), href
            found[f"{unescape(label)} {text}"] = unescape(href)
    return found


async def test_two_lists_on_a_page_go_on_and_back_without_moving_each_other(world: World, merchant: Merchant) -> None:
    customer = await world.customer(merchant)
    for number in range(30):
        await world.hear(InvoiceOpened(state=invoice(customer, number=f"OPEN-{number:02}")))
        paid = invoice(customer, "paid", number=f"PAID-{number:02}")
        await world.hear(InvoicePaid(state=paid))

    def numbers(page: str) -> tuple[int, int]:
        return len(set(re.findall(r"OPEN-\d\d", page))), len(set(re.findall(r"PAID-\d\d", page)))

    path = "/portal/payments"
    async with await signed_in(world, await world.contact(customer)) as contact:
        first = (await contact.get(path)).text
        assert numbers(first) == (25, 25)
        links = pages_linked(first, path)
        assert set(links) == {"Pages of “Open invoices” Next", "Pages of “Paid” Next"}
        second = (await contact.get(links["Pages of “Open invoices” Next"])).text
        assert numbers(second) == (5, 25)
        both = (await contact.get(pages_linked(second, path)["Pages of “Paid” Next"])).text
        assert numbers(both) == (5, 5)
        links = pages_linked(both, path)
        assert set(links) == {"Pages of “Open invoices” Back to the start", "Pages of “Paid” Back to the start"}
        back = (await contact.get(links["Pages of “Open invoices” Back to the start"])).text
        assert numbers(back) == (25, 5)


async def test_a_searched_list_goes_back_to_the_start_of_what_was_searched(
    world: World, merchant: Merchant, member: Member
) -> None:
    for number in range(30):
        await world.customer(merchant, f"Grace {number}")
        world.h.clock.at += timedelta(seconds=1)
    async with await signed_in(world, member) as browser:
        first = (await browser.get("/console/customers?q=Grace&done=saved")).text
        links = pages_linked(first, "/console/customers?q=Grace")
        assert "done=" not in links["Pages of “Customers” Next"]
        second = (await browser.get(links["Pages of “Customers” Next"])).text
    assert second.count('class="lead"') == 5
    assert pages_linked(second, "/console/customers?q=Grace") == {
        "Pages of “Customers” Back to the start": "/console/customers?q=Grace"
    }
