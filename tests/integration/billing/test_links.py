"""The payment link's life: parts, its end, withdrawn, made anew, replaced; and a merchant's defaults."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from chassis.testing import known
from chassis.tokens import digest
from contracts.billing import (
    BillingDefaults,
    BillingMailFacts,
    ChangeDefaults,
    CheckoutStarted,
    Invoice,
    InvoiceAlreadyPaid,
    NewLine,
    OpenInvoice,
    PayLinkNotUsable,
    PayLinkUrl,
    ReceiptPdf,
    RenewPaymentLink,
    ReplaceInvoice,
    RequestFreshLink,
    RevokePaymentLink,
    SendPaymentLink,
    StartInvoicePayment,
)
from contracts.identity import CustomerChanged
from contracts.message import Actor, Conflict, InvalidInput, InvoiceId, NotAllowed, NotFound
from services.billing.handlers.defaults import change_defaults
from services.billing.schedules import close_one
from services.billing.store import payments
from services.billing.store.defaults import defaults
from tests.integration.billing.shop import Shop, fake, payment_link, under_another_key

PUBLIC = Actor(kind="public")


async def url_token(shop: Shop, invoice: Invoice) -> str:
    """The secret in the invoice's public URL, as a member copies it."""
    question = PayLinkUrl(invoice_id=InvoiceId(invoice.id))
    facts = await shop.h.ask(question, actor=shop.member(), merchant_id=shop.merchant_id)
    assert facts.path is not None
    return str(facts.path).removeprefix("/pay/")


async def pays_by_link(shop: Shop, invoice: Invoice, token: str, **more: Any) -> CheckoutStarted:
    given = {"return_path": "/pay/x"} | more
    command = StartInvoicePayment(invoice_id=InvoiceId(invoice.id), link_token_sha256=digest(token), **given)
    started: CheckoutStarted = await shop.order(command, PUBLIC)
    return started


async def pays_part(shop: Shop, invoice: Invoice, amount: int | None) -> CheckoutStarted:
    command = StartInvoicePayment(invoice_id=InvoiceId(invoice.id), return_path="/portal/payments", amount=amount)
    started: CheckoutStarted = await shop.order(command, shop.contact())
    return started


async def test_an_invoice_is_paid_in_parts_until_nothing_is_due(shop: Shop) -> None:
    invoice = await shop.link(allow_partial=True)
    await shop.customer_pays(await pays_part(shop, invoice, 500))
    now = await shop.invoice(invoice)
    assert (now.status, now.amount_paid, now.amount_due) == ("open", 500, 750)
    assert [each.amount for each in now.receipts] == [500]
    await shop.customer_pays(await pays_part(shop, invoice, None))
    now = await shop.invoice(invoice)
    assert (now.status, now.amount_paid, [each.number for each in now.receipts]) == ("paid", 1250, ["REC-1", "REC-2"])


@pytest.mark.parametrize(
    ("amount", "code"),
    [(1251, "part-too-large"), (20, "part-not-chargeable"), (1220, "rest-too-small")],
)
async def test_a_part_is_neither_too_large_nor_too_small_nor_leaves_too_little(
    fake_shop: Shop, amount: int, code: str
) -> None:
    invoice = await fake_shop.link(allow_partial=True)
    with pytest.raises(InvalidInput) as refused:
        await pays_part(fake_shop, invoice, amount)
    assert [(each.field, each.code) for each in refused.value.errors] == [("amount", code)]
    assert await fake_shop.payments_of(invoice) == []


