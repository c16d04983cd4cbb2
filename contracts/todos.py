"""To-dos: a customer's own, those a merchant assigned, and those that follow from a bill. Owner: todos."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, StringConstraints

from .message import (
    Command,
    CustomerId,
    Day,
    Event,
    Flag,
    Line,
    MerchantId,
    Problem,
    Question,
    Republished,
    Service,
    Shape,
    State,
    Text,
    TodoId,
    command,
    event,
    noun,
    question,
)

Priority = Literal["low", "normal", "high"]
ListName = Annotated[str, StringConstraints(strip_whitespace=True, max_length=60, pattern=r"^[^\x00-\x1f\x7f]*$")]


class TodoSubject(Shape):
    """What a to-do that nobody wrote is about. A billing one opens and closes by that thing's facts.

    *invoice*: pay it. *payment_method*: put another in the place of one that no longer works. *request*: a customer asks
    the merchant to change a subscription.
    """

    kind: Literal["invoice", "payment_method", "request"]
    """What kind of thing."""
    id: UUID
    """The id of the invoice, the payment method, or the subscription that the request is about."""
    label: str
    """What people call it: the invoice's number, a card's last four digits, the subscription's title."""
    amount: int | None = None
    """What may be paid now while it is open, its total once it is closed, in minor units of `currency`."""
    currency: str | None = None
    """ISO 4217."""


@noun("todos.todo", followed_by=("gateway",))
class Todo(State):
    """Something to be done by a customer, or by the merchant for one.

    `origin` is *own* (the customer made it; private unless `shared`), *assigned* (by the merchant; the customer may
    complete but not edit it), *billing* (nobody ticks it by hand) or *merchant* (for the merchant's members, such as a
    customer's request; the customer never sees it). A merchant sees all but a customer's private ones.
    """

    merchant_id: MerchantId
    customer_id: CustomerId
    """The customer who is to do it, and whose people see it; of a merchant's one, whom it concerns."""
    origin: Literal["own", "assigned", "billing", "merchant"]
    """Who asks for it."""
    title: str | None
    """One line, in English for billing and merchant's ones (readers build their own from `subject`); null once deleted."""
    notes: str | None = None
    """Several lines; null when there are none and once deleted."""
    due_on: date | None = None
    """The day, in the customer's time zone, by which it should be done."""
    priority: Priority = "normal"
    """How much it matters to whoever asks for it."""
    list: str | None = None
    """The name of the list that its author put it on."""
    status: Literal["open", "done", "cancelled"]
    """Where it stands."""
    shared: bool = False
    """Whether the merchant sees a customer's own one."""
    created_by: str
    """Who wrote it: a name; empty for billing ones and once deleted."""
    done_by: str | None = None
    """Who completed it: a name; null unless done, and when the fact it waited for did it."""
    subject: TodoSubject | None = None
    """What a billing or a merchant's one is about; null for the others."""
    created_at: AwareDatetime
    """When it was made."""
    done_at: AwareDatetime | None = None
    """When it was completed; null unless done."""


@event("todos.todo.created.v1")
class TodoCreated(Event[Todo]):
    """A customer wrote one, or a fact asks for one."""


@event("todos.todo.assigned.v1")
class TodoAssigned(Event[Todo]):
    """A member assigned one to a customer."""


@event("todos.todo.changed.v1")
class TodoChanged(Event[Todo]):
    """Its words, date, priority, list or sharing changed."""


@event("todos.todo.done.v1")
class TodoDone(Event[Todo]):
    """It was completed, by a person or by the fact it waited for."""


@event("todos.todo.reopened.v1")
class TodoReopened(Event[Todo]):
    """It is open again."""


@event("todos.todo.cancelled.v1")
class TodoCancelled(Event[Todo]):
    """It need not be done any more."""


@event("todos.todo.deleted.v1")
class TodoDeleted(Event[Todo]):
    """Its author deleted it: `deleted` is true and its words are null."""


class TodoFollowsFacts(Problem):
    """A billing to-do closes by itself when its fact arrives."""

    status = 403
    title = "This to-do is ticked off by itself once it has been settled."


@command("todos.create_todo.v1")
class CreateTodo(Command[Todo]):
    """A contact writes a to-do of their own, or a member assigns one to `customer_id`.

    Refusals: NotFound, InvalidInput (a member's to-do cannot be shared: the merchant sees it anyway), NotAllowed,
    Conflict when the customer is archived.
    """

    customer_id: CustomerId
    title: Line
    notes: Text | None = None
    due_on: Day | None = None
    priority: Priority = "normal"
    list: ListName | None = None
    shared: Flag = False


@command("todos.update_todo.v1")
class UpdateTodo(Command[Todo]):
    """Edit a to-do, complete, reopen or cancel it; only fields that are in the request change, `null` clears.

    A contact edits, moves and cancels their own, and completes and reopens what the merchant assigned; a member edits,
    moves and cancels what the merchant assigned and what is for the merchant. What is done or cancelled is reopened before it is anything else.
    Refusals: NotFound, also for a member who asks for a private one; NotAllowed with the reason; TodoFollowsFacts for
    billing ones; Conflict for a step that is none; InvalidInput for a null title, priority, sharing or status.
    """

    todo_id: TodoId
    title: Line | None = None
    notes: Text | None = None
    due_on: Day | None = None
    priority: Priority | None = None
    list: ListName | None = None
    shared: Flag | None = None
    status: Literal["open", "done", "cancelled"] | None = None


@command("todos.delete_todo.v1")
class DeleteTodo(Command[Todo]):
    """Delete one's own to-do (contact) or one that was assigned (member); again changes nothing.

    Refusals: NotFound, NotAllowed, TodoFollowsFacts.
    """

    todo_id: TodoId


@question("todos.republish.v1", askers=("gateway",))
class RepublishTodos(Question[Republished]):
    """Send every current row of a noun to the asker's own queue."""

    noun: Literal["todo"]
    to: Service
