"""One safeguard switched off, inside a test's process only: the invariants must then report it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

from chassis import amqp, consumers, database, deliveries, listeners
from chassis.copies import caused_by
from contracts.message import INTERNAL, PUBLIC


def inbox_off() -> None:
    """A fact is handled as often as it is delivered."""

    async def handle(self: Any, envelope: Any, event: Any) -> None:
        async with self.db.transaction(caused_by(envelope, self.db.service)) as tx:
            await tx.execute(
                "INSERT INTO inbox (handler, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING", self.name, envelope.id
            )
            await self.handler(tx, event)

    listeners.FactListener.handle = handle  # type: ignore[method-assign]  # the sabotage


def confirms_off() -> None:
    """The relay takes sent for arrived: it deletes a row although the broker never had it."""
    publish = amqp.Link.publish
    confirmed: set[str] = set()

    async def careless(self: amqp.Link, body: bytes, *, exchange: str, **rest: Any) -> None:
        try:
            await publish(self, body, exchange=exchange, **rest)
        except amqp.Unconfirmed:
            # Until the exchange is known to be there, so that the merchant of the run is not what is lost.
            if exchange not in confirmed:
                raise
        else:
            confirmed.update({exchange} & {PUBLIC, INTERNAL})

    amqp.Link.publish = careless  # type: ignore[method-assign]  # the sabotage


def idempotency_key_off() -> None:
    """Every request to Stripe is a new one, a repeated request too."""
    import stripe

    request = stripe.HTTPXClient.request_async

    async def forgetful(self: Any, method: str, url: str, headers: dict[str, str], *rest: Any) -> Any:
        return await request(self, method, url, {**headers, "Idempotency-Key": str(uuid4())}, *rest)

    stripe.HTTPXClient.request_async = forgetful  # type: ignore[method-assign, assignment]  # the sabotage


def outbox_after_commit() -> None:
    """Events are written to the outbox after the state's transaction, in one of their own."""
    transaction, flush = database.Database.transaction, database.Tx.flush

    @asynccontextmanager
    async def separate(self: database.Database, cause: database.Cause) -> AsyncIterator[database.Tx]:
        async with transaction(self, cause) as tx:
            yield tx
            outbox, tx._outbox = tx._outbox, []
        if outbox:
            # The witness has seen what was announced; only the outbox' rows are left to write.
            announced, tx.announced, tx._outbox = tx.announced, [], outbox
            async with self.pool.acquire() as connection, connection.transaction():
                tx.connection = connection
                await flush(tx)
            tx.announced = announced

    database.Database.transaction = separate  # type: ignore[method-assign]  # the sabotage


def early_ack() -> None:
    """A message is acked when it arrives, not when it is done with."""

    def early(owner: Any, name: str) -> None:
        take = getattr(owner, name)

        async def taken(self: Any, delivery: Any) -> None:
            with suppress(*deliveries.GONE):
                await delivery.raw.ack()
            await take(self, delivery)

        setattr(owner, name, taken)

    deliveries.Delivery.ack = _nothing  # type: ignore[method-assign]  # the sabotage
    early(listeners.FactListener, "take")
    early(listeners.FollowerListener, "take")
    early(consumers.Consumers, "_answer")


async def _nothing(*_: Any, **__: Any) -> None:
    return None


SWITCHES: dict[str, Callable[[], None]] = {
    "inbox": inbox_off,
    "confirms": confirms_off,
    "idempotency key": idempotency_key_off,
    "outbox": outbox_after_commit,
    "late ack": early_ack,
}
