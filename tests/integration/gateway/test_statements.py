"""The account statement as data, for a spreadsheet, as PDF and as a page."""

from __future__ import annotations

from datetime import UTC, date, datetime

from contracts.billing import (
    AccountStatement,
    CurrencyStatement,
    Statement,
    StatementEntry,
    StatementPdf,
    StatementTooLong,
)
from contracts.message import CustomerId, Document, FieldError, InvalidInput
from tests.integration.gateway.world import Asked, World

QUERY = "from=2026-01-01&to=2026-03-31"
ENTRIES = (
    StatementEntry(on=date(2026, 2, 1), kind="invoice", reference="=INV", amount=11900, balance=12000),
    StatementEntry(on=date(2026, 2, 2), kind="payment", reference="REC-1", amount=-12000, balance=0),
)


def answered(asked: Asked) -> Statement:
    request = asked.request
    assert isinstance(request, AccountStatement)
    euro = CurrencyStatement(currency="EUR", opening=100, entries=ENTRIES, closing=0)
    dinar = CurrencyStatement(currency="KWD", opening=1250, entries=(), closing=1250)
    return Statement(
        customer_id=request.customer_id, from_on=request.from_on, to_on=request.to_on, currencies=(euro, dinar)
    )


async def test_a_contact_gets_their_own_and_a_member_names_one(world: World) -> None:
    merchant = await world.merchant()
    customer = await world.customer(merchant)
    world.owners.answers[AccountStatement] = answered
    async with world.client(await world.sign_in(await world.contact(customer))) as contact:
        found = (await contact.get(f"/api/v1/statements?{QUERY}")).json()
    assert found["customer_id"] == str(customer.id)
    assert [(each["currency"], each["opening"], each["closing"]) for each in found["currencies"]] == [
        ("EUR", 100, 0),
        ("KWD", 1250, 1250),
    ]
    async with world.client(await world.sign_in(await world.member(merchant))) as member:
        nobody = await member.get(f"/api/v1/statements?{QUERY}")
        assert (nobody.status_code, nobody.json()["errors"][0]["field"]) == (422, "customer_id")
        assert (await member.get(f"/api/v1/statements?{QUERY}&customer_id={customer.id}")).status_code == 200


async def test_a_spreadsheet_has_exact_amounts_and_no_formulas(world: World) -> None:
    customer = await world.customer(await world.merchant())
    world.owners.answers[AccountStatement] = answered
    async with world.client(await world.sign_in(await world.contact(customer))) as contact:
        answer = await contact.get(f"/api/v1/statements/statement.csv?{QUERY}")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="statement-2026-01-01-2026-03-31.csv"'
    assert answer.content.decode("utf-8-sig").split("\r\n") == [
        "date,kind,number,currency,amount,balance",
        "2026-01-01,opening,,EUR,,1.00",
        "2026-02-01,invoice,'=INV,EUR,119.00,120.00",
        "2026-02-02,payment,REC-1,EUR,-120.00,0.00",
        "2026-03-31,closing,,EUR,,0.00",
        "2026-01-01,opening,,KWD,,1.250",
        "2026-03-31,closing,,KWD,,1.250",
        "",
    ]


async def test_the_pdf_is_asked_for_in_the_readers_language(world: World) -> None:
    customer = await world.customer(await world.merchant())
    world.owners.answers[StatementPdf] = lambda _: Document("application/pdf", "x.pdf", b"%PDF-")
    async with world.client(await world.sign_in(await world.contact(customer))) as contact:
        answer = await contact.get(f"/api/v1/statements/statement.pdf?{QUERY}")
    assert (answer.status_code, answer.content) == (200, b"%PDF-")
    assert world.owners.asked[-1].request == StatementPdf(
        customer_id=CustomerId(customer.id), from_on=date(2026, 1, 1), to_on=date(2026, 3, 31), locale="en"
    )


async def test_a_page_shows_it_and_says_when_it_is_too_much(world: World) -> None:
    merchant = await world.merchant()
    customer = await world.customer(merchant)
    world.owners.answers[AccountStatement] = answered
    contact = world.client(Cookie=f"portal={await world.sign_in(await world.contact(customer))}")
    member = world.client(Cookie=f"portal={await world.sign_in(await world.member(merchant))}")
    async with contact, member:
        for browser, path in ((contact, "/portal/payments"), (member, f"/console/customers/{customer.id}")):
            page = await browser.get(f"{path}/statement?{QUERY}")
            assert page.status_code == 200
            assert "€119.00" in page.text
            assert "statement.csv?from=2026-01-01&amp;to=2026-03-31" in page.text
        world.owners.answers[AccountStatement] = lambda _: StatementTooLong(most=2000)
        refused = await contact.get(f"/portal/payments/statement?{QUERY}")
        assert refused.status_code == 422
        assert "Choose a shorter one." in refused.text
        wrong = await contact.get("/portal/payments/statement?from=x&to=2026-03-31")
        assert wrong.status_code == 422
        assert 'value="x"' in wrong.text
        assert (
            await member.get("/console/customers/00000000-0000-0000-0000-000000000001/statement")
        ).status_code == 404


async def test_it_goes_until_the_merchants_day_which_begins_before_the_readers(world: World) -> None:
    """At half past eleven in London it is tomorrow in Berlin, and what has just been paid is booked there."""
    customer = await world.customer(await world.merchant(time_zone="Europe/Berlin"))
    world.owners.answers[AccountStatement] = answered
    world.h.clock.at = datetime(2026, 3, 2, 23, 30, tzinfo=UTC)
    async with world.client(Cookie=f"portal={await world.sign_in(await world.contact(customer))}") as contact:
        assert (await contact.get("/portal/payments/statement")).status_code == 200
    assert world.owners.asked[-1].request == AccountStatement(
        customer_id=CustomerId(customer.id), from_on=date(2026, 1, 1), to_on=date(2026, 3, 3)
    )


async def test_a_wrong_period_is_named_as_it_was_given(world: World) -> None:
    customer = await world.customer(await world.merchant())
    refused = InvalidInput(errors=(FieldError(field="to_on", message="Too late."),))
    world.owners.answers = {AccountStatement: lambda _: refused, StatementPdf: lambda _: refused}
    async with world.client(await world.sign_in(await world.contact(customer))) as contact:
        for kind in ("", "/statement.pdf", "/statement.csv"):
            answer = await contact.get(f"/api/v1/statements{kind}?{QUERY}")
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "to")
