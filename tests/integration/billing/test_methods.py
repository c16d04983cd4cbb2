"""Payment methods added, chosen, updated and removed, over a Stripe in memory and over the sandbox."""

from typing import Any

import pytest

from chassis.ids import new_id
from contracts.billing import (
    AddPaymentMethod,
    PaymentMethod,
    PaymentMethodInUse,
    PaymentsUnavailable,
    RemovePaymentMethod,
    SetDefaultPaymentMethod,
    Subscription,
    UpdatePaymentMethod,
)
from contracts.message import (
    Actor,
    Conflict,
    CustomerId,
    InvalidInput,
    MerchantId,
    NotAllowed,
    NotFound,
    PaymentMethodId,
)
from services.billing.store import wallets
from services.billing.stripe_gateway import StripeUnavailableError, StripeUnknownError
from tests.integration.billing.shop import Shop
from tests.integration.billing.wallets import BACK, Purse, fake_of, id_of


async def subscribe(shop: Shop, method: PaymentMethod | None = None, status: Any = "active") -> str:
    """A subscription as far as payment methods care: it charges the method, or the default."""
    subscription_id = new_id()
    state = Subscription(
        id=subscription_id,
        merchant_id=shop.merchant_id,
        customer_id=CustomerId(shop.customer.id),
        kind="recurring",
        status=status,
        title="Website care",
        currency="EUR",
        lines=(),
        subtotal=1000,
        tax=0,
        total=1000,
        payment_method_id=id_of(method) if method else None,
        created_at=shop.clock.now(),
    )
    await shop.h.db.execute(
        """
        INSERT INTO subscription (id, merchant_id, customer_id, sequence, kind, status, state, standing, payment_method_id,
                                  created_at)
        VALUES ($1, $2, $3, 1, 'recurring', $4, $7, '{}', $5, $6)
        """,
        subscription_id,
        shop.merchant_id,
        shop.customer.id,
        status,
        method.id if method else None,
        shop.clock.now(),
        state.model_dump_json(),
    )
    async with shop.h.transaction(shop.h.runtime.system_cause(shop.merchant_id)) as tx:
        await wallets.note_use(tx, shop.merchant_id, CustomerId(shop.customer.id))
    return str(subscription_id)


# --- adding -----------------------------------------------------------------------------------------------------------


async def test_a_card_given_on_the_hosted_page_is_the_customers_default_and_is_announced_once(shop: Shop) -> None:
    purse = Purse(shop)
    started = await purse.begins()
    assert await purse.setup_statuses() == ["created"]
    await purse.gives(await purse.session_of(started))
    await shop.work()
    assert await purse.summary() == [("4242", True, True)]
    (card,) = await purse.shown()
    assert (card.kind, card.brand, card.exp_month, card.exp_year) == ("card", "visa", 12, 2034)
    assert await purse.setup_statuses() == ["done"]
    assert await shop.news() == ["payment_method.added"]
    assert await purse.stripes_default() == await purse.stripe_id(card)


async def test_pressing_again_resumes_the_same_page_and_another_person_has_their_own(shop: Shop) -> None:
    purse, ada, bob = Purse(shop), Purse(shop).payer(), Purse(shop).payer("billing")
    first, again, other = await purse.begins(ada), await purse.begins(ada), await purse.begins(bob)
    assert again == first
    assert other.setup_url != first.setup_url
    assert await purse.setup_statuses() == ["created", "created"]


async def test_a_page_that_has_ended_makes_way_for_another(shop: Shop) -> None:
    purse, ada = Purse(shop), Purse(shop).payer()
    first = await purse.begins(ada, id="the-first-press")
    await shop.till.expires(await purse.session_of(first)) if not hasattr(shop.till, "stripe") else fake_of(
        shop
    ).expires_page(await purse.session_of(first))
    second = await purse.begins(ada)
    assert second.setup_url != first.setup_url
    assert await purse.setup_statuses() == ["ended", "created"]


