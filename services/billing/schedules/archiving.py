"""Customers who were archived or erased: what would be charged to them is ended, and an erased one's cards are taken away."""

import logging

from chassis.service import Runtime
from contracts.message import CustomerId, MerchantId
from services.billing.store import archiving, copies, stripe_customers, wallets
from services.billing.stripe_gateway import StripeError, StripeGateway

log = logging.getLogger("portal.billing.archiving")


async def close_customers(runtime: Runtime, stripe: StripeGateway) -> int:
    """End what is to be ended by now. Returns how many customers were looked at; those that are not done come again."""
    until, count = runtime.clock.now(), 0
    while (found := await archiving.next_to_close(runtime.db, until)) is not None:
        count += 1
        try:
            await _close(runtime, stripe, *found)
        except StripeError as away:
            log.warning("An erased customer's cards are not taken away yet.", extra={"reason": str(away)})
        except Exception:
            # One that cannot be ended must not keep the others waiting: it comes again in a minute.
            log.exception("A customer's charges could not be ended.", extra={"customer": str(found[1])})
    return count


async def _close(runtime: Runtime, stripe: StripeGateway, merchant_id: MerchantId, customer_id: CustomerId) -> None:
    async with runtime.db.transaction(runtime.system_cause(merchant_id)) as tx:
        known = await copies.customer(tx, merchant_id, customer_id)
        done = not archiving.is_closed(known) or await archiving.end_all(tx, merchant_id, customer_id)
        if done and known is not None:
            await archiving.closed(tx, merchant_id, customer_id)
    if done and known is None:
        await _take_cards_away(runtime, stripe, merchant_id, customer_id)


async def _take_cards_away(
    runtime: Runtime, stripe: StripeGateway, merchant_id: MerchantId, customer_id: CustomerId
) -> None:
    for owner in await stripe_customers.owners_of(runtime.db, merchant_id, customer_id):
        for method in (await stripe.wallet(owner.stripe_id, owner.account)).methods:
            await stripe.detach_method(method.stripe_id, owner.account)
        look = await stripe_customers.next_look(runtime.db, owner)
        wallet = await stripe.wallet(owner.stripe_id, owner.account)
        async with runtime.db.transaction(runtime.system_cause(merchant_id)) as tx:
            await wallets.mirror(tx, owner, wallet, look)
    async with runtime.db.transaction(runtime.system_cause(merchant_id)) as tx:
        await archiving.closed(tx, merchant_id, customer_id)
