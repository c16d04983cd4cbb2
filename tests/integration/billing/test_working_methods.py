"""Which cards work: those that expire, are declined for good, are renewed; and what is said of it."""

from datetime import timedelta

import pytest

from chassis.ids import new_id
from contracts.billing import BillingMailFacts, RemovePaymentMethod
from contracts.message import MerchantId, NotFound
from services.billing.store import debts, wallets
from tests.integration.billing.shop import Shop
from tests.integration.billing.wallets import Purse, fake_of, id_of


async def test_a_card_is_told_to_expire_once_thirty_days_ahead_and_stops_working_after_its_last_day(
    fake_shop: Shop,
) -> None:
    purse, stripe, now = Purse(fake_shop), fake_of(fake_shop), fake_shop.clock.now()
    month = (now + timedelta(days=70)).date()
    stripe.gives(await purse.session_of(await purse.begins()), "4242", (month.month, month.year))
    await fake_shop.till.deliver()  # type: ignore[attr-defined]  # the fake's
    await fake_shop.work()
    last_day = await fake_shop.h.db.fetchval("SELECT expires_on FROM payment_method")
    await fake_shop.news()
    fake_shop.later(days=(last_day - now.date()).days - 31)
    await purse.is_looked_at()
    assert await fake_shop.news() == []
    fake_shop.later(days=1)
    await purse.is_looked_at()
    await purse.is_looked_at()
    assert await fake_shop.news() == ["payment_method.expiring"]
    fake_shop.later(days=30)
    await purse.is_looked_at()
    assert await fake_shop.news() == []
    fake_shop.later(days=1)
    await purse.is_looked_at()
    await purse.is_looked_at()
    assert await fake_shop.news() == ["payment_method.stopped_working"]
    (card,) = await purse.shown()
    assert (card.working, card.failure) == (False, "expired")
    await purse.changed_at_stripe(card, 12, 2040)
    await fake_shop.work()
    (renewed,) = await purse.shown()
    assert (renewed.working, renewed.failure) == (True, None)


async def test_a_hard_decline_is_remembered_until_the_card_is_renewed_or_charged(fake_shop: Shop) -> None:
    purse = Purse(fake_shop)
    card = await purse.adds()
    await fake_shop.news()
    async with fake_shop.h.transaction(fake_shop.h.runtime.system_cause(fake_shop.merchant_id)) as tx:
        await wallets.stopped_working(tx, fake_shop.merchant_id, id_of(card), "stolen_card")
        await wallets.stopped_working(tx, fake_shop.merchant_id, id_of(card), "stolen_card")
    assert await fake_shop.news() == ["payment_method.stopped_working"]
    await purse.default_at_stripe(card)
    await fake_shop.work()
    assert await purse.summary() == [("4242", True, False)]
    async with fake_shop.h.transaction(fake_shop.h.runtime.system_cause(fake_shop.merchant_id)) as tx:
        await wallets.works_again(tx, fake_shop.merchant_id, id_of(card))
    assert await purse.summary() == [("4242", True, True)]


async def test_debt_that_is_asked_for_again_while_it_is_collected_is_not_forgotten(fake_shop: Shop) -> None:
    await Purse(fake_shop).adds()
    db = fake_shop.h.db
    [debtor] = await debts.debtors(db, fake_shop.clock.now(), 10)
    fake_shop.later(seconds=1)
    async with fake_shop.h.transaction(fake_shop.h.runtime.system_cause(fake_shop.merchant_id)) as tx:
        await debts.collect(tx, fake_shop.merchant_id, debtor["customer_id"])
    await debts.collected(db, debtor, None)
    assert await db.fetchval("SELECT collect_since FROM stripe_customer") == fake_shop.clock.now()


async def test_a_renewed_default_settles_old_debt_as_a_new_one_does(fake_shop: Shop) -> None:
    purse, db = Purse(fake_shop), fake_shop.h.db
    card = await purse.adds()
    asked = "SELECT collect_since FROM stripe_customer"
    assert await db.fetchval(asked) is not None
    await db.execute("UPDATE stripe_customer SET collect_since = NULL")
    async with fake_shop.h.transaction(fake_shop.h.runtime.system_cause(fake_shop.merchant_id)) as tx:
        await wallets.stopped_working(tx, fake_shop.merchant_id, id_of(card), "expired_card")
    assert await db.fetchval(asked) is None
    await purse.changed_at_stripe(card, 12, 2040)
    await fake_shop.work()
    assert await purse.summary() == [("4242", True, True)]
    assert await db.fetchval(asked) is not None


async def test_every_method_can_be_republished(fake_shop: Shop) -> None:
    from services.billing.store.methods import every_payment_method

    purse = Purse(fake_shop)
    card = await purse.adds()
    await fake_shop.order(RemovePaymentMethod(payment_method_id=id_of(card)), purse.payer())
    rows = [(row.state.id, row.state.deleted, row.sequence) async for row in every_payment_method(fake_shop.h.db)]
    assert rows == [(card.id, True, 2)]


async def test_the_notice_is_still_true_while_the_card_is_there_and_not_renewed(fake_shop: Shop) -> None:
    purse, stripe, month = Purse(fake_shop), fake_of(fake_shop), fake_shop.clock.now().date()
    stripe.gives(await purse.session_of(await purse.begins()), "4242", (month.month, month.year))
    await fake_shop.till.deliver()  # type: ignore[attr-defined]  # the fake's
    await fake_shop.work()
    (card,) = await purse.shown()
    question = BillingMailFacts(kind="card_expiring", id=id_of(card))

    async def facts() -> tuple[bool, str | None]:
        answer = await fake_shop.h.ask(question, merchant_id=fake_shop.merchant_id)
        return answer.still_true, answer.why_not

    assert await facts() == (True, None)
    await purse.changed_at_stripe(card, 12, 2040)
    await fake_shop.work()
    assert await facts() == (False, "renewed")
    await fake_shop.order(RemovePaymentMethod(payment_method_id=id_of(card)), purse.payer())
    assert await facts() == (False, "removed")
    with pytest.raises(NotFound):
        await fake_shop.h.ask(question, merchant_id=MerchantId(new_id()))
