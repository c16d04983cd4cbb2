"""Invoice and receipt as PDF, by typst. Merchant text reaches the templates as JSON data, never as typst code.

`invoice_pdf` and its like take a few milliseconds once warm. A service has them drawn by `typeset`, off its event loop.
"""

from __future__ import annotations

import asyncio
import base64
import gettext
import io
import json
import logging
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from typing import Any, ParamSpec
from zoneinfo import ZoneInfo

import typst
from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent, parse_pattern

from contracts.billing import Invoice, LineItem, Party, Receipt, Refund
from contracts.identity import Logo, Merchant
from contracts.message import minor_digits

log = logging.getLogger("portal.billing")

P = ParamSpec("P")

_HERE = Path(__file__).parent
_LANGUAGES = ("en", *sorted(each.name for each in (_HERE / "locales").iterdir() if each.is_dir()))
_FAMILIES = ("Noto Sans", "Noto Sans Arabic", "Libertinus Serif")
_DEBIAN_NOTO = "/usr/share/fonts/truetype/noto"  # package fonts-noto-core
_NOTHING = "\N{EN DASH}"
_LONGEST_WORD = 22  # wide letters that fit the narrowest column, beside a German label
# A typst compiler belongs to one caller at a time; and each further thread would keep some 3 MB of its own for ever.
_ONE_THREAD = ThreadPoolExecutor(1, "typeset")


async def typeset(draw: Callable[P, bytes], *args: P.args, **kwargs: P.kwargs) -> bytes:
    """What `draw` makes of its arguments, in the thread that all PDFs of this process are made in, one after another."""
    return await asyncio.get_running_loop().run_in_executor(_ONE_THREAD, partial(draw, *args, **kwargs))


def invoice_pdf(invoice: Invoice, merchant: Merchant, logo: Logo | None, locale: str) -> bytes:
    """The invoice as tagged PDF, in the reader's language. The same invoice gives the same bytes.

    Fields: those of Directive 2006/112/EC, article 226, as far as an invoice of ours knows them.
    """
    words = _Words(locale)
    _ = words.gettext
    issued = _local_day(invoice.opened_at or invoice.created_at, merchant)
    facts = [
        (_("Invoice number"), invoice.number or _NOTHING),
        (_("Issue date"), words.day(issued)),
        (_("Due date"), words.day(invoice.due_on)),
    ]
    if invoice.paid_at:
        facts.append((_("Paid on"), words.day(_local_day(invoice.paid_at, merchant))))
    if invoice.status == "void":
        facts.append((_("Status"), _("Void")))
    data = {
        **_frame(words, invoice, merchant, logo, heading=_("Invoice"), number=invoice.number or _NOTHING),
        "facts": facts,
        **_lines(words, invoice),
        "totals": _totals(words, invoice),
        "note": _note(words, invoice),
        "memo": words.apart(_breakable(invoice.memo)) if invoice.memo else None,
    }
    return _compile("invoice.typ", data, invoice.opened_at or invoice.created_at)


def _note(words: _Words, invoice: Invoice) -> str | None:
    """What stands below the totals. Reverse charge has to be named: Directive 2006/112/EC, article 226 (11a)."""
    said = []
    if any(line.reverse_charge for line in invoice.lines):
        said.append(words.gettext("Reverse charge: the customer owes the tax."))
    if invoice.tax_inclusive and invoice.tax:
        said.append(words.gettext("Unit prices include tax, amounts do not."))
    return " ".join(said) or None


def receipt_pdf(
    invoice: Invoice,
    receipt: Receipt,
    merchant: Merchant,
    logo: Logo | None,
    locale: str,
    refunds: Sequence[Refund] = (),
) -> bytes:
    """The receipt of one payment of `invoice` as tagged PDF, in the reader's language, with what of it was given back."""
    words = _Words(locale)
    _ = words.gettext
    paid_on = words.day(_local_day(receipt.paid_at, merchant))
    method = (receipt.method or "").replace("_", " ").title()
    if method in {"", "Card"}:
        method = _("Card")
    if receipt.last4:
        method = words.apart(f"{method} •••• {receipt.last4}")
    details = [
        (_("Amount paid"), words.money(receipt.amount, invoice.currency)),
        (_("Payment date"), paid_on),
        (_("Paid with"), method),
        (_("For invoice"), invoice.number or _NOTHING),
        (_("Invoice total"), words.money(invoice.total, invoice.currency)),
        (_("Amount due"), words.money(invoice.amount_due, invoice.currency)),
        *(_given_back(words, each, merchant) for each in refunds),
    ]
    data = {
        **_frame(words, invoice, merchant, logo, heading=_("Receipt"), number=receipt.number),
        "facts": [(_("Receipt number"), receipt.number), (_("Payment date"), paid_on)],
        "paid": {"label": _("Amount paid"), "value": words.money(receipt.amount, invoice.currency)},
        "details": [{"label": label, "value": value} for label, value in details],
        "memo": None,
    }
    return _compile("receipt.typ", data, receipt.paid_at)


