"""The button on an invitation's page: the way in for somebody new, and for somebody who has an account already."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from chassis.database import Tx
from chassis.ids import new_id
from chassis.requests import Commands, Work, steps
from contracts.identity import (
    AcceptInvitation,
    Contact,
    ContactJoined,
    Customer,
    CustomerChanged,
    Invitation,
    InvitationAccepted,
    Person,
    PersonCreated,
    SignedIn,
)
from contracts.message import Conflict, FieldError, InvalidInput, PersonId
from services.identity.domain.inputs import mistakes
from services.identity.handlers.invitations import find_usable, refuse_dead, shut_out
from services.identity.handlers.people import check_password
from services.identity.security import Passwords
from services.identity.store import customers, invitations, people
from services.identity.store.invitations import Found


async def accept_invitation(work: Work, command: AcceptInvitation, *, passwords: Passwords) -> SignedIn:
    """Check or hash the password outside any transaction, then let the person in. Of two tabs, one wins."""
    found = await find_usable(work, command.token)
    invitation = found.invitation
    password_hash = None
    if found.has_account:
        person = await check_password(work, passwords, invitation.email or "", command.password)
    else:
        person = _new_person(command, found, work.db.clock.now())
        passwords.refuse_when_full()
        password_hash = await passwords.hash(command.password)
    async with work.transaction() as tx:
        customer = await customers.lock_customer(tx, invitation.merchant_id, invitation.customer_id)
        invitation = await invitations.lock_invitation(tx, invitation.merchant_id, invitation.id)
        refuse_dead(invitation, shut_out=shut_out(customer), now=tx.now)
        if password_hash is not None:
            if not await people.insert_person(tx, person, password_hash):
                # Another invitation of theirs was accepted in this moment; its password was not checked here.
                raise Conflict("This address has just got an account. Please use its password.")
            tx.announce(PersonCreated(state=person), sequence=1)
        await _join(tx, invitation, customer, person)
        result = await people.signed_in(tx, person)
        tx.reply(result)
    return result


def _new_person(command: AcceptInvitation, found: Found, now: datetime) -> Person:
    errors = [*mistakes({"locale": command.locale, "time_zone": command.time_zone})]
    if command.name is None:
        errors.append(FieldError(field="name", message="Please say what you are called."))
    if errors:
        raise InvalidInput(errors=tuple(errors))
    return Person(
        id=new_id(),
        name=command.name,
        email=found.invitation.email,
        locale=command.locale or found.customer_locale,
        time_zone=command.time_zone or found.customer_time_zone,
        created_at=now,
    )


async def _join(tx: Tx, invitation: Invitation, customer: Customer, person: Person) -> None:
    accepted = invitation.model_copy(update={"status": "accepted", "accepted_at": tx.now})
    tx.announce(InvitationAccepted(state=accepted), sequence=await invitations.save_invitation(tx, accepted))
    contact = Contact(
        id=new_id(),
        merchant_id=invitation.merchant_id,
        customer_id=invitation.customer_id,
        person_id=PersonId(person.id),
        role=invitation.role,
        name=person.name,
        email=person.email,
        active=True,
        created_at=tx.now,
    )
    joined = await people.let_in(tx, contact)
    if joined is not None:
        state, sequence = joined
        tx.announce(ContactJoined(state=state), sequence=sequence)
    if customer.portal_access != "active":
        active = customer.model_copy(update={"portal_access": "active"})
        tx.announce(CustomerChanged(state=active), sequence=await customers.save_customer(tx, active))


def commands(passwords: Passwords) -> Commands:
    """Which function answers which command."""
    return {AcceptInvitation: steps(partial(accept_invitation, passwords=passwords))}
