"""What every mail keeps to: the reader's language, nothing of others as markup or header, headers, logo, amounts."""

from __future__ import annotations

import html
from decimal import Decimal
from email.message import EmailMessage
from pathlib import Path

import jinja2
import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from contracts.billing import ChangeWish, LineItem
from services.notifications import emails
from services.notifications.emails import Brand, Picture, Reader, UnusableAddress, contrast, header_text, mailbox
from tests import builders
from tests.unit.notifications.mails import (
    AGREED,
    AT,
    CARD,
    FAILED,
    INVITATION,
    INVOICE,
    MERCHANT,
    PAYMENT,
    PNG,
    REFUND,
    VALUES,
    Page,
    mail,
    render,
)


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
