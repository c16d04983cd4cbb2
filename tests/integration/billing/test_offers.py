"""A subscription's own link: mailed, copied, made anew, withdrawn, asked for; and what was opened through a dead one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chassis.tokens import digest
from contracts.billing import (
    AcceptSubscription,
    BillingMailFacts,
    ChangeDefaults,
    PayLinkNotUsable,
    RenewSubscriptionLink,
    RequestFreshOffer,
    RevokeSubscriptionLink,
    SendSubscriptionLink,
    SetupStarted,
    Subscription,
    SubscriptionLinkUrl,
    SubscriptionNotChangeable,
)
from contracts.message import Actor, InvalidInput, NotAllowed, NotFound, SubscriptionId
from tests.integration.billing.shop import Shop, fake, under_another_key
from tests.integration.billing.test_subscriptions import accepted, monthly, now
from tests.integration.billing.wallets import Purse

PUBLIC = Actor(kind="public")


def order_of(made: Subscription) -> SubscriptionId:
    return SubscriptionId(made.id)


async def offered(shop: Shop, **changes: Any) -> Subscription:
    """A subscription that waits to be accepted through its own link."""
    made: Subscription = await shop.order(monthly(shop, trial_days=14, **changes))
    await shop.news()
    return made


async def token_of(shop: Shop, made: Subscription) -> str:
    """The secret in its public URL, as a member copies it."""
    question = SubscriptionLinkUrl(subscription_id=order_of(made))
    facts = await shop.h.ask(question, actor=shop.member(), merchant_id=shop.merchant_id)
    assert facts.still_true
    return str(facts.path).removeprefix("/pay/")


async def accepts(shop: Shop, made: Subscription, token: str) -> SetupStarted:
    """Press Accept on the page of the link."""
    command = AcceptSubscription(
        subscription_id=order_of(made), link_token_sha256=digest(token), return_path=f"/pay/{token}"
    )
    started: SetupStarted = await shop.order(command, PUBLIC)
    return started


async def test_a_new_link_kills_the_one_before_and_accepts(shop: Shop) -> None:
    made = await offered(shop)
    old = await token_of(shop, made)
    renewed = await shop.order(RenewSubscriptionLink(subscription_id=order_of(made), send_email=True))
    new = await token_of(shop, made)
    assert new != old
    assert (renewed.link.token_sha256, renewed.link.earlier_sha256) == (digest(new), (digest(old),))
    assert renewed.status == "pending"
    assert await shop.news() == ["subscription.link_changed", "subscription.link_email_requested"]
    with pytest.raises(NotFound):
        await accepts(shop, made, old)
    purse = Purse(shop)
    await purse.gives(await purse.session_of(await accepts(shop, made, new)))
    await shop.work()
    assert (await now(shop, made)).status == "active"


async def test_a_withdrawn_link_accepts_nothing_until_it_is_mailed_again(fake_shop: Shop) -> None:
    made = await offered(fake_shop)
    old = await token_of(fake_shop, made)
    revoked = await fake_shop.order(RevokeSubscriptionLink(subscription_id=order_of(made)))
    assert (revoked.status, revoked.link.revoked) == ("pending", True)
    assert await fake_shop.news() == ["subscription.link_changed"]
    await fake_shop.order(RevokeSubscriptionLink(subscription_id=order_of(made)))
    assert await fake_shop.news() == []
    for wrong in (accepts(fake_shop, made, old), token_of(fake_shop, made)):
        with pytest.raises(PayLinkNotUsable) as refused:
            await wrong
        assert refused.value.members["why"] == "revoked"
    sent = await fake_shop.order(SendSubscriptionLink(subscription_id=order_of(made)))
    assert (sent.link.revoked, sent.link.token_sha256) == (False, digest(await token_of(fake_shop, made)))
    assert await fake_shop.news() == ["subscription.link_changed", "subscription.link_email_requested"]


async def test_a_mail_names_the_link_that_works(fake_shop: Shop) -> None:
    made = await offered(fake_shop)
    await fake_shop.order(RenewSubscriptionLink(subscription_id=order_of(made)))
    system = Actor(kind="system", name="notifications")
    question = BillingMailFacts(kind="subscription_link", id=order_of(made))
    facts = await fake_shop.h.ask(question, actor=system, merchant_id=fake_shop.merchant_id)
    assert facts.path == f"/pay/{await token_of(fake_shop, made)}"
    await fake_shop.order(RevokeSubscriptionLink(subscription_id=order_of(made)))
    facts = await fake_shop.h.ask(question, actor=system, merchant_id=fake_shop.merchant_id)
    assert (facts.still_true, facts.why_not, facts.path) == (False, "link", None)


async def test_a_link_of_an_earlier_secret_key_is_not_handed_out_and_mailing_makes_a_new_one(fake_shop: Shop) -> None:
    made = await offered(fake_shop)
    old = await token_of(fake_shop, made)
    system = Actor(kind="system", name="notifications")
    question = BillingMailFacts(kind="subscription_link", id=order_of(made))
    async with under_another_key(fake_shop) as shop:
        with pytest.raises(PayLinkNotUsable) as refused:
            await token_of(shop, made)
        assert refused.value.members["why"] == "outdated"
        facts = await shop.h.ask(question, actor=system, merchant_id=shop.merchant_id)
        assert (facts.still_true, facts.why_not, facts.path) == (False, "link", None)
        assert await now(shop, made) == made
        sent = await shop.order(SendSubscriptionLink(subscription_id=order_of(made)))
        new = await token_of(shop, made)
        assert (sent.link.token_sha256, sent.link.earlier_sha256) == (digest(new), (digest(old),))


async def test_a_link_of_an_earlier_secret_key_stands_in_no_row_and_leads_back_after_a_card_was_given(
    fake_shop: Shop,
) -> None:
    made = await offered(fake_shop)
    old = await token_of(fake_shop, made)
    async with under_another_key(fake_shop) as shop:
        assert (await accepts(shop, made, old)).setup_url
        (page,) = fake(shop).pages.values()
        assert page["request"]["success_url"] == f"https://portal.test/pay/{old}?added=confirming"
        stored = await shop.h.db.fetchval("SELECT request FROM setup WHERE subscription_id = $1", made.id)
        assert old not in stored


@pytest.mark.parametrize("order", [RevokeSubscriptionLink, RenewSubscriptionLink])
async def test_a_card_given_on_a_page_of_a_dead_link_accepts_nothing(shop: Shop, order: Any) -> None:
    made = await offered(shop)
    purse = Purse(shop)
    session = await purse.session_of(await accepts(shop, made, await token_of(shop, made)))
    shop.later(seconds=1)
    await shop.order(order(subscription_id=order_of(made)))
    await purse.gives(session)
    await shop.work()
    assert (await now(shop, made)).status == "pending"
    assert await purse.summary() == [("4242", True, True)]
    # The new link opens a page of its own.
    await shop.order(SendSubscriptionLink(subscription_id=order_of(made)))
    fresh = await purse.session_of(await accepts(shop, made, await token_of(shop, made)))
    assert fresh != session
    await purse.gives(fresh)
    await shop.work()
    assert (await now(shop, made)).status == "active"


async def test_a_new_link_does_not_go_on_with_the_page_of_the_one_before(fake_shop: Shop) -> None:
    made = await offered(fake_shop)
    first = await accepts(fake_shop, made, await token_of(fake_shop, made))
    fake_shop.later(seconds=1)
    await fake_shop.order(RenewSubscriptionLink(subscription_id=order_of(made)))
    token = await token_of(fake_shop, made)
    second = await accepts(fake_shop, made, token)
    assert second.setup_url != first.setup_url
    assert (await accepts(fake_shop, made, token)).setup_url == second.setup_url


async def test_a_new_links_end_is_what_was_said_or_the_merchants_default(fake_shop: Shop) -> None:
    await fake_shop.order(ChangeDefaults(link_days=7))
    made, today = await offered(fake_shop), fake_shop.clock.now()
    usual = await fake_shop.order(RenewSubscriptionLink(subscription_id=order_of(made)))
    assert usual.link.expires_at == today + timedelta(days=7)
    said = await fake_shop.order(RenewSubscriptionLink(subscription_id=order_of(made), link_expires_at=None))
    assert said.link.expires_at is None
    with pytest.raises(InvalidInput) as refused:
        await fake_shop.order(RenewSubscriptionLink(subscription_id=order_of(made), link_expires_at=today))
    assert [each.field for each in refused.value.errors] == ["link_expires_at"]


async def test_whoever_holds_a_dead_link_has_a_fresh_one_mailed_once_an_hour(fake_shop: Shop) -> None:
    made = await offered(fake_shop, link_expires_at=fake_shop.clock.now() + timedelta(days=1))
    old = await token_of(fake_shop, made)
    ask = RequestFreshOffer(subscription_id=order_of(made), token_sha256=digest(old))
    await fake_shop.order(ask, PUBLIC)
    assert await fake_shop.news() == []  # it still works: nothing to send
    fake_shop.later(days=2)
    with pytest.raises(PayLinkNotUsable):
        await accepts(fake_shop, made, old)
    answer = await fake_shop.order(ask, PUBLIC)
    assert answer.model_dump(mode="json") == {"subscription_id": str(made.id)}
    assert await fake_shop.news() == ["subscription.link_changed", "subscription.link_email_requested"]
    fake_shop.later(minutes=59)
    assert await fake_shop.order(ask, PUBLIC) == answer
    assert await fake_shop.news() == []
    with pytest.raises(NotFound):
        await fake_shop.order(ask.model_copy(update={"token_sha256": digest("x")}), PUBLIC)
    await fake_shop.order(RevokeSubscriptionLink(subscription_id=order_of(made)))
    with pytest.raises(PayLinkNotUsable) as refused:
        await fake_shop.order(ask, PUBLIC)
    assert refused.value.members["why"] == "revoked"


async def test_only_those_who_sell_change_or_copy_a_link_and_only_of_an_offer(fake_shop: Shop) -> None:
    made = await offered(fake_shop)
    foreign = fake_shop.contact().model_copy(update={"customer_id": made.id})
    for order in (RenewSubscriptionLink, RevokeSubscriptionLink, SendSubscriptionLink):
        with pytest.raises(NotAllowed):
            await fake_shop.order(order(subscription_id=order_of(made)), fake_shop.contact())
        with pytest.raises(NotFound):
            await fake_shop.order(order(subscription_id=SubscriptionId(fake_shop.customer.id)))
    question = SubscriptionLinkUrl(subscription_id=order_of(made))
    for actor, refusal in ((fake_shop.contact(), NotAllowed), (foreign, NotFound)):
        with pytest.raises(refusal):
            await fake_shop.h.ask(question, actor=actor, merchant_id=fake_shop.merchant_id)
    assert await now(fake_shop, made) == made
    running = await accepted(fake_shop, monthly(fake_shop))
    waiting = await fake_shop.order(monthly(fake_shop))
    for other, why in ((running, "not-pending"), (waiting, "invoice-has-the-link")):
        with pytest.raises(SubscriptionNotChangeable) as refused:
            await fake_shop.order(RenewSubscriptionLink(subscription_id=order_of(other)))
        assert refused.value.members["why"] == why
        with pytest.raises(SubscriptionNotChangeable) as refused:
            await token_of(fake_shop, other)
        assert refused.value.members["why"] == why
        assert (await now(fake_shop, other)).link is None
