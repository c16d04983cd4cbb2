"""A customer's account over a period: as data, as PDF and for a spreadsheet."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from contracts import billing
from contracts.billing import AccountStatement, EntryKind, StatementPdf
from contracts.message import CustomerId, Day, FieldError, InvalidInput, minor_digits
from services.gateway import commands, readmodel
from services.gateway.api.document import refusals
from services.gateway.api.shapes import Answer, OfCustomer, as_given
from services.gateway.domain import spreadsheet
from services.gateway.security import AnyAccount, Session, viewer_of

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


async def _whose(request: Request, session: Session, customer_id: UUID | None) -> CustomerId:
    """The customer asked for, or a contact's own. Raises NotFound for another's, InvalidInput when none is named."""
    viewer = viewer_of(session)
    wanted = customer_id or viewer.customer_id
    if wanted is None:
        message = "Say whose statement it is to be."
        raise InvalidInput(errors=(FieldError(field="customer_id", message=message, code="missing"),))
    return CustomerId((await readmodel.customer(request.app.state.runtime.db, viewer, wanted)).id)


@router.get(
    "/statements",
    operation_id="readStatement",
    summary="A customer's account over a period",
    responses=refusals(404, 504),
)
async def read(
    request: Request, session: AnyAccount, from_on: From, to_on: To, customer_id: OfCustomer = None
) -> Statement:
    """A contact's own customer's; a member names one."""
    whose = await _whose(request, session, customer_id)
    asked = AccountStatement(customer_id=whose, from_on=from_on, to_on=to_on)
    with as_given(_given_name):
        return Statement.model_validate(await commands.ask(request, asked))


_FILES: dict[str, dict[int | str, dict[str, Any]]] = {
    kind: {200: {"description": "The file.", "content": {kind: {"schema": {"type": "string", "format": "binary"}}}}}
    for kind in ("application/pdf", "text/csv")
}


@router.get(
    "/statements/statement.pdf",
    operation_id="downloadStatement",
    summary="The account statement as PDF",
    response_class=Response,
    responses=_FILES["application/pdf"] | refusals(404, 504),
)
async def as_pdf(
    request: Request, session: AnyAccount, from_on: From, to_on: To, customer_id: OfCustomer = None
) -> Response:
    """In the reader's language."""
    whose = await _whose(request, session, customer_id)
    asked = StatementPdf(customer_id=whose, from_on=from_on, to_on=to_on, locale=session.locale)
    with as_given(_given_name):
        made = await commands.ask(request, asked)
    return _download(made.body, "application/pdf", f"statement-{from_on}-{to_on}.pdf")


@router.get(
    "/statements/statement.csv",
    operation_id="exportStatement",
    summary="The account statement for a spreadsheet",
    response_class=Response,
    responses=_FILES["text/csv"] | refusals(404, 504),
)
async def as_csv(
    request: Request, session: AnyAccount, from_on: From, to_on: To, customer_id: OfCustomer = None
) -> Response:
    """UTF-8, commas, decimal points; no cell is a formula."""
    whose = await _whose(request, session, customer_id)
    with as_given(_given_name):
        found = await commands.ask(request, AccountStatement(customer_id=whose, from_on=from_on, to_on=to_on))
    return _download(_rows(found).encode(), "text/csv; charset=utf-8", f"statement-{from_on}-{to_on}.csv")


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


def _download(body: bytes, media_type: str, name: str) -> Response:
    return Response(body, media_type=media_type, headers={"content-disposition": f'attachment; filename="{name}"'})
