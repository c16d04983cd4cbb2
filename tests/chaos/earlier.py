"""Messages as an earlier release would have sent them: without what has been added since, by the contracts' own rule.

Adding to a message is an optional field, which whoever does not know it leaves out, and readers fill in its default. So
what any earlier release sends is at most the message without its defaults. A later release, while it is taken back, leaves
fields behind that nobody knows: each message has one of those, too.
"""

import json
from collections.abc import Iterable
from typing import Any

import aiormq
from aiormq.abc import AbstractChannel

from chassis.topology import event_queues
from contracts.message import EVENTS, Service
from local.rabbitmq import user_of
from tests.chaos.plant import Plant


async def resend(plant: Plant, services: Iterable[Service]) -> set[tuple[str, str]]:
    """Put each event that waits for these services in its queue again, as of old. Returns queues and message ids."""
    operator = await aiormq.connect(plant.broker())
    senders: dict[str, AbstractChannel] = {}
    sent: set[tuple[str, str]] = set()
    try:
        channel = await operator.channel()
        for queue in [each.name for service in services for each in event_queues(service)]:
            for message in [each async for each in _waiting(channel, queue)]:
                owner = json.loads(message.body)["type"].partition(".")[0]
                if owner not in senders:
                    # The broker lets a service alone say that it is that service.
                    senders[owner] = await (await aiormq.connect(plant.broker(user_of(owner)))).channel()
                properties = message.header.properties
                await senders[owner].basic_publish(as_of_old(message.body), routing_key=queue, properties=properties)
                await channel.basic_ack(message.delivery_tag)
                sent.add((queue, properties.message_id))
    finally:
        for connection in (operator, *(each.connection for each in senders.values())):
            await connection.close()
    return sent


async def _waiting(channel: AbstractChannel, queue: str) -> Any:
    """All that waits there now, taken and not acked."""
    while True:
        found = await channel.basic_get(queue)
        if found.delivery_tag is None:
            return
        yield found


def as_of_old(body: bytes) -> bytes:
    """An event without its defaults, its state with a field that nobody knows."""
    envelope: dict[str, Any] = json.loads(body)
    event = EVENTS[envelope["type"]].model_validate(envelope["data"])
    envelope = {name: value for name, value in envelope.items() if value is not None and name != "traceparent"}
    envelope["data"] = event.model_dump(mode="json", exclude_defaults=True)
    envelope["data"]["state"]["added_by_a_later_release"] = "unknown"
    return json.dumps(envelope).encode()
