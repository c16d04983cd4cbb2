"""What time brings about for payment methods: looks at what no webhook told of, pages that ended, last days, left accounts."""

import asyncio
import logging
from datetime import date, timedelta
from uuid import UUID

from chassis.service import Runtime
from services.billing.domain.methods import EXPIRING, Wallet
from services.billing.schedules.one_of_many import one_of_many
from services.billing.store import agreements, methods, setups, stripe_customers, wallets
from services.billing.store.setups import Setup
from services.billing.store.stripe_customers import Owner
from services.billing.stripe_gateway import (
    SetupPage,
    StripeClosedError,
    StripeGateway,
    StripeRefusedError,
    StripeUnavailableError,
)

log = logging.getLogger("portal.billing.schedules")

_LET_BE = timedelta(seconds=30)
"""A younger setup is still in the hands of its command."""
_GIVE_UP_LOOKING = timedelta(minutes=10)
"""A page that Stripe does not list so long after it was asked for was never made."""
_LOOK_EVERY = timedelta(days=1)
"""A change at Stripe of which every webhook was lost is found so late at the latest."""
_AFTER_TROUBLE = timedelta(hours=1)
_PAGE = 100
_PAGE_TAKES = timedelta(seconds=10)
"""At least: a look is two requests, and Stripe takes 25 a second in test mode, 100 of an account that is live."""
_LOOKING = timedelta(minutes=4)
"""One run of every five minutes at most: some 690,000 wallets a day, if Stripe answers so fast."""
_MOST_AT_ONCE = 1000


async def look_at_methods(runtime: Runtime, *, stripe: StripeGateway) -> None:
    """Find payment methods that no webhook told of, and pages to add one that have ended; act on cards' last days.

    And on the cards of merchants that have changed their account.
    """
    for merchant_id, method_id in await methods.to_act_on(runtime.db, *_days(runtime), _MOST_AT_ONCE):
        with one_of_many("card", merchant=str(merchant_id), payment_method=str(method_id)):
            async with runtime.db.transaction(runtime.system_cause(merchant_id)) as tx:
                await wallets.act_on_expiry(tx, merchant_id, method_id)
    for merchant_id, method_id in await methods.at_another_account(runtime.db, _MOST_AT_ONCE):
        with one_of_many("card", merchant=str(merchant_id), payment_method=str(method_id)):
            async with runtime.db.transaction(runtime.system_cause(merchant_id)) as tx:
                await wallets.follow_account(tx, merchant_id, method_id)
    try:
        await _ask_about_setups(runtime, stripe)
        await _look_at_due(runtime, stripe)
    except StripeUnavailableError as away:
        log.warning("Stripe cannot be asked about methods now; the next look will.", extra={"reason": str(away)})


def _days(runtime: Runtime) -> tuple[date, date]:
    today = runtime.clock.now().date()
    return today, today + EXPIRING


async def _ask_about_setups(runtime: Runtime, stripe: StripeGateway) -> None:
    after: UUID | None = None
    while True:
        page = await setups.not_ended(runtime.db, runtime.clock.now() - _LET_BE, after, _PAGE)
        for setup in page.found:
            with one_of_many("setup", setup=str(setup.id), customer=str(setup.customer_id)):
                await _ask_about_setup(runtime, stripe, setup)
        if page.after is None:
            return
        after = page.after


async def _ask_about_setup(runtime: Runtime, stripe: StripeGateway, setup: Setup) -> None:
    age = runtime.clock.now() - setup.created_at
    try:
        if setup.session_id is not None:
            page: SetupPage | None = await stripe.setup_page(setup.session_id, setup.account)
        else:
            page = await stripe.find_setup(str(setup.request["customer"]), setup.id, setup.account)
    except StripeRefusedError:
        log.exception("Stripe does not know a setup.", extra={"setup": str(setup.id)})
        page, age = None, _GIVE_UP_LOOKING
    if page is None and age < _GIVE_UP_LOOKING:
        return
    if page is not None and page.status == "open":
        return
    complete = page is not None and page.status == "complete"
    async with runtime.db.transaction(runtime.system_cause(setup.merchant_id)) as tx:
        await agreements.setup_ended(tx, setup, "done" if complete else "ended", page.method if page else None)
        if complete:
            await stripe_customers.ask_for_look(tx, setup.merchant_id, setup.customer_id, setup.account)


async def _look_at_due(runtime: Runtime, stripe: StripeGateway) -> None:
    """Look at every wallet that is due, a page after the other; what is not reached in time comes first in the next run."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _LOOKING.total_seconds()
    while True:
        began = loop.time()
        due = await stripe_customers.to_look_at(runtime.db, runtime.clock.now() - _LOOK_EVERY, _PAGE)
        for owner, is_left in due:
            if is_left:
                # Not asked about, and out of the way of the others for a day.
                await stripe_customers.look_later(runtime.db, owner, runtime.clock.now())
            else:
                await _look_at_one(runtime, stripe, owner)
        if len(due) < _PAGE:
            return
        rest = began + _PAGE_TAKES.total_seconds() - loop.time()
        if loop.time() + max(rest, 0) >= until:
            log.info("More wallets are due than one run looks at; the next one goes on.")
            return
        await asyncio.sleep(max(rest, 0))


async def _look_at_one(runtime: Runtime, stripe: StripeGateway, owner: Owner) -> None:
    with one_of_many("wallet", merchant=str(owner.merchant_id), customer=str(owner.customer_id)) as turn:
        await _look_at(runtime, stripe, owner)
    if turn.failed:
        # It must not stay the first for ever and keep the others waiting.
        await stripe_customers.look_later(runtime.db, owner, runtime.clock.now() - _LOOK_EVERY + _AFTER_TROUBLE)


async def _look_at(runtime: Runtime, stripe: StripeGateway, owner: Owner) -> None:
    look = await stripe_customers.next_look(runtime.db, owner)
    wallet: Wallet | None = None
    try:
        wallet = await stripe.wallet(owner.stripe_id, owner.account)
    except (StripeRefusedError, StripeClosedError):
        # Not taken for an empty wallet: another key or account would take everybody's cards away.
        log.exception("Stripe does not know a customer.", extra={"customer": str(owner.customer_id)})
    async with runtime.db.transaction(runtime.system_cause(owner.merchant_id)) as tx:
        if wallet is None:
            await stripe_customers.keep_look(tx, owner, look)
            return
        default = await wallets.mirror(tx, owner, wallet, look)
    if default is not None and default != wallet.default:
        await stripe.set_default(owner.stripe_id, default, owner.account)
