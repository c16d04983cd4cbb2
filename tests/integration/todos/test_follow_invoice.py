"""“Pay INV-102” follows its invoice, whatever order the invoice's events come in."""

import asyncio
import itertools
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.ids import new_id
from chassis.testing import Harness
from contracts.billing import (
    Invoice,
    InvoiceDrafted,
    InvoiceGivenUp,
    InvoiceOpened,
    InvoicePaid,
    InvoicePartPaid,
    InvoicePaymentEnded,
    InvoicePaymentProcessing,
    InvoiceVoided,
)
from contracts.message import CustomerId, Event, MerchantId
from contracts.todos import Todo, TodoSubject

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
OPENED = START + timedelta(minutes=5)
PAID = START + timedelta(days=3)

DRAFT = Invoice(
    id=new_id(),
    merchant_id=MerchantId(new_id()),
    customer_id=CustomerId(new_id()),
    kind="one_time",
    status="draft",
    currency="EUR",
    lines=(),
    subtotal=20000,
    tax=3800,
    total=23800,
    amount_due=23800,
    due_on=date(2026, 3, 16),
    created_at=START,
)
OPEN = DRAFT.model_copy(update={"status": "open", "number": "INV-102", "opened_at": OPENED})
PART_PAID = OPEN.model_copy(update={"amount_paid": 10000, "amount_due": 13800, "due_on": date(2026, 4, 16)})
PAID_UP = PART_PAID.model_copy(update={"status": "paid", "amount_paid": 23800, "amount_due": 0, "paid_at": PAID})
VOID = OPEN.model_copy(update={"status": "void", "amount_due": 0, "closed_at": PAID})
GIVEN_UP = OPEN.model_copy(update={"status": "uncollectible", "closed_at": PAID})

PROCESSING = OPEN.model_copy(update={"amount_processing": 23800})

Story = list[Event[Invoice]]


def fresh(invoice: Invoice, id_: Any) -> Invoice:
    return invoice.model_copy(update={"id": id_})


def story(*events: Event[Invoice]) -> Story:
    """The events, told of a new invoice."""
    id_ = new_id()
    return [type(event)(state=fresh(event.state, id_)) for event in events]


async def tell(h: Harness, events: Story, order: Any = None) -> Todo | None:
    """Deliver the story in `order` (indices; as told by default), each event twice; the to-do at the end."""
    for index in order if order is not None else range(len(events)):
        await h.deliver(events[index], sequence=index + 1)
    return await todo_of(h, events[0].state)


async def todo_of(h: Harness, invoice: Invoice) -> Todo | None:
    """The invoice's one to-do, as last announced, which must be what the row says."""
    rows = await h.db.fetch("SELECT id, sequence, status FROM todo WHERE subject_id = $1", invoice.id)
    assert len(rows) <= 1
    said = [each for each in await h.outbox() if rows and each.subject == str(rows[0]["id"])]
    if not rows:
        return None
    assert [each.sequence for each in said] == list(range(1, len(said) + 1))
    newest = Todo.model_validate(said[-1].data["state"])
    assert (rows[0]["sequence"], rows[0]["status"]) == (len(said), newest.status)
    return newest


async def facts(h: Harness, todo: Todo | None) -> list[str]:
    assert todo is not None
    return [each.type.split(".")[2] for each in await h.outbox() if each.subject == str(todo.id)]


async def test_an_open_invoice_asks_to_be_paid(todos: Harness) -> None:
    events = story(InvoiceOpened(state=OPEN))
    todo = await tell(todos, events)
    assert todo is not None
    assert todo == Todo(
        id=todo.id,
        merchant_id=OPEN.merchant_id,
        customer_id=OPEN.customer_id,
        origin="billing",
        title="Pay INV-102",
        due_on=date(2026, 3, 16),
        status="open",
        created_by="",
        subject=TodoSubject(kind="invoice", id=events[0].state.id, label="INV-102", amount=23800, currency="EUR"),
        created_at=OPENED,
    )
    assert await facts(todos, todo) == ["created"]


async def test_a_draft_asks_for_nothing(todos: Harness) -> None:
    assert await tell(todos, story(InvoiceDrafted(state=DRAFT))) is None


async def test_a_draft_that_was_withdrawn_asks_for_nothing(todos: Harness) -> None:
    withdrawn = DRAFT.model_copy(update={"status": "void"})
    assert await tell(todos, story(InvoiceDrafted(state=DRAFT), InvoiceVoided(state=withdrawn))) is None


async def test_amount_and_due_date_follow(todos: Harness) -> None:
    todo = await tell(todos, story(InvoiceOpened(state=OPEN), InvoicePartPaid(state=PART_PAID)))
    assert todo is not None
    assert todo.subject is not None
    assert (todo.subject.amount, todo.due_on, todo.status) == (13800, date(2026, 4, 16), "open")
    assert await facts(todos, todo) == ["created", "changed"]


async def test_a_paid_invoice_closes_it(todos: Harness) -> None:
    todo = await tell(todos, story(InvoiceOpened(state=OPEN), InvoicePaid(state=PAID_UP)))
    assert todo is not None
    assert todo.subject is not None
    assert (todo.status, todo.done_at, todo.done_by, todo.subject.amount) == ("done", PAID, None, 23800)
    assert await facts(todos, todo) == ["created", "done"]


