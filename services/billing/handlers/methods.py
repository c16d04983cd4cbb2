"""Payment methods that are there: make one the default, update, remove. Stripe is told first, then looked at."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from chassis.database import Tx
from chassis.requests import Commands, Work, steps
from contracts.billing import (
    PaymentMethod,
    PaymentMethodInUse,
    PaymentsUnavailable,
    RemovePaymentMethod,
    SetDefaultPaymentMethod,
    UpdatePaymentMethod,
)
from contracts.message import (
    Actor,
    Conflict,
    CustomerId,
    FieldError,
    InvalidInput,
    NotAllowed,
    NotFound,
    PaymentMethodId,
)
from services.billing.domain.methods import expires_on
from services.billing.handlers.access import require_role
from services.billing.store import methods, stripe_customers, wallets
from services.billing.store.accounts import account_of
from services.billing.store.methods import Kept
from services.billing.store.stripe_customers import Owner
from services.billing.stripe_gateway import StripeError, StripeGateway, StripeRefusedError, within_budget

_KEEPERS = ("admin", "manager")
_PAYERS = ("owner", "billing")
_UNTOUCHED = "Stripe could not be reached. Nothing has been changed here; please try again in a moment."
_STRIPES = {"invalid_expiry_month": "exp_month", "invalid_expiry_year": "exp_year", "email_invalid": "billing_email"}
"""Which field Stripe means by its code."""


@dataclass(frozen=True)
class Theirs:
    """A method of somebody who may change it, and its customer at Stripe."""

    kept: Kept
    owner: Owner


def require_wallet(actor: Actor, customer_id: CustomerId) -> None:
    """Let only those pass who look after this customer's money, there or at the merchant.

    Raises:
        NotFound: another customer's.
        NotAllowed: says why.
    """
    if actor.kind != "contact":
        require_role(actor, *_KEEPERS)
        return
    if actor.customer_id != customer_id:
        raise NotFound
    if actor.read_only:
        raise NotAllowed("You are looking on behalf of somebody else and cannot change anything.")
    if actor.role not in _PAYERS:
        raise NotAllowed("Only those who look after the money, an owner or somebody for billing, can do this.")


async def _theirs(tx: Tx, method_id: PaymentMethodId) -> Theirs:
    found = await methods.find_method(tx, tx.merchant, method_id)
    if found is None:
        raise NotFound
    require_wallet(tx.cause.actor, found.method.customer_id)
    owner = await stripe_customers.owner_of(tx, tx.merchant, found.method.customer_id, found.account)
    assert owner is not None, "A method is mirrored from a customer at Stripe."
    return Theirs(found, owner)


async def _require_here(tx: Tx, their: Theirs) -> None:
    if their.owner.account != await account_of(tx, tx.merchant):
        raise Conflict("The merchant takes payments through another account now. Please add this payment method again.")


async def set_default_payment_method(
    work: Work, command: SetDefaultPaymentMethod, *, stripe: StripeGateway
) -> PaymentMethod:
    """Charge this one from now on."""
    async with work.transaction() as tx:
        their = await _theirs(tx, command.payment_method_id)
        if their.kept.method.deleted:
            raise NotFound
        await _require_here(tx, their)
        if not their.kept.method.working:
            raise Conflict("This payment method does not work any more. Update it, or choose another one.")
    async with _asking():
        await stripe.set_default(their.owner.stripe_id, their.kept.stripe_id, their.owner.account)
    return await _looked_at(work, their, stripe)


async def update_payment_method(work: Work, command: UpdatePaymentMethod, *, stripe: StripeGateway) -> PaymentMethod:
    """Change a card's expiry or the billing details."""
    given = {name: getattr(command, name) for name in command.model_fields_set - {"payment_method_id"}}
    async with work.transaction() as tx:
        their = await _theirs(tx, command.payment_method_id)
        if their.kept.method.deleted:
            raise NotFound
        await _require_here(tx, their)
        if problems := _problems(tx, their.kept, given):
            raise InvalidInput(problems[0].message if len(problems) == 1 else "", errors=tuple(problems))
    async with _asking():
        if changes := _in_stripes_words(given):
            await stripe.update_method(their.kept.stripe_id, changes, their.owner.account)
    return await _looked_at(work, their, stripe)


def _problems(tx: Tx, kept: Kept, given: Mapping[str, Any]) -> list[FieldError]:
    expiry = [name for name in ("exp_month", "exp_year") if name in given]
    if expiry and kept.method.kind != "card":
        return [_wrong(name, "Only a card expires.", "only-cards-expire") for name in expiry]
    if empty := [name for name in expiry if given[name] is None]:
        return [_wrong(name, "This cannot be empty.", "not-empty") for name in empty]
    last_day = expires_on(given.get("exp_month", kept.method.exp_month), given.get("exp_year", kept.method.exp_year))
    if expiry and last_day is not None and last_day < tx.now.date():
        return [_wrong(expiry[-1], "This date is over. Enter what is printed on the new card.", "expiry-over")]
    return []


