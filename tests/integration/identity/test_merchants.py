import base64
import io
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from contracts.identity import Logo, Merchant, SetLogo, UpdateMerchant
from contracts.message import Address, InvalidInput, NotAllowed, NotFound
from tests.integration.identity.office import News, Office


async def change(office: Office, role: str = "admin", **values: Any) -> Merchant:
    return await office.h.send(UpdateMerchant(**values), actor=office.member(role), merchant_id=office.merchant_id)


async def set_logo(office: Office, image: bytes | None, role: str = "admin") -> Logo:
    encoded = None if image is None else base64.b64encode(image).decode()
    command = SetLogo(image_base64=encoded)
    return await office.h.send(command, actor=office.member(role), merchant_id=office.merchant_id)


def image(kind: str = "PNG", size: tuple[int, int] = (300, 100)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "red").save(out, kind)
    return out.getvalue()


async def test_an_admin_changes_what_is_given_and_no_more(office: Office, news: News) -> None:
    address = Address(line1="Torstraße 1", city="Berlin", country="DE")
    first = await change(office, support_phone="+49 30 1", tax_id="DE1", brand_colour="#ff0000", address=address)
    second = await change(office, support_phone="", currency="CHF")
    assert second == first.model_copy(update={"support_phone": None, "currency": "CHF"})
    assert (second.tax_id, second.brand_colour, second.address, second.name) == (
        "DE1",
        "#ff0000",
        address,
        "Nordlicht GmbH",
    )
    events = await news.read()
    assert [(event.type, event.sequence) for event in events] == [
        ("identity.merchant.changed.v1", 2),
        ("identity.merchant.changed.v1", 3),
    ]
    assert Merchant.model_validate(events[-1].data["state"]) == second


async def test_an_empty_text_takes_each_contact_and_the_tax_id_away(office: Office) -> None:
    given = {"support_email": "hilfe@nordlicht.example", "support_phone": "+49 30 1", "tax_id": "DE1"}
    before = await change(office, **given)
    assert before.support_email == "hilfe@nordlicht.example"
    after = await change(office, **dict.fromkeys(given, ""))
    assert (after.support_email, after.support_phone, after.tax_id) == (None, None, None)
    assert await office.h.db.fetchval("SELECT support_email FROM merchant WHERE id = $1", after.id) is None


def test_an_address_that_is_none_is_still_refused() -> None:
    with pytest.raises(ValidationError) as refused:
        UpdateMerchant(support_email="nobody")
    assert {error["loc"][0] for error in refused.value.errors()} == {"support_email"}


async def test_a_change_of_nothing_is_not_announced(office: Office, news: News) -> None:
    await change(office, name="Nordlicht GmbH")
    assert await news.said() == []


@pytest.mark.parametrize("role", ["manager", "sales"])
async def test_only_an_admin_changes_settings_and_logo(office: Office, news: News, role: str) -> None:
    with pytest.raises(NotAllowed, match="Only an admin"):
        await change(office, role, name="Mine")
    with pytest.raises(NotAllowed, match="Only an admin"):
        await set_logo(office, image(), role)
    assert await office.h.db.fetchval("SELECT name FROM merchant") == "Nordlicht GmbH"
    assert await office.h.db.fetchval("SELECT count(*) FROM logo") == 0
    assert await news.said() == []


async def test_one_merchants_settings_leave_the_others_alone(office: Office, other_office: Office) -> None:
    await change(office, name="New name")
    await set_logo(office, image())
    assert (
        await office.h.db.fetchval("SELECT name FROM merchant WHERE id = $1", other_office.merchant_id) == "Südwind AG"
    )
    assert [row["merchant_id"] for row in await office.h.db.fetch("SELECT merchant_id FROM logo")] == [
        office.merchant_id
    ]


async def test_no_merchant_at_all_is_not_found(office: Office) -> None:
    for command in (UpdateMerchant(name="X"), SetLogo(image_base64=None)):
        with pytest.raises(NotFound):
            await office.h.send(command, actor=office.admin)


async def test_what_does_not_exist_is_refused_by_field(office: Office) -> None:
    with pytest.raises(InvalidInput) as refused:
        await change(office, currency="DEM", locale="xx", time_zone="Mars/Base", address=Address(country="UN"))
    assert sorted(each.field for each in refused.value.errors) == ["address.country", "currency", "locale", "time_zone"]
    assert await office.h.db.fetchval("SELECT currency FROM merchant") == "EUR"


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
async def test_a_logo_is_redrawn_kept_and_announced(office: Office, news: News, kind: str) -> None:
    logo = await set_logo(office, image(kind))
    assert logo.png_base64 is not None
    png = base64.b64decode(logo.png_base64)
    assert Image.open(io.BytesIO(png)).size == (300, 100)
    assert await office.h.db.fetchval("SELECT png FROM logo") == png
    (event,) = await news.read()
    assert (event.type, event.sequence, event.subject) == ("identity.logo.changed.v1", 1, str(office.merchant_id))
    assert Logo.model_validate(event.data["state"]) == logo


async def test_a_logo_is_replaced_and_taken_away(office: Office, news: News) -> None:
    await set_logo(office, image())
    await set_logo(office, image(size=(10, 10)))
    gone = await set_logo(office, None)
    assert gone == Logo(id=office.merchant_id, merchant_id=office.merchant_id, png_base64=None)
    assert await news.said() == [("logo.changed", 1), ("logo.changed", 2), ("logo.changed", 3)]


@pytest.mark.parametrize("sent", ["not base64!", base64.b64encode(b"<svg/>").decode(), "A" * 1_399_996])
async def test_what_is_no_usable_image_is_refused(office: Office, news: News, sent: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await office.h.send(SetLogo(image_base64=sent), actor=office.admin, merchant_id=office.merchant_id)
    assert [each.field for each in refused.value.errors] == ["image_base64"]
    assert await office.h.db.fetchval("SELECT count(*) FROM logo") == 0
    assert await news.said() == []


async def test_a_file_of_more_than_a_megabyte_is_refused_for_that(office: Office, news: News) -> None:
    padded = image().ljust(1_000_001, b"\0")
    with pytest.raises(InvalidInput, match="1 MB at most"):
        await set_logo(office, padded)
    assert await news.said() == []
    await set_logo(office, padded[:-1])
    assert await news.said() == [("logo.changed", 1)]
