"""What the tests of identity start from: a merchant that exists, and who works there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chassis.testing import Harness, rows
from chassis.tokens import derive
from contracts.identity import CreateCustomer, Customer, Invitation, SendInvitation
from contracts.message import Actor, CustomerId, EventEnvelope, MerchantId

SECRET_KEY = "a key for tests of identity alone"
PASSWORD = "correct horse battery"
PUBLIC = Actor(kind="public")


@dataclass
class Office:
    """A merchant that exists, and who works there."""

    h: Harness
    merchant_id: MerchantId
    person_id: UUID
    admin: Actor

    def member(self, role: str, *, name: str = "Max") -> Actor:
        return Actor(kind="member", id=self.person_id, name=name, role=role, merchant_id=self.merchant_id)

    async def customer(self, email: str = "ada@example.com", **values: Any) -> Customer:
        command = CreateCustomer(**{"name": "Ada Lovelace", "email": email, **values})
        return await self.h.send(command, actor=self.admin, merchant_id=self.merchant_id)

    async def invite(self, customer: Customer, **values: Any) -> Invitation:
        command = SendInvitation(customer_id=CustomerId(customer.id), **values)
        return await self.h.send(command, actor=self.admin, merchant_id=self.merchant_id)


def token_of(invitation: Invitation) -> str:
    """The secret in the invitation's mail."""
    return derive(SECRET_KEY, "invitation", invitation.id, 1)


class News:
    """What has been announced since this was made."""

    def __init__(self, h: Harness) -> None:
        self._h = h
        self._seen = 0

    async def read(self) -> list[EventEnvelope]:
        events = await self._h.outbox()
        fresh, self._seen = events[self._seen :], len(events)
        return fresh

    async def said(self) -> list[tuple[str, int | None]]:
        """Short type and sequence of each."""
        return [
            (event.type.removeprefix("identity.").removesuffix(".v1"), event.sequence) for event in await self.read()
        ]


async def nothing_kept(h: Harness, *secrets: str) -> None:
    """No table of the service holds any of the secrets, the outbox and the stored replies included."""
    url = h.runtime.settings.database_url
    tables = [
        row["tablename"] for row in await rows(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ]
    assert {"outbox", "command_reply", "invitation", "credential", "attempt"} <= set(tables)
    for table in tables:
        text = str(await rows(url, f'SELECT * FROM "{table}"'))
        assert [secret for secret in secrets if secret in text] == [], table