async def test_an_invoice_whose_debit_is_under_way_does_not_ask_until_it_fails(todos: Harness) -> None:
    told = story(InvoiceOpened(state=OPEN), InvoicePaymentProcessing(state=PROCESSING), InvoicePaymentEnded(state=OPEN))
    todo = await tell(todos, told[:2])
    assert todo is not None
    assert (todo.status, todo.done_at) == ("cancelled", None)
    todo = await tell(todos, told)
    assert todo is not None
    assert todo.subject is not None
    assert (todo.status, todo.subject.amount) == ("open", 23800)
    assert await facts(todos, todo) == ["created", "cancelled", "reopened"]


async def test_a_debit_that_arrives_has_it_done(todos: Harness) -> None:
    told = story(InvoiceOpened(state=OPEN), InvoicePaymentProcessing(state=PROCESSING), InvoicePaid(state=PAID_UP))
    todo = await tell(todos, told)
    assert todo is not None
    assert (todo.status, todo.done_at) == ("done", PAID)


async def test_a_part_that_is_on_its_way_is_not_asked_for(todos: Harness) -> None:
    partly = OPEN.model_copy(update={"amount_processing": 10000})
    todo = await tell(todos, story(InvoiceOpened(state=OPEN), InvoicePaymentProcessing(state=partly)))
    assert todo is not None
    assert todo.subject is not None
    assert (todo.status, todo.subject.amount) == ("open", 13800)


@pytest.mark.parametrize(
    "closing", [InvoiceVoided(state=VOID), InvoiceGivenUp(state=GIVEN_UP)], ids=["void", "given up"]
)
async def test_a_withdrawn_invoice_cancels_it(todos: Harness, closing: Event[Invoice]) -> None:
    todo = await tell(todos, story(InvoiceOpened(state=OPEN), closing))
    assert todo is not None
    assert (todo.status, todo.done_at) == ("cancelled", None)
    assert await facts(todos, todo) == ["created", "cancelled"]


async def test_an_invoice_that_is_open_again_reopens_it(todos: Harness) -> None:
    told = story(InvoiceOpened(state=OPEN), InvoicePaid(state=PAID_UP), InvoiceOpened(state=OPEN))
    todo = await tell(todos, told)
    assert todo is not None
    assert (todo.status, todo.done_at) == ("open", None)
    assert await facts(todos, todo) == ["created", "done", "reopened"]


async def test_an_invoice_first_heard_of_when_paid_has_a_done_todo_and_what_came_before_is_ignored(
    todos: Harness,
) -> None:
    told = story(InvoiceDrafted(state=DRAFT), InvoiceOpened(state=OPEN), InvoicePaid(state=PAID_UP))
    todo = await tell(todos, told, order=(2, 0, 1))
    assert todo is not None
    assert todo.status == "done"
    assert await facts(todos, todo) == ["done"]


async def test_a_deleted_invoice_cancels_it(todos: Harness) -> None:
    deleted = OPEN.model_copy(update={"deleted": True})
    todo = await tell(todos, story(InvoiceOpened(state=OPEN), InvoiceVoided(state=deleted)))
    assert todo is not None
    assert todo.status == "cancelled"


async def test_an_event_that_does_not_touch_the_todo_announces_nothing(todos: Harness) -> None:
    noted = OPEN.model_copy(update={"memo": "Thank you"})
    todo = await tell(todos, story(InvoiceOpened(state=OPEN), InvoiceOpened(state=noted)))
    assert await facts(todos, todo) == ["created"]


LIFE = (
    InvoiceDrafted(state=DRAFT),
    InvoiceOpened(state=OPEN),
    InvoicePartPaid(state=PART_PAID),
    InvoicePaid(state=PAID_UP),
)


def likeness(todo: Todo | None) -> dict[str, Any] | None:
    """What must not depend on the order of events: all but the ids."""
    return None if todo is None else todo.model_dump(mode="json", exclude={"id": True, "subject": {"id"}})


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=lambda order: "".join(map(str, order)))
async def test_every_order_of_a_paid_invoices_events_ends_the_same(todos: Harness, order: tuple[int, ...]) -> None:
    assert likeness(await tell(todos, story(*LIFE), order)) == likeness(await tell(todos, story(*LIFE)))


LATER = st.lists(
    st.sampled_from(
        [
            InvoiceOpened(state=OPEN),
            InvoicePartPaid(state=PART_PAID),
            InvoicePaid(state=PAID_UP),
            InvoicePaymentProcessing(state=PROCESSING),
            InvoiceVoided(state=VOID),
            InvoiceGivenUp(state=GIVEN_UP),
        ]
    ),
    max_size=6,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(later=LATER, data=st.data())
async def test_any_story_shuffled_and_repeated_ends_like_its_last_state_alone(
    todos: Harness, later: list[Event[Invoice]], data: st.DataObject
) -> None:
    told = [InvoiceDrafted(state=DRAFT), *later]
    order = data.draw(st.permutations([*range(len(told)), *data.draw(st.lists(st.sampled_from(range(len(told)))))]))
    alone = story(told[-1])
    assert likeness(await tell(todos, story(*told), order)) == likeness(await tell(todos, alone))


async def test_events_of_one_invoice_at_the_same_time_make_one_todo(todos: Harness) -> None:
    events = story(*LIFE)
    await asyncio.gather(
        *(todos.deliver(event, sequence=index + 1) for index, event in enumerate(events) for _ in range(3))
    )
    todo = await todo_of(todos, events[0].state)
    assert todo is not None
    assert todo.status == "done"


async def test_two_invoices_have_a_todo_each(todos: Harness) -> None:
    first, second = [await tell(todos, story(InvoiceOpened(state=OPEN))) for _ in range(2)]
    assert first is not None
    assert second is not None
    assert first.id != second.id
