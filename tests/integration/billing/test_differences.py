"""What our books and Stripe's do not agree on is kept until it is explained, and one merchant has one result."""

from __future__ import annotations

from datetime import datetime

import pytest

from contracts.billing import Difference, NotCompared, Reconciliation
from services.billing import schedules
from services.billing.store import accounts, stripe_events
from services.billing.stripe_gateway import (
    StripeBusyError,
    StripeClosedError,
    StripeGateway,
    StripeKeyError,
    StripeUnavailableError,
    StripeUnknownError,
)
from tests.fake_stripe import charge_object, intent_object
from tests.integration.billing.returns import intent_of, paid, refund
from tests.integration.billing.shop import Shop, fake
from tests.integration.billing.test_accounts import another, reconcile, result_of


async def known(shop: Shop) -> Reconciliation:
    found = await result_of(shop)
    assert found is not None
    return found


async def connect(shop: Shop, account: str | None) -> None:
    async with shop.h.transaction(shop.h.runtime.system_cause(shop.merchant_id)) as tx:
        assert await accounts.connect(tx, shop.merchant_id, account)


async def odd_money(shop: Shop, intent_id: str = "pi_odd") -> None:
    """Stripe has money for one of our attempts, and it is not what we asked for."""
    started = await shop.pay(await shop.link(), shop.contact())
    stripe = fake(shop)
    session = await shop.session_of(started)
    metadata = dict(stripe.sessions[session]["metadata"])
    charge = charge_object("ch_odd", intent_id, metadata, "visa", "4242")
    stripe.intents[intent_id] = intent_object(intent_id, metadata, 999, "eur", status="succeeded")
    stripe.intents[intent_id]["latest_charge"] = charge
    stripe.owners[intent_id] = stripe.owners[session]


async def find(shop: Shop) -> list[Difference]:
    """Twice: what is told to our books in vain is a difference from the second time on."""
    await reconcile(shop)
    await reconcile(shop)
    return list((await known(shop)).differences)


# --- one result per merchant ------------------------------------------------------------------------------------------


async def test_money_at_two_accounts_is_one_result(shop: Shop) -> None:
    await paid(shop)
    await connect(shop, "acct_later")
    invoice, _ = await paid(shop)
    await refund(shop, invoice, amount=100)
    await shop.work()
    await reconcile(shop)
    result = await known(shop)
    assert (result.compared, result.found, result.differences, result.not_compared) == (3, 0, (), ())
    assert [each for each in await shop.news() if each == "reconciliation.finished"] == ["reconciliation.finished"]


async def test_a_difference_at_the_account_that_was_left_is_in_the_result(fake_shop: Shop) -> None:
    await odd_money(fake_shop)
    await connect(fake_shop, "acct_later")
    await paid(fake_shop)
    [stands] = await find(fake_shop)
    assert (stands.stripe_id, stands.code, stands.amount) == ("pi_odd", "not_in_our_books", 999)


async def test_an_account_that_does_not_answer_is_named_beside_what_was_compared(fake_shop: Shop) -> None:
    await paid(fake_shop)
    await connect(fake_shop, "acct_later")
    await paid(fake_shop)
    await reconcile(fake_shop)
    assert (await known(fake_shop)).compared == 2
    fake_shop.later(hours=1)
    # The platform's own account comes first.
    fake(fake_shop).fails["intents_since"] = [StripeClosedError("closed")]
    await reconcile(fake_shop)
    assert ((await known(fake_shop)).compared, (await known(fake_shop)).not_compared) == (1, ("platform",))
    await reconcile(fake_shop)
    assert ((await known(fake_shop)).compared, (await known(fake_shop)).not_compared) == (2, ())


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (StripeClosedError("closed"), "account_closed"),
        (StripeKeyError("no such key"), "key_refused"),
        (StripeBusyError("slow down"), "rate_limited"),
        (StripeUnavailableError("no connection"), "no_answer"),
        (StripeUnknownError("a time-out"), "no_answer"),
        (KeyError("an object as nobody has seen it"), "failed"),
    ],
)
async def test_why_an_account_was_not_compared_is_kept_and_told(fake_shop: Shop, error: Exception, why: str) -> None:
    await paid(fake_shop)
    await connect(fake_shop, "acct_later")
    await paid(fake_shop)
    await reconcile(fake_shop)
    fake(fake_shop).fails["intents_since"] = [error]
    await reconcile(fake_shop)
    assert (await known(fake_shop)).why_not_compared == (NotCompared(account="platform", why=why),)
    await reconcile(fake_shop)
    assert (await known(fake_shop)).why_not_compared == ()


