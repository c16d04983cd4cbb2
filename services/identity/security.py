"""Passwords. The only importer of argon2."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from contracts.message import NotAccepted

# argon2id, RFC 9106's second recommended choice with one lane: 64 MiB, three passes.
_MEMORY_KIB = 64 * 1024
_PASSES = 3
MOST_IN_LINE = 12
"""Two seconds of hashing; several times that where the processor is shared, and a question's deadline is ten."""


class Passwords:
    """Makes and checks hashes, one at a time and off the event loop: each takes 64 MiB and some 160 ms of CPU."""

    def __init__(self, *, memory_kib: int = _MEMORY_KIB, passes: int = _PASSES) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._turn = asyncio.Lock()
        self._in_line = 0
        self._nobodys = ""

    async def __aenter__(self) -> Self:
        # Made once, with today's parameters: what an unknown address' password is checked against.
        self._nobodys = await self.hash(secrets.token_urlsafe())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._nobodys = ""

    def refuse_when_full(self) -> None:
        """Raises NotAccepted when the line is so long that a newcomer's turn may come too late for their deadline.

        To be called before anything is counted: who is told so now is not told in ten seconds that nobody knows.
        """
        if self._in_line >= MOST_IN_LINE:
            raise NotAccepted("Too many people are signing in right now.", retry_after=3)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        self._in_line += 1
        try:
            async with self._turn:
                yield
        finally:
            self._in_line -= 1

    async def hash(self, password: str) -> str:
        """The password's hash with a fresh salt and today's parameters, in PHC format."""
        async with self._alone():
            return await asyncio.to_thread(self._hasher.hash, password)

    async def fits(self, password: str, stored: str | None) -> bool:
        """Whether the password belongs to the stored hash. None, nobody's hash, costs the same time and is never right."""
        async with self._alone():
            return await asyncio.to_thread(self._fits, password, stored or self._nobodys) and stored is not None

    def outdated(self, stored: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def _fits(self, password: str, stored: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
