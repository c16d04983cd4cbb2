import pytest

from contracts.identity import CreateCustomer, UpdateMerchant
from contracts.message import Address
from services.identity.domain.inputs import countries, currencies, locale_exists, mistakes, time_zones


def fields(values: dict[str, object]) -> list[str]:
    return [each.field for each in mistakes(values)]


@pytest.mark.parametrize("tag", ["en", "de", "ar", "en-GB", "pt-BR", "zh-Hant-TW", "sr-Latn"])
def test_a_language_with_data_exists(tag: str) -> None:
    assert locale_exists(tag)


@pytest.mark.parametrize("tag", ["xx", "en-XX", "english", "de_DE", "x"])
def test_a_language_without_data_does_not(tag: str) -> None:
    assert not locale_exists(tag)


def test_countries_are_those_of_iso_3166_and_kosovo() -> None:
    assert len(countries()) == 250
    assert {"DE", "XK", "TW", "GB"} <= countries()
    assert countries().isdisjoint({"EU", "UN", "ZZ", "UK", "XA"})


def test_currencies_are_those_in_use() -> None:
    assert {"EUR", "USD", "JPY", "BHD", "CHF"} <= currencies()
    assert currencies().isdisjoint({"DEM", "XXX", "XTS", "ABC", "FRF"})


def test_time_zones_are_places() -> None:
    assert {"UTC", "Europe/Berlin", "Asia/Kathmandu"} <= time_zones()
    assert time_zones().isdisjoint({"localtime", "Factory", "Europe/Nowhere", ""})


def test_a_mistake_names_its_field_and_what_was_given() -> None:
    (mistake,) = mistakes({"locale": "xx"})
    assert (mistake.field, mistake.message) == ("locale", "“xx” is not a language that we know.")


def test_every_mistake_of_a_command_is_named() -> None:
    command = UpdateMerchant(
        locale="xx", time_zone="Mars/Base", currency="ABC", address=Address(line1="a\nb", country="ZZ"), tax_id="1\x00"
    )
    assert sorted(fields(command.model_dump())) == [
        "address.country",
        "address.line1",
        "currency",
        "locale",
        "tax_id",
        "time_zone",
    ]


def test_a_list_names_the_place_of_its_mistake() -> None:
    command = CreateCustomer(name="Ada", email="ada@example.com", tax_ids=("DE1", "DE\r2"))
    assert fields(command.model_dump()) == ["tax_ids.1"]


def test_what_was_not_said_is_no_mistake() -> None:
    assert mistakes({"locale": None, "country": "", "currency": None, "phone": ""}) == ()


def test_letters_of_every_script_are_no_mistake() -> None:
    assert mistakes({"name": "مرحبا Größe 株式会社 🙂"}) == ()
