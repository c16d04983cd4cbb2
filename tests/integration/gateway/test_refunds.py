"""Refunds, disputes and the comparison of books: what either side sees and may do, through pages and the API."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.billing import (
    CreditNotePdf,
    Difference,
    DisputeOpened,
    Invoice,
    InvoiceOpened,
    InvoicePaid,
    InvoicePartPaid,
    NotCompared,
    NothingToRefund,
    PaymentSucceeded,
    Reconciliation,
    ReconciliationFinished,
    RefundFailed,
    RefundInvoice,
    RefundSucceeded,
)
from contracts.identity import Customer, Merchant
from contracts.message import Document, FieldError, InvalidInput
from tests import builders
from tests.integration.gateway.world import START, World, invoice, payment


async def paid(world: World, customer: Customer, **changes: Any) -> tuple[Invoice, Any]:
    """A paid invoice with its payment."""
    bill = invoice(customer, "paid")
    money = payment(bill, last4="4242", **changes)
    await world.hear(InvoicePaid(state=bill))
    await world.hear(PaymentSucceeded(state=money, invoice=bill))
    return bill, money


async def shop(world: World) -> tuple[Merchant, Customer]:
    merchant = await world.merchant()
    return merchant, await world.customer(merchant)


def token_of(page: str) -> str:
    found = re.search(r'name="csrf"[^>]*value="([^"]+)"', page)
    assert found is not None
    return found[1]


async def test_a_manager_refunds_through_the_api(world: World) -> None:
    merchant, customer = await shop(world)
    bill, money = await paid(world, customer)
    back = builders.refund(bill, 900, payment_id=money.id)
    world.owners.answers[RefundInvoice] = lambda _: back
    async with world.client(await world.sign_in(await world.member(merchant, role="manager"))) as browser:
        body = {"amount": 900, "reason": "Late", "payment_id": str(money.id)}
        answer = await browser.post(f"/api/v1/invoices/{bill.id}/refunds", json=body)
    assert (answer.status_code, answer.json()["amount"], answer.json()["credit_note_number"]) == (201, 900, "CN-3")
    sent = world.owners.asked[-1].request
    assert isinstance(sent, RefundInvoice)
    assert (sent.invoice_id, sent.payment_id, sent.amount, sent.reason) == (bill.id, money.id, 900, "Late")


async def test_the_lists_show_each_side_its_own(world: World) -> None:
    merchant, ada = await shop(world)
    bob = await world.customer(merchant, "Bob")
    bill, _ = await paid(world, ada)
    other, _ = await paid(world, bob)
    mine, theirs, disputed = builders.refund(bill, 100), builders.refund(other, 200), builders.dispute(other)
    await world.hear(RefundSucceeded(state=mine, invoice=bill))
    await world.hear(RefundSucceeded(state=theirs, invoice=other))
    await world.hear(DisputeOpened(state=disputed, invoice=other))
    async with world.client(await world.sign_in(await world.contact(ada))) as browser:
        assert [each["id"] for each in (await browser.get("/api/v1/refunds")).json()["items"]] == [str(mine.id)]
        about = {"invoice_id": str(other.id)}
        assert (await browser.get("/api/v1/refunds", params=about)).json()["items"] == []
        assert (await browser.get("/api/v1/disputes")).status_code == 403
    async with world.client(await world.sign_in(await world.member(merchant))) as browser:
        amounts = [each["amount"] for each in (await browser.get("/api/v1/refunds")).json()["items"]]
        assert amounts == [200, 100]
        disputes = (await browser.get("/api/v1/disputes", params={"status": "open"})).json()["items"]
        assert [each["reason"] for each in disputes] == ["product_not_received"]
        assert (await browser.get("/api/v1/disputes", params={"status": "won"})).json()["items"] == []


async def test_the_page_fills_in_what_is_left_and_gives_back_only_what_was_confirmed(world: World) -> None:
    merchant, customer = await shop(world)
    bill, money = await paid(world, customer, amount_refunded=1900)
    world.owners.answers[RefundInvoice] = lambda _: builders.refund(bill, 2500, payment_id=money.id)
    token = await world.sign_in(await world.member(merchant))
    path = f"/console/invoices/{bill.id}/refunds/new"
    async with world.client(Cookie=f"portal={token}") as browser:
        page = (await browser.get(path)).text
        assert 'name="amount" type="text" value="100.00"' in page
        form = {"csrf": token_of(page), "payment_id": str(money.id), "amount": "25.00", "reason": "Too late"}
        asked = len(world.owners.asked)
        refused = await browser.post(path, data=form)
        assert (refused.status_code, len(world.owners.asked)) == (422, asked)
        assert "Please confirm that the money is to be given back." in refused.text
        assert 'value="25.00"' in refused.text
        wrong = await browser.post(path, data=form | {"confirm": "yes", "amount": "many"})
        assert (wrong.status_code, len(world.owners.asked)) == (422, asked)
        sent = await browser.post(path, data=form | {"confirm": "yes"})
        assert (sent.status_code, sent.headers["location"]) == (303, f"/console/invoices/{bill.id}?done=refunded")
    request = world.owners.asked[-1].request
    assert isinstance(request, RefundInvoice)
    assert (request.amount, request.reason, request.payment_id) == (2500, "Too late", money.id)


async def test_what_billing_refuses_stands_at_its_field(world: World) -> None:
    merchant, customer = await shop(world)
    bill, money = await paid(world, customer)
    most = {"amount": 500, "currency": "EUR"}
    error = FieldError(field="amount", message="At most.", code="refund-too-large", values={"most": most})
    world.owners.answers[RefundInvoice] = lambda _: InvalidInput(errors=(error,))
    token = await world.sign_in(await world.member(merchant))
    path = f"/console/invoices/{bill.id}/refunds/new"
    async with world.client(Cookie=f"portal={token}") as browser:
        form = {"csrf": token_of((await browser.get(path)).text), "payment_id": str(money.id), "amount": "10.00"}
        refused = await browser.post(path, data=form | {"confirm": "yes"})
        assert refused.status_code == 422
        assert "At most €5.00 of this payment can be given back." in refused.text
        world.owners.answers[RefundInvoice] = lambda _: NothingToRefund()
        nothing = await browser.post(path, data=form | {"confirm": "yes"})
        assert (nothing.status_code, "There is no money left to give back." in nothing.text) == (409, True)


async def test_sales_sees_no_button_and_is_told_why_at_the_address(world: World) -> None:
    merchant, customer = await shop(world)
    bill, _ = await paid(world, customer)
    async with world.client(await world.sign_in(await world.member(merchant, role="sales"))) as browser:
        assert "refunds/new" not in (await browser.get(f"/console/invoices/{bill.id}")).text
        refused = await browser.get(f"/console/invoices/{bill.id}/refunds/new")
    assert refused.status_code == 403
    assert "Only admins and managers may give money back." in refused.text


async def test_the_invoice_shows_its_refunds_to_both_sides_and_its_disputes_to_the_merchant(world: World) -> None:
    merchant, customer = await shop(world)
    bill, _ = await paid(world, customer)
    back = builders.refund(bill, 900)
    failed = builders.refund(bill, 300, status="failed", failure="lost_or_stolen_card", credit_note_number="CN-4")
    noted = builders.refunded(builders.refunded(bill, back), failed).model_copy(update={"amount_disputed": 500})
    await world.hear(RefundSucceeded(state=back, invoice=noted))
    await world.hear(RefundFailed(state=failed, invoice=noted))
    await world.hear(DisputeOpened(state=builders.dispute(bill, amount=500), invoice=noted))
    await world.hear(InvoicePaid(state=noted))
    async with world.client(await world.sign_in(await world.member(merchant))) as browser:
        page = (await browser.get(f"/console/invoices/{bill.id}")).text
        for text in (
            "Credit note CN-3 (PDF)",
            "The card has been reported lost or stolen.",
            "goods or service not received",
            "Disputed",
            "Partly refunded",
        ):
            assert text in page, text
    async with world.client(await world.sign_in(await world.contact(customer))) as browser:
        page = (await browser.get(f"/portal/payments/{bill.id}")).text
        assert f"/portal/payments/{bill.id}/credit-notes/{back.id}.pdf" in page
        for text in ("reported lost or stolen", "goods or service not received", "Disputed", "Ada Byron"):
            assert text not in page, text


async def test_an_open_invoice_of_which_a_part_is_paid_says_so(world: World) -> None:
    _, customer = await shop(world)
    bill = invoice(customer, "open")
    await world.hear(InvoiceOpened(state=bill))
    async with world.client(await world.sign_in(await world.contact(customer))) as browser:
        assert "Partly paid" not in (await browser.get(f"/portal/payments/{bill.id}")).text
        await world.hear(InvoicePartPaid(state=bill.model_copy(update={"amount_paid": 100})))
        page = (await browser.get(f"/portal/payments/{bill.id}")).text
    assert '<span class="badge info">Partly paid</span>' in page


async def test_a_credit_note_is_downloaded_by_those_whose_it_is(world: World) -> None:
    merchant, customer = await shop(world)
    bill, _ = await paid(world, customer)
    back = builders.refund(bill, 900)
    await world.hear(RefundSucceeded(state=back, invoice=bill))
    world.owners.answers[CreditNotePdf] = lambda _: Document("application/pdf", "CN-3.pdf", b"%PDF-")
    stranger = await world.customer(merchant, "Stranger")
    for who, path in (
        (await world.member(merchant), f"/console/invoices/{bill.id}/credit-notes/{back.id}.pdf"),
        (await world.contact(customer), f"/portal/payments/{bill.id}/credit-notes/{back.id}.pdf"),
        (await world.contact(customer), f"/api/v1/invoices/{bill.id}/credit-notes/{back.id}.pdf"),
    ):
        async with world.client(await world.sign_in(who)) as browser:
            answer = await browser.get(path)
            assert (answer.status_code, answer.content) == (200, b"%PDF-"), path
    asked = len(world.owners.asked)
    async with world.client(await world.sign_in(await world.contact(stranger))) as browser:
        for side in ("portal/payments", "api/v1/invoices"):
            assert (await browser.get(f"/{side}/{bill.id}/credit-notes/{back.id}.pdf")).status_code == 404
    assert [each for each in world.owners.asked[asked:] if isinstance(each.request, CreditNotePdf)] == []


async def test_a_payment_says_that_it_was_surplus_once_that_was_given_back(world: World) -> None:
    merchant, customer = await shop(world)
    bill, money = await paid(world, customer)
    session = await world.sign_in(await world.member(merchant))
    said = "Money that was not owed any more came with it, and was given back."
    for credited, status, shown in ((500, "succeeded", False), (0, "failed", False), (200, "succeeded", True)):
        back = builders.refund(bill, 500, credited=credited, payment_id=money.id, status=status)
        await world.hear(RefundSucceeded(state=back, invoice=bill))
        async with world.client(session) as browser:
            assert (said in (await browser.get(f"/console/invoices/{bill.id}")).text) is shown


async def test_home_shows_money_to_give_back_open_disputes_and_the_comparison(world: World) -> None:
    merchant, customer = await shop(world)
    bill, money = await paid(world, customer, surplus=True)
    await world.hear(DisputeOpened(state=builders.dispute(bill), invoice=bill))
    difference = Difference(
        code="not_at_stripe",
        what="payment",
        stripe_id="pi_1",
        amount=700,
        currency="EUR",
        since=datetime(2026, 2, 3, tzinfo=UTC),
    )
    gone = difference.model_copy(update={"stripe_id": "pi_2", "resolved_at": datetime(2026, 2, 5, tzinfo=UTC)})
    result = Reconciliation(
        id=merchant.id,
        merchant_id=merchant.id,
        finished_at=START,
        compared=3,
        found=1,
        differences=(difference,),
        more_differences=4,
        resolved=(gone,),
        not_compared=("acct_away",),
        why_not_compared=(NotCompared(account="acct_away", why="account_closed"),),
    )
    await world.hear(ReconciliationFinished(state=result))
    async with world.client(await world.sign_in(await world.member(merchant))) as browser:
        page = (await browser.get("/console")).text
        assert f"/console/invoices/{bill.id}/refunds/new?payment={money.id}" in page
        for text in (
            "Money to give back",
            "Disputed payments",
            "5 differences",
            "pi_1",
            "3 entries compared",
            "4 more stand.",
        ):
            assert text in page, text
        for text in ("Since Feb 3, 2026. It stands", "Feb 3, 2026, explained on Feb 5, 2026", "pi_2", "acct_away"):
            assert text in page, text
        books = (await browser.get("/api/v1/reconciliation")).json()
        assert (books["compared"], books["found"], books["more_differences"]) == (3, 1, 4)
        [stands], [resolved] = books["differences"], books["resolved"]
        assert (stands["code"], stands["since"], stands["resolved_at"]) == (
            "not_at_stripe",
            "2026-02-03T00:00:00Z",
            None,
        )
        assert (resolved["stripe_id"], resolved["resolved_at"]) == ("pi_2", "2026-02-05T00:00:00Z")
        assert books["not_compared"] == ["acct_away"]
        assert books["why_not_compared"] == [{"account": "acct_away", "why": "account_closed"}]
        assert "it was closed or disconnected" in page
    await world.hear(ReconciliationFinished(state=result.model_copy(update={"differences": (), "more_differences": 0})))
    for passed, shown in ((timedelta(hours=3), False), (timedelta(minutes=1), True)):
        world.h.clock.advance(passed)
        async with world.client(await world.sign_in(await world.member(merchant))) as browser:
            page = (await browser.get("/console")).text
        assert ("Not compared lately" in page, "No comparison has succeeded since then" in page) == (shown, shown)
    other = await world.merchant("Other")
    async with world.client(await world.sign_in(await world.member(other))) as browser:
        assert "pi_1" not in (await browser.get("/console")).text
        assert (await browser.get("/api/v1/reconciliation")).status_code == 404
