"""A subscription's own payment method: chosen, refused, charged, taken away."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from chassis.ids import new_id
from contracts.billing import (
    ChooseSubscriptionMethod,
    PaymentMethod,
    PaymentMethodInUse,
    RemovePaymentMethod,
    SetDefaultPaymentMethod,
    Subscription,
    SubscriptionNotChangeable,
)
from contracts.message import InvalidInput, NotAllowed, NotFound, PaymentMethodId, SubscriptionId
from tests.integration.billing.collecting import Calendar, monthly
from tests.integration.billing.shop import Shop


def chooses(made: Subscription, method: PaymentMethod | None) -> ChooseSubscriptionMethod:
    """The command that has it charge this method; None: the default one."""
    return ChooseSubscriptionMethod(
        subscription_id=SubscriptionId(made.id), payment_method_id=PaymentMethodId(method.id) if method else None
    )


async def two_cards(shop: Shop) -> tuple[Calendar, Subscription, PaymentMethod, PaymentMethod]:
    """A subscription that runs since 31 January, its default card 4242, and another card 4444."""
    shop.clock.at = datetime(2027, 1, 31, 12, tzinfo=UTC)
    time = Calendar(shop)
    made = await time.accepted(monthly(shop))
    other = await time.purse.adds("4444")
    (default,) = [each for each in await time.purse.shown() if each.is_default]
    assert (default.last4, other.is_default, other.in_use) == ("4242", False, False)
    await shop.news()
    return time, made, default, other


async def test_a_chosen_card_is_charged_by_renewals_until_the_default_is_chosen_again(shop: Shop) -> None:
    time, made, _, other = await two_cards(shop)
    chosen = await shop.order(chooses(made, other), time.purse.payer())
    assert chosen.payment_method_id == other.id
    assert chosen.next_charge == made.next_charge
    assert await shop.news() == [
        "subscription.payment_method_chosen",
        "payment_method.changed",
        "payment_method.changed",
    ]
    assert [(each.last4, each.in_use) for each in await time.purse.shown()] == [("4242", False), ("4444", True)]
    await time.comes(date(2027, 2, 28))
    assert [each.last4 for each in (await time.last()).receipts] == ["4444"]
    await shop.order(chooses(made, None))
    await time.comes(date(2027, 3, 31))
    assert [each.last4 for each in (await time.last()).receipts] == ["4242"]
    assert await time.taken() == await time.booked() == 3 * 1250


async def test_choosing_what_is_chosen_announces_nothing(fake_shop: Shop) -> None:
    time, made, _, other = await two_cards(fake_shop)
    await fake_shop.order(chooses(made, None))
    assert await fake_shop.news() == []
    await fake_shop.order(chooses(made, other))
    await fake_shop.news()
    await fake_shop.order(chooses(made, other), time.purse.payer("billing"))
    assert await fake_shop.news() == []


async def test_what_the_default_could_not_pay_is_charged_to_the_chosen_card_at_once(shop: Shop) -> None:
    time, made, default, other = await two_cards(shop)
    await time.card_is("insufficient_funds")
    await time.comes(date(2027, 2, 28))
    invoice = await time.last()
    assert await shop.payments_of(invoice) == [(1, "failed")]
    # By name what was the default already: nothing that could be charged anew.
    await shop.order(chooses(made, default), time.purse.payer())
    await time.runs()
    assert await shop.payments_of(invoice) == [(1, "failed")]
    await shop.order(chooses(made, other), time.purse.payer())
    await time.runs()
    assert await shop.payments_of(invoice) == [(1, "failed"), (2, "succeeded")]
    assert (await time.last()).status == "paid"


async def test_choosing_a_card_for_one_subscription_charges_its_debt_alone_and_a_new_default_all_that_it_pays(
    fake_shop: Shop,
) -> None:
    time, made, _, other = await two_cards(fake_shop)
    await time.accepted(monthly(fake_shop))
    await time.card_is("insufficient_funds")
    await time.comes(date(2027, 2, 28))
    debts = {each.subscription_id: each for each in (await time.invoices())[2:]}
    mine = debts.pop(SubscriptionId(made.id))
    [theirs] = debts.values()
    await fake_shop.order(chooses(made, other), time.purse.payer())
    await time.runs()
    assert await fake_shop.payments_of(mine) == [(1, "failed"), (2, "succeeded")]
    assert await fake_shop.payments_of(theirs) == [(1, "failed")]
    assert (await fake_shop.invoice(theirs)).status == "open"
    # Its turn is over: nothing is collected for it again.
    assert await fake_shop.h.db.fetchval("SELECT count(*) FROM subscription WHERE collect_since IS NOT NULL") == 0
    order = SetDefaultPaymentMethod(payment_method_id=PaymentMethodId(other.id))
    await fake_shop.order(order, time.purse.payer())
    await time.runs()
    assert await fake_shop.payments_of(theirs) == [(1, "failed"), (2, "succeeded")]
    assert await time.taken() == await time.booked() == 4 * 1250


async def test_a_card_that_a_subscription_charges_needs_a_replacement_that_is_charged_then(shop: Shop) -> None:
    time, made, default, other = await two_cards(shop)
    await shop.order(chooses(made, other), time.purse.payer())
    remove = RemovePaymentMethod(payment_method_id=PaymentMethodId(other.id))
    with pytest.raises(PaymentMethodInUse) as refused:
        await shop.order(remove, time.purse.payer())
    assert refused.value.members["subscriptions"] == [str(made.id)]
    replaced = remove.model_copy(update={"replacement_id": PaymentMethodId(default.id)})
    await shop.order(replaced, time.purse.payer())
    assert (await time.now(made)).payment_method_id == default.id
    await time.comes(date(2027, 2, 28))
    assert [each.last4 for each in (await time.last()).receipts] == ["4242"]


async def test_a_chosen_card_that_is_taken_away_at_stripe_makes_way_for_the_default(shop: Shop) -> None:
    time, made, _, other = await two_cards(shop)
    await shop.order(chooses(made, other), time.purse.payer())
    await time.purse.detached_at_stripe(other)
    await shop.work()
    assert (await time.now(made)).payment_method_id is None
    await time.comes(date(2027, 2, 28))
    assert [each.last4 for each in (await time.last()).receipts] == ["4242"]


async def test_a_method_that_is_not_theirs_is_gone_or_does_not_work_is_not_chosen(fake_shop: Shop) -> None:
    time, made, _, other = await two_cards(fake_shop)
    stranger = other.model_copy(update={"id": new_id()})
    await time.purse.detached_at_stripe(other)
    await fake_shop.work()
    for gone in (other, stranger):
        with pytest.raises(InvalidInput) as refused:
            await fake_shop.order(chooses(made, gone), time.purse.payer())
        assert [(e.field, e.code) for e in refused.value.errors] == [("payment_method_id", "no-such-method")]
    dead = await time.purse.adds("0341")
    await fake_shop.h.db.execute(
        """UPDATE payment_method SET working = false, state = state || '{"working": false}' WHERE id = $1""", dead.id
    )
    with pytest.raises(InvalidInput) as refused:
        await fake_shop.order(chooses(made, dead), time.purse.payer())
    assert [(e.field, e.code) for e in refused.value.errors] == [("payment_method_id", "method-not-working")]
    assert (await time.now(made)).payment_method_id is None


async def test_another_customers_method_is_as_good_as_none(fake_shop: Shop) -> None:
    time, made, default, other = await two_cards(fake_shop)
    await fake_shop.h.db.execute(
        "UPDATE payment_method SET state = jsonb_set(state, '{customer_id}', to_jsonb($2::uuid)) WHERE id = $1",
        other.id,
        new_id(),
    )
    with pytest.raises(InvalidInput) as refused:
        await fake_shop.order(chooses(made, other))
    assert [each.code for each in refused.value.errors] == ["no-such-method"]
    assert (await time.now(made)).payment_method_id is None
    assert default.in_use


async def test_only_who_looks_after_the_money_chooses_and_only_while_there_is_something_to_charge(
    fake_shop: Shop,
) -> None:
    time, made, _, other = await two_cards(fake_shop)
    for actor in (time.purse.payer("member"), fake_shop.member("sales")):
        with pytest.raises(NotAllowed):
            await fake_shop.order(chooses(made, other), actor)
    with pytest.raises(NotFound):
        await fake_shop.order(chooses(made, other), fake_shop.contact().model_copy(update={"customer_id": new_id()}))
    waiting = await fake_shop.order(monthly(fake_shop))
    with pytest.raises(SubscriptionNotChangeable) as refused:
        await fake_shop.order(chooses(waiting, other))
    assert refused.value.members["why"] == "not-accepted"
    assert (await time.now(made)).payment_method_id is None
