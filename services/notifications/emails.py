"""What a mail says and how it looks: one Jinja file per mail in `emails/`, MJML made HTML by mrml, a text part beside it.

Merchant text is always a value: Jinja escapes it before mrml reads the MJML, and no template is made out of it.
"""

from __future__ import annotations

import base64
import contextlib
import gettext
import io
import re
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote
from zoneinfo import ZoneInfo

import jinja2
import mrml
from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_skeleton, format_time, get_timezone_name
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, parse_pattern

from chassis.database import Database
from contracts.billing import Payment, PaymentMethod
from contracts.identity import Customer, Logo, Merchant
from contracts.message import MailFacts, Question, minor_digits

_HERE = Path(__file__).parent
SOURCE_LANGUAGE = "en"
LANGUAGES = (SOURCE_LANGUAGE, *sorted(each.name for each in (_HERE / "locales").iterdir() if each.is_dir()))
_LOGO_BOX = (180, 56)  # CSS pixels
_CARDS = ("#ffffff", "#1a1f27")  # what a mail is written on, light and dark, as in emails/layout.jinja


@dataclass(frozen=True)
class Reader:
    """Whom a mail is written for. A language we have no catalogue for is read in English, its numbers included."""

    locale: Locale
    zone: ZoneInfo

    @classmethod
    def of(cls, locale: str, time_zone: str) -> Reader:
        """The reader with this BCP 47 tag and IANA zone; what the libraries do not know becomes `en` and `UTC`."""
        try:
            parsed = Locale.parse(locale, sep="-")
        except (ValueError, UnknownLocaleError):
            parsed = Locale(SOURCE_LANGUAGE)
        try:
            zone = ZoneInfo(time_zone)
        except (ValueError, OSError, KeyError):  # KeyError: ZoneInfoNotFoundError
            zone = ZoneInfo("UTC")
        return cls(parsed if parsed.language in LANGUAGES else Locale(SOURCE_LANGUAGE), zone)

    @property
    def language(self) -> str:
        """The catalogue's language, for `lang=`."""
        return self.locale.language

    @property
    def direction(self) -> Literal["ltr", "rtl"]:
        """The writing direction."""
        return "rtl" if self.locale.text_direction == "rtl" else "ltr"

    @property
    def start(self) -> Literal["left", "right"]:
        """The side at which lines begin."""
        return "right" if self.direction == "rtl" else "left"

    @property
    def end(self) -> Literal["left", "right"]:
        """The side at which lines end."""
        return "left" if self.direction == "rtl" else "right"

    def money(self, amount: int, currency: str) -> str:
        """Minor units as people write them: 1250 is `€12.50`, `¥1,250` or `KWD 1.250`."""
        digits = minor_digits(currency)
        pattern = parse_pattern(self.locale.currency_formats["standard"].pattern)
        pattern.frac_prec = (digits, digits)  # ISO 4217's; Babel's own are those of cash
        major = Decimal(amount).scaleb(-digits)
        written = pattern.apply(major, self.locale, currency=currency, currency_digits=False)
        # A sign after letters, as in `JP¥`, would jump to their other side where people read from right to left.
        if self.locale.text_direction == "rtl":
            written = re.sub(r"(?<=[A-Z][$¥£])", "\u200e", written)
        # `KWD 1.250`, not `KWD1.250` (UTS #35, currency spacing, which Babel leaves out).
        return re.sub(r"(?<=[A-Z])(?=\d)", "\u00a0", written)

    def day(self, day: date) -> str:
        """`22 November 2026`."""
        return format_date(day, "long", locale=self.locale)

    def month(self, day: date) -> str:
        """`November 2026`."""
        return str(format_skeleton("yMMMM", day, locale=self.locale))

    def local_day(self, moment: datetime) -> str:
        """The day on which a moment fell where the reader lives."""
        return self.day(moment.astimezone(self.zone).date())

    def moment(self, moment: datetime) -> str:
        """`29 November 2026, 11:41 (Central European Standard Time)`, where the reader lives."""
        there = moment.astimezone(self.zone)
        time = format_time(there, "short", locale=self.locale)
        zone = get_timezone_name(there, locale=self.locale)
        comma = "، " if self.language == "ar" else ", "
        return f"{self.local_day(moment)}{comma}{time} ({zone})"


