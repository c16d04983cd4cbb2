"""The button on an invitation's page."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from chassis.ids import new_id
from chassis.testing import read
from contracts.identity import (
    AcceptInvitation,
    Contact,
    Customer,
    Invitation,
    InvitationNotUsable,
    Person,
    RevokeInvitation,
    SendInvitation,
    SignedIn,
    SignIn,
    WrongCredentials,
)
from contracts.message import Conflict, CustomerId, InvalidInput, InvitationId, Problem, TooManyAttempts
from tests.integration.identity.office import PASSWORD, PUBLIC, News, Office, token_of

OTHER_PASSWORD = "another password of hers"


def accept(invitation: Invitation, password: str = PASSWORD, **values: Any) -> AcceptInvitation:
    return AcceptInvitation(**{"token": token_of(invitation), "name": "Ada", "password": password} | values)


async def press(office: Office, command: AcceptInvitation) -> SignedIn:
    return await office.h.send(command, actor=PUBLIC)


async def everything(office: Office) -> list[str]:
    """Every row that accepting could change."""
    tables = ("person", "credential", "member", "contact", "customer", "invitation")
    return [str(await office.h.db.fetch(f"SELECT * FROM {table} ORDER BY 1")) for table in tables]


async def test_somebody_new_gets_an_account_and_is_let_in(office: Office, news: News) -> None:
    customer = await office.customer(locale="de", time_zone="Europe/Berlin")
    invitation = await office.invite(customer, role="billing")
    await news.read()
    signed_in = await press(office, accept(invitation, name="Ada L."))
    created, accepted, joined, changed = await news.read()
    assert [(each.type, each.sequence) for each in (created, accepted, joined, changed)] == [
        ("identity.person.created.v1", 1),
        ("identity.invitation.accepted.v1", 2),
        ("identity.contact.joined.v1", 1),
        ("identity.customer.changed.v1", 3),
    ]
    person = Person.model_validate(created.data["state"])
    assert (person.id, person.name, person.email) == (signed_in.person_id, "Ada L.", "ada@example.com")
    assert (person.locale, person.time_zone) == ("de", "Europe/Berlin")
    state = Invitation.model_validate(accepted.data["state"])
    assert (state.status, state.accepted_at) == ("accepted", office.h.clock.now())
    contact = Contact.model_validate(joined.data["state"])
    assert (contact.customer_id, contact.person_id, contact.role, contact.active) == (
        customer.id,
        person.id,
        "billing",
        True,
    )
    assert (contact.name, contact.email, contact.merchant_id) == ("Ada L.", "ada@example.com", office.merchant_id)
    assert Customer.model_validate(changed.data["state"]).portal_access == "active"
    assert [(each.kind, each.id, each.role, each.merchant_name) for each in signed_in.accounts] == [
        ("customer", customer.id, "billing", "Nordlicht GmbH")
    ]
    assert await office.h.ask(SignIn(email="ada@example.com", password=PASSWORD)) == signed_in


async def test_the_reply_holds_every_change_for_the_page_that_comes_next(office: Office) -> None:
    invitation = await office.invite(await office.customer())
    reply = await office.h.reply(accept(invitation), actor=PUBLIC)
    assert [each.type.split(".")[1] for each in reply.changed] == ["person", "invitation", "contact", "customer"]


async def test_a_second_person_of_the_customer_changes_the_customer_no_more(office: Office, news: News) -> None:
    customer = await office.customer()
    await press(office, accept(await office.invite(customer)))
    invitation = await office.invite(customer, email="bob@example.com", role="member")
    await news.read()
    await press(office, accept(invitation, name="Bob"))
    assert await news.said() == [("person.created", 1), ("invitation.accepted", 2), ("contact.joined", 1)]


async def test_somebody_with_an_account_joins_with_its_password(
    office: Office, other_office: Office, news: News
) -> None:
    first = await press(office, accept(await office.invite(await office.customer())))
    invitation = await other_office.invite(await other_office.customer("ADA@example.com"))
    await news.read()
    signed_in = await press(office, accept(invitation, name=None))
    assert signed_in.person_id == first.person_id
    assert [each.merchant_name for each in signed_in.accounts] == ["Nordlicht GmbH", "Südwind AG"]
    assert await news.said() == [("invitation.accepted", 2), ("contact.joined", 1), ("customer.changed", 3)]


async def test_a_wrong_password_of_an_account_opens_nothing_and_replaces_nothing(office: Office, news: News) -> None:
    invitation = await office.invite(await office.customer("admin@nordlicht.example"))
    before = await everything(office)
    await news.read()
    with pytest.raises(WrongCredentials):
        await press(office, accept(invitation, OTHER_PASSWORD))
    assert await everything(office) == before
    assert await news.said() == []
    await press(office, accept(invitation, PASSWORD))


async def test_guessing_an_accounts_password_through_an_invitation_counts_like_signing_in(office: Office) -> None:
    invitation = await office.invite(await office.customer("admin@nordlicht.example"))
    for _ in range(5):
        with pytest.raises(WrongCredentials):
            await press(office, accept(invitation, OTHER_PASSWORD))
        with pytest.raises(WrongCredentials):
            await office.h.ask(SignIn(email="admin@nordlicht.example", password=OTHER_PASSWORD))
    before = await everything(office)
    with pytest.raises(TooManyAttempts):
        await press(office, accept(invitation, PASSWORD))
    assert await everything(office) == before


async def test_of_two_tabs_one_wins_and_the_other_is_told_so(office: Office, news: News) -> None:
    invitation = await office.invite(await office.customer())
    await news.read()
    tabs = await asyncio.gather(*(press(office, accept(invitation)) for _ in range(5)), return_exceptions=True)
    winners = [tab for tab in tabs if isinstance(tab, SignedIn)]
    losers = [tab.members["why"] for tab in tabs if isinstance(tab, InvitationNotUsable)]
    assert (len(winners), losers) == (1, ["accepted"] * 4)
    assert len(await news.said()) == 4
    assert await office.h.db.fetchval("SELECT count(*) FROM contact") == 1


async def test_the_same_button_pressed_twice_at_once_gets_the_same_answer(office: Office, news: News) -> None:
    invitation = await office.invite(await office.customer())
    await news.read()
    command = accept(invitation)
    body = office.h.message(command, actor=PUBLIC, id="one press")
    answers = await asyncio.gather(*(office.h.runtime.answerer.answer(body) for _ in range(5)))
    assert len({answer.body for answer in answers if answer is not None}) == 1
    assert answers[0] is not None
    assert read(command, answers[0]).result.email == "ada@example.com"
    assert len(await news.said()) == 4


async def test_two_merchants_invitations_accepted_at_once_make_one_account(
    office: Office, other_office: Office
) -> None:
    one = await office.invite(await office.customer())
    two = await other_office.invite(await other_office.customer())
    commands = (accept(one, PASSWORD), accept(two, OTHER_PASSWORD))
    results = await asyncio.gather(*(press(office, each) for each in commands), return_exceptions=True)
    assert await office.h.db.fetchval("SELECT count(*) FROM person WHERE email = 'ada@example.com'") == 1
    assert sorted(type(each).__name__ for each in results) in (
        ["Conflict", "SignedIn"],
        ["SignedIn", "WrongCredentials"],
    )
    assert await office.h.db.fetchval("SELECT count(*) FROM contact") == 1


async def test_an_account_that_came_to_be_meanwhile_is_not_given_another_password(
    office: Office, other_office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await office.invite(await office.customer())
    two = await other_office.invite(await other_office.customer())
    from services.identity.security import Passwords

    real, asked, entered = Passwords.hash, asyncio.Event(), asyncio.Event()

    async def late(self: Passwords, password: str) -> str:
        if password == OTHER_PASSWORD:
            asked.set()
            await entered.wait()
        return await real(self, password)

    monkeypatch.setattr(Passwords, "hash", late)
    overtaken = asyncio.create_task(press(office, accept(two, OTHER_PASSWORD)))
    await asked.wait()
    await press(office, accept(one, PASSWORD))
    before = await everything(office)
    entered.set()
    with pytest.raises(Conflict, match="just got an account"):
        await overtaken
    assert await everything(office) == before
    with pytest.raises(WrongCredentials):
        await office.h.ask(SignIn(email="ada@example.com", password=OTHER_PASSWORD))


@pytest.mark.parametrize("end", ["accepted", "revoked", "superseded", "expired", "unknown"])
async def test_a_dead_link_lets_nobody_in_and_says_why(office: Office, news: News, end: str) -> None:
    customer = await office.customer()
    invitation = await office.invite(customer)
    match end:
        case "accepted":
            await press(office, accept(invitation))
        case "revoked":
            revoke = RevokeInvitation(invitation_id=InvitationId(invitation.id))
            await office.h.send(revoke, actor=office.admin, merchant_id=office.merchant_id)
        case "superseded":
            await office.invite(customer)
        case "expired":  # no schedule has run
            office.h.clock.advance(timedelta(days=7))
        case _:
            invitation = invitation.model_copy(update={"id": new_id()})
    before = await everything(office)
    await news.read()
    with pytest.raises(InvitationNotUsable) as dead:
        await press(office, accept(invitation, name="Eve"))
    assert dead.value.members == {"why": end}
    assert await everything(office) == before
    assert await news.said() == []


async def test_a_customer_who_is_shut_out_is_not_let_in(office: Office) -> None:
    customer = await office.customer()
    invitation = await office.invite(customer)
    await office.h.db.execute("UPDATE customer SET portal_access = 'disabled'")
    with pytest.raises(InvitationNotUsable) as dead:
        await press(office, accept(invitation))
    assert dead.value.members == {"why": "revoked"}
    assert await office.h.db.fetchval("SELECT count(*) FROM contact") == 0


async def test_somebody_new_says_what_they_are_called_and_chooses_a_language_that_exists(office: Office) -> None:
    invitation = await office.invite(await office.customer())
    before = await everything(office)
    with pytest.raises(InvalidInput) as refused:
        await press(office, accept(invitation, name=None, locale="xx", time_zone="Mars/Base"))
    assert sorted(each.field for each in refused.value.errors) == ["locale", "name", "time_zone"]
    assert await everything(office) == before


async def test_a_short_password_is_refused_and_not_repeated(office: Office) -> None:
    invitation = await office.invite(await office.customer())
    body = office.h.message(accept(invitation), actor=PUBLIC).replace(PASSWORD.encode(), b"geheim123")
    answer = await office.h.runtime.answerer.answer(body)
    assert answer is not None
    assert b"geheim123" not in answer.body
    with pytest.raises(InvalidInput) as refused:
        read(accept(invitation), answer)
    assert [each.field for each in refused.value.errors] == ["password"]


async def test_access_that_was_taken_away_comes_back_with_a_new_invitation(office: Office, news: News) -> None:
    customer = await office.customer()
    await press(office, accept(await office.invite(customer)))
    await office.h.db.execute("UPDATE contact SET active = false, sequence = sequence + 1")
    assert (await office.h.ask(SignIn(email="ada@example.com", password=PASSWORD))).accounts == ()
    invitation = await office.invite(customer, role="member")
    await news.read()
    signed_in = await press(office, accept(invitation, name=None))
    assert [each.role for each in signed_in.accounts] == ["member"]
    assert await news.said() == [("invitation.accepted", 2), ("contact.joined", 3)]


async def test_a_second_invitation_of_somebody_inside_leaves_their_role_alone(office: Office, news: News) -> None:
    customer = await office.customer()
    await press(office, accept(await office.invite(customer, role="member")))
    command = SendInvitation(customer_id=CustomerId(customer.id), origin="pay_link", role="owner")
    invitation = await office.h.send(command, actor=PUBLIC, merchant_id=office.merchant_id)
    await news.read()
    signed_in = await press(office, accept(invitation, name=None))
    assert [each.role for each in signed_in.accounts] == ["member"]
    assert await news.said() == [("invitation.accepted", 2)]


async def test_a_repeat_after_days_gets_its_first_reply(office: Office) -> None:
    invitation = await office.invite(await office.customer())
    first = await office.h.send(accept(invitation), actor=PUBLIC, id="one press")
    office.h.clock.advance(timedelta(days=6))
    assert await office.h.send(accept(invitation), actor=PUBLIC, id="one press") == first
    with pytest.raises(Problem, match="another request"):
        await office.h.send(accept(invitation, OTHER_PASSWORD), actor=PUBLIC, id="one press")
