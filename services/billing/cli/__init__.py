"""What an operator does at the machine: say which account at Stripe a merchant's money goes to, decide lost charges."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from uuid import UUID

from chassis.service import Runtime
from contracts.message import MerchantId
from services.billing.cli import deciding
from services.billing.store import accounts, copies
from services.billing.stripe_gateway import StripeError, StripeGateway

REFUSED = 1
"""The exit code beside 0; argparse uses 2 for what it does not understand."""

_ACCOUNT = re.compile(r"acct_[A-Za-z0-9]{6,64}")


def _merchant_id(text: str) -> MerchantId:
    return MerchantId(UUID(text))


def _account_id(text: str) -> str:
    if not _ACCOUNT.fullmatch(text):
        raise ValueError(text)
    return text


async def connect_account(runtime: Runtime, arguments: list[str], *, stripe: StripeGateway) -> int:
    """Let a merchant's money go to its own account from now on, or to the platform's own again.

    What was begun keeps the account that it was begun with. Cards that were given before are not charged any more, and their
    customers are asked for them again: they live at the account that is left. Prints one line of JSON: `{"merchant_id", "account"}`, the
    account null for the platform's own. Stripe is asked first whether the account can be used with our key; whatever is
    wrong is one line on standard error and 1 (or 2), and nothing is changed.
    """
    parser = argparse.ArgumentParser("connect-account", description="Say which account a merchant's money goes to.")
    parser.add_argument("--merchant", required=True, type=_merchant_id, help="its id, as create-merchant printed it")
    to = parser.add_mutually_exclusive_group(required=True)
    to.add_argument("--account", type=_account_id, help="its connected account: acct_…")
    to.add_argument("--platform", action="store_true", help="the platform's own account")
    given = parser.parse_args(arguments)
    reason = await _connect(runtime, stripe, given.merchant, given.account)
    if reason is not None:
        print(f"connect-account: {reason}", file=sys.stderr)  # noqa: T201 - a command's output
        return REFUSED
    print(json.dumps({"merchant_id": str(given.merchant), "account": given.account}))  # noqa: T201 - likewise
    return 0


async def _connect(runtime: Runtime, stripe: StripeGateway, merchant_id: MerchantId, account: str | None) -> str | None:
    """The reason why it was not done; None: it was."""
    if await copies.merchant(runtime.db, merchant_id) is None:
        return f"Billing knows no merchant {merchant_id}."
    if account is not None:
        try:
            async with stripe:
                await stripe.reach(account)
        except StripeError as refused:
            return f"Stripe does not let us use {account}: {type(refused).__name__}"
    async with runtime.db.transaction(runtime.system_cause(merchant_id)) as tx:
        if not await accounts.connect(tx, merchant_id, account):
            return f"{account} is another merchant's already."
    return None


def commands(stripe: StripeGateway) -> dict[str, Callable[[Runtime, list[str]], Awaitable[int]]]:
    """Which function runs which command."""
    return {
        "connect-account": partial(connect_account, stripe=stripe),
        "unknown-charges": partial(deciding.unknown_charges, stripe=stripe),
        "decide-charge": partial(deciding.decide_charge, stripe=stripe),
    }