def _wrong(field: str, message: str, code: str) -> FieldError:
    return FieldError(field=field, message=message, code=code)


def _in_stripes_words(given: Mapping[str, Any]) -> dict[str, Any]:
    """The changes as Stripe takes them: an empty text unsets."""
    changes: dict[str, Any] = {}
    if card := {name: given[name] for name in ("exp_month", "exp_year") if name in given}:
        changes["card"] = card
    billing: dict[str, Any] = {
        name.removeprefix("billing_"): given[name] or "" for name in ("billing_name", "billing_email") if name in given
    }
    if "billing_country" in given:
        billing["address"] = {"country": given["billing_country"] or ""}
    return changes | ({"billing_details": billing} if billing else {})


async def remove_payment_method(work: Work, command: RemovePaymentMethod, *, stripe: StripeGateway) -> PaymentMethod:
    """Take a method away; what charges it goes over to the replacement in the same go."""
    async with work.transaction() as tx:
        their = await _theirs(tx, command.payment_method_id)
        if their.kept.method.deleted:
            tx.reply(their.kept.method)
            return their.kept.method
        customer_id = their.kept.method.customer_id
        await methods.lock_users(tx, tx.merchant, customer_id)
        await methods.lock_owner(tx, tx.merchant, customer_id)
        users = [
            use for use in await methods.uses_of(tx, tx.merchant, customer_id) if wallets.is_used(their.kept, [use])
        ]
        replacement = await _replacement(tx, their.kept, command.replacement_id)
        if users and replacement is None:
            raise PaymentMethodInUse(subscriptions=[str(use.subscription_id) for use in users])
        if replacement is not None:
            await wallets.hand_over(tx, their.kept, replacement)
    async with _asking():
        account = their.owner.account
        if replacement is not None and their.kept.method.is_default:
            await stripe.set_default(their.owner.stripe_id, replacement.stripe_id, account)
        wallet = await stripe.wallet(their.owner.stripe_id, account)
        for stripe_id in wallet.same_as(their.kept.stripe_id):
            await stripe.detach_method(stripe_id, account)
    return await _looked_at(work, their, stripe)


async def _replacement(tx: Tx, kept: Kept, replacement_id: PaymentMethodId | None) -> Kept | None:
    if replacement_id is None:
        return None
    found = await methods.find_method(tx, tx.merchant, replacement_id)
    theirs = found is not None and found.method.customer_id == kept.method.customer_id and found.account == kept.account
    if found is None or not theirs or found.method.deleted or found.id == kept.id:
        message = "Choose another one of the payment methods that are there."
        raise InvalidInput(message, errors=(_wrong("replacement_id", message, "no-replacement"),))
    if not found.method.working:
        message = "This payment method does not work any more. Choose another one."
        raise InvalidInput(message, errors=(_wrong("replacement_id", message, "replacement-not-working"),))
    return found


async def _looked_at(work: Work, their: Theirs, stripe: StripeGateway) -> PaymentMethod:
    """The method as Stripe has it now, mirrored, with the reply, in the last transaction."""
    look = await stripe_customers.next_look(work.db, their.owner)
    async with _asking():
        wallet = await stripe.wallet(their.owner.stripe_id, their.owner.account)
    async with work.transaction() as tx:
        await wallets.mirror(tx, their.owner, wallet, look)
        now = await methods.find_method(tx, tx.merchant, their.kept.id)
        assert now is not None, "A method's row stays, as a tombstone at the end."
        tx.reply(now.method)
    return now.method


@asynccontextmanager
async def _asking() -> AsyncIterator[None]:
    """What Stripe does not take is said of its field; when it cannot be asked, the same request may be sent again."""
    try:
        async with within_budget():
            yield
    except StripeRefusedError as refused:
        message = refused.message[:300]
        field = _STRIPES.get(refused.code, "payment_method_id")
        raise InvalidInput(message, errors=(_wrong(field, message, "stripe-refused"),)) from refused
    except StripeError as away:
        raise PaymentsUnavailable(_UNTOUCHED) from away


def commands(stripe: StripeGateway) -> Commands:
    """Which function answers which command."""
    return {
        SetDefaultPaymentMethod: steps(partial(set_default_payment_method, stripe=stripe)),
        UpdatePaymentMethod: steps(partial(update_payment_method, stripe=stripe)),
        RemovePaymentMethod: steps(partial(remove_payment_method, stripe=stripe)),
    }
