"""One ack for many deliveries, and never for one that is still under way."""

from typing import Any, cast

from aio_pika import IncomingMessage
from aiormq.exceptions import ChannelInvalidStateError

from chassis.deliveries import Acks, Delivery


class Channel:
    """Stands where aiormq's channel does."""

    is_closed = False

    def __init__(self) -> None:
        self.acked: list[tuple[int, bool]] = []


class Message:
    """Stands where aio-pika's message does."""

    def __init__(self, channel: Channel, tag: int) -> None:
        self._channel = channel
        self.delivery_tag = tag

    @property
    def channel(self) -> Channel:
        if self._channel.is_closed:
            raise ChannelInvalidStateError
        return self._channel

    async def ack(self, multiple: bool = False) -> None:
        self.channel.acked.append((self.delivery_tag, multiple))


def deliveries(channel: Channel, count: int) -> list[Delivery]:
    def one(tag: int) -> Delivery:
        raw: Any = Message(channel, tag)
        return Delivery("todos.invoice", b"", "", "", {}, cast("IncomingMessage", raw))

    return [one(tag) for tag in range(1, count + 1)]


async def test_a_batch_is_acked_with_one_frame() -> None:
    channel, acks = Channel(), Acks()
    for each in deliveries(channel, 100):
        acks.note(each)
    await acks.send()
    await acks.send()
    assert channel.acked == [(100, True)]


async def test_what_is_done_behind_a_gap_waits_for_it() -> None:
    channel, acks = Channel(), Acks()
    first, poison, third, fourth = deliveries(channel, 4)
    for each in (fourth, first, third):
        acks.note(each)
    await acks.send()
    assert channel.acked == [(1, True)]
    acks.note(poison, acked=True)
    await acks.send()
    assert channel.acked == [(1, True), (4, True)]


async def test_what_was_acked_by_itself_is_not_acked_again() -> None:
    channel, acks = Channel(), Acks()
    first, second = deliveries(channel, 2)
    acks.note(first)
    acks.note(second, acked=True)
    await acks.send()
    assert channel.acked == [(1, True)]


async def test_each_channel_has_its_own_numbers_and_a_closed_one_is_left_alone() -> None:
    old, new, acks = Channel(), Channel(), Acks()
    for each in (*deliveries(old, 2), *deliveries(new, 3)):
        acks.note(each)
    old.is_closed = True
    await acks.send()
    assert (old.acked, new.acked) == ([], [(3, True)])


async def test_what_is_done_with_when_its_channel_is_closed_holds_nobody_up() -> None:
    old, new, acks = Channel(), Channel(), Acks()
    late = deliveries(old, 1)[0]
    old.is_closed = True
    for each in (late, *deliveries(new, 2)):
        acks.note(each)
    await acks.send()
    await late.ack()
    assert (old.acked, new.acked) == ([], [(2, True)])
