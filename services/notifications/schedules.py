"""Sending: the worker that takes due mails, and the schedule that finds those whose worker never came back.

One Message-ID per logical mail, and no mail sent twice without anybody knowing:

- A mail is *leased* while its facts are asked, it is written, and the mail server is led up to `354 go ahead`. Nothing
  can have been taken by then, so a lease that runs out (killed or frozen worker) is simply claimed by the next one.
- Then the row becomes *sending*, committed on its own, and the body goes out. A worker whose lease was taken over
  cannot make that mark and hangs up before the dot.
- From that mark until the answer is committed nobody can know whether the server has the mail. Whatever ends the worker
  in between is treated like a connection that is cut after the dot: *in doubt*, and not sent again by itself. The other
  choice, sending again under the same Message-ID, would hide two receipts from us and not from the customer. The mark is
  made as late as it can be, so that this is a matter of milliseconds. A frozen worker that comes back still settles its
  mail with the answer it got.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from email.message import EmailMessage
from uuid import UUID

from chassis.database import Cause, Tx, transient
from chassis.ids import new_id
from chassis.listeners import persevere
from chassis.service import Runtime
from chassis.telemetry import correlation
from contracts.billing import BillingDefaults, Subscription
from contracts.identity import Customer, Merchant
from contracts.message import Event, MailFacts, MerchantId, NotFound, Problem, system
from contracts.notifications import Mail, MailAccepted, MailDropped, MailFailed, MailInDoubt
from services.notifications import emails, store
from services.notifications.domain import Later, Outcome, Rejected, Unanswered, Untrue, judge, notice_is_due
from services.notifications.mailer import ANSWER_SECONDS, DIALOGUE_SECONDS, Mailer
from services.notifications.settings import Settings
from services.notifications.store import Claimed

log = logging.getLogger("portal.notifications")

_FACTS_SECONDS = 5.0
PREPARING = timedelta(seconds=_FACTS_SECONDS + DIALOGUE_SECONDS + 10)
"""How long a claimed mail belongs to its worker before the body is sent."""
SENDING = timedelta(seconds=ANSWER_SECONDS + 30)
"""How long after that the answer is waited for before the mail is called in doubt."""

_NOTICE_DAYS: int = BillingDefaults.model_fields["renewal_notice_days"].default

_ANNOUNCED: dict[str, type[Event[Mail]]] = {
    "accepted": MailAccepted,
    "failed": MailFailed,
    "dropped": MailDropped,
    "in_doubt": MailInDoubt,
}


async def send_mails(runtime: Runtime, *, settings: Settings, mailer: Mailer, kinds: Mapping[str, emails.Kind]) -> None:
    """Send due mails, a few at once, until cancelled. Mails under way are finished first."""
    under_way: set[asyncio.Task[None]] = set()
    try:
        while True:
            claimed = await _claim(runtime) if len(under_way) < settings.mails_at_once else None
            if claimed is not None:
                delivery = _deliver(runtime, settings, mailer, kinds[claimed.mail.template], claimed)
                task = asyncio.create_task(delivery, name=f"mail {claimed.mail.id}")
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            elif len(under_way) < settings.mails_at_once:
                await runtime.wait(store.CHANNEL, timeout=settings.pick_up_seconds)
            else:
                await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if under_way:
            await asyncio.wait(under_way, timeout=settings.drain_seconds)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def find_abandoned(runtime: Runtime) -> None:
    """Call mails in doubt that a worker began to send and never reported on."""
    for row in await store.abandoned_mails(runtime.db, runtime.clock.now()):
        cause = _cause(row["merchant_id"], row["occasion"], row["correlation_id"])
        async with runtime.db.transaction(cause) as tx:
            reason = "We stopped while the mail was being handed over, so it may have been taken."
            changed = await store.doubt_mail(tx, row["id"], reason)
            if changed is not None:
                tx.announce(MailInDoubt(state=store.mail_state(changed)), sequence=changed["sequence"])


async def announce_renewals(runtime: Runtime, *, queue: Callable[[Tx, Subscription], Awaitable[None]]) -> None:
    """Queue a mail about each charge that its merchant wants announced by today, once for each charge."""
    after = UUID(int=0)
    while rows := await store.next_charges(runtime.db, runtime.clock.now().date() - timedelta(days=1), after):
        after = rows[-1]["id"]
        for row in rows:
            agreed = Subscription.model_validate_json(row["state"])
            merchant = await store.known_merchant(runtime.db, agreed.merchant_id)
            if merchant is not None and _announced_today(agreed, merchant, row["notice_days"], runtime.clock.now()):
                assert agreed.next_charge is not None
                occasion = f"renewal-{agreed.next_charge.on}"
                async with runtime.db.transaction(_cause(agreed.merchant_id, occasion, str(new_id()))) as tx:
                    await queue(tx, agreed)


def _announced_today(agreed: Subscription, merchant: Merchant, notice_days: int | None, now: datetime) -> bool:
    """From nine in the morning where the merchant is, as charges are made."""
    local = now.astimezone(emails.Reader.of(merchant.locale, merchant.time_zone).zone)
    last = agreed.current_period.starts_on if agreed.current_period else None
    days = _NOTICE_DAYS if notice_days is None else notice_days
    charge = agreed.next_charge
    return charge is not None and local.hour >= 9 and notice_is_due(charge.on, last, days, local.date())


async def _claim(runtime: Runtime) -> Claimed | None:
    now = runtime.clock.now()
    try:
        return await store.claim_due_mail(runtime.db, new_id(), now, now + PREPARING)
    except Exception as error:
        if not transient(error):
            raise
        log.warning("The database cannot do it yet; trying again.", extra={"error": repr(error)})
        await asyncio.sleep(0.5)
        return None


async def _deliver(runtime: Runtime, settings: Settings, mailer: Mailer, kind: emails.Kind, claimed: Claimed) -> None:
    """Bring one claimed mail to its next state, whatever happens."""
    token = correlation.set(claimed.correlation_id)
    try:
        outcome = await _attempt(runtime, settings, mailer, kind, claimed)
        if outcome is not None:
            # The answer is known and must not be lost: the database may be away for longer than this mail's lease.
            await persevere(lambda: _settle(runtime, claimed, outcome))
    except Exception:
        # A surprise of ours, not the mail's end: its lease runs out and it comes round again, or is found abandoned.
        log.exception("A mail could not be dealt with.", extra={"mail_id": str(claimed.mail.id)})
    finally:
        correlation.reset(token)


async def _attempt(
    runtime: Runtime, settings: Settings, mailer: Mailer, kind: emails.Kind, claimed: Claimed
) -> Outcome | None:
    try:
        written = await _write(runtime, settings, kind, claimed)
    except emails.UnusableAddress as unusable:
        return Rejected(str(unusable))
    except Exception:
        log.exception("A mail could not be written.", extra={"mail_id": str(claimed.mail.id)})
        return Later("It could not be written; the log says why.")
    if not isinstance(written, EmailMessage):
        return written

    async def begin() -> bool:
        now = runtime.clock.now()
        return await store.begin_sending(runtime.db, claimed.mail.id, claimed.lease, now, now + SENDING)

    return await mailer.send(written, begin=begin)


async def _settle(runtime: Runtime, claimed: Claimed, outcome: Outcome) -> None:
    mail = claimed.mail
    async with runtime.db.transaction(_cause(mail.merchant_id, mail.occasion, claimed.correlation_id)) as tx:
        verdict = judge(outcome, tries=claimed.tries, queued_at=mail.queued_at, now=tx.now)
        row = await store.settle_mail(tx, mail.id, claimed.lease, verdict)
        if row is not None and verdict.status in _ANNOUNCED:
            tx.announce(_ANNOUNCED[verdict.status](state=store.mail_state(row)), sequence=row["sequence"])
    log.info(
        "A mail was dealt with.", extra={"mail_id": str(mail.id), "status": verdict.status, "reason": verdict.reason}
    )


def _cause(merchant_id: MerchantId, occasion: str, correlation_id: str) -> Cause:
    """What happens to a mail belongs to the chain of the event that caused it."""
    return Cause(system("notifications"), merchant_id, occasion, correlation_id)


# --- writing ----------------------------------------------------------------------------------------------------------


async def _write(
    runtime: Runtime, settings: Settings, kind: emails.Kind, claimed: Claimed
) -> EmailMessage | Untrue | Unanswered:
    """Ask whether the mail is still true, and write it as things stand now."""
    mail = claimed.mail
    merchant = await store.known_merchant(runtime.db, mail.merchant_id)
    if merchant is None:
        return Unanswered("The merchant is not known here yet.")
    facts = await _facts(runtime, claimed, kind)
    if isinstance(facts, Untrue | Unanswered):
        return facts
    portal = settings.public_url.rstrip("/")
    values = kind.values(claimed.event, facts, portal)
    customer = mail.customer_id and await store.known_customer(runtime.db, mail.merchant_id, mail.customer_id)
    if kind.to == "customer":
        values = emails.for_customer(values, customer or None, portal)
    logo = emails.Picture.of(await store.known_logo(runtime.db, mail.merchant_id))
    words = emails.render(mail.template, _reader(customer or None, merchant, kind), merchant, logo, values)
    return emails.message(
        words,
        sender=settings.mail_from,
        recipient=mail.recipient or "",
        message_id=mail.message_id,
        sent_at=mail.queued_at,
        merchant=merchant,
        logo=logo,
    )


async def _facts(runtime: Runtime, claimed: Claimed, kind: emails.Kind) -> MailFacts | Untrue | Unanswered:
    """The owner's word on a mail; a report of what has happened stays true, and at most needs a link."""
    mail = claimed.mail
    cause = _cause(mail.merchant_id, mail.occasion, claimed.correlation_id)
    question = await kind.ask(runtime.db, claimed.event)
    if question is None:
        return MailFacts(still_true=True)
    try:
        reply = await runtime.rpc.ask(question, cause, timeout=_FACTS_SECONDS)
    except NotFound as gone:
        return Untrue(gone.detail)
    except Problem as silent:
        return Unanswered(silent.detail)
    if not reply.result.still_true:
        return Untrue(reply.result.why_not or "It is no longer true.")
    return reply.result


def _reader(customer: Customer | None, merchant: Merchant, kind: emails.Kind) -> emails.Reader:
    """The customer's language and time zone; the merchant's for its own mails, and while the customer is not known."""
    if kind.to == "merchant":
        return emails.Reader.of(merchant.locale, merchant.time_zone)
    known = customer or merchant
    return emails.Reader.of(known.locale, known.time_zone)
