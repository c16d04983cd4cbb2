"""Passwords, and what a person changes about themselves."""

from __future__ import annotations

from functools import partial

from chassis.database import Database, Tx
from chassis.ids import new_id
from chassis.requests import Commands, Questions, Work
from chassis.tokens import digest
from contracts.identity import (
    ContactChanged,
    MemberChanged,
    Person,
    PersonChanged,
    SignedIn,
    SignIn,
    UpdatePerson,
    WrongCredentials,
)
from contracts.message import InvalidInput, NotAllowed, TooManyAttempts
from services.identity.domain.access import why_not_own_profile
from services.identity.domain.inputs import mistakes
from services.identity.domain.limits import PER_ACCOUNT, PER_NETWORK_ADDRESS, Limit, retry_after
from services.identity.security import Passwords
from services.identity.store import attempts, people


async def sign_in(work: Work, question: SignIn, *, passwords: Passwords) -> SignedIn:
    """Check a password. An address without an account costs the same time and gets the same answer."""
    person = await check_password(work, passwords, question.email, question.password, question.address)
    return await people.signed_in(work.db, person)


async def check_password(
    work: Work, passwords: Passwords, email: str, password: str, network_address: str = ""
) -> Person:
    """Whose password this is. Raises WrongCredentials, or without looking TooManyAttempts or NotAccepted.

    The attempt counts as a failure until it has succeeded: a crash in between, or a hundred attempts at once, gain nothing.
    """
    account = digest(f"account {email.lower()}")
    buckets = {account: PER_ACCOUNT}
    if network_address:
        buckets[digest(f"network {network_address}")] = PER_NETWORK_ADDRESS
    attempt = new_id()
    async with work.transaction() as tx:
        await within_limits(tx, buckets)
        passwords.refuse_when_full()
        await attempts.count_attempt(tx, attempt, list(buckets), tx.now)
    credential = await people.credential_of(work.db, email)
    fits = await passwords.fits(password, credential.password_hash if credential else None)
    if credential is None or not fits:
        raise WrongCredentials
    await attempts.forget_attempts(work.db, attempt, account)
    await _rehash(work.db, passwords, credential, password)
    return credential.person


async def within_limits(tx: Tx, buckets: dict[str, Limit]) -> None:
    """Raises TooManyAttempts when a bucket is full. Until the transaction ends nobody else counts in these buckets."""
    for bucket in sorted(buckets):  # in one order, so that two attempts cannot wait for each other
        limit = buckets[bucket]
        await attempts.lock_bucket(tx, bucket)
        earlier = await attempts.attempts_since(tx, bucket, tx.now - limit.window)
        seconds = retry_after(limit, earlier, tx.now)
        if seconds is not None:
            raise TooManyAttempts(retry_after=seconds)


async def _rehash(db: Database, passwords: Passwords, credential: people.Credential, password: str) -> None:
    """Bring an old hash up to today's parameters: only now do we know the password."""
    if passwords.outdated(credential.password_hash):
        fresh = await passwords.hash(password)
        await people.replace_hash(db, credential.person.id, credential.password_hash, fresh)


async def update_person(tx: Tx, command: UpdatePerson) -> Person:
    """Change one's own name, language or time zone. A new name also shows in every team and portal."""
    actor = tx.cause.actor
    reason = why_not_own_profile(actor)
    if reason or actor.id is None:
        raise NotAllowed(reason or "")
    errors = mistakes(command.model_dump())
    if errors:
        raise InvalidInput(errors=errors)
    person = await people.lock_person(tx, actor.id)
    changed = person.model_copy(update=command.model_dump(exclude_none=True))
    if changed == person:
        return person
    tx.announce(PersonChanged(state=changed), sequence=await people.save_person(tx, changed))
    if changed.name != person.name:
        for member, sequence in await people.touch_members(tx, person.id):
            tx.announce(MemberChanged(state=member), sequence=sequence)
        for contact, sequence in await people.touch_contacts(tx, person.id):
            tx.announce(ContactChanged(state=contact), sequence=sequence)
    return changed


COMMANDS: Commands = {UpdatePerson: update_person}
"""Which function answers which command."""


def answers(passwords: Passwords) -> Questions:
    """Which function answers which question."""
    return {SignIn: partial(sign_in, passwords=passwords)}
