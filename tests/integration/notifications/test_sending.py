"""What becomes of a queued mail: every answer a mail server or an owner can give, and every way a worker can end."""

import asyncio
import functools
from datetime import timedelta

from contracts.billing import BillingMailFacts, Collection, InvoiceChargeFailed, LinkEmailRequested, SubscriptionPaused
from contracts.identity import CustomerChanged, IdentityMailFacts, InvitationSent, MerchantCreated
from contracts.message import Incident, MailFacts, NotFound
from services.notifications.schedules import PREPARING, SENDING, find_abandoned
from tests import builders

from .conftest import MailServer, Office


async def reasons(office: Office) -> list[str | None]:
    return [mail["reason"] for mail in await office.mails()]


async def end(office: Office) -> None:
    """Give the worker two more looks at the queue, a month from now."""
    office.h.clock.advance(timedelta(days=30))
    await asyncio.sleep(0.6)


# --- handed over ------------------------------------------------------------------------------------------------------


async def test_a_receipt_reaches_the_mail_server_without_waiting_for_the_workers_next_look(office: Office) -> None:
    await office.is_known()
    async with office.working(pick_up_seconds=600):  # it is woken, it does not come by
        for number in range(1, 4):
            await asyncio.sleep(0.5)  # the worker sleeps by now
            await office.h.deliver(office.paid())
            await office.until(functools.partial(office.smtp.has_taken, number))
        await office.settle(*["accepted"] * 3)


async def test_a_receipt_is_what_arrived_and_both_ends_of_its_way_are_announced(office: Office) -> None:
    await office.is_known()
    await office.h.deliver(office.paid())
    async with office.working():
        await office.settle("accepted")
    [mail], [row] = office.smtp.taken, await office.mails()
    assert office.smtp.recipients == ["sam@okafor.example"]
    assert str(mail["Message-ID"]) == row["message_id"] == f"<{row['id']}@portal.example>"
    assert str(mail["Subject"]) == "Zahlungsbeleg von Nordlicht GmbH: 107,10 €"
    assert str(mail["From"]) == "Nordlicht GmbH <portal@localhost>"
    text = mail.get_body(("plain",))
    assert text is not None
    assert f"https://portal.example/portal/payments/{office.invoice.id}" in text.get_content().split()
    assert await office.h.announced() == ["notifications.mail.queued.v1", "notifications.mail.accepted.v1"]
    queued, accepted = await office.h.outbox()
    assert (queued.sequence, accepted.sequence) == (1, 2)
    assert accepted.causationid == queued.causationid == row["occasion"]
    assert accepted.correlationid == queued.correlationid
    assert office.owners.asked == []  # a report of what has happened needs no question


async def test_a_receipt_leads_whoever_has_no_account_to_the_public_page(office: Office) -> None:
    office.customer = office.customer.model_copy(update={"portal_access": "none"})
    await office.is_known()
    office.owners.answer = MailFacts(still_true=True, path="/pay/s3cret")
    await office.h.deliver(office.paid())
    async with office.working():
        await office.settle("accepted")
    question = BillingMailFacts(kind="receipt", id=office.invoice.id)
    assert office.owners.asked == [(question, office.merchant.merchant_id)]
    text = office.smtp.taken[0].get_body(("plain",))
    assert text is not None
    assert "https://portal.example/pay/s3cret" in text.get_content().split()
    assert "/portal/payments" not in text.get_content()
    assert "Beleg ansehen:" in text.get_content()


async def test_a_failed_charge_is_told_although_the_link_was_withdrawn_with_a_way_that_works(office: Office) -> None:
    failed = office.invoice.model_copy(update={"collection": Collection(failures=1)})
    office.owners.answer = MailFacts(still_true=True, path=None, facts=failed.model_dump(mode="json"))
    said: list[str] = []
    for access in ("active", "none"):
        office.customer = office.customer.model_copy(update={"portal_access": access, "locale": "en"})
        await office.h.deliver(MerchantCreated(state=office.merchant))
        await office.h.deliver(CustomerChanged(state=office.customer), sequence=2 + len(said))
        await office.h.deliver(InvoiceChargeFailed(state=failed))
        async with office.working():
            await office.settle(*["accepted"] * (1 + len(said)))
        text = office.smtp.taken[-1].get_body(("plain",))
        assert text is not None
        said.append(text.get_content())
    assert office.owners.asked[0][0] == BillingMailFacts(kind="payment_failed", id=office.invoice.id)
    assert f"https://portal.example/portal/payments/{office.invoice.id}" in said[0]
    assert "https://portal.example" not in said[1]
    assert "please contact Nordlicht GmbH. hilfe@nordlicht.example" in said[1]


