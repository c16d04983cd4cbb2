from __future__ import annotations

from datetime import datetime
from typing import Any

from chassis.copies import Change
from chassis.database import Tx
from chassis.ids import new_id
from chassis.listeners import Facts
from chassis.requests import Commands
from contracts.billing import Invoice, PaymentMethod, SubscriptionChangeRequested
from contracts.message import (
    Conflict,
    CustomerId,
    FieldError,
    InvalidInput,
    MerchantId,
    NotAllowed,
    NotFound,
)
from contracts.todos import (
    CreateTodo,
    DeleteTodo,
    Todo,
    TodoAssigned,
    TodoCancelled,
    TodoChanged,
    TodoCreated,
    TodoDeleted,
    TodoDone,
    TodoFollowsFacts,
    TodoReopened,
    TodoSubject,
    UpdateTodo,
)
from services.todos import store
from services.todos.domain import (
    Origin,
    Standing,
    Status,
    demand_of,
    demand_of_method,
    is_customers,
    is_merchants,
    is_step,
    sees,
    why_not_create,
    why_not_edit,
    why_not_move,
)

_MOVED = {"open": TodoReopened, "done": TodoDone, "cancelled": TodoCancelled}
_CANNOT_BE_CLEARED = ("title", "priority", "shared", "status")


async def create_todo(tx: Tx, command: CreateTodo) -> Todo:
    """A contact's own to-do, or one that a member assigns to a customer."""
    actor = tx.cause.actor
    _allow(why_not_create(actor))
    assigned = is_merchants(actor)
    if assigned and command.shared:
        raise _not_shareable()
    if assigned and await store.find_customer(tx, tx.merchant, command.customer_id):
        raise Conflict("This customer is archived.")
    if not assigned and not is_customers(actor, command.customer_id):
        raise NotFound
    todo = Todo(
        **dict(command) | {"notes": command.notes or None, "list": command.list or None},
        id=new_id(),
        merchant_id=tx.merchant,
        origin="assigned" if assigned else "own",
        status="open",
        created_by=actor.name,
        created_at=tx.now,
    )
    await store.insert_todo(tx, todo)
    tx.announce(TodoAssigned(state=todo) if assigned else TodoCreated(state=todo), sequence=1)
    return todo


async def update_todo(tx: Tx, command: UpdateTodo) -> Todo:
    """Change the fields that the request holds; one event says it, the new status' if there is one."""
    actor, given = tx.cause.actor, _given(command)
    todo = await store.lock_todo(tx, tx.merchant, command.todo_id)
    standing = _standing(tx, todo)
    if todo.deleted:
        raise NotFound
    after: Status = given.pop("status", todo.status)
    if given:
        _allow(why_not_edit(actor, standing))
    if after != todo.status or not given:
        _allow(why_not_move(actor, standing, before=todo.status, after=after))
    if todo.origin != "own" and given.get("shared"):
        raise _not_shareable()
    if after != todo.status and not is_step(todo.status, after):
        raise Conflict(f"This to-do is {todo.status}. Reopen it first.")
    changed = todo.model_copy(update=given)
    if after != todo.status:
        changed = _moved(changed, after, tx.now, by=actor.name)
    return await _save(tx, todo, changed)


async def delete_todo(tx: Tx, command: DeleteTodo) -> Todo:
    """Take the words away and keep a tombstone. Deleting it again changes nothing."""
    todo = await store.lock_todo(tx, tx.merchant, command.todo_id)
    _allow(why_not_edit(tx.cause.actor, _standing(tx, todo)))
    if todo.deleted:
        return todo
    emptied = {"title": None, "notes": None, "list": None, "created_by": "", "done_by": None}
    tombstone = todo.model_copy(update={"deleted": True, **emptied})
    tx.announce(TodoDeleted(state=tombstone), sequence=await store.save_todo(tx, tombstone))
    return tombstone


async def follow_invoice(tx: Tx, change: Change[Invoice]) -> None:
    """Make the invoice's one to-do match the invoice's newest state."""
    invoice = change.state
    asked = demand_of(
        invoice.status,
        opened=invoice.opened_at is not None,
        deleted=invoice.deleted,
        payable=invoice.amount_due > invoice.amount_processing,
    )
    if asked is None:
        return
    todo = await store.lock_todo_of(tx, invoice.merchant_id, "invoice", invoice.id)
    if todo is not None:
        await _save(tx, todo, _matching(todo, invoice, asked, tx.now))
        return
    blank = _blank(invoice.merchant_id, invoice.customer_id, "billing", invoice.opened_at or invoice.created_at)
    await _make(tx, _matching(blank, invoice, asked, tx.now))


