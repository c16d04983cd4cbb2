import asyncio
import json

import pytest

from chassis.testing import Harness
from contracts.identity import SignIn
from services.identity import cli
from services.identity.store.merchants import wait_for_other_creations
from tests.integration.identity.conftest import OpenOffice, Says
from tests.integration.identity.office import PASSWORD, Office

NORDLICHT = ["--name", "Nordlicht", "--email", "admin@nordlicht.example", "--person", "Nora", "--password-stdin"]


async def counts(h: Harness) -> tuple[int, int, int, int]:
    row = await h.db.fetchrow(
        """SELECT (SELECT count(*) FROM merchant), (SELECT count(*) FROM person), (SELECT count(*) FROM member),
                  (SELECT count(*) FROM outbox)"""
    )
    assert row is not None
    return tuple(row)


async def test_it_prints_the_ids_and_announces_merchant_person_and_member(
    h: Harness, stdin: Says, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin(PASSWORD + "\n")
    more = ["--currency", "CHF", "--locale", "de-CH", "--time-zone", "Europe/Zurich", "--support-email", "hi@n.example"]
    assert await cli.create_merchant(h.runtime, NORDLICHT + more) == 0
    (line,) = capsys.readouterr().out.splitlines()
    ids = json.loads(line)
    events = await h.outbox()
    assert [(event.type, event.sequence, event.actor) for event in events] == [
        ("identity.person.created.v1", 1, "system:identity"),
        ("identity.merchant.created.v1", 1, "system:identity"),
        ("identity.member.added.v1", 1, "system:identity"),
    ]
    assert [event.subject for event in events] == [ids["person_id"], ids["merchant_id"], ids["member_id"]]
    assert [str(event.merchantid) for event in events] == ["None", ids["merchant_id"], ids["merchant_id"]]
    merchant, member = events[1].data["state"], events[2].data["state"]
    assert isinstance(merchant, dict)
    assert isinstance(member, dict)
    assert {name: merchant[name] for name in ("name", "currency", "locale", "time_zone", "support_email")} == {
        "name": "Nordlicht",
        "currency": "CHF",
        "locale": "de-CH",
        "time_zone": "Europe/Zurich",
        "support_email": "hi@n.example",
    }
    assert (member["role"], member["name"], member["email"]) == ("admin", "Nora", "admin@nordlicht.example")


async def test_the_admin_signs_in_with_the_password_given(office: Office) -> None:
    signed_in = await office.h.ask(SignIn(email="ADMIN@nordlicht.example", password=PASSWORD))
    (account,) = signed_in.accounts
    assert (account.kind, account.id, account.role, account.name) == (
        "merchant",
        office.merchant_id,
        "admin",
        "Nordlicht GmbH",
    )
    assert (signed_in.person_id, signed_in.name) == (office.person_id, "Nora Licht")


async def test_a_run_beside_one_that_does_not_end_says_so_in_a_line(
    h: Harness, stdin: Says, capsys: pytest.CaptureFixture[str]
) -> None:
    async with h.db.transaction(h.runtime.system_cause()) as tx:
        await wait_for_other_creations(tx)
        stdin(PASSWORD + "\n")
        assert await cli.create_merchant(h.runtime, NORDLICHT) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", "create-merchant: somebody else makes a merchant right now; run it again.\n")
    assert await counts(h) == (0, 0, 0, 0)


async def test_a_second_run_makes_nothing_and_names_the_merchant_there_is(
    office: Office, stdin: Says, capsys: pytest.CaptureFixture[str]
) -> None:
    before = await counts(office.h)
    stdin("another password entirely\n")
    again = ["--name", "nordlicht gmbh", "--email", "Admin@Nordlicht.example", "--person", "N", "--password-stdin"]
    assert await cli.create_merchant(office.h.runtime, again) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert str(office.merchant_id) in err
    assert await counts(office.h) == before == (1, 1, 1, 3)


async def test_five_runs_at_once_make_one_merchant(office: Office, stdin: Says) -> None:
    # Of somebody who has an account: for a new address the table of people would stop the second run anyway.
    stdin(f"{PASSWORD}\n" * 5)
    arguments = ["--name", "Zweitwerk", "--email", "admin@nordlicht.example", "--person", "N", "--password-stdin"]
    # Five open connections, so that no run waits for its own while another gets through.
    await asyncio.gather(*(office.h.db.fetch("SELECT pg_sleep(0.2)") for _ in range(5)))
    codes = await asyncio.gather(*(cli.create_merchant(office.h.runtime, arguments) for _ in range(5)))
    assert sorted(codes) == [0, 3, 3, 3, 3]
    assert await counts(office.h) == (2, 1, 2, 5)


async def test_somebody_with_an_account_becomes_admin_of_a_second_merchant_with_it(
    office: Office, open_office: OpenOffice
) -> None:
    second = await open_office("Zweitwerk", "ADMIN@nordlicht.example")
    assert second.person_id == office.person_id
    signed_in = await office.h.ask(SignIn(email="admin@nordlicht.example", password=PASSWORD))
    assert [account.name for account in signed_in.accounts] == ["Nordlicht GmbH", "Zweitwerk"]


async def test_an_account_cannot_be_taken_over_by_naming_its_address(
    office: Office, stdin: Says, capsys: pytest.CaptureFixture[str]
) -> None:
    before = await counts(office.h)
    stdin("not the password of it\n")
    other = ["--name", "Other", "--email", "admin@nordlicht.example", "--person", "X", "--password-stdin"]
    assert await cli.create_merchant(office.h.runtime, other) == 1
    assert capsys.readouterr().err == (
        "create-merchant: admin@nordlicht.example has an account already, and this is not its password.\n"
    )
    assert await counts(office.h) == before
    await office.h.ask(SignIn(email="admin@nordlicht.example", password=PASSWORD))


@pytest.mark.parametrize(
    ("more", "field"),
    [
        (["--currency", "DEM"], "currency"),
        (["--locale", "xx"], "locale"),
        (["--time-zone", "Mars/Base"], "time_zone"),
        (["--email", "nobody"], "email"),
        (["--support-email", "nobody"], "support_email"),
        (["--name", "two\nlines"], "name"),
        (["--brand-colour", "blue"], "brand_colour"),
    ],
)
async def test_bad_input_is_one_line_that_names_the_field(
    h: Harness, stdin: Says, capsys: pytest.CaptureFixture[str], more: list[str], field: str
) -> None:
    stdin(PASSWORD + "\n")
    assert await cli.create_merchant(h.runtime, NORDLICHT + more) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"create-merchant: {field}: ")
    assert err.count("\n") == 1
    assert await counts(h) == (0, 0, 0, 0)


async def test_a_short_password_is_refused_and_not_shown(
    h: Harness, stdin: Says, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin("geheim123\n")
    assert await cli.create_merchant(h.runtime, NORDLICHT) == 2
    err = capsys.readouterr().err
    assert err.startswith("create-merchant: password: ")
    assert "geheim123" not in err
    assert await counts(h) == (0, 0, 0, 0)
