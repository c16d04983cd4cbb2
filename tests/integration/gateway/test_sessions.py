"""Sessions: how long they hold, where they work, and how they end."""

from datetime import timedelta

from chassis.ids import new_id
from chassis.tokens import digest
from contracts.identity import ContactJoined, CustomerChanged, MemberAdded
from tests.integration.gateway.world import PASSWORD, World


async def status(world: World, token: str) -> int:
    async with world.client(token) as browser:
        return (await browser.get("/api/v1/session")).status_code


async def test_only_the_tokens_hash_is_stored(world: World) -> None:
    token = await world.sign_in(await world.member(await world.merchant()))
    rows = await world.h.db.fetch("SELECT s::text AS everything, token_sha256 FROM session AS s")
    assert [row["token_sha256"] for row in rows if row["token_sha256"] == digest(token)] == [digest(token)]
    assert all(token not in row["everything"] for row in rows)


async def test_a_contact_is_signed_out_after_thirty_idle_minutes(world: World) -> None:
    token = await world.sign_in(await world.contact(await world.customer(await world.merchant())))
    world.h.clock.advance(timedelta(minutes=29, seconds=59))
    assert await status(world, token) == 200
    world.h.clock.advance(timedelta(minutes=29, seconds=59))
    assert await status(world, token) == 200
    world.h.clock.advance(timedelta(minutes=30))
    assert await status(world, token) == 401


async def test_a_member_may_be_idle_for_hours_but_not_past_twelve(world: World) -> None:
    token = await world.sign_in(await world.member(await world.merchant()))
    world.h.clock.advance(timedelta(hours=11, minutes=59))
    assert await status(world, token) == 200
    world.h.clock.advance(timedelta(minutes=1))
    assert await status(world, token) == 401


async def test_a_busy_contact_is_signed_out_after_twelve_hours(world: World) -> None:
    token = await world.sign_in(await world.contact(await world.customer(await world.merchant())))
    for _ in range(35):
        world.h.clock.advance(timedelta(minutes=20))
        assert await status(world, token) == 200
    world.h.clock.advance(timedelta(minutes=20))
    assert await status(world, token) == 401


async def test_last_seen_is_written_at_most_once_a_minute(world: World) -> None:
    token = await world.sign_in(await world.contact(await world.customer(await world.merchant())))
    seen = "SELECT last_seen_at - created_at FROM session WHERE token_sha256 = $1"
    world.h.clock.advance(timedelta(seconds=59))
    await status(world, token)
    assert await world.h.db.fetchval(seen, digest(token)) == timedelta(0)
    world.h.clock.advance(timedelta(seconds=1))
    await status(world, token)
    assert await world.h.db.fetchval(seen, digest(token)) == timedelta(seconds=60)


async def test_a_removed_members_session_ends_with_the_event(world: World) -> None:
    member = await world.member(await world.merchant())
    other = await world.sign_in(await world.member(await world.merchant()))
    token = await world.sign_in(member)
    gone = member.model_copy(update={"deleted": True, "name": None, "email": None})
    await world.hear(MemberAdded(state=gone))
    assert await world.h.db.fetchval("SELECT count(*) FROM session WHERE person_id = $1", member.person_id) == 0
    assert await status(world, token) == 401
    assert await status(world, other) == 200


async def test_a_disabled_contact_is_shut_out_and_the_customers_others_are_not(world: World) -> None:
    customer = await world.customer(await world.merchant())
    contact, other = await world.contact(customer), await world.contact(customer)
    token, others = await world.sign_in(contact), await world.sign_in(other)
    await world.hear(ContactJoined(state=contact.model_copy(update={"active": False})))
    assert (await status(world, token), await status(world, others)) == (401, 200)


async def test_a_customer_whose_portal_is_disabled_shuts_every_contact_out(world: World) -> None:
    customer = await world.customer(await world.merchant())
    tokens = [await world.sign_in(await world.contact(customer)) for _ in range(2)]
    await world.hear(CustomerChanged(state=customer.model_copy(update={"portal_access": "disabled"})))
    assert [await status(world, token) for token in tokens] == [401, 401]


async def test_an_archived_customer_shuts_every_contact_out_and_is_no_account_of_theirs(world: World) -> None:
    merchant = await world.merchant()
    kept, archived = await world.customer(merchant, "Alpha"), await world.customer(merchant, "Beta")
    person = await world.person("Ada", f"{new_id()}@example.com")
    contact = await world.contact(archived, person)
    token = await world.sign_in(contact)
    await world.contact(kept, person)
    await world.hear(CustomerChanged(state=archived.model_copy(update={"archived": True})))
    assert await status(world, token) == 401
    assert await world.h.db.fetchval("SELECT count(*) FROM session WHERE person_id = $1", person.id) == 0
    assert [account.id for account in await world.accounts(person.id)] == [kept.id]


