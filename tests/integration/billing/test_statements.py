"""A customer's account over a period, from what billing has booked."""

from __future__ import annotations

import io
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from chassis.ids import new_id
from contracts.billing import (
    AccountStatement,
    CreditNotePdf,
    GiveUpInvoice,
    RefundRefused,
    StartInvoicePayment,
    Statement,
    StatementPdf,
    VoidInvoice,
)
from contracts.message import Actor, CustomerId, InvalidInput, InvoiceId, MerchantId, NotFound, RefundId
from services.billing.store import statements
from services.billing.stripe_gateway import StripeRefusedError
from tests.integration.billing.returns import intent_of, paid, refund, refund_comes_back, stripe_id_of
from tests.integration.billing.shop import Shop, fake


async def asked(shop: Shop, actor: Actor | None = None, kind: Any = AccountStatement, **changes: Any) -> Any:
    today = shop.clock.now().date()
    given: dict[str, Any] = {
        "customer_id": CustomerId(shop.customer.id),
        "from_on": today - timedelta(days=30),
        "to_on": today + timedelta(days=30),
    }
    return await shop.h.ask(
        kind(**(given | changes)), actor=actor or shop.member("sales"), merchant_id=shop.merchant_id
    )


def rows(statement: Statement) -> list[tuple[str, str, str | None, int, int]]:
    return [
        (account.currency, each.kind, each.reference, each.amount, each.balance)
        for account in statement.currencies
        for each in account.entries
    ]


async def test_invoices_add_payments_and_withdrawals_take_away(fake_shop: Shop) -> None:
    paid = await fake_shop.link(allow_partial=True)
    await fake_shop.link(currency="USD")
    void, given_up = await fake_shop.link(), await fake_shop.link(allow_partial=True)
    await fake_shop.link(draft=True)
    for invoice in (paid, given_up):
        part = StartInvoicePayment(invoice_id=InvoiceId(invoice.id), return_path="/portal", amount=500)
        await fake_shop.customer_pays(await fake_shop.order(part, fake_shop.contact()))
    fake_shop.later(minutes=1)
    await fake_shop.order(VoidInvoice(invoice_id=InvoiceId(void.id)))
    fake_shop.later(minutes=1)
    await fake_shop.order(GiveUpInvoice(invoice_id=InvoiceId(given_up.id)))
    statement = await asked(fake_shop)
    euro = [each[1:] for each in rows(statement) if each[0] == "EUR"]
    assert [(kind, reference, amount) for kind, reference, amount, _ in euro] == [
        ("invoice", "INV-1", 1250),
        ("invoice", "INV-3", 1250),
        ("invoice", "INV-4", 1250),
        ("payment", "REC-1", -500),
        ("payment", "REC-2", -500),
        ("withdrawn", "INV-3", -1250),
        ("written_off", "INV-4", -750),
    ]
    assert [(each.currency, each.opening, each.closing) for each in statement.currencies] == [
        ("EUR", 0, 750),
        ("USD", 0, 1250),
    ]


