"""A random history of one subscription and its invoices: people, cards, the calendar, lost and doubled news.

Seeded, so that a history is played again by its number. What is checked after every step is in `invariants`.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Literal

from services.billing.domain import currencies
from services.billing.domain.dunning import Policy
from services.billing.domain.invoices import chargeable, why_not_given_up, why_not_withdrawn
from services.billing.domain.periods import Interval, Unit
from services.billing.domain.plans import Instalment, Rest, equal_instalments
from services.billing.domain.subscriptions import (
    Action,
    By,
    Standing,
    Terms,
    When,
    accept,
    cancel,
    charged,
    due,
    pause,
    pause_problems,
    preview,
    resume,
    turn,
    turned,
    undo_cancel,
    why_not,
)
from tests.unit.billing.bank import Mood
from tests.unit.billing.ledger import Attempt, Invoice, Ledger

LEAST_STEPS = 20
CURRENCIES = ("EUR", "EUR", "JPY", "KWD")
SHORT: tuple[tuple[Unit, int], ...] = (("day", 20), ("week", 3), ("month", 2))
ON_CANCEL: tuple[Literal["owe", "waive", "ask"], ...] = ("owe", "waive", "ask")
ACTIONS: tuple[Action, ...] = (
    "pause",
    "pause",
    "pause",
    "resume",
    "resume",
    "cancel",
    "cancel",
    "undo_cancel",
    "undo_cancel",
)
WHEN: tuple[When, ...] = ("now", "period_end", "period_end", "period_end")
BY: tuple[By, ...] = ("customer", "merchant")
REST: tuple[Rest, ...] = ("owe", "waive")
DAY = timedelta(days=1)
MOODS: dict[Mood, int] = {
    "works": 50,
    "declines": 16,
    "hard": 6,
    "authenticate": 8,
    "debit": 10,
    "answer lost": 6,
    "decline lost": 16,
    "request lost": 4,
}


def some_terms(rng: Random, begun: date) -> Terms:
    unit, most = rng.choice(SHORT)
    interval = Interval(unit, rng.randint(1, most))
    terms = (some_recurring if rng.random() < 0.5 else some_plan)(rng, begun, rng.choice(CURRENCIES), interval)
    return replace(
        terms,
        allow_customer_cancel=rng.random() < 0.8,
        allow_customer_pause=rng.random() < 0.8,
        minimum_payments=rng.choice([0, 0, 0, 1, 2]),
        after_last_retry="keep" if rng.random() < 0.3 else "cancel",
    )


def some_recurring(rng: Random, begun: date, currency: str, interval: Interval) -> Terms:
    step, least = currencies.smallest_step(currency), currencies.smallest_charge(currency)
    return Terms(
        "recurring",
        currency,
        rng.randint(least // step, 2000) * step,
        interval,
        starts_on=rng.choice([None, None, begun + rng.randint(-5, 20) * DAY]),
        trial_days=rng.choice([0, 0, 0, rng.randint(1, 20)]),
        ends_after=rng.choice([None, rng.randint(1, 3), rng.randint(1, 8)]),
        ends_on=rng.choice([None, *[begun + rng.randint(10, most) * DAY for most in (40, 80, 150)]]),
    )


def some_plan(rng: Random, begun: date, currency: str, interval: Interval) -> Terms:
    step, least = currencies.smallest_step(currency), currencies.smallest_charge(currency)
    count = rng.randint(1, 8)
    most = count * currencies.largest_charge(currency) if rng.random() < 0.1 else 9000 * step
    total = rng.randint(count * least // step, most // step) * step
    parts: list[Instalment] = list(equal_instalments(currency, total, count))
    custom = rng.random() < 0.4
    if custom:
        day = begun
        for place, each in enumerate(parts):
            parts[place] = replace(each, due_on=day)
            day += rng.randint(0, 40) * DAY
    on_cancel = rng.choice(ON_CANCEL)
    kept = None if custom else interval
    return Terms("payment_plan", currency, total, kept, instalments=tuple(parts), plan_on_cancel=on_cancel)


def on_the_calendar(anchor: date, interval: Interval, day: date) -> bool:
    """Whether a period may begin on `day`, said without the engine: the anchor's day, or the last of a shorter month."""
    if interval.unit in ("day", "week"):
        return (day - anchor).days % (interval.count * (7 if interval.unit == "week" else 1)) == 0
    months = (day.year - anchor.year) * 12 + day.month - anchor.month
    in_step = months % (interval.count * (12 if interval.unit == "year" else 1)) == 0
    return in_step and (day.day == anchor.day or (day.day < anchor.day and (day + DAY).day == 1))


