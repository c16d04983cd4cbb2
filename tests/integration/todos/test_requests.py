"""What a customer asks of the merchant becomes a to-do of the merchant's members, which the customer never sees."""

from datetime import UTC, datetime

import pytest

from chassis.ids import new_id
from chassis.testing import Harness
from contracts.billing import ChangeWish, Subscription, SubscriptionChangeRequested
from contracts.message import Actor, CustomerId, MerchantId, NotFound, TodoId
from contracts.todos import Todo, TodoSubject, UpdateTodo


async def asked(h: Harness, wish: ChangeWish) -> tuple[Subscription, list[Todo]]:
    subscription = Subscription(
        id=new_id(),
        merchant_id=MerchantId(new_id()),
        customer_id=CustomerId(new_id()),
        kind="recurring",
        status="active",
        title="Website care",
        currency="EUR",
        lines=(),
        subtotal=1000,
        tax=0,
        total=1000,
        created_at=datetime(2026, 3, 2, 9, 0, tzinfo=UTC),
    )
    await h.deliver(SubscriptionChangeRequested(state=subscription, wish=wish))
    states = [Todo.model_validate(each.data["state"]) for each in await h.outbox()]
    return subscription, [each for each in states if each.merchant_id == subscription.merchant_id]


async def test_a_wish_asks_the_members_once(todos: Harness) -> None:
    wish = ChangeWish(wish="pause", note="We are away in May.", asked_by="Ada")
    subscription, (todo,) = await asked(todos, wish)
    assert (todo.origin, todo.status, todo.title) == ("merchant", "open", "Ada asks to pause Website care")
    assert (todo.notes, todo.created_by) == ("We are away in May.", "Ada")
    assert todo.subject == TodoSubject(kind="request", id=subscription.id, label="Website care")


async def test_a_member_completes_it_and_the_customer_does_not_see_it(todos: Harness) -> None:
    subscription, (todo,) = await asked(todos, ChangeWish(wish="other", asked_by="Ada"))
    ours = subscription.merchant_id
    order = UpdateTodo(todo_id=TodoId(todo.id), status="done")
    contact = Actor(kind="contact", id=new_id(), role="owner", customer_id=subscription.customer_id, merchant_id=ours)
    with pytest.raises(NotFound):
        await todos.send(order, actor=contact, merchant_id=ours)
    member = Actor(kind="member", id=new_id(), name="Nora", role="sales", merchant_id=ours)
    done = await todos.send(order, actor=member, merchant_id=ours)
    assert (done.status, done.done_by) == ("done", "Nora")


async def test_a_customer_may_ask_for_several_things(todos: Harness) -> None:
    subscription, _ = await asked(todos, ChangeWish(wish="pause", asked_by="Ada"))
    await todos.deliver(SubscriptionChangeRequested(state=subscription, wish=ChangeWish(wish="cancel", asked_by="Ada")))
    rows = await todos.db.fetch("SELECT title FROM todo WHERE merchant_id = $1 ORDER BY id", subscription.merchant_id)
    assert [row["title"] for row in rows] == ["Ada asks to pause Website care", "Ada asks to cancel Website care"]
