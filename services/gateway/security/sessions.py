"""Sessions: opaque 256-bit tokens, of which only the SHA-256 is stored. One SELECT checks session, membership and access."""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from pydantic import TypeAdapter

from chassis.copies import noun_of
from chassis.ids import new_id
from chassis.tokens import digest
from contracts.identity import Account, Merchant, SignedIn
from contracts.message import Actor, CustomerId, EventEnvelope, NotFound, PersonId
from services.gateway.domain import IDLE, TOUCH_EVERY, Viewer, expires_at

ENDED = "session_ended"
"""The channel that tells every replica a session's id once it is gone, so that its event streams close."""

_ACCOUNTS = TypeAdapter(tuple[Account, ...])


class Statements(Protocol):
    """What both the pool and an open transaction offer."""

    async def fetch(self, sql: str, *parameters: Any) -> list[Any]: ...  # noqa: D102 - asyncpg's
    async def fetchrow(self, sql: str, *parameters: Any) -> Any: ...  # noqa: D102 - asyncpg's
    async def fetchval(self, sql: str, *parameters: Any) -> Any: ...  # noqa: D102 - asyncpg's
    async def execute(self, sql: str, *parameters: Any) -> str: ...  # noqa: D102 - asyncpg's


@dataclass(frozen=True)
class Session:
    """Somebody signed in. `account` is where they work now: None when they have no place left to work in.

    `accounts` are those they may switch to, by the read model as it is now, so a lost membership counts at once.
    `merchant` is the current account's merchant; `logo_version` (its logo's sequence, None without a logo) goes into
    the logo's address so that browsers may keep it.
    """

    id: UUID
    person_id: PersonId
    name: str
    email: str
    locale: str
    time_zone: str
    account: Account | None
    accounts: tuple[Account, ...]
    csrf: str
    expires_at: datetime
    created_at: datetime
    last_seen_at: datetime
    merchant: Merchant | None = None
    logo_version: int | None = None

    @property
    def is_member(self) -> bool:
        """Whether the current account is a merchant's console."""
        return self.account is not None and self.account.kind == "merchant"

    @property
    def viewer(self) -> Viewer | None:
        """Whose eyes this session's queries read with."""
        if self.account is None:
            return None
        customer = None if self.is_member else CustomerId(self.account.id)
        return Viewer(self.account.merchant_id, customer)

    @property
    def actor(self) -> Actor:
        """Who stands behind this session's commands."""
        if self.account is None:
            return Actor(kind="person", id=self.person_id, name=self.name)
        return Actor(
            kind="member" if self.is_member else "contact",
            id=self.person_id,
            name=self.name,
            role=self.account.role,
            merchant_id=self.account.merchant_id,
            customer_id=None if self.is_member else CustomerId(self.account.id),
        )


@dataclass(frozen=True)
class OwnSession:
    """One of a person's sessions, as they see it in their list."""

    id: UUID
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    user_agent: str
    current: bool


def csrf_of(token: str, account_id: UUID | None = None) -> str:
    """The CSRF token that belongs to a secret cookie: derived, so nothing more is stored and neither reveals the other.

    Of a session it belongs to the current account as well: a form that was opened in one account must not be carried out
    in another, which a second tab has switched to since.
    """
    text = f"csrf {account_id}" if account_id else "csrf"
    return urlsafe_b64encode(hmac.digest(token.encode(), text.encode(), "sha256")).rstrip(b"=").decode()


async def open_session(
    tx: Statements, signed_in: SignedIn, *, now: datetime, user_agent: str, account: Account | None
) -> str:
    """Store a new session and return its token, which is nowhere else."""
    token = secrets.token_urlsafe(32)
    await tx.execute(
        """
        INSERT INTO session (id, token_sha256, person_id, name, email, locale, time_zone, account_kind, account_id,
                             merchant_id, created_at, last_seen_at, expires_at, user_agent)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12, $13)
        """,
        new_id(),
        digest(token),
        signed_in.person_id,
        signed_in.name,
        signed_in.email,
        signed_in.locale,
        signed_in.time_zone,
        account.kind if account else None,
        account.id if account else None,
        account.merchant_id if account else None,
        now,
        expires_at(now),
        user_agent,
    )
    return token


async def last_account(tx: Statements, person_id: UUID) -> UUID | None:
    """The account that a person chose last, on any device."""
    found: UUID | None = await tx.fetchval("SELECT account_id FROM last_account WHERE person_id = $1", person_id)
    return found


async def remember_account(tx: Statements, person_id: UUID, account_id: UUID) -> None:
    """Let the next sign-in begin where this one is."""
    await tx.execute(
        """
        INSERT INTO last_account (person_id, account_id) VALUES ($1, $2)
        ON CONFLICT (person_id) DO UPDATE SET account_id = excluded.account_id
        """,
        person_id,
        account_id,
    )


_FIND = """
    SELECT s.id, s.person_id, s.created_at, s.last_seen_at, s.expires_at, s.account_id,
           coalesce(p.state->>'name', s.name) AS name, coalesce(p.state->>'email', s.email) AS email,
           coalesce(p.state->>'locale', s.locale) AS locale, coalesce(p.state->>'time_zone', s.time_zone) AS time_zone,
           m.state AS merchant,
           CASE WHEN l.state->>'png_base64' IS NOT NULL THEN l.sequence END AS logo_version,
           (SELECT coalesce(jsonb_agg(a ORDER BY a.merchant_name, a.kind DESC, a.name, a.id), '[]') FROM accounts_of(s.person_id) AS a)
               AS accounts
    FROM session AS s
    LEFT JOIN copy_person AS p ON p.id = s.person_id
    LEFT JOIN copy_merchant AS m ON m.id = s.merchant_id
    LEFT JOIN copy_logo AS l ON l.id = s.merchant_id
    WHERE s.token_sha256 = $1 AND s.expires_at > $2
      AND (s.account_kind IS NOT DISTINCT FROM 'merchant' OR s.last_seen_at > $3)
"""


