"""The three mails as people and mail programs read them."""

from __future__ import annotations

import email
import html
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from email.message import EmailMessage
from email.policy import SMTP
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import UUID

import jinja2
import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from contracts.billing import ChangeWish, Collection, Interval, LineItem, PlannedCharge
from contracts.identity import Merchant
from services.notifications import emails
from services.notifications.emails import Brand, Picture, Reader, UnusableAddress, Words, contrast, header_text, mailbox
from services.notifications.handlers import KINDS
from tests import builders

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (600).to_bytes(4, "big") + (100).to_bytes(4, "big")
TIMES = "\N{MULTIPLICATION SIGN}"
AT = datetime(2026, 11, 22, 22, 30, tzinfo=UTC)
MERCHANT = builders.merchant(name="Nordlicht GmbH", support_email="hilfe@nordlicht.example", support_phone="+49 30 1")
CUSTOMER = builders.customer(MERCHANT)
INVITATION = builders.invitation(CUSTOMER, invited_by="Ada Byron", expires_at=AT)
INVOICE = builders.invoice(CUSTOMER, 10_710, number="INV-102", due_on=date(2026, 12, 6), memo="Danke!\nBis bald.")
REFUND = builders.refund(INVOICE, 5_000, issued_at=AT)
FAILED = builders.refund(INVOICE, 5_000, status="failed", failure="expired_or_canceled_card")
DISPUTE = builders.dispute(INVOICE, evidence_due_at=AT)
PAYMENT = builders.payment(INVOICE, at=AT, method="visa", receipt_number="REC-7")

CARD = builders.payment_method(CUSTOMER, exp_month=12, exp_year=2026)
AGREED = builders.subscription(CUSTOMER, title="Hosting", ended_on=date(2026, 12, 1), cancel_reason="Too dear.")
WISH = ChangeWish(wish="cancel", note="We move away.", asked_by="Sam Okafor")

VALUES: dict[str, dict[str, object]] = {
    "card_expiring": {
        "payment_method": CARD,
        "last_month": date(2026, 12, 1),
        "url": "https://p.example/portal/payment-methods",
    },
    "invitation": {"invitation": INVITATION, "asked_for": False, "url": "https://p.example/invitations/a?b=1&c=2"},
    "payment_link": {"invoice": INVOICE, "url": "https://p.example/pay/abc"},
    "refund": {"invoice": INVOICE, "refund": REFUND, "has_portal": True, "url": "https://p.example/portal"},
    "refund_failed": {"invoice": INVOICE, "refund": FAILED, "url": "https://p.example/console"},
    "dispute_opened": {"invoice": INVOICE, "dispute": DISPUTE, "url": "https://p.example/console"},
    **{
        name: {
            "subscription": AGREED,
            "has_portal": True,
            "has_method": True,
            "url": "https://p.example/portal/subscriptions",
        }
        for name, kind in KINDS.items()
        if kind.about == "subscription"
    },
    "customer_request": {"subscription": AGREED, "wish": WISH, "url": "https://p.example/console/subscriptions"},
    "payment_failed": {
        "invoice": INVOICE,
        "case": "declined",
        "has_portal": True,
        "url": "https://p.example/pay/abc",
    },
    "confirm_payment": {"invoice": INVOICE, "url": "https://p.example/pay/abc"},
    "receipt": {"invoice": INVOICE, "payment": PAYMENT, "has_portal": True, "url": "https://p.example/portal"},
}


def render(template: str, locale: str = "en", merchant: Merchant = MERCHANT, **changes: object) -> Words:
    reader = Reader.of(locale, "Europe/Berlin")
    return emails.render(template, reader, merchant, None, VALUES[template] | changes)


def mail(words: Words, **changes: Any) -> EmailMessage:
    """The mail as a receiving program parses it."""
    given: dict[str, Any] = {
        "sender": "portal@example.test",
        "recipient": "sam@okafor.example",
        "message_id": "<1@p.example>",
        "sent_at": AT,
        "merchant": MERCHANT,
        "logo": None,
    }
    parsed = email.message_from_bytes(bytes(emails.message(words, **given | changes)), policy=SMTP)
    assert isinstance(parsed, EmailMessage)
    return parsed


