"""Who may do what with a to-do, and what an invoice asks for: pure decisions."""

from uuid import UUID

import pytest

from contracts.message import Actor, CustomerId, MerchantId
from services.todos.domain import (
    Origin,
    Standing,
    Status,
    demand_of,
    is_step,
    sees,
    why_not_create,
    why_not_edit,
    why_not_move,
)

MERCHANT = MerchantId(UUID(int=1))
ENGINES, RIVALS = CustomerId(UUID(int=2)), CustomerId(UUID(int=3))
MEMBER = Actor(kind="member", id=UUID(int=4), role="sales", merchant_id=MERCHANT)
API_KEY = Actor(kind="api_key", id=UUID(int=5), merchant_id=MERCHANT)
CONTACT = Actor(kind="contact", id=UUID(int=6), role="member", merchant_id=MERCHANT, customer_id=ENGINES)
STRANGER = CONTACT.model_copy(update={"customer_id": RIVALS})
PERSON = Actor(kind="person", id=UUID(int=7))
PUBLIC = Actor(kind="public", merchant_id=MERCHANT, customer_id=ENGINES)
SYSTEM = Actor(kind="system", name="billing")


def standing(origin: Origin, *, shared: bool = False) -> Standing:
    return Standing(ENGINES, origin, shared)


@pytest.mark.parametrize("actor", [MEMBER, API_KEY])
def test_the_merchant_sees_all_but_a_customers_private_ones(actor: Actor) -> None:
    assert not sees(actor, standing("own"))
    assert sees(actor, standing("own", shared=True))
    assert sees(actor, standing("assigned"))
    assert sees(actor, standing("billing"))


@pytest.mark.parametrize("origin", ["own", "assigned", "billing"])
def test_a_customers_people_see_theirs_and_nobody_else_does(origin: Origin) -> None:
    assert sees(CONTACT, standing(origin))
    for actor in (STRANGER, PERSON, PUBLIC, SYSTEM):
        assert not sees(actor, standing(origin, shared=True))


@pytest.mark.parametrize("actor", [MEMBER, API_KEY, CONTACT])
def test_people_with_an_account_write_todos_unless_they_only_look_on(actor: Actor) -> None:
    assert why_not_create(actor) is None
    looking_on = actor.model_copy(update={"read_only": True})
    assert why_not_create(looking_on) == "You are only looking on here: nothing can be changed."


@pytest.mark.parametrize("actor", [PERSON, PUBLIC, SYSTEM])
def test_nobody_else_writes_todos(actor: Actor) -> None:
    assert why_not_create(actor) == "Only people of the customer or the merchant may write to-dos."


def test_each_side_edits_what_it_wrote() -> None:
    assert why_not_edit(CONTACT, standing("own")) is None
    assert why_not_edit(MEMBER, standing("assigned")) is None
    assert (
        why_not_edit(MEMBER, standing("own", shared=True)) == "The customer wrote this to-do: only they can change it."
    )
    assert (
        why_not_edit(CONTACT, standing("assigned"))
        == "The merchant assigned this to-do: you can complete it, but only they can change it."
    )


def test_a_contact_completes_what_was_assigned_and_takes_that_back_but_does_not_cancel() -> None:
    only_they = "The merchant assigned this to-do: only they can cancel it or take that back."
    assert why_not_move(CONTACT, standing("assigned"), before="open", after="done") is None
    assert why_not_move(CONTACT, standing("assigned"), before="done", after="open") is None
    assert why_not_move(CONTACT, standing("assigned"), before="open", after="cancelled") == only_they
    assert why_not_move(CONTACT, standing("assigned"), before="cancelled", after="open") == only_they


@pytest.mark.parametrize("origin", ["own", "assigned"])
def test_whoever_only_looks_on_moves_and_edits_nothing(origin: Origin) -> None:
    looking_on = CONTACT.model_copy(update={"read_only": True})
    reason = "You are only looking on here: nothing can be changed."
    assert why_not_move(looking_on, standing(origin), before="open", after="done") == reason
    assert why_not_edit(looking_on, standing(origin)) == reason


def test_what_is_done_or_cancelled_is_reopened_first() -> None:
    assert is_step("open", "done")
    assert is_step("cancelled", "open")
    assert not is_step("done", "cancelled")
    assert not is_step("cancelled", "done")


@pytest.mark.parametrize(
    ("status", "opened", "deleted", "payable", "asked"),
    [
        ("draft", False, False, True, None),
        ("open", True, False, True, "open"),
        ("open", True, False, False, "cancelled"),
        ("paid", True, False, False, "done"),
        ("void", True, False, True, "cancelled"),
        ("uncollectible", True, False, True, "cancelled"),
        ("void", False, False, True, None),
        ("open", True, True, True, "cancelled"),
        ("paid", True, True, True, "cancelled"),
        ("draft", False, True, True, None),
    ],
)
def test_what_an_invoice_asks_for(
    status: str, opened: bool, deleted: bool, payable: bool, asked: Status | None
) -> None:
    assert demand_of(status, opened=opened, deleted=deleted, payable=payable) == asked
