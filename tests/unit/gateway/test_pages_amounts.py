"""Amounts as people write them, in their own locale, exactly."""

from decimal import Decimal

import pytest
from babel import Locale
from hypothesis import given
from hypothesis import strategies as some

from services.gateway.pages import amounts

ENGLISH, GERMAN, ARABIC, FRENCH, SWISS, INDIAN = (
    Locale.parse(tag) for tag in ("en", "de", "ar", "fr", "de_CH", "en_IN")
)


@pytest.mark.parametrize(
    ("text", "currency", "locale", "minor"),
    [
        ("12.50", "EUR", ENGLISH, 1250),
        ("1,250.00", "EUR", ENGLISH, 125_000),
        ("12,50", "EUR", GERMAN, 1250),
        ("1.250", "EUR", GERMAN, 125_000),
        ("1.250,5", "EUR", GERMAN, 125_050),
        ("1250", "JPY", GERMAN, 1250),
        ("1.234", "KWD", ENGLISH, 1234),
        ("1,5", "KWD", GERMAN, 1500),
        (" 7 ", "EUR", ENGLISH, 700),
        ("0", "EUR", ENGLISH, 0),
        ("1\u202f250,00", "EUR", FRENCH, 125_000),
        ("1 250,00", "EUR", FRENCH, 125_000),
        ("1'250.00", "CHF", SWISS, 125_000),
        ("12,34,567.89", "INR", INDIAN, 123_456_789),
        ("\u0661\u0662\u066b\u0665\u0660", "EUR", ARABIC, 1250),  # Arabic digits and decimal sign
        ("1,250.00", "EUR", ARABIC, 125_000),
    ],
)
def test_a_typed_price_is_its_minor_units(text: str, currency: str, locale: Locale, minor: int) -> None:
    assert amounts.minor_units(text, currency, locale) == minor


@pytest.mark.parametrize(
    ("text", "locale"),
    [
        ("12.50", GERMAN),  # would be 1250 euro to whoever drops the point
        ("1,25", ENGLISH),
        ("12,500.00,1", ENGLISH),
        ("-1", ENGLISH),
        ("+1", ENGLISH),
        ("1e5", ENGLISH),
        ("NaN", ENGLISH),
        ("Infinity", ENGLISH),
        ("", ENGLISH),
        (".", ENGLISH),
        ("1..5", ENGLISH),
        ("€5", ENGLISH),
        ("1_000", ENGLISH),
        ("9" * 16, ENGLISH),
    ],
)
def test_what_is_not_a_number_here_is_refused_and_never_guessed(text: str, locale: Locale) -> None:
    with pytest.raises(amounts.NotANumberError):
        amounts.minor_units(text, "EUR", locale)


def test_a_sign_after_letters_stays_behind_them_where_people_read_from_right_to_left() -> None:
    assert amounts.money(12_000, "JPY", ARABIC).endswith("JP¥\N{LEFT-TO-RIGHT MARK}")
    assert "\N{LEFT-TO-RIGHT MARK}" not in amounts.money(12_000, "JPY", ENGLISH)


@pytest.mark.parametrize(("text", "currency"), [("12.505", "EUR"), ("1.5", "JPY"), ("0.0001", "KWD")])
def test_a_fraction_of_a_minor_unit_is_refused_and_never_rounded(text: str, currency: str) -> None:
    with pytest.raises(amounts.TooManyDecimalsError):
        amounts.minor_units(text, currency, ENGLISH)


@given(
    some.integers(0, 99_999_999_999),
    some.sampled_from(["EUR", "JPY", "KWD", "CLF"]),
    some.sampled_from([ENGLISH, GERMAN, ARABIC, FRENCH, SWISS, INDIAN]),
)
def test_what_a_field_shows_is_read_back_as_the_same_amount(minor: int, currency: str, locale: Locale) -> None:
    assert amounts.minor_units(amounts.typed(minor, currency, locale), currency, locale) == minor


@pytest.mark.parametrize(
    ("minor", "currency", "locale", "text"),
    [
        (125_000, "EUR", ENGLISH, "€1,250.00"),
        (125_000, "EUR", GERMAN, "1.250,00\u00a0€"),
        (1250, "JPY", ENGLISH, "¥1,250"),
        (1250, "KWD", ENGLISH, "KWD\u00a01.250"),
        (1250, "IQD", ENGLISH, "IQD\u00a01.250"),  # CLDR would show no fils
        (-500, "EUR", ENGLISH, "-€5.00"),
        (10**15 + 1, "EUR", ENGLISH, "€10,000,000,000,000.01"),
    ],
)
def test_an_amount_is_shown_with_every_minor_unit(minor: int, currency: str, locale: Locale, text: str) -> None:
    assert amounts.money(minor, currency, locale) == text


def test_a_quantity_keeps_its_decimals() -> None:
    assert amounts.number("1,25", GERMAN) == Decimal("1.25")
