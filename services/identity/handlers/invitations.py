"""Invitations: sent, shown, renewed and taken back. `acceptance.py` uses them.

Locks are taken in one order, customer before invitation, so that two tabs never wait for each other.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from uuid import UUID

from chassis.database import Tx
from chassis.ids import new_id
from chassis.requests import Commands, Questions, Work
from chassis.tokens import derive, digest
from contracts.identity import (
    ContactRole,
    Customer,
    CustomerChanged,
    IdentityMailFacts,
    Invitation,
    InvitationNotUsable,
    InvitationRevoked,
    InvitationSent,
    InvitationSuperseded,
    InvitationView,
    RenewInvitation,
    RevokeInvitation,
    SendInvitation,
    ViewInvitation,
)
from contracts.message import (
    Conflict,
    CustomerId,
    InvalidInput,
    InvitationId,
    MailFacts,
    NotAllowed,
    NotFound,
    TooManyAttempts,
    utc,
)
from services.identity.domain.access import why_not_customers, why_not_invite
from services.identity.domain.inputs import mistakes
from services.identity.domain.invitations import LIFETIME, Dead, explain, renewable, why_dead
from services.identity.domain.limits import FRESH_MAILS
from services.identity.handlers.people import within_limits
from services.identity.store import attempts, customers, invitations, merchants, people

# A resent invitation is a new one with an id of its own, so no invitation ever needs a second token.
_GENERATION = 1


async def send_invitation(tx: Tx, command: SendInvitation, *, key: str) -> Invitation:
    """Mail an invitation; the address's pending one, if any, stops working."""
    actor, by_pay_link = tx.cause.actor, command.origin == "pay_link"
    _allowed(why_not_invite(actor, by_pay_link=by_pay_link, to_another_address=command.email is not None))
    if by_pay_link and actor.customer_id not in (None, command.customer_id):
        raise NotFound
    errors = mistakes({"email": command.email})
    if errors:
        raise InvalidInput(errors=errors)
    customer = await customers.lock_customer(tx, tx.merchant, command.customer_id)
    if shut_out(customer):
        raise Conflict("This customer is archived or may not use the portal.")
    email = command.email or customer.email or ""
    if by_pay_link:
        await _count_mail(tx, customer.id, email)
    elif await people.has_access(tx, customer.id, email):
        # Somebody with a pay link is not told this: they get the mail, which says to sign in.
        raise Conflict(f"{email} uses this customer's portal already.")
    invited_by = "" if by_pay_link else actor.name
    return await _send(tx, key, customer, email, command.role, command.origin, invited_by)


async def renew_invitation(tx: Tx, command: RenewInvitation, *, key: str) -> None:
    """Mail a fresh link to the address of a dead or unused one. Whoever asks learns nothing, whatever happens."""
    found = await invitations.find_by_token(tx, digest(command.token))
    if found is None:
        return
    old = found.invitation
    customer = await customers.lock_customer(tx, old.merchant_id, old.customer_id)
    email = old.email or ""
    latest = await invitations.latest_of_address(tx, customer.id, email)
    if shut_out(customer) or not renewable(latest.status):
        return
    try:
        await _count_mail(tx, customer.id, email)
    except TooManyAttempts:
        return
    await _send(tx, key, customer, email, latest.role, latest.origin, latest.invited_by)


async def revoke_invitation(tx: Tx, command: RevokeInvitation) -> Invitation:
    """Take a pending invitation back."""
    _allowed(why_not_customers(tx.cause.actor))
    invitation = await invitations.lock_invitation(tx, tx.merchant, command.invitation_id)
    refuse_dead(invitation, shut_out=False, now=tx.now)
    revoked = invitation.model_copy(update={"status": "revoked"})
    tx.announce(InvitationRevoked(state=revoked), sequence=await invitations.save_invitation(tx, revoked))
    return revoked


async def view_invitation(work: Work, question: ViewInvitation) -> InvitationView:
    """Show what a link offers. Nothing changes, however often: mail scanners open links."""
    found = await find_usable(work, question.token)
    invitation = found.invitation
    # Somebody else at the customer's may have been invited: then we do not know what they are called.
    same_address = (invitation.email or "").lower() == found.customer_email.lower()
    return InvitationView(
        invitation_id=InvitationId(invitation.id),
        merchant_id=invitation.merchant_id,
        merchant_name=found.merchant_name,
        customer_id=invitation.customer_id,
        customer_name=found.customer_name,
        email=invitation.email or "",
        name=found.customer_name if same_address else "",
        has_account=found.has_account,
    )


