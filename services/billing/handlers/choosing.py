"""What a subscription's charges go to: one of the customer's payment methods, or whichever is their default."""

from chassis.database import Tx
from chassis.requests import Commands
from contracts.billing import (
    ChooseSubscriptionMethod,
    Subscription,
    SubscriptionNotChangeable,
    SubscriptionPaymentMethodChosen,
)
from contracts.message import CustomerId, FieldError, InvalidInput, PaymentMethodId, SubscriptionId
from services.billing.domain.subscriptions import why_not_changed
from services.billing.handlers.subscriptions import require_changer, require_sight, zone_of
from services.billing.store import agreements, debts, methods, subscriptions, wallets
from services.billing.store.subscriptions import Kept


async def choose_subscription_method(tx: Tx, command: ChooseSubscriptionMethod) -> Subscription:
    """Charge this method from now on, or the default one; what could not be charged is charged to it at once."""
    found = await subscriptions.lock_subscription(tx, tx.merchant, command.subscription_id)
    kept = require_sight(found, tx.cause.actor)
    require_changer(tx.cause.actor)
    kept = await agreements.let_turn(tx, kept, await zone_of(tx, kept))
    if refused := why_not_changed(kept.standing):
        raise SubscriptionNotChangeable(refused.sentence, why=refused.code)
    customer_id = CustomerId(kept.state.customer_id)
    # Before the method is looked at: whoever is removing it is done by then.
    await methods.lock_owner(tx, tx.merchant, customer_id)
    chosen = command.payment_method_id
    if chosen is not None:
        await _require_working(tx, customer_id, chosen)
    # What they choose stands, also when the method that they accepted it with becomes known only after it.
    await subscriptions.note_given(tx, command.subscription_id, None)
    if chosen == kept.state.payment_method_id:
        return kept.state
    usual = await methods.default_method(tx, tx.merchant, customer_id)
    before, after = (each or (usual.id if usual else None) for each in (kept.state.payment_method_id, chosen))
    kept = await _chosen(tx, kept, chosen)
    await wallets.note_use(tx, tx.merchant, customer_id)
    if before != after and await debts.is_owed(tx, SubscriptionId(kept.state.id)):
        await debts.collect_for(tx, SubscriptionId(kept.state.id))
    return kept.state


async def _chosen(tx: Tx, kept: Kept, method_id: PaymentMethodId | None) -> Kept:
    kept = agreements.shown(kept, kept.standing, payment_method_id=method_id)
    # Its calendar stays as it is: what an outage has kept back goes on coming one by one.
    sequence = await subscriptions.save_subscription(tx, kept, None, keep_turn=True)
    tx.announce(SubscriptionPaymentMethodChosen(state=kept.state), sequence=sequence)
    return kept


async def _require_working(tx: Tx, customer_id: CustomerId, method_id: PaymentMethodId) -> None:
    found = await methods.find_method(tx, tx.merchant, method_id)
    if found is None or found.method.customer_id != customer_id or found.method.deleted:
        raise _refusal("Choose one of the payment methods that are there.", "no-such-method")
    if not found.method.working:
        raise _refusal("This payment method does not work any more. Choose another one.", "method-not-working")


def _refusal(message: str, code: str) -> InvalidInput:
    return InvalidInput(message, errors=(FieldError(field="payment_method_id", message=message, code=code),))


COMMANDS: Commands = {ChooseSubscriptionMethod: choose_subscription_method}
