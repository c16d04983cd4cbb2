"""Making subscriptions and payment plans."""

from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from pydantic import JsonValue

from chassis.database import Tx
from chassis.ids import new_id
from chassis.requests import Commands
from chassis.tokens import derive, digest
from contracts.billing import (
    BillingDefaults,
    CreateSubscription,
    Instalment,
    Interval,
    LinkEmailRequested,
    PayLink,
    Subscription,
    SubscriptionCreated,
    SubscriptionLinkEmailRequested,
    TaxLine,
)
from contracts.identity import Customer
from contracts.message import FieldError, InvalidInput, InvoiceId, NotAccepted, SubscriptionId
from services.billing.domain import periods, plans
from services.billing.domain.invoices import invoice_problems, line_problems, link_end_problem
from services.billing.domain.lines import Line, Totals, totals
from services.billing.domain.periods import local_day
from services.billing.domain.subscriptions import MOST_PAYMENTS, Standing, Terms, accept, due, terms_problems
from services.billing.handlers.access import require_role
from services.billing.handlers.invoices import (
    SELLERS,
    billable_customer,
    line_items,
    lines_of,
    plain,
    reverse_charge_problems,
)
from services.billing.store import agreements, books, charging, copies, defaults, subscriptions
from services.billing.store.subscriptions import Kept


async def create_subscription(tx: Tx, command: CreateSubscription, *, secret_key: str) -> Subscription:
    """Make it, with its first invoice where something is due at once, else with a link to accept it on."""
    require_role(tx.cause.actor, *SELLERS)
    customer = await billable_customer(tx, command.customer_id)
    merchant = await copies.merchant(tx, tx.merchant)
    if merchant is None:
        raise NotAccepted("We do not know this merchant yet. Please try again in a moment.")
    today = local_day(tx.now, merchant.time_zone)
    command = _completed(command, await defaults.defaults(tx, tx.merchant), tx.now)
    state = _agreed(tx, command, customer, today)
    kept = Kept(state, Standing())
    await subscriptions.insert_subscription(tx, kept)
    terms = agreements.terms_of(state)
    first = due(terms, accept(terms, Standing(), today), today)
    if first is None:
        token = subscription_token(secret_key, SubscriptionId(state.id), 1)
        link = PayLink(token_sha256=digest(token), expires_at=command.link_expires_at)
        kept = agreements.shown(kept, kept.standing, link=link)
        kept = await agreements.tell(tx, kept, SubscriptionCreated, merchant.time_zone)
        if command.send_email:
            kept = await agreements.tell(tx, kept, SubscriptionLinkEmailRequested, merchant.time_zone)
        return kept.state
    invoice = await charging.make_invoice(tx, kept, first, merchant, customer, secret_key, command.link_expires_at)
    assert invoice is not None, "A new subscription has no invoice yet."
    kept = agreements.shown(kept, kept.standing, first_invoice_id=InvoiceId(invoice.id))
    kept = await agreements.tell(tx, kept, SubscriptionCreated, merchant.time_zone)
    if command.send_email:
        await books.tell_invoice(tx, LinkEmailRequested, invoice)
    return kept.state


def subscription_token(secret_key: str, subscription_id: SubscriptionId, generation: int) -> str:
    """The secret in the public URL on which a subscription is accepted."""
    return derive(secret_key, "subscription_link", subscription_id, generation)


def current_token(kept: Kept, secret_key: str) -> str:
    """The secret in the public URL on which it is accepted, of its present generation; `/pay/…`, as an invoice's."""
    return subscription_token(secret_key, SubscriptionId(kept.state.id), kept.link_generation)


def _completed(command: CreateSubscription, usual: BillingDefaults, now: datetime) -> CreateSubscription:
    """The command with the merchant's defaults for what it leaves open."""
    given: dict[str, Any] = {
        "tax_inclusive": usual.tax_inclusive,
        "memo": usual.memo,
        "allow_customer_cancel": usual.allow_customer_cancel,
        "allow_customer_pause": usual.allow_customer_pause,
        "after_last_retry": usual.after_last_retry,
        "plan_on_cancel": usual.plan_on_cancel,
        # A plan cannot ask for more payments than it has.
        "minimum_payments": min(usual.minimum_payments, _most_payments(command)),
        "link_expires_at": None if usual.link_days is None else now + timedelta(days=usual.link_days),
    }
    left_open = {
        name: value
        for name, value in given.items()
        if getattr(command, name) is None
        and not (name in ("link_expires_at", "memo") and name in command.model_fields_set)
    }
    return command.model_copy(update=left_open)


def _most_payments(command: CreateSubscription) -> int:
    if command.kind == "recurring":
        return max((command.ends.after if command.ends else None) or MOST_PAYMENTS, 0)
    return len(command.instalments) if command.instalments is not None else command.instalment_count or 1


def _agreed(tx: Tx, command: CreateSubscription, customer: Customer, today: date) -> Subscription:
    """What a command asks for, as a subscription. Raises InvalidInput, naming every field that is wrong."""
    lines = lines_of(command.lines)
    sums = totals(lines, tax_inclusive=bool(command.tax_inclusive))
    problems = (
        line_problems(lines)
        + reverse_charge_problems(lines, customer)
        + _money_problems(command, sums, today)
        + _shape_problems(command)
    )
    if command.send_email and customer.email is None:
        problems.append(_error("send_email", "no-email-address", "This customer has no e-mail address."))
    if problem := link_end_problem(command.link_expires_at, tx.now):
        problems.append(problem)
    _refuse(problems)
    terms = _terms(command, sums)
    problems = terms_problems(terms, today)
    _refuse(problems if command.instalments is not None else _of_equal_parts(problems))
    return _state(tx, command, lines, sums, terms)


