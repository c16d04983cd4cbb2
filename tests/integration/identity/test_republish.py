import pytest

from contracts.identity import AcceptInvitation, SetLogo, UpdateCustomer
from contracts.message import CustomerId, State
from services.identity import store
from services.identity.store import paging
from tests.integration.identity.office import PASSWORD, PUBLIC, Office, token_of


async def test_every_noun_is_read_as_it_was_last_announced(office: Office, other_office: Office) -> None:
    customer = await office.customer(tax_ids=("DE1",))
    await office.h.send(
        AcceptInvitation(token=token_of(await office.invite(customer)), name="Ada", password=PASSWORD), actor=PUBLIC
    )
    await other_office.customer("bob@example.com")
    change = UpdateCustomer(customer_id=CustomerId(customer.id), company="Engines Ltd")
    await office.h.send(change, actor=office.admin, merchant_id=office.merchant_id)
    await office.h.send(SetLogo(image_base64=None), actor=office.admin, merchant_id=office.merchant_id)
    announced = {(event.type.split(".")[1], event.subject): event for event in await office.h.outbox()}
    read: dict[tuple[str, str], object] = {}
    for noun, every in store.EVERY.items():
        async for row in every(office.h.db):
            assert isinstance(row.state, noun)
            read[noun.short_name(), str(row.state.id)] = (row.sequence, row.state)
    assert read.keys() == announced.keys()
    assert sorted({noun for noun, _ in read}) == sorted(noun.short_name() for noun in store.EVERY)
    for key, event in announced.items():
        state: type[State] = next(noun for noun in store.EVERY if noun.short_name() == key[0])
        assert read[key] == (event.sequence, state.model_validate(event.data["state"]))


async def test_more_rows_than_a_page_are_all_read_once(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "_PAGE", 3)
    made = [(await office.customer(f"{number}@example.com")).id for number in range(7)]
    assert [row.state.id async for row in store.customers.every_customer(office.h.db)] == sorted(made)
