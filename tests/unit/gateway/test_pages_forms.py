"""Forms that come back: what is wrong, in words, and under which command id they may be sent again."""

from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from pydantic import ValidationError

from contracts.billing import InvoiceAlreadyPaid
from contracts.identity import CreateCustomer
from contracts.message import (
    FieldError,
    InvalidInput,
    NotAccepted,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    Problem,
)
from services.billing.domain.invoices import invoice_problems, line_problems
from services.billing.domain.lines import Line, totals
from services.gateway.pages.forms import Form
from services.gateway.pages.language import Reader
from services.gateway.pages.lines import lines_of
from services.gateway.pages.problems import explain
from services.gateway.pages.subscription_terms import agreement_of

TODAY = date(2026, 3, 2)
ENGLISH = Reader.choose(["en"], None, datetime(2026, 3, 2, 9, tzinfo=UTC))
GERMAN = Reader.choose(["de"], None, datetime(2026, 3, 2, 9, tzinfo=UTC))


def _refused(problem: Exception, form: Form, reader: Reader = ENGLISH) -> Form:
    with form.refusals(reader):
        raise problem
    return form


def test_a_refused_form_keeps_what_was_typed_and_gets_a_new_command_id() -> None:
    form = _refused(NotAccepted(), Form({"title": "Call the bank"}, command_id="the-first-id"))
    assert form.get("title") == "Call the bank"
    assert form.status == 503
    assert "nothing has been changed" in form.problem
    assert form.command_id != "the-first-id"


def test_after_an_unknown_outcome_the_command_id_stays_so_that_nothing_is_done_twice() -> None:
    form = _refused(OutcomeUnknown(), Form(command_id="the-first-id"))
    assert form.command_id == "the-first-id"
    assert form.status == 504


def test_each_field_that_pydantic_refuses_says_what_is_wrong_in_the_readers_language() -> None:
    form = Form()
    with form.refusals(GERMAN):
        CreateCustomer.model_validate({"name": " ", "email": "nobody", "phone": "1" * 41})
    assert form.status == 422
    assert form.errors == {
        "name": "Bitte füllen Sie dieses Feld aus.",
        "email": "Bitte geben Sie eine E-Mail-Adresse wie name@example.com ein.",
        "phone": "Das ist zu lang: höchstens 40 Zeichen.",
    }


def test_the_owners_field_errors_stand_at_their_fields() -> None:
    problem = InvalidInput(errors=(FieldError(field="lines.0.quantity", message="Too much."),))
    assert _refused(problem, Form()).errors == {"lines.0.quantity": "Too much."}


def test_every_refusal_of_billings_is_told_in_the_readers_words_and_way_of_writing() -> None:
    wrong = [
        Line("a", Decimal(0), 100),
        Line("b", Decimal(1), 100, discount_percent=Decimal(101), tax_rate=Decimal(-1)),
        Line("c", Decimal(1_000_000), 99_999_999_999),
    ]
    form = _refused(InvalidInput(errors=tuple(line_problems(wrong))), Form(), GERMAN)
    assert form.errors == {
        "lines.0.quantity": "Die Menge muss größer als 0 sein.",
        "lines.1.discount_percent": "Der Rabatt muss zwischen 0 und 100 Prozent liegen.",
        "lines.1.tax_rate": "Der Steuersatz muss zwischen 0 und 100 Prozent liegen.",
        "lines.2.unit_amount": "Diese Zeile ergibt einen zu hohen Betrag.",
    }
    for currency, amount, sentence in (
        ("EUR", 1, "Der Gesamtbetrag muss mindestens 0,50\N{NO-BREAK SPACE}€ betragen."),
        ("EUR", 100_000_000, "Der Gesamtbetrag darf höchstens 999.999,99\N{NO-BREAK SPACE}€ betragen."),
        (
            "KWD",
            1_234,
            (
                "Karten können nur in Schritten von 0,010\N{NO-BREAK SPACE}KWD belastet werden; der Gesamtbetrag ist "
                "1,234\N{NO-BREAK SPACE}KWD."
            ),
        ),
    ):
        sums = totals([Line("x", Decimal(1), amount)], tax_inclusive=False)
        refused = InvalidInput(errors=tuple(invoice_problems(currency, sums, TODAY, TODAY)))
        # As it comes over the wire.
        assert _refused(Problem.from_document(refused.document()), Form(), GERMAN).errors == {"lines": sentence}
    sums = totals([Line("x", Decimal(1), 100)], tax_inclusive=False)
    refused = InvalidInput(errors=tuple(invoice_problems("ZZZ", sums, date(1999, 1, 1), TODAY)))
    assert _refused(refused, Form(), GERMAN).errors == {
        "currency": "ZZZ ist keine gültige Währung.",
        "due_on": "Das Fälligkeitsdatum muss zwischen dem 01.01.2000 und dem 02.03.2036 liegen.",
    }


