"""What comes in is what its type says: a count is a number, a day and a moment are written out."""

import datetime as dt
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import pytest
from pydantic import AwareDatetime, BaseModel, TypeAdapter, ValidationError

import services.gateway.api  # noqa: F401 - declares all that the API is given
from contracts.message import Count, Day, Flag, Moment, Strict
from services.gateway.api.shapes import Given

LOOSE = {bool: "no", int: "3", dt.date: "2026-04-30T00:00:00Z", AwareDatetime: 1767225600, dt.datetime: 1767225600}
"""By type: something that pydantic makes one of, although it is none."""


def declared(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for child in base.__subclasses__():
        # Other tests of the same process declare some, too.
        if not child.__module__.startswith("tests."):
            yield child
        yield from declared(child)


def leaves(annotation: Any) -> Iterator[tuple[Any, Any]]:
    """The choices, numbers, days and moments that a type is made of, each with what is annotated to it."""
    inner = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    if inner in LOOSE:
        yield inner, annotation
        return
    for each in get_args(annotation) if inner is annotation else (inner,):
        yield from leaves(each)


def taken(value: Any, annotation: Any) -> bool:
    try:
        TypeAdapter(annotation).validate_python(value)
    except ValidationError as refused:
        return {each["type"] for each in refused.errors()}.isdisjoint(
            {"bool_type", "int_type", "date_type", "datetime_type"}
        )
    return True


@pytest.mark.parametrize("base", [Given, Strict])
def test_no_field_makes_a_choice_or_a_count_of_text_or_a_time_of_a_number(base: type[BaseModel]) -> None:
    fields = [
        (f"{model.__name__}.{name}", leaf, typed)
        for model in declared(base)
        for name, field in model.model_fields.items()
        for leaf, typed in leaves(Annotated[(field.annotation, "of", *field.metadata)])
    ]
    assert {leaf for _, leaf, _ in fields} == {bool, int, dt.date, AwareDatetime}
    assert sorted(name for name, leaf, typed in fields if taken(LOOSE[leaf], typed)) == []


@pytest.mark.parametrize("given", ["3", "3.0", 3.0, True])
def test_a_count_is_a_number(given: object) -> None:
    with pytest.raises(ValidationError, match="Input should be a valid integer"):
        TypeAdapter(Count).validate_python(given)
    assert TypeAdapter(Count).validate_python(3) == 3


@pytest.mark.parametrize("given", ["no", "yes", "true", "false", 1, 0, "", "on"])
def test_a_choice_is_true_or_false(given: object) -> None:
    with pytest.raises(ValidationError, match="Input should be a valid boolean"):
        TypeAdapter(Flag).validate_python(given)
    assert [TypeAdapter(Flag).validate_json(each) for each in ("true", "false")] == [True, False]


@pytest.mark.parametrize(
    "given",
    ["2026-04-30T00:00:00Z", "2026-04-30T00:00:00", "2026-04-30 00:00", dt.datetime(2026, 4, 30, tzinfo=dt.UTC)],
)
def test_midnight_is_not_a_day(given: object) -> None:
    with pytest.raises(ValidationError, match="Input should be a valid date "):
        TypeAdapter(Day).validate_python(given)


@pytest.mark.parametrize(
    "given", [1767225600, 1767225600.0, "1767225600", "-1767225600", "1767225600.0", "20260101", True]
)
def test_a_day_and_a_moment_are_written_out(given: object) -> None:
    with pytest.raises(ValidationError, match="Input should be a valid date "):
        TypeAdapter(Day).validate_python(given)
    with pytest.raises(ValidationError, match="Input should be a valid datetime"):
        TypeAdapter(Moment).validate_python(given)


def test_a_day_and_a_moment_may_be_those_of_python_and_come_back_from_the_wire() -> None:
    day, moment = dt.date(2026, 4, 30), dt.datetime(2026, 4, 30, 9, tzinfo=dt.UTC)
    days, moments = TypeAdapter(Day | None), TypeAdapter(Moment | None)
    assert [days.validate_python(each) for each in (day, "2026-04-30", None)] == [day, day, None]
    assert [moments.validate_python(each) for each in (moment, "2026-04-30T09:00:00Z")] == [moment, moment]
    assert days.validate_json(days.dump_json(day)) == day
    assert moments.validate_json(moments.dump_json(moment)) == moment
