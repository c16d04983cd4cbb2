from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

from chassis.database import Database, Row, Tx
from chassis.republish import CurrentRow
from contracts.identity import Account, Contact, Member, Person, SignedIn
from contracts.message import NotFound, PersonId
from services.identity.store.paging import every_row

_PERSON = "person.id, person.sequence, person.name, person.email, person.locale, person.time_zone, person.created_at"
_MEMBER = """member.id, member.sequence, member.merchant_id, member.person_id, member.role, person.name, person.email,
    member.created_at"""
_CONTACT = """contact.id, contact.sequence, contact.merchant_id, contact.customer_id, contact.person_id, contact.role,
    person.name, person.email, contact.active, contact.created_at"""


@dataclass(frozen=True)
class Credential:
    """A person and the hash of their password."""

    person: Person
    password_hash: str = field(repr=False)


def person_state(row: Row) -> Person:
    """The public state of a row of `person`."""
    return Person(**dict(row))


def member_state(row: Row) -> Member:
    """The public state of a row of `member` beside its person's name and address."""
    return Member(**dict(row))


def contact_state(row: Row) -> Contact:
    """The public state of a row of `contact` beside its person's name and address."""
    return Contact(**dict(row))


async def credential_of(db: Database | Tx, email: str) -> Credential | None:
    """The account of an e-mail address, whatever its case."""
    if "\x00" in email:  # PostgreSQL's text has no NUL: it would be an error and not an unknown address
        return None
    row = await db.fetchrow(
        f"""
        SELECT {_PERSON}, credential.password_hash FROM person JOIN credential ON credential.person_id = person.id
        WHERE lower(person.email) = lower($1)
        """,  # noqa: S608 - our own column list
        email,
    )
    return None if row is None else Credential(person_state(row), row["password_hash"])


async def account_exists(db: Database | Tx, email: str) -> bool:
    """Whether somebody signs in with this address."""
    exists: bool = await db.fetchval("SELECT EXISTS (SELECT FROM person WHERE lower(email) = lower($1))", email)
    return exists


async def insert_person(tx: Tx, person: Person, password_hash: str) -> bool:
    """Keep a new person, at sequence 1, and their password; False when the address has an account already."""
    made: UUID | None = await tx.fetchval(
        """
        INSERT INTO person (id, name, email, locale, time_zone, created_at) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (lower(email)) DO NOTHING RETURNING id
        """,
        person.id,
        person.name,
        person.email,
        person.locale,
        person.time_zone,
        person.created_at,
    )
    if made is None:
        return False
    await tx.execute(
        "INSERT INTO credential (person_id, password_hash, changed_at) VALUES ($1, $2, $3)",
        person.id,
        password_hash,
        person.created_at,
    )
    return True


async def replace_hash(db: Database, person_id: UUID, old: str, new: str) -> None:
    """Keep the same password under another hash, unless the password was changed meanwhile."""
    await db.execute(
        "UPDATE credential SET password_hash = $3 WHERE person_id = $1 AND password_hash = $2", person_id, old, new
    )


async def lock_person(tx: Tx, person_id: UUID) -> Person:
    """The person, nobody else changing them until the transaction ends. Raises NotFound."""
    row = await tx.fetchrow(f"SELECT {_PERSON} FROM person WHERE id = $1 FOR UPDATE", person_id)  # noqa: S608 - our own column list
    if row is None:
        raise NotFound
    return person_state(row)


async def save_person(tx: Tx, person: Person) -> int:
    """Overwrite a locked person; returns their new sequence."""
    sequence: int = await tx.fetchval(
        """
        UPDATE person SET name = $2, locale = $3, time_zone = $4, sequence = sequence + 1
        WHERE id = $1 RETURNING sequence
        """,
        person.id,
        person.name,
        person.locale,
        person.time_zone,
    )
    return sequence


async def touch_members(tx: Tx, person_id: UUID) -> list[tuple[Member, int]]:
    """A new version of the person's place in each team, since it shows their name."""
    rows = await tx.fetch(
        f"""
        UPDATE member SET sequence = member.sequence + 1 FROM person
        WHERE person.id = member.person_id AND person.id = $1 RETURNING {_MEMBER}
        """,  # noqa: S608 - our own column list
        person_id,
    )
    return [(member_state(row), row["sequence"]) for row in rows]


