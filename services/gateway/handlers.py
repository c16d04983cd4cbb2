"""What the gateway does on hearing events, beyond keeping copies: the timeline, and sessions that have lost their place."""

from __future__ import annotations

from collections.abc import Sequence

from chassis.database import Tx
from contracts.message import EventEnvelope
from services.gateway import readmodel, security


async def follow(tx: Tx, events: Sequence[EventEnvelope]) -> None:
    """Note what happened on the customer's timeline."""
    await readmodel.note(tx, events)


async def follow_access(tx: Tx, events: Sequence[EventEnvelope]) -> None:
    """The same, and end the sessions of whoever was shut out, in the transaction that learns of it."""
    await readmodel.note(tx, events)
    await security.end_lost_sessions(tx, events)