async def test_a_part_needs_the_merchants_leave(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    with pytest.raises(InvalidInput) as refused:
        await pays_part(fake_shop, invoice, 500)
    assert [each.code for each in refused.value.errors] == ["part-not-allowed"]
    assert (await pays_part(fake_shop, invoice, 1250)).payment_id


async def test_another_part_than_the_open_checkouts_closes_that_one_first(shop: Shop) -> None:
    invoice = await shop.link(allow_partial=True)
    contact = shop.contact()
    first = await shop.order(_part(invoice, 500), contact)
    second = await shop.order(_part(invoice, 600), contact)
    assert await shop.payments_of(invoice) == [(1, "failed"), (2, "created")]
    assert await shop.session_of(first) not in await shop.till.open_sessions()
    await shop.customer_pays(second)
    assert (await shop.invoice(invoice)).amount_paid == 600


def _part(invoice: Invoice, amount: int) -> StartInvoicePayment:
    return StartInvoicePayment(invoice_id=InvoiceId(invoice.id), return_path="/portal/payments", amount=amount)


async def test_a_revoked_link_shows_nothing_and_the_portal_still_pays(shop: Shop) -> None:
    invoice = await shop.link()
    token = await url_token(shop, invoice)
    open_checkout = await pays_by_link(shop, invoice, token)
    revoked = await shop.order(RevokePaymentLink(invoice_id=InvoiceId(invoice.id)))
    assert revoked.link.revoked
    with pytest.raises(PayLinkNotUsable) as refused:
        await pays_by_link(shop, invoice, token)
    assert refused.value.members["why"] == "revoked"
    # The checkout that was opened through it is closed by the worker.
    [attempt] = (await payments.to_close(shop.h.db, None, 10)).found
    await close_one(shop.h.runtime, shop.stripe, attempt)
    assert await shop.session_of(open_checkout) not in await shop.till.open_sessions()
    await shop.customer_pays(await shop.pay(invoice, shop.contact()))
    assert (await shop.invoice(invoice)).status == "paid"


async def test_a_contacts_checkout_outlives_the_link(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    await fake_shop.pay(invoice, fake_shop.contact())
    await fake_shop.order(RevokePaymentLink(invoice_id=InvoiceId(invoice.id)))
    assert (await payments.to_close(fake_shop.h.db, None, 10)).found == []


async def test_a_link_ends_when_it_was_told_to(fake_shop: Shop) -> None:
    ends = fake_shop.clock.now() + timedelta(days=2)
    invoice = await fake_shop.link(link_expires_at=ends)
    assert invoice.link is not None
    assert invoice.link.expires_at == ends
    token = await url_token(fake_shop, invoice)
    fake_shop.later(days=2)
    with pytest.raises(PayLinkNotUsable) as refused:
        await pays_by_link(fake_shop, invoice, token)
    assert refused.value.members["why"] == "expired"


async def test_a_link_ends_neither_in_the_past_nor_beyond_all_clocks(fake_shop: Shop) -> None:
    with pytest.raises(InvalidInput) as refused:
        await fake_shop.link(link_expires_at=fake_shop.clock.now())
    assert [each.field for each in refused.value.errors] == ["link_expires_at"]
    for too_late in (fake_shop.clock.now() + timedelta(days=3654), datetime.max.replace(tzinfo=UTC)):
        with pytest.raises(InvalidInput) as refused:
            await fake_shop.link(link_expires_at=too_late)
        assert [(each.field, each.code) for each in refused.value.errors] == [("link_expires_at", "link-end-too-late")]
    with pytest.raises(InvalidInput):
        await fake_shop.link(draft=True, link_expires_at=fake_shop.clock.now() + timedelta(days=1))


async def test_a_draft_gets_its_links_end_when_it_opens(fake_shop: Shop) -> None:
    draft = await fake_shop.link(draft=True)
    ends = fake_shop.clock.now() + timedelta(days=1)
    opened = await fake_shop.order(OpenInvoice(invoice_id=InvoiceId(draft.id), link_expires_at=ends))
    assert opened.link.expires_at == ends


async def test_a_new_link_kills_the_one_before(shop: Shop) -> None:
    invoice = await shop.link()
    old = await url_token(shop, invoice)
    renewed = await shop.order(RenewPaymentLink(invoice_id=InvoiceId(invoice.id), send_email=True))
    new = await url_token(shop, invoice)
    assert new != old
    assert renewed.link.token_sha256 == digest(new)
    assert renewed.link.earlier_sha256 == (digest(old),)
    assert (await shop.news())[-2:] == ["invoice.link_changed", "invoice.link_email_requested"]
    with pytest.raises(NotFound):
        await pays_by_link(shop, invoice, old)
    await shop.customer_pays(await pays_by_link(shop, invoice, new))
    assert (await shop.invoice(invoice)).status == "paid"


async def test_a_mailed_link_always_works(fake_shop: Shop) -> None:
    invoice = await fake_shop.link(link_expires_at=fake_shop.clock.now() + timedelta(days=1))
    fake_shop.later(days=3)
    sent = await fake_shop.order(SendPaymentLink(invoice_id=InvoiceId(invoice.id)))
    assert sent.link.expires_at is None
    system = Actor(kind="system", name="notifications")
    facts = await fake_shop.h.ask(
        BillingMailFacts(kind="payment_link", id=InvoiceId(invoice.id)),
        actor=system,
        merchant_id=fake_shop.merchant_id,
    )
    assert facts.still_true
    token = str(facts.path).removeprefix("/pay/")
    assert (await pays_by_link(fake_shop, invoice, token)).checkout_url


async def test_a_link_of_an_earlier_secret_key_is_not_handed_out_and_mailing_makes_a_new_one(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    old = await url_token(fake_shop, invoice)
    facts = BillingMailFacts(kind="payment_link", id=InvoiceId(invoice.id))
    receipt = BillingMailFacts(kind="receipt", id=InvoiceId(invoice.id))
    system, merchant_id = Actor(kind="system", name="notifications"), fake_shop.merchant_id
    async with under_another_key(fake_shop) as shop:
        with pytest.raises(PayLinkNotUsable) as refused:
            await url_token(shop, invoice)
        assert refused.value.members["why"] == "outdated"
        assert refused.value.detail == "The secret key was changed after this link was made. Make a new link."
        said = await shop.h.ask(facts, actor=system, merchant_id=merchant_id)
        assert (said.still_true, said.why_not, said.path) == (False, "outdated", None)
        said = await shop.h.ask(receipt, actor=system, merchant_id=merchant_id)
        assert (said.still_true, said.path) == (True, None)
        assert (await shop.invoice(invoice)).link == invoice.link  # what the customer holds goes on working
        assert (await pays_by_link(shop, invoice, old)).checkout_url
        sent = await shop.order(SendPaymentLink(invoice_id=InvoiceId(invoice.id)))
        new = await url_token(shop, invoice)
        assert (sent.link.token_sha256, sent.link.earlier_sha256) == (digest(new), (digest(old),))
        said = await shop.h.ask(facts, actor=system, merchant_id=merchant_id)
        assert (said.still_true, said.path) == (True, f"/pay/{new}")


async def test_a_link_of_an_earlier_secret_key_stands_in_no_row_and_leads_back_after_paying(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    old = await url_token(fake_shop, invoice)
    async with under_another_key(fake_shop) as shop:
        started = await pays_by_link(shop, invoice, old, return_path=f"/pay/{old}?paid=confirming")
        # The answer was lost: it is gone on with under the same key, which must come with the same body.
        await shop.h.db.execute("UPDATE payment SET session_id = NULL, session_url = NULL")
        shop.later(minutes=1)
        assert await pays_by_link(shop, invoice, old, return_path=f"/pay/{old}?paid=confirming") == started
        (session,) = fake(shop).sessions.values()
        assert session["request"]["success_url"] == f"https://portal.test/pay/{old}?paid=confirming"
        assert session["request"]["cancel_url"] == f"https://portal.test/pay/{old}"
        stored = await shop.h.db.fetchval("SELECT request FROM payment WHERE invoice_id = $1", invoice.id)
        assert old not in stored
        assert "/pay/{pay_link_token}?paid=confirming" in stored


async def test_whoever_holds_an_expired_link_has_a_fresh_one_mailed_once_an_hour(fake_shop: Shop) -> None:
    await fake_shop.order(ChangeDefaults(link_days=7))
    invoice = await fake_shop.link(link_expires_at=fake_shop.clock.now() + timedelta(days=1))
    old = digest(await url_token(fake_shop, invoice))
    ask = RequestFreshLink(invoice_id=InvoiceId(invoice.id), token_sha256=old)
    await fake_shop.news()
    await fake_shop.order(ask, PUBLIC)
    assert await fake_shop.news() == []  # it still works: nothing to send
    fake_shop.later(days=2)
    answer = await fake_shop.order(ask, PUBLIC)
    assert answer.model_dump(mode="json") == {"invoice_id": str(invoice.id)}
    assert await fake_shop.news() == ["invoice.link_changed", "invoice.link_email_requested"]
    now = await fake_shop.invoice(invoice)
    assert now.link is not None
    assert now.link.expires_at == fake_shop.clock.now() + timedelta(days=7)
    # Again, with the old one, which is now an earlier one: the same answer, no second mail.
    fake_shop.later(minutes=59)
    assert (await fake_shop.order(ask, PUBLIC)) == answer
    assert await fake_shop.news() == []


async def test_an_expired_link_of_a_paid_invoice_leads_to_its_receipt(fake_shop: Shop) -> None:
    invoice = await fake_shop.link(link_expires_at=fake_shop.clock.now() + timedelta(days=1))
    token = await url_token(fake_shop, invoice)
    await fake_shop.customer_pays(await pays_by_link(fake_shop, invoice, token))
    fake_shop.later(days=2)
    assert await url_token(fake_shop, invoice) == token
    receipt = ReceiptPdf(invoice_id=InvoiceId(invoice.id), link_token_sha256=digest(token))
    document = await fake_shop.h.ask(receipt, actor=PUBLIC, merchant_id=fake_shop.merchant_id)
    assert document.filename == "REC-1.pdf"
    mail = BillingMailFacts(kind="receipt", id=InvoiceId(invoice.id))
    system = Actor(kind="system", name="notifications")
    assert (await fake_shop.h.ask(mail, actor=system, merchant_id=fake_shop.merchant_id)).path == f"/pay/{token}"
    with pytest.raises(InvoiceAlreadyPaid):
        await pays_by_link(fake_shop, invoice, token)
    # What is still to be paid expires.
    owed = await fake_shop.link(link_expires_at=fake_shop.clock.now() + timedelta(days=1))
    fake_shop.later(days=2)
    with pytest.raises(PayLinkNotUsable) as refused:
        await url_token(fake_shop, owed)
    assert refused.value.members["why"] == "expired"


async def test_a_stranger_or_a_revoked_link_gets_no_fresh_one(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    token = digest(await url_token(fake_shop, invoice))
    with pytest.raises(NotFound):
        await fake_shop.order(RequestFreshLink(invoice_id=InvoiceId(invoice.id), token_sha256=digest("x")), PUBLIC)
    await fake_shop.order(RevokePaymentLink(invoice_id=InvoiceId(invoice.id)))
    with pytest.raises(PayLinkNotUsable) as refused:
        await fake_shop.order(RequestFreshLink(invoice_id=InvoiceId(invoice.id), token_sha256=token), PUBLIC)
    assert refused.value.members["why"] == "revoked"


def replacement(shop: Shop, invoice: Invoice, **changes: Any) -> ReplaceInvoice:
    fields = payment_link(shop, **changes)
    return ReplaceInvoice(
        invoice_id=InvoiceId(invoice.id), **{name: getattr(fields, name) for name in fields.model_fields_set}
    )


async def test_a_replaced_invoice_is_void_and_its_link_leads_on(shop: Shop) -> None:
    invoice = await shop.link()
    started = await pays_by_link(shop, invoice, await url_token(shop, invoice))
    better = await shop.order(replacement(shop, invoice, lines=(NewLine(description="Less", unit_amount=900),)))
    assert (better.status, better.number, better.total, better.replaces) == ("open", "INV-2", 900, invoice.id)
    old = await shop.invoice(invoice)
    assert old.link is not None
    assert (old.status, old.number, old.link.replaced_by) == ("void", "INV-1", better.id)
    assert await shop.session_of(started) not in await shop.till.open_sessions()
    assert "invoice.replaced" in await shop.news()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"currency": "ABC"}, "currency"),
        ({"link_expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "link_expires_at"),
        ({"draft": True}, "draft"),
    ],
)
async def test_a_replacement_that_is_refused_takes_nobodys_checkout(
    fake_shop: Shop, changes: dict[str, Any], field: str
) -> None:
    invoice = await fake_shop.link()
    started = await pays_by_link(fake_shop, invoice, await url_token(fake_shop, invoice))
    with pytest.raises(InvalidInput) as refused:
        await fake_shop.order(replacement(fake_shop, invoice, **changes))
    assert [each.field for each in refused.value.errors] == [field]
    assert await fake_shop.session_of(started) in await fake_shop.till.open_sessions()
    assert await fake_shop.h.db.fetchval("SELECT count(*) FROM invoice") == 1


async def test_what_has_money_on_it_is_not_replaced_and_nothing_is_made(shop: Shop) -> None:
    invoice = await shop.link(allow_partial=True)
    await shop.customer_pays(await pays_part(shop, invoice, 500))
    with pytest.raises(Conflict):
        await shop.order(replacement(shop, invoice))
    assert await shop.h.db.fetchval("SELECT count(*) FROM invoice") == 1


async def test_a_replacement_that_is_wrong_leaves_the_old_one_open(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    with pytest.raises(InvalidInput) as refused:
        await fake_shop.order(replacement(fake_shop, invoice, currency="ZZZ"))
    assert "currency" in [each.field for each in refused.value.errors]
    assert (await fake_shop.invoice(invoice)).status == "open"


async def test_reverse_charge_takes_no_tax_and_names_the_customers_number(fake_shop: Shop) -> None:
    line = NewLine(description="Consulting", unit_amount=1000, reverse_charge=True)
    with pytest.raises(InvalidInput) as refused:
        await fake_shop.link(lines=(line,))
    assert [(each.field, each.code) for each in refused.value.errors] == [
        ("lines.0.reverse_charge", "reverse-charge-without-tax-id")
    ]
    abroad = fake_shop.customer.model_copy(update={"tax_ids": ("GB123",)})
    await fake_shop.h.deliver(CustomerChanged(state=abroad), sequence=2)
    invoice = await fake_shop.order(payment_link(fake_shop, lines=(line,)), known=[known(abroad, 2)])
    assert (invoice.total, invoice.tax, invoice.lines[0].reverse_charge, invoice.buyer.tax_ids) == (
        1000,
        0,
        True,
        ("GB123",),
    )
    taxed = line.model_copy(update={"tax_rate": Decimal(19)})
    with pytest.raises(InvalidInput) as refused:
        await fake_shop.order(payment_link(fake_shop, lines=(taxed,)), known=[known(abroad, 2)])
    assert [each.field for each in refused.value.errors] == ["lines.0.tax_rate"]


async def test_defaults_are_used_where_a_link_says_nothing(fake_shop: Shop) -> None:
    changed: BillingDefaults = await fake_shop.order(
        ChangeDefaults(due_days=30, tax_inclusive=True, memo="Thank you", allow_partial=True, link_days=90)
    )
    assert (changed.id, changed.retry_days) == (fake_shop.merchant.id, (2, 7, 14, 21))
    given = payment_link(fake_shop).model_dump(exclude_unset=True, exclude={"due_on"})
    invoice = await fake_shop.order(payment_link(fake_shop).model_validate(given))
    today = fake_shop.clock.now().date()
    assert invoice.due_on == today + timedelta(days=30)  # this merchant's day is UTC's
    assert (invoice.tax_inclusive, invoice.memo, invoice.allow_partial) == (True, "Thank you", True)
    assert invoice.link.expires_at == fake_shop.clock.now() + timedelta(days=90)
    plain = await fake_shop.link(memo=None, allow_partial=False, tax_inclusive=False, link_expires_at=None)
    assert plain.link is not None
    assert (plain.memo, plain.allow_partial, plain.tax_inclusive, plain.link.expires_at) == (None, False, False, None)


async def test_two_who_change_different_defaults_at_once_undo_nothing_of_each_other(fake_shop: Shop) -> None:
    cause = replace(fake_shop.h.runtime.system_cause(fake_shop.merchant_id), actor=fake_shop.member())
    async with asyncio.timeout(10):
        async with fake_shop.h.transaction(cause) as tx:
            await change_defaults(tx, ChangeDefaults(due_days=3))
            other = asyncio.create_task(fake_shop.order(ChangeDefaults(link_days=9)))
            await asyncio.sleep(0.3)
        await other
    now = await defaults(fake_shop.h.db, fake_shop.merchant_id)
    assert (now.due_days, now.link_days) == (3, 9)


async def test_defaults_change_only_where_something_is_given_and_by_admins_only(fake_shop: Shop) -> None:
    await fake_shop.order(ChangeDefaults(due_days=30, link_days=5))
    after = await fake_shop.order(ChangeDefaults(link_days=None))
    assert (after.due_days, after.link_days) == (30, None)
    assert (await fake_shop.news()).count("defaults.changed") == 2
    await fake_shop.order(ChangeDefaults(due_days=30))
    assert await fake_shop.news() == []
    for actor in (fake_shop.member("manager"), fake_shop.member("sales"), fake_shop.contact()):
        with pytest.raises(NotAllowed):
            await fake_shop.order(ChangeDefaults(due_days=1), actor)


async def test_retries_come_one_after_the_other(fake_shop: Shop) -> None:
    with pytest.raises(InvalidInput) as refused:
        await fake_shop.order(ChangeDefaults(retry_days=(7, 2)))
    assert [each.field for each in refused.value.errors] == ["retry_days"]


async def test_a_link_of_an_invoice_that_is_settled_is_neither_renewed_nor_withdrawn(shop: Shop) -> None:
    invoice = await shop.link()
    await shop.customer_pays(await shop.pay(invoice, shop.contact()))
    with pytest.raises(Conflict):
        await shop.order(RevokePaymentLink(invoice_id=InvoiceId(invoice.id)))
    with pytest.raises(Exception, match="paid"):
        await shop.order(RenewPaymentLink(invoice_id=InvoiceId(invoice.id)))
