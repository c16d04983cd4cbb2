"""A customer's account over a period, as rows and as PDF."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from chassis.requests import Questions, Work
from contracts.billing import (
    AccountStatement,
    CurrencyStatement,
    Statement,
    StatementEntry,
    StatementPdf,
    StatementTooLong,
)
from contracts.identity import Customer, Merchant
from contracts.message import Actor, CustomerId, Document, InvalidInput, MerchantId, NotFound
from services.billing.documents import typeset
from services.billing.documents.statement import statement_pdf as on_paper
from services.billing.domain.periods import local_day
from services.billing.domain.statements import MOST_ENTRIES, Movement, accounts, period_problem
from services.billing.store import copies, statements

_PDF = "application/pdf"


async def account_statement(work: Work, question: AccountStatement) -> Statement:
    """The rows."""
    merchant, _ = await _whose(work, question.customer_id)
    return await _statement(work, merchant, question)


async def statement_pdf(work: Work, question: StatementPdf) -> Document:
    """The same on paper."""
    merchant, customer = await _whose(work, question.customer_id)
    statement = await _statement(work, merchant, question)
    logo = await copies.logo(work.db, merchant.merchant_id)
    locale = question.locale or customer.locale
    body = await typeset(on_paper, statement, customer, merchant, logo, locale)
    return Document(_PDF, f"statement-{question.from_on}-{question.to_on}.pdf", body)


async def _whose(work: Work, customer_id: CustomerId) -> tuple[Merchant, Customer]:
    """The merchant and the customer, whom the actor may see. Raises NotFound."""
    merchant_id = work.cause.merchant_id
    if merchant_id is None or not _may_see(work.cause.actor, merchant_id, customer_id):
        raise NotFound
    merchant = await copies.merchant(work.db, merchant_id)
    customer = await copies.customer(work.db, merchant_id, customer_id)
    if merchant is None or customer is None:
        raise NotFound
    return merchant, customer


def _may_see(actor: Actor, merchant_id: MerchantId, customer_id: CustomerId) -> bool:
    if actor.kind in ("member", "api_key"):
        return actor.merchant_id in (None, merchant_id)
    return actor.kind == "contact" and actor.customer_id == customer_id


async def _statement(work: Work, merchant: Merchant, question: AccountStatement | StatementPdf) -> Statement:
    if problem := period_problem(question.from_on, question.to_on):
        raise InvalidInput(problem.message, errors=(problem,))
    since = _midnight(question.from_on, merchant.time_zone)
    until = _midnight(question.to_on + timedelta(days=1), merchant.time_zone)
    whose = (work.db, merchant.merchant_id, question.customer_id)
    before = await statements.opening(*whose, since)
    rows = await statements.movements(*whose, since, until, MOST_ENTRIES + 1)
    if len(rows) > MOST_ENTRIES:
        raise StatementTooLong(most=MOST_ENTRIES)
    moved = [
        Movement(
            local_day(row["at"], merchant.time_zone), row["kind"], row["reference"], row["amount"], row["currency"]
        )
        for row in rows
    ]
    return Statement(
        customer_id=question.customer_id,
        from_on=question.from_on,
        to_on=question.to_on,
        currencies=tuple(
            CurrencyStatement(
                currency=account.currency,
                opening=account.opening,
                closing=account.closing,
                entries=tuple(
                    StatementEntry(
                        on=each.movement.on,
                        kind=each.movement.kind,
                        reference=each.movement.reference,
                        amount=each.movement.amount,
                        balance=each.balance,
                    )
                    for each in account.entries
                ),
            )
            for account in accounts(before, moved)
        ),
    )


def _midnight(day: date, zone: str) -> datetime:
    """When a day begins at the merchant's place."""
    try:
        return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)
    except (ValueError, OSError, KeyError):  # a zone that this machine does not know
        return datetime.combine(day, time(), UTC)


ANSWERS: Questions = {AccountStatement: account_statement, StatementPdf: statement_pdf}
"""Which function answers which question."""
