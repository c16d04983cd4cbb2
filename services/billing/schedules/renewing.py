"""Renewals: each due subscription gets its next invoice, number and attempt in one transaction; `charging` collects.

What an outage has kept back comes oldest first, one charge of a subscription an hour: nobody finds three months on their
account at once without a word.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from chassis.database import Row, Tx
from chassis.service import Runtime
from contracts.billing import Invoice, SubscriptionRenewed
from contracts.identity import Customer, Merchant
from contracts.message import PaymentMethodId
from services.billing.domain.periods import local_day
from services.billing.domain.subscriptions import Charge, charged, due
from services.billing.schedules.beginning import begin_charge
from services.billing.schedules.one_of_many import note_failure
from services.billing.store import agreements, archiving, charging, collecting, copies, stripe_customers, subscriptions
from services.billing.store.accounts import account_of
from services.billing.store.subscriptions import Kept

_BETWEEN = timedelta(hours=1)
_AFTER_TROUBLE = timedelta(minutes=10)
_MIRRORED_WITHIN = timedelta(minutes=20)
"""A card that was given is in our books by then: `billing.look_at_methods` runs every five minutes."""
_UNTIL_MIRRORED = timedelta(seconds=30)


@dataclass
class _Claimed:
    """Which one is in hand, for whoever has to put it off."""

    row: Row | None = None


async def renew_due(runtime: Runtime, *, at_once: int = 4) -> int:
    """Let everything take place that is due by now. Returns how many subscriptions were looked at."""
    until, count = runtime.clock.now(), 0

    async def keep_renewing() -> None:
        nonlocal count
        while await renew_next(runtime, until):
            count += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(keep_renewing())
    return count


async def renew_next(runtime: Runtime, until: datetime) -> bool:
    """The subscription that waits longest. False: none is due."""
    claimed = _Claimed()
    try:
        async with runtime.db.transaction(runtime.system_cause()) as tx:
            claimed.row = await subscriptions.claim_due(tx, until)
            if claimed.row is not None:
                await _renew(tx, subscriptions.kept_in(claimed.row), runtime.settings.secret_key)
    except Exception as error:
        if claimed.row is None:
            raise
        # One that cannot be renewed, or not even be read, must not keep the others waiting.
        row = claimed.row
        note_failure(error, "renewal", merchant=str(row["merchant_id"]), subscription=str(row["id"]))
        await subscriptions.put_off(runtime.db, row["id"], runtime.clock.now() + _AFTER_TROUBLE)
    return claimed.row is not None


async def _renew(tx: Tx, kept: Kept, secret_key: str) -> None:
    merchant = await copies.merchant(tx, kept.state.merchant_id)
    assert merchant is not None, "Nothing was agreed before its merchant was known, and none is deleted."
    customer = await copies.customer(tx, kept.state.merchant_id, kept.state.customer_id)
    if archiving.is_closed(customer) and kept.standing.status != "cancelled":
        # The news of it has overtaken those who end what they have.
        await archiving.ask_to_close(tx, kept.state.merchant_id, kept.state.customer_id)
        await subscriptions.put_off(tx, kept.state.id, tx.now + _BETWEEN)
        return
    if customer is None:
        # Nobody to write an invoice to.
        await subscriptions.put_off(tx, kept.state.id, None)
        return
    kept = await agreements.let_turn(tx, kept, merchant.time_zone)
    charge = due(agreements.terms_of(kept.state), kept.standing, local_day(tx.now, merchant.time_zone))
    if charge is not None and await _is_card_on_its_way(tx, kept):
        await agreements.look_again(tx, kept, merchant.time_zone, tx.now + _UNTIL_MIRRORED)
    elif charge is not None:
        await _charge(tx, kept, charge, (merchant, customer), secret_key)
    else:
        await agreements.look_again(tx, kept, merchant.time_zone, tx.now + _BETWEEN)


async def _is_card_on_its_way(tx: Tx, kept: Kept) -> bool:
    """Whether it was accepted a moment ago by giving a card that our books do not show yet: then they are to look."""
    state = kept.state
    if kept.standing.made or state.first_invoice_id is not None or state.accepted_at is None:
        return False
    if tx.now - state.accepted_at > _MIRRORED_WITHIN:
        return False
    if await collecting.chargeable(tx, state.merchant_id, state.customer_id, state.payment_method_id) is not None:
        return False
    account = await account_of(tx, state.merchant_id)
    await stripe_customers.ask_for_look(tx, state.merchant_id, state.customer_id, account)
    return True


async def _charge(tx: Tx, kept: Kept, charge: Charge, parties: tuple[Merchant, Customer], secret_key: str) -> None:
    merchant, customer = parties
    after = charged(agreements.terms_of(kept.state), kept.standing, charge)
    period = agreements.period_of(charge.period) or kept.state.current_period
    zone, soonest = merchant.time_zone, tx.now + _BETWEEN
    renewed = agreements.shown(kept, after, current_period=period)
    renewed = await agreements.tell(tx, renewed, SubscriptionRenewed, zone, soonest)
    if after.status == "completed" and kept.standing.status != "completed":
        await agreements.stood(tx, renewed, after, zone)
    # The invoice's number is the last lock: everybody else's next one waits until this has committed.
    invoice = await charging.make_invoice(tx, kept, charge, merchant, customer, secret_key)
    if invoice is not None and customer.archived:
        # What a cancelled plan still owes: it is billed, and not charged.
        await archiving.stop_collecting(tx, invoice)
    elif invoice is not None:
        await _collect(tx, invoice, kept.state.payment_method_id, secret_key)


async def _collect(tx: Tx, invoice: Invoice, named: PaymentMethodId | None, secret_key: str) -> None:
    by = await collecting.chargeable(tx, invoice.merchant_id, invoice.customer_id, named)
    if by is not None:
        await begin_charge(tx, invoice, by)
    else:
        await collecting.charge_failed(tx, invoice, None, collecting.no_method(tx.now), secret_key)