async def test_a_paused_subscription_leads_only_those_into_the_portal_who_have_one(office: Office) -> None:
    office.customer = office.customer.model_copy(update={"portal_access": "invited", "locale": "en"})
    await office.is_known()
    agreed = builders.subscription(office.customer, status="paused")
    office.owners.answer = MailFacts(still_true=True, facts=agreed.model_dump(mode="json"))
    await office.h.deliver(SubscriptionPaused(state=agreed))
    async with office.working():
        await office.settle("accepted")
    [mail] = office.smtp.taken
    assert "https://portal.example" not in mail.as_string()


async def test_an_invitation_carries_the_link_that_only_its_owner_knows(office: Office) -> None:
    await office.is_known()
    office.owners.answer = MailFacts(still_true=True, path="/invitations/s3cret", facts={"invited_by": "Grace Hopper"})
    invitation = builders.invitation(office.customer, email="new@okafor.example")
    await office.h.deliver(InvitationSent(state=invitation))
    async with office.working():
        await office.settle("accepted")
    assert office.owners.asked == [
        (IdentityMailFacts(kind="invitation", id=invitation.id), office.merchant.merchant_id)
    ]
    [mail] = office.smtp.taken
    text = mail.get_body(("plain",))
    assert text is not None
    assert "https://portal.example/invitations/s3cret" in text.get_content()
    assert "Grace Hopper lädt Sie" in text.get_content()
    everything = await office.h.db.fetchval("SELECT string_agg(mail::text, '') FROM mail")
    announced = "".join(envelope.model_dump_json() for envelope in await office.h.outbox())
    assert "s3cret" not in everything + announced


async def test_a_payment_link_shows_the_amounts_of_this_moment(office: Office) -> None:
    await office.is_known()
    now = office.invoice.model_copy(update={"amount_due": 700, "amount_paid": 10_010})
    facts = now.model_dump(mode="json")
    office.owners.answer = MailFacts(still_true=True, path="/pay/s3cret", facts=facts)
    await office.h.deliver(LinkEmailRequested(state=office.invoice))
    async with office.working():
        await office.settle("accepted")
    assert office.owners.asked[0][0] == BillingMailFacts(kind="payment_link", id=office.invoice.id)
    assert str(office.smtp.taken[0]["Subject"]) == "Rechnung INV-102 von Nordlicht GmbH: 7,00 €"


# --- not now, or never ------------------------------------------------------------------------------------------------


async def test_a_mail_refused_for_now_goes_out_later_under_the_same_message_id(office: Office) -> None:
    await office.is_known()
    office.smtp.at_rcpt.append(MailServer.says("451 greylisted, come back"))
    office.smtp.after_dot.append(MailServer.says("452 disk full"))
    await office.h.deliver(office.paid())
    async with office.working():
        for pause, reason in ((5, "451 greylisted, come back"), (30, "452 disk full")):
            for _ in range(1000):
                if await reasons(office) == [reason]:
                    break
                await asyncio.sleep(0.025)
            assert (await office.statuses(), await reasons(office)) == (["queued"], [reason])
            office.h.clock.advance(timedelta(seconds=pause - 1))
            await asyncio.sleep(0.6)
            assert office.smtp.taken == []
            office.h.clock.advance(timedelta(seconds=1))
        await office.settle("accepted")
        await end(office)
    [row] = await office.mails()
    assert office.smtp.message_ids == [row["message_id"]]
    assert await office.h.announced() == ["notifications.mail.queued.v1", "notifications.mail.accepted.v1"]


