"""What happens to payment methods at Stripe, with and without a webhook, and what is not ours there."""

from datetime import timedelta
from typing import Any

from chassis.ids import new_id
from contracts.billing import RemovePaymentMethod
from services.billing.store import wallets
from tests.integration.billing.shop import Shop
from tests.integration.billing.wallets import Purse, fake_of, id_of


async def test_what_somebody_does_at_stripe_is_mirrored(shop: Shop) -> None:
    purse = Purse(shop)
    visa, mastercard = await purse.adds("4242"), await purse.adds("4444")
    await purse.default_at_stripe(mastercard)
    await shop.work()
    assert await purse.summary() == [("4242", False, True), ("4444", True, True)]
    await purse.changed_at_stripe(visa, 5, 2039)
    await shop.work()
    assert (await purse.shown())[0].exp_year == 2039
    await purse.detached_at_stripe(mastercard)
    await shop.work()
    assert await purse.summary() == [("4242", True, True)]


async def test_a_change_at_stripe_of_which_no_webhook_tells_is_found_within_a_day(shop: Shop) -> None:
    purse = Purse(shop)
    visa = await purse.adds("4242")
    await shop.till.loses_webhooks()
    if hasattr(shop.till, "stripe"):
        fake_of(shop).detaches(await purse.stripe_id(visa))
    else:
        await purse.at_stripe("POST", f"/v1/payment_methods/{await purse.stripe_id(visa)}/detach")
    await purse.is_looked_at()
    assert len(await purse.shown()) == 1
    shop.later(days=1, minutes=1)
    await purse.is_looked_at()
    assert await purse.shown() == []


async def test_an_owner_whose_look_breaks_keeps_nobody_elses_waiting_and_is_looked_at_later(fake_shop: Shop) -> None:
    purse, db = Purse(fake_shop), fake_shop.h.db
    visa = await purse.adds("4242")
    fake_of(fake_shop).detaches(await purse.stripe_id(visa))
    await db.execute(
        """
        INSERT INTO stripe_customer (merchant_id, customer_id, account, stripe_id, looked_at)
        SELECT merchant_id, $1, account, 'cus_broken', NULL FROM stripe_customer
        """,
        new_id(),
    )
    fake_shop.later(days=1, minutes=1)
    await purse.is_looked_at()
    assert await purse.shown() == []
    broken = "SELECT looked_at FROM stripe_customer WHERE stripe_id = 'cus_broken'"
    assert fake_shop.clock.now() - await db.fetchval(broken) == timedelta(hours=23)


async def test_a_card_whose_every_webhook_is_lost_is_found_by_its_page(shop: Shop) -> None:
    purse = Purse(shop)
    started = await purse.begins()
    await shop.till.loses_webhooks()
    session_id = await purse.session_of(started)
    if hasattr(shop.till, "stripe"):
        fake_of(shop).gives(session_id)
    else:
        await shop.till.control(f"/sessions/{session_id}/pay", card="4242424242424242")  # type: ignore[attr-defined]  # the sandbox's
    shop.later(minutes=1)
    await purse.is_looked_at()
    assert await purse.summary() == [("4242", True, True)]
    assert await purse.setup_statuses() == ["done"]


async def test_the_order_and_number_of_webhooks_do_not_matter(fake_shop: Shop) -> None:
    purse, stripe, till = Purse(fake_shop), fake_of(fake_shop), fake_shop.till
    stripe.gives(await purse.session_of(await purse.begins()))
    customer = await purse.customer_id()
    second = stripe.attaches(customer, "4444")
    stripe.makes_default(customer, second)
    stripe.detaches(next(iter(stripe.methods)))
    stripe.told = [*reversed(stripe.told), *stripe.told]
    await till.deliver(times=3)  # type: ignore[attr-defined]  # the fake's
    await fake_shop.work()
    assert await purse.summary() == [("4444", True, True)]
    assert await fake_shop.news() == ["payment_method.added"]


async def test_a_look_that_was_overtaken_by_a_later_one_changes_nothing(fake_shop: Shop) -> None:
    from services.billing.store import stripe_customers

    purse, stripe = Purse(fake_shop), fake_of(fake_shop)
    card = await purse.adds()
    owner = await stripe_customers.owner_by_id(fake_shop.h.db, await purse.customer_id(), None)
    assert owner is not None
    early = await stripe_customers.next_look(fake_shop.h.db, owner)
    seen_early = await stripe.wallet(owner.stripe_id, None)
    await fake_shop.order(RemovePaymentMethod(payment_method_id=id_of(card)), purse.payer())
    async with fake_shop.h.transaction(fake_shop.h.runtime.system_cause(fake_shop.merchant_id)) as tx:
        await wallets.mirror(tx, owner, seen_early, early)
    assert await purse.shown() == []


# --- foreign ------------------------------------------------------------------------------------------------------------------------


def _forged(shop: Shop, kind: str, thing: dict[str, Any], account: str | None = None) -> None:
    fake_of(shop).tell(kind, thing, account)


async def test_news_of_customers_accounts_and_setups_that_are_not_ours_is_foreign(fake_shop: Shop) -> None:
    purse, stripe = Purse(fake_shop), fake_of(fake_shop)
    card = await purse.adds()
    started = await purse.begins()
    setup_id = await fake_shop.h.db.fetchval("SELECT id FROM setup WHERE status = 'created'")
    page = dict(stripe.pages[await purse.session_of(started)])
    await fake_shop.till.deliver()  # type: ignore[attr-defined]  # the fake's
    await fake_shop.work()
    ours = await purse.customer_id()
    _forged(fake_shop, "setup_intent.succeeded", {"id": "seti_x", "customer": "cus_of_somebody_else"})
    _forged(fake_shop, "payment_method.detached", {"id": "pm_of_somebody_else", "customer": None})
    _forged(fake_shop, "customer.updated", {"id": ours}, "acct_of_somebody_else")
    _forged(fake_shop, "checkout.session.completed", page | {"customer": "cus_of_somebody_else"})
    _forged(fake_shop, "checkout.session.completed", page | {"id": "cs_typed_by_hand", "status": "complete"})
    _forged(fake_shop, "checkout.session.completed", page | {"metadata": {"setup_id": "no-id"}})
    before = len(stripe.asked)
    await fake_shop.till.deliver()  # type: ignore[attr-defined]  # the fake's
    await fake_shop.work()
    foreign = [
        outcome for _, _, outcome in await fake_shop.stored_events() if outcome and outcome.startswith("foreign")
    ]
    assert len(foreign) == 6, await fake_shop.stored_events()
    assert stripe.asked[before:] == []
    assert await fake_shop.h.db.fetchval("SELECT status FROM setup WHERE id = $1", setup_id) == "created"
    assert await purse.shown() == [card]
