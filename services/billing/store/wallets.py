"""The doors through which payment methods change: each saves the rows and announces them, in one transaction.

Stripe's word decides over what is there and what it is like; whether a method works, and what charges it, is ours to know.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from chassis.database import Tx
from chassis.ids import new_id
from contracts.billing import (
    PaymentMethod,
    PaymentMethodAdded,
    PaymentMethodChanged,
    PaymentMethodExpiring,
    PaymentMethodMadeDefault,
    PaymentMethodRemoved,
    PaymentMethodStoppedWorking,
    SubscriptionChanged,
    SubscriptionPaymentMethodChosen,
)
from contracts.message import CustomerId, Event, MerchantId, PaymentMethodId, SubscriptionId
from services.billing.domain.methods import (
    EXPIRING,
    Candidate,
    Held,
    Seen,
    Wallet,
    choose_default,
    expires_on,
    works,
)
from services.billing.store import debts, methods, stripe_customers, subscriptions
from services.billing.store.accounts import account_of
from services.billing.store.methods import LEFT_BEHIND, Kept, Use
from services.billing.store.stripe_customers import Owner

_EMPTIED = dict.fromkeys(("last4", "billing_name", "billing_email", "billing_country"))


async def mirror(tx: Tx, owner: Owner, wallet: Wallet, look: int) -> str | None:
    """Make a customer's methods those that Stripe has. Returns Stripe's id of their default; None when there is none.

    Whatever told us to look, in whatever order and however often: the state that was seen last is what is kept. Methods at
    an account that the merchant has left stay, not working, until the customer has given one at the present account; so
    does one that was given there on a page which had been opened before.
    """
    await methods.lock_users(tx, owner.merchant_id, owner.customer_id)
    if not await stripe_customers.keep_look(tx, owner, look):
        kept = await methods.default_method(tx, owner.merchant_id, owner.customer_id)
        return kept.stripe_id if kept and kept.account == owner.account else None
    everywhere = await methods.methods_of(tx, owner.merchant_id, owner.customer_id)
    before = [kept for kept in everywhere if kept.account == owner.account]
    matched = [(held, _known(before, held)) for held in wallet.held()]
    stay = {kept.id for _, kept in matched if kept is not None}
    is_left = owner.account != await account_of(tx, owner.merchant_id)
    replaced = [] if is_left or not matched else [kept for kept in everywhere if kept.account != owner.account]
    for gone in [*(kept for kept in before if kept.id not in stay), *replaced]:
        await _remove(tx, gone)
    if is_left:
        # Nothing of it is charged: what is there waits for its merchant to come back.
        await _keep_left(tx, owner, [held for held, kept in matched if kept is None], everywhere)
        return None
    after = [_seen(kept, held, owner, tx.now.date()) for held, kept in matched]
    candidates = [
        Candidate(held, now.method.working, kept is None, kept is not None and kept.method.is_default)
        for (held, kept), now in zip(matched, after, strict=True)
    ]
    chosen = choose_default(candidates, wallet.default)
    marked = [
        replace(now, method=_with(now.method, is_default=candidate is chosen))
        for now, candidate in zip(after, candidates, strict=True)
    ]
    await _name_given(tx, owner, [(held.ids, now) for (held, _), now in zip(matched, marked, strict=True)])
    await _keep(tx, before, marked)
    return chosen.held.seen.stripe_id if chosen else None


async def _keep_left(tx: Tx, owner: Owner, given: list[Held], everywhere: list[Kept]) -> None:
    """Show what was given at an account after it was left: it does not work there, and its owner is asked for it again."""
    shown = [_seen(None, held, owner, tx.now.date()) for held in given]
    alone = not any(kept.method.is_default for kept in everywhere)
    left = [
        replace(
            now, method=_with(now.method, working=False, failure=LEFT_BEHIND, is_default=alone and now is shown[-1])
        )
        for now in shown
    ]
    await _name_given(tx, owner, [(held.ids, now) for held, now in zip(given, left, strict=True)])
    await _keep(tx, [], left)


async def _name_given(tx: Tx, owner: Owner, known: list[tuple[frozenset[str], Kept]]) -> None:
    """Subscriptions that were accepted with a method which is known only now charge that one, or it is the default anyway."""
    for waiting, stripe_id in await subscriptions.lock_given(tx, owner.merchant_id, owner.customer_id):
        found = next((now for ids, now in known if stripe_id in ids), None)
        if found is None:
            continue
        await subscriptions.note_given(tx, SubscriptionId(waiting.state.id), None)
        if not found.method.is_default:
            named = replace(waiting, state=waiting.state.model_copy(update={"payment_method_id": found.id}))
            sequence = await subscriptions.save_subscription(tx, named, None, keep_turn=True)
            tx.announce(SubscriptionPaymentMethodChosen(state=named.state), sequence=sequence)


def _known(before: Iterable[Kept], held: Held) -> Kept | None:
    for kept in before:
        same_card = kept.fingerprint is not None and kept.fingerprint == held.seen.fingerprint
        if kept.stripe_id in held.ids or same_card:
            return kept
    return None


def _seen(kept: Kept | None, held: Held, owner: Owner, today: date) -> Kept:
    """A method as Stripe shows it, with what only we know of it."""
    seen = held.seen
    last_day = expires_on(seen.exp_month, seen.exp_year)
    renewed = kept is not None and (
        kept.expires_on != last_day or kept.stripe_id != seen.stripe_id or kept.method.failure == LEFT_BEHIND
    )
    working = works(kept.method.working if kept else None, renewed=renewed, last_day=last_day, today=today)
    expired = last_day is not None and last_day < today
    failure = "expired" if expired else kept.method.failure if kept and not working else None
    method = _with(
        kept.method if kept else _new(owner, seen),
        brand=seen.brand,
        last4=seen.last4,
        exp_month=seen.exp_month,
        exp_year=seen.exp_year,
        working=working,
        failure=failure,
        billing_name=seen.name,
        billing_email=seen.email,
        billing_country=seen.country,
    )
    told = kept.expiry_told if kept else None
    return Kept(method, owner.account, seen.stripe_id, seen.fingerprint, last_day, told)


def _new(owner: Owner, seen: Seen) -> PaymentMethod:
    return PaymentMethod(
        id=new_id(),
        merchant_id=owner.merchant_id,
        customer_id=owner.customer_id,
        kind=seen.kind,
        is_default=False,
        added_at=datetime.fromtimestamp(seen.created, UTC),
    )


def _with(method: PaymentMethod, **changes: Any) -> PaymentMethod:
    return method.model_copy(update=changes)


async def _keep(tx: Tx, before: list[Kept], after: list[Kept]) -> None:
    """Save what differs, who is no default any more first: a customer has one."""
    if not after:
        return
    merchant_id, customer_id = after[0].method.merchant_id, after[0].method.customer_id
    uses = await methods.uses_of(tx, merchant_id, customer_id)
    known = {kept.id: kept for kept in before}
    for kept in sorted(after, key=lambda each: each.method.is_default):
        now = replace(kept, method=_with(kept.method, in_use=is_used(kept, uses)))
        was = known.get(kept.id)
        if was != now:
            await _tell(tx, now, _event(was, now))
        if was is not None and now.method.is_default and now.method.working and not was.method.working:
            # A renewed card is as good as a new one: what it could not be charged is collected at once.
            await debts.collect(tx, merchant_id, customer_id)


def is_used(kept: Kept, uses: Iterable[Use]) -> bool:
    """Whether one of these subscriptions charges the method, by name or because it is the default."""
    return any(use.method_id == kept.id or (use.method_id is None and kept.method.is_default) for use in uses)


def _event(was: Kept | None, now: Kept) -> type[Event[PaymentMethod]]:
    if was is None:
        return PaymentMethodAdded
    if was.method.working and not now.method.working:
        return PaymentMethodStoppedWorking
    if now.method.is_default and not was.method.is_default:
        return PaymentMethodMadeDefault
    return PaymentMethodChanged


async def _tell(tx: Tx, kept: Kept, event: type[Event[PaymentMethod]]) -> None:
    tx.announce(event(state=kept.method), sequence=await methods.save_method(tx, kept))
    if kept.method.is_default and event in (PaymentMethodAdded, PaymentMethodMadeDefault):
        await debts.collect(tx, kept.method.merchant_id, kept.method.customer_id)


async def _remove(tx: Tx, kept: Kept) -> None:
    emptied = _with(kept.method, deleted=True, is_default=False, in_use=False, **_EMPTIED)
    await _tell(tx, replace(kept, method=emptied), PaymentMethodRemoved)
    await _move_uses(tx, kept, None)


async def hand_over(tx: Tx, kept: Kept, replacement: Kept) -> None:
    """What charges one method charges its replacement from now on, as the default too if it was that."""
    await _move_uses(tx, kept, replacement.id)
    before = await methods.methods_of(tx, kept.method.merchant_id, kept.method.customer_id)
    was_default = {each.id for each in before if each.method.is_default}
    now_default = {replacement.id} if kept.id in was_default else was_default
    after = [replace(each, method=_with(each.method, is_default=each.id in now_default)) for each in before]
    await _keep(tx, before, after)


async def _move_uses(tx: Tx, kept: Kept, replacement_id: PaymentMethodId | None) -> None:
    for moved, sequence in await methods.move_uses(tx, kept.method.merchant_id, kept.id, replacement_id):
        tx.announce(SubscriptionChanged(state=moved), sequence=sequence)


async def note_use(tx: Tx, merchant_id: MerchantId, customer_id: CustomerId) -> None:
    """A subscription of theirs has begun, ended or changed what it charges: say which methods are in use now."""
    await methods.lock_owner(tx, merchant_id, customer_id)
    kept = await methods.methods_of(tx, merchant_id, customer_id)
    await _keep(tx, kept, kept)


async def stopped_working(tx: Tx, merchant_id: MerchantId, method_id: PaymentMethodId, failure: str) -> None:
    """It expired, or was declined for good (`failure`: Stripe's word). Nothing new when that is known, or it is gone."""
    await _set_working(tx, merchant_id, method_id, failure)


async def works_again(tx: Tx, merchant_id: MerchantId, method_id: PaymentMethodId) -> None:
    """A charge went through: whatever was said of it before, it works."""
    await _set_working(tx, merchant_id, method_id, None)


async def _set_working(tx: Tx, merchant_id: MerchantId, method_id: PaymentMethodId, failure: str | None) -> None:
    kept = await _locked(tx, merchant_id, method_id)
    if kept is None or kept.method.failure == LEFT_BEHIND:
        # What was begun at the account that was left may still succeed there; nothing new is.
        return
    if kept.method.working == (failure is not None):
        event = PaymentMethodChanged if failure is None else PaymentMethodStoppedWorking
        await _tell(tx, replace(kept, method=_with(kept.method, working=failure is None, failure=failure)), event)


async def follow_account(tx: Tx, merchant_id: MerchantId, method_id: PaymentMethodId) -> None:
    """Its merchant bills with another account: say that it does not work there, or look at it where it does again."""
    kept = await _locked(tx, merchant_id, method_id)
    if kept is None:
        return
    if kept.account == await account_of(tx, merchant_id):
        if kept.method.failure == LEFT_BEHIND:
            await stripe_customers.ask_for_look(tx, merchant_id, kept.method.customer_id, kept.account)
    elif kept.method.working:
        left = replace(kept, method=_with(kept.method, working=False, failure=LEFT_BEHIND))
        await _tell(tx, left, PaymentMethodStoppedWorking)


async def act_on_expiry(tx: Tx, merchant_id: MerchantId, method_id: PaymentMethodId) -> None:
    """Say that a card's last day is over, or, once per last day, that it is near."""
    kept = await _locked(tx, merchant_id, method_id)
    if kept is None or kept.expires_on is None:
        return
    today = tx.now.date()
    if kept.expires_on < today:
        if kept.method.working:
            over = replace(
                kept, method=_with(kept.method, working=False, failure="expired"), expiry_told=kept.expires_on
            )
            await _tell(tx, over, PaymentMethodStoppedWorking)
    elif kept.expires_on <= today + EXPIRING and kept.expiry_told != kept.expires_on:
        await _tell(tx, replace(kept, expiry_told=kept.expires_on), PaymentMethodExpiring)


async def _locked(tx: Tx, merchant_id: MerchantId, method_id: PaymentMethodId) -> Kept | None:
    """A method that is still there, nobody else changing its customer's until the transaction ends."""
    found = await methods.find_method(tx, merchant_id, method_id)
    if found is None:
        return None
    await methods.lock_owner(tx, merchant_id, found.method.customer_id)
    now = await methods.find_method(tx, merchant_id, method_id)
    return None if now is None or now.method.deleted else now
