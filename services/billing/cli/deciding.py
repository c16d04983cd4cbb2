"""What an operator decides: what became of a charge that was sent, never answered, and can be asked about no more."""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import NoReturn
from uuid import UUID

from chassis.service import Runtime
from contracts.message import Money, PaymentId
from services.billing.domain.settlement import WrongAmount
from services.billing.store import collecting, deciding, invoices, payments, settling
from services.billing.store.deciding import Decision
from services.billing.store.payments import Attempt
from services.billing.stripe_gateway import StripeClosedError, StripeError, StripeGateway

REFUSED = 1
"""The exit code beside 0; 2 for what is not understood."""

_INTENT = re.compile(r"pi_[A-Za-z0-9_]{1,64}")


class _Parser(argparse.ArgumentParser):
    """Says in one line what it does not understand."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def _intent_id(text: str) -> str:
    if not _INTENT.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no payment's id at Stripe: pi_…")
    return text


def _words(text: str) -> str:
    if not 3 <= len(text.strip()) <= 500:
        raise argparse.ArgumentTypeError("3 to 500 characters, please")
    return text.strip()


async def unknown_charges(runtime: Runtime, arguments: list[str], *, stripe: StripeGateway) -> int:
    """List automatic charges of unknown outcome, a line of JSON each, the oldest first; nothing is changed.

    `account` is where the charge was made (null: the platform's own), and `account_answers` whether it can be asked about there:
    *yes*, *closed* (only such a charge can be decided), or *unclear*, when Stripe did not say.
    """
    _Parser("unknown-charges", description="List charges of unknown outcome.").parse_args(arguments)
    answers: dict[str | None, str] = {}
    async with stripe:
        for each in await deciding.unknown_charges(runtime.db):
            if each["account"] not in answers:
                answers[each["account"]] = await _answers(stripe, each["account"])
            said = each | {"account_answers": answers[each["account"]]}
            print(json.dumps(said, default=str))  # noqa: T201 - a command's output
    return 0


async def _answers(stripe: StripeGateway, account: str | None) -> str:
    try:
        await stripe.reach(account)
    except StripeClosedError:
        return "closed"
    except StripeError:
        return "unclear"
    return "yes"


async def decide_charge(runtime: Runtime, arguments: list[str], *, stripe: StripeGateway) -> int:
    """Decide what became of a charge of unknown outcome at an account that is closed to us.

    Money is booked as if Stripe had told of it; a charge that took none ends like one that never reached the bank, and what
    is owed is collected again. Decided the same way again, nothing changes. Prints one line of JSON: `{"payment_id", "status",
    "intent_id", "reason", "decided_by"}`. Whatever is wrong is one line on standard error and 1 (or 2), and nothing is changed.
    """
    parser = _Parser("decide-charge", description="Decide what became of a charge that nobody answers for.")
    parser.add_argument("--payment", required=True, type=UUID, help="its id, as unknown-charges prints it")
    outcome = parser.add_mutually_exclusive_group(required=True)
    outcome.add_argument("--succeeded", type=_intent_id, metavar="pi_…", help="Stripe's id of what took the money")
    outcome.add_argument("--failed", action="store_true", help="no money was taken")
    parser.add_argument("--reason", required=True, type=_words, help="how it is known, 3 to 500 characters")
    parser.add_argument("--by", required=True, type=_words, help="who decides, 3 to 500 characters")
    given = parser.parse_args(arguments)
    decided = Decision(given.succeeded, given.reason, given.by)
    refusal = await _decide(runtime, stripe, given.payment, decided)
    if refusal is not None:
        print(f"decide-charge: {refusal}", file=sys.stderr)  # noqa: T201 - a command's output
        return REFUSED
    stands = await deciding.decision(runtime.db, given.payment)
    assert stands is not None, "It has just been recorded."
    status = "succeeded" if stands.intent_id else "failed"
    said = {"payment_id": str(given.payment), "status": status, **vars(stands)}
    print(json.dumps(said))  # noqa: T201 - likewise
    return 0


async def _decide(runtime: Runtime, stripe: StripeGateway, payment_id: UUID, decided: Decision) -> str | None:
    """The reason why it was not decided; None: it is."""
    attempt = await deciding.charge(runtime.db, payment_id)
    if attempt is None:
        return f"Billing knows no automatic charge {payment_id}."
    before = await deciding.decision(runtime.db, payment_id)
    if before is not None:
        return _unless_same(before, decided)
    if attempt.payment.status != "unknown":
        return f"It is {attempt.payment.status}: there is nothing to decide."
    where = attempt.account or "the platform's own account"
    try:
        async with stripe:
            await stripe.reach(attempt.account)
    except StripeClosedError:
        return await _book(runtime, attempt, decided)
    except StripeError as unclear:
        return f"Stripe does not say whether {where} is closed to us: {type(unclear).__name__}"
    return f"{where} answers: what became of it is asked there every five minutes, and is nothing to decide."


def _unless_same(before: Decision, decided: Decision) -> str | None:
    if before.intent_id == decided.intent_id:
        return None
    how = f"succeeded with {before.intent_id}" if before.intent_id else "failed"
    return f"{before.decided_by} has decided that it {how}: {before.reason}"


async def _book(runtime: Runtime, attempt: Attempt, decided: Decision) -> str | None:
    payment_id = PaymentId(attempt.payment.id)
    async with runtime.db.transaction(runtime.system_cause(attempt.payment.merchant_id)) as tx:
        invoice = await invoices.lock_invoice(tx, attempt.payment.merchant_id, attempt.payment.invoice_id)
        now = await payments.attempt(tx, attempt.payment.merchant_id, payment_id)
        assert invoice is not None, "Invoices are never deleted."
        assert now is not None, "Attempts are never deleted."
        if before := await deciding.decision(tx, payment_id):
            return _unless_same(before, decided)
        if now.payment.status != "unknown":
            return f"It is {now.payment.status} by now: there is nothing to decide."
        if decided.intent_id is None:
            await collecting.never_charged(tx, invoice, now)
        elif await deciding.payment_with(tx, decided.intent_id) not in (None, payment_id):
            return f"{decided.intent_id} is another payment's in our books."
        elif now.intent_id not in (None, decided.intent_id):
            return f"It was made as {now.intent_id}, not as {decided.intent_id}."
        else:
            asked = Money(now.payment.amount, now.payment.currency)
            booked = await settling.collect(tx, invoice, now, asked, decided.intent_id)
            if isinstance(booked, WrongAmount):
                return f"The invoice is in {invoice.currency}, the charge was in {asked.currency}."
        await deciding.note_decision(tx, payment_id, decided)
    return None
