"""Every exchange, queue and binding, derived from the contracts. No queue has a name that the contracts do not give.

Shapes and arguments are what was tried on RabbitMQ 3.10 and documented for 4.x; see docs/messages.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiormq.abc import AbstractChannel

import contracts.billing
import contracts.identity
import contracts.notifications
import contracts.todos  # noqa: F401 - importing an owner's file registers its messages
from contracts.message import (
    EVENTS,
    INTERNAL,
    NOUNS,
    PUBLIC,
    REQUESTS,
    SERVICES,
    Service,
    fact_queue,
    follower_queue,
)

LOG = "portal.events.log"
DEAD = "portal.dead"
RETRY_SECONDS = (1, 5, 30, 300)
"""How long a failed message rests before each next try. After the last it is dead."""

Arguments = dict[str, Any]

_DEAD_ARGUMENTS: Arguments = {"x-queue-type": "quorum", "x-overflow": "reject-publish", "x-delivery-limit": 1_000_000}
# RabbitMQ 4.0 would drop a dead letter after 20 looks at it with the tool; 3.10 has no limit by default.

_COMMAND_ARGUMENTS: Arguments = {"x-expires": 10_000}
# Not auto-delete: the last cancel would delete waiting commands. With no expiry a dead service's queue would take them.


def retry_exchange(seconds: int) -> str:
    """The fanout exchange whose queue keeps a message for so many seconds; the routing key is the queue to come back to."""
    return f"portal.retry.{seconds}s"


def consumed_arguments(queue: str) -> Arguments:
    """The arguments of a follower's or fact handler's queue."""
    return {
        "x-queue-type": "quorum",
        # A message that keeps killing its worker. 3.10 has no limit of its own and 4.0 has 20.
        "x-delivery-limit": 6,
        "x-dead-letter-exchange": DEAD,
        "x-dead-letter-routing-key": queue,
        # Without reject-publish the broker silently falls back to at-most-once.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


@dataclass(frozen=True)
class Queue:
    """A queue and what feeds it: `bindings` are (exchange, routing key)."""

    name: str
    arguments: Arguments
    bindings: tuple[tuple[str, str], ...] = ()
    service: str = ""


def command_queue_arguments() -> Arguments:
    """The arguments of a queue that commands or questions wait in."""
    return dict(_COMMAND_ARGUMENTS)


def dead_queue(service: str) -> str:
    """Where a service's dead letters lie."""
    return f"{service}.dead"


def followed_nouns(service: Service) -> list[str]:
    """The nouns that a service follows, by the contracts."""
    return [name for name, state in NOUNS.items() if service in state.followed_by]


def handled_events(service: Service) -> list[str]:
    """The event types that a service handles as facts, by the contracts."""
    return [name for name, event in EVENTS.items() if service in event.handled_by]


def answered_requests(service: Service) -> list[str]:
    """The commands and questions that a service answers, by the contracts."""
    return [name for name, request in REQUESTS.items() if request.owner() == service]


def event_queues(service: Service) -> Iterator[Queue]:
    """The follower and fact queues of a service."""
    for name in followed_nouns(service):
        state = NOUNS[name]
        queue = follower_queue(service, state)
        yield Queue(queue, consumed_arguments(queue), ((state.exchange, f"{name}.#"),), service)
    for name in handled_events(service):
        event = EVENTS[name]
        queue = fact_queue(service, event)
        yield Queue(queue, consumed_arguments(queue), ((event.of().exchange, name),), service)


def queues(service: Service) -> Iterator[Queue]:
    """Every queue that a service declares."""
    yield from event_queues(service)
    for name in answered_requests(service):
        yield Queue(REQUESTS[name].queue(), command_queue_arguments(), (), service)
    owned = [queue.name for queue in event_queues(service)]
    owned += [REQUESTS[name].queue() for name in answered_requests(service)]
    yield Queue(dead_queue(service), _DEAD_ARGUMENTS, tuple((DEAD, name) for name in owned), service)


def shared_queues() -> Iterator[Queue]:
    """The retry levels and the log, which belong to no service."""
    for seconds in RETRY_SECONDS:
        name = retry_exchange(seconds)
        arguments: Arguments = {
            "x-queue-type": "quorum",
            "x-message-ttl": seconds * 1000,
            # The default exchange: an expired message returns to the queue that its routing key names.
            "x-dead-letter-exchange": "",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
        yield Queue(name, arguments, ((name, ""),))
    log_arguments: Arguments = {
        "x-queue-type": "stream",
        "x-max-age": "7D",
        "x-stream-max-segment-size-bytes": 10_000_000,
    }
    yield Queue(LOG, log_arguments, ((PUBLIC, "#"),))


def all_names() -> set[str]:
    """Every queue name that the contracts give."""
    return {queue.name for service in SERVICES for queue in queues(service)} | {queue.name for queue in shared_queues()}


async def declare(channel: AbstractChannel, service: Service) -> None:
    """Declare all that `service` publishes to and consumes from, and the event queues of every other service.

    The others' queues are declared too so that no event is lost that is announced before its listener first starts.
    """
    for exchange in (PUBLIC, INTERNAL):
        await channel.exchange_declare(exchange, exchange_type="topic", durable=True, nowait=True)
    await channel.exchange_declare(DEAD, exchange_type="direct", durable=True, nowait=True)
    for seconds in RETRY_SECONDS:
        await channel.exchange_declare(retry_exchange(seconds), exchange_type="fanout", durable=True, nowait=True)
    wanted = [*shared_queues(), *queues(service)]
    for other in SERVICES:
        if other != service:
            wanted += [queue for queue in event_queues(other) if _hears(queue, service)]
    for queue in wanted:
        await channel.queue_declare(queue.name, durable=True, arguments=queue.arguments, nowait=True)
        for exchange, key in queue.bindings:
            await channel.queue_bind(queue.name, exchange, routing_key=key, nowait=True)
    # A channel's methods are done in their order: with this answered, all the others are done. A refused one has closed it.
    await channel.queue_declare(LOG, passive=True)


def _hears(queue: Queue, service: Service) -> bool:
    return any(key.startswith(f"{service}.") for _, key in queue.bindings)