async def follow_payment_method(tx: Tx, change: Change[PaymentMethod]) -> None:
    """Ask to replace a payment method that is charged and does not work, until that has been done."""
    method = change.state
    asked = demand_of_method(
        in_use=method.in_use, is_default=method.is_default, working=method.working, deleted=method.deleted
    )
    todo = await store.lock_todo_of(tx, method.merchant_id, "payment_method", method.id)
    if todo is not None:
        # A card that is gone has no digits any more, and its to-do keeps those that it had.
        label = method.last4 or (todo.subject.label if todo.subject else "")
        await _save(tx, todo, _replacing(todo, method, label, asked, tx.now))
    elif asked == "open":
        blank = _blank(method.merchant_id, method.customer_id, "billing", tx.now)
        await _make(tx, _replacing(blank, method, method.last4 or "", asked, tx.now))


def _replacing(todo: Todo, method: PaymentMethod, label: str, asked: Status, now: datetime) -> Todo:
    subject = TodoSubject(kind="payment_method", id=method.id, label=label)
    title = f"Replace card ending {label}" if method.kind == "card" else f"Replace payment method ending {label}"
    matching = todo.model_copy(update={"title": title, "subject": subject, "priority": "high"})
    return matching if asked == todo.status else _moved(matching, asked, now, by=None)


async def on_subscription_change_requested(tx: Tx, event: SubscriptionChangeRequested) -> None:
    """Ask the merchant's members to look at what a customer asks for."""
    subscription, wish = event.state, event.wish
    blank = _blank(subscription.merchant_id, subscription.customer_id, "merchant", tx.now)
    about = TodoSubject(kind="request", id=subscription.id, label=subscription.title)
    asks = "has a question about" if wish.wish == "other" else f"asks to {wish.wish}"
    title = f"{wish.asked_by} {asks} {subscription.title}"[:200]
    await _make(
        tx, blank.model_copy(update={"title": title, "notes": wish.note, "subject": about, "created_by": wish.asked_by})
    )


def _blank(merchant_id: MerchantId, customer_id: CustomerId, origin: Origin, created_at: datetime) -> Todo:
    return Todo(
        id=new_id(),
        merchant_id=merchant_id,
        customer_id=customer_id,
        origin=origin,
        title=None,
        status="open",
        created_by="",
        created_at=created_at,
    )


async def _make(tx: Tx, made: Todo) -> None:
    await store.insert_todo(tx, made)
    # Seen too late to have been open: it is announced as what it has become.
    tx.announce(TodoCreated(state=made) if made.status == "open" else _MOVED[made.status](state=made), sequence=1)


def _matching(todo: Todo, invoice: Invoice, asked: Status, now: datetime) -> Todo:
    """The to-do as the invoice's state has it. `amount` is what may be paid now while open, the total once closed."""
    label = invoice.number or ""
    subject = TodoSubject(
        kind="invoice",
        id=invoice.id,
        label=label,
        amount=invoice.amount_due - invoice.amount_processing if asked == "open" else invoice.total,
        currency=invoice.currency,
    )
    title = f"Pay {label}".strip()
    matching = todo.model_copy(update={"title": title, "due_on": invoice.due_on, "subject": subject})
    return matching if asked == todo.status else _moved(matching, asked, invoice.paid_at or now, by=None)


def _moved(todo: Todo, after: Status, at: datetime, *, by: str | None) -> Todo:
    done = after == "done"
    return todo.model_copy(
        update={"status": after, "done_at": at if done else None, "done_by": by if done else None},
    )


async def _save(tx: Tx, before: Todo, after: Todo) -> Todo:
    """Keep and announce what changed; nothing when nothing did."""
    if after != before:
        kind = TodoChanged if after.status == before.status else _MOVED[after.status]
        tx.announce(kind(state=after), sequence=await store.save_todo(tx, after))
    return after


def _standing(tx: Tx, todo: Todo) -> Standing:
    """What decides over a to-do. Raises NotFound for whoever does not see it, TodoFollowsFacts for a bill's."""
    standing = Standing(todo.customer_id, todo.origin, todo.shared)
    if not sees(tx.cause.actor, standing):
        raise NotFound
    if todo.origin == "billing":
        raise TodoFollowsFacts
    return standing


def _given(command: UpdateTodo) -> dict[str, Any]:
    """The fields that the request holds. Raises InvalidInput for a null where there must be a value."""
    given = {name: getattr(command, name) for name in command.model_fields_set - {"todo_id"}}
    errors = [
        FieldError(field=name, message="This cannot be empty.")
        for name in _CANNOT_BE_CLEARED
        if name in given and given[name] is None
    ]
    if errors:
        raise InvalidInput(errors=tuple(errors))
    return given | {name: given[name] or None for name in ("notes", "list") if name in given}


def _not_shareable() -> InvalidInput:
    message = "Only a customer's own to-do can be shared; the merchant sees the others anyway."
    return InvalidInput(message, errors=(FieldError(field="shared", message=message),))


def _allow(why_not: str | None) -> None:
    if why_not:
        raise NotAllowed(why_not)


FACTS: Facts = {SubscriptionChangeRequested: on_subscription_change_requested}
"""Which function handles which event."""

COMMANDS: Commands = {CreateTodo: create_todo, UpdateTodo: update_todo, DeleteTodo: delete_todo}
"""Which function answers which command."""
