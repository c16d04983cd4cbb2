"""Invoices and receipts as PDF, read back with pypdf."""

import base64
import io
import logging
import re
import struct
import time
import zlib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from pypdf import PdfReader
from pypdf.generic import DictionaryObject, PdfObject

from contracts.billing import Invoice, LineItem, Party, Receipt, Refund, TaxLine
from contracts.identity import Logo, Merchant
from contracts.message import Address, CustomerId, InvoiceId, MerchantId, PaymentId
from services.billing import documents
from services.billing.documents import invoice_pdf, receipt_pdf
from services.billing.documents.credit_note import credit_note_pdf

MERCHANT_ID = MerchantId(UUID(int=1))
OPENED = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)  # the 23rd in Berlin

MERCHANT = Merchant(
    id=MERCHANT_ID,
    merchant_id=MERCHANT_ID,
    name="Nordlicht GmbH",
    support_email="hilfe@nordlicht.example",
    brand_colour="#1d7a4f",
    time_zone="Europe/Berlin",
    created_at=OPENED,
)
RECEIPT = Receipt(
    payment_id=PaymentId(UUID(int=5)), number="REC-7", amount=7100, paid_at=OPENED, method="visa", last4="4242"
)


def invoice(**changes: Any) -> Invoice:
    line = LineItem(
        description="Hedge cutting", quantity=Decimal("2.5"), unit_amount=12000, tax_rate=Decimal(19), amount=30000
    )
    fields: dict[str, Any] = {
        "id": UUID(int=2),
        "merchant_id": MERCHANT_ID,
        "customer_id": CustomerId(UUID(int=3)),
        "kind": "one_time",
        "status": "open",
        "number": "INV-102",
        "currency": "EUR",
        "lines": (line,),
        "subtotal": 30000,
        "tax_lines": (TaxLine(rate=Decimal(19), base=30000, amount=5700),),
        "tax": 5700,
        "total": 35700,
        "amount_paid": 7100,
        "amount_due": 28600,
        "due_on": date(2026, 12, 6),
        "memo": "Thank you.",
        "seller": Party(
            name="Nordlicht GmbH",
            address=Address(line1="Lindenallee 14", postal_code="10115", city="Berlin", country="DE"),
            tax_ids=("DE123456789",),
        ),
        "buyer": Party(
            name="Ada Lovelace",
            company="Analytical Engines",
            email="ada@engines.example",
            address=Address(line1="12 Square", postal_code="SW1Y", city="London", country="GB"),
            tax_ids=("GB999999973",),
        ),
        "created_at": OPENED,
        "opened_at": OPENED,
    }
    return Invoice(**fields | changes)