@dataclass(frozen=True)
class Picture:
    """The merchant's logo as a mail carries it; `width` in CSS pixels."""

    png: bytes
    width: int
    cid: str = "logo"

    @classmethod
    def of(cls, logo: Logo | None) -> Picture | None:
        """The logo, scaled to fit the mail's head; None when the merchant has none."""
        if logo is None or logo.png_base64 is None:
            return None
        png = base64.b64decode(logo.png_base64)
        width, height = struct.unpack(">II", png[16:24])  # the IHDR chunk is always first (PNG 3rd edition, 11.2.1)
        return cls(png, max(1, int(width * min(1, _LOGO_BOX[0] / width, _LOGO_BOX[1] / height))))


@dataclass(frozen=True)
class Brand:
    """A merchant's colour where it is safe to use: `text` is readable on `colour`, `edge` shows where a button ends."""

    colour: str
    text: str
    edge: str

    @classmethod
    def of(cls, colour: str) -> Brand:
        """Text is white or black, whichever contrasts more: one of the two always reaches WCAG 2.2's 4.5:1."""
        best = max(("#ffffff", "#000000"), key=lambda text: contrast(text, colour))
        stands_out = all(contrast(card, colour) >= 1.3 for card in _CARDS)
        return cls(colour, best, edge=colour if stands_out else "#8a93a3")


@dataclass(frozen=True)
class Words:
    """A rendered mail: header-safe subject, HTML and plain text."""

    subject: str
    html: str
    text: str


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two `#rrggbb` colours, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


Content = dict[str, Any]
"""An event's data as it was kept with the mail: its state, and what else it told."""


@dataclass(frozen=True)
class Kind:
    """What one mail needs beside its template `emails/<name>.jinja`.

    `ask` is the question whether it is still true, put to its owner just before it is sent; none when it reports what
    has happened. `values` gives the template its values from the event, the answer and the portal's public address; a
    customer who has no access to the portal is shown no address in it (see `for_customer`).
    """

    about: Literal["invitation", "invoice", "payment", "refund", "dispute", "payment_method", "subscription"]
    ask: Callable[[Database, Content], Awaitable[Question[MailFacts] | None]]
    values: Callable[[Content, MailFacts, str], dict[str, object]]
    to: Literal["customer", "merchant"] = "customer"
    """Whose language it is written in."""


def has_portal(customer: Customer | None) -> bool:
    """Whether the portal opens for this customer's people: for all others an address in it is a dead end."""
    return customer is not None and customer.portal_access == "active" and not customer.archived


def for_customer(values: Mapping[str, object], customer: Customer | None, portal: str) -> dict[str, object]:
    """A customer's mail has `has_portal`, and a `url` only where it opens: else it is None, and the mail says whom to ask."""
    opens = has_portal(customer)
    url = values["url"]
    shut = not opens and str(url).startswith(f"{portal}/portal/")
    return {**values, "has_portal": opens, "url": None if shut else url}


def render(
    template: str, reader: Reader, merchant: Merchant, logo: Picture | None, values: Mapping[str, object]
) -> Words:
    """Render one mail. `values` are what the head of `emails/<template>.jinja` names.

    Raises:
        jinja2.UndefinedError: a value is missing: a mail with a hole in it is worse than none.
        ValueError: mrml found something in the MJML that it would have to leave out.
    """
    known = {**values, "reader": reader, "merchant": merchant, "logo": logo, "brand": Brand.of(merchant.brand_colour)}
    plain, markup = _environment(autoescape=False), _environment(autoescape=True)
    words = plain.get_template(f"{template}.jinja")
    subject = header_text("".join(words.blocks["subject"](words.new_context(known))))
    body = "".join(words.blocks["text"](words.new_context(known))).strip()
    text = plain.get_template("layout.txt").render(known, body=body)
    mjml = markup.get_template(f"{template}.jinja").render(known, subject=subject)
    # No fonts: mrml would link to a font service, which then learns who opens which mail.
    html = mrml.to_html(mjml, render_options=mrml.RenderOptions(fonts={}))
    if html.warnings:
        raise ValueError(f"{template}: mrml warns of {[(each.kind, each.start) for each in html.warnings]}.")
    return Words(subject, html.content, text)


class UnusableAddress(ValueError):  # noqa: N818 - a sentence, as our refusals are
    """Nothing can be sent to this address."""


