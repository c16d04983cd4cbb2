"""A schema comparison that names the field: which changes of a message its readers survive, and which they do not."""

import json
from datetime import date
from pathlib import Path
from types import GenericAlias
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, StringConstraints, create_model

from contracts.book import __main__ as book
from contracts.book.frozen import breaks
from contracts.book.schemas import every_schema, is_read_by_others, schema_of
from contracts.message import Shape, Strict


class Line(Shape):
    description: str
    amount: int


class Bill(Shape):
    number: str | None = None
    kind: Literal["once", "again"] = "once"
    memo: Annotated[str, StringConstraints(max_length=100)]
    due_on: date
    lines: tuple[Line, ...]
    twin: Line | None = None


class Order(Strict):
    title: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    priority: Literal["low", "high"] = "low"


def changed(model: type[Any], **fields: Any) -> type[Any]:
    """`model` with fields of other types, further fields, or (None) without a field."""
    kept = {name: (field.annotation, field) for name, field in model.model_fields.items()}
    for name, definition in fields.items():
        if definition is None:
            del kept[name]
        else:
            kept[name] = definition
    base = Strict if issubclass(model, Strict) else Shape
    made: type[Any] = create_model(model.__name__, __base__=base, **kept)  # type: ignore[call-overload]  # made at run time
    return made


def broken_bill(**fields: Any) -> list[str]:
    return breaks(schema_of(Bill), schema_of(changed(Bill, **fields)), read_by_others=True)


def broken_order(**fields: Any) -> list[str]:
    return breaks(schema_of(Order), schema_of(changed(Order, **fields)), read_by_others=False)


def test_the_same_model_breaks_nothing() -> None:
    assert broken_bill() == []
    assert broken_order() == []


@pytest.mark.parametrize(
    "addition",
    [
        {"coupon_code": (str | None, None)},
        {"tags": (tuple[str, ...], ())},
        {"extra": (Line | None, None)},
        {"kind": (Literal["once", "again", "plan"], "once")},
        {"memo": (Annotated[str, StringConstraints(max_length=200)], ...)},
    ],
)
def test_an_optional_field_another_word_and_a_wider_limit_may_be_added(addition: dict[str, Any]) -> None:
    assert broken_bill(**addition) == []


@pytest.mark.parametrize(
    ("mutation", "sentence"),
    [
        ({"number": None}, "number: the field is gone"),
        ({"seller": (str, ...)}, "seller: a new field is required"),
        ({"number": (str | None, ...)}, "number: was optional, is required"),
        ({"kind": (Literal["once"], "once")}, "kind: 'again' is no longer a value"),
        ({"kind": (Literal["once", "again"], "again")}, "kind: its default was 'once', is 'again'"),
        ({"memo": (int, ...)}, "memo: was string, is integer"),
        ({"memo": (Annotated[str, StringConstraints(max_length=50)], ...)}, "memo: maxLength was 100, is 50"),
        (
            {"memo": (Annotated[str, StringConstraints(max_length=100, pattern="^A")], ...)},
            "memo: pattern was None, is ^A",
        ),
        (
            {"memo": (Literal["a"], ...)},
            "memo: was any string, is one of ['a']",
        ),
        ({"due_on": (Annotated[str, StringConstraints()] | None, ...)}, "due_on: was string, may now be null"),
        ({"number": (str, "")}, "number: was null or string, is string"),
        (
            {"lines": (GenericAlias(tuple, (changed(Line, amount=None), ...)), ...)},
            "lines[].amount: the field is gone",
        ),
        ({"lines": (tuple[str, ...], ...)}, "lines[]: was object, is string"),
        ({"twin": (changed(Line, amount=(str, ...)) | None, None)}, "twin.amount: was integer, is string"),
    ],
)
def test_a_break_in_what_others_read_names_its_field(mutation: dict[str, Any], sentence: str) -> None:
    assert sentence in broken_bill(**mutation)


def test_only_the_broken_field_is_named() -> None:
    assert broken_bill(number=None, kind=(Literal["again"], "again")) == [
        "kind: its default was 'once', is 'again'",
        "kind: 'once' is no longer a value",
        "number: the field is gone",
    ]


def test_what_others_read_may_not_lose_a_value_that_was_always_there() -> None:
    assert broken_bill(memo=(Annotated[str, StringConstraints(max_length=100)], "")) == [
        "memo: was always there, is optional"
    ]