async def test_a_mail_refused_for_good_is_failed_with_the_servers_words(office: Office) -> None:
    await office.is_known()
    office.smtp.at_rcpt.append(MailServer.says("550 no such mailbox"))
    await office.h.deliver(office.paid())
    async with office.working():
        await office.settle("failed")
        await end(office)
    assert await reasons(office) == ["550 no such mailbox"]
    assert office.smtp.taken == []
    assert await office.h.announced() == ["notifications.mail.queued.v1", "notifications.mail.failed.v1"]


async def test_a_mail_server_that_is_away_is_waited_for(office: Office) -> None:
    await office.is_known()
    office.smtp.at_rcpt.append(office.smtp.cut)  # before any body
    await office.h.deliver(office.paid())
    async with office.working():
        for _ in range(1000):
            if (await reasons(office))[0]:
                break
            await asyncio.sleep(0.025)
        assert str((await reasons(office))[0]).startswith("The mail server cannot be used: ")
        assert await office.statuses() == ["queued"]
        office.h.clock.advance(timedelta(seconds=5))
        await office.settle("accepted")
    assert len(office.smtp.taken) == 1


async def test_an_address_that_is_none_fails_at_once(office: Office) -> None:
    await office.is_known()
    await office.h.deliver(InvitationSent(state=builders.invitation(office.customer, email="a,b@okafor.example")))
    office.owners.answer = MailFacts(still_true=True, path="/invitations/x")
    async with office.working():
        await office.settle("failed")
    assert await reasons(office) == ["a,b@okafor.example is not an address that mail can be sent to."]
    assert office.smtp.recipients == []


async def test_a_mail_that_is_no_longer_true_is_dropped(office: Office) -> None:
    await office.is_known()
    office.owners.answer = MailFacts(still_true=False, why_not="The invoice is paid.")
    await office.h.deliver(LinkEmailRequested(state=office.invoice))
    async with office.working():
        await office.settle("dropped")
        await end(office)
    assert await reasons(office) == ["The invoice is paid."]
    assert office.smtp.recipients == []
    assert await office.h.announced() == ["notifications.mail.queued.v1", "notifications.mail.dropped.v1"]


async def test_a_mail_about_what_its_owner_does_not_have_is_dropped(office: Office) -> None:
    await office.is_known()
    office.owners.answer = NotFound()
    await office.h.deliver(LinkEmailRequested(state=office.invoice))
    async with office.working():
        await office.settle("dropped")
    assert await reasons(office) == ["There is no such thing here."]


async def test_without_an_answer_from_the_owner_a_mail_waits_however_long(office: Office) -> None:
    await office.is_known()
    await office.h.deliver(LinkEmailRequested(state=office.invoice))
    async with office.working():
        await office.until(lambda: office.owners.asked)
        office.owners.answer = Incident("a surprise")
        for days in (1, 2):
            asked = len(office.owners.asked)
            office.h.clock.advance(timedelta(days=days))
            await office.until(functools.partial(office.asked_more_than, asked))
        assert await office.statuses() == ["queued"]
        assert office.smtp.recipients == []
        office.owners.answer = MailFacts(still_true=True, path="/pay/x")
        office.h.clock.advance(timedelta(seconds=30))
        await office.settle("accepted")
    [mail] = await office.mails()
    assert mail["tries"] == 0


async def test_a_mail_waits_until_its_merchant_is_known(office: Office) -> None:
    await office.h.deliver(office.paid())
    async with office.working():
        for _ in range(1000):
            if (await reasons(office))[0]:
                break
            await asyncio.sleep(0.025)
        assert await reasons(office) == ["The merchant is not known here yet."]
        await office.is_known()
        office.h.clock.advance(timedelta(seconds=1))
        await office.settle("accepted")


# --- what nobody can know ---------------------------------------------------------------------------------------------


async def test_a_connection_cut_after_the_final_dot_leaves_the_mail_in_doubt_and_it_is_not_sent_again(
    office: Office,
) -> None:
    await office.is_known()
    office.smtp.after_dot.append(office.smtp.cut)
    await office.h.deliver(office.paid())
    async with office.working():
        await office.settle("in_doubt")
        await end(office)
        await find_abandoned(office.h.runtime)
    assert office.smtp.taken == []
    assert await office.statuses() == ["in_doubt"]
    assert str((await reasons(office))[0]).startswith("The mail was sent, but the mail server's answer did not arrive")
    assert await office.h.announced() == ["notifications.mail.queued.v1", "notifications.mail.in_doubt.v1"]


