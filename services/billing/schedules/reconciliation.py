"""Reconciliation: our books beside Stripe's, account by account, and what that came to, merchant by merchant."""

import logging
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta

from chassis.service import Runtime
from contracts.billing import Difference, Reconciliation, ReconciliationFinished
from contracts.message import MerchantId
from services.billing.schedules import refunds as unsent
from services.billing.schedules.attempts import ask_about_attempts
from services.billing.schedules.comparing import compare
from services.billing.schedules.one_of_many import one_of_many
from services.billing.store import differences, reconciliations
from services.billing.store.accounts import every_account
from services.billing.store.differences import Known
from services.billing.store.reconciliations import Last
from services.billing.stripe_gateway import StripeError, StripeGateway, StripeUnavailableError

log = logging.getLogger("portal.billing.schedules")

_TELL_AT_LEAST = timedelta(hours=1)
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
    away_from = [account for account in accounts if not await _compare(runtime, stripe, account, totals)]
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
) -> bool:
    """Add one account to the totals. False: it could not be compared, which keeps us from no other."""
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
        return False
    return not turn.failed


def named(account: str | None) -> str:
    """An account as a person is told of it."""
    return account or "platform"


async def _finish(
    runtime: Runtime,
    last: Last | None,
    merchant_id: MerchantId,
    total: Total,
    known: Known,
    away_from: Collection[str | None],
) -> None:
    """Announce a merchant's result: at once when something is new, otherwise once an hour."""
    now = runtime.clock.now()
    accounts = total.accounts | (last.accounts if last else set())
    away = {account for account in accounts if account in away_from}
    if accounts and away == accounts:
        return  # nothing was compared: the date of the last result says how old it is
    result = Reconciliation(
        id=merchant_id,
        merchant_id=merchant_id,
        finished_at=now,
        compared=total.compared,
        found=total.found,
        differences=tuple(known.standing[:_MOST_STANDING]),
        more_differences=max(len(known.standing) - _MOST_STANDING, 0),
        resolved=tuple(known.resolved[:_MOST_RESOLVED]),
        not_compared=tuple(sorted(named(account) for account in away)),
    )
    if last is not None and not _is_news(result, last.result) and now - last.result.finished_at < _TELL_AT_LEAST:
        return
    async with runtime.db.transaction(runtime.system_cause(merchant_id)) as tx:
        sequence = await reconciliations.save_reconciliation(tx, result, accounts)
        tx.announce(ReconciliationFinished(state=result), sequence=sequence)


def _is_news(result: Reconciliation, last: Reconciliation) -> bool:
    return result.found > 0 or _told(result) != _told(last)


def _told(result: Reconciliation) -> tuple[object, ...]:
    """What is news when it changes; when Stripe was last asked is not."""
    listed: list[Difference] = [each.model_copy(update={"asked_at": None}) for each in result.differences]
    return (listed, result.more_differences, result.resolved, result.not_compared)
