"""Stripe's test cards, and what each decides about a charge. Pure: no clock, no I/O."""

from dataclasses import dataclass
from datetime import date
from typing import Literal


@dataclass(frozen=True)
class Decline:
    """Why a charge failed, as in `last_payment_error`; `message` is what Stripe shows to the customer."""

    code: str
    message: str
    decline_code: str | None = None


@dataclass(frozen=True)
class TestCard:
    """One of the numbers of Stripe's testing page; `token` is the `pm_card_…` name that stands for it in the API.

    `disputed`: a dispute follows each charge. `refund_fails`: a refund succeeds, and fails later.
    """

    number: str
    brand: str
    token: str
    does: str
    decline: Decline | None = None
    authentication: Literal["never", "unless_set_up", "always"] = "never"
    can_be_saved: bool = True
    disputed: bool = False
    refund_fails: bool = False

    @property
    def last4(self) -> str:
        """The last four digits."""
        return self.number[-4:]


GENERIC = Decline("card_declined", "Your card was declined.", "generic_decline")
AUTHENTICATION_REQUIRED = Decline(
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
    "authentication_required",
)
AUTHENTICATION_FAILED = Decline(
    "payment_intent_authentication_failure",
    "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
)
UNLISTED = Decline(
    "card_declined",
    "Your card was declined. Your request was in test mode, but used a non test card. "
    "For a list of valid test cards, visit: https://stripe.com/docs/testing.",
    "test_mode_live_card",
)

CARDS = (
    TestCard("4242424242424242", "visa", "pm_card_visa", "succeeds"),
    TestCard("5555555555554444", "mastercard", "pm_card_mastercard", "succeeds"),
    TestCard("378282246310005", "amex", "pm_card_amex", "succeeds"),
    TestCard("4000000000000002", "visa", "pm_card_visa_chargeDeclined", "is declined", GENERIC, can_be_saved=False),
    TestCard(
        "4000000000009995",
        "visa",
        "pm_card_visa_chargeDeclinedInsufficientFunds",
        "has insufficient funds",
        Decline("card_declined", "Your card has insufficient funds.", "insufficient_funds"),
        can_be_saved=False,
    ),
    TestCard(
        "4000000000000069",
        "visa",
        "pm_card_chargeDeclinedExpiredCard",
        "is expired",
        Decline("expired_card", "Your card has expired.", "expired_card"),
        can_be_saved=False,
    ),
    TestCard("4000000000000341", "visa", "pm_card_chargeCustomerFail", "can be saved, every charge declines", GENERIC),
    TestCard(
        "4000002500003155",
        "visa",
        "pm_card_authenticationRequiredOnSetup",
        "asks for authentication once",
        authentication="unless_set_up",
    ),
    TestCard(
        "4000002760003184",
        "visa",
        "pm_card_authenticationRequired",
        "asks for authentication always",
        authentication="always",
    ),
    TestCard("4000000000000259", "visa", "pm_card_createDispute", "is disputed right after", disputed=True),
    TestCard("4000000000005126", "visa", "pm_card_refundFail", "lets a refund fail a minute later", refund_fails=True),
)
_BY_NUMBER = {card.number: card for card in CARDS}
BY_TOKEN = {card.token: card for card in CARDS}


def card_of(number: str) -> TestCard:
    """The test card with this number.

    Any other number is kept by its last four digits only, and every charge of it declines: nobody's real card may lie
    in a sandbox's database.
    """
    return _BY_NUMBER.get(number) or TestCard(
        number[-4:], "unknown", "", "is not a test card", UNLISTED, can_be_saved=False
    )


@dataclass(frozen=True)
class Challenge:
    """The bank wants to see the customer first (3D Secure)."""


@dataclass(frozen=True)
class Approval:
    """The charge succeeds."""


def decide(
    card: TestCard, *, off_session: bool, set_up: bool, authenticated: bool = False
) -> Approval | Decline | Challenge:
    """What the card's bank says to a charge.

    `set_up` is whether the card was authenticated for later use; `authenticated` whether the customer has just passed
    the challenge of this very payment.
    """
    if card.decline is not None:
        return card.decline
    asks = card.authentication == "always" or (card.authentication == "unless_set_up" and not (set_up and off_session))
    if not asks or authenticated:
        return Approval()
    return AUTHENTICATION_REQUIRED if off_session else Challenge()


def decide_setup(card: TestCard, *, authenticated: bool = False) -> Approval | Decline | Challenge:
    """What the card's bank says when the card shall be kept for later charges, its customer being there."""
    if card.decline is not None and not card.can_be_saved:
        return card.decline
    return Approval() if authenticated or card.authentication == "never" else Challenge()


@dataclass(frozen=True)
class CardDetails:
    """What a customer typed, already checked."""

    card: TestCard
    exp_month: int
    exp_year: int
    name: str | None = None


def read_card(number: str, expiry: str, cvc: str, name: str, today: date) -> CardDetails | dict[str, str]:
    """Checks the form's fields as Stripe's page does before it asks any bank.

    Returns:
        The card, or a message per field name (`card_number`, `expiry`, `cvc`).
    """
    problems: dict[str, str] = {}
    digits = number.replace(" ", "").replace("-", "")
    if not digits.isascii() or not digits.isdecimal() or not 12 <= len(digits) <= 19 or not _luhn(digits):
        problems["card_number"] = "Your card number is invalid." if digits else "Enter your card number."
    valid_until = _read_expiry(expiry)
    if valid_until is None:
        problems["expiry"] = "Your card's expiration date is incomplete: write it like 12 / 34."
    elif valid_until < (today.year, today.month):
        problems["expiry"] = "Your card's expiration date is in the past."
    if not cvc.isascii() or not cvc.isdecimal() or len(cvc) not in (3, 4):
        problems["cvc"] = "Your card's security code is incomplete."
    if problems or valid_until is None:
        return problems
    year, month = valid_until
    return CardDetails(card_of(digits), month, year, name.strip() or None)


def _luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    doubled = [int(digit) * (2 if index % 2 else 1) for index, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _read_expiry(expiry: str) -> tuple[int, int] | None:
    """(year, month) of "12/34", "1234", "12 / 2034"; None when it is none of these."""
    digits = "".join(character for character in expiry if character not in " /-")
    if not digits.isascii() or not digits.isdecimal() or len(digits) not in (4, 6):
        return None
    month, year = int(digits[:2]), int(digits[2:])
    if not 1 <= month <= 12:
        return None
    return (year + 2000 if year < 100 else year), month
