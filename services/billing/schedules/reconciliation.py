"""Reconciliation: our books beside Stripe's, account by account, and what that came to, merchant by merchant."""

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from chassis.service import Runtime
from contracts.billing import Difference, NotCompared, Reconciliation, ReconciliationFinished
from contracts.message import MerchantId
from services.billing.schedules import refunds as unsent
from services.billing.schedules.attempts import ask_about_attempts
from services.billing.schedules.comparing import compare
from services.billing.schedules.one_of_many import one_of_many
from services.billing.store import differences, reconciliations
from services.billing.store.accounts import every_account
from services.billing.store.differences import Known
from services.billing.store.reconciliations import Last
from services.billing.stripe_gateway import (
    StripeBusyError,
    StripeClosedError,
    StripeError,
    StripeGateway,
    StripeKeyError,
    StripeUnavailableError,
    StripeUnknownError,
)

log = logging.getLogger("portal.billing.schedules")

_TELL_AT_LEAST = timedelta(hours=1)
_OLD = timedelta(hours=3)
"""A result so old is shown as one: before, an account that is away for a while is nobody's trouble."""
Why: TypeAlias = Literal["account_closed", "key_refused", "rate_limited", "no_answer", "failed"]
_SHOW_RESOLVED = timedelta(days=30)
_MOST_STANDING = 30
_MOST_RESOLVED = 10
"""More than a person reads at once, and less than 20 kB."""


@dataclass
class Total:
    """What comparing one merchant's books came to, at all accounts where it has money."""

    accounts: set[str | None] = field(default_factory=set)
    compared: int = 0
    found: int = 0


async def reconcile(runtime: Runtime, *, stripe: StripeGateway) -> None:
    """Ask Stripe about whatever has no end yet, then compare each account's payments, refunds and disputes with ours."""
    for ask in (ask_about_attempts, unsent.ask_about_refunds):
        try:
            await ask(runtime, stripe)
        except StripeError as away:
            log.warning("Stripe cannot be asked now; the next reconciliation will.", extra={"reason": str(away)})
    totals: defaultdict[MerchantId, Total] = defaultdict(Total)
    accounts = await every_account(runtime.db)
    asked = {account: await _compare(runtime, stripe, account, totals) for account in accounts}
    away_from = {account: why for account, why in asked.items() if why is not None}
    now = runtime.clock.now()
    await differences.forget_resolved(runtime.db, now - _SHOW_RESOLVED)
    before, known = await reconciliations.last_results(runtime.db), await differences.every_difference(runtime.db)
    for merchant_id in sorted({*before, *totals, *known}):
        with one_of_many("result", merchant=str(merchant_id)):
            await _finish(
                runtime, before.get(merchant_id), merchant_id, totals[merchant_id], known[merchant_id], away_from
            )


async def _compare(
    runtime: Runtime, stripe: StripeGateway, account: str | None, totals: defaultdict[MerchantId, Total]
) -> Why | None:
    """Add one account to the totals. Returns why it could not be compared, which keeps us from no other; None: it was."""
    try:
        with one_of_many("account", account=named(account)) as turn:
            for merchant_id, tally in (await compare(runtime, stripe, account)).items():
                total = totals[merchant_id]
                total.accounts.add(account)
                total.compared += len(tally.compared)
                total.found += tally.found
    except StripeUnavailableError as away:
        extra = {"account": account, "reason": str(away)}
        log.warning("An account cannot be compared now; the next reconciliation will.", extra=extra)
        return _why(away)
    return None if turn.error is None else _why(turn.error)


def _why(error: Exception) -> Why:
    match error:
        case StripeClosedError():
            return "account_closed"
        case StripeKeyError():
            return "key_refused"
        case StripeBusyError():
            return "rate_limited"
        case StripeUnavailableError() | StripeUnknownError():
            return "no_answer"
        case _:
            return "failed"


def named(account: str | None) -> str:
    """An account as a person is told of it."""
    return account or "platform"


async def _finish(
    runtime: Runtime,
    last: Last | None,
    merchant_id: MerchantId,
    total: Total,
    known: Known,
    away_from: Mapping[str | None, Why],
) -> None:
    """Announce a merchant's result: at once when something is new, otherwise once an hour.

    Where nothing was compared, the last one stays, with its date; once that is old, it says why.
    """
    now = runtime.clock.now()
    accounts = total.accounts | (last.accounts if last else set())
    away = {account: why for account, why in away_from.items() if account in accounts}
    why_not = {
        "not_compared": tuple(sorted(named(account) for account in away)),
        "why_not_compared": tuple(NotCompared(account=named(each), why=away[each]) for each in sorted(away, key=named)),
    }
    if accounts and away.keys() == accounts:
        if last is None or now - last.result.finished_at <= _OLD:
            return
        result = last.result.model_copy(update=why_not)
    else:
        result = _result(merchant_id, now, total, known).model_copy(update=why_not)
    if (
        last is not None
        and not _is_news(result, last.result)
        and result.finished_at - last.result.finished_at < _TELL_AT_LEAST
    ):
        return
    async with runtime.db.transaction(runtime.system_cause(merchant_id)) as tx:
        sequence = await reconciliations.save_reconciliation(tx, result, accounts)
        tx.announce(ReconciliationFinished(state=result), sequence=sequence)


def _result(merchant_id: MerchantId, now: datetime, total: Total, known: Known) -> Reconciliation:
    return Reconciliation(
        id=merchant_id,
        merchant_id=merchant_id,
        finished_at=now,
        compared=total.compared,
        found=total.found,
        differences=tuple(known.standing[:_MOST_STANDING]),
        more_differences=max(len(known.standing) - _MOST_STANDING, 0),
        resolved=tuple(known.resolved[:_MOST_RESOLVED]),
    )


def _is_news(result: Reconciliation, last: Reconciliation) -> bool:
    found = result.found > 0 and result.finished_at > last.finished_at
    return found or _told(result) != _told(last)


def _told(result: Reconciliation) -> tuple[object, ...]:
    """What is news when it changes; when Stripe was last asked is not."""
    listed: list[Difference] = [each.model_copy(update={"asked_at": None}) for each in result.differences]
    return (listed, result.more_differences, result.resolved, result.not_compared, result.why_not_compared)