async def test_what_was_before_is_the_opening_and_what_comes_later_is_left_out(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    fake_shop.later(days=40)
    await fake_shop.link()
    today = fake_shop.clock.now().date()
    [account] = (await asked(fake_shop, from_on=today - timedelta(days=3))).currencies
    assert (account.opening, [each.reference for each in account.entries], account.closing) == (1250, ["INV-2"], 2500)
    [before] = (await asked(fake_shop, from_on=date(2020, 1, 1), to_on=today - timedelta(days=3))).currencies
    assert (before.opening, [each.reference for each in before.entries]) == (0, [invoice.number])
    assert before.closing == account.opening


# --- what was issued stays true ---------------------------------------------------------------------------------------


async def issued(shop: Shop) -> Statement:
    """The statement of the month that ends today: from tomorrow on it may be asked for again, and must say the same."""
    today = shop.clock.now().date()
    made: Statement = await asked(shop, from_on=today - timedelta(days=30), to_on=today)
    return made


async def again(shop: Shop, before: Statement) -> Statement:
    made: Statement = await asked(shop, from_on=before.from_on, to_on=before.to_on)
    return made


async def later(shop: Shop, before: Statement) -> tuple[int, list[tuple[str, str | None, int]], int]:
    """The next month: what was owed before, what happened, what is owed after."""
    end = before.to_on + timedelta(days=31)
    [account] = (await asked(shop, from_on=before.to_on + timedelta(days=1), to_on=end)).currencies
    return account.opening, [(each.kind, each.reference, each.amount) for each in account.entries], account.closing


async def test_a_refund_that_fails_late_is_an_entry_of_its_own_day(shop: Shop) -> None:
    invoice, _ = await paid(shop)
    made = await refund(shop, invoice, amount=400)
    await shop.work()
    before = await issued(shop)
    assert [each[1:4] for each in rows(before)] == [
        ("invoice", "INV-1", 1250),
        ("payment", "REC-1", -1250),
        ("credit_note", "CN-1", -400),
        ("refund", "CN-1", 400),
    ]
    shop.later(days=5)
    await refund_comes_back(shop, await stripe_id_of(shop, made))
    await shop.work()
    assert await again(shop, before) == before
    assert await later(shop, before) == (
        0,
        [("refund_failed", "CN-1", -400), ("credit_note_reversed", "CN-1", 400)],
        0,
    )
    await refund(shop, await shop.invoice(invoice))
    assert await again(shop, before) == before


async def test_money_for_what_was_written_off_leaves_the_write_off_where_it_was(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    started = await fake_shop.pay(invoice, fake_shop.contact())
    await fake_shop.order(GiveUpInvoice(invoice_id=InvoiceId(invoice.id)))
    before = await issued(fake_shop)
    assert [each[1] for each in rows(before)] == ["invoice", "written_off"]
    fake_shop.later(days=5)
    # A bank debit that had left in time.
    fake(fake_shop).pays(await fake_shop.session_of(started))
    await fake_shop.till.deliver()  # type: ignore[attr-defined]  # the fake's
    await fake_shop.work()
    assert (await fake_shop.invoice(invoice)).status == "paid"
    assert await again(fake_shop, before) == before
    assert await later(fake_shop, before) == (0, [("recovered", "INV-1", 1250), ("payment", "REC-1", -1250)], 0)


async def test_what_was_given_up_and_then_withdrawn_is_taken_off_the_account_once(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    await fake_shop.order(GiveUpInvoice(invoice_id=InvoiceId(invoice.id)))
    fake_shop.later(minutes=1)
    await fake_shop.order(VoidInvoice(invoice_id=InvoiceId(invoice.id)))
    assert (await fake_shop.invoice(invoice)).status == "void"
    assert [each[1:] for each in rows(await asked(fake_shop))] == [
        ("invoice", "INV-1", 1250, 1250),
        ("written_off", "INV-1", -1250, 0),
    ]


async def test_an_inquiry_that_becomes_a_dispute_takes_the_money_on_the_day_we_hear_of_it(fake_shop: Shop) -> None:
    _, payment_id = await paid(fake_shop)
    stripe = fake(fake_shop)
    asked_about = stripe.disputed(await intent_of(fake_shop, payment_id), 1250, "warning_needs_response")
    await fake_shop.till.deliver()  # type: ignore[attr-defined]  # the fake's
    await fake_shop.work()
    before = await issued(fake_shop)
    fake_shop.later(days=5)
    stripe.disputes[asked_about]["status"] = "needs_response"
    stripe.tell("charge.dispute.updated", stripe.disputes[asked_about])
    await fake_shop.till.deliver()  # type: ignore[attr-defined]  # the fake's
    await fake_shop.work()
    stripe.dispute_closes(asked_about, "won")
    fake_shop.later(days=1)
    await fake_shop.till.deliver()  # type: ignore[attr-defined]  # the fake's
    await fake_shop.work()
    assert await again(fake_shop, before) == before
    assert await later(fake_shop, before) == (0, [("dispute", None, 1250), ("dispute_won", None, -1250)], 0)


async def test_surplus_money_whose_refund_fails_is_owed_to_the_customer_again(fake_shop: Shop) -> None:
    invoice, payment_id = await paid(fake_shop)
    # All of it came on top of what was due, as a second payment does.
    await fake_shop.h.db.execute("UPDATE payment SET surplus = true, receipt_number = NULL")
    made = await refund(fake_shop, invoice, payment_id=payment_id)
    before = await issued(fake_shop)
    assert [each[1:4] for each in rows(before)][2:] == [("refund", None, 1250)]
    fake_shop.later(days=5)
    await refund_comes_back(fake_shop, await stripe_id_of(fake_shop, made))
    await fake_shop.work()
    assert await again(fake_shop, before) == before
    assert await later(fake_shop, before) == (1250, [("refund_failed", None, -1250)], 0)


async def test_a_refund_that_stripe_never_took_is_no_entry_at_all(fake_shop: Shop) -> None:
    invoice, _ = await paid(fake_shop)
    fake(fake_shop).fails["create_refund"] = [StripeRefusedError("charge_disputed", "It has been charged back.")]
    with pytest.raises(RefundRefused):
        await refund(fake_shop, invoice)
    assert [each[1] for each in rows(await asked(fake_shop))] == ["invoice", "payment"]


async def test_the_credit_note_of_a_refund_that_failed_stays_and_says_when_it_was_taken_back(fake_shop: Shop) -> None:
    invoice, _ = await paid(fake_shop)
    made = await refund(fake_shop, invoice)
    fake_shop.later(days=5)
    await refund_comes_back(fake_shop, await stripe_id_of(fake_shop, made))
    await fake_shop.work()
    question = CreditNotePdf(invoice_id=InvoiceId(invoice.id), refund_id=RefundId(made.id), locale="en")
    note = await fake_shop.h.ask(question, actor=fake_shop.member(), merchant_id=fake_shop.merchant_id)
    text = PdfReader(io.BytesIO(note.body)).pages[0].extract_text()
    reversed_on = fake_shop.clock.now().date()
    assert "CN-1" in text
    assert "12.50" in text
    assert f"{reversed_on:%B} {reversed_on.day}, {reversed_on.year}" in text
    assert "Void" not in text


async def test_books_from_before_there_were_entries_are_entered_as_they_would_have_been(fake_shop: Shop) -> None:
    invoice, payment_id = await paid(fake_shop)
    made = await refund(fake_shop, invoice, amount=400)
    fake_shop.later(days=1)
    await refund_comes_back(fake_shop, await stripe_id_of(fake_shop, made))
    await fake_shop.order(VoidInvoice(invoice_id=InvoiceId((await fake_shop.link()).id)))
    fake(fake_shop).disputed(await intent_of(fake_shop, payment_id), 300)
    await fake_shop.till.deliver()  # type: ignore[attr-defined]  # the fake's
    await fake_shop.work()
    before = await asked(fake_shop)
    assert len(rows(before)) == 9
    migration = (Path(statements.__file__).parents[1] / "migrations" / "0005_account_entries.sql").read_text()
    entering = migration[migration.index("INSERT INTO account_entry") : migration.index("-- They were for statements")]
    await fake_shop.h.db.execute("TRUNCATE account_entry")
    await fake_shop.h.db.execute(entering)
    after = await asked(fake_shop)
    assert sorted(map(str, (each[1:4] for each in rows(after)))) == sorted(
        map(str, (each[1:4] for each in rows(before)))
    )
    assert [each.closing for each in after.currencies] == [each.closing for each in before.currencies]


async def test_a_day_ends_where_the_merchant_is(fake_shop: Shop) -> None:
    """Its merchant lives in UTC: what opens at 23:59:59 is still of that day, a second later of the next."""
    now = fake_shop.clock.now()
    fake_shop.clock.at = now.replace(hour=23, minute=59, second=59)
    await fake_shop.link()
    today = now.date()
    assert len(rows(await asked(fake_shop, from_on=today, to_on=today))) == 1
    assert rows(await asked(fake_shop, from_on=today + timedelta(days=1))) == []


async def test_nobody_sees_anothers_account(fake_shop: Shop) -> None:
    await fake_shop.link()
    stranger = fake_shop.contact().model_copy(update={"customer_id": CustomerId(new_id())})
    foreign = fake_shop.member().model_copy(update={"merchant_id": MerchantId(new_id())})
    for actor in (stranger, foreign, Actor(kind="public"), Actor(kind="person")):
        for kind in (AccountStatement, StatementPdf):
            with pytest.raises(NotFound):
                await asked(fake_shop, actor, kind)
    with pytest.raises(NotFound):
        await asked(fake_shop, customer_id=CustomerId(new_id()))
    assert (await asked(fake_shop, fake_shop.contact())).currencies[0].closing == 1250


async def test_a_period_that_ends_before_it_begins_names_its_field(fake_shop: Shop) -> None:
    await fake_shop.link()
    with pytest.raises(InvalidInput) as refused:
        await asked(fake_shop, from_on=date(2026, 2, 1), to_on=date(2026, 1, 1))
    assert [each.field for each in refused.value.errors] == ["to_on"]


@pytest.mark.parametrize(("locale", "words"), [("en", "Account statement"), ("de", "Kontoauszug"), ("ar", "INV-1")])
async def test_it_is_a_tagged_document_in_the_readers_language(fake_shop: Shop, locale: str, words: str) -> None:
    for _ in range(60):
        await fake_shop.link()
    made = await asked(fake_shop, kind=StatementPdf, locale=locale)
    pdf = PdfReader(io.BytesIO(made.body))
    text = "".join(page.extract_text() for page in pdf.pages)
    assert words in text
    assert len(pdf.pages) > 1
    assert b"/Marked true" in made.body


async def test_a_statement_reads_its_customers_rows_and_not_all_of_the_merchants(fake_shop: Shop) -> None:
    async with fake_shop.h.transaction() as tx:
        await tx.execute("SET LOCAL enable_seqscan = off")
        whose, at = (fake_shop.merchant_id, fake_shop.customer.id), fake_shop.clock.now()
        plan = "\n".join(row[0] for row in await tx.fetch(f"EXPLAIN {statements._PERIOD}", *whose, at, at, 10))
    assert "account_entry_by_customer" in plan
    assert "Filter:" not in plan