async def test_stripe_is_asked_for_one_customer_however_often_its_answer_is_lost(fake_shop: Shop) -> None:
    purse, stripe = Purse(fake_shop), fake_of(fake_shop)
    stripe.lost["create_customer"] = [StripeUnknownError("lost")] * 2
    with pytest.raises(PaymentsUnavailable):
        await purse.begins()
    await purse.begins()
    assert len(stripe.customers) == 1


async def test_a_page_whose_answer_was_lost_is_found_again(fake_shop: Shop) -> None:
    purse, stripe, ada = Purse(fake_shop), fake_of(fake_shop), Purse(fake_shop).payer()
    stripe.lost["open_setup"] = [StripeUnknownError("lost")]
    started = await purse.begins(ada)
    assert len(stripe.pages) == 1
    assert started.setup_url == next(iter(stripe.pages.values()))["url"]


async def test_without_stripe_nothing_is_begun_and_the_press_may_be_repeated(fake_shop: Shop) -> None:
    purse, stripe = Purse(fake_shop), fake_of(fake_shop)
    stripe.fails["create_customer"] = [StripeUnavailableError("away")] * 2
    with pytest.raises(PaymentsUnavailable):
        await purse.begins(id="a-press-of-the-button")
    assert await purse.setup_statuses() == []


async def test_the_same_card_given_twice_is_one_method_with_its_newest_expiry(fake_shop: Shop) -> None:
    purse, stripe = Purse(fake_shop), fake_of(fake_shop)
    first = await purse.adds()
    stripe.gives(await purse.session_of(await purse.begins()), "4242", (1, 2038))
    await fake_shop.till.deliver()  # type: ignore[attr-defined]  # the fake's
    await fake_shop.work()
    (now,) = await purse.shown()
    assert (now.id, now.exp_month, now.exp_year, now.is_default) == (first.id, 1, 2038, True)
    assert await purse.left_at_stripe() == 2
    removed = await fake_shop.order(RemovePaymentMethod(payment_method_id=id_of(now)), purse.payer())
    assert removed.deleted
    assert await purse.left_at_stripe() == 0


async def test_the_same_card_given_twice_is_one_method_at_the_sandbox_too(shop: Shop) -> None:
    purse = Purse(shop)
    await purse.adds()
    await purse.adds()
    assert await purse.summary() == [("4242", True, True)]
    assert await purse.left_at_stripe() == 2


async def test_a_second_card_leaves_the_default_alone_unless_that_no_longer_works(shop: Shop) -> None:
    purse = Purse(shop)
    visa = await purse.adds("4242")
    await purse.adds("4444")
    assert await purse.summary() == [("4242", True, True), ("4444", False, True)]
    async with shop.h.transaction(shop.h.runtime.system_cause(shop.merchant_id)) as tx:
        await wallets.stopped_working(tx, shop.merchant_id, id_of(visa), "stolen_card")
    await purse.adds("3155")
    assert await purse.summary() == [("4242", False, False), ("4444", False, True), ("3155", True, True)]
    assert await purse.stripes_default() == await purse.stripe_id((await purse.shown())[2])


async def test_a_card_that_wants_a_challenge_is_added_after_it(sandbox_shop: Shop) -> None:
    assert (await Purse(sandbox_shop).adds("3155")).working is True


# --- who may ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["owner", "billing"])
async def test_those_who_look_after_the_money_may_add_a_card(fake_shop: Shop, role: str) -> None:
    assert (await Purse(fake_shop).begins(Purse(fake_shop).payer(role))).setup_url


async def test_others_may_not_and_nothing_is_begun(fake_shop: Shop) -> None:
    purse = Purse(fake_shop)
    card = await purse.adds()
    looking = purse.payer().model_copy(update={"read_only": True})
    customer_id = CustomerId(fake_shop.customer.id)
    for actor in (purse.payer("member"), fake_shop.member("sales"), looking, Actor(kind="public", id=new_id())):
        for order in (
            AddPaymentMethod(return_path=BACK, customer_id=customer_id),
            SetDefaultPaymentMethod(payment_method_id=id_of(card)),
            UpdatePaymentMethod(payment_method_id=id_of(card), exp_month=1),
            RemovePaymentMethod(payment_method_id=id_of(card)),
        ):
            with pytest.raises(NotAllowed):
                await fake_shop.order(order, actor)
    assert await purse.summary() == [("4242", True, True)]
    assert len(await purse.setup_statuses()) == 1


