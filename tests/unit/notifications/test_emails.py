"""What each mail says, as its reader sees it."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from contracts.billing import Collection, Interval, LineItem, PlannedCharge
from services.notifications import emails
from services.notifications.handlers import KINDS
from tests import builders
from tests.unit.notifications.mails import AGREED, AT, CUSTOMER, FAILED, INVOICE, PAYMENT, TIMES, VALUES, Page, render


def test_the_invitation_says_who_invites_to_what_until_when() -> None:
    words = render("invitation")
    assert words.subject == "Nordlicht GmbH invites you to its customer portal"
    for text in (words.text, Page(words.html).text):
        assert "Ada Byron invites you to the customer portal of Nordlicht GmbH." in text
        # An hour later, and the next day, where the customer lives is none: 23:30 in Berlin.
        assert "until November 22, 2026, 11:30 PM (Central European Standard Time)" in " ".join(text.split())
    assert "https://p.example/invitations/a?b=1&c=2" in words.text.split()
    assert Page(words.html).links() == ["https://p.example/invitations/a?b=1&c=2", "mailto:hilfe@nordlicht.example"]


def test_who_asked_for_an_invitation_is_not_told_that_somebody_invites_them() -> None:
    words = render("invitation", asked_for=True)
    assert words.subject == "Sign up for the customer portal of Nordlicht GmbH"
    assert "You asked to sign up" in words.text
    assert "Ada Byron" not in words.text + words.html


def test_the_payment_link_says_what_to_pay_by_when_and_that_one_can_sign_up() -> None:
    words = render("payment_link")
    assert words.subject == "Invoice INV-102 from Nordlicht GmbH: €107.10"
    for text in (" ".join(words.text.split()), Page(words.html).text):
        assert re.search("To pay:? €107.10 Due on:? December 6, 2026 Invoice number:? INV-102", text)
        assert re.search("Design work:? €107.10", text)
        assert "Danke! Bis bald." in text
        assert "On the same page you can sign up for the customer portal" in text
    assert "https://p.example/pay/abc" in Page(words.html).links()


def test_the_first_invoice_of_a_subscription_says_in_its_mail_what_paying_it_agrees_to() -> None:
    taxed = INVOICE.model_copy(update={"tax": 1_710})
    for locale, what, tax in (
        ("en", "By paying it you agree to this: €12.00 every month.", "Tax:? €17.10 Total:? €107.10"),
        ("de", "Mit der Zahlung vereinbaren Sie: 12,00 € jeden Monat.", "Steuer:? 17,10 € Gesamtbetrag:? 107,10 €"),
    ):
        words = render("payment_link", locale, invoice=taxed, subscription=AGREED)
        for text in (words.text, Page(words.html).text):
            plain = " ".join(text.split())
            assert what in plain
            assert re.search(tax, plain)
    assert "By paying it you agree" not in render("payment_link").text


def test_the_notice_says_which_card_expires_when_and_where_to_look_after_it() -> None:
    words = render("card_expiring")
    assert words.subject == "Nordlicht GmbH: your card Visa •••• 4242 expires soon"
    for text in (" ".join(words.text.split()), Page(words.html).text):
        assert "you pay Nordlicht GmbH with is valid until the end of December 2026." in text
        assert re.search("Card:? Visa •••• 4242 Valid until the end of:? December 2026", text)
    assert "https://p.example/portal/payment-methods" in Page(words.html).links()
    assert "bis Ende Dezember 2026" in render("card_expiring", "de").text


def test_only_ten_lines_are_listed_and_the_rest_counted() -> None:
    line = LineItem(description="Visit", quantity=Decimal("2.5"), unit_amount=1, amount=1)
    words = render("payment_link", invoice=INVOICE.model_copy(update={"lines": (line,) * 12}))
    assert words.text.count(f"- 2.5 {TIMES} Visit: €0.01") == 10
    assert "- and 2 more lines" in words.text
    assert Page(words.html).text.count(f"2.5 {TIMES} Visit") == 10
    one_more = render("payment_link", "de", invoice=INVOICE.model_copy(update={"lines": (line,) * 11}))
    assert "- und 1 weitere Position\n" in one_more.text


def test_the_receipt_says_amount_day_method_and_numbers() -> None:
    words = render("receipt")
    assert words.subject == "Receipt from Nordlicht GmbH: €107.10"
    for text in (" ".join(words.text.split()), Page(words.html).text):
        assert re.search(
            "Amount paid:? €107.10 Paid on:? November 22, 2026 Paid with:? Visa •••• 4242 "
            "Receipt number:? REC-7 Invoice number:? INV-102",
            text,
        )
        assert "In the portal you find the invoice and this receipt as PDF." in text
    assert "https://p.example/portal" in Page(words.html).links()


def test_money_that_was_not_owed_any_more_is_told_with_whom_to_ask_and_no_promise() -> None:
    words = render("receipt", payment=PAYMENT.model_copy(update={"surplus": True}))
    sentence = "This invoice was already paid. Please contact Nordlicht GmbH about this payment."
    assert sentence in words.text
    assert sentence in Page(words.html).text
    assert "refund" not in words.text + words.html


def test_who_has_no_portal_is_not_sent_there_for_the_receipt() -> None:
    words = render("receipt", has_portal=False)
    assert "The receipt can be downloaded from the page of the payment link." in words.text
    assert "In the portal you find" not in words.text


def test_a_refund_says_how_much_comes_back_and_by_which_credit_note() -> None:
    words = render("refund")
    assert words.subject == "Refund from Nordlicht GmbH: €50.00"
    for text in (" ".join(words.text.split()), Page(words.html).text):
        assert re.search(
            "Refund:? €50.00 Refunded on:? November 22, 2026 Credit note number:? CN-3 Invoice number:? INV-102", text
        )
        assert re.search(r"(?<!\w)Reason: One page was not needed\.", text)
        assert "Your bank may take up to ten days." in text


def test_the_merchant_is_told_of_a_refund_that_failed_and_why() -> None:
    words = render("refund_failed")
    assert words.subject == "Refund of €50.00 failed (INV-102)"
    for text in (" ".join(words.text.split()), Page(words.html).text):
        assert "It is yours again." in text
        assert "The payment provider says: The card has expired or was cancelled." in text
    unheard_of = FAILED.model_copy(update={"failure": "Ask your bank."})
    assert "The payment provider says: Ask your bank." in render("refund_failed", refund=unheard_of).text


def test_the_merchant_is_told_of_a_dispute_and_until_when_to_answer() -> None:
    words = render("dispute_opened")
    assert words.subject == "A payment of €107.10 is disputed (INV-102)"
    for text in (" ".join(words.text.split()), Page(words.html).text):
        assert re.search(
            "Disputed:? €107.10 Reason:? goods or service not received "
            "Answer by:? November 22, 2026 Invoice number:? INV-102",
            text,
        )


@pytest.mark.parametrize(
    ("locale", "unit", "count", "written"),
    [
        ("en", "month", 1, "Hosting: €12.00 every month"),
        ("de", "month", 3, "Hosting: 12,00 € alle 3 Monate"),
        ("de", "year", 1, "Hosting: 12,00 € jedes Jahr"),
        ("en", "week", 2, "Hosting: €12.00 every 2 weeks"),
        ("en", "day", 1, "Hosting: €12.00 every day"),
    ],
)
def test_an_offer_says_how_often_it_is_charged(locale: str, unit: str, count: int, written: str) -> None:
    offered = builders.subscription(CUSTOMER, title="Hosting", interval=Interval(unit=unit, count=count))
    assert written in render("subscription_link", locale, subscription=offered).text.replace("\N{NO-BREAK SPACE}", " ")


def test_who_lost_a_subscription_because_nothing_could_be_collected_is_told_so_and_what_is_owed() -> None:
    kept = render("subscription_cancelled")
    lost = render("subscription_cancelled", subscription=AGREED.model_copy(update={"cancelled_by": "collection"}))
    for before, after in ((kept.text, lost.text), (Page(kept.html).text, Page(lost.html).text)):
        assert "You still owe that invoice" not in before
        assert "You still owe that invoice: you find it in the portal." in " ".join(after.split())


def test_a_coming_cancellation_says_the_day_whose_wish_it_is_and_that_it_can_be_taken_back() -> None:
    own = render("subscription_cancel_planned", subscription=AGREED.model_copy(update={"cancelled_by": "customer"}))
    theirs = render("subscription_cancel_planned", subscription=AGREED.model_copy(update={"cancelled_by": "merchant"}))
    assert own.subject == theirs.subject == "Hosting ends on December 1, 2026"
    for text in (" ".join(own.text.split()), Page(own.html).text):
        assert (
            "As you wished, it is cancelled on that day. Until then nothing changes, and you can take it back." in text
        )
        assert "Too dear." in text
    for text in (" ".join(theirs.text.split()), Page(theirs.html).text):
        assert "Nordlicht GmbH cancels it on that day." in text
        assert "take it back" not in text


def test_the_rest_of_a_cancelled_plan_that_is_owed_is_not_said_to_be_over() -> None:
    charge = PlannedCharge(on=date(2026, 11, 23), amount=80325)
    owed = render("subscription_cancelled", subscription=AGREED.model_copy(update={"next_charge": charge}))
    over = render("subscription_cancelled", subscription=AGREED.model_copy(update={"next_charge": None}))
    for text in (" ".join(owed.text.split()), Page(owed.html).text):
        assert "What remained is due at once: €803.25 on November 23, 2026." in text
        assert "Nothing new is charged" not in text
    assert "Nothing new is charged any more." in over.text
    assert "due at once" not in over.text


def test_an_invoice_in_the_place_of_another_says_that_the_other_need_not_be_paid() -> None:
    replacing = render("payment_link", invoice=INVOICE.model_copy(update={"replaces": INVOICE.id}))
    for before, after in zip(
        (render("payment_link").text, Page(render("payment_link").html).text),
        (replacing.text, Page(replacing.html).text),
        strict=True,
    ):
        assert "It takes the place of an earlier invoice, which need not be paid any more." in after
        assert "takes the place" not in before


def test_every_kind_of_mail_has_its_template_and_every_template_its_kind() -> None:
    shared = {"layout", "parts"}
    on_disk = {path.stem for path in (Path(emails.__file__).parent / "emails").glob("*.jinja")} - shared
    assert set(VALUES) == set(KINDS) == on_disk
    assert UUID(int=0) not in {INVOICE.id, PAYMENT.id}


def test_a_renewal_ahead_says_how_much_is_charged_when() -> None:
    charge = PlannedCharge(on=date(2026, 12, 24), amount=1200)
    words = render("renewal_ahead", subscription=AGREED.model_copy(update={"next_charge": charge}))
    assert words.subject == "Hosting: €12.00 on December 24, 2026"
    assert "Next charge: €12.00\nCharged on: December 24, 2026" in words.text


def test_the_merchant_reads_what_a_customer_wishes_and_why() -> None:
    words = render("customer_request")
    assert words.subject == "Sam Okafor asks about Hosting"
    for said in ("The customer would like to cancel.", "We move away.", "https://p.example/console/subscriptions"):
        assert said in words.text


def test_a_renewal_without_a_working_method_asks_for_one_and_leads_to_where_it_is_added() -> None:
    charge = PlannedCharge(on=date(2026, 12, 24), amount=1200)
    agreed = AGREED.model_copy(update={"next_charge": charge})
    words = render(
        "renewal_ahead", subscription=agreed, has_method=False, url="https://p.example/portal/payment-methods"
    )
    assert "nothing" not in words.text
    assert "There is no payment method that we can charge then. Please add one before." in words.text
    assert "Add a payment method:\nhttps://p.example/portal/payment-methods" in words.text
    assert "https://p.example/portal/payment-methods" in Page(words.html).links()
    shut = render("renewal_ahead", subscription=agreed, has_method=False, url=None)
    assert "Nordlicht GmbH can send you a page on which you add one" in shut.text
    assert "contact Nordlicht GmbH. hilfe@nordlicht.example" in shut.text


@pytest.mark.parametrize(
    ("case", "subject", "said"),
    [
        ("declined", "The charge for invoice INV-102 failed", "We could not charge your payment method."),
        ("not_again", "Invoice INV-102 still has to be paid", "so we have not charged it again."),
        ("no_method", "Invoice INV-102 still has to be paid", "There is no payment method that we could charge."),
    ],
)
def test_a_mail_about_a_charge_says_what_really_happened(case: str, subject: str, said: str) -> None:
    words = render("payment_failed", case=case)
    assert words.subject == subject
    assert f"{said} Please pay here, or add another payment method in the portal." in words.text
    assert f"{said} Please pay here.\n" in render("payment_failed", case=case, has_portal=False).text


@pytest.mark.parametrize(
    ("case", "for_good", "promise"),
    [
        ("declined", False, "We try again on"),
        ("declined", True, "We remind you again on"),
        ("not_again", True, "We remind you again on"),
        ("no_method", False, "We remind you again on"),
    ],
)
def test_a_mail_promises_another_charge_only_where_one_comes(case: str, *, for_good: bool, promise: str) -> None:
    collection = Collection(failures=1, next_try_at=AT, declined_for_good=for_good)
    words = render("payment_failed", case=case, invoice=INVOICE.model_copy(update={"collection": collection}))
    for part in (words.text, words.html):
        assert [each for each in ("We try again on", "We remind you again on") if each in part] == [promise]


CUSTOMERS = sorted(
    set(KINDS) - {"invitation", "payment_link"} - {name for name, kind in KINDS.items() if kind.to == "merchant"}
)
"""The mails that may lead into the portal."""


@pytest.mark.parametrize("template", CUSTOMERS)
def test_who_has_no_portal_is_told_whom_to_ask_and_shown_no_address_in_it(template: str) -> None:
    words = render(template, has_portal=False, url=None)
    for shown in (words.text, words.html):
        assert "https://p.example" not in shown
        assert "For questions and changes please contact Nordlicht GmbH." in shown
        assert "in the portal" not in shown


def test_an_address_in_the_portal_is_kept_from_whom_it_would_be_shut_to() -> None:
    inside, link = {"url": "https://p.example/portal/payments/1"}, {"url": "https://p.example/pay/abc"}
    for access, opens in (("none", False), ("invited", False), ("active", True), ("disabled", False)):
        customer = CUSTOMER.model_copy(update={"portal_access": access})
        url = inside["url"] if opens else None
        assert emails.for_customer(inside, customer, "https://p.example") == {"url": url, "has_portal": opens}
        assert emails.for_customer(link, customer, "https://p.example") == link | {"has_portal": opens}
    archived = CUSTOMER.model_copy(update={"portal_access": "active", "archived": True})
    assert emails.for_customer(inside, archived, "https://p.example")["url"] is None
