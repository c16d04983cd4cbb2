"""The link of an offer: copied, renewed, withdrawn, and what a dead one says."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from chassis.tokens import digest
from contracts.billing import (
    FreshOffer,
    PayLink,
    PayLinkNotUsable,
    RenewSubscriptionLink,
    RequestFreshOffer,
    RevokeSubscriptionLink,
    SendSubscriptionLink,
    Subscription,
    SubscriptionCreated,
    SubscriptionLinkChanged,
    SubscriptionLinkUrl,
)
from contracts.identity import Customer, Member, SignIn
from contracts.message import MailFacts, SubscriptionId
from tests.integration.gateway.browsing import posted, problem, signed_in
from tests.integration.gateway.world import START, World, subscription


def token(customer: Customer, *, newer: bool = False) -> str:
    """What stands in the address of a customer's offer."""
    return f"{'newer' if newer else 'offer'}-{customer.id}"


async def an_offer(world: World, customer: Customer, **link: Any) -> Subscription:
    """A subscription that is, or was, accepted at `at(customer)`."""
    state = PayLink(**({"token_sha256": digest(token(customer))} | link))
    offered = subscription(customer, "pending", trial_days=14, link=state)
    await world.hear(SubscriptionCreated(state=offered))
    return offered


async def test_a_member_copies_renews_and_withdraws_the_link_of_an_offer(
    world: World, customer: Customer, member: Member
) -> None:
    offered = await an_offer(world, customer)
    path = f"/api/v1/subscriptions/{offered.id}/link"
    world.owners.answers[SubscriptionLinkUrl] = lambda _: MailFacts(still_true=True, path="/pay/secret")
    for order in (RenewSubscriptionLink, RevokeSubscriptionLink):
        world.owners.answers[order] = lambda _: offered
    async with world.client(await world.sign_in(member)) as browser:
        copied = await browser.post(path)
        assert (copied.status_code, copied.json()) == (200, {"url": "http://127.0.0.1:8000/pay/secret"})
        ends = "2026-05-01T00:00:00Z"
        assert (await browser.post(f"{path}/renew", json={"expires_at": ends, "send_email": True})).status_code == 200
        assert (await browser.post(f"{path}/revoke")).json()["id"] == str(offered.id)
        world.owners.answers[SubscriptionLinkUrl] = lambda _: PayLinkNotUsable("It was withdrawn.", why="revoked")
        assert problem(await browser.post(path), 410)["why"] == "revoked"
    _, renewed, revoked, _ = [each.request for each in world.owners.asked if not isinstance(each.request, SignIn)]
    assert isinstance(renewed, RenewSubscriptionLink)
    assert renewed.link_expires_at is not None
    assert (renewed.link_expires_at.date(), renewed.send_email) == (date(2026, 5, 1), True)
    assert revoked == RevokeSubscriptionLink(subscription_id=SubscriptionId(offered.id))


@pytest.mark.parametrize(
    ("address", "order", "said"),
    [
        ("send", SendSubscriptionLink, "The mail is on its way."),
        ("renew-link", RenewSubscriptionLink, "the one before no longer works"),
        ("revoke-link", RevokeSubscriptionLink, "Nobody can accept the offer"),
    ],
)
async def test_the_console_page_of_an_offer_has_its_link(
    world: World, customer: Customer, member: Member, address: str, order: Any, said: str
) -> None:
    offered = await an_offer(world, customer)
    world.owners.answers[order] = lambda _: offered
    here = f"/console/subscriptions/{offered.id}"
    async with await signed_in(world, member) as browser:
        assert f'action="{here}/{address}"' in (await browser.get(here)).text
        sent = await posted(browser, here, f"{here}/{address}")
        assert (sent.status_code, sent.headers["location"].split("?")[0]) == (303, here)
        assert said in (await browser.get(sent.headers["location"])).text
    assert world.owners.asked[-1].request.subscription_id == offered.id  # type: ignore[attr-defined]  # of each order


async def test_the_links_address_can_be_selected_without_a_script(
    world: World, customer: Customer, member: Member
) -> None:
    offered = await an_offer(world, customer)
    world.owners.answers[SubscriptionLinkUrl] = lambda _: MailFacts(still_true=True, path="/pay/secret")
    async with await signed_in(world, member) as browser:
        page = (await browser.get(f"/console/subscriptions/{offered.id}/link")).text
    assert 'readonly value="http://127.0.0.1:8000/pay/secret"' in page


@pytest.mark.parametrize(
    ("link", "words", "fresh"),
    [
        ({"revoked": True}, "has been withdrawn, and nothing can be accepted", False),
        ({"expires_at": START}, "The link to this offer has expired.", True),
        ({"renewed_at": START}, "replaced by a newer one", True),
        ({"renewed_at": START, "revoked": True}, "has been withdrawn", False),
    ],
)
async def test_a_dead_link_of_an_offer_says_what_to_do_and_accepts_nothing(
    world: World, customer: Customer, link: dict[str, Any], words: str, fresh: bool
) -> None:
    held = digest(token(customer))
    if "renewed_at" in link:
        link = link | {"token_sha256": digest(token(customer, newer=True)), "earlier_sha256": (held,)}
    offered, at = await an_offer(world, customer, **link), f"/pay/{token(customer)}"
    world.owners.answers[RequestFreshOffer] = lambda _: FreshOffer(subscription_id=SubscriptionId(offered.id))
    async with world.client() as visitor:
        page = await visitor.get(at)
        assert (page.status_code, words in page.text, "help@nordlicht.example" in page.text) == (410, True, True)
        assert ("Mail me a new link" in page.text) is fresh
        assert ">Accept<" not in page.text
        if not fresh:
            return
        assert (await posted(visitor, at)).status_code == 410
        assert world.owners.asked == []
        asked = await posted(visitor, at, f"{at}/fresh-link")
        assert (asked.status_code, asked.headers["location"]) == (303, f"{at}?done=fresh-link")
        assert "Please look into your inbox" in (await visitor.get(asked.headers["location"])).text
        [order] = world.owners.asked
        assert order.request == RequestFreshOffer(subscription_id=SubscriptionId(offered.id), token_sha256=held)


async def test_an_offer_that_gets_a_new_link_is_found_by_both(world: World, customer: Customer) -> None:
    offered = await an_offer(world, customer)
    old, new = token(customer), token(customer, newer=True)
    link = PayLink(token_sha256=digest(new), earlier_sha256=(digest(old),), renewed_at=START)
    await world.hear(SubscriptionLinkChanged(state=offered.model_copy(update={"link": link})))
    async with world.client() as visitor:
        assert ">Accept<" in (await visitor.get(f"/pay/{new}")).text
        assert (await visitor.get(f"/pay/{old}")).status_code == 410
