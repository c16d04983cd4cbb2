"""The books that a random history is written into: what the store and the handlers keep, around the real decisions.

Every `if` about money or dates is asked of `services.billing.domain`; here is only what a row would hold.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Literal, assert_never

from contracts.message import Money
from services.billing.domain.dunning import Policy, hard, next_try
from services.billing.domain.invoices import Balance
from services.billing.domain.lines import Line, RateTotal, Totals, totals
from services.billing.domain.periods import charge_moment
from services.billing.domain.plans import Rest
from services.billing.domain.refunds import credit_note, refund_problems
from services.billing.domain.settlement import (
    UNENDED,
    AlreadyPaid,
    AlreadyRecorded,
    Collected,
    PartPaid,
    PaymentStatus,
    Settled,
    WrongAmount,
    settle,
)
from services.billing.domain.subscriptions import Charge, Preview, Standing, Terms, after_last_retry, preview, turned
from tests.unit.billing.bank import Bank, Dispute, Intent, Mood, News, Refund, RequestLostError

ZONE = "Europe/Berlin"
_RANK = ("pending", "succeeded", "failed", "opened", "won", "lost")


@dataclass
class Given:
    """A refund of ours; `note` is its credit note, empty when all of it was surplus."""

    refund: Refund
    note: tuple[RateTotal, ...]
    status: str = "pending"


@dataclass
class Attempt:
    invoice: int
    number: int
    amount: int
    kind: Literal["checkout", "off_session"]
    began_on: date
    status: PaymentStatus = "created"
    intent: str | None = None
    applied: int = 0
    surplus: int = 0
    given: list[Given] = field(default_factory=list)
    disputes: dict[str, tuple[Dispute, str]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.invoice}:{self.number}"

    @property
    def refunded(self) -> int:
        return sum(each.refund.amount for each in self.given if each.status != "failed")

    @property
    def disputed(self) -> int:
        return sum(dispute.amount for dispute, status in self.disputes.values() if status != "won")


@dataclass
class Invoice:
    id: int
    balance: Balance
    sums: Totals
    charge: Charge | None = None
    attempts: list[Attempt] = field(default_factory=list)
    failures: int = 0
    first_failed_at: datetime | None = None
    next_try: datetime | None = None
    dead_card: int | None = None
    overtaken: bool = False
    """Money came that we had not asked for a second time: what is on its way may be too much."""

    @property
    def open_attempt(self) -> Attempt | None:
        return next((each for each in self.attempts if each.status in UNENDED and each.status != "processing"), None)

    @property
    def notes(self) -> list[tuple[RateTotal, ...]]:
        given = [each for attempt in self.attempts for each in attempt.given]
        return [each.note for each in given if each.note and each.status != "failed"]


class Ledger:
    def __init__(self, terms: Terms, policy: Policy, today: date, tax_rate: Decimal) -> None:
        self.terms, self.policy, self.today, self.tax_rate = terms, policy, today, tax_rate
        self.standing = Standing(instalments=terms.instalments)
        self.bank = Bank()
        self.card = 1
        self.invoices: dict[int, Invoice] = {}
        self.recorded: dict[str, int] = {}
        self.stuck: set[str] = set()
        self.waived = 0
        self.reached: Counter[str] = Counter()

    @property
    def now(self) -> datetime:
        """The moment of the day's charges, on which retries are due, too."""
        return max(charge_moment(self.today, ZONE), datetime.combine(self.today, time(1), UTC))

    def new_invoice(self, amount: int, charge: Charge | None = None) -> Invoice:
        parts = ((amount // 3, Decimal(7)), (amount - amount // 3, self.tax_rate))
        sums = totals([Line("x", Decimal(1), part, tax_rate=rate) for part, rate in parts], tax_inclusive=True)
        assert sums.total == amount
        balance = Balance("open", self.terms.currency, sums.total)
        invoice = Invoice(len(self.invoices) + 1, balance, sums, charge)
        self.invoices[invoice.id] = invoice
        return invoice

    def new_attempt(self, invoice: Invoice, amount: int, kind: Literal["checkout", "off_session"]) -> Attempt:
        attempt = Attempt(invoice.id, len(invoice.attempts) + 1, amount, kind, self.today)
        invoice.attempts.append(attempt)
        return attempt

    # Collection

    def collect(self, invoice: Invoice, mood: Mood) -> None:
        """The automatic charge. An open attempt or nothing payable refuses it, as it refuses everyone."""
        amount = invoice.balance.payable_now
        if amount == 0 or invoice.open_attempt:
            return
        attempt = self.new_attempt(invoice, amount, "off_session")
        invoice.next_try = None
        try:
            intent = self.bank.charge(attempt.key, invoice.id, attempt.number, amount, mood)
        except RequestLostError:
            attempt.status = "unknown"
            self.reached["payment unknown"] += 1
            return
        self.hear_intent(intent, intent.status)

    def failed(self, invoice: Invoice, decline: str | None) -> None:
        """One more step of the dunning schedule has failed, or was only a reminder."""
        if invoice.charge is None or invoice.balance.status != "open":
            return
        invoice.failures += 1
        invoice.first_failed_at = invoice.first_failed_at or self.now
        if hard(decline):
            invoice.dead_card = self.card
            self.reached["hard decline"] += 1
        invoice.next_try = next_try(self.policy, invoice.failures, invoice.first_failed_at, self.now, ZONE)
        self.reached["dunning step" if invoice.next_try else "dunning exhausted"] += 1
        if invoice.next_try is None:
            self.give_up_subscription()

    def give_up_subscription(self) -> None:
        before = turned(self.terms, self.standing, self.today)
        self.standing = after_last_retry(self.terms, before, self.today)
        if self.standing.status != "cancelled" or before.status == "cancelled":
            self.reached["kept after the last retry"] += 1
            return
        self.reached["cancelled after the last retry"] += 1
        rest: Rest = "waive" if self.terms.plan_on_cancel == "waive" else "owe"
        shown = preview(self.terms, before, "cancel", self.today, by="merchant", rest=rest)
        self.note_waived(shown)

    def note_waived(self, shown: Preview) -> int:
        """What a preview says that a plan loses (or, undone, gets back) is what it must be short of afterwards."""
        if self.terms.kind != "payment_plan":
            return 0
        less = sum(each.amount for each in shown.disappear) - sum(each.amount for each in shown.come)
        self.waived += less
        return less

    def dun(self, mood: Mood) -> None:
        """The retries whose day has come."""
        for invoice in list(self.invoices.values()):
            if invoice.next_try is None or invoice.next_try > self.now or invoice.balance.payable_now == 0:
                continue
            standing = invoice.open_attempt
            if invoice.dead_card == self.card or (standing is not None and standing.status == "requires_action"):
                self.reached["reminded instead of retried"] += 1
                self.failed(invoice, None)
            elif standing is None:
                self.reached["retried"] += 1
                self.collect(invoice, mood)

    # What the bank says

    def hear(self, news: News) -> None:
        match news.kind:
            case "intent":
                self.hear_intent(self.bank.intents[news.id], news.status)
            case "refund":
                self.hear_refund(self.bank.refunds[news.id], news.status)
            case "dispute":
                self.hear_dispute(self.bank.disputes[news.id], news.status)
            case _:
                assert_never(news.kind)

    def hear_intent(self, intent: Intent, status: str) -> None:
        invoice = self.invoices[intent.invoice]
        attempt = invoice.attempts[intent.attempt - 1]
        if status == "succeeded":
            self.succeed(invoice, attempt, intent)
        elif attempt.status not in UNENDED or attempt.intent not in (None, intent.id):
            self.reached["old news ignored"] += 1
        else:
            attempt.intent = intent.id
            self.under_way(invoice, attempt, intent, status)

    def under_way(self, invoice: Invoice, attempt: Attempt, intent: Intent, status: str) -> None:
        if status == "processing" and attempt.status != "processing":
            attempt.status = "processing"
            self.move(invoice, processing=attempt.amount)
            self.reached["payment processing"] += 1
        elif status == "requires_action" and attempt.status in ("created", "unknown"):
            attempt.status = "requires_action"
            self.reached["payment requires action"] += 1
            self.failed(invoice, intent.decline)
        elif status in ("declined", "canceled"):
            self.end(invoice, attempt)
            if attempt.kind == "off_session":
                self.failed(invoice, intent.decline)

    def end(self, invoice: Invoice, attempt: Attempt) -> None:
        self.release(invoice, attempt)
        attempt.status = "failed"
        self.reached["payment failed"] += 1

    def release(self, invoice: Invoice, attempt: Attempt) -> None:
        if attempt.status == "processing":
            self.move(invoice, processing=-attempt.amount)

    def move(self, invoice: Invoice, *, paid: int = 0, processing: int = 0) -> None:
        before = invoice.balance
        invoice.balance = replace(before, paid=before.paid + paid, processing=before.processing + processing)

    def succeed(self, invoice: Invoice, attempt: Attempt, intent: Intent) -> None:
        before, currency = attempt.status == "succeeded", self.terms.currency
        asked, took = Money(attempt.amount, currency), Money(intent.amount, currency)
        collected = Collected(asked, took, intent.id, before, attempt.intent if before else None)
        outcome = settle(invoice.balance, collected, self.now)
        if not isinstance(outcome, WrongAmount | AlreadyRecorded) and intent.id in self.recorded:
            outcome = AlreadyRecorded()  # The second movement of an attempt has a row of its own, found by its intent.
        self.reached[type(outcome).__name__] += 1
        if isinstance(outcome, WrongAmount):
            self.stuck.add(intent.id)
        elif not isinstance(outcome, AlreadyRecorded):
            if before:
                attempt = self.new_attempt(invoice, attempt.amount, attempt.kind)
                self.reached["second movement of one attempt"] += 1
            elif attempt.status == "unknown":
                self.reached["unknown became succeeded"] += 1
            self.book(invoice, attempt, intent, outcome)

    def book(
        self, invoice: Invoice, attempt: Attempt, intent: Intent, outcome: Settled | PartPaid | AlreadyPaid
    ) -> None:
        self.release(invoice, attempt)
        was = invoice.balance.status
        attempt.status, attempt.intent = "succeeded", intent.id
        attempt.applied = 0 if isinstance(outcome, AlreadyPaid) else outcome.applied
        attempt.surplus = 0 if isinstance(outcome, PartPaid) else outcome.surplus
        self.recorded[intent.id] = attempt.applied + attempt.surplus
        self.move(invoice, paid=attempt.applied)
        if isinstance(outcome, Settled):
            invoice.balance = replace(invoice.balance, status="paid")
            invoice.next_try = None
            self.reached["settled with a surplus"] += outcome.surplus > 0
            self.reached["paid after it was given up"] += was == "uncollectible"
            if invoice.charge is not None:
                self.standing = replace(self.standing, paid=self.standing.paid + 1)
        if other := invoice.open_attempt:
            self.close(invoice, other)

    def close(self, invoice: Invoice, attempt: Attempt) -> bool:
        """Close another way to pay at the bank, and then here; False: it is too late, or nobody knows."""
        intent = self.bank.by_key.get(attempt.key)
        if attempt.status == "unknown" or intent is None or not self.bank.cancel(intent):
            return False
        if attempt.status in UNENDED:
            self.end(invoice, attempt)
            self.reached["another way to pay closed"] += 1
        return True

    # Refunds and disputes

    def refund(self, attempt: Attempt, amount: int) -> bool:
        invoice = self.invoices[attempt.invoice]
        took = attempt.applied + attempt.surplus
        if refund_problems(
            amount, self.terms.currency, paid=took, refunded=attempt.refunded, disputed=attempt.disputed
        ):
            self.reached["refund refused"] += 1
            return False
        assert attempt.intent is not None
        refund = self.bank.refund(self.bank.intents[attempt.intent], amount)
        if refund is None:
            self.reached["refund refused by the bank: disputed"] += 1
            return False
        # What came on top goes back first; the rest is the invoice's, and needs a credit note.
        noted = sum(
            each.base + each.amount for given in attempt.given if given.status != "failed" for each in given.note
        )
        billed = max(amount - max(attempt.surplus - (attempt.refunded - noted), 0), 0)
        note = credit_note(invoice.sums, billed, invoice.notes) if billed else ()
        attempt.given.append(Given(refund, note))
        self.reached["refund whole" if amount == took else "refund partial"] += 1
        return True

    def hear_refund(self, refund: Refund, status: str) -> None:
        for attempt in self.attempts():
            for given in attempt.given:
                if given.refund is refund and _RANK.index(status) > _RANK.index(given.status):
                    given.status = status
                    self.reached[f"refund {status}"] += 1

    def hear_dispute(self, dispute: Dispute, status: str) -> None:
        for attempt in self.attempts():
            if attempt.intent == dispute.intent and attempt.status == "succeeded":
                known = attempt.disputes.get(dispute.id)
                if known is None or _RANK.index(status) > _RANK.index(known[1]):
                    attempt.disputes[dispute.id] = (dispute, status)
                    self.reached[f"dispute {status}"] += 1

    # Reconciliation

    def reconcile(self) -> None:
        """Ask about every attempt without an end, then about all money that moved."""
        for attempt in self.attempts():
            if attempt.status in UNENDED:
                self.ask(attempt)
        for intent in self.bank.intents.values():
            if intent.status == "succeeded" and intent.id not in self.recorded and intent.id not in self.stuck:
                self.reached["found by reconciliation"] += 1
                self.hear_intent(intent, "succeeded")
        for refund in self.bank.refunds.values():
            self.hear_refund(refund, refund.status)
        for dispute in self.bank.disputes.values():
            self.hear_dispute(dispute, dispute.status)

    def ask(self, attempt: Attempt) -> None:
        invoice, intent = self.invoices[attempt.invoice], self.bank.by_key.get(attempt.key)
        doubt = attempt.status == "unknown"
        if intent is None:
            self.end(invoice, attempt)
            invoice.next_try = self.now
            self.reached["unknown was never made"] += 1
            return
        self.hear_intent(intent, intent.status)
        self.reached["unknown became something else"] += doubt and intent.status != "succeeded"

    def attempts(self) -> list[Attempt]:
        return [attempt for invoice in self.invoices.values() for attempt in invoice.attempts]
