"""SEPA direct debit, the method whose money takes days: test accounts, the form's check, the method's shape. Pure."""

from dataclasses import dataclass
from typing import Any

from local.stripe.cards import Decline

Json = dict[str, Any]

SETTLES_AFTER = 5 * 24 * 3600
"""Seconds that a debit is *processing*, on the sandbox's clock; the control room can settle it sooner."""


@dataclass(frozen=True)
class TestAccount:
    """One of the IBANs of Stripe's testing page; `token` stands for it in the API."""

    iban: str
    token: str
    does: str
    failure: Decline | None = None


@dataclass(frozen=True)
class DebitDetails:
    """What a customer typed, already checked."""

    account: TestAccount
    name: str | None = None


@dataclass(frozen=True)
class Processing:
    """The bank has taken the order; whether the money comes is known in days."""


NO_FUNDS = Decline("insufficient_funds", "The customer's account has insufficient funds to cover this payment.")
ACCOUNTS = (
    TestAccount("DE89370400440532013000", "pm_success_de", "is debited after five days"),
    TestAccount("DE62370400440532013001", "pm_failed_de", "fails after five days", NO_FUNDS),
)
_BY_IBAN = {account.iban: account for account in ACCOUNTS}
BY_TOKEN = {account.token: account for account in ACCOUNTS}


def account_of(iban: str) -> TestAccount:
    """The test account with this IBAN. Any other is kept by its last four characters only, and fails."""
    return _BY_IBAN.get(iban) or TestAccount(iban[-4:], "", "is not a test account", NO_FUNDS)


def read_account(iban: str, name: str) -> DebitDetails | dict[str, str]:
    """Checks the form's fields: the account, or a message per field name (`iban`, `holder`)."""
    written = iban.replace(" ", "").upper()
    problems: dict[str, str] = {}
    if not _is_iban(written):
        problems["iban"] = "Your IBAN is invalid." if written else "Enter your IBAN."
    if not name.strip():
        problems["holder"] = "Enter the account holder's name."
    return problems or DebitDetails(account_of(written), name.strip())


def _is_iban(written: str) -> bool:
    """ISO 13616: country, two check digits, the rest; the remainder by 97 is 1 (ISO 7064)."""
    if not (written.isascii() and written.isalnum() and 15 <= len(written) <= 34):
        return False
    if not (written[:2].isalpha() and written[2:4].isdigit()):
        return False
    return int("".join(str(int(character, 36)) for character in written[4:] + written[:4])) % 97 == 1


def bank_shape(account: TestAccount) -> Json:
    """What a method and its charges both show of the account."""
    return {
        "bank_code": account.iban[4:12] or None,
        "branch_code": None,
        "country": account.iban[:2] if len(account.iban) > 4 else None,
        "fingerprint": f"{account.iban[-4:]:0>16}",
        "last4": account.iban[-4:],
    }
