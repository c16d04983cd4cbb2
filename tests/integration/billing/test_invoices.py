"""Making, opening, sending, seeing and closing invoices."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from chassis.ids import new_id
from chassis.republish import CurrentRow
from chassis.testing import known
from chassis.tokens import digest
from contracts.billing import (
    BillingMailFacts,
    GiveUpInvoice,
    Invoice,
    InvoiceNotPayable,
    InvoicePdf,
    NewLine,
    NoReceiptYet,
    OpenInvoice,
    PayLinkNotUsable,
    PayLinkUrl,
    ReceiptPdf,
    SendPaymentLink,
    StartInvoicePayment,
    VoidInvoice,
)
from contracts.identity import CustomerChanged, MerchantChanged
from contracts.message import Actor, Conflict, CustomerId, InvalidInput, InvoiceId, NotAllowed, NotFound
from services.billing.store.invoices import every_invoice
from services.billing.store.payments import every_payment
from tests.integration.billing.shop import Shop, a_customer, a_merchant, fake, payment_link


async def test_a_payment_link_is_an_open_invoice_with_its_number_parties_and_link(fake_shop: Shop) -> None:
    invoice = await fake_shop.link(memo="Thank you")
    assert (invoice.status, invoice.number, invoice.total, invoice.amount_due) == ("open", "INV-1", 1250, 1250)
    assert invoice.seller is not None
    assert invoice.buyer is not None
    assert invoice.link is not None
    assert (invoice.seller.name, invoice.seller.tax_ids) == ("Nordlicht GmbH", ("DE123",))
    assert (invoice.buyer.name, invoice.buyer.email) == ("Ada Lovelace", "ada@example.test")
    [told] = await fake_shop.news_events()
    assert (told.type, told.sequence) == ("billing.invoice.opened.v1", 1)
    assert (
        told.data["state"]
        == invoice.model_dump(mode="json")
        == (await fake_shop.invoice(invoice)).model_dump(mode="json")
    )


async def test_with_send_email_the_mail_is_asked_for_in_the_same_transaction(fake_shop: Shop) -> None:
    await fake_shop.link(send_email=True)
    events = await fake_shop.news_events()
    assert [(each.type, each.sequence) for each in events] == [
        ("billing.invoice.opened.v1", 1),
        ("billing.invoice.link_email_requested.v1", 2),
    ]


async def test_amounts_are_in_the_state_as_they_were_computed(fake_shop: Shop) -> None:
    lines = (
        NewLine(description="Hours", quantity=Decimal("2.50"), unit_amount=8000, tax_rate=Decimal("19.0")),
        NewLine(description="Book", unit_amount=1000, tax_rate=Decimal(7), discount_percent=Decimal(10)),
    )
    invoice = await fake_shop.link(lines=lines)
    assert [str(line.quantity) for line in invoice.lines] == ["2.5", "1"]
    assert [line.amount for line in invoice.lines] == [20000, 900]
    assert [(str(each.rate), each.base, each.amount) for each in invoice.tax_lines] == [
        ("7", 900, 63),
        ("19", 20000, 3800),
    ]
    assert (invoice.subtotal, invoice.tax, invoice.total) == (20900, 3863, 24763)


async def test_a_draft_asks_nobody_for_money_until_it_is_opened(fake_shop: Shop) -> None:
    draft = await fake_shop.link(draft=True)
    assert (draft.status, draft.number, draft.link) == ("draft", None, None)
    with pytest.raises(NotFound):
        await fake_shop.pay(draft, fake_shop.contact())
    opened = await fake_shop.order(OpenInvoice(invoice_id=InvoiceId(draft.id), send_email=True))
    assert (opened.status, opened.number) == ("open", "INV-1")
    assert await fake_shop.news() == ["invoice.drafted", "invoice.opened", "invoice.link_email_requested"]
    with pytest.raises(Conflict):
        await fake_shop.order(OpenInvoice(invoice_id=InvoiceId(draft.id)))


async def test_numbers_have_no_gaps_whatever_is_refused_in_between_and_merchants_count_alone(fake_shop: Shop) -> None:
    made = await asyncio.gather(
        *(fake_shop.link() for _ in range(8)),
        *(fake_shop.link(currency="ZZZ") for _ in range(4)),
        return_exceptions=True,
    )
    numbers = sorted(int(each.number.split("-")[1]) for each in made if isinstance(each, Invoice) and each.number)
    assert numbers == list(range(1, 9))
    other = a_merchant(fake_shop.clock.now(), "Südwind AG")
    await fake_shop.h.deliver(MerchantChanged(state=other))
    customer = a_customer(other)
    link = payment_link(fake_shop, customer_id=customer.id)
    actor = Actor(kind="member", role="sales", merchant_id=other.merchant_id)
    theirs = await fake_shop.h.send(link, actor=actor, merchant_id=other.merchant_id, known=[known(customer)])
    assert theirs.number == "INV-1"


async def test_parties_stay_as_they_were_when_the_invoice_opened(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    renamed = fake_shop.customer.model_copy(update={"name": "Ada King"})
    await fake_shop.h.deliver(CustomerChanged(state=renamed), sequence=2)
    assert (await fake_shop.invoice(invoice)).buyer == invoice.buyer
    fake_shop.customer = renamed
    later = await fake_shop.order(payment_link(fake_shop), known=[known(renamed, 2)])
    assert later.buyer.name == "Ada King"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"currency": "ZZZ"}, "currency"),
        ({"lines": (NewLine(description="x", unit_amount=0),)}, "lines"),
        ({"lines": (NewLine(description="x", unit_amount=49),)}, "lines"),
        (
            {"lines": (NewLine(description="x", unit_amount=99_999_999_999, quantity=Decimal(2)),)},
            "lines.0.unit_amount",
        ),
        ({"due_on": "1999-12-31"}, "due_on"),
        ({"due_on": "2100-01-01"}, "due_on"),
        ({"draft": True, "send_email": True}, "send_email"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_field_and_nothing_is_kept(
    fake_shop: Shop, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await fake_shop.link(**changes)
    assert field in [each.field for each in refused.value.errors]
    assert await fake_shop.news() == []
    assert await fake_shop.h.db.fetchval("SELECT count(*) FROM invoice") == 0


async def test_archived_foreign_and_unknown_customers_cannot_be_invoiced(fake_shop: Shop) -> None:
    archived = a_customer(fake_shop.merchant, archived=True)
    foreign = a_customer(a_merchant(fake_shop.clock.now()))
    for customer in (archived, foreign):
        with pytest.raises(NotFound):
            await fake_shop.order(payment_link(fake_shop, customer_id=customer.id), known=[known(customer)])
    with pytest.raises(NotFound):
        await fake_shop.link(customer_id=CustomerId(new_id()))
    assert await fake_shop.news() == []


async def test_sales_may_make_links_but_not_withdraw_them(fake_shop: Shop) -> None:
    sales = fake_shop.member("sales")
    invoice = await fake_shop.order(payment_link(fake_shop), sales)
    await fake_shop.news()
    for command in (VoidInvoice, GiveUpInvoice):
        with pytest.raises(NotAllowed, match="admin or manager"):
            await fake_shop.order(command(invoice_id=InvoiceId(invoice.id)), sales)
    assert await fake_shop.news() == []
    given_up = await fake_shop.order(GiveUpInvoice(invoice_id=InvoiceId(invoice.id)), fake_shop.member("manager"))
    assert given_up.status == "uncollectible"
    assert await fake_shop.news() == ["invoice.given_up"]


async def test_customers_and_the_public_may_not_act_for_the_merchant(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    await fake_shop.news()
    invoice_id = InvoiceId(invoice.id)
    for actor in (fake_shop.contact(), Actor(kind="public"), Actor(kind="person", id=new_id())):
        for command in (
            payment_link(fake_shop),
            SendPaymentLink(invoice_id=invoice_id),
            VoidInvoice(invoice_id=invoice_id),
            GiveUpInvoice(invoice_id=invoice_id),
        ):
            with pytest.raises(NotAllowed):
                await fake_shop.order(command, actor)
    assert await fake_shop.news() == []


async def test_whoever_looks_on_behalf_of_somebody_changes_nothing(fake_shop: Shop) -> None:
    looking = fake_shop.member().model_copy(update={"read_only": True, "on_behalf_of": new_id()})
    with pytest.raises(NotAllowed):
        await fake_shop.order(payment_link(fake_shop), looking)


async def test_only_the_customer_pays_and_strangers_find_nothing(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    await fake_shop.news()
    with pytest.raises(NotAllowed):
        await fake_shop.pay(invoice, fake_shop.member())
    stranger = fake_shop.contact().model_copy(update={"customer_id": CustomerId(new_id())})
    for actor in (stranger, Actor(kind="public")):
        with pytest.raises(NotFound):
            await fake_shop.pay(invoice, actor)
    with pytest.raises(NotFound):
        await fake_shop.pay(invoice, fake_shop.contact(), merchant_id=new_id())
    assert await fake_shop.news() == []
    assert fake(fake_shop).asked == []


async def test_whoever_holds_the_link_pays_with_it_and_a_contact_takes_over(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    facts = await fake_shop.h.ask(
        PayLinkUrl(invoice_id=InvoiceId(invoice.id)), actor=fake_shop.member(), merchant_id=fake_shop.merchant_id
    )
    assert facts.path is not None
    token = facts.path.removeprefix("/pay/")
    assert len(token) == 43
    command = StartInvoicePayment(
        invoice_id=InvoiceId(invoice.id), link_token_sha256=digest(token), return_path=f"/pay/{token}"
    )
    started = await fake_shop.order(command, Actor(kind="public"))
    assert await fake_shop.order(command, Actor(kind="public", name="another browser")) == started
    request = next(iter(fake(fake_shop).sessions.values()))["request"]
    assert request["success_url"] == f"https://portal.test/pay/{token}?paid=confirming"
    assert request["cancel_url"] == f"https://portal.test/pay/{token}"
    assert request["customer_email"] == "ada@example.test"
    ids = {
        "merchant_id": str(invoice.merchant_id),
        "invoice_id": str(invoice.id),
        "payment_id": str(started.payment_id),
    }
    assert request["metadata"] == request["payment_intent_data"]["metadata"] == ids
    assert (await fake_shop.pay(invoice, fake_shop.contact())).payment_id != started.payment_id


@pytest.mark.parametrize(
    ("return_path", "success", "cancel"),
    [
        ("/portal/payments", "/portal/payments?paid=confirming", "/portal/payments"),
        ("/portal/payments?paid=confirming", "/portal/payments?paid=confirming", "/portal/payments"),
        ("/portal?tab=open", "/portal?tab=open&paid=confirming", "/portal?tab=open"),
    ],
)
async def test_only_the_way_back_from_paying_says_confirming(
    fake_shop: Shop, return_path: str, success: str, cancel: str
) -> None:
    invoice = await fake_shop.link()
    command = StartInvoicePayment(invoice_id=InvoiceId(invoice.id), return_path=return_path)
    await fake_shop.order(command, fake_shop.contact())
    request = next(iter(fake(fake_shop).sessions.values()))["request"]
    assert request["success_url"] == "https://portal.test" + success
    assert request["cancel_url"] == "https://portal.test" + cancel


async def test_the_token_is_in_no_event_and_no_row(sandbox_shop: Shop) -> None:
    shop = sandbox_shop
    invoice = await shop.link(send_email=True)
    facts = await shop.h.ask(
        BillingMailFacts(kind="payment_link", id=InvoiceId(invoice.id)), merchant_id=shop.merchant_id
    )
    assert facts.path is not None
    token = facts.path.removeprefix("/pay/")
    assert invoice.link is not None
    assert invoice.link.token_sha256 == digest(token)
    assert all(token not in each.model_dump_json() for each in await shop.h.outbox())
    command = StartInvoicePayment(
        invoice_id=InvoiceId(invoice.id), link_token_sha256=digest(token), return_path=f"/pay/{token}?paid=confirming"
    )
    await shop.customer_pays(await shop.order(command, Actor(kind="public")))
    assert (await shop.invoice(invoice)).status == "paid"
    for table in ("invoice", "payment", "stripe_event", "command_reply", "outbox"):
        found = await shop.h.db.fetch(f"SELECT t::text AS line FROM {table} t")
        assert found, table
        # A column of bytes shows as hex.
        assert all(token not in row["line"] and token.encode().hex() not in row["line"] for row in found), table


@pytest.mark.parametrize("how", ["revoked", "expired", "replaced"])
async def test_a_dead_link_says_why(fake_shop: Shop, how: str) -> None:
    invoice = await fake_shop.link()
    change = {
        "revoked": '{"revoked": true}',
        "expired": '{"expires_at": "2001-01-01T00:00:00Z"}',
        "replaced": f'{{"replaced_by": "{new_id()}"}}',
    }[how]
    await fake_shop.h.db.execute("UPDATE invoice SET link = link || $1::jsonb", change)
    assert invoice.link is not None
    command = StartInvoicePayment(
        invoice_id=InvoiceId(invoice.id), link_token_sha256=invoice.link.token_sha256, return_path="/pay/x"
    )
    with pytest.raises(PayLinkNotUsable) as refused:
        await fake_shop.order(command, Actor(kind="public"))
    assert refused.value.members["why"] == how


async def test_a_mail_about_a_paid_invoice_is_no_longer_true(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    question = BillingMailFacts(kind="payment_link", id=InvoiceId(invoice.id))
    assert (await fake_shop.h.ask(question, merchant_id=fake_shop.merchant_id)).still_true
    await fake_shop.customer_pays(await fake_shop.pay(invoice, fake_shop.contact()))
    facts = await fake_shop.h.ask(question, merchant_id=fake_shop.merchant_id)
    assert (facts.still_true, facts.why_not, facts.path) == (False, "paid", None)
    assert facts.facts["status"] == "paid"


async def test_a_receipts_mail_gets_the_public_page_of_its_paid_invoice_while_the_link_lives(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    link = await fake_shop.h.ask(
        PayLinkUrl(invoice_id=InvoiceId(invoice.id)), actor=fake_shop.member(), merchant_id=fake_shop.merchant_id
    )
    await fake_shop.customer_pays(await fake_shop.pay(invoice, fake_shop.contact()))
    question = BillingMailFacts(kind="receipt", id=InvoiceId(invoice.id))
    facts = await fake_shop.h.ask(question, merchant_id=fake_shop.merchant_id)
    assert (facts.still_true, facts.path) == (True, link.path)
    await fake_shop.h.db.execute("""UPDATE invoice SET link = link || '{"revoked": true}'""")
    facts = await fake_shop.h.ask(question, merchant_id=fake_shop.merchant_id)
    assert (facts.still_true, facts.path) == (True, None)


async def test_the_secret_path_is_for_members_and_our_own_services(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    invoice_id = InvoiceId(invoice.id)
    with pytest.raises(NotAllowed):
        await fake_shop.h.ask(
            PayLinkUrl(invoice_id=invoice_id), actor=fake_shop.contact(), merchant_id=fake_shop.merchant_id
        )
    with pytest.raises(NotFound):
        await fake_shop.h.ask(
            BillingMailFacts(kind="payment_link", id=invoice_id),
            actor=fake_shop.contact(),
            merchant_id=fake_shop.merchant_id,
        )
    draft = await fake_shop.link(draft=True)
    with pytest.raises(PayLinkNotUsable):
        await fake_shop.h.ask(
            PayLinkUrl(invoice_id=InvoiceId(draft.id)), actor=fake_shop.member(), merchant_id=fake_shop.merchant_id
        )


async def test_the_link_is_sent_again_only_while_the_invoice_is_open(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    await fake_shop.news()
    command = SendPaymentLink(invoice_id=InvoiceId(invoice.id))
    await fake_shop.order(command)
    assert await fake_shop.news() == ["invoice.link_email_requested"]
    await fake_shop.order(VoidInvoice(invoice_id=InvoiceId(invoice.id)))
    with pytest.raises(InvoiceNotPayable) as refused:
        await fake_shop.order(command)
    assert refused.value.members["why"] == "void"


async def test_documents_are_pdfs_for_those_who_may_see_the_invoice(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    invoice_id = InvoiceId(invoice.id)

    async def asked(question: Any, actor: Actor) -> Any:
        return await fake_shop.h.ask(question, actor=actor, merchant_id=fake_shop.merchant_id)

    for actor in (fake_shop.member(), fake_shop.contact()):
        document = await asked(InvoicePdf(invoice_id=invoice_id), actor)
        assert (document.content_type, document.filename) == ("application/pdf", "INV-1.pdf")
        assert document.body.startswith(b"%PDF")
    assert invoice.link is not None
    holder = InvoicePdf(invoice_id=invoice_id, link_token_sha256=invoice.link.token_sha256, locale="en")
    assert (await asked(holder, Actor(kind="public"))).body.startswith(b"%PDF")
    stranger = fake_shop.contact().model_copy(update={"customer_id": CustomerId(new_id())})
    for actor in (stranger, Actor(kind="public"), Actor(kind="person", id=new_id())):
        for question in (InvoicePdf(invoice_id=invoice_id), ReceiptPdf(invoice_id=invoice_id)):
            with pytest.raises(NotFound):
                await asked(question, actor)
    with pytest.raises(NoReceiptYet):
        await asked(ReceiptPdf(invoice_id=invoice_id), fake_shop.contact())
    draft = await fake_shop.link(draft=True)
    with pytest.raises(NotFound):
        await asked(InvoicePdf(invoice_id=InvoiceId(draft.id)), fake_shop.member())

    await fake_shop.customer_pays(await fake_shop.pay(invoice, fake_shop.contact()))
    receipt = await asked(ReceiptPdf(invoice_id=invoice_id), fake_shop.contact())
    assert (receipt.filename, receipt.body[:4]) == ("REC-1.pdf", b"%PDF")


async def test_every_row_can_be_sent_again_with_its_present_sequence(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    await fake_shop.customer_pays(await fake_shop.pay(invoice, fake_shop.contact()))
    last = {each.subject: each for each in await fake_shop.h.outbox()}
    rows: list[CurrentRow] = [row async for row in every_invoice(fake_shop.h.db)]
    rows += [row async for row in every_payment(fake_shop.h.db)]
    assert {(str(row.state.id), row.sequence) for row in rows} == {(key, each.sequence) for key, each in last.items()}
    for row in rows:
        assert row.state.model_dump(mode="json") == last[str(row.state.id)].data["state"]


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE invoice SET total = total + 1",
        "UPDATE invoice SET amount_paid = total + 1",
        "UPDATE invoice SET status = 'paid'",
        "UPDATE invoice SET number = NULL",
        "UPDATE payment SET status = 'succeeded'",
        """INSERT INTO payment (id, merchant_id, customer_id, invoice_id, sequence, attempt, status, amount, currency,
             created_at, command_id, payer, payer_name, correlation_id, request)
           SELECT gen_random_uuid(), merchant_id, customer_id, invoice_id, 1, 2, 'created', amount, currency, created_at,
             'x', payer, '', 'x', '{}' FROM payment""",
    ],
)
async def test_the_database_itself_refuses_books_that_cannot_be(fake_shop: Shop, sql: str) -> None:
    await fake_shop.pay(await fake_shop.link(), fake_shop.contact())
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await fake_shop.h.db.execute(sql)
