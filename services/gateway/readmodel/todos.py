"""To-dos, with the one rule about who sees which: a customer's own stay theirs unless shared."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from contracts.todos import Todo
from services.gateway.domain import Viewer
from services.gateway.readmodel.lists import LAST, PAGE, Page, Reader, from_cursor, newest, state_in

Status = Literal["open", "done", "cancelled"]


async def todo(db: Reader, viewer: Viewer, todo_id: UUID, *, deleted: bool = False) -> Todo:
    """One to-do; with `deleted` also one that was. Raises NotFound, also for a member who asks for a private one."""
    row = await db.fetchrow(
        """
        SELECT state FROM copy_todo
        WHERE id = $1 AND merchant_id = $2 AND ($4 OR NOT deleted)
          AND CASE WHEN $3::uuid IS NULL THEN members_may_see ELSE customer_id = $3 AND contacts_may_see END
        """,
        todo_id,
        viewer.merchant_id,
        viewer.customer_id,
        deleted,
    )
    return state_in(row, Todo)


async def todos(
    db: Reader,
    viewer: Viewer,
    *,
    status: Status | None = None,
    customer_id: UUID | None = None,
    cursor: str | None = None,
    limit: int = PAGE,
) -> Page[Todo]:
    """To-dos, newest first: a contact's customer's, or those of the merchant's customers that members may see."""
    before = from_cursor(cursor, "todos", UUID) or [LAST]
    scope = "members_may_see AND $6::uuid IS NULL" if viewer.is_member else "customer_id = $6 AND contacts_may_see"
    wanted = "AND status = $5" if status else "AND $5::text IS NULL"
    rows = await db.fetch(
        f"""
        SELECT id, state FROM copy_todo
        WHERE merchant_id = $1 AND {scope} AND ($2::uuid IS NULL OR customer_id = $2) AND NOT deleted AND id < $3 {wanted} ORDER BY id DESC LIMIT $4
        """,  # noqa: S608 - texts of this file alone
        viewer.merchant_id,
        customer_id,
        *before,
        limit + 1,
        status,
        viewer.customer_id,
    )
    return newest(rows, limit, Todo, "todos")
