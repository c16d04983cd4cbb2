import asyncio
import logging
import threading
from datetime import timedelta

import pytest

from chassis.testing import harness
from contracts.identity import AcceptInvitation, SignIn, UpdateCustomer, WrongCredentials
from contracts.message import CustomerId, NotAccepted, TooManyAttempts
from services.identity import app
from services.identity.security import MOST_IN_LINE, Passwords
from tests.integration.identity.office import PASSWORD, PUBLIC, Office, nothing_kept, token_of

ADMIN = "admin@nordlicht.example"


async def fail(office: Office, times: int, *, email: str = ADMIN, address: str = "") -> None:
    for _ in range(times):
        with pytest.raises(WrongCredentials):
            await office.h.ask(SignIn(email=email, password="wrong", address=address))


async def test_a_wrong_password_and_an_unknown_address_are_answered_alike(office: Office) -> None:
    answers = []
    for email in (ADMIN, "nobody@nordlicht.example", "nul\x00@nordlicht.example"):
        with pytest.raises(WrongCredentials) as refused:
            await office.h.ask(SignIn(email=email, password="wrong"))
        answers.append(refused.value.document())
    assert answers[0] == answers[1] == answers[2]


async def test_a_wrong_password_and_an_unknown_address_cost_the_same_statements_and_hashes(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[bool] = []
    real = Passwords._fits

    def counting(self: Passwords, password: str, stored: str) -> bool:
        checked.append(stored.startswith("$argon2id$"))
        return real(self, password, stored)

    monkeypatch.setattr(Passwords, "_fits", counting)
    await fail(office, 1)
    await fail(office, 1, email="nobody@nordlicht.example")
    assert checked == [True, True]


async def test_the_eleventh_attempt_within_a_quarter_of_an_hour_is_not_looked_at(office: Office) -> None:
    await fail(office, 10)
    office.h.clock.advance(timedelta(minutes=5))
    with pytest.raises(TooManyAttempts) as refused:
        await office.h.ask(SignIn(email=ADMIN.upper(), password=PASSWORD))
    assert refused.value.members == {"retry_after": 600}
    office.h.clock.advance(timedelta(minutes=10))
    assert (await office.h.ask(SignIn(email=ADMIN, password=PASSWORD))).email == ADMIN


async def test_an_unknown_address_is_limited_like_a_known_one(office: Office) -> None:
    await fail(office, 10, email="nobody@nordlicht.example")
    with pytest.raises(TooManyAttempts):
        await office.h.ask(SignIn(email="nobody@nordlicht.example", password="wrong"))


async def test_the_limit_survives_a_restart(office: Office) -> None:
    await fail(office, 10)
    async with harness(app.build, clock=office.h.clock) as restarted:
        with pytest.raises(TooManyAttempts):
            await restarted.ask(SignIn(email=ADMIN, password=PASSWORD))


async def test_a_hundred_attempts_at_once_are_ten(office: Office) -> None:
    asked = (office.h.ask(SignIn(email=ADMIN, password="wrong")) for _ in range(100))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in answers].count(WrongCredentials) == 10
    assert [type(each) for each in answers].count(TooManyAttempts) == 90


async def test_who_comes_when_the_line_is_full_is_told_so_at_once_and_nothing_is_counted(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, line = threading.Event(), list[Passwords]()
    real = Passwords._fits

    def slow(self: Passwords, password: str, stored: str) -> bool:
        line.append(self)
        held.wait(60)
        return real(self, password, stored)

    monkeypatch.setattr(Passwords, "_fits", slow)
    emails = [f"guess{number}@nordlicht.example" for number in range(MOST_IN_LINE)]
    waiting = [asyncio.create_task(office.h.ask(SignIn(email=email, password="wrong"))) for email in emails]
    counted = "SELECT count(*) FROM attempt"
    try:
        async with asyncio.timeout(30):
            while not line or line[0]._in_line < MOST_IN_LINE:  # noqa: ASYNC110 - a place in the line sets no event
                await asyncio.sleep(0.01)
        with pytest.raises(NotAccepted) as refused:
            await office.h.ask(SignIn(email=ADMIN, password=PASSWORD))
        assert refused.value.members == {"retry_after": 3}
        assert await office.h.db.fetchval(counted) == MOST_IN_LINE
    finally:
        held.set()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in answers] == [WrongCredentials] * MOST_IN_LINE
    assert (await office.h.ask(SignIn(email=ADMIN, password=PASSWORD))).email == ADMIN


