"""Tables for spreadsheets: amounts exact, texts never formulas."""

import csv
import io

import pytest

from services.gateway.domain import spreadsheet


def cells(text: str) -> list[list[str]]:
    assert text.startswith("\ufeff")
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))


def test_amounts_have_their_currencys_decimals_and_may_be_negative() -> None:
    rows: list[tuple[str | int]] = [("amount",), (-1250,), (1250,), (1250,), (7,)]
    assert cells(spreadsheet(rows, [None, 2, 0, 3, 2])) == [["amount"], ["-12.50"], ["1250"], ["1.250"], ["0.07"]]


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff201"]
)
def test_a_text_is_never_a_formula(text: str) -> None:
    [[cell]] = cells(spreadsheet([(text,)]))
    assert cell.replace("\r\n", "\n") == f"'{text}".replace("\r\n", "\n")


def test_commas_quotes_and_lines_stay_in_their_cell() -> None:
    assert cells(spreadsheet([('a,"b"\nc', None)])) == [['a,"b"\nc', ""]]
