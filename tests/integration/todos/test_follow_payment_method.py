"""“Replace card ending 4242” follows its payment method, whatever order the method's events come in."""

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

from chassis.ids import new_id
from chassis.testing import Harness
from contracts.billing import (
    PaymentMethod,
    PaymentMethodAdded,
    PaymentMethodChanged,
    PaymentMethodMadeDefault,
    PaymentMethodRemoved,
    PaymentMethodStoppedWorking,
)
from contracts.message import Actor, CustomerId, Event, MerchantId, TodoId
from contracts.todos import Todo, TodoFollowsFacts, TodoSubject, UpdateTodo

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def card(**changes: Any) -> PaymentMethod:
    given: dict[str, Any] = {
        "id": new_id(),
        "merchant_id": MerchantId(new_id()),
        "customer_id": CustomerId(new_id()),
        "kind": "card",
        "brand": "visa",
        "last4": "4242",
        "is_default": True,
        "in_use": True,
        "added_at": START,
    }
    return PaymentMethod(**(given | changes))


def told(method: PaymentMethod, **changes: Any) -> PaymentMethod:
    return method.model_copy(update=changes)


async def todos_of(h: Harness, method: PaymentMethod) -> list[Todo]:
    """The method's to-do as last announced, if there is one."""
    newest: dict[str, Todo] = {}
    for each in await h.outbox():
        newest[each.subject] = Todo.model_validate(each.data["state"])
    return [each for each in newest.values() if each.subject and each.subject.id == method.id]


async def tell(h: Harness, *events: Event[PaymentMethod], order: Any = None) -> list[Todo]:
    for index in order if order is not None else range(len(events)):
        await h.deliver(events[index], sequence=index + 1)
    return await todos_of(h, events[0].state)


async def test_a_card_that_works_asks_for_nothing(todos: Harness) -> None:
    assert await tell(todos, PaymentMethodAdded(state=card())) == []


async def test_a_dead_card_that_nothing_charges_asks_for_nothing(todos: Harness) -> None:
    dead = card(in_use=False, working=False, failure="stolen_card")
    assert await tell(todos, PaymentMethodStoppedWorking(state=dead)) == []


async def test_a_charged_card_that_stops_working_asks_to_be_replaced(todos: Harness) -> None:
    method = card()
    dead = told(method, working=False, failure="expired")
    (todo,) = await tell(todos, PaymentMethodAdded(state=method), PaymentMethodStoppedWorking(state=dead))
    assert (todo.origin, todo.status, todo.priority, todo.title) == (
        "billing",
        "open",
        "high",
        "Replace card ending 4242",
    )
    assert todo.subject == TodoSubject(kind="payment_method", id=method.id, label="4242")
    assert (todo.merchant_id, todo.customer_id) == (method.merchant_id, method.customer_id)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"working": True, "failure": None, "exp_year": 2040}, "done"),
        ({"is_default": False, "in_use": False}, "done"),
        ({"in_use": False}, "cancelled"),
        ({"deleted": True, "is_default": False, "in_use": False, "last4": None}, "done"),
    ],
)
async def test_it_closes_by_the_facts_and_keeps_the_digits(
    todos: Harness, changes: dict[str, Any], status: str
) -> None:
    method = card()
    dead = told(method, working=False, failure="stolen_card")
    (todo,) = await tell(
        todos, PaymentMethodStoppedWorking(state=dead), PaymentMethodChanged(state=told(dead, **changes))
    )
    assert todo.status == status
    assert todo.subject is not None
    assert todo.subject.label == "4242"
    assert (todo.done_at is not None) == (status == "done")


async def test_it_opens_again_when_the_card_dies_again(todos: Harness) -> None:
    method = card()
    dead = told(method, working=False, failure="lost_card")
    (todo,) = await tell(
        todos,
        PaymentMethodStoppedWorking(state=dead),
        PaymentMethodChanged(state=method),
        PaymentMethodStoppedWorking(state=dead),
    )
    assert todo.status == "open"


async def test_the_order_of_the_events_does_not_matter(todos: Harness) -> None:
    for order in itertools.permutations(range(4)):
        method = card()
        dead = told(method, working=False, failure="lost_card")
        found = await tell(
            todos,
            PaymentMethodAdded(state=method),
            PaymentMethodStoppedWorking(state=dead),
            PaymentMethodMadeDefault(state=told(dead, is_default=False, in_use=False)),
            PaymentMethodRemoved(state=told(dead, is_default=False, in_use=False, deleted=True, last4=None)),
            order=order,
        )
        assert [each.status for each in found] in ([], ["done"])


async def test_nobody_ticks_it_by_hand(todos: Harness) -> None:
    dead = card(working=False, failure="lost_card")
    (todo,) = await tell(todos, PaymentMethodStoppedWorking(state=dead))
    contact = Actor(
        kind="contact", id=new_id(), role="owner", merchant_id=dead.merchant_id, customer_id=dead.customer_id
    )
    with pytest.raises(TodoFollowsFacts):
        await todos.send(
            UpdateTodo(todo_id=TodoId(todo.id), status="done"), actor=contact, merchant_id=dead.merchant_id
        )
    assert (await todos_of(todos, dead))[0].status == "open"