async def test_where_nothing_can_be_compared_the_last_result_says_why_once_it_is_old(fake_shop: Shop) -> None:
    await paid(fake_shop)
    await reconcile(fake_shop)
    before = await known(fake_shop)
    await fake_shop.news()
    for hours, told in ((2, []), (2, ["reconciliation.finished"]), (2, [])):
        fake_shop.later(hours=hours)
        fake(fake_shop).fails["intents_since"] = [StripeClosedError("closed")]
        await reconcile(fake_shop)
        assert await fake_shop.news() == told
    now = await known(fake_shop)
    why = (NotCompared(account="platform", why="account_closed"),)
    assert now == before.model_copy(update={"not_compared": ("platform",), "why_not_compared": why})
    await reconcile(fake_shop)
    after = await known(fake_shop)
    assert (after.finished_at, after.why_not_compared) == (fake_shop.clock.now(), ())


async def test_a_key_that_stripe_does_not_take_is_told_apart_from_a_closed_account(sandbox_shop: Shop) -> None:
    await paid(sandbox_shop)
    await reconcile(sandbox_shop)
    sandbox_shop.later(hours=4)
    url = sandbox_shop.till.url  # type: ignore[attr-defined]  # the sandbox's
    async with StripeGateway("sk_test_another", url) as stranger:
        await schedules.reconcile(sandbox_shop.h.runtime, stripe=stranger)
    assert (await known(sandbox_shop)).why_not_compared == (NotCompared(account="platform", why="key_refused"),)


# --- a difference stands until it is explained ------------------------------------------------------------------------


async def test_the_walk_passes_a_difference_by_and_only_its_object_is_asked_about_again(fake_shop: Shop) -> None:
    await odd_money(fake_shop)
    await find(fake_shop)
    fake_shop.later(hours=3)
    invoice, payment_id = await paid(fake_shop)
    stripe = fake(fake_shop)
    newest = int(fake_shop.clock.now().timestamp())
    stripe.intents[await intent_of(fake_shop, payment_id)]["created"] = newest
    await reconcile(fake_shop)
    cursor = await stripe_events.cursor(fake_shop.h.db, None)
    assert cursor is not None
    assert cursor.created == newest
    stripe.asked.clear()
    fake_shop.later(minutes=5)
    await reconcile(fake_shop)
    assert stripe.asked.count("intent") == 1
    assert (await known(fake_shop)).compared == 2, "The late payment, and the one that differs."
    assert invoice.status == "paid"


async def test_a_difference_is_not_forgotten_with_the_window_and_says_since_when_it_stands(fake_shop: Shop) -> None:
    began = fake_shop.clock.now()
    await odd_money(fake_shop)
    for days in (0, 29, 29, 60):
        fake_shop.later(days=days)
        [stands] = await find(fake_shop)
        assert (stands.stripe_id, stands.since, stands.resolved_at) == ("pi_odd", began, None)
        assert stands.asked_at == fake_shop.clock.now()
        assert "WrongAmount" in stands.note


async def test_a_difference_that_our_books_explain_is_resolved_with_its_date(fake_shop: Shop) -> None:
    await odd_money(fake_shop)
    [stands] = await find(fake_shop)
    fake_shop.later(days=40)
    await fake_shop.h.db.execute("UPDATE payment SET amount = 999")
    [stuck] = await stripe_events.list_stuck(fake_shop.h.db)
    assert await stripe_events.redrive_stuck(fake_shop.h.db, fake_shop.clock.now(), stuck["id"])
    await fake_shop.work()
    await reconcile(fake_shop)
    result = await known(fake_shop)
    assert result.differences == ()
    [gone] = result.resolved
    assert (gone.stripe_id, gone.since, gone.resolved_at) == ("pi_odd", stands.since, fake_shop.clock.now())
    fake(fake_shop).asked.clear()
    fake_shop.later(days=31)
    await reconcile(fake_shop)
    assert fake(fake_shop).asked.count("intent") == 0
    assert ((await known(fake_shop)).differences, (await known(fake_shop)).resolved) == ((), ())


