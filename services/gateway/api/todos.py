"""To-dos: a customer's own, and those that the merchant assigns."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from contracts.message import Day, Flag, Line, Text, TodoId
from contracts.todos import CreateTodo, DeleteTodo, ListName, Priority, TodoSubject, UpdateTodo
from services.gateway import commands, readmodel
from services.gateway.api.customers import customer_of
from services.gateway.api.document import COMMAND, refusals
from services.gateway.api.shapes import (
    EXAMPLE,
    Answer,
    AnyViewer,
    Cursor,
    Db,
    Given,
    IdempotencyKey,
    InState,
    Items,
    Limit,
    OfCustomer,
    done,
    items,
)
from services.gateway.readmodel.lists import PAGE
from services.gateway.readmodel.todos import Status

router = APIRouter(tags=["to-dos"])


class Todo(Answer):
    """Something for a customer to do.

    Origin *own* is the customer's (private unless `shared`), *assigned* the merchant's, *billing* opens and closes by a
    bill's facts.
    """

    id: UUID
    customer_id: UUID
    origin: Literal["own", "assigned", "billing"]
    title: str | None
    notes: str | None
    due_on: date | None
    priority: Priority
    list: str | None
    status: Status
    shared: bool
    subject: TodoSubject | None
    created_at: datetime
    done_at: datetime | None


class NewTodo(Given):
    """A to-do. A member says for which customer; a contact's is always their own customer's."""

    customer_id: Annotated[UUID | None, Field(examples=[EXAMPLE])] = None
    title: Annotated[Line, Field(examples=["Send us your tax certificate"])]
    notes: Text | None = None
    due_on: Day | None = None
    priority: Priority = "normal"
    list: ListName | None = None
    shared: Flag = False


class TodoChange(Given):
    """What to change; fields that are left out stay, null clears."""

    title: Line | None = None
    notes: Text | None = None
    due_on: Day | None = None
    priority: Priority | None = None
    list: ListName | None = None
    shared: Flag | None = None
    status: Status | None = None


@router.get("/todos", operation_id="listTodos", summary="To-dos, newest first")
async def index(
    db: Db,
    viewer: AnyViewer,
    status: InState[Status] = None,
    customer_id: OfCustomer = None,
    cursor: Cursor = None,
    limit: Limit = PAGE,
) -> Items[Todo]:
    """A contact sees all of their customer; a member sees assigned, billing and shared ones."""
    found = await readmodel.todos(db, viewer, status=status, customer_id=customer_id, cursor=cursor, limit=limit)
    return items(found, Todo)


@router.post(
    "/todos",
    operation_id="createTodo",
    summary="Add or assign a to-do",
    status_code=201,
    responses=refusals(*COMMAND, 404),
)
async def create(request: Request, db: Db, viewer: AnyViewer, body: NewTodo, key: IdempotencyKey) -> Todo:
    """A contact's own to-do, or one that a member assigns."""
    whose = await customer_of(db, viewer, body.customer_id)
    return await done(request, CreateTodo(**(body.fields() | {"customer_id": whose})), key, Todo)


@router.get("/todos/{todo_id}", operation_id="readTodo", summary="One to-do", responses=refusals(404))
async def read(db: Db, viewer: AnyViewer, todo_id: UUID) -> Todo:
    """As it stands now."""
    return Todo.model_validate(await readmodel.todo(db, viewer, todo_id))


async def _seen(db: Db, viewer: AnyViewer, todo_id: UUID) -> TodoId:
    """A to-do that they see. Whether it is still there is for its owner to say: what comes again gets its first reply."""
    await readmodel.todo(db, viewer, todo_id, deleted=True)
    return TodoId(todo_id)


Seen = Annotated[TodoId, Depends(_seen)]


@router.patch(
    "/todos/{todo_id}",
    operation_id="changeTodo",
    summary="Edit, complete, reopen or cancel a to-do",
    responses=refusals(*COMMAND, 404, 409),
)
async def change(request: Request, todo_id: Seen, body: TodoChange, key: IdempotencyKey) -> Todo:
    """A contact completes but does not edit what the merchant assigned; nobody ticks off what follows from a bill."""
    return await done(request, UpdateTodo(todo_id=todo_id, **body.fields()), key, Todo)


@router.delete(
    "/todos/{todo_id}",
    operation_id="deleteTodo",
    summary="Delete a to-do",
    status_code=204,
    responses=refusals(*COMMAND, 404),
)
async def delete(request: Request, todo_id: Seen, key: IdempotencyKey) -> Response:
    """One's own (contact), or one that was assigned (member)."""
    await commands.send(request, DeleteTodo(todo_id=todo_id), id=key)
    return Response(status_code=204)
