"""Cursors: what went in comes out, and nothing else is taken."""

from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.message import InvalidInput
from services.gateway.readmodel.lists import Page, cut, from_cursor, to_cursor


@given(st.uuids(), st.dates(), st.datetimes(timezones=st.just(UTC)), st.text().filter(lambda text: "\x00" not in text))
def test_a_cursor_gives_back_its_key(id_: UUID, day: date, moment: datetime, text: str) -> None:
    cursor = to_cursor("due", [day, moment, id_, text])
    assert from_cursor(cursor, "due", date, datetime, UUID, str) == [day, moment, id_, text]


@given(st.text())
def test_no_other_text_is_a_cursor(text: str) -> None:
    if text:
        with pytest.raises(InvalidInput) as refused:
            from_cursor(text, "invoices", UUID)
        assert refused.value.errors[0].field == "cursor"
    else:
        assert from_cursor(text, "invoices", UUID) is None


def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(InvalidInput):
        from_cursor(to_cursor("timeline", [datetime(2026, 3, 2)]), "timeline", datetime)  # noqa: DTZ001 - that is the point


def test_a_page_ends_where_there_is_no_further_row() -> None:
    rows = list("abc")
    whole: Page[str] = cut(rows, 3, str.upper, "letters", lambda row: [row])
    part: Page[str] = cut(rows, 2, str.upper, "letters", lambda row: [row])
    assert whole == Page(("A", "B", "C"), None)
    assert part.items == ("A", "B")
    assert from_cursor(part.next_cursor, "letters", str) == ["b"]