async def test_money_that_was_given_back_on_stripes_pages_is_explained_by_stripe(fake_shop: Shop) -> None:
    await odd_money(fake_shop)
    await find(fake_shop)
    for refunded, standing in ((False, ["pi_odd"]), (True, []), (True, [])):
        fake(fake_shop).intents["pi_odd"]["latest_charge"]["refunded"] = refunded
        fake_shop.later(hours=2)
        await reconcile(fake_shop)
        assert [each.stripe_id for each in (await known(fake_shop)).differences] == standing
    assert [each.stripe_id for each in (await known(fake_shop)).resolved] == ["pi_odd"]


async def test_a_stuck_event_that_a_person_discards_explains_nothing(fake_shop: Shop) -> None:
    await odd_money(fake_shop)
    await find(fake_shop)
    [stuck] = await stripe_events.list_stuck(fake_shop.h.db)
    assert await stripe_events.discard_stuck(fake_shop.h.db, stuck["id"])
    assert [each.stripe_id for each in await find(fake_shop)] == ["pi_odd"]
    fake_shop.later(days=40)
    await fake_shop.h.db.execute("DELETE FROM stripe_event")
    assert [each.stripe_id for each in await find(fake_shop)] == ["pi_odd"]


async def test_what_stripe_has_again_is_resolved(fake_shop: Shop) -> None:
    _, payment_id = await paid(fake_shop)
    intent_id = await intent_of(fake_shop, payment_id)
    fake(fake_shop).owners[intent_id] = "elsewhere"
    await reconcile(fake_shop)
    [stands] = (await known(fake_shop)).differences
    assert (stands.code, stands.stripe_id) == ("not_at_stripe", intent_id)
    fake_shop.later(days=33)
    await reconcile(fake_shop)
    assert [each.stripe_id for each in (await known(fake_shop)).differences] == [intent_id]
    fake(fake_shop).owners[intent_id] = None
    fake_shop.later(minutes=5)
    await reconcile(fake_shop)
    assert [each.stripe_id for each in (await known(fake_shop)).resolved] == [intent_id]
    assert (await known(fake_shop)).differences == ()


async def test_a_refund_booked_with_another_amount_stands_until_it_is_mended_over_both_stripes(shop: Shop) -> None:
    invoice, _ = await paid(shop)
    made = await refund(shop, invoice, amount=250)
    await shop.work()
    set_amount = "UPDATE refund SET state = jsonb_set(state, '{amount}', to_jsonb($2::int)) WHERE id = $1"
    await shop.h.db.execute(set_amount, made.id, 240)
    await reconcile(shop)
    [stands] = (await known(shop)).differences
    assert (stands.code, stands.what, stands.amount) == ("not_as_booked", "refund", 250)
    await reconcile(shop)
    assert [each.since for each in (await known(shop)).differences] == [stands.since]
    await shop.h.db.execute(set_amount, made.id, 250)
    shop.later(minutes=5)
    await reconcile(shop)
    result = await known(shop)
    assert (result.differences, [each.stripe_id for each in result.resolved]) == ((), [stands.stripe_id])


async def test_more_differences_than_a_result_lists_are_counted(fake_shop: Shop) -> None:
    await paid(fake_shop)
    await reconcile(fake_shop)
    sql = """
        INSERT INTO difference (account, what, stripe_id, merchant_id, state, since, asked_at)
        SELECT 'acct_gone', 'payment', 'pi_' || n, $1, $2, $3, $3 FROM generate_series(1, 60) AS n
    """
    state = Difference(code="not_at_stripe", what="payment", stripe_id="pi_1", amount=1, currency="EUR")
    long_ago: datetime = fake_shop.clock.now()
    await fake_shop.h.db.execute(sql, fake_shop.merchant_id, state.model_dump_json(), long_ago)
    await reconcile(fake_shop)
    result = await known(fake_shop)
    assert (len(result.differences), result.more_differences) == (30, 30)
    assert len(result.model_dump_json()) < 20_000


async def test_another_merchants_difference_is_not_ours(fake_shop: Shop) -> None:
    alpha = await another(fake_shop, "Alpha", "acct_alpha")
    await odd_money(alpha)
    await paid(fake_shop)
    await find(fake_shop)
    assert (await known(fake_shop)).differences == ()
    assert [each.stripe_id for each in (await known(alpha)).differences] == ["pi_odd"]