async def test_a_worker_that_ends_while_sending_leaves_the_mail_in_doubt(office: Office) -> None:
    await office.is_known()
    office.smtp.after_dot.append(MailServer.holds(asyncio.Event()))  # never answers
    await office.h.deliver(office.paid())
    async with office.working():
        await office.settle("sending")
    async with office.working():
        office.h.clock.advance(SENDING - timedelta(seconds=1))
        await find_abandoned(office.h.runtime)
        assert await office.statuses() == ["sending"]
        office.h.clock.advance(timedelta(seconds=2))
        await find_abandoned(office.h.runtime)
        await find_abandoned(office.h.runtime)
        assert await office.statuses() == ["in_doubt"]
        await end(office)
    assert office.smtp.taken == []
    assert await office.h.announced() == ["notifications.mail.queued.v1", "notifications.mail.in_doubt.v1"]


async def test_an_answer_that_comes_after_all_settles_a_mail_in_doubt(office: Office) -> None:
    await office.is_known()
    thaw = asyncio.Event()
    office.smtp.after_dot.append(MailServer.holds(thaw))
    await office.h.deliver(office.paid())
    async with office.working():
        await office.settle("sending")
        office.h.clock.advance(SENDING + timedelta(seconds=1))
        await find_abandoned(office.h.runtime)
        assert await office.statuses() == ["in_doubt"]
        thaw.set()
        await office.settle("accepted")
    assert len(office.smtp.taken) == 1
    assert [(e.type, e.sequence) for e in await office.h.outbox()] == [
        ("notifications.mail.queued.v1", 1),
        ("notifications.mail.in_doubt.v1", 2),
        ("notifications.mail.accepted.v1", 3),
    ]


async def test_a_frozen_workers_mail_is_taken_over_and_sent_once(office: Office) -> None:
    await office.is_known()
    thaw = asyncio.Event()
    office.smtp.at_rcpt.append(MailServer.holds(thaw))
    await office.h.deliver(office.paid())
    async with office.working(), office.restart() as other:
        await office.until(lambda: office.smtp.transports)  # the first worker stands at RCPT
        async with other.working():
            office.h.clock.advance(PREPARING - timedelta(seconds=1))
            await asyncio.sleep(0.6)
            assert office.smtp.taken == []  # still the first one's
            office.h.clock.advance(timedelta(seconds=2))
            await office.settle("accepted")
        assert len(office.smtp.taken) == 1
        thaw.set()
        await asyncio.sleep(0.5)
    assert len(office.smtp.taken) == 1
    assert await office.h.announced() == ["notifications.mail.queued.v1", "notifications.mail.accepted.v1"]


async def test_a_mail_under_way_is_finished_before_the_worker_ends(office: Office) -> None:
    await office.is_known()
    answer = asyncio.Event()
    office.smtp.after_dot.append(MailServer.holds(answer))
    await office.h.deliver(office.paid())
    async with office.working(drain_seconds=60) as worker:
        await office.settle("sending")
        worker.cancel()
        await asyncio.sleep(0.05)
        answer.set()
        await asyncio.gather(worker, return_exceptions=True)
        assert await office.statuses() == ["accepted"]


async def test_two_workers_send_each_of_many_mails_once(office: Office) -> None:
    await office.is_known()
    for _ in range(40):
        await office.h.deliver(office.paid())
    async with office.working(), office.restart() as other, other.working():
        await office.settle(*["accepted"] * 40)
    assert sorted(office.smtp.message_ids) == sorted(mail["message_id"] for mail in await office.mails())


async def test_a_mail_that_cannot_be_written_stands_in_nobodys_way(office: Office) -> None:
    await office.is_known()
    await office.h.deliver(office.paid())
    await office.h.db.execute("UPDATE mail SET event = event #- '{invoice,total}'")
    await office.h.deliver(office.paid())
    async with office.working():
        await office.until(lambda: office.smtp.taken)
        for _ in range(1000):
            if sorted(await office.statuses()) == ["accepted", "queued"]:
                break
            await asyncio.sleep(0.025)
    assert sorted(await office.statuses()) == ["accepted", "queued"]
    assert "It could not be written; the log says why." in await reasons(office)