class Page(HTMLParser):
    """What a browser would make of the HTML: visible text, elements, links."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._silent = 0
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._silent += tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag == "style"

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def links(self) -> list[str | None]:
        return [attributes.get("href") for tag, attributes in self.elements if tag == "a"]


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


@pytest.mark.parametrize("template", VALUES)
def test_a_mail_is_written_in_the_readers_language(template: str) -> None:
    english, german, arabic = (render(template, locale) for locale in ("en-GB", "de-AT", "ar-EG"))
    assert len({english.subject, german.subject, arabic.subject}) == 3
    assert Page(german.html).elements[0] == ("html", Page(german.html).elements[0][1])
    assert Page(german.html).elements[0][1]["lang"] == "de"
    assert render(template, "tlh").text == render(template, "en").text


@pytest.mark.parametrize("template", VALUES)
def test_arabic_mails_run_from_right_to_left(template: str) -> None:
    page = Page(render(template, "ar").html)
    assert page.elements[0][1]["dir"] == "rtl"
    columns = [attributes for _, attributes in page.elements if "mj-column" in (attributes.get("class") or "")]
    assert len(columns) == 3
    assert all("direction:rtl" in (column["style"] or "") for column in columns)
    texts = [
        a["style"] or "" for tag, a in page.elements if tag == "div" and "font-size:16px" in (a.get("style") or "")
    ]
    assert texts
    assert all("text-align:right" in style for style in texts)
    assert "text-align:left" not in "".join(texts)


HOSTILE = "<script>alert(1)</script><mj-include path='/etc/passwd'/>{{ 7*7 }}{% raw %}\" onload=\"x &amp; ]]><!--"


@pytest.mark.parametrize("template", VALUES)
def test_merchant_text_never_becomes_html_or_template(template: str) -> None:
    merchant = MERCHANT.model_copy(update={"name": HOSTILE, "support_email": HOSTILE, "support_phone": HOSTILE})
    line = LineItem(description=HOSTILE, quantity=Decimal(1), unit_amount=1, amount=1)
    invoice = INVOICE.model_copy(update={"number": HOSTILE, "memo": HOSTILE, "lines": (line,)})
    hostile: dict[str, dict[str, object]] = {
        "invitation": {"invitation": INVITATION.model_copy(update={"invited_by": HOSTILE})},
        "payment_link": {"invoice": invoice},
        "card_expiring": {"payment_method": CARD.model_copy(update={"brand": HOSTILE, "last4": HOSTILE})},
        "receipt": {"invoice": invoice, "payment": PAYMENT.model_copy(update={"method": HOSTILE, "receipt_number": HOSTILE})},
        "refund": {"invoice": invoice, "refund": REFUND.model_copy(update={"reason": HOSTILE})},
        "refund_failed": {"invoice": invoice, "refund": FAILED.model_copy(update={"failure": HOSTILE})},
        "dispute_opened": {"invoice": invoice},
        "payment_failed": {"invoice": invoice},
        "confirm_payment": {"invoice": invoice},
        "customer_request": {"wish": ChangeWish(wish="other", note=HOSTILE, asked_by=HOSTILE)},
    }  # fmt: skip
    if "subscription" in VALUES[template]:
        agreed = AGREED.model_copy(update={"title": HOSTILE, "cancel_reason": HOSTILE})
        hostile.setdefault(template, {})["subscription"] = agreed
    picture = Picture(PNG, 100)
    words = emails.render(template, Reader.of("en", "UTC"), merchant, picture, VALUES[template] | hostile[template])
    page = Page(words.html)
    tags = {tag for tag, _ in page.elements}
    assert tags <= {
        "html", "head", "title", "meta", "style", "body", "div", "table", "tbody", "tr", "td", "img", "h1", "bdi", "a",
        "br", "span", "p",
    }  # fmt: skip
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert HOSTILE in html.unescape(words.html)
    assert HOSTILE in words.text
    [logo] = [attributes for tag, attributes in page.elements if tag == "img"]
    assert logo["alt"] == HOSTILE


@pytest.mark.parametrize("template", VALUES)
def test_merchant_text_never_becomes_a_header(template: str) -> None:
    evil = "Evil\r\nBcc: victim@example.test\r\n\r\n<b>body</b>\u202egnp"
    merchant = MERCHANT.model_copy(update={"name": evil, "support_email": "a@b.test\r\nBcc: c@d.test"})
    invoice = INVOICE.model_copy(update={"number": evil})
    changes: dict[str, object] = {} if template == "invitation" else {"invoice": invoice}
    changes |= {"subscription": AGREED.model_copy(update={"title": evil})}
    words = emails.render(template, Reader.of("en", "UTC"), merchant, None, VALUES[template] | changes)
    assert "Evil Bcc: victim@example.test <b>body</b> gnp" in words.subject
    parsed = mail(words, merchant=merchant)
    assert parsed.keys() == [
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type",
    ]  # fmt: skip
    assert parsed["From"].addresses[0].addr_spec == "portal@example.test"
    assert parsed["From"].addresses[0].display_name == "Evil Bcc: victim@example.test <b>body</b> gnp"


@pytest.mark.parametrize("template", VALUES)
def test_opening_a_mail_loads_nothing_from_anywhere(template: str) -> None:
    picture = Picture(PNG, 100)
    words = emails.render(template, Reader.of("en", "UTC"), MERCHANT, picture, VALUES[template])
    page = Page(words.html)
    assert [a["src"] for _, a in page.elements if "src" in a] == ["cid:logo"]
    assert [tag for tag, a in page.elements if "href" in a and tag != "a"] == []
    assert "@import" not in words.html
    assert "url(" not in words.html


def test_a_mail_has_the_headers_that_others_go_by() -> None:
    words = render("receipt", "ar")
    parsed = mail(words)
    assert str(parsed["From"]) == "Nordlicht GmbH <portal@example.test>"
    assert str(parsed["To"]) == "sam@okafor.example"
    assert str(parsed["Reply-To"]) == "Nordlicht GmbH <hilfe@nordlicht.example>"
    assert parsed["Date"].datetime == AT
    assert parsed["Message-ID"] == "<1@p.example>"
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert str(parsed["Subject"]) == words.subject
    text, markup = parsed.iter_parts()
    assert isinstance(text, EmailMessage)
    assert isinstance(markup, EmailMessage)
    assert text.get_content().replace("\r\n", "\n").rstrip("\n") == words.text.rstrip("\n")
    assert markup.get_content_type() == "text/html"


def test_no_line_of_a_mail_is_longer_than_smtp_allows() -> None:
    memo = "x" * 3000
    raw = bytes(emails.message(
        render("payment_link", invoice=INVOICE.model_copy(update={"memo": memo})), sender="a@b.c", recipient="a@b.c",
        message_id="<1@p>", sent_at=AT, merchant=MERCHANT, logo=Picture(PNG * 100, 10),
    ))  # fmt: skip
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")


def test_the_logo_travels_inside_the_mail() -> None:
    picture = Picture(PNG, 100)
    words = emails.render("receipt", Reader.of("en", "UTC"), MERCHANT, picture, VALUES["receipt"])
    _, related = mail(words, logo=picture).iter_parts()
    assert isinstance(related, EmailMessage)
    markup, logo = related.iter_parts()
    assert related.get_content_type() == "multipart/related"
    assert isinstance(markup, EmailMessage)
    assert 'src="cid:logo"' in markup.get_content()
    assert (logo["Content-ID"], logo.get_content_type(), logo.get_payload(decode=True)) == ("<logo>", "image/png", PNG)


def test_a_wide_logo_fits_its_box_and_none_is_none() -> None:
    import base64

    wide = Picture.of(builders.logo(MERCHANT, base64.b64encode(PNG).decode()))
    assert wide is not None
    assert wide.width == 180
    assert Picture.of(builders.logo(MERCHANT, None)) is None
    assert Picture.of(None) is None


@pytest.mark.parametrize(
    ("amount", "currency", "locale", "written"),
    [
        (1250, "EUR", "en", "€12.50"),
        (125000, "EUR", "de", "1.250,00\u00a0€"),
        (1250, "JPY", "en", "¥1,250"),
        (1250, "KWD", "en", "KWD\u00a01.250"),
        (1250, "KWD", "ar", "\u200f1.250\u00a0د.ك.\u200f"),
        (1250, "RSD", "en", "RSD\u00a012.50"),  # CLDR would leave out the paras
    ],
)
def test_amounts_have_the_decimals_of_their_currency(amount: int, currency: str, locale: str, written: str) -> None:
    assert Reader.of(locale, "UTC").money(amount, currency) == written


def test_amounts_of_any_currency_reach_the_mail() -> None:
    assert "¥10,710" in render("payment_link", invoice=INVOICE.model_copy(update={"currency": "JPY"})).subject
    assert "KWD 10.710" in render("payment_link", invoice=INVOICE.model_copy(update={"currency": "KWD"})).subject


def test_a_buttons_text_is_readable_on_every_brand_colour() -> None:
    colours = ["#" + "".join(2 * digit for digit in f"{number:03x}") for number in range(4096)]
    assert [colour for colour in colours if contrast(Brand.of(colour).text, colour) < 4.5] == []


def test_a_button_that_would_vanish_on_its_card_gets_an_edge() -> None:
    assert Brand.of("#ffffff").edge == Brand.of("#1a1f27").edge == "#8a93a3"
    assert Brand.of("#0f766e").edge == "#0f766e"


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == 21
    assert round(contrast("#777777", "#ffffff"), 2) == 4.48


def test_a_header_is_one_line_of_bounded_length() -> None:
    assert header_text("a\r\nb\tc\u2028d\u0000e") == "a b c d e"
    assert len(header_text("x" * 500)) == 200


@pytest.mark.parametrize(
    "address", ["a,b@c.de", "<a@b.de", "a@b@c.de", 'a"b@c.de', "jörg@c.de", "a(b)@c.de", "a@b..de", "a@b.de>\r\nRCPT"]
)
def test_what_is_not_one_address_gets_no_mail(address: str) -> None:
    with pytest.raises(UnusableAddress):
        mail(render("receipt"), recipient=address)


def test_an_international_domain_is_written_in_ascii() -> None:
    assert mailbox("", "sam@bücher.example").addr_spec == "sam@xn--bcher-kva.example"


def test_a_reader_nobody_can_place_reads_english_in_utc() -> None:
    reader = Reader.of("not a locale", "Mars/Olympus")
    assert (reader.language, reader.zone.key, reader.direction) == ("en", "UTC", "ltr")
    assert Reader.of("de", "../../etc/passwd").zone.key == "UTC"


def test_a_missing_value_makes_no_mail() -> None:
    with pytest.raises(jinja2.UndefinedError):
        emails.render("receipt", Reader.of("en", "UTC"), MERCHANT, None, {})


@pytest.mark.parametrize("language", ["de", "ar"])
def test_every_message_is_translated(language: str) -> None:
    folder = Path(emails.__file__).parent
    found = extract_from_dir(folder, [("**.jinja", "jinja2"), ("emails.py", "python")], keywords={"_": None, "gettext": None, "ngettext": (1, 2), "_gettext": (2,)})  # fmt: skip
    used = {each[2] for each in found}
    with (folder / "locales" / language / "LC_MESSAGES" / "messages.po").open("rb") as po:
        catalogue = read_po(po, locale=language)
    assert {message.id for message in catalogue if message.id and message.string} == used
    assert [error for message in catalogue for error in message.check(catalogue)] == []


def test_a_refund_says_how_much_comes_back_and_by_which_credit_note() -> None:
    words = render("refund")
    assert words.subject == "Refund from Nordlicht GmbH: €50.00"
    for text in (" ".join(words.text.split()), Page(words.html).text):
        assert re.search(
            "Refund:? €50.00 Refunded on:? November 22, 2026 Credit note number:? CN-3 Invoice number:? INV-102", text
        )
        assert "One page was not needed." in text
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
