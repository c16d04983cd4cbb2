"""Ids: UUIDv7 (RFC 9562), so that rows made one after another lie side by side in an index."""

from __future__ import annotations

from uuid import UUID

from uuid_utils import uuid7


def new_id() -> UUID:
    """A fresh UUIDv7."""
    return UUID(bytes=uuid7().bytes)