async def test_a_member_opens_the_page_for_a_customer(shop: Shop) -> None:
    order = AddPaymentMethod(return_path=BACK, customer_id=CustomerId(shop.customer.id))
    assert (await shop.order(order, shop.member("manager"))).setup_url


async def test_another_customers_or_merchants_method_is_not_there(fake_shop: Shop) -> None:
    purse = Purse(fake_shop)
    card = await purse.adds()
    stranger = purse.payer(customer_id=CustomerId(new_id()))
    elsewhere = Actor(kind="member", id=new_id(), role="admin", merchant_id=MerchantId(new_id()))
    orders = [
        SetDefaultPaymentMethod(payment_method_id=id_of(card)),
        UpdatePaymentMethod(payment_method_id=id_of(card), exp_month=1),
        RemovePaymentMethod(payment_method_id=id_of(card)),
    ]
    for order in orders:
        with pytest.raises(NotFound):
            await fake_shop.order(order, stranger)
        with pytest.raises(NotFound):
            await fake_shop.order(order, elsewhere, merchant_id=elsewhere.merchant_id, known=[])
    with pytest.raises(NotFound):
        await fake_shop.order(AddPaymentMethod(return_path=BACK, customer_id=CustomerId(new_id())), fake_shop.member())
    assert await purse.shown() == [card]


# --- default, update ------------------------------------------------------------------------------------------------------


async def test_another_default_is_one_at_stripe_too(shop: Shop) -> None:
    purse = Purse(shop)
    await purse.adds("4242")
    mastercard = await purse.adds("4444")
    await shop.news()
    now = await shop.order(SetDefaultPaymentMethod(payment_method_id=id_of(mastercard)), purse.payer())
    await shop.work()
    assert now.is_default
    assert await purse.summary() == [("4242", False, True), ("4444", True, True)]
    assert await purse.stripes_default() == await purse.stripe_id(mastercard)
    assert await shop.news() == ["payment_method.changed", "payment_method.made_default"]


async def test_a_method_that_does_not_work_cannot_become_the_default(fake_shop: Shop) -> None:
    purse = Purse(fake_shop)
    await purse.adds("4242")
    dead = await purse.adds("4444")
    async with fake_shop.h.transaction(fake_shop.h.runtime.system_cause(fake_shop.merchant_id)) as tx:
        await wallets.stopped_working(tx, fake_shop.merchant_id, id_of(dead), "stolen_card")
    with pytest.raises(Conflict):
        await fake_shop.order(SetDefaultPaymentMethod(payment_method_id=id_of(dead)), purse.payer())
    assert await purse.summary() == [("4242", True, True), ("4444", False, False)]


async def test_expiry_and_billing_details_are_updated_at_stripe_and_then_here(shop: Shop) -> None:
    purse = Purse(shop)
    card = await purse.adds()
    order = UpdatePaymentMethod(
        payment_method_id=id_of(card), exp_month=3, exp_year=2037, billing_name="Countess", billing_email="ada@x.test",
        billing_country="GB",
    )  # fmt: skip
    now = await shop.order(order, purse.payer("billing"))
    assert (now.exp_month, now.exp_year, now.billing_name, now.billing_email) == (3, 2037, "Countess", "ada@x.test")
    cleared = await shop.order(UpdatePaymentMethod(payment_method_id=id_of(card), billing_name=None), purse.payer())
    assert (cleared.billing_name, cleared.billing_email, cleared.exp_year) == (None, "ada@x.test", 2037)


async def test_an_expiry_that_cannot_be_is_said_of_its_field_and_nothing_changes(shop: Shop) -> None:
    purse = Purse(shop)
    card = await purse.adds()
    for changes, field in (
        ({"exp_year": 2020}, "exp_year"),
        ({"exp_year": 2100}, "exp_year"),
        ({"exp_month": None}, "exp_month"),
    ):
        with pytest.raises(InvalidInput) as refused:
            await shop.order(UpdatePaymentMethod(payment_method_id=id_of(card), **changes), purse.payer())
        assert [each.field for each in refused.value.errors] == [field]
    assert await purse.shown() == [card]