class History(Ledger):
    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        begun = date(2027, 1, 1) + rng.randint(0, 800) * DAY
        policy = Policy(rng.choice([(2, 7, 14, 21), (1, 3), (5,), ()]))
        super().__init__(some_terms(rng, begun), policy, begun, rng.choice([Decimal(0), Decimal(7), Decimal(19)]))
        self.day_ended: dict[date, Standing] = {}
        self.said: list[str] = []

    def play(self, check: Callable[["History"], None]) -> None:
        """At least `LEAST_STEPS` steps that did something; `check` looks at the books after each."""
        steps = self.rng.randint(LEAST_STEPS, LEAST_STEPS + 30)
        names, weights = list(STEPS), [weight for weight, _ in STEPS.values()]
        while steps:
            [name] = self.rng.choices(names, weights)
            if STEPS[name][1](self):
                self.said.append(f"{self.today} {name}")
                self.reached[f"step: {name}"] += 1
                steps -= 1
                check(self)
        self.calm_down()
        check(self)

    def calm_down(self) -> None:
        """Everything is told at last, in any order, and again; then nobody knows less than the bank."""
        for intent in list(self.bank.intents.values()):
            if intent.status == "processing":
                self.bank.change(intent, "succeeded")
        self.rng.shuffle(self.bank.news)
        for news in self.bank.news:
            self.hear(news)
        self.reconcile()
        before = self.picture()
        for news in [*self.bank.news, *self.bank.news]:
            self.hear(news)
        self.reconcile()
        assert self.picture() == before, "Told again, nothing changes."

    def picture(self) -> str:
        return repr((self.standing, self.invoices, self.recorded))

    # Days

    def wait(self) -> bool:
        for _ in range(self.rng.choice([1, 1, 2, 3, 7, 15, 25])):
            self.night()
            self.morning()
            if self.rng.random() < 0.5:
                self.deliver()
        return True

    def outage(self) -> bool:
        """No charge is made and no day turned for up to two months, while people go on; then all of it at once."""
        made = len(self.invoices)
        for _ in range(self.rng.randint(3, 60)):
            self.night()
            if self.rng.random() < 0.02:
                self.change()
        self.morning()
        self.reached["several charges after an outage"] += len(self.invoices) > made + 1
        return True

    def night(self) -> None:
        self.day_ended[self.today] = turned(self.terms, self.standing, self.today)
        self.today += DAY

    def morning(self) -> None:
        """The schedules of a day, in either order, since charges and turns do not wait for each other."""
        jobs = [self.turn_days, self.make_charges]
        self.rng.shuffle(jobs)
        for job in jobs:
            job()
        self.turn_days()
        self.dun(self.mood())
        for attempt in self.attempts():
            if attempt.kind == "checkout" and attempt.status == "created" and attempt.began_on < self.today:
                self.close(self.invoices[attempt.invoice], attempt)

    def turn_days(self) -> None:
        while later := turn(self.terms, self.standing, self.today):
            self.reached[f"by the calendar: {self.standing.status} -> {later.status}"] += 1
            beaten = self.standing.pause_on is not None and self.standing.pause_on == self.standing.cancel_on
            self.reached["a scheduled cancellation beats a scheduled pause"] += beaten
            self.standing = later

    def make_charges(self) -> None:
        while charge := due(self.terms, self.standing, self.today):
            before = self.standing
            self.standing = charged(self.terms, before, charge)
            self.reached[f"charge of a {self.terms.kind}"] += 1
            if self.standing.status == "completed":
                self.reached["a plan is completed"] += 1
            invoice = self.new_invoice(charge.amount, charge)
            try:
                charged(self.terms, self.standing, charge)
            except ValueError:
                self.reached["the same charge twice refused"] += 1
            else:
                raise AssertionError("A charge was made twice.")
            self.collect(invoice, self.mood())

    def mood(self) -> Mood:
        return self.rng.choices(list(MOODS), list(MOODS.values()))[0]

    # What is told

    def deliver(self) -> bool:
        """Some of the news, shuffled; some twice, some never."""
        news, self.bank.news = self.bank.news, []
        if not news:
            return False
        self.rng.shuffle(news)
        for each in news:
            fate = self.rng.random()
            if fate < 0.15:
                self.reached["news dropped"] += 1
            elif fate < 0.35:
                self.bank.news.append(each)
            else:
                self.hear(each)
                if fate > 0.7:
                    self.reached["news doubled"] += 1
                    self.hear(each)
                if fate > 0.9:
                    self.bank.news.append(each)
        return True

    def reconciled(self) -> bool:
        self.reconcile()
        return True

    # The subscription

    def begin(self) -> bool:
        refused = why_not(self.terms, self.standing, "accept", self.today, "customer")
        if refused:
            self.reached[f"refused: accept, {refused.code}"] += 1
            return False
        self.standing = accept(self.terms, self.standing, self.today)
        self.reached["accepted"] += 1
        self.morning()
        return True

    def pause_and_leave(self) -> bool:
        """First a pause, then second thoughts."""
        if self.waits_for_its_customer():
            return False
        paused = self.change("pause", self.rng.choice(("now", "period_end")))
        return self.change("cancel", "period_end") or paused

    def change(self, wished: Action | None = None, wished_when: When | None = None) -> bool:
        """Somebody pauses, resumes, cancels or undoes: what the preview says is what then stands in the books."""
        if self.waits_for_its_customer():
            return False
        by = self.rng.choice(BY)
        action = wished or self.some_action(by)
        when = self.rng.choice(WHEN) if wished_when is None else wished_when
        until = self.rng.choice([None, self.today + self.rng.randint(0, 120) * DAY])
        rest = self.rng.choice(REST) if by == "merchant" else None
        refused = why_not(self.terms, self.standing, action, self.today, by)
        before = self.standing
        if refused or (action == "pause" and pause_problems(self.terms, before, self.today, until, when)):
            self.reached[f"refused: {action}, {refused.code if refused else 'until'}"] += 1
            return False
        shown = preview(self.terms, before, action, self.today, by=by, when=when, until=until, rest=rest)
        match action:
            case "pause":
                after = pause(self.terms, before, self.today, until, when=when, by=by)
            case "resume":
                after = resume(self.terms, before, self.today)
            case "cancel":
                after = cancel(self.terms, before, self.today, when, rest, by=by)
            case _:
                after = undo_cancel(self.terms, before, self.today)
        assert shown.standing == after
        less = self.note_waived(shown)
        if action == "undo_cancel":
            self.waived = 0
        leaving = action in ("cancel", "undo_cancel") or before.cancel_rest == "waive"
        assert less == 0 or leaving, "Only a cancellation loses money."
        self.standing = after
        self.note_change(action, by, when, until, before)
        if self.terms.kind == "payment_plan":
            self.reached["plan: instalments moved"] += bool(shown.move)
            owed = action == "cancel" and after.cancel_rest == "owe"
            self.reached["plan: a rest in several sums"] += owed and len(shown.come) + len(shown.move) > 1
        return True

    def waits_for_its_customer(self) -> bool:
        """Most offers are let be until they are accepted: what is withdrawn before has hardly any history."""
        return self.standing.status == "pending" and self.rng.random() < 0.85

    def some_action(self, by: By) -> Action:
        """Mostly one that is possible, since most things most people try are."""
        possible = [each for each in ACTIONS if not why_not(self.terms, self.standing, each, self.today, by)]
        return self.rng.choice(possible if possible and self.rng.random() < 0.6 else ACTIONS)

    def note_change(self, action: Action, by: By, when: When, until: date | None, before: Standing) -> None:
        ending = "" if action != "pause" else " until a day" if until else " until resumed"
        self.reached[f"{action}{ending}{f', {when}' if action in ('pause', 'cancel') else ''}"] += 1
        self.reached[f"{action} by the {by}"] += 1
        self.reached["cancelled before it was accepted"] += before.status == "pending"
        self.reached["a scheduled pause taken back"] += action == "resume" and before.pause_on is not None
        self.reached["changed during the trial"] += bool(before.trial_until and self.today < before.trial_until)
        self.reached["changed with charges waiting"] += bool(due(self.terms, before, self.today))
        if self.terms.kind == "payment_plan" and before.status != "pending":
            self.reached[f"plan: {action}{f', {self.standing.cancel_rest}' if action == 'cancel' else ''}"] += 1

    # Paying

    def one_time(self) -> bool:
        if len(self.invoices) > 30:
            return False
        step, least = currencies.smallest_step(self.terms.currency), currencies.smallest_charge(self.terms.currency)
        self.new_invoice(self.rng.randint(least // step, 500) * step)
        return True

    def pay(self) -> bool:
        return self.pay_at_checkout(partly=False)

    def pay_part(self) -> bool:
        return self.pay_at_checkout(partly=True)

    def pay_at_checkout(self, *, partly: bool) -> bool:
        """A person pays at the hosted checkout: at once, by a debit that takes days, after a decline, or not at all."""
        invoice = self.some_invoice(lambda each: each.balance.payable_now > 0 and each.open_attempt is None)
        if invoice is None:
            return False
        amount, currency = invoice.balance.payable_now, self.terms.currency
        if partly:
            amount = self.rng.randrange(0, amount, currencies.smallest_step(currency))
        if not chargeable(amount, currency):
            return False
        attempt = self.new_attempt(invoice, amount, "checkout")
        attempt.intent = self.bank.open(attempt.key, invoice.id, attempt.number, amount).id
        self.reached["checkout opened"] += 1
        return self.at_checkout() if self.rng.random() < 0.8 else True

    def at_checkout(self) -> bool:
        """The same checkout, again: pressing Pay resumes it."""
        attempt = self.some_attempt(lambda each: each.kind == "checkout" and each.status == "created")
        if attempt is None or attempt.intent is None or self.bank.intents[attempt.intent].status != "open":
            return False
        fate = self.rng.random()
        if fate < 0.25:
            self.reached["declined in the open checkout"] += 1
        elif fate < 0.85:
            self.bank.change(self.bank.intents[attempt.intent], "processing" if fate < 0.4 else "succeeded")
            self.reached["paid at the checkout"] += 1
        return True

    def second_tab(self) -> bool:
        """A checkout that we had closed, or that was paid already, takes money after all."""
        attempt = self.some_attempt(lambda each: each.kind == "checkout" and each.intent is not None)
        if attempt is None or attempt.key not in self.bank.by_key:
            return False
        self.invoices[attempt.invoice].overtaken = True
        self.bank.change(self.bank.movement(attempt.key, attempt.invoice, attempt.number, attempt.amount), "succeeded")
        return True

    def wrong_amount(self) -> bool:
        attempt = self.some_attempt(lambda each: each.kind == "checkout" and each.key in self.bank.by_key)
        if attempt is None:
            return False
        self.bank.change(
            self.bank.movement(attempt.key, attempt.invoice, attempt.number, attempt.amount + 10), "succeeded"
        )
        return True

    def debit_ends(self) -> bool:
        intents = [intent for intent in self.bank.intents.values() if intent.status == "processing"]
        if not intents:
            return False
        fine = self.rng.random() < 0.6
        self.bank.change(self.rng.choice(intents), "succeeded" if fine else "declined")
        self.reached["debit succeeded days later" if fine else "debit failed days later"] += 1
        return True

    def confirm(self) -> bool:
        """The customer follows the link to confirm, or the link is taken back because the debt is settled otherwise."""
        attempt = self.some_attempt(lambda each: each.status == "requires_action")
        if attempt is None or self.bank.by_key[attempt.key].status != "requires_action":
            return False
        if self.rng.random() < 0.7:
            self.bank.change(self.bank.by_key[attempt.key], "succeeded")
            self.reached["authentication confirmed"] += 1
        else:
            self.close(self.invoices[attempt.invoice], attempt)
            self.reached["authentication given up"] += 1
        return True

    def new_card(self) -> bool:
        """A new default card settles old debt at once."""
        self.card += 1
        for invoice in list(self.invoices.values()):
            if invoice.first_failed_at is not None and invoice.balance.payable_now > 0 and invoice.open_attempt is None:
                self.reached["a new card tries old debt"] += 1
                self.collect(invoice, self.mood())
        return True

    # The merchant

    def refund_some(self) -> bool:
        attempt = self.some_attempt(lambda each: each.status == "succeeded")
        if attempt is None:
            return False
        took, step = attempt.applied + attempt.surplus, currencies.smallest_step(self.terms.currency)
        amount = self.rng.choice([took, took - attempt.refunded, self.rng.randint(0, took // step + 2) * step])
        return self.refund(attempt, amount)

    def refund_ends(self) -> bool:
        refunds = [each for each in self.bank.refunds.values() if each.status != "failed"]
        if not refunds:
            return False
        refund = self.rng.choice(refunds)
        fails = refund.status == "succeeded" or self.rng.random() < 0.3
        self.bank.end_refund(refund, "failed" if fails else "succeeded")
        return True

    def dispute(self) -> bool:
        attempt = self.some_attempt(lambda each: each.status == "succeeded" and not each.disputes)
        if attempt is None or attempt.intent is None:
            return False
        intent = self.bank.intents[attempt.intent]
        if self.bank.given_back(intent) == intent.amount or any(
            each.intent == intent.id for each in self.bank.disputes.values()
        ):
            return False
        self.bank.dispute(intent)
        return True

    def judge(self) -> bool:
        waiting = [each for each in self.bank.disputes.values() if each.status == "opened"]
        if not waiting:
            return False
        self.bank.judge(self.rng.choice(waiting), self.rng.choice(["won", "lost"]))
        return True

    def void(self) -> bool:
        return self.close_invoice(give_up=False)

    def give_up(self) -> bool:
        return self.close_invoice(give_up=True)

    def close_invoice(self, *, give_up: bool) -> bool:
        invoice = self.some_invoice(lambda each: each.balance.status in ("open", "uncollectible"))
        if invoice is None:
            return False
        standing, name = invoice.open_attempt, "give up" if give_up else "void"
        if standing is not None and not self.close(invoice, standing):
            self.reached[f"{name} refused: being paid"] += 1
            return False
        refunded = sum(part.base + part.amount for note in invoice.notes for part in note)
        balance = replace(invoice.balance, refunded=refunded, disputed=sum(each.disputed for each in invoice.attempts))
        if (why_not_given_up if give_up else why_not_withdrawn)(balance):
            self.reached[f"{name} refused"] += 1
            return False
        invoice.balance = replace(invoice.balance, status="uncollectible" if give_up else "void")
        invoice.next_try = None
        self.reached[name] += 1
        return True

    def some_invoice(self, fits: Callable[[Invoice], bool]) -> Invoice | None:
        fitting = [each for each in self.invoices.values() if fits(each)]
        return self.rng.choice(fitting) if fitting else None

    def some_attempt(self, fits: Callable[[Attempt], bool]) -> Attempt | None:
        fitting = [each for each in self.attempts() if fits(each)]
        return self.rng.choice(fitting) if fitting else None


STEPS: dict[str, tuple[float, Callable[[History], bool]]] = {
    "the customer accepts": (10, History.begin),
    "days pass": (8, History.wait),
    "an outage": (1.5, History.outage),
    "news arrives": (7, History.deliver),
    "reconciliation": (1.5, History.reconciled),
    "the subscription is changed": (9, History.change),
    "a pause and then second thoughts": (3, History.pause_and_leave),
    "a one-time invoice": (0.7, History.one_time),
    "the customer pays": (4, History.pay),
    "the customer pays a part": (2, History.pay_part),
    "the checkout is resumed": (2, History.at_checkout),
    "a second tab is paid": (1, History.second_tab),
    "the wrong amount arrives": (0.3, History.wrong_amount),
    "a debit ends": (3, History.debit_ends),
    "the customer confirms": (4, History.confirm),
    "a new card": (1, History.new_card),
    "a refund": (2, History.refund_some),
    "a refund ends": (2, History.refund_ends),
    "a dispute": (1, History.dispute),
    "a dispute ends": (2, History.judge),
    "an invoice is voided": (0.7, History.void),
    "an invoice is given up": (0.7, History.give_up),
}