async def test_news_that_is_older_than_what_is_known_ends_nothing(world: World) -> None:
    customer = await world.customer(await world.merchant())
    contact = await world.contact(customer)
    token = await world.sign_in(contact)
    await world.hear(ContactJoined(state=contact.model_copy(update={"active": False})), sequence=0)
    assert await status(world, token) == 200


async def test_a_person_with_two_accounts_begins_where_they_were_last_and_switches(world: World) -> None:
    merchant = await world.merchant()
    first, second = await world.customer(merchant, "Alpha"), await world.customer(merchant, "Beta")
    person = await world.person("Ada", f"{new_id()}@example.com")
    contact = await world.contact(first, person)
    await world.contact(second, person)
    token = await world.sign_in(contact)
    async with world.client(token) as browser:
        assert (await browser.get("/api/v1/session")).json()["account"]["id"] == str(first.id)
        assert (await browser.get(f"/api/v1/customers/{second.id}")).status_code == 404
        switched = await browser.put("/api/v1/session/account", json={"id": str(second.id)})
        assert (switched.status_code, switched.json()["name"]) == (200, "Beta")
        assert (await browser.get(f"/api/v1/customers/{second.id}")).status_code == 200
        assert (await browser.get(f"/api/v1/customers/{first.id}")).status_code == 404
        other = await world.customer(merchant, "Gamma")
        refused = await browser.put("/api/v1/session/account", json={"id": str(other.id)})
        assert refused.status_code == 404
        assert (await browser.get("/api/v1/session")).json()["account"]["id"] == str(second.id)
    async with world.client(await world.sign_in(contact)) as browser:
        assert (await browser.get("/api/v1/session")).json()["account"]["id"] == str(second.id)


async def test_losing_the_current_account_leaves_the_other_one_usable(world: World) -> None:
    merchant = await world.merchant()
    person = await world.person("Ada", f"{new_id()}@example.com")
    contact = await world.contact(await world.customer(merchant, "Alpha"), person)
    await world.contact(await world.customer(merchant, "Beta"), person)
    token = await world.sign_in(contact)
    # Not yet told by an event of its own: the copies alone decide.
    await world.h.db.execute(
        """UPDATE copy_contact SET state = state || '{"active": false}' WHERE id = $1""", contact.id
    )
    async with world.client(token) as browser:
        me = (await browser.get("/api/v1/session")).json()
        assert me["account"] is None
        assert [each["name"] for each in me["accounts"]] == ["Beta"]
        refused = await browser.get("/api/v1/invoices")
        assert (refused.status_code, refused.json()["detail"]) == (403, "You have no access to any account any more.")


async def test_signing_out_ends_the_session_and_no_other(world: World) -> None:
    member = await world.member(await world.merchant())
    token, other = await world.sign_in(member), await world.sign_in(member)
    async with world.client(token) as browser:
        assert (await browser.delete("/api/v1/session")).status_code == 204
    assert (await status(world, token), await status(world, other)) == (401, 200)


async def test_a_wrong_password_and_an_unknown_address_are_answered_alike(world: World) -> None:
    member = await world.member(await world.merchant())
    await world.sign_in(member)
    async with world.client() as browser:
        answers = [
            await browser.post("/api/v1/session", json={"email": email, "password": "something else"})
            for email in (member.email, "nobody@example.com")
        ]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].content == answers[1].content


async def test_dead_sessions_are_forgotten_and_living_ones_kept(world: World) -> None:
    merchant = await world.merchant()
    contact = await world.sign_in(await world.contact(await world.customer(merchant)))
    member = await world.sign_in(await world.member(merchant))
    world.h.clock.advance(timedelta(minutes=31))
    await world.h.runtime.wiring.schedules[0].run(world.h.runtime)
    left = {row["token_sha256"] for row in await world.h.db.fetch("SELECT token_sha256 FROM session")}
    assert digest(member) in left
    assert digest(contact) not in left


async def test_the_password_never_reaches_the_database(world: World) -> None:
    await world.sign_in(await world.member(await world.merchant()))
    tables = await world.h.db.fetch("SELECT relname FROM pg_stat_user_tables")
    for table in tables:
        found = await world.h.db.fetch(f'SELECT t::text AS line FROM "{table["relname"]}" AS t')
        assert [row for row in found if PASSWORD in row["line"]] == []
