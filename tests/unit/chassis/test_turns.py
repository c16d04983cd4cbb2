"""A message that kills its worker dies alone: its neighbours get a moment of their own first."""

from typing import Any, cast

import pytest
from aio_pika import IncomingMessage

from chassis.deliveries import Delivery

PREFETCH = 32


class Message:
    """Stands where aio-pika's message does."""

    def __init__(self, tag: int) -> None:
        self.delivery_tag = tag


def delivery(tag: int, deaths: object) -> Delivery:
    raw: Any = Message(tag)
    headers = {} if deaths is None else {"x-delivery-count": deaths}
    return Delivery("todos.invoice", b"", "", "", headers, cast("IncomingMessage", raw))


@pytest.mark.parametrize(("deaths", "suspect"), [(None, False), (0, False), (1, False), ("many", False), (2, True)])
def test_a_message_is_suspect_from_the_second_death_on(deaths: object, suspect: bool) -> None:
    assert delivery(1, deaths).suspect == suspect


@pytest.mark.parametrize("killer", [1, 16, 32])
def test_after_two_more_deaths_all_but_the_killer_have_had_their_turn(killer: int) -> None:
    left = set(range(1, PREFETCH + 1))
    for deaths in (2, 3):
        places = dict(enumerate(sorted(left), start=1))
        end = next(delivery(place, deaths).turn(PREFETCH) for place, name in places.items() if name == killer)
        left -= {name for place, name in places.items() if delivery(place, deaths).turn(PREFETCH) < end}
    assert left == {killer}