async def test_a_network_address_may_fail_fifty_times_over_all_accounts(office: Office) -> None:
    for number in range(50):
        await fail(office, 1, email=f"guess{number}@nordlicht.example", address="192.0.2.7")
    with pytest.raises(TooManyAttempts):
        await office.h.ask(SignIn(email=ADMIN, password=PASSWORD, address="192.0.2.7"))
    assert (await office.h.ask(SignIn(email=ADMIN, password=PASSWORD, address="192.0.2.8"))).email == ADMIN


async def test_the_right_password_clears_the_account_but_not_what_the_address_did_elsewhere(office: Office) -> None:
    await fail(office, 3, email="nobody@nordlicht.example", address="192.0.2.7")
    await fail(office, 9, address="192.0.2.7")
    await office.h.ask(SignIn(email=ADMIN, password=PASSWORD, address="192.0.2.7"))
    await fail(office, 10, address="192.0.2.8")
    assert sorted(
        row["count"] for row in await office.h.db.fetch("SELECT count(*) FROM attempt GROUP BY bucket")
    ) == sorted([3, 12, 10, 10])


async def test_what_the_limits_keep_names_nobody(office: Office) -> None:
    await fail(office, 1, address="192.0.2.7")
    kept = str([dict(row) for row in await office.h.db.fetch("SELECT * FROM attempt")])
    assert "nordlicht" not in kept
    assert "192.0.2.7" not in kept


async def test_an_old_hash_is_renewed_when_its_password_comes_by(office: Office) -> None:
    old = await Passwords(memory_kib=16, passes=1).hash(PASSWORD)
    await office.h.db.execute("UPDATE credential SET password_hash = $1", old)
    await office.h.ask(SignIn(email=ADMIN, password=PASSWORD))
    renewed = await office.h.db.fetchval("SELECT password_hash FROM credential")
    assert renewed.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    await office.h.ask(SignIn(email=ADMIN, password=PASSWORD))
    assert await office.h.db.fetchval("SELECT password_hash FROM credential") == renewed


async def test_signing_in_announces_and_stores_nothing(office: Office) -> None:
    before = len(await office.h.outbox())
    await office.h.ask(SignIn(email=ADMIN, password=PASSWORD))
    await fail(office, 1)
    assert len(await office.h.outbox()) == before
    assert await office.h.db.fetchval("SELECT count(*) FROM command_reply") == 0


async def test_no_password_is_written_anywhere(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    question = SignIn(email=ADMIN, password="hunter2-hunter2")
    with pytest.raises(WrongCredentials):
        await office.h.ask(question)
    await office.h.ask(SignIn(email=ADMIN, password=PASSWORD))
    assert "hunter2" not in repr(question)
    assert "hunter2" not in caplog.text
    assert PASSWORD not in caplog.text
    await nothing_kept(office.h, "hunter2", PASSWORD)


async def test_an_archived_customers_portal_is_no_account(office: Office) -> None:
    customer = await office.customer()
    invitation = await office.invite(customer)
    accept = AcceptInvitation(token=token_of(invitation), name="Ada", password=PASSWORD)
    signed_in = await office.h.send(accept, actor=PUBLIC)
    assert [(each.kind, each.id, each.role) for each in signed_in.accounts] == [("customer", customer.id, "owner")]
    change = UpdateCustomer(customer_id=CustomerId(customer.id), archived=True)
    await office.h.send(change, actor=office.admin, merchant_id=office.merchant_id)
    assert (await office.h.ask(SignIn(email="ada@example.com", password=PASSWORD))).accounts == ()