@pytest.mark.parametrize(
    "wider",
    [
        {"title": (Annotated[str, StringConstraints(min_length=1, max_length=200)], "Untitled")},
        {"title": (Annotated[str, StringConstraints(min_length=1, max_length=200)] | None, ...)},
        {"note": (str | None, None)},
    ],
)
def test_what_others_send_may_be_taken_more_widely(wider: dict[str, Any]) -> None:
    assert broken_order(**wider) == []


@pytest.mark.parametrize(
    ("narrower", "sentence"),
    [
        (
            {"title": (Annotated[str, StringConstraints(min_length=3, max_length=200)], ...)},
            "title: minLength was 1, is 3",
        ),
        ({"due_on": (date, ...)}, "due_on: a new field is required"),
        ({"priority": None}, "priority: the field is gone"),
        ({"priority": (Literal["low"], "low")}, "priority: 'high' is no longer a value"),
    ],
)
def test_a_break_in_what_others_send_names_its_field(narrower: dict[str, Any], sentence: str) -> None:
    assert broken_order(**narrower) == [sentence]


def test_a_limit_of_a_decimal_is_compared_as_a_number() -> None:
    from decimal import Decimal

    old = schema_of(create_model("Rate", rate=(Annotated[Decimal, Field(ge=0, le=100)], ...)))
    new = schema_of(create_model("Rate", rate=(Annotated[Decimal, Field(ge=0, le=20)], ...)))
    assert breaks(old, new, read_by_others=False) == ["rate: x-maximum was 100, is 20"]
    assert breaks(new, old, read_by_others=False) == []


def test_a_model_that_contains_itself_is_compared_once() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}, "value": {"type": "integer"}}}
    other = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    old = {"$ref": "#/$defs/Node", "$defs": {"Node": node}}
    new = {"$ref": "#/$defs/Node", "$defs": {"Node": other}}
    assert breaks(old, new, read_by_others=True) == ["value: the field is gone"]


# --- the frozen schemas of this repository ---------------------------------------------------------------------------


def test_every_message_has_its_frozen_schema_and_breaks_none() -> None:
    schemas = every_schema()
    frozen = {file.name.removesuffix(".json") for file in (book.ROOT / book.SCHEMAS).glob("*.json")}
    assert frozen == set(schemas)
    assert book.broken(book.ROOT, schemas) == {}


def test_events_and_answers_are_what_others_read() -> None:
    read = {name for name in every_schema() if is_read_by_others(name)}
    assert {"billing.invoice.paid.v1", "todos.create_todo.v1.result", "envelope.event"} <= read
    assert {"todos.create_todo.v1", "envelope.request"}.isdisjoint(read)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    assert book.main([], tmp_path) == 0
    return tmp_path


def test_the_check_passes_right_after_writing(written: Path) -> None:
    assert book.main(["--check"], written) == 0


def test_a_break_is_named_and_its_frozen_schema_is_not_overwritten(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written / book.SCHEMAS / "billing.invoice.paid.v1.json"
    frozen = json.loads(file.read_text())
    frozen["$defs"]["LineItem"]["properties"]["unit"] = {"type": "string"}
    file.write_text(json.dumps(frozen))
    assert book.main([], written) == 1
    assert (
        "contracts/schemas/billing.invoice.paid.v1.json: state.lines[].unit: the field is gone."
        in capsys.readouterr().err
    )
    assert json.loads(file.read_text()) == frozen
    assert book.main(["--check"], written) == 1


def test_a_compatible_addition_is_stale_until_it_is_written(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written / book.SCHEMAS / "todos.todo.done.v1.json"
    frozen = json.loads(file.read_text())
    del frozen["$defs"]["Todo"]["properties"]["priority"]
    file.write_text(json.dumps(frozen))
    assert book.main(["--check"], written) == 1
    assert "contracts/schemas/todos.todo.done.v1.json is not current" in capsys.readouterr().err
    assert book.main([], written) == 0
    assert book.main(["--check"], written) == 0


def test_a_message_that_is_gone_breaks(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (written / book.SCHEMAS / "billing.invoice.melted.v1.json").write_text("{}")
    assert book.main(["--check"], written) == 1
    assert "billing.invoice.melted.v1.json: (the whole): no message has this type any more" in capsys.readouterr().err


@pytest.mark.parametrize("page", ["docs/messages.md", "docs/asyncapi.json"])
def test_a_page_changed_by_hand_is_named(written: Path, page: str, capsys: pytest.CaptureFixture[str]) -> None:
    (written / page).write_text((written / page).read_text() + "\n")
    assert book.main(["--check"], written) == 1
    assert f"{page} is not current" in capsys.readouterr().err


def test_the_pages_in_the_repository_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert book.main(["--check"]) == 0, capsys.readouterr().err