def png(width: int, height: int) -> bytes:
    """A grey picture, smallest form of a PNG."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + b"\x80" * width for _ in range(height)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


LOGO = Logo(id=MERCHANT_ID, merchant_id=MERCHANT_ID, png_base64=base64.b64encode(png(300, 100)).decode())


def pages(pdf: bytes) -> list[str]:
    """The text of each page on one line, without the invisible characters that steer breaks and direction."""
    texts = [page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages]
    return [" ".join(text.translate({0x200B: "", 0x2068: "", 0x2069: "", 0x200F: ""}).split()) for text in texts]


def test_an_invoice_names_everything_that_the_law_asks_for() -> None:
    [text] = pages(invoice_pdf(invoice(), MERCHANT, None, "en"))
    for expected in (
        "Invoice number INV-102",
        "Issue date November 23, 2026",  # the day at the merchant's place
        "Due date December 6, 2026",
        "Nordlicht GmbH Lindenallee 14 10115 Berlin Germany Tax ID: DE123456789",
        "Analytical Engines Ada Lovelace 12 Square SW1Y London United Kingdom Tax ID: GB999999973 ada@engines.example",
        "Hedge cutting 2.5 €120.00 19% €300.00",
        "Subtotal €300.00",
        "Tax 19% on €300.00 €57.00",
        "Total €357.00",
        "Already paid -€71.00",
        "Amount due €286.00",
        "Thank you.",
        "Page 1 of 1",
    ):
        assert expected in text


def test_a_receipt_has_its_own_number_and_says_how_was_paid() -> None:
    [text] = pages(receipt_pdf(invoice(), RECEIPT, MERCHANT, LOGO, "en"))
    for expected in (
        "Receipt number REC-7",
        "Amount paid €71.00",
        "Payment date November 23, 2026",
        "Paid with Visa •••• 4242",
        "For invoice INV-102",
        "Invoice total €357.00",
        "Amount due €286.00",
    ):
        assert expected in text


REFUND = Refund(
    id=UUID(int=9),
    merchant_id=MERCHANT_ID,
    customer_id=CustomerId(UUID(int=3)),
    invoice_id=InvoiceId(UUID(int=2)),
    payment_id=PaymentId(UUID(int=5)),
    status="succeeded",
    amount=1190,
    credited=1190,
    currency="EUR",
    reason="One hedge was already cut.",
    credit_note_number="CN-3",
    tax_lines=(TaxLine(rate=Decimal(19), base=1000, amount=190),),
    created_at=OPENED,
    issued_at=OPENED,
)


def test_a_credit_note_names_the_invoice_that_it_corrects_and_the_tax_that_it_takes_back() -> None:
    [text] = pages(credit_note_pdf(invoice(), REFUND, MERCHANT, LOGO, "en"))
    for expected in (
        "Credit note number CN-3",
        "Issue date November 23, 2026",
        "For invoice INV-102",
        "DE123456789",
        "GB999999973",
        "Refund for invoice INV-102 19% €10.00",
        "Tax 19% on €10.00 €1.90",
        "Amount credited €11.90",
        "One hedge was already cut.",
    ):
        assert expected in text, text


def test_a_credit_note_whose_refund_came_back_stays_and_says_when_it_was_taken_back() -> None:
    came_back = REFUND.model_copy(update={"status": "failed", "settled_at": OPENED + timedelta(days=5)})
    [text] = pages(credit_note_pdf(invoice(), came_back, MERCHANT, None, "de"))
    for expected in ("CN-3", "23. November 2026", "11,90", "Zurückgenommen am 28. November 2026"):
        assert expected in text, text
    assert "so wurde diese Gutschrift am 28. November 2026 zurückgenommen." in " ".join(text.split())
    arabic = credit_note_pdf(invoice(), REFUND, MERCHANT, None, "ar")
    assert PdfReader(io.BytesIO(arabic)).trailer["/Root"]["/Lang"] == "ar"  # type: ignore[index]  # pypdf's own types
    assert arabic == credit_note_pdf(invoice(), REFUND, MERCHANT, None, "ar")


def test_a_receipt_says_what_was_given_back() -> None:
    [text] = pages(receipt_pdf(invoice(), RECEIPT, MERCHANT, None, "en", [REFUND]))
    assert "Refunded on November 23, 2026 (CN-3) -€11.90" in text


def test_german_readers_get_german_words_and_numbers() -> None:
    [text] = pages(invoice_pdf(invoice(), MERCHANT, LOGO, "de-AT"))
    assert "Ausstellungsdatum 23. November 2026" in text
    assert "Steuer 19 % auf € 300,00" in text
    assert "Vereinigtes Königreich" in text


def test_arabic_reads_from_right_to_left() -> None:
    pdf = invoice_pdf(invoice(), MERCHANT, None, "ar")
    resources = dictionary(PdfReader(io.BytesIO(pdf)).pages[0]["/Resources"])
    fonts = [str(dictionary(font)["/BaseFont"]) for font in dictionary(resources["/Font"]).values()]
    assert any("NotoSansArabic" in font for font in fonts)
    title, seller = positions(pdf, "102"), positions(pdf, "Lindenallee")
    assert min(title) < 200 < min(seller)
    english = invoice_pdf(invoice(), MERCHANT, None, "en")
    assert min(positions(english, "Lindenallee")) < 200


def dictionary(found: PdfObject) -> DictionaryObject:
    """An object of a PDF that is, or refers to, a dictionary."""
    resolved = found.get_object()
    assert isinstance(resolved, DictionaryObject)
    return resolved


def positions(pdf: bytes, word: str) -> list[float]:
    """Where, in points from the left edge, pieces of text that contain `word` begin."""
    found: list[float] = []

    def visit(text: str, transform: list[float], matrix: list[float], *_: Any) -> None:
        if word in text:
            found.append(matrix[4] * transform[0] + transform[4])

    PdfReader(io.BytesIO(pdf)).pages[0].extract_text(visitor_text=visit)
    return found


@pytest.mark.parametrize(
    ("currency", "unit", "total"),
    [
        ("JPY", "¥12,000", "¥35,700"),
        ("KWD", "KWD 12.000", "KWD 35.700"),
        ("RSD", "RSD 120.00", "RSD 357.00"),  # CLDR would leave out the paras
    ],
)
def test_currencies_have_the_decimals_of_iso_4217(currency: str, unit: str, total: str) -> None:
    [text] = pages(invoice_pdf(invoice(currency=currency), MERCHANT, None, "en"))
    assert unit in text
    assert f"Total {total}" in text


HOSTILE = '#panic("run") #sys.inputs $x^2$ *bold* `raw` <label> @ref \\u{41} // gone /* gone */ ]) "quote\''


def test_merchant_text_is_data_and_never_typst_code() -> None:
    line = LineItem(description=HOSTILE, quantity=Decimal(1), unit_amount=1, amount=1)
    hostile = invoice(lines=(line,), memo=HOSTILE, number="#panic()", buyer=Party(name=HOSTILE, email=HOSTILE))
    [text] = pages(invoice_pdf(hostile, MERCHANT.model_copy(update={"name": HOSTILE}), LOGO, "en"))
    assert text.count("#panic(") == 7  # number three times, line, memo, buyer's name and e-mail
    assert text.count("// gone /* gone */ ])") == 4
    receipt = RECEIPT.model_copy(update={"number": HOSTILE, "method": HOSTILE.lower()})
    assert "#panic(" in pages(receipt_pdf(hostile, receipt, MERCHANT, None, "en"))[0]


def test_a_discount_has_a_column_only_where_there_is_one() -> None:
    [plain] = pages(invoice_pdf(invoice(), MERCHANT, None, "en"))
    assert "Discount" not in plain
    line = invoice().lines[0].model_copy(update={"discount_percent": Decimal("12.5"), "amount": 26250})
    [discounted] = pages(invoice_pdf(invoice(lines=(line,)), MERCHANT, None, "en"))
    assert "Hedge cutting 2.5 €120.00 12.5% 19% €262.50" in discounted


def test_reverse_charge_is_named_on_the_invoice() -> None:
    line = LineItem(
        description="Advice",
        quantity=Decimal(1),
        unit_amount=30000,
        tax_rate=Decimal(0),
        amount=30000,
        reverse_charge=True,
    )
    untaxed = invoice(lines=(line,), tax_lines=(), tax=0, total=30000, amount_due=30000, amount_paid=0)
    for locale, words in (("en", "Reverse charge"), ("de", "Steuerschuldnerschaft des Leistungsempfängers")):
        assert words in pages(invoice_pdf(untaxed, MERCHANT, None, locale))[0]
        assert words not in pages(invoice_pdf(invoice(), MERCHANT, None, locale))[0]


def test_of_a_withdrawn_invoice_nothing_is_due() -> None:
    [text] = pages(invoice_pdf(invoice(status="void"), MERCHANT, None, "en"))
    assert "Status Void" in text
    assert "Total €357.00" in text
    assert "Amount due" not in text


def test_many_lines_flow_over_pages_with_header_and_number() -> None:
    lines = tuple(invoice().lines[0].model_copy(update={"description": f"Visit {n}."}) for n in range(1, 201))
    found = pages(invoice_pdf(invoice(lines=lines), MERCHANT, LOGO, "en"))
    assert len(found) == 7
    for number, text in enumerate(found, 1):
        assert f"INV-102 · Page {number} of 7" in text
        assert ("Description Quantity Unit price Tax Amount" in text) == ("Visit" in text)
    everything = " ".join(found)
    assert [n for n in range(1, 201) if f"Visit {n}." not in everything] == []


def test_long_words_stay_on_the_page() -> None:
    word = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 3
    line = invoice().lines[0].model_copy(update={"description": word})
    pdf = invoice_pdf(invoice(lines=(line,), buyer=Party(name="x" * 190)), MERCHANT, None, "xx")
    extracted = PdfReader(io.BytesIO(pdf)).pages[0].extract_text().replace("\u200b", "\n")
    assert sum(map(len, re.findall("x{14,}", extracted))) == 190
    assert max(map(len, re.findall("x+", extracted))) == 22  # what fits the column
    [text] = pages(pdf)
    assert word in text.replace(" ", "").replace("-", "")
    # Where the last piece of the line's column begins, the amount has not begun.
    assert max(positions(pdf, "gesellschaft")) < min(positions(pdf, "300.00"))


def test_documents_are_tagged_titled_and_the_same_each_time() -> None:
    first, second = (invoice_pdf(invoice(), MERCHANT, LOGO, "de") for _ in range(2))
    assert first == second
    reader = PdfReader(io.BytesIO(first))
    assert reader.metadata is not None
    assert (reader.metadata.title, reader.metadata.author) == ("Rechnung INV-102", "Nordlicht GmbH")
    assert reader.metadata.creation_date == OPENED
    root = dictionary(reader.trailer["/Root"])
    assert dictionary(root["/MarkInfo"])["/Marked"]
    assert str(root["/Lang"]) == "de"


def test_without_the_fonts_a_document_is_still_made_and_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PORTAL_FONT_DIR", str(tmp_path / "nothing"))
    documents._compiler.cache_clear()
    try:
        with caplog.at_level(logging.WARNING, logger="portal.billing"):
            [text] = pages(invoice_pdf(invoice(), MERCHANT, None, "en"))
    finally:
        documents._compiler.cache_clear()
    assert "Total €357.00" in text
    assert [record.message[:14] for record in caplog.records] == ["No Noto fonts:"]


def test_a_warm_receipt_takes_at_most_25_ms() -> None:
    receipt_pdf(invoice(), RECEIPT, MERCHANT, LOGO, "en")
    took = []
    for number in range(9):
        fresh = RECEIPT.model_copy(update={"number": f"REC-{number}"})
        started = time.process_time()
        receipt_pdf(invoice(), fresh, MERCHANT, LOGO, "en")
        took.append(time.process_time() - started)
    assert sorted(took)[4] < 0.025


@pytest.mark.parametrize("language", ["de", "ar"])
def test_every_message_is_translated(language: str) -> None:
    folder = Path(documents.__file__).parent
    used = {found[2] for found in extract_from_dir(folder, [("**.py", "python")])}
    with (folder / "locales" / language / "LC_MESSAGES" / "documents.po").open("rb") as po:
        catalogue = read_po(po, locale=language)
    assert {message.id for message in catalogue if message.id and message.string} == used
    assert [error for message in catalogue for error in message.check(catalogue)] == []
