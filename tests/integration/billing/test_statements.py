"""A customer's account over a period, from what billing has booked."""

from __future__ import annotations

import io
import re
from datetime import date, timedelta
from typing import Any

import pytest
from pypdf import PdfReader

from chassis.ids import new_id
from contracts.billing import (
    AccountStatement,
    GiveUpInvoice,
    StartInvoicePayment,
    Statement,
    StatementPdf,
    VoidInvoice,
)
from contracts.message import Actor, CustomerId, InvalidInput, InvoiceId, MerchantId, NotFound
from services.billing.store import statements
from tests.integration.billing.shop import Shop


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
        sql = f"EXPLAIN SELECT at FROM ({statements._MOVEMENTS}) AS m WHERE at < now()"
        plan = "\n".join(row[0] for row in await tx.fetch(sql, fake_shop.merchant_id, fake_shop.customer.id))
    used = set(re.findall(r"\b(\w+_by_\w+)\b", plan))
    assert used == {f"{table}_by_customer" for table in ("invoice", "payment", "refund", "dispute")}
