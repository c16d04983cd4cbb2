import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from chassis.ids import new_id
from contracts.identity import CreateCustomer, Customer, EmailTaken, UpdateCustomer
from contracts.message import Actor, Address, CustomerId, InvalidInput, NotAllowed, NotFound, Problem
from tests.integration.identity.office import News, Office

BERLIN = Address(line1="Torstraße 1", postal_code="10119", city="Berlin", country="DE")


async def change(office: Office, customer: Customer, actor: Actor | None = None, **values: Any) -> Customer:
    command = UpdateCustomer(customer_id=CustomerId(customer.id), **values)
    return await office.h.send(command, actor=actor or office.admin, merchant_id=office.merchant_id)


async def all_customers(office: Office) -> list[dict[str, Any]]:
    return [dict(row) for row in await office.h.db.fetch("SELECT * FROM customer ORDER BY id")]


async def test_a_new_customer_is_kept_and_announced_whole(office: Office, news: News) -> None:
    customer = await office.customer(
        company="Engines Ltd", phone="+44 20 1", billing_address=BERLIN, tax_ids=("DE1", "GB2"), locale="en-GB"
    )
    (event,) = await news.read()
    assert (event.type, event.sequence, event.subject) == ("identity.customer.created.v1", 1, str(customer.id))
    assert Customer.model_validate(event.data["state"]) == customer
    assert (customer.company, customer.billing_address, customer.tax_ids) == ("Engines Ltd", BERLIN, ("DE1", "GB2"))
    assert (customer.portal_access, customer.archived, customer.merchant_id) == ("none", False, office.merchant_id)
    assert customer.created_at == office.h.clock.now()


@pytest.mark.parametrize("role", ["manager", "sales"])
async def test_every_role_may_add_a_customer(office: Office, role: str) -> None:
    command = CreateCustomer(name="Ada", email="ada@example.com")
    assert (await office.h.send(command, actor=office.member(role), merchant_id=office.merchant_id)).name == "Ada"


async def test_an_address_belongs_to_one_customer_whatever_its_case(office: Office, news: News) -> None:
    first = await office.customer("ada@example.com")
    second = await office.customer("bob@example.com")
    before = await all_customers(office)
    with pytest.raises(EmailTaken):
        await office.customer("ADA@Example.com")
    with pytest.raises(EmailTaken):
        await change(office, second, email="Ada@example.com")
    assert await all_customers(office) == before
    assert await news.said() == [("customer.created", 1), ("customer.created", 1)]
    assert (await change(office, first, email="Ada@Example.com")).email == "Ada@Example.com"


async def test_two_merchants_may_have_the_same_customer(office: Office, other_office: Office) -> None:
    assert (await office.customer()).id != (await other_office.customer()).id


async def test_ten_at_once_with_one_address_are_one_customer(office: Office) -> None:
    results = await asyncio.gather(*(office.customer() for _ in range(10)), return_exceptions=True)
    assert [type(each) for each in results].count(Customer) == 1
    assert [type(each) for each in results].count(EmailTaken) == 9
    assert len(await all_customers(office)) == 1


async def test_only_what_is_given_changes(office: Office, news: News) -> None:
    customer = await office.customer(company="Engines Ltd", phone="1")
    await news.read()
    changed = await change(office, customer, name="Augusta Ada", phone="")
    assert changed == customer.model_copy(update={"name": "Augusta Ada", "phone": None})
    (event,) = await news.read()
    assert (event.type, event.sequence) == ("identity.customer.changed.v1", 2)
    assert Customer.model_validate(event.data["state"]) == changed


async def test_a_change_that_changes_nothing_is_not_announced(office: Office, news: News) -> None:
    customer = await office.customer()
    await news.read()
    assert await change(office, customer, name="Ada Lovelace", locale=None) == customer
    assert await news.said() == []


async def test_an_archived_customer_frees_the_address_and_needs_it_back_to_return(office: Office) -> None:
    first = await office.customer()
    assert (await change(office, first, archived=True)).archived is True
    second = await office.customer()
    with pytest.raises(EmailTaken):
        await change(office, first, archived=False)
    await change(office, second, archived=True)
    assert (await change(office, first, archived=False)).archived is False


