from uuid import UUID

import pytest

from contracts.message import Actor, system
from services.identity.domain.access import (
    why_not_customers,
    why_not_invite,
    why_not_own_profile,
    why_not_settings,
)

SOMEBODY = UUID(int=1)
TEAM_ONLY = "Only the merchant's own team may do this."
ADMINS_ONLY = "Only an admin of the merchant may change its settings."
READ_ONLY = "You are only looking on here: nothing can be changed."


def member(role: str, *, read_only: bool = False) -> Actor:
    return Actor(kind="member", id=SOMEBODY, role=role, read_only=read_only)


@pytest.mark.parametrize("role", ["admin", "manager", "sales"])
def test_every_role_of_the_team_may_change_customers(role: str) -> None:
    assert why_not_customers(member(role)) is None


@pytest.mark.parametrize(
    "actor",
    [
        Actor(kind="contact", id=SOMEBODY, role="owner"),
        Actor(kind="contact", id=SOMEBODY, role="admin"),
        Actor(kind="person", id=SOMEBODY),
        Actor(kind="public"),
        system("todos"),
        member("guest"),
    ],
)
def test_nobody_else_may_change_customers(actor: Actor) -> None:
    assert why_not_customers(actor) == TEAM_ONLY


def test_only_an_admin_may_change_settings() -> None:
    assert why_not_settings(member("admin")) is None
    assert why_not_settings(member("manager")) == ADMINS_ONLY
    assert why_not_settings(member("sales")) == ADMINS_ONLY


def test_somebody_who_only_looks_on_changes_nothing() -> None:
    onlooker = member("admin", read_only=True)
    assert why_not_customers(onlooker) == READ_ONLY
    assert why_not_settings(onlooker) == READ_ONLY
    assert why_not_own_profile(onlooker) == READ_ONLY


def test_only_a_person_has_a_profile() -> None:
    assert why_not_own_profile(Actor(kind="contact", id=SOMEBODY)) is None
    assert why_not_own_profile(Actor(kind="person", id=SOMEBODY)) is None
    assert why_not_own_profile(Actor(kind="api_key", id=SOMEBODY)) == "Only a person who is signed in may do this."
    assert why_not_own_profile(Actor(kind="person")) == "Only a person who is signed in may do this."


def test_a_pay_link_invites_the_customers_own_address_and_no_other() -> None:
    public = Actor(kind="public")
    assert why_not_invite(public, by_pay_link=True, to_another_address=False) is None
    assert (
        why_not_invite(public, by_pay_link=True, to_another_address=True)
        == "The invitation can only be sent to the customer's own address."
    )
    assert why_not_invite(public, by_pay_link=False, to_another_address=False) == TEAM_ONLY


def test_the_team_invites_any_address_but_not_in_a_pay_links_name() -> None:
    assert why_not_invite(member("sales"), by_pay_link=False, to_another_address=True) is None
    assert (
        why_not_invite(member("admin"), by_pay_link=True, to_another_address=False)
        == "Only the page of a payment link may ask for this."
    )
