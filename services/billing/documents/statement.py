"""A customer's account over a period as PDF."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

from contracts.billing import CurrencyStatement, Party, Statement
from contracts.identity import Customer, Logo, Merchant
from contracts.message import Address
from services.billing.documents import _compile, _framed, _seller, _Words


def statement_pdf(
    statement: Statement, customer: Customer, merchant: Merchant, logo: Logo | None, locale: str
) -> bytes:
    """The account statement as tagged PDF, in the reader's language, a table per currency. The same gives the same bytes."""
    words = _Words(locale)
    _ = words.gettext
    period = _("%(first)s to %(last)s") % {"first": words.day(statement.from_on), "last": words.day(statement.to_on)}
    buyer = Party(
        name=customer.name or "",
        company=customer.company,
        email=customer.email,
        address=customer.billing_address or Address(),
        tax_ids=customer.tax_ids,
    )
    data = {
        **_framed(words, _seller(merchant), buyer, merchant, logo, heading=_("Account statement"), number=period),
        "labels": {"from": _("From"), "to": _("Account of")},
        "facts": [
            (_("Balance of %(currency)s") % {"currency": each.currency}, words.money(each.closing, each.currency))
            for each in statement.currencies
        ],
        "columns": [_("Date"), _("What"), _("Number"), _("Amount"), _("Balance")],
        "tables": [_table(words, statement, each) for each in statement.currencies],
        "empty": _("Nothing happened in this period, and nothing is owed."),
        "note": _("Amounts add to what is owed; those with a minus take off it."),
        "memo": None,
    }
    return _compile("statement.typ", data, datetime.combine(statement.to_on, time(), UTC))


def _table(words: _Words, statement: Statement, account: CurrencyStatement) -> dict[str, Any]:
    _ = words.gettext

    def money(amount: int) -> str:
        return words.money(amount, account.currency)

    return {
        "opening": [words.day(statement.from_on), _("Balance before"), "", "", money(account.opening)],
        "rows": [
            [
                words.day(each.on),
                _what(words, each.kind),
                words.apart(each.reference or ""),
                money(each.amount),
                money(each.balance),
            ]
            for each in account.entries
        ],
        "closing": [words.day(statement.to_on), _("Balance after"), "", "", money(account.closing)],
    }


def _what(words: _Words, kind: str) -> str:
    _ = words.gettext
    return {
        "invoice": _("Invoice"),
        "withdrawn": _("Invoice withdrawn"),
        "written_off": _("Invoice written off"),
        "recovered": _("Write-off taken back"),
        "payment": _("Payment"),
        "credit_note": _("Credit note"),
        "refund": _("Refund"),
        "refund_failed": _("Refund returned by the bank"),
        "credit_note_reversed": _("Credit note taken back"),
        "dispute": _("Payment disputed"),
        "dispute_won": _("Dispute won"),
    }[kind]