async def mail_facts(work: Work, question: IdentityMailFacts, *, key: str) -> MailFacts:
    """Whether an invitation's mail should still go out, and the link that goes in it."""
    actor, merchant_id = work.cause.actor, work.cause.merchant_id
    if actor.kind != "system":
        _allowed(why_not_customers(actor))
    if merchant_id is None:
        raise NotFound
    found = await invitations.find_by_id(work.db, merchant_id, question.id)
    invitation = found.invitation
    dead = why_dead(invitation.status, invitation.expires_at, shut_out=found.shut_out, now=work.db.clock.now())
    if dead:
        return MailFacts(still_true=False, why_not=f"The invitation is {dead}.")
    return MailFacts(
        still_true=True,
        path=f"/invitations/{_token(key, invitation.id)}",
        facts={
            "merchant_name": found.merchant_name,
            "customer_name": found.customer_name,
            "invited_by": invitation.invited_by,
            "expires_at": utc(invitation.expires_at),
            "has_account": found.has_account,
        },
    )


async def find_usable(work: Work, token: str) -> invitations.Found:
    """The invitation that a token belongs to. Raises InvitationNotUsable."""
    found = await invitations.find_by_token(work.db, digest(token))
    if found is None:
        raise _not_usable("unknown")
    refuse_dead(found.invitation, shut_out=found.shut_out, now=work.db.clock.now())
    return found


def refuse_dead(invitation: Invitation, *, shut_out: bool, now: datetime) -> None:
    """Raises InvitationNotUsable unless the invitation can be used."""
    why = why_dead(invitation.status, invitation.expires_at, shut_out=shut_out, now=now)
    if why:
        raise _not_usable(why)


def shut_out(customer: Customer) -> bool:
    """Whether nobody of this customer may use the portal."""
    return customer.archived or customer.portal_access == "disabled"


async def _send(
    tx: Tx, key: str, customer: Customer, email: str, role: ContactRole, origin: str, invited_by: str
) -> Invitation:
    for old in await invitations.lock_pending(tx, customer.id, email):
        superseded = old.model_copy(update={"status": "superseded"})
        tx.announce(InvitationSuperseded(state=superseded), sequence=await invitations.save_invitation(tx, superseded))
    invitation = Invitation.model_validate(
        {
            "id": new_id(),
            "merchant_id": customer.merchant_id,
            "customer_id": CustomerId(customer.id),
            "email": email,
            "role": role,
            "origin": origin,
            "status": "pending",
            "invited_by": invited_by or await merchants.name_of(tx, customer.merchant_id),
            "expires_at": tx.now + LIFETIME,
            "created_at": tx.now,
        }
    )
    await invitations.insert_invitation(tx, invitation, digest(_token(key, invitation.id)))
    tx.announce(InvitationSent(state=invitation), sequence=1)
    if customer.portal_access == "none":
        invited = customer.model_copy(update={"portal_access": "invited"})
        tx.announce(CustomerChanged(state=invited), sequence=await customers.save_customer(tx, invited))
    return invitation


async def _count_mail(tx: Tx, customer_id: UUID, email: str) -> None:
    """Raises TooManyAttempts when the address got enough mails that nobody of the team asked for."""
    bucket = digest(f"invitation {customer_id} {email.lower()}")
    await within_limits(tx, {bucket: FRESH_MAILS})
    await attempts.count_attempt(tx, new_id(), [bucket], tx.now)


def _token(key: str, invitation_id: UUID) -> str:
    return derive(key, "invitation", invitation_id, _GENERATION)


def _not_usable(why: Dead) -> InvitationNotUsable:
    return InvitationNotUsable(explain(why), why=why)


def _allowed(reason: str | None) -> None:
    if reason:
        raise NotAllowed(reason)


def commands(key: str) -> Commands:
    """Which function answers which command. Links are derived from `key`."""
    return {
        SendInvitation: partial(send_invitation, key=key),
        RevokeInvitation: revoke_invitation,
        RenewInvitation: partial(renew_invitation, key=key),
    }


def answers(key: str) -> Questions:
    """Which function answers which question."""
    return {ViewInvitation: view_invitation, IdentityMailFacts: partial(mail_facts, key=key)}
