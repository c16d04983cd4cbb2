"""Sending, showing, renewing, revoking and expiring. What the button does is in test_acceptance.py."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest

from chassis.ids import new_id
from contracts.identity import (
    AcceptInvitation,
    Customer,
    IdentityMailFacts,
    Invitation,
    InvitationNotUsable,
    InvitationView,
    RenewInvitation,
    RevokeInvitation,
    SendInvitation,
    UpdateCustomer,
    ViewInvitation,
)
from contracts.message import (
    Actor,
    Conflict,
    CustomerId,
    InvalidInput,
    InvitationId,
    NotAllowed,
    NotFound,
    TooManyAttempts,
    system,
)
from services.identity import schedules
from tests.integration.identity.office import PASSWORD, PUBLIC, News, Office, nothing_kept, token_of

WEEK = timedelta(days=7)


async def all_invitations(office: Office) -> list[tuple[str, str, int]]:
    rows = await office.h.db.fetch("SELECT email, status, sequence FROM invitation ORDER BY id")
    return [tuple(row) for row in rows]


async def why(office: Office, token: str) -> object:
    with pytest.raises(InvitationNotUsable) as dead:
        await office.h.ask(ViewInvitation(token=token), actor=PUBLIC)
    return dead.value.members["why"]


async def revoke(office: Office, invitation: Invitation) -> Invitation:
    command = RevokeInvitation(invitation_id=InvitationId(invitation.id))
    return await office.h.send(command, actor=office.admin, merchant_id=office.merchant_id)


async def by_pay_link(office: Office, customer: Customer, **values: Any) -> Invitation:
    command = SendInvitation(customer_id=CustomerId(customer.id), origin="pay_link", **values)
    actor = Actor(kind="public", customer_id=CustomerId(customer.id))
    return await office.h.send(command, actor=actor, merchant_id=office.merchant_id)


# --- sending --------------------------------------------------------------------------------------------------------


async def test_an_invitation_is_sent_for_seven_days_and_the_customer_is_invited(office: Office, news: News) -> None:
    customer = await office.customer()
    await news.read()
    invitation = await office.invite(customer)
    sent, changed = await news.read()
    assert (sent.type, sent.sequence, sent.subject) == ("identity.invitation.sent.v1", 1, str(invitation.id))
    assert Invitation.model_validate(sent.data["state"]) == invitation
    assert (invitation.email, invitation.role, invitation.origin, invitation.status, invitation.invited_by) == (
        "ada@example.com",
        "owner",
        "merchant",
        "pending",
        "Nora Licht",
    )
    assert invitation.expires_at - office.h.clock.now() == WEEK
    assert (changed.type, changed.sequence) == ("identity.customer.changed.v1", 2)
    assert Customer.model_validate(changed.data["state"]) == customer.model_copy(update={"portal_access": "invited"})


async def test_a_second_invitation_of_an_address_supersedes_the_first(office: Office, news: News) -> None:
    customer = await office.customer()
    first = await office.invite(customer)
    await news.read()
    second = await office.invite(customer, email="ADA@example.com")
    assert await news.said() == [("invitation.superseded", 2), ("invitation.sent", 1)]
    assert await all_invitations(office) == [("ada@example.com", "superseded", 2), ("ADA@example.com", "pending", 1)]
    assert await why(office, token_of(first)) == "superseded"
    assert (await office.h.ask(ViewInvitation(token=token_of(second)))).invitation_id == second.id


async def test_ten_invitations_at_once_leave_one_pending(office: Office) -> None:
    customer = await office.customer()
    await asyncio.gather(*(office.invite(customer) for _ in range(10)))
    statuses = [status for _, status, _ in await all_invitations(office)]
    assert (statuses.count("pending"), statuses.count("superseded")) == (1, 9)


async def test_several_people_of_a_customer_are_invited_beside_each_other(office: Office) -> None:
    customer = await office.customer()
    await office.invite(customer)
    await office.invite(customer, email="bob@example.com", role="billing")
    assert await all_invitations(office) == [("ada@example.com", "pending", 1), ("bob@example.com", "pending", 1)]


async def test_a_foreign_customer_is_not_found_and_nothing_is_sent(office: Office, other_office: Office) -> None:
    customer = await other_office.customer()
    for command in (
        SendInvitation(customer_id=CustomerId(customer.id)),
        SendInvitation(customer_id=CustomerId(customer.id), email="me@nordlicht.example"),
    ):
        with pytest.raises(NotFound):
            await office.h.send(command, actor=office.admin, merchant_id=office.merchant_id)
    assert await all_invitations(office) == []


async def test_who_uses_the_portal_already_is_not_invited_again(office: Office, news: News) -> None:
    customer = await office.customer()
    invitation = await office.invite(customer)
    await office.h.send(AcceptInvitation(token=token_of(invitation), name="Ada", password=PASSWORD), actor=PUBLIC)
    await news.read()
    with pytest.raises(Conflict, match=r"ada@example\.com uses this customer's portal already"):
        await office.invite(customer)
    assert await news.said() == []


async def test_an_archived_customer_is_not_invited(office: Office) -> None:
    customer = await office.customer()
    archive = UpdateCustomer(customer_id=CustomerId(customer.id), archived=True)
    await office.h.send(archive, actor=office.admin, merchant_id=office.merchant_id)
    with pytest.raises(Conflict):
        await office.invite(customer)
    with pytest.raises(Conflict):
        await by_pay_link(office, customer)
    assert await all_invitations(office) == []


async def test_an_address_that_breaks_a_header_is_refused(office: Office) -> None:
    with pytest.raises(InvalidInput):
        await office.invite(await office.customer(), email="a\x01@example.com")


# --- by a pay link --------------------------------------------------------------------------------------------------


async def test_a_pay_link_sends_an_invitation_in_the_merchants_name(office: Office) -> None:
    invitation = await by_pay_link(office, await office.customer())
    assert (invitation.origin, invitation.email, invitation.invited_by) == (
        "pay_link",
        "ada@example.com",
        "Nordlicht GmbH",
    )


async def test_a_pay_link_invites_nobody_but_its_own_customer(office: Office) -> None:
    customer, other = await office.customer(), await office.customer("bob@example.com")
    with pytest.raises(NotAllowed, match="own address"):
        await by_pay_link(office, customer, email="thief@example.com")
    command = SendInvitation(customer_id=CustomerId(other.id), origin="pay_link")
    actor = Actor(kind="public", customer_id=CustomerId(customer.id))
    with pytest.raises(NotFound):
        await office.h.send(command, actor=actor, merchant_id=office.merchant_id)
    with pytest.raises(NotAllowed):
        await office.h.send(
            SendInvitation(customer_id=CustomerId(customer.id)), actor=PUBLIC, merchant_id=office.merchant_id
        )
    assert await all_invitations(office) == []


async def test_a_pay_link_mails_three_times_an_hour_at_most(office: Office) -> None:
    customer = await office.customer()
    for _ in range(3):
        await by_pay_link(office, customer)
    with pytest.raises(TooManyAttempts) as refused:
        await by_pay_link(office, customer)
    assert refused.value.members == {"retry_after": 3600}
    assert len(await all_invitations(office)) == 3
    office.h.clock.advance(timedelta(hours=1))
    await by_pay_link(office, customer)


async def test_a_pay_link_does_not_tell_that_its_customer_has_an_account(office: Office) -> None:
    customer = await office.customer()
    invitation = await office.invite(customer)
    await office.h.send(AcceptInvitation(token=token_of(invitation), name="Ada", password=PASSWORD), actor=PUBLIC)
    assert (await by_pay_link(office, customer)).status == "pending"


# --- showing --------------------------------------------------------------------------------------------------------


async def test_opening_a_link_shows_the_offer_and_changes_nothing(office: Office, news: News) -> None:
    customer = await office.customer()
    invitation = await office.invite(customer)
    await news.read()
    before = await all_invitations(office)
    views = [await office.h.ask(ViewInvitation(token=token_of(invitation)), actor=PUBLIC) for _ in range(3)]
    assert (
        views
        == [
            InvitationView(
                invitation_id=InvitationId(invitation.id),
                merchant_id=office.merchant_id,
                merchant_name="Nordlicht GmbH",
                customer_id=CustomerId(customer.id),
                customer_name="Ada Lovelace",
                email="ada@example.com",
                name="Ada Lovelace",
                has_account=False,
            )
        ]
        * 3
    )
    assert await all_invitations(office) == before
    assert await news.said() == []


async def test_somebody_elses_invitation_does_not_call_them_by_the_customers_name(office: Office) -> None:
    invitation = await office.invite(await office.customer(), email="Admin@nordlicht.example")
    view = await office.h.ask(ViewInvitation(token=token_of(invitation)), actor=PUBLIC)
    assert (view.name, view.has_account) == ("", True)


async def test_each_dead_link_says_why(office: Office) -> None:
    customer = await office.customer()
    revoked, expired = await office.invite(customer), await office.invite(customer, email="bob@example.com")
    await revoke(office, revoked)
    assert await why(office, token_of(revoked)) == "revoked"
    assert await why(office, "no-such-token") == "unknown"
    office.h.clock.advance(WEEK)
    assert await why(office, token_of(expired)) == "expired"


# --- revoking -------------------------------------------------------------------------------------------------------


async def test_a_revoked_invitation_is_announced_once_and_dead(office: Office, news: News) -> None:
    invitation = await office.invite(await office.customer())
    await news.read()
    assert (await revoke(office, invitation)).status == "revoked"
    assert await news.said() == [("invitation.revoked", 2)]
    with pytest.raises(InvitationNotUsable) as dead:
        await revoke(office, invitation)
    assert dead.value.members == {"why": "revoked"}
    assert await news.said() == []


async def test_a_foreign_invitation_is_not_found_and_stays_pending(
    office: Office, other_office: Office, news: News
) -> None:
    invitation = await other_office.invite(await other_office.customer())
    await news.read()
    with pytest.raises(NotFound) as foreign:
        await revoke(office, invitation)
    with pytest.raises(NotFound) as missing:
        await revoke(office, invitation.model_copy(update={"id": new_id()}))
    assert foreign.value.document() == missing.value.document()
    command = RevokeInvitation(invitation_id=InvitationId(invitation.id))
    with pytest.raises(NotAllowed):
        await office.h.send(command, actor=PUBLIC, merchant_id=other_office.merchant_id)
    assert await all_invitations(office) == [("ada@example.com", "pending", 1)]
    assert await news.said() == []


# --- renewing -------------------------------------------------------------------------------------------------------


async def renew(office: Office, token: str) -> None:
    assert await office.h.send(RenewInvitation(token=token), actor=PUBLIC) is None  # type: ignore[func-returns-value]  # that it says nothing is the point


async def test_an_expired_link_gets_a_fresh_mail(office: Office, news: News) -> None:
    invitation = await office.invite(await office.customer(), role="billing")
    office.h.clock.advance(WEEK)
    await schedules.expire_invitations(office.h.runtime)
    await news.read()
    await renew(office, token_of(invitation))
    (sent,) = await news.read()
    fresh = Invitation.model_validate(sent.data["state"])
    assert (sent.type, fresh.email, fresh.role, fresh.invited_by) == (
        "identity.invitation.sent.v1",
        "ada@example.com",
        "billing",
        "Nora Licht",
    )
    assert (await office.h.ask(ViewInvitation(token=token_of(fresh)))).email == "ada@example.com"


async def test_a_superseded_link_replaces_the_latest(office: Office, news: News) -> None:
    customer = await office.customer()
    first = await office.invite(customer)
    await office.invite(customer)
    await news.read()
    await renew(office, token_of(first))
    assert await news.said() == [("invitation.superseded", 2), ("invitation.sent", 1)]


@pytest.mark.parametrize("ended", ["revoked", "accepted", "archived"])
async def test_an_old_link_cannot_undo_what_was_meant_and_the_answer_is_the_same(
    office: Office, news: News, ended: str
) -> None:
    customer = await office.customer()
    old = await office.invite(customer)
    latest = await office.invite(customer)
    match ended:
        case "revoked":
            await revoke(office, latest)
        case "accepted":
            accept = AcceptInvitation(token=token_of(latest), name="Ada", password=PASSWORD)
            await office.h.send(accept, actor=PUBLIC)
        case _:
            archive = UpdateCustomer(customer_id=CustomerId(customer.id), archived=True)
            await office.h.send(archive, actor=office.admin, merchant_id=office.merchant_id)
    await news.read()
    for token in (token_of(old), token_of(latest), "no-such-token"):
        await renew(office, token)
    assert await news.said() == []


async def test_an_address_gets_three_renewed_mails_an_hour_and_the_fourth_answer_is_the_same(
    office: Office, news: News
) -> None:
    invitation = await office.invite(await office.customer())
    for _ in range(3):
        await renew(office, token_of(invitation))
    await news.read()
    await renew(office, token_of(invitation))
    assert await news.said() == []
    office.h.clock.advance(timedelta(hours=1))
    await renew(office, token_of(invitation))
    assert await news.said() == [("invitation.superseded", 2), ("invitation.sent", 1)]


# --- time -----------------------------------------------------------------------------------------------------------


async def test_what_is_over_is_announced_once_by_the_schedule(office: Office, news: News) -> None:
    customer = await office.customer()
    await office.invite(customer)
    office.h.clock.advance(timedelta(seconds=1))
    await office.invite(customer, email="bob@example.com")
    await news.read()
    office.h.clock.advance(WEEK - timedelta(seconds=1))
    for _ in range(2):
        await schedules.expire_invitations(office.h.runtime)
    assert await news.said() == [("invitation.expired", 2)]
    assert await all_invitations(office) == [("ada@example.com", "expired", 2), ("bob@example.com", "pending", 1)]


async def test_more_than_a_batch_expires_in_one_turn(office: Office, news: News) -> None:
    customer = await office.customer()
    await office.h.db.execute(
        """
        INSERT INTO invitation (id, merchant_id, customer_id, email, role, origin, invited_by, token_digest, expires_at,
                                created_at)
        SELECT gen_random_uuid(), $1, $2, n || '@example.com', 'owner', 'merchant', 'N', n::text, $3, $3
        FROM generate_series(1, 250) AS n
        """,
        office.merchant_id,
        customer.id,
        office.h.clock.now(),
    )
    await news.read()
    await asyncio.gather(*(schedules.expire_invitations(office.h.runtime) for _ in range(2)))
    assert await news.said() == [("invitation.expired", 2)] * 250


async def test_attempts_are_forgotten_when_no_limit_needs_them(office: Office) -> None:
    await by_pay_link(office, await office.customer())
    office.h.clock.advance(timedelta(minutes=59))
    await schedules.forget_attempts(office.h.runtime)
    assert await office.h.db.fetchval("SELECT count(*) FROM attempt") == 1
    office.h.clock.advance(timedelta(minutes=2))
    await schedules.forget_attempts(office.h.runtime)
    assert await office.h.db.fetchval("SELECT count(*) FROM attempt") == 0


# --- mail facts and secrets -----------------------------------------------------------------------------------------


def facts_of(invitation: Invitation) -> IdentityMailFacts:
    return IdentityMailFacts(kind="invitation", id=InvitationId(invitation.id))


async def test_the_mail_gets_its_link_and_what_it_says(office: Office) -> None:
    invitation = await office.invite(await office.customer())
    asked = facts_of(invitation)
    facts = await office.h.ask(asked, actor=system("notifications"), merchant_id=office.merchant_id)
    assert facts.still_true is True
    assert facts.path == f"/invitations/{token_of(invitation)}"
    assert facts.facts == {
        "merchant_name": "Nordlicht GmbH",
        "customer_name": "Ada Lovelace",
        "invited_by": "Nora Licht",
        "expires_at": "2026-03-09T09:00:00.000000Z",
        "has_account": False,
    }
    assert str(token_of(invitation)) not in repr(facts)


async def test_a_mail_about_a_dead_invitation_is_not_true_any_more(office: Office) -> None:
    customer = await office.customer()
    first = await office.invite(customer)
    second = await office.invite(customer)
    asked = {"actor": system("notifications"), "merchant_id": office.merchant_id}
    facts = await office.h.ask(facts_of(first), **asked)  # type: ignore[arg-type]  # two keywords of two types
    assert (facts.still_true, facts.why_not, facts.path) == (False, "The invitation is superseded.", None)
    office.h.clock.advance(WEEK)
    facts = await office.h.ask(facts_of(second), **asked)  # type: ignore[arg-type]  # as above
    assert (facts.still_true, facts.why_not, facts.path) == (False, "The invitation is expired.", None)


async def test_a_link_is_told_to_its_own_merchant_alone(office: Office, other_office: Office) -> None:
    invitation = await office.invite(await office.customer())
    for merchant_id in (other_office.merchant_id, None):
        with pytest.raises(NotFound):
            await office.h.ask(facts_of(invitation), actor=system("notifications"), merchant_id=merchant_id)
    with pytest.raises(NotAllowed):
        await office.h.ask(facts_of(invitation), actor=PUBLIC, merchant_id=office.merchant_id)
    facts = await office.h.ask(facts_of(invitation), actor=office.member("sales"), merchant_id=office.merchant_id)
    assert facts.path == f"/invitations/{token_of(invitation)}"


async def test_no_token_is_kept_logged_or_announced(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    customer = await office.customer()
    first = await office.invite(customer)
    await renew(office, token_of(first))
    second = Invitation.model_validate((await office.h.outbox())[-1].data["state"])
    accept = AcceptInvitation(token=token_of(second), name="Ada", password=PASSWORD)
    await office.h.send(accept, actor=PUBLIC)
    await nothing_kept(office.h, token_of(first), token_of(second), PASSWORD)
    for secret in (token_of(first), token_of(second), PASSWORD):
        assert secret not in caplog.text
        assert secret not in repr(accept)