async def find_session(db: Statements, token: str, now: datetime) -> Session | None:
    """The living session of a token, with everything that decides what it may do."""
    row = await db.fetchrow(_FIND, digest(token), now, now - IDLE)
    if row is None:
        return None
    accounts = _ACCOUNTS.validate_json(row["accounts"])
    account = next((each for each in accounts if each.id == row["account_id"]), None)
    return Session(
        id=row["id"],
        person_id=PersonId(row["person_id"]),
        name=row["name"],
        email=row["email"],
        locale=row["locale"],
        time_zone=row["time_zone"],
        account=account,
        accounts=accounts,
        csrf=csrf_of(token, account.id if account else None),
        expires_at=row["expires_at"],
        created_at=row["created_at"],
        last_seen_at=row["last_seen_at"],
        merchant=Merchant.model_validate_json(row["merchant"]) if account and row["merchant"] else None,
        logo_version=row["logo_version"],
    )


async def touch_session(db: Statements, session: Session, now: datetime) -> None:
    """Write the last-seen time, at most once a minute."""
    if now - session.last_seen_at >= TOUCH_EVERY:
        await db.execute(
            "UPDATE session SET last_seen_at = $2 WHERE id = $1 AND last_seen_at < $2 AND expires_at > $2",
            session.id,
            now,
        )


async def session_still_holds(db: Statements, session: Session, now: datetime) -> bool:
    """Whether a session that a stream was opened with is still good, in the same account. Does not count as activity."""
    found: bool = await db.fetchval(
        """
        SELECT EXISTS (
            SELECT FROM session AS s
            WHERE s.id = $1 AND s.expires_at > $2 AND s.account_id IS NOT DISTINCT FROM $4
              AND (s.account_kind IS NOT DISTINCT FROM 'merchant' OR s.last_seen_at > $3)
              AND (s.account_id IS NULL OR s.account_id IN (SELECT a.id FROM accounts_of(s.person_id) AS a))
        )
        """,
        session.id,
        now,
        now - IDLE,
        session.account.id if session.account else None,
    )
    return found


async def choose_account(tx: Statements, session: Session, account: Account) -> None:
    """Make `account` the session's current one."""
    await tx.execute(
        "UPDATE session SET account_kind = $2, account_id = $3, merchant_id = $4 WHERE id = $1",
        session.id,
        account.kind,
        account.id,
        account.merchant_id,
    )
    await remember_account(tx, session.person_id, account.id)
    # Its open streams were filtered for the other account: they end and come back.
    await tx.execute("SELECT pg_notify($1, $2)", ENDED, str(session.id))


async def list_sessions(db: Statements, session: Session, now: datetime) -> tuple[OwnSession, ...]:
    """The person's living sessions, newest first."""
    rows = await db.fetch(
        """
        SELECT id, created_at, last_seen_at, expires_at, user_agent FROM session
        WHERE person_id = $1 AND expires_at > $2
          AND (account_kind IS NOT DISTINCT FROM 'merchant' OR last_seen_at > $3)
        ORDER BY id DESC LIMIT 100
        """,
        session.person_id,
        now,
        now - IDLE,
    )
    return tuple(OwnSession(**dict(row), current=row["id"] == session.id) for row in rows)


async def revoke_session(db: Statements, session: Session, session_id: UUID) -> None:
    """End one of the person's own sessions everywhere. Raises NotFound for anybody else's."""
    status = await db.execute("DELETE FROM session WHERE id = $1 AND person_id = $2", session_id, session.person_id)
    if status == "DELETE 0":
        raise NotFound


async def end_lost_sessions(tx: Statements, events: Iterable[EventEnvelope]) -> None:
    """End the sessions of whoever these events shut out: a member or contact gone, a customer archived or disabled.

    Called after the copies were upserted: what they say now decides, in whatever order events came. A trigger tells the
    sessions' streams.
    """
    for event in events:
        state: Any = event.data["state"]
        lost: tuple[UUID | None, UUID | None]
        match noun_of(event.type):
            case "identity.member" if state.get("deleted"):
                lost = (event.merchantid, UUID(state["person_id"]))
            case "identity.contact" if state.get("deleted") or not state.get("active"):
                lost = (UUID(state["customer_id"]), UUID(state["person_id"]))
            case "identity.customer" if (
                state.get("deleted") or state.get("archived") or state.get("portal_access") == "disabled"
            ):
                lost = (UUID(event.subject), None)
            case _:
                continue
        await tx.execute(
            """
            DELETE FROM session AS s
            WHERE s.account_id = $1 AND ($2::uuid IS NULL OR s.person_id = $2)
              AND NOT EXISTS (SELECT FROM accounts_of(s.person_id) AS a WHERE a.id = $1)
            """,
            *lost,
        )


async def forget_dead_sessions(db: Statements, now: datetime) -> None:
    """Delete what nobody can use any more."""
    await db.execute(
        """
        DELETE FROM session
        WHERE expires_at <= $1 OR (account_kind IS DISTINCT FROM 'merchant' AND last_seen_at <= $2)
        """,
        now,
        now - IDLE,
    )