def test_what_is_not_there_is_a_page_of_its_own_and_a_bug_stays_a_bug() -> None:
    for error in (NotFound(), ZeroDivisionError()):
        with pytest.raises(type(error)):
            _refused(error, Form())


def test_a_refusal_is_explained_by_its_name_and_a_missing_right_by_its_reason() -> None:
    assert explain(InvoiceAlreadyPaid("raw"), GERMAN) == "Diese Rechnung ist schon bezahlt."
    assert explain(NotAllowed("Only admins may do this."), ENGLISH) == "Only admins may do this."
    assert explain(Problem("Something new."), GERMAN) == "Something new."


def test_lines_are_parsed_exactly_and_empty_ones_left_out() -> None:
    form = Form(
        {
            "lines.0.description": "Workshop",
            "lines.0.quantity": "1,5",
            "lines.0.unit_amount": "1.250,00",
            "lines.1.description": "",
            "lines.1.quantity": "1",
            "lines.1.unit_amount": "",
        }
    )
    lines = lines_of(form, "EUR", GERMAN)
    assert [(line["description"], str(line["quantity"]), line["unit_amount"]) for line in lines] == [
        ("Workshop", "1.5", 125_000)
    ]


def test_every_wrong_line_is_named_by_its_place_in_the_form() -> None:
    form = Form(
        {
            "lines.0.description": "",
            "lines.0.quantity": "1",
            "lines.0.unit_amount": "5",
            "lines.2.description": "Travel",
            "lines.2.quantity": "many",
            "lines.2.unit_amount": "1.005",
        }
    )
    with pytest.raises(InvalidInput) as refused:
        lines_of(form, "EUR", ENGLISH)
    assert {error.field for error in refused.value.errors} == {
        "lines.0.description",
        "lines.2.quantity",
        "lines.2.unit_amount",
    }


def test_a_form_without_any_line_is_refused() -> None:
    with pytest.raises(InvalidInput):
        lines_of(Form({"lines.0.quantity": "1"}), "EUR", ENGLISH)


@pytest.mark.parametrize(
    ("typed", "found"), [(" 12 ", 12), ("0", 0), ("-3", -3), ("\u0663", 3), ("3.0", "3.0"), ("x", "x"), (" ", None)]
)
def test_a_count_is_made_a_number_and_what_is_none_is_left_to_the_contract(typed: str, found: object) -> None:
    assert Form({"days": typed}).count("days") == found
    assert Form({"days": " "}).count("days", 1) == 1


def test_a_nought_that_somebody_typed_is_not_what_they_left_empty() -> None:
    def counts(typed: str) -> tuple[object, ...]:
        values = {"kind": "recurring", "interval.unit": "month"}
        values |= dict.fromkeys(("interval.count", "ends.after", "trial_days", "minimum_payments"), typed)
        common = {"currency": "EUR", "lines": [{"description": "Hosting", "unit_amount": 1200}], "tax_inclusive": False}
        common |= {"customer_id": UUID(int=1), "memo": None, "link_expires_at": None, "send_email": False}
        made = agreement_of(Form(values), common, ENGLISH)
        interval = made.interval and made.interval.count
        return interval, made.ends and made.ends.after, made.trial_days, made.minimum_payments

    assert counts("") == (1, None, 0, 0)
    assert counts("0") == (0, 0, 0, 0)
    assert counts("2") == (2, 2, 2, 2)
    with pytest.raises(ValidationError) as refused:
        counts("two")
    assert [each["loc"] for each in refused.value.errors()] == [
        *(("interval", "count"), ("trial_days",), ("ends", "after"), ("minimum_payments",)),
    ]
