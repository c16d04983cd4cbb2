"""A customer's to-dos: their own, those the merchant assigned, and those that follow from a bill."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts import todos
from contracts.message import NotAllowed, NotFound
from contracts.todos import Todo
from services.gateway import commands, readmodel
from services.gateway.security import Session
from services.gateway.security.doors import ContactSession

from .forms import Form
from .language import gettext_noop as _
from .page import NavEntry, Page, done

router = APIRouter()
navigation = NavEntry("portal", 30, "/portal/todos", _("To-dos"), "tasks")
said = {
    "todo-added": _("The to-do has been added."),
    "todo-done": _("Done. Well done!"),
    "todo-open": _("The to-do is open again."),
    "todo-deleted": _("The to-do has been deleted."),
}


def typed(form: Form) -> dict[str, Any]:
    """A to-do's fields as they were typed; pydantic says what is wrong with them."""
    return {
        "title": form.get("title"),
        "notes": form.given("notes"),
        "due_on": form.given("due_on"),
        "priority": form.get("priority") or "normal",
    }


async def _index(request: Request, session: Session, form: Form, failed: str = "") -> Response:
    db, viewer = request.app.state.runtime.db, session.viewer
    assert viewer is not None
    page = await Page.of(request, session)
    page.failed = failed
    query = request.query_params
    return page.render(
        "todos.html",
        status=form.status,
        form=form,
        open=await readmodel.todos(db, viewer, status="open", cursor=query.get("open")),
        finished=await readmodel.todos(db, viewer, status="done", cursor=query.get("finished")),
    )


@router.get("/portal/todos")
async def index(request: Request, session: ContactSession) -> Response:
    """Open ones, the form to add one, and done ones."""
    return await _index(request, session, Form({"priority": "normal"}))


@router.post("/portal/todos")
async def add(request: Request, session: ContactSession) -> Response:
    """Write a to-do of one's own."""
    form = await Form.posted(request)
    page = await Page.of(request, session)
    with form.refusals(page.reader):
        assert session.viewer is not None
        order = typed(form) | {"customer_id": session.viewer.customer_id, "shared": form.get("shared") == "yes"}
        await commands.send(request, todos.CreateTodo.model_validate(order), id=form.command_id)
        return done("/portal/todos", "todo-added")
    return await _index(request, session, form)


async def _own(request: Request, session: Session, todo_id: UUID) -> Todo:
    """One of the customer's own. Raises NotFound, and NotAllowed for what the merchant assigned."""
    assert session.viewer is not None
    todo = await readmodel.todo(request.app.state.runtime.db, session.viewer, todo_id)
    if todo.origin != "own":
        raise NotAllowed("Only what you wrote yourself can be edited.")
    return todo


@router.get("/portal/todos/{todo_id:uuid}")
async def edit(request: Request, session: ContactSession, todo_id: UUID) -> Response:
    """The form to edit one's own to-do."""
    todo = await _own(request, session, todo_id)
    page = await Page.of(request, session)
    form = Form(
        {
            "title": todo.title or "",
            "notes": todo.notes or "",
            "due_on": todo.due_on.isoformat() if todo.due_on else "",
            "priority": todo.priority,
            "shared": "yes" if todo.shared else "",
        }
    )
    return page.render("todo.html", todo=todo, form=form)


@router.post("/portal/todos/{todo_id:uuid}")
async def save(request: Request, session: ContactSession, todo_id: UUID) -> Response:
    """Save the edited to-do."""
    todo = await _own(request, session, todo_id)
    form = await Form.posted(request)
    page = await Page.of(request, session)
    with form.refusals(page.reader):
        order = typed(form) | {"todo_id": todo_id, "shared": form.get("shared") == "yes"}
        await commands.send(request, todos.UpdateTodo.model_validate(order), id=form.command_id)
        return done("/portal/todos", "saved")
    return page.render("todo.html", status=form.status, todo=todo, form=form)


@router.post("/portal/todos/{todo_id:uuid}/{verb}")
async def act(request: Request, session: ContactSession, todo_id: UUID, verb: str) -> Response:
    """Complete, reopen or delete a to-do; a refusal is shown above the list."""
    said = {"complete": "todo-done", "reopen": "todo-open", "delete": "todo-deleted"}
    if verb not in said:
        raise NotFound
    form = await Form.posted(request)
    page = await Page.of(request, session)
    with form.refusals(page.reader):
        if verb == "delete":
            await commands.send(request, todos.DeleteTodo(todo_id=todo_id), id=form.command_id)
        else:
            order = todos.UpdateTodo(todo_id=todo_id, status="done" if verb == "complete" else "open")
            await commands.send(request, order, id=form.command_id)
        return done("/portal/todos", said[verb])
    return await _index(request, session, Form({"priority": "normal"}, status=form.status), form.problem)
