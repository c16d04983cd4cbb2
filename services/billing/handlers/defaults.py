"""What a merchant wants of invoices and subscriptions unless it says otherwise."""

from functools import partial

from chassis.database import Tx
from chassis.requests import Commands, Questions, Work
from contracts.billing import (
    BillingDefaults,
    BillingDefaultsChanged,
    ChangeDefaults,
    ReadStripeAccount,
    StripeAccount,
)
from contracts.message import FieldError, InvalidInput, NotFound
from services.billing.handlers.access import require_role
from services.billing.settings import Settings
from services.billing.store import accounts, defaults


async def change_defaults(tx: Tx, command: ChangeDefaults) -> BillingDefaults:
    """Change what is given; what exists already stays as it is."""
    require_role(tx.cause.actor, "admin")
    if list(command.retry_days) != sorted(set(command.retry_days)):
        message = "Retries are days after the first failure, each later than the one before."
        error = FieldError(field="retry_days", message=message, code="retry-days-not-rising")
        raise InvalidInput(message, errors=(error,))
    before = await defaults.lock_defaults(tx, tx.merchant)
    changed = before.model_copy(update={name: getattr(command, name) for name in command.model_fields_set})
    if changed != before:
        tx.announce(BillingDefaultsChanged(state=changed), sequence=await defaults.save_defaults(tx, changed))
    return changed


async def stripe_account(work: Work, _: ReadStripeAccount, *, live: bool) -> StripeAccount:
    """Where the merchant's money goes at Stripe."""
    require_role(work.cause.actor, "admin", "manager", "sales")
    if work.cause.merchant_id is None:
        raise NotFound
    account, since = await accounts.account_since(work.db, work.cause.merchant_id)
    return StripeAccount(account=account, mode="live" if live else "test", since=since)


def answers(settings: Settings) -> Questions:
    """Which function answers which question. Stripe's key says by its name whether it moves real money."""
    return {ReadStripeAccount: partial(stripe_account, live="_live_" in settings.stripe_secret_key)}


COMMANDS: Commands = {ChangeDefaults: change_defaults}
"""Which function answers which command."""
