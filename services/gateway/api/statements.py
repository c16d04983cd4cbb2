"""A customer's account over a period: as data, as PDF and for a spreadsheet."""

from __future__ import annotations

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from contracts import billing
from contracts.billing import AccountStatement, EntryKind, StatementPdf
from contracts.message import Day, minor_digits
from services.gateway import commands
from services.gateway.api.customers import customer_of
from services.gateway.api.document import file, refusals
from services.gateway.api.shapes import Answer, AnyViewer, Db, OfCustomer, as_given
from services.gateway.domain import spreadsheet
from services.gateway.security import AnyAccount

router = APIRouter(tags=["statements"])

From = Annotated[Day, Query(alias="from", description="The first day, where the merchant is.", examples=["2026-01-01"])]
To = Annotated[Day, Query(alias="to", description="The last day.", examples=["2026-12-31"])]


class StatementEntry(Answer):
    """One thing that changed what is owed, in minor units: positive is more, negative less."""

    on: date
    kind: EntryKind
    reference: str | None
    amount: int
    balance: int


class CurrencyStatement(Answer):
    """What happened in one currency."""

    currency: str
    opening: int
    entries: list[StatementEntry]
    closing: int


class Statement(Answer):
    """A customer's account over a period, both days included."""

    customer_id: UUID
    from_on: date
    to_on: date
    currencies: list[CurrencyStatement]


def _given_name(field: str) -> str:
    return {"from_on": "from", "to_on": "to"}.get(field, field)


async def _asked(
    db: Db, viewer: AnyViewer, from_on: From, to_on: To, customer_id: OfCustomer = None
) -> AccountStatement:
    """What to ask billing. Raises NotFound for another's customer, InvalidInput when a member names none."""
    whose = await customer_of(db, viewer, customer_id)
    return AccountStatement(customer_id=whose, from_on=from_on, to_on=to_on)


Asked = Annotated[AccountStatement, Depends(_asked)]


@router.get(
    "/statements",
    operation_id="readStatement",
    summary="A customer's account over a period",
    responses=refusals(404, 504),
)
async def read(request: Request, asked: Asked) -> Statement:
    """A contact's own customer's; a member names one."""
    with as_given(_given_name):
        return Statement.model_validate(await commands.ask(request, asked))


@router.get(
    "/statements/statement.pdf",
    operation_id="downloadStatement",
    summary="The account statement as PDF",
    response_class=Response,
    responses=file("application/pdf") | refusals(404, 504),
)
async def as_pdf(request: Request, asked: Asked, session: AnyAccount) -> Response:
    """In the reader's language."""
    with as_given(_given_name):
        made = await commands.ask(request, StatementPdf(**asked.model_dump(), locale=session.locale))
    return _download(made.body, "application/pdf", asked, "pdf")


@router.get(
    "/statements/statement.csv",
    operation_id="exportStatement",
    summary="The account statement for a spreadsheet",
    response_class=Response,
    responses=file("text/csv") | refusals(404, 504),
)
async def as_csv(request: Request, asked: Asked) -> Response:
    """UTF-8, commas, decimal points; no cell is a formula."""
    with as_given(_given_name):
        found = await commands.ask(request, asked)
    return _download(_rows(found).encode(), "text/csv; charset=utf-8", asked, "csv")


def _rows(statement: billing.Statement) -> str:
    rows: list[tuple[str | int | None, ...]] = [("date", "kind", "number", "currency", "amount", "balance")]
    decimals: list[int | None] = [None]
    for account in statement.currencies:
        before = (str(statement.from_on), "opening", None, account.currency, None, account.opening)
        after = (str(statement.to_on), "closing", None, account.currency, None, account.closing)
        between = (
            (str(each.on), each.kind, each.reference, account.currency, each.amount, each.balance)
            for each in account.entries
        )
        rows += [before, *between, after]
        decimals += [minor_digits(account.currency)] * (len(rows) - len(decimals))
    return spreadsheet(rows, decimals)


def _download(body: bytes, media_type: str, asked: AccountStatement, ending: str) -> Response:
    name = f"statement-{asked.from_on}-{asked.to_on}.{ending}"
    return Response(body, media_type=media_type, headers={"content-disposition": f'attachment; filename="{name}"'})
