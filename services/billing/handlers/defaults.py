"""What a merchant wants of invoices and subscriptions unless it says otherwise."""

from chassis.database import Tx
from chassis.requests import Commands
from contracts.billing import BillingDefaults, BillingDefaultsChanged, ChangeDefaults
from contracts.message import FieldError, InvalidInput
from services.billing.handlers.access import require_role
from services.billing.store import defaults


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


COMMANDS: Commands = {ChangeDefaults: change_defaults}
"""Which function answers which command."""