def _of_equal_parts(problems: list[FieldError]) -> list[FieldError]:
    """Nobody typed the amount of a single part: what is wrong with them is how many there are to be, and said once."""
    parts = [each for each in problems if each.field.startswith("instalments.")]
    others = [each for each in problems if each not in parts]
    return others + [each.model_copy(update={"field": "instalment_count"}) for each in parts[:1]]


def _refuse(problems: list[FieldError]) -> None:
    if problems:
        raise InvalidInput(problems[0].message if len(problems) == 1 else "", errors=tuple(problems))


def _money_problems(command: CreateSubscription, sums: Totals, today: date) -> list[FieldError]:
    found = invoice_problems(command.currency, sums, today, today)
    # A plan's total is never charged in one piece: how much a card can be charged is asked of each instalment.
    return [each for each in found if command.kind == "recurring" or each.code != "total-too-large"]


def _shape_problems(command: CreateSubscription) -> list[FieldError]:
    """What does not belong to this kind, or is missing."""
    found = []
    plan = command.kind == "payment_plan"
    ends = command.ends is not None and (command.ends.after is not None or command.ends.on is not None)
    if command.ends is not None and command.ends.after is not None and command.ends.on is not None:
        found.append(_error("ends", "two-ends", "It ends after a number of payments or on a date, not both."))
    foreign = (
        ("ends", ends and plan),
        ("trial_days", command.trial_days != 0 and plan),
        ("instalments", command.instalments is not None and not plan),
        ("instalment_count", command.instalment_count is not None and not plan),
        ("instalment_count", command.instalment_count is not None and command.instalments is not None),
        ("interval", command.interval is not None and command.instalments is not None),
    )
    found += [
        _error(field, "does-not-belong", "This does not go together with the rest.")
        for field in dict.fromkeys(field for field, wrong in foreign if wrong)
    ]
    if plan and command.instalments is None:
        found += _equal_problems(command)
    return found


def _equal_problems(command: CreateSubscription) -> list[FieldError]:
    count = command.instalment_count
    if count is None:
        return [_error("instalments", "instalments-missing", "A payment plan needs instalments.")]
    if not 1 <= count <= plans.MOST_INSTALMENTS:
        message = f"There must be between 1 and {plans.MOST_INSTALMENTS} instalments."
        return [_error("instalment_count", "instalments-out-of-range", message, most=str(plans.MOST_INSTALMENTS))]
    if command.interval is None and count > 1:
        return [_error("interval", "interval-missing", "Equal instalments need an interval.")]
    return []


def _terms(command: CreateSubscription, sums: Totals) -> Terms:
    every = command.interval
    if command.kind == "recurring":
        instalments: tuple[plans.Instalment, ...] = ()
    elif command.instalments is not None:
        instalments = tuple(
            plans.Instalment(n, each.due_on, each.amount) for n, each in enumerate(command.instalments, 1)
        )
    else:
        instalments = plans.equal_instalments(command.currency, sums.total, command.instalment_count or 1)
    return Terms(
        kind=command.kind,
        currency=command.currency,
        amount=sums.total,
        interval=periods.Interval(every.unit, every.count) if every else None,
        starts_on=command.starts_on,
        trial_days=command.trial_days,
        ends_after=command.ends.after if command.ends else None,
        ends_on=command.ends.on if command.ends else None,
        instalments=instalments,
        minimum_payments=command.minimum_payments or 0,
        allow_customer_cancel=bool(command.allow_customer_cancel),
        allow_customer_pause=bool(command.allow_customer_pause),
        plan_on_cancel=command.plan_on_cancel or "ask",
        after_last_retry=command.after_last_retry or "cancel",
    )


def _state(tx: Tx, command: CreateSubscription, lines: list[Line], sums: Totals, terms: Terms) -> Subscription:
    return Subscription(
        id=new_id(),
        merchant_id=tx.merchant,
        customer_id=command.customer_id,
        kind=command.kind,
        status="pending",
        title=lines[0].description,
        currency=command.currency,
        lines=line_items(lines, sums),
        tax_inclusive=bool(command.tax_inclusive),
        subtotal=sums.subtotal,
        tax_lines=tuple(TaxLine(rate=plain(each.rate), base=each.base, amount=each.amount) for each in sums.rates),
        tax=sums.tax,
        total=sums.total,
        interval=Interval(unit=terms.interval.unit, count=terms.interval.count) if terms.interval else None,
        starts_on=terms.starts_on,
        trial_days=terms.trial_days,
        ends_after=terms.ends_after,
        ends_on=terms.ends_on,
        instalments=tuple(
            Instalment(number=each.number, due_on=each.due_on, amount=each.amount) for each in terms.instalments
        ),
        allow_customer_cancel=terms.allow_customer_cancel,
        allow_customer_pause=terms.allow_customer_pause,
        minimum_payments=terms.minimum_payments,
        after_last_retry=terms.after_last_retry,
        plan_on_cancel=terms.plan_on_cancel,
        memo=command.memo,
        created_at=tx.now,
    )


def _error(field: str, code: str, message: str, **values: JsonValue) -> FieldError:
    return FieldError(field=field, message=message, code=code, values=values)


def commands(secret_key: str) -> Commands:
    """Which function answers which command. Links are derived from `secret_key`."""
    return {CreateSubscription: partial(create_subscription, secret_key=secret_key)}
