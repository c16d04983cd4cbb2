"""The webhook door over real HTTP: what it takes, what it stores, and many events at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
import pytest
import stripe as sdk

from services.billing.store import stripe_events
from services.billing.store.stripe_events import NewEvent
from services.billing.webhooks.group_commit import GroupCommit
from tests.fake_stripe import webhook
from tests.integration.billing.shop import SECRET, Shop, fake, post


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"\xff", b"not json", b'{"id": 1, "type": "x", "data": {"object": {}}}'],
)
async def test_the_door_answers_400_to_what_is_no_event_and_stores_nothing(fake_shop: Shop, body: bytes) -> None:
    header = sdk.WebhookSignature.generate_signature_header(body.decode("latin-1"), SECRET)
    async with httpx.AsyncClient() as http:
        answer = await http.post(fake_shop.door, content=body, headers={"stripe-signature": header})
    assert answer.status_code == 400
    assert await fake_shop.stored_events() == []


async def test_the_door_takes_only_what_is_signed_with_our_secret_and_fresh(fake_shop: Shop) -> None:
    event = fake(fake_shop).tell("customer.created", {"id": "cus_1"})
    raw, headers = webhook(event, "whsec_other")
    old_raw, old_headers = webhook(event, SECRET, at=1_700_000_000)
    async with httpx.AsyncClient() as http:
        assert (await http.post(fake_shop.door, content=raw, headers=headers)).status_code == 400
        assert (await http.post(fake_shop.door, content=old_raw, headers=old_headers)).status_code == 400
        assert (await http.post(fake_shop.door, content=raw)).status_code == 400
        assert (await http.get(fake_shop.door)).status_code == 405
    assert await fake_shop.stored_events() == []


async def test_the_door_closes_on_a_body_that_is_too_large(fake_shop: Shop) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.post(fake_shop.door, content=b"x" * 1_000_001)
    assert answer.status_code == 413


async def test_a_refusal_is_a_problem_document(fake_shop: Shop) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.post(fake_shop.door, content=b"{}")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json() == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "This is not a webhook that Stripe signed for us.",
    }


async def test_the_door_knows_one_path(fake_shop: Shop) -> None:
    async with httpx.AsyncClient() as http:
        assert (await http.post(f"{fake_shop.door}/more")).status_code == 404


async def test_what_was_signed_is_kept_as_it_came_except_the_ways_back_and_to_pay(fake_shop: Shop) -> None:
    taken = {"success_url": 'https://x/pay/a"b', "client_secret": "pi_1_secret_2", "url": "https://checkout.test/cs_1"}
    event = fake(fake_shop).tell("customer.created", {"id": "cus_1", "name": "Zoë\u0000 \ud83d\ude00", **taken})
    raw, headers = webhook(event, SECRET)
    async with httpx.AsyncClient() as http:
        assert (await http.post(fake_shop.door, content=raw, headers=headers)).status_code == 200
    kept = await fake_shop.h.db.fetchval("SELECT payload FROM stripe_event")
    expected = raw.decode()
    for each in taken.values():
        expected = expected.replace(json.dumps(each), "null")
    assert kept == expected


# --- many at once -----------------------------------------------------------------------------------------------------


def some_events(shop: Shop, count: int) -> list[dict[str, Any]]:
    for number in range(count):
        fake(shop).tell("customer.created", {"id": f"cus_{number}"})
    events, fake(shop).told = fake(shop).told, []
    return events


async def stored_ids(shop: Shop) -> list[str]:
    return [row["id"] for row in await shop.h.db.fetch("SELECT id FROM stripe_event ORDER BY id")]


@asynccontextmanager
async def holding_up(shop: Shop) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """Nothing can be stored meanwhile. Gives a function that waits for the next PostgreSQL process that tries to."""
    sql = "SELECT pid FROM pg_locks WHERE relation = 'stripe_event'::regclass AND NOT granted"
    seen: set[int] = set()

    async def held() -> int:
        for _ in range(3000):
            pid = await shop.h.db.fetchval(sql)
            if pid is not None and pid not in seen:
                seen.add(pid)
                return int(pid)
            await asyncio.sleep(0.01)
        raise AssertionError("Nobody tries to store anything.")

    async with shop.h.db.pool.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE stripe_event IN EXCLUSIVE MODE")
        yield held


@pytest.fixture
def arriving(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Awaitable[None]]:
    """Waits until so many events have come to the door."""
    keep, arrived = GroupCommit.keep, 0

    async def counted(commits: GroupCommit, event: NewEvent) -> None:
        nonlocal arrived
        arrived += 1
        await keep(commits, event)

    async def wait(count: int) -> None:
        async with asyncio.timeout(30):
            while arrived < count:  # noqa: ASYNC110 - a request in another task sets no event
                await asyncio.sleep(0.01)

    monkeypatch.setattr(GroupCommit, "keep", counted)
    return wait


async def test_events_that_come_during_a_commit_share_the_next_one(
    fake_shop: Shop, arriving: Callable[[int], Awaitable[None]]
) -> None:
    first, *others = some_events(fake_shop, 30)
    async with holding_up(fake_shop) as held:
        posting = [asyncio.create_task(post(fake_shop.door, [first]))]
        await held()
        posting.append(asyncio.create_task(post(fake_shop.door, others)))
        await arriving(30)
        assert [each.done() for each in posting] == [False, False]
    assert await asyncio.gather(*posting) == [[200], [200] * 29]
    assert await stored_ids(fake_shop) == sorted(each["id"] for each in (first, *others))
    # `xmin` is the transaction that wrote a row: the first event's, and one that all the others share.
    assert await fake_shop.h.db.fetchval("SELECT count(DISTINCT xmin::text) FROM stripe_event") == 2


async def test_a_cut_connection_refuses_its_whole_group_with_503_and_stripe_comes_again(
    fake_shop: Shop, arriving: Callable[[int], Awaitable[None]]
) -> None:
    first, *others = some_events(fake_shop, 10)
    async with holding_up(fake_shop) as held:
        posting = [asyncio.create_task(post(fake_shop.door, [first]))]
        pid = await held()
        posting.append(asyncio.create_task(post(fake_shop.door, others)))
        await arriving(10)
        await fake_shop.h.db.execute("SELECT pg_terminate_backend($1)", pid)
        await fake_shop.h.db.execute("SELECT pg_terminate_backend($1)", await held())
        assert await asyncio.gather(*posting) == [[503], [503] * 9]
    assert await stored_ids(fake_shop) == []
    assert await post(fake_shop.door, [first, *others]) == [200] * 10
    assert await stored_ids(fake_shop) == sorted(each["id"] for each in (first, *others))


async def test_two_processes_that_store_the_same_events_in_opposite_order_do_not_stand_in_each_others_way(
    fake_shop: Shop,
) -> None:
    runtime = fake_shop.h.runtime
    doors = [GroupCommit(partial(stripe_events.store, runtime.db)) for _ in range(2)]
    for turn in range(100):
        new = [NewEvent(f"evt_{turn}_{number}", "x", None, "{}", runtime.clock.now()) for number in range(50)]
        orders = (new, new[::-1])
        await asyncio.gather(*(door.keep(each) for door, order in zip(doors, orders, strict=True) for each in order))
    assert len(await stored_ids(fake_shop)) == 5000


async def test_one_event_that_the_database_does_not_take_is_refused_without_its_neighbours(fake_shop: Shop) -> None:
    runtime = fake_shop.h.runtime
    commits = GroupCommit(partial(stripe_events.store, runtime.db))
    new = [NewEvent(f"evt_{number}", "x", None, "{}", runtime.clock.now()) for number in range(5)]
    new[3] = new[3]._replace(payload="\x00")
    told = await asyncio.gather(*map(commits.keep, new), return_exceptions=True)
    assert [type(each).__name__ for each in told] == ["NoneType"] * 3 + ["CharacterNotInRepertoireError", "NoneType"]
    assert await stored_ids(fake_shop) == ["evt_0", "evt_1", "evt_2", "evt_4"]


async def test_news_wakes_the_worker_once_a_group_and_no_news_does_not(fake_shop: Shop) -> None:
    db, now = fake_shop.h.db, fake_shop.clock.now()
    heard: list[object] = []
    async with db.pool.acquire() as listening:
        await listening.add_listener(stripe_events.CHANNEL, lambda *said: heard.append(said))
        news = [NewEvent(f"evt_{number}", "x", None, "{}", now) for number in range(3)]
        await stripe_events.store(db, [each._replace(id=f"done_{each.id}", outcome="foreign") for each in news])
        await stripe_events.store(db, news)
        await stripe_events.store(db, news)
        await listening.fetch("SELECT 1")
        await listening.reset()
    assert len(heard) == 1
    assert [status for _, status, _ in await fake_shop.stored_events()] == ["done"] * 3 + ["waiting"] * 3
