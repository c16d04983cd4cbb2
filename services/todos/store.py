"""All of todos' SQL, one function per statement. States go in and come out; `sequence` is the row's version."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from chassis.database import Database, Row, Tx
from chassis.republish import CurrentRow
from contracts.message import CustomerId, MerchantId, NotFound, TodoId
from contracts.todos import Todo, TodoSubject

_COLUMNS = """id, merchant_id, customer_id, origin, title, notes, due_on, priority, list, status, shared, created_by,
    done_by, subject_kind, subject_id, subject_label, amount, currency, created_at, done_at, deleted"""


def todo_state(row: Row) -> Todo:
    """The public state of a row of `todo`."""
    values = dict(row)
    parts = {name: values.pop(f"subject_{name}") for name in ("kind", "id", "label")}
    money = {name: values.pop(name) for name in ("amount", "currency")}
    return Todo(**values, subject=TodoSubject(**parts, **money) if parts["kind"] else None)


async def insert_todo(tx: Tx, todo: Todo) -> None:
    """Keep a new to-do, at sequence 1. A second one of a fact violates a unique index: the event is tried again."""
    await tx.execute(
        f"""
        INSERT INTO todo ({_COLUMNS})
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
        """,  # noqa: S608 - our own column list
        *_values(todo),
    )


async def lock_todo(tx: Tx, merchant_id: MerchantId, todo_id: TodoId) -> Todo:
    """The merchant's to-do, nobody else changing it until the transaction ends. Raises NotFound."""
    row = await tx.fetchrow(
        f"SELECT {_COLUMNS} FROM todo WHERE merchant_id = $1 AND id = $2 FOR UPDATE",  # noqa: S608 - our own column list
        merchant_id,
        todo_id,
    )
    if row is None:
        raise NotFound
    return todo_state(row)


async def lock_todo_of(tx: Tx, merchant_id: MerchantId, kind: str, subject_id: UUID) -> Todo | None:
    """The one billing to-do of an invoice or a payment method, nobody else changing it until the transaction ends."""
    row = await tx.fetchrow(
        f"""
        SELECT {_COLUMNS} FROM todo
        WHERE merchant_id = $1 AND subject_kind = $2 AND subject_id = $3 AND origin = 'billing' FOR UPDATE
        """,  # noqa: S608 - our own column list
        merchant_id,
        kind,
        subject_id,
    )
    return todo_state(row) if row is not None else None


async def save_todo(tx: Tx, todo: Todo) -> int:
    """Overwrite a locked to-do; returns its new sequence. Whose it is, its origin and its beginning stay."""
    sequence: int = await tx.fetchval(
        """
        UPDATE todo SET title = $5, notes = $6, due_on = $7, priority = $8, list = $9, status = $10, shared = $11,
            created_by = $12, done_by = $13, subject_label = $16, amount = $17, currency = $18, done_at = $20,
            deleted = $21, sequence = sequence + 1
        WHERE id = $1 AND merchant_id = $2 AND customer_id = $3 AND origin = $4
            AND subject_kind IS NOT DISTINCT FROM $14 AND subject_id IS NOT DISTINCT FROM $15 AND created_at = $19
        RETURNING sequence
        """,
        *_values(todo),
    )
    return sequence


async def find_customer(tx: Tx, merchant_id: MerchantId, customer_id: CustomerId) -> bool:
    """Whether the merchant's customer is archived. Raises NotFound when the merchant has none such."""
    archived: bool | None = await tx.fetchval(
        "SELECT archived FROM copy_customer WHERE merchant_id = $1 AND id = $2 AND NOT deleted",
        merchant_id,
        customer_id,
    )
    if archived is None:
        raise NotFound
    return archived


async def every_todo(db: Database) -> AsyncIterator[CurrentRow]:
    """Every merchant's to-dos with their present sequence, tombstones too, for Republish."""
    after = UUID(int=0)
    while True:
        rows = await db.fetch(
            f"SELECT {_COLUMNS}, sequence FROM todo WHERE id > $1 ORDER BY id LIMIT 500",  # noqa: S608 - our own column list
            after,
        )
        for row in rows:
            yield CurrentRow(todo_state(row), row["sequence"])
        if not rows:
            return
        after = rows[-1]["id"]


def _values(todo: Todo) -> tuple[object, ...]:
    subject = todo.subject
    return (
        todo.id,
        todo.merchant_id,
        todo.customer_id,
        todo.origin,
        todo.title,
        todo.notes,
        todo.due_on,
        todo.priority,
        todo.list,
        todo.status,
        todo.shared,
        todo.created_by,
        todo.done_by,
        subject.kind if subject else None,
        subject.id if subject else None,
        subject.label if subject else None,
        subject.amount if subject else None,
        subject.currency if subject else None,
        todo.created_at,
        todo.done_at,
        todo.deleted,
    )
