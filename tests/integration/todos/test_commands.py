"""Each role, each kind of to-do, each action: what becomes of it, exactly. Every command is delivered twice."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import pytest

from chassis.ids import new_id
from chassis.testing import Harness, known
from contracts.billing import Invoice, InvoiceOpened
from contracts.identity import Customer, CustomerChanged
from contracts.message import (
    Actor,
    Conflict,
    CustomerId,
    InvalidInput,
    MerchantId,
    NotAllowed,
    NotFound,
    Problem,
    TodoId,
)
from contracts.todos import CreateTodo, DeleteTodo, Todo, TodoFollowsFacts, UpdateTodo
from services.todos.store import every_todo

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

OWNERS_ONLY = "The customer wrote this to-do: only they can change it."
MERCHANTS_ONLY = "The merchant assigned this to-do: you can complete it, but only they can change it."
NO_CANCELLING = "The merchant assigned this to-do: only they can cancel it or take that back."


@dataclass
class World:
    """One merchant with two customers, and everybody who might touch a to-do of the first."""

    h: Harness
    merchant: MerchantId
    customer: CustomerId
    rival: CustomerId
    people: dict[str, Actor]

    async def send(self, who: str, command: Any) -> Any:
        actor = self.people[who]
        return await self.h.send(command, actor=actor, merchant_id=actor.merchant_id)

    async def row(self, todo: Todo) -> dict[str, Any]:
        row = await self.h.db.fetchrow("SELECT * FROM todo WHERE id = $1", todo.id)
        assert row is not None
        return dict(row)

    async def announced(self, todo: Todo) -> list[tuple[str, int | None]]:
        """The facts announced about a to-do, each with its sequence."""
        return [
            (envelope.type.split(".")[2], envelope.sequence)
            for envelope in await self.h.outbox()
            if envelope.subject == str(todo.id)
        ]

    async def make(self, kind: str) -> Todo:
        """A to-do of the first customer: private, shared, assigned or billing."""
        match kind:
            case "private" | "shared":
                command = CreateTodo(customer_id=self.customer, title="Ask about March", shared=kind == "shared")
                made = await self.send("contact", command)
            case "assigned":
                made = await self.send("member", CreateTodo(customer_id=self.customer, title="Send us your logo"))
            case _:
                bill = invoice(self.merchant, self.customer)
                await self.h.deliver(InvoiceOpened(state=bill), sequence=2)
                row = await self.h.db.fetchrow("SELECT id FROM todo WHERE subject_id = $1", bill.id)
                assert row is not None
                envelope = next(each for each in await self.h.outbox() if each.subject == str(row["id"]))
                made = Todo.model_validate(envelope.data["state"])
        assert isinstance(made, Todo)
        return made


def invoice(merchant: MerchantId, customer: CustomerId) -> Invoice:
    return Invoice(
        id=new_id(),
        merchant_id=merchant,
        customer_id=customer,
        kind="one_time",
        status="open",
        number="INV-102",
        currency="EUR",
        lines=(),
        subtotal=20000,
        tax=3800,
        total=23800,
        amount_due=23800,
        due_on=date(2026, 3, 16),
        created_at=START,
        opened_at=START,
    )


def customer_state(merchant: MerchantId, customer: CustomerId, **changes: Any) -> Customer:
    return Customer(
        id=customer,
        merchant_id=merchant,
        **{"name": "Ada", "email": "ada@engines.example", "portal_access": "active", "created_at": START, **changes},
    )


@pytest.fixture
async def world(todos: Harness) -> World:
    merchant, customer, rival = MerchantId(new_id()), CustomerId(new_id()), CustomerId(new_id())

    def actor(kind: Literal["member", "contact", "person", "public"], name: str, **more: Any) -> Actor:
        return Actor(kind=kind, id=new_id(), name=name, **{"merchant_id": merchant, **more})

    people = {
        "contact": actor("contact", "Ada Lovelace", role="owner", customer_id=customer),
        "colleague": actor("contact", "Annabella Byron", role="member", customer_id=customer),
        "rival": actor("contact", "Charles Babbage", role="owner", customer_id=rival),
        "member": actor("member", "Jonas Weber", role="sales"),
        "other merchant": actor("member", "Mallory", role="admin", merchant_id=MerchantId(new_id())),
        "person": actor("person", "Nobody's Contact", merchant_id=None),
        "public": actor("public", "", customer_id=customer),
    }
    for each in (customer, rival):
        await todos.deliver(CustomerChanged(state=customer_state(merchant, each)), sequence=1)
    return World(todos, merchant, customer, rival, people)


# --- creating -------------------------------------------------------------------------------------------------------


async def test_a_contact_writes_a_todo_of_their_own(world: World) -> None:
    made = await world.send(
        "contact",
        CreateTodo(
            customer_id=world.customer,
            title="  Ask about March ",
            notes="Which lines?\nWhy?",
            due_on=date(2026, 3, 9),
            priority="high",
            list="Paperwork",
        ),
    )
    assert made == Todo(
        id=made.id,
        merchant_id=world.merchant,
        customer_id=world.customer,
        origin="own",
        title="Ask about March",
        notes="Which lines?\nWhy?",
        due_on=date(2026, 3, 9),
        priority="high",
        list="Paperwork",
        status="open",
        created_by="Ada Lovelace",
        created_at=START,
    )
    assert await world.announced(made) == [("created", 1)]
    assert (await world.row(made))["title"] == "Ask about March"


async def test_a_member_assigns_a_todo(world: World) -> None:
    made = await world.send("member", CreateTodo(customer_id=world.customer, title="Send us your logo"))
    assert (made.origin, made.shared, made.created_by, made.customer_id) == (
        "assigned",
        False,
        "Jonas Weber",
        world.customer,
    )
    assert await world.announced(made) == [("assigned", 1)]


async def test_empty_notes_and_list_are_none(world: World) -> None:
    made = await world.send("contact", CreateTodo(customer_id=world.customer, title="x", notes="", list=" "))
    assert (made.notes, made.list) == (None, None)


@pytest.mark.parametrize("who", ["rival", "other merchant"])
async def test_nobody_makes_a_todo_for_a_customer_that_is_not_theirs(world: World, who: str) -> None:
    with pytest.raises(NotFound):
        await world.send(who, CreateTodo(customer_id=world.customer, title="Not yours"))
    assert await count(world) == 0


@pytest.mark.parametrize("who", ["person", "public"])
async def test_nobody_without_an_account_makes_a_todo(world: World, who: str) -> None:
    with pytest.raises(NotAllowed, match="Only people of the customer or the merchant"):
        await world.send(who, CreateTodo(customer_id=world.customer, title="Not allowed"))
    assert await count(world) == 0


async def test_a_member_assigns_nothing_to_an_archived_customer(world: World) -> None:
    archived = customer_state(world.merchant, world.customer, archived=True)
    await world.h.deliver(CustomerChanged(state=archived), sequence=2)
    with pytest.raises(Conflict, match="archived"):
        await world.send("member", CreateTodo(customer_id=world.customer, title="Too late"))
    assert await count(world) == 0


async def test_a_member_assigns_nothing_to_a_deleted_customer(world: World) -> None:
    gone = customer_state(world.merchant, world.customer, deleted=True, name=None, email=None)
    await world.h.deliver(CustomerChanged(state=gone), sequence=2)
    with pytest.raises(NotFound):
        await world.send("member", CreateTodo(customer_id=world.customer, title="Too late"))


async def test_a_customer_that_came_along_with_the_command_is_known(world: World) -> None:
    fresh = CustomerId(new_id())
    made = await world.h.send(
        CreateTodo(customer_id=fresh, title="Welcome"),
        actor=world.people["member"],
        merchant_id=world.merchant,
        known=[known(customer_state(world.merchant, fresh))],
    )
    assert made.customer_id == fresh


async def test_an_assigned_todo_cannot_be_shared(world: World) -> None:
    with pytest.raises(InvalidInput) as refused:
        await world.send("member", CreateTodo(customer_id=world.customer, title="x", shared=True))
    assert [error.field for error in refused.value.errors] == ["shared"]
    assert await count(world) == 0


async def count(world: World) -> int:
    found = await world.h.db.fetchval("SELECT count(*) FROM todo WHERE merchant_id = $1", world.merchant)
    assert isinstance(found, int)
    return found


# --- the matrix -----------------------------------------------------------------------------------------------------

Outcome = str | type[Problem] | tuple[type[Problem], str]

ACTIONS: dict[str, dict[str, Any]] = {
    "edit": {"title": "Other words", "notes": "More", "due_on": date(2026, 4, 1), "priority": "low", "list": "Later"},
    "share": {"shared": True},
    "complete": {"status": "done"},
    "cancel": {"status": "cancelled"},
    "delete": {},
}

_OWN = {"edit": "changed", "complete": "done", "cancel": "cancelled", "delete": "deleted"}
_NOT_THERE = dict.fromkeys(ACTIONS, NotFound)
_BILL = dict.fromkeys(ACTIONS, TodoFollowsFacts)
_ELSEWHERE = dict.fromkeys(("private", "shared", "assigned", "billing"), _NOT_THERE)
_CUSTOMERS: dict[str, dict[str, Any]] = {
    "private": {**_OWN, "share": "changed"},
    "shared": {**_OWN, "share": "nothing"},
    "assigned": {
        "edit": (NotAllowed, MERCHANTS_ONLY),
        "share": (NotAllowed, MERCHANTS_ONLY),
        "complete": "done",
        "cancel": (NotAllowed, NO_CANCELLING),
        "delete": (NotAllowed, MERCHANTS_ONLY),
    },
    "billing": _BILL,
}
MATRIX: dict[str, dict[str, dict[str, Any]]] = {
    "contact": _CUSTOMERS,
    "colleague": _CUSTOMERS,
    "rival": _ELSEWHERE,
    "member": {
        "private": _NOT_THERE,
        "shared": dict.fromkeys(ACTIONS, (NotAllowed, OWNERS_ONLY)),
        "assigned": {**_OWN, "share": InvalidInput},
        "billing": _BILL,
    },
    "other merchant": _ELSEWHERE,
    "person": _ELSEWHERE,
    "public": _ELSEWHERE,
}
CASES = [
    pytest.param(who, kind, action, outcome, id=f"{who}-{kind}-{action}")
    for who, kinds in MATRIX.items()
    for kind, outcomes in kinds.items()
    for action, outcome in outcomes.items()
]


def command_of(todo: Todo, action: str) -> UpdateTodo | DeleteTodo:
    id_ = TodoId(todo.id)
    return DeleteTodo(todo_id=id_) if action == "delete" else UpdateTodo(todo_id=id_, **ACTIONS[action])


def after(todo: Todo, action: str, by: str) -> dict[str, Any]:
    """The fields that differ once `action` is done."""
    match action:
        case "complete":
            return {"status": "done", "done_by": by, "done_at": START}
        case "delete":
            return {"deleted": True, "title": None, "notes": None, "list": None, "created_by": ""}
        case _:
            return ACTIONS[action]


@pytest.mark.parametrize(("who", "kind", "action", "outcome"), CASES)
async def test_who_may_do_what(world: World, who: str, kind: str, action: str, outcome: Outcome) -> None:
    todo = await world.make(kind)
    before, said = await world.row(todo), await world.announced(todo)
    if isinstance(outcome, str):
        result = await world.send(who, command_of(todo, action))
        changes = {} if outcome == "nothing" else after(todo, action, world.people[who].name)
        assert result == todo.model_copy(update=changes)
        assert await world.announced(todo) == [*said, *([] if outcome == "nothing" else [(outcome, 2)])]
        assert (await world.row(todo))["sequence"] == (1 if outcome == "nothing" else 2)
        return
    problem, reason = outcome if isinstance(outcome, tuple) else (outcome, None)
    with pytest.raises(problem) as refused:
        await world.send(who, command_of(todo, action))
    assert type(refused.value) is problem
    if reason:
        assert refused.value.detail == reason
    assert (await world.row(todo), await world.announced(todo)) == (before, said)


# --- moving ---------------------------------------------------------------------------------------------------------


async def move(world: World, who: str, todo: Todo, status: str) -> Todo:
    moved = await world.send(who, UpdateTodo.model_validate({"todo_id": todo.id, "status": status}))
    assert isinstance(moved, Todo)
    return moved


async def test_a_contact_completes_an_assigned_todo_and_the_member_reopens_it(world: World) -> None:
    todo = await world.make("assigned")
    world.h.clock.advance(timedelta(hours=3))
    try:
        done = await move(world, "contact", todo, "done")
    finally:
        world.h.clock.advance(timedelta(hours=-3))
    assert (done.status, done.done_by, done.done_at) == ("done", "Ada Lovelace", START + timedelta(hours=3))
    assert await move(world, "member", done, "open") == todo
    assert await world.announced(todo) == [("assigned", 1), ("done", 2), ("reopened", 3)]


async def test_completing_twice_says_it_once_and_keeps_who_was_first(world: World) -> None:
    todo = await world.make("assigned")
    first = await move(world, "contact", todo, "done")
    assert await move(world, "colleague", todo, "done") == first
    assert await world.announced(todo) == [("assigned", 1), ("done", 2)]


async def test_a_contact_does_not_take_back_what_the_merchant_cancelled(world: World) -> None:
    todo = await world.make("assigned")
    await move(world, "member", todo, "cancelled")
    for status in ("open", "done"):
        with pytest.raises(NotAllowed, match="only they can cancel it or take that back"):
            await move(world, "contact", todo, status)
    assert await world.announced(todo) == [("assigned", 1), ("cancelled", 2)]


@pytest.mark.parametrize(("first", "second"), [("done", "cancelled"), ("cancelled", "done")])
async def test_what_is_closed_is_reopened_before_it_is_closed_otherwise(world: World, first: str, second: str) -> None:
    todo = await world.make("private")
    await move(world, "contact", todo, first)
    with pytest.raises(Conflict, match=f"This to-do is {first}. Reopen it first."):
        await move(world, "contact", todo, second)
    assert (await world.row(todo))["status"] == first


async def test_words_and_status_in_one_request_are_one_change(world: World) -> None:
    todo = await world.make("private")
    command = UpdateTodo(todo_id=TodoId(todo.id), title="Asked about March", status="done")
    result = await world.send("contact", command)
    assert (result.title, result.status) == ("Asked about March", "done")
    assert await world.announced(todo) == [("created", 1), ("done", 2)]


async def test_a_forbidden_edit_beside_an_allowed_move_changes_nothing(world: World) -> None:
    todo = await world.make("assigned")
    with pytest.raises(NotAllowed):
        await world.send("contact", UpdateTodo(todo_id=TodoId(todo.id), title="Mine now", status="done"))
    row = await world.row(todo)
    assert (row["title"], row["status"], row["sequence"]) == ("Send us your logo", "open", 1)


# --- only what is in the request changes ----------------------------------------------------------------------------


async def test_a_field_that_is_not_in_the_request_stays_and_null_clears(world: World) -> None:
    made = await world.send(
        "contact",
        CreateTodo(
            customer_id=world.customer, title="x", notes="n", due_on=date(2026, 3, 9), priority="high", list="l"
        ),
    )
    cleared = await world.send("contact", UpdateTodo(todo_id=made.id, notes=None, due_on=None))
    assert cleared == made.model_copy(update={"notes": None, "due_on": None})
    assert (cleared.priority, cleared.list) == ("high", "l")


@pytest.mark.parametrize("field", ["title", "priority", "shared", "status"])
async def test_a_null_where_there_must_be_a_value_is_refused(world: World, field: str) -> None:
    todo = await world.make("private")
    with pytest.raises(InvalidInput) as refused:
        await world.send("contact", UpdateTodo.model_validate({"todo_id": todo.id, field: None, "notes": "kept out"}))
    assert [error.field for error in refused.value.errors] == [field]
    assert (await world.row(todo))["notes"] is None


async def test_a_request_that_changes_nothing_announces_nothing(world: World) -> None:
    todo = await world.make("private")
    assert await world.send("contact", UpdateTodo(todo_id=TodoId(todo.id), title="Ask about March")) == todo
    assert await world.send("contact", UpdateTodo(todo_id=TodoId(todo.id))) == todo
    assert await world.announced(todo) == [("created", 1)]


async def test_sharing_shows_a_todo_to_the_merchant_and_unsharing_hides_it(world: World) -> None:
    todo = await world.make("private")
    with pytest.raises(NotFound):
        await move(world, "member", todo, "done")
    await world.send("contact", UpdateTodo(todo_id=TodoId(todo.id), shared=True))
    with pytest.raises(NotAllowed):
        await move(world, "member", todo, "done")
    await world.send("contact", UpdateTodo(todo_id=TodoId(todo.id), shared=False))
    with pytest.raises(NotFound):
        await move(world, "member", todo, "done")


# --- deleting -------------------------------------------------------------------------------------------------------


async def test_a_deleted_todo_leaves_no_words_in_the_database(world: World) -> None:
    made = await world.send(
        "contact", CreateTodo(customer_id=world.customer, title="Secret", notes="Plans", list="Mine")
    )
    done = await move(world, "contact", made, "done")
    tombstone = await world.send("contact", DeleteTodo(todo_id=made.id))
    assert tombstone == done.model_copy(
        update={"deleted": True, "title": None, "notes": None, "list": None, "created_by": "", "done_by": None}
    )
    row = await world.row(made)
    assert (row["title"], row["notes"], row["list"], row["created_by"], row["done_by"]) == (None, None, None, "", None)


async def test_deleting_twice_says_it_once(world: World) -> None:
    todo = await world.make("private")
    first = await world.send("contact", DeleteTodo(todo_id=TodoId(todo.id)))
    assert await world.send("colleague", DeleteTodo(todo_id=TodoId(todo.id))) == first
    assert await world.announced(todo) == [("created", 1), ("deleted", 2)]


async def test_a_deleted_todo_is_not_there_any_more(world: World) -> None:
    todo = await world.make("assigned")
    await world.send("member", DeleteTodo(todo_id=TodoId(todo.id)))
    for who in ("member", "contact"):
        with pytest.raises(NotFound):
            await move(world, who, todo, "done")
    assert await world.announced(todo) == [("assigned", 1), ("deleted", 2)]


async def test_a_todo_that_never_was_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await world.send("member", DeleteTodo(todo_id=TodoId(new_id())))


async def test_whoever_only_looks_on_changes_nothing(world: World) -> None:
    todo = await world.make("assigned")
    world.people["looking on"] = world.people["contact"].model_copy(update={"read_only": True})
    for command in (
        CreateTodo(customer_id=world.customer, title="x"),
        UpdateTodo(todo_id=TodoId(todo.id), status="done"),
        DeleteTodo(todo_id=TodoId(todo.id)),
    ):
        with pytest.raises(NotAllowed, match="only looking on"):
            await world.send("looking on", command)
    assert await world.announced(todo) == [("assigned", 1)]


# --- a repeated command ---------------------------------------------------------------------------------------------


async def test_the_same_command_id_makes_one_todo(world: World) -> None:
    command = CreateTodo(customer_id=world.customer, title="Once")
    actor = world.people["contact"]
    replies = [await world.h.reply(command, actor=actor, merchant_id=world.merchant, id="the-same") for _ in range(2)]
    assert replies[0] == replies[1]
    assert [envelope.type for envelope in replies[0].changed] == ["todos.todo.created.v1"]
    assert await count(world) == 1


# --- a lost copy ----------------------------------------------------------------------------------------------------


async def test_every_todo_is_told_again_with_its_present_sequence_tombstones_too(world: World) -> None:
    kept, changed, gone, bill = [await world.make(kind) for kind in ("private", "assigned", "shared", "billing")]
    done = await move(world, "contact", changed, "done")
    tombstone = await world.send("contact", DeleteTodo(todo_id=TodoId(gone.id)))
    told = [(row.state, row.sequence) async for row in every_todo(world.h.db)]
    ours = [each for each in told if each[0].merchant_id == world.merchant]
    assert ours == sorted([(kept, 1), (done, 2), (tombstone, 2), (bill, 1)], key=lambda each: each[0].id)
    assert len({state.id for state, _ in told}) == len(told)