# --- remove -----------------------------------------------------------------------------------------------------------------


async def test_the_last_card_of_a_customer_without_subscriptions_may_go_and_leaves_no_trace_of_whose_it_was(
    shop: Shop,
) -> None:
    purse = Purse(shop)
    card = await purse.adds()
    await shop.news()
    gone = await shop.order(RemovePaymentMethod(payment_method_id=id_of(card)), purse.payer())
    await shop.work()
    assert (gone.deleted, gone.last4, gone.billing_name, gone.is_default) == (True, None, None, False)
    assert await purse.shown() == []
    assert await purse.left_at_stripe() == 0
    assert await shop.news() == ["payment_method.removed"]
    again = await shop.order(RemovePaymentMethod(payment_method_id=id_of(card)), purse.payer())
    assert again == gone


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("status", ["active", "paused"])
async def test_a_card_in_use_stays_until_a_replacement_is_chosen(fake_shop: Shop, named: bool, status: str) -> None:
    purse = Purse(fake_shop)
    card, other = await purse.adds("4242"), await purse.adds("4444")
    subscription = await subscribe(fake_shop, card if named else None, status)
    with pytest.raises(PaymentMethodInUse) as refused:
        await fake_shop.order(RemovePaymentMethod(payment_method_id=id_of(card)), purse.payer())
    assert refused.value.members == {"subscriptions": [subscription]}
    assert await purse.summary() == [("4242", True, True), ("4444", False, True)]
    order = RemovePaymentMethod(payment_method_id=id_of(card), replacement_id=id_of(other))
    assert (await fake_shop.order(order, purse.payer())).deleted
    (left,) = await purse.shown()
    assert (left.last4, left.is_default, left.in_use) == ("4444", True, True)
    assert await purse.stripes_default() == await purse.stripe_id(other)
    charged = await fake_shop.h.db.fetchval("SELECT payment_method_id FROM subscription")
    assert charged == (other.id if named else None)


async def test_a_card_that_no_running_subscription_charges_goes_without_a_replacement(fake_shop: Shop) -> None:
    purse = Purse(fake_shop)
    card, other = await purse.adds("4242"), await purse.adds("4444")
    await subscribe(fake_shop, other)
    await subscribe(fake_shop, card, "cancelled")
    assert (await fake_shop.order(RemovePaymentMethod(payment_method_id=id_of(card)), purse.payer())).deleted
    assert await purse.summary() == [("4444", True, True)]


async def test_a_replacement_is_one_of_theirs_that_works(fake_shop: Shop) -> None:
    purse = Purse(fake_shop)
    card, dead = await purse.adds("4242"), await purse.adds("4444")
    await subscribe(fake_shop)
    async with fake_shop.h.transaction(fake_shop.h.runtime.system_cause(fake_shop.merchant_id)) as tx:
        await wallets.stopped_working(tx, fake_shop.merchant_id, id_of(dead), "lost_card")
    for replacement in (id_of(dead), id_of(card), PaymentMethodId(new_id())):
        order = RemovePaymentMethod(payment_method_id=id_of(card), replacement_id=replacement)
        with pytest.raises(InvalidInput) as refused:
            await fake_shop.order(order, purse.payer())
        assert [each.field for each in refused.value.errors] == ["replacement_id"]
    assert await purse.summary() == [("4242", True, True), ("4444", False, False)]


async def test_stripe_away_at_a_removal_leaves_the_card_and_the_press_may_be_repeated(fake_shop: Shop) -> None:
    purse, stripe = Purse(fake_shop), fake_of(fake_shop)
    card = await purse.adds()
    stripe.fails["detach_method"] = [StripeUnavailableError("away"), StripeUnavailableError("away")]
    order = RemovePaymentMethod(payment_method_id=id_of(card))
    with pytest.raises(PaymentsUnavailable):
        await fake_shop.order(order, purse.payer(), id="the-one-press")
    assert await purse.shown() == [card]
    assert (await fake_shop.order(order, purse.payer())).deleted