def _given_back(words: _Words, refund: Refund, merchant: Merchant) -> tuple[str, str]:
    day = words.day(_local_day(refund.issued_at or refund.created_at, merchant))
    label = words.gettext("Refunded on %(day)s") % {"day": day}
    if refund.credit_note_number:
        label = f"{label} ({words.apart(refund.credit_note_number)})"
    return label, words.money(-refund.amount, refund.currency)


class _Words:
    """A reader's language: messages, money, numbers and dates. What we have no catalogue for is read in English."""

    def __init__(self, locale: str) -> None:
        try:
            parsed = Locale.parse(locale, sep="-")
        except (ValueError, UnknownLocaleError):
            parsed = Locale("en")
        self.locale = parsed if parsed.language in _LANGUAGES else Locale("en")
        self.gettext = _catalogue(self.locale.language).gettext

    def money(self, amount: int, currency: str) -> str:
        digits = minor_digits(currency)
        pattern = parse_pattern(self.locale.currency_formats["standard"].pattern)
        pattern.frac_prec = (digits, digits)
        major = Decimal(amount).scaleb(-digits)
        written = pattern.apply(major, self.locale, currency=currency, currency_digits=False)
        # A sign after letters, as in `JP¥`, would jump to their other side where people read from right to left.
        if self.locale.text_direction == "rtl":
            written = re.sub(r"(?<=[A-Z][$¥£])", "\u200e", written)
        # `KWD 1.250`, not `KWD1.250` (UTS #35, currency spacing, which Babel leaves out).
        return re.sub(r"(?<=[A-Z])(?=\d)", "\u00a0", written)

    def number(self, number: Decimal) -> str:
        return format_decimal(number, locale=self.locale, decimal_quantization=False)

    def percent(self, percent: Decimal) -> str:
        return format_percent((percent / 100).normalize(), locale=self.locale, decimal_quantization=False)

    def day(self, day: date) -> str:
        return format_date(day, "long", locale=self.locale)

    def apart(self, text: str) -> str:
        """Text of its own direction, each line apart: in Arabic `12 Main St` would read `Main St 12` (UAX #9, FSI)."""
        if self.locale.text_direction == "ltr":
            return text
        return "\n".join(f"\u2068{line}\u2069" for line in text.splitlines())

    def country(self, code: str) -> str:
        return str(self.locale.territories.get(code, code))


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    if language == "en":
        return gettext.NullTranslations()
    compiled = io.BytesIO()
    with (_HERE / "locales" / language / "LC_MESSAGES" / "documents.po").open("rb") as po:
        write_mo(compiled, read_po(po, locale=language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def _frame(
    words: _Words, invoice: Invoice, merchant: Merchant, logo: Logo | None, *, heading: str, number: str
) -> dict[str, Any]:
    """What the documents of an invoice show around their own content: the parties as they were when it opened."""
    seller, buyer = invoice.seller or _seller(merchant), invoice.buyer or Party(name=_NOTHING)
    return _framed(words, seller, buyer, merchant, logo, heading=heading, number=number)


def _seller(merchant: Merchant) -> Party:
    tax_ids = (merchant.tax_id,) if merchant.tax_id else ()
    return Party(name=merchant.name, address=merchant.address, tax_ids=tax_ids)


def _framed(
    words: _Words, seller: Party, buyer: Party, merchant: Merchant, logo: Logo | None, *, heading: str, number: str
) -> dict[str, Any]:
    """What every document shows around its own content."""
    _ = words.gettext
    footer = " · ".join(filter(None, [seller.name, *seller.tax_ids, merchant.support_email, merchant.support_phone]))
    picture = None if logo is None or logo.png_base64 is None else list(base64.b64decode(logo.png_base64))
    return {
        "title": f"{heading} {number}",
        "author": seller.name,
        "heading": heading,
        "number": number,
        "language": words.locale.language,
        "fonts": _FAMILIES,
        "colour": merchant.brand_colour,
        "logo": picture,
        "labels": {"from": _("From"), "to": _("Bill to")},
        "seller": _party(words, seller),
        "buyer": _party(words, buyer),
        "footer": words.apart(_breakable(footer)),
        "page": _("Page {page} of {pages}"),
    }


def _party(words: _Words, party: Party) -> dict[str, Any]:
    _ = words.gettext
    where, tax_id = party.address, _("Tax ID")
    first, second = (party.company, party.name) if party.company and party.company != party.name else (party.name, "")
    lines = [
        second,
        where.line1,
        where.line2,
        f"{where.postal_code} {where.city}".strip(),
        where.region,
        words.country(where.country) if where.country else "",
        *(f"{tax_id}: {each}" for each in party.tax_ids),
        party.email or "",
    ]
    return {"name": words.apart(_breakable(first)), "lines": [words.apart(_breakable(each)) for each in lines if each]}


def _lines(words: _Words, invoice: Invoice) -> dict[str, Any]:
    """The table of lines; its discount column only where there is a discount."""
    _ = words.gettext
    discounted = any(line.discount_percent for line in invoice.lines)

    def row(line: LineItem) -> list[str]:
        return [
            words.apart(_breakable(line.description)),
            words.number(line.quantity),
            words.money(line.unit_amount, invoice.currency),
            *([words.percent(line.discount_percent) if line.discount_percent else ""] if discounted else []),
            words.percent(line.tax_rate),
            words.money(line.amount, invoice.currency),
        ]

    labels = [_("Quantity"), _("Unit price"), *([_("Discount")] if discounted else []), _("Tax"), _("Amount")]
    columns = [{"label": _("Description"), "wide": True}, *({"label": each, "wide": False} for each in labels)]
    return {"columns": columns, "rows": [row(line) for line in invoice.lines]}


def _totals(words: _Words, invoice: Invoice) -> list[dict[str, Any]]:
    _ = words.gettext

    def money(amount: int) -> str:
        return words.money(amount, invoice.currency)

    def total(label: str, amount: int, *, strong: bool = False) -> dict[str, Any]:
        return {"label": label, "value": money(amount), "strong": strong}

    taxes = [
        total(_("Tax %(rate)s on %(base)s") % {"rate": words.percent(each.rate), "base": money(each.base)}, each.amount)
        for each in invoice.tax_lines
    ]
    rows = [total(_("Subtotal"), invoice.subtotal), *taxes, total(_("Total"), invoice.total, strong=True)]
    if invoice.amount_paid:
        rows.append(total(_("Already paid"), -invoice.amount_paid))
    if invoice.status != "void":
        rows.append(total(_("Amount due"), invoice.amount_due, strong=True))
    return rows


def _local_day(moment: datetime, merchant: Merchant) -> date:
    """The day at the merchant's place: the one that its books are kept by."""
    try:
        return moment.astimezone(ZoneInfo(merchant.time_zone)).date()
    except (ValueError, OSError, KeyError):  # a zone that this machine does not know
        return moment.date()


def _breakable(text: str) -> str:
    """`text` with a place to break in words that would leave their column (typst breaks at syllables or not at all)."""
    return re.sub(rf"(\S{{{_LONGEST_WORD}}})(?=\S)", "\\1\u200b", text)


@cache
def _compiler() -> typst.Compiler:
    """The one compiler, kept because its fonts and parsed templates are what takes time."""
    folder = Path(os.environ.get("PORTAL_FONT_DIR", _DEBIAN_NOTO))
    fonts = typst.Fonts(include_system_fonts=False, font_paths=[folder] if folder.is_dir() else [])
    if _FAMILIES[0] not in fonts.families():
        log.warning(
            "No Noto fonts: PDFs use typst's own, which lack Arabic. Install fonts-noto-core or set PORTAL_FONT_DIR.",
            extra={"folder": str(folder)},
        )
    return typst.Compiler(root=_HERE, font_paths=fonts, ignore_system_fonts=True)


def _compile(template: str, data: dict[str, Any], timestamp: datetime) -> bytes:
    pdf = _compiler().compile(
        input=_HERE / template,
        format="pdf",
        sys_inputs={"data": json.dumps(data)},
        timestamp=int(timestamp.timestamp()),
    )
    assert isinstance(pdf, bytes), "A PDF is one file, whatever its number of pages."
    return pdf
