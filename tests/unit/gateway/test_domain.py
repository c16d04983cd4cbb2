"""Who may be told of a change."""

from uuid import UUID, uuid4

import pytest

from contracts.message import CustomerId, MerchantId
from services.gateway.domain import Change, Viewer, concerns

MERCHANT, OTHER = MerchantId(uuid4()), MerchantId(uuid4())
ADA, BOB = CustomerId(uuid4()), CustomerId(uuid4())
PERSON = uuid4()
MEMBER, CONTACT, STRANGER = Viewer(MERCHANT), Viewer(MERCHANT, ADA), Viewer(OTHER)


def change(
    audience: str, merchant: UUID | None = MERCHANT, customer: UUID | None = ADA, id_: UUID | None = None
) -> Change:
    return Change("todo", id_ or uuid4(), merchant, customer, audience)


@pytest.mark.parametrize(
    ("told", "member", "contact"),
    [
        (change("both"), True, True),
        (change("members"), True, False),
        (change("contacts"), False, True),
        (change("both", customer=BOB), True, False),
        (change("contacts", customer=BOB), False, False),
        (change("both", customer=None), True, True),
        (change("both", merchant=OTHER), False, False),
        (change("both", merchant=None), False, False),
        (change("person", merchant=None, id_=PERSON), True, True),
        (change("person", merchant=None), False, False),
    ],
)
def test_each_side_is_told_of_what_it_may_see(told: Change, member: bool, contact: bool) -> None:
    assert concerns(told, MEMBER, PERSON) is member
    assert concerns(told, CONTACT, PERSON) is contact


def test_somebody_without_an_account_is_told_about_themselves_alone() -> None:
    assert not concerns(change("both"), None, PERSON)
    assert concerns(change("person", merchant=None, id_=PERSON), None, PERSON)


def test_another_merchants_member_is_told_nothing() -> None:
    assert [
        audience for audience in ("both", "members", "contacts") if concerns(change(audience), STRANGER, PERSON)
    ] == []