async def touch_contacts(tx: Tx, person_id: UUID) -> list[tuple[Contact, int]]:
    """A new version of the person's access to each customer's portal, since it shows their name."""
    rows = await tx.fetch(
        f"""
        UPDATE contact SET sequence = contact.sequence + 1 FROM person
        WHERE person.id = contact.person_id AND person.id = $1 RETURNING {_CONTACT}
        """,  # noqa: S608 - our own column list
        person_id,
    )
    return [(contact_state(row), row["sequence"]) for row in rows]


async def insert_member(tx: Tx, member: Member) -> None:
    """Keep a new member of a team, at sequence 1."""
    await tx.execute(
        "INSERT INTO member (id, merchant_id, person_id, role, created_at) VALUES ($1, $2, $3, $4, $5)",
        member.id,
        member.merchant_id,
        member.person_id,
        member.role,
        member.created_at,
    )


async def let_in(tx: Tx, contact: Contact) -> tuple[Contact, int] | None:
    """Give a person access to a customer's portal, or give it back; None when they have it already."""
    row = await tx.fetchrow(
        """
        INSERT INTO contact (id, merchant_id, customer_id, person_id, role, active, created_at)
        VALUES ($1, $2, $3, $4, $5, true, $6)
        ON CONFLICT (customer_id, person_id)
            DO UPDATE SET active = true, role = EXCLUDED.role, sequence = contact.sequence + 1
            WHERE NOT contact.active
        RETURNING id, sequence, created_at
        """,
        contact.id,
        contact.merchant_id,
        contact.customer_id,
        contact.person_id,
        contact.role,
        contact.created_at,
    )
    if row is None:
        return None
    return contact.model_copy(update={"id": row["id"], "created_at": row["created_at"]}), row["sequence"]


async def has_access(tx: Tx, customer_id: UUID, email: str) -> bool:
    """Whether the person behind the address uses this customer's portal."""
    has: bool = await tx.fetchval(
        """
        SELECT EXISTS (SELECT FROM contact JOIN person ON person.id = contact.person_id
                       WHERE contact.customer_id = $1 AND lower(person.email) = lower($2) AND contact.active)
        """,
        customer_id,
        email,
    )
    return has


async def signed_in(db: Database | Tx, person: Person) -> SignedIn:
    """The person with every account they may use: teams they belong to and portals that are open to them."""
    rows = await db.fetch(
        """
        SELECT merchant.id, 'merchant' AS kind, merchant.name, member.role, merchant.id AS merchant_id,
               merchant.name AS merchant_name
        FROM member JOIN merchant ON merchant.id = member.merchant_id
        WHERE member.person_id = $1
        UNION ALL
        SELECT customer.id, 'customer', customer.name, contact.role, merchant.id, merchant.name
        FROM contact
        JOIN customer ON customer.id = contact.customer_id
        JOIN merchant ON merchant.id = contact.merchant_id
        WHERE contact.person_id = $1 AND contact.active
            AND NOT customer.archived AND customer.portal_access <> 'disabled'
        ORDER BY kind DESC, merchant_name, name, id
        """,
        person.id,
    )
    return SignedIn(
        person_id=PersonId(person.id),
        name=person.name or "",
        email=person.email or "",
        locale=person.locale,
        time_zone=person.time_zone,
        accounts=tuple(Account(**dict(row)) for row in rows),
    )


async def every_person(db: Database) -> AsyncIterator[CurrentRow]:
    """All people as they are now."""
    query = f"SELECT {_PERSON} FROM person WHERE id > $1 ORDER BY id LIMIT $2"  # noqa: S608 - our own column list
    async for row in every_row(db, query):
        yield CurrentRow(person_state(row), row["sequence"])


async def every_member(db: Database) -> AsyncIterator[CurrentRow]:
    """All members of all teams as they are now."""
    query = f"""
        SELECT {_MEMBER} FROM member JOIN person ON person.id = member.person_id
        WHERE member.id > $1 ORDER BY member.id LIMIT $2
        """  # noqa: S608 - our own column list
    async for row in every_row(db, query):
        yield CurrentRow(member_state(row), row["sequence"])


async def every_contact(db: Database) -> AsyncIterator[CurrentRow]:
    """All contacts of all customers as they are now."""
    query = f"""
        SELECT {_CONTACT} FROM contact JOIN person ON person.id = contact.person_id
        WHERE contact.id > $1 ORDER BY contact.id LIMIT $2
        """  # noqa: S608 - our own column list
    async for row in every_row(db, query):
        yield CurrentRow(contact_state(row), row["sequence"])
