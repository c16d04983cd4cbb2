"""The credit note of a refund as PDF, like the invoice that it takes something off."""

from __future__ import annotations

from typing import Any

from contracts.billing import Invoice, Refund
from contracts.identity import Logo, Merchant
from services.billing.documents import _NOTHING, _breakable, _compile, _frame, _local_day, _Words


def credit_note_pdf(invoice: Invoice, refund: Refund, merchant: Merchant, logo: Logo | None, locale: str) -> bytes:
    """The credit note as tagged PDF, in the reader's language. The same refund gives the same bytes.

    Names the invoice that it corrects, as Directive 2006/112/EC, article 219, wants it. When its refund comes back it keeps
    its number, date and amounts, and says on which day it was taken back.
    """
    words = _Words(locale)
    _ = words.gettext
    issued = refund.issued_at or refund.created_at
    number = refund.credit_note_number or _NOTHING
    facts = [
        (_("Credit note number"), number),
        (_("Issue date"), words.day(_local_day(issued, merchant))),
        (_("For invoice"), invoice.number or _NOTHING),
        (_("Invoice date"), words.day(_local_day(invoice.opened_at or invoice.created_at, merchant))),
    ]
    note = None
    if refund.status == "failed" and refund.settled_at is not None:
        # It was issued and stays; its customer has a copy that says nothing of this.
        day = words.day(_local_day(refund.settled_at, merchant))
        facts.append((_("Taken back on"), day))
        note = _("The bank returned this refund, and so this credit note was taken back on %(date)s.") % {"date": day}
    data = {
        **_frame(words, invoice, merchant, logo, heading=_("Credit note"), number=number),
        "facts": facts,
        **_lines(words, invoice, refund),
        "totals": _totals(words, refund),
        "note": note,
        "memo": words.apart(_breakable(refund.reason)) if refund.reason else None,
    }
    return _compile("invoice.typ", data, issued)


def _lines(words: _Words, invoice: Invoice, refund: Refund) -> dict[str, Any]:
    """One line per rate of tax."""
    _ = words.gettext
    what = _("Refund for invoice %(number)s") % {"number": words.apart(invoice.number or _NOTHING)}
    rows = [[what, words.percent(each.rate), words.money(each.base, refund.currency)] for each in refund.tax_lines]
    labels = ((_("Description"), True), (_("Tax"), False), (_("Amount"), False))
    return {"columns": [{"label": label, "wide": wide} for label, wide in labels], "rows": rows}


def _totals(words: _Words, refund: Refund) -> list[dict[str, Any]]:
    _ = words.gettext

    def total(label: str, amount: int, *, strong: bool = False) -> dict[str, Any]:
        return {"label": label, "value": words.money(amount, refund.currency), "strong": strong}

    taxes = [
        total(
            _("Tax %(rate)s on %(base)s")
            % {"rate": words.percent(each.rate), "base": words.money(each.base, refund.currency)},
            each.amount,
        )
        for each in refund.tax_lines
        if each.rate
    ]
    net = total(_("Subtotal"), sum(each.base for each in refund.tax_lines))
    return [net, *taxes, total(_("Amount credited"), refund.credited, strong=True)]
