"""What each test card decides, and what the form refuses before any bank is asked."""

from datetime import date

import pytest

from local.stripe.cards import (
    AUTHENTICATION_REQUIRED,
    CARDS,
    GENERIC,
    UNLISTED,
    Approval,
    CardDetails,
    Challenge,
    Decline,
    card_of,
    decide,
    decide_setup,
    read_card,
)
from local.stripe.currencies import check_amount, check_currency, format_amount
from local.stripe.debits import ACCOUNTS, NO_FUNDS, DebitDetails, read_account
from local.stripe.errors import InvalidParameterError

_TODAY = date(2026, 11, 22)


@pytest.mark.parametrize(
    ("number", "on_session", "off_session", "off_session_set_up"),
    [
        ("4242424242424242", Approval(), Approval(), Approval()),
        ("4000002500003155", Challenge(), AUTHENTICATION_REQUIRED, Approval()),
        ("4000002760003184", Challenge(), AUTHENTICATION_REQUIRED, AUTHENTICATION_REQUIRED),
        ("4000000000000259", Approval(), Approval(), Approval()),
        ("4000000000005126", Approval(), Approval(), Approval()),
    ],
)
def test_authentication_is_asked_as_the_card_says(
    number: str, on_session: object, off_session: object, off_session_set_up: object
) -> None:
    card = card_of(number)
    assert decide(card, off_session=False, set_up=False) == on_session
    assert decide(card, off_session=True, set_up=False) == off_session
    assert decide(card, off_session=True, set_up=True) == off_session_set_up
    assert decide(card, off_session=False, set_up=False, authenticated=True) == Approval()


@pytest.mark.parametrize(
    ("number", "code", "decline_code"),
    [
        ("4000000000000002", "card_declined", "generic_decline"),
        ("4000000000009995", "card_declined", "insufficient_funds"),
        ("4000000000000069", "expired_card", "expired_card"),
        ("4000000000000341", "card_declined", "generic_decline"),
        ("4539578763621486", "card_declined", "test_mode_live_card"),
    ],
)
def test_a_declining_card_declines_always(number: str, code: str, decline_code: str) -> None:
    for off_session in (True, False):
        outcome = decide(card_of(number), off_session=off_session, set_up=True)
        assert isinstance(outcome, Decline)
        assert (outcome.code, outcome.decline_code) == (code, decline_code)


@pytest.mark.parametrize(
    ("number", "says"),
    [
        ("4242424242424242", Approval()),
        ("4000000000000341", Approval()),
        ("4000002500003155", Challenge()),
        ("4000002760003184", Challenge()),
        ("4000000000000002", GENERIC),
        ("4539578763621486", UNLISTED),
    ],
)
def test_a_card_is_saved_refused_or_asks_first(number: str, says: object) -> None:
    assert decide_setup(card_of(number)) == says
    assert decide_setup(card_of(number), authenticated=True) == (Approval() if says == Challenge() else says)


def test_the_cards_with_a_later_fate_are_stripes_own() -> None:
    assert [card.number for card in CARDS if card.disputed] == ["4000000000000259"]
    assert [card.number for card in CARDS if card.refund_fails] == ["4000000000005126"]


def test_every_test_account_passes_the_forms_own_check() -> None:
    for account in ACCOUNTS:
        assert read_account(account.iban.lower(), " Ada ") == DebitDetails(account, "Ada")


@pytest.mark.parametrize(
    ("iban", "holder", "fields"),
    [
        ("DE89370400440532013001", "Ada", ["iban"]),
        ("", "", ["iban", "holder"]),
        ("8989370400440532013000", "Ada", ["iban"]),
        ("DE٨٩370400440532013000", "Ada", ["iban"]),
    ],
)
def test_a_mistyped_account_is_named(iban: str, holder: str, fields: list[str]) -> None:
    problems = read_account(iban, holder)
    assert isinstance(problems, dict)
    assert list(problems) == fields


def test_an_account_that_is_no_test_account_fails_and_is_not_kept() -> None:
    details = read_account("FR1420041010050500013M02606", "Ada")
    assert isinstance(details, DebitDetails)
    assert (details.account.iban, details.account.failure) == ("2606", NO_FUNDS)


def test_every_test_card_passes_the_forms_own_check() -> None:
    for card in CARDS:
        assert read_card(card.number, "11/26", "123", "", _TODAY) == CardDetails(card, 11, 2026, None)


@pytest.mark.parametrize("expiry", ["12/34", "12 / 34", "1234", "12-2034", "12/2034"])
def test_an_expiry_is_read_however_it_is_written(expiry: str) -> None:
    details = read_card("4242 4242 4242 4242", expiry, "123", " Ada ", _TODAY)
    assert isinstance(details, CardDetails)
    assert (details.exp_month, details.exp_year, details.name) == (12, 2034, "Ada")


@pytest.mark.parametrize(
    ("number", "expiry", "cvc", "fields"),
    [
        ("4242424242424241", "12/34", "123", ["card_number"]),
        ("", "", "", ["card_number", "expiry", "cvc"]),
        ("٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢", "12/34", "123", ["card_number"]),
        ("4242424242424242", "10/26", "123", ["expiry"]),
        ("4242424242424242", "13/34", "123", ["expiry"]),
        ("4242424242424242", "12/34", "12", ["cvc"]),
    ],
)
def test_a_mistyped_field_is_named(number: str, expiry: str, cvc: str, fields: list[str]) -> None:
    problems = read_card(number, expiry, cvc, "Ada", _TODAY)
    assert isinstance(problems, dict)
    assert list(problems) == fields


def test_amounts_are_shown_in_the_currencys_own_decimals() -> None:
    assert format_amount(1250, "eur") == "€12.50"
    assert format_amount(1250, "eur", "de").replace("\xa0", " ") == "12,50 €"
    assert format_amount(1250, "jpy") == "¥1,250"
    assert format_amount(12500, "kwd").replace("\xa0", "") == "KWD12.500"
    assert format_amount(1250, "eur", "xx-XX") == "€12.50"


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        (49, "eur", "amount_too_small"),
        (100_000_000, "eur", "amount_too_large"),
        (1255, "kwd", None),
        (150, "isk", None),
    ],
)
def test_an_amount_that_stripe_cannot_charge_is_refused(amount: int, currency: str, code: str | None) -> None:
    with pytest.raises(InvalidParameterError) as refused:
        check_amount(amount, currency, "amount")
    assert refused.value.error.get("code") == code
    with pytest.raises(InvalidParameterError, match="Invalid currency: zzy"):
        check_currency("ZZY", "currency")
