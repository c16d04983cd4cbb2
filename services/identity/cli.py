"""What an operator does at the machine: make a merchant and its first admin."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import asyncpg
from pydantic import ValidationError

from chassis.database import Tx
from chassis.ids import new_id
from chassis.requests import invalid_input
from chassis.service import Runtime
from contracts.identity import (
    Colour,
    Member,
    MemberAdded,
    Merchant,
    MerchantCreated,
    Password,
    Person,
    PersonCreated,
    Phone,
    TimeZone,
)
from contracts.message import Currency, EmailAddress, Line, Locale, MerchantId, PersonId, Strict
from services.identity.domain.inputs import mistakes
from services.identity.security import Passwords
from services.identity.store import merchants, people

REFUSED, NOT_VALID, EXISTS = 1, 2, 3
"""Exit codes beside 0; argparse uses 2 for what it does not understand."""


class NewMerchant(Strict):
    """What the command was given."""

    name: Line
    email: EmailAddress
    person: Line
    password: Password
    currency: Currency = "EUR"
    locale: Locale = "en"
    time_zone: TimeZone = "UTC"
    support_email: EmailAddress | None = None
    support_phone: Phone | None = None
    brand_colour: Colour = "#2457d6"


class _Refused(Exception):  # noqa: N818 - a refusal in words, printed as one line
    def __init__(self, exit_code: int, reason: str) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


async def create_merchant(runtime: Runtime, arguments: list[str]) -> int:
    """Make a merchant and its admin; prints one line of JSON: `{"merchant_id", "person_id", "member_id"}`.

    A second run with the same name and address makes nothing, says which merchant there is and ends with 3, so that a
    script that crashed after the first can simply be run again. Somebody who has an account becomes the admin with it,
    and gives its password. Everything else that is wrong is one line on standard error and 1 or 2.
    """
    try:
        asked = _read(arguments)
        ids = await _create(runtime, asked)
    except _Refused as refused:
        print(f"create-merchant: {refused}", file=sys.stderr)  # noqa: T201 - a command's output
        return refused.exit_code
    except asyncpg.LockNotAvailableError:
        print("create-merchant: somebody else makes a merchant right now; run it again.", file=sys.stderr)  # noqa: T201 - the same
        return 1
    print(json.dumps(ids))  # noqa: T201 - a command's output
    return 0


def _read(arguments: list[str]) -> NewMerchant:
    parser = argparse.ArgumentParser(
        "create-merchant", usage=argparse.SUPPRESS, description="Make a merchant and its first admin."
    )
    parser.add_argument("--name", required=True, help="what the merchant is called")
    parser.add_argument("--email", required=True, help="the address with which its admin signs in")
    parser.add_argument("--person", required=True, help="what the admin is called")
    parser.add_argument("--password-stdin", action="store_true", required=True, help="read the password's line there")
    parser.add_argument("--currency", help="ISO 4217, by default EUR")
    parser.add_argument("--locale", help="a language such as en-GB, by default en")
    parser.add_argument("--time-zone", help="such as Europe/Berlin, by default UTC")
    parser.add_argument("--support-email", help="shown to customers")
    parser.add_argument("--support-phone", help="shown to customers")
    parser.add_argument("--brand-colour", help="#rrggbb in small letters")
    given: dict[str, Any] = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value}
    given.pop("password_stdin")
    # Never an argument: every process of the machine can read those.
    given["password"] = sys.stdin.readline().rstrip("\r\n")
    try:
        asked = NewMerchant.model_validate(given)
    except ValidationError as invalid:
        # Without the cause: pydantic's own words would show the password.
        errors = list(invalid_input(invalid).errors)
        raise _Refused(NOT_VALID, "; ".join(f"{each.field}: {each.message}" for each in errors)) from None
    wrong = mistakes(asked.model_dump(exclude={"password"}))
    if wrong:
        raise _Refused(NOT_VALID, "; ".join(f"{each.field}: {each.message}" for each in wrong))
    return asked


async def _create(runtime: Runtime, asked: NewMerchant) -> dict[str, str]:
    passwords = Passwords()
    cause = runtime.system_cause()
    async with runtime.db.transaction(cause) as tx:
        await _refuse_a_second(tx, asked)
    account = await people.credential_of(runtime.db, asked.email)
    if account is None:
        password_hash = await passwords.hash(asked.password)
    elif not await passwords.fits(asked.password, account.password_hash):
        raise _Refused(REFUSED, f"{asked.email} has an account already, and this is not its password.")
    async with runtime.db.transaction(cause) as tx:
        await _refuse_a_second(tx, asked)
        person = account.person if account else await _new_person(tx, asked, password_hash)
        merchant = await _new_merchant(tx, asked)
        member = await _new_admin(tx, merchant, person)
    return {"merchant_id": str(merchant.id), "person_id": str(person.id), "member_id": str(member.id)}


async def _refuse_a_second(tx: Tx, asked: NewMerchant) -> None:
    await merchants.wait_for_other_creations(tx)
    existing = await merchants.find_merchant_of_admin(tx, asked.name, asked.email)
    if existing is not None:
        raise _Refused(EXISTS, f"{asked.email} is an admin of a merchant “{asked.name}” already: {existing}")


async def _new_merchant(tx: Tx, asked: NewMerchant) -> Merchant:
    merchant_id = MerchantId(new_id())
    chosen = asked.model_dump(exclude={"email", "person", "password"})
    merchant = Merchant(**chosen, id=merchant_id, merchant_id=merchant_id, created_at=tx.now)
    await merchants.insert_merchant(tx, merchant)
    tx.announce(MerchantCreated(state=merchant), sequence=1)
    return merchant


async def _new_person(tx: Tx, asked: NewMerchant, password_hash: str) -> Person:
    person = Person(
        id=new_id(),
        name=asked.person,
        email=asked.email,
        locale=asked.locale,
        time_zone=asked.time_zone,
        created_at=tx.now,
    )
    if not await people.insert_person(tx, person, password_hash):
        raise _Refused(REFUSED, f"{asked.email} got an account in this moment. Please try again.")
    tx.announce(PersonCreated(state=person), sequence=1)
    return person


async def _new_admin(tx: Tx, merchant: Merchant, person: Person) -> Member:
    member = Member(
        id=new_id(),
        merchant_id=merchant.merchant_id,
        person_id=PersonId(person.id),
        role="admin",
        name=person.name,
        email=person.email,
        created_at=tx.now,
    )
    await people.insert_member(tx, member)
    tx.announce(MemberAdded(state=member), sequence=1)
    return member
