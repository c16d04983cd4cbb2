import pytest

from contracts.identity import AcceptInvitation, UpdatePerson
from contracts.message import Actor, InvalidInput, NotAllowed, NotFound
from tests.integration.identity.office import PASSWORD, News, Office, token_of


async def test_a_new_name_shows_in_every_team_and_portal(office: Office, other_office: Office, news: News) -> None:
    invitation = await other_office.invite(await other_office.customer("admin@nordlicht.example"))
    await office.h.send(AcceptInvitation(token=token_of(invitation), password=PASSWORD), actor=Actor(kind="public"))
    await news.read()
    person = await office.h.send(UpdatePerson(name="Nora Dunkel"), actor=office.admin, merchant_id=office.merchant_id)
    assert person.name == "Nora Dunkel"
    events = await news.read()
    assert [(event.type, event.sequence) for event in events] == [
        ("identity.person.changed.v1", 2),
        ("identity.member.changed.v1", 2),
        ("identity.contact.changed.v1", 2),
    ]
    states = [event.data["state"] for event in events]
    assert [state["name"] for state in states if isinstance(state, dict)] == ["Nora Dunkel"] * 3
    assert [event.merchantid for event in events] == [None, office.merchant_id, other_office.merchant_id]


async def test_a_new_language_is_the_persons_alone(office: Office, news: News) -> None:
    command = UpdatePerson(locale="de", time_zone="Europe/Berlin")
    person = await office.h.send(command, actor=Actor(kind="person", id=office.person_id))
    assert (person.locale, person.time_zone, person.name) == ("de", "Europe/Berlin", "Nora Licht")
    assert await news.said() == [("person.changed", 2)]
    await office.h.send(command, actor=Actor(kind="person", id=office.person_id))
    assert await news.said() == []


async def test_nobody_changes_anybody_else(office: Office, other_office: Office, news: News) -> None:
    await office.h.send(UpdatePerson(name="Nora Dunkel"), actor=office.admin, merchant_id=office.merchant_id)
    names = await office.h.db.fetch("SELECT id, name FROM person ORDER BY name")
    assert [(row["id"], row["name"]) for row in names] == [
        (office.person_id, "Nora Dunkel"),
        (other_office.person_id, "Nora Licht"),
    ]


async def test_what_is_no_person_or_no_language_is_refused(office: Office, news: News) -> None:
    with pytest.raises(NotAllowed):
        await office.h.send(UpdatePerson(name="X"), actor=Actor(kind="public"))
    with pytest.raises(NotFound):
        await office.h.send(UpdatePerson(name="X"), actor=Actor(kind="person", id=office.merchant_id))
    with pytest.raises(InvalidInput):
        await office.h.send(UpdatePerson(locale="xx"), actor=office.admin, merchant_id=office.merchant_id)
    assert await news.said() == []