def message(
    words: Words,
    *,
    sender: str,
    recipient: str,
    message_id: str,
    sent_at: datetime,
    merchant: Merchant,
    logo: Picture | None,
) -> EmailMessage:
    """The mail as RFC 5322 has it: text, and HTML with the logo inside, as alternatives.

    Raises:
        UnusableAddress: the recipient's address cannot be written to.
    """
    mail = EmailMessage(policy=SMTP)
    mail["From"] = Address(header_text(merchant.name), addr_spec=sender)
    mail["To"] = mailbox("", recipient)
    if merchant.support_email:
        with contextlib.suppress(UnusableAddress):  # then answers go to the sender's address
            mail["Reply-To"] = mailbox(header_text(merchant.name), merchant.support_email)
    mail["Subject"] = words.subject
    mail["Date"] = sent_at
    mail["Message-ID"] = message_id
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies, please
    mail.set_content(words.text)
    mail.add_alternative(words.html, subtype="html")
    if logo is not None:
        _, html = mail.iter_parts()
        html.add_related(logo.png, "image", "png", cid=f"<{logo.cid}>", disposition="inline", filename="logo.png")
    return mail


def mailbox(name: str, address: str) -> Address:
    """An address as a header and an envelope take it: exactly one mailbox, in ASCII, an international domain by IDNA.

    Raises:
        UnusableAddress: it is none; a local part beyond ASCII would need SMTPUTF8, which few mail servers speak.
    """
    local, _, domain = address.rpartition("@")
    try:
        parsed = Address(name, addr_spec=f"{local}@{domain.encode('idna').decode()}")
    except (ValueError, IndexError, MessageError) as wrong:  # the parser raises all three, depending on what is wrong
        raise UnusableAddress(f"{address} is not an address that mail can be sent to.") from wrong
    if parsed.username != local or not local.isascii():
        raise UnusableAddress(f"{address} is not an address that mail can be sent to.")
    return parsed


def header_text(text: str) -> str:
    """`text` as a header may carry it: one line, no control or direction-changing character, 200 characters at most."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:200]


def _luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    """The messages of a language, compiled from its .po when first used."""
    path = _HERE / "locales" / language / "LC_MESSAGES" / "messages.po"
    if language == SOURCE_LANGUAGE:
        return gettext.NullTranslations()
    compiled = io.BytesIO()
    with path.open("rb") as po:
        write_mo(compiled, read_po(po, locale=language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def _reader(context: jinja2.runtime.Context) -> Reader:
    reader = context["reader"]
    assert isinstance(reader, Reader)
    return reader


@jinja2.pass_context
def _gettext(context: jinja2.runtime.Context, message: str) -> str:
    return _catalogue(_reader(context).language).gettext(message)


@jinja2.pass_context
def _ngettext(context: jinja2.runtime.Context, singular: str, plural: str, number: int) -> str:
    return _catalogue(_reader(context).language).ngettext(singular, plural, number)


@jinja2.pass_context
def _method(context: jinja2.runtime.Context, payment: Payment | PaymentMethod) -> str:
    """`Visa •••• 4242`; other methods by their name."""
    kind = payment.method if isinstance(payment, Payment) else payment.brand if payment.kind == "card" else payment.kind
    name = (kind or "").replace("_", " ").title()
    card = _gettext(context, "Card") if name in {"", "Card"} else name
    text = f"{card} •••• {payment.last4}" if payment.last4 else card
    # In right-to-left text the dots and digits would change places: an isolate keeps them (UAX #9, 2.4).
    return f"\u2066{text}\u2069" if _reader(context).direction == "rtl" else text


@cache
def _environment(*, autoescape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "emails"),
        autoescape=autoescape,  # noqa: S701 - off for the plain text part alone, where &amp; would be read as such
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_callables(_gettext, _ngettext, newstyle=True)  # type: ignore[attr-defined]  # set by the extension
    formats: dict[str, Any] = {
        "money": lambda reader, amount, currency: reader.money(amount, currency),
        "day": lambda reader, day: reader.day(day),
        "local_day": lambda reader, moment: reader.local_day(moment),
        "moment": lambda reader, moment: reader.moment(moment),
        "month": lambda reader, day: reader.month(day),
        "quantity": lambda reader, quantity: format_decimal(quantity, locale=reader.locale),
    }
    for name, function in formats.items():
        environment.filters[name] = _for_reader(function)
    environment.filters["method"] = _method
    environment.filters["mailto"] = lambda address: "mailto:" + quote(address, safe="@")
    return environment


def _for_reader(function: Any) -> Any:
    @jinja2.pass_context
    def in_context(context: jinja2.runtime.Context, *arguments: object) -> str:
        return str(function(_reader(context), *arguments))

    return in_context
