"""Forms that come back: what is wrong, in words, and under which command id they may be sent again."""

from datetime import UTC, datetime

import pytest

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
from services.gateway.pages.forms import Form
from services.gateway.pages.language import Reader
from services.gateway.pages.payment_link import lines_of
from services.gateway.pages.problems import explain

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