async def test_archiving_takes_every_pending_invitation_back(office: Office, news: News) -> None:
    customer = await office.customer()
    await office.invite(customer)
    await office.invite(customer, email="bob@example.com")
    await news.read()
    await change(office, customer, archived=True)
    assert await news.said() == [("customer.changed", 3), ("invitation.revoked", 2), ("invitation.revoked", 2)]


async def test_a_corrected_address_takes_the_invitation_of_the_old_one_back(office: Office, news: News) -> None:
    customer = await office.customer("adda@example.com")
    await office.invite(customer)
    await office.invite(customer, email="bob@example.com")
    await news.read()
    await change(office, customer, email="ada@example.com")
    assert await news.said() == [("customer.changed", 3), ("invitation.revoked", 2)]
    pending = await office.h.db.fetch("SELECT email FROM invitation WHERE status = 'pending'")
    assert [row["email"] for row in pending] == ["bob@example.com"]


async def test_a_foreign_customer_is_not_found_and_stays_as_it_was(office: Office, other_office: Office) -> None:
    customer = await other_office.customer()
    before = await all_customers(office)
    with pytest.raises(NotFound) as foreign:
        await change(office, customer, name="Mine now", archived=True)
    with pytest.raises(NotFound) as missing:
        await change(office, customer.model_copy(update={"id": new_id()}), name="Mine now", archived=True)
    assert foreign.value.document() == missing.value.document()
    assert await all_customers(office) == before


async def test_a_contact_may_not_change_their_customer_and_is_told_why(office: Office) -> None:
    customer = await office.customer()
    contact = Actor(kind="contact", id=new_id(), role="owner", customer_id=CustomerId(customer.id))
    before = await all_customers(office)
    with pytest.raises(NotAllowed, match="Only the merchant's own team"):
        await change(office, customer, contact, name="Me")
    with pytest.raises(NotAllowed):
        await office.h.send(
            CreateCustomer(name="X", email="x@example.com"), actor=contact, merchant_id=office.merchant_id
        )
    assert await all_customers(office) == before


async def test_a_command_of_no_merchant_is_not_found(office: Office) -> None:
    with pytest.raises(NotFound):
        await office.h.send(CreateCustomer(name="X", email="x@example.com"), actor=office.admin)
    assert await all_customers(office) == []


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"billing_address": Address(country="ZZ")}, "billing_address.country"),
        ({"billing_address": Address(line1="a\x00b")}, "billing_address.line1"),
        ({"tax_ids": ("DE\n1",)}, "tax_ids.0"),
        ({"locale": "xx"}, "locale"),
        ({"time_zone": "Mars/Base"}, "time_zone"),
        ({"email": "a\x00@example.com"}, "email"),
    ],
)
async def test_what_does_not_exist_or_cannot_be_printed_is_refused_by_field(
    office: Office, values: dict[str, Any], field: str
) -> None:
    customer = await office.customer()
    before = await all_customers(office)
    for refused in (office.customer(**{"email": "new@example.com"} | values), change(office, customer, **values)):
        with pytest.raises(InvalidInput) as wrong:
            await refused
        assert [each.field for each in wrong.value.errors] == [field]
    assert await all_customers(office) == before


async def test_the_same_command_id_with_another_body_is_refused(office: Office) -> None:
    command = CreateCustomer(name="Ada", email="ada@example.com")
    sent = {"actor": office.admin, "merchant_id": office.merchant_id, "id": "one"}
    await office.h.send(command, **sent)  # type: ignore[arg-type]  # three keywords of three types
    office.h.clock.advance(timedelta(minutes=1))
    with pytest.raises(Problem, match="This request id was used for another request"):
        await office.h.send(command.model_copy(update={"name": "Bob"}), **sent)  # type: ignore[arg-type]  # as above
    assert [row["name"] for row in await all_customers(office)] == ["Ada"]
    assert UUID(str((await all_customers(office))[0]["merchant_id"])) == office.merchant_id
