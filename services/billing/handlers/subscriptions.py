"""Pausing, resuming and cancelling subscriptions, by the merchant or by the customer, and what that would change."""

from dataclasses import replace
from datetime import date

from chassis.database import Tx
from chassis.requests import Commands, Questions, Work
from contracts.billing import (
    AskAboutSubscription,
    CancelSubscription,
    ChangeNotPermitted,
    ChangeWish,
    MovedCharge,
    PauseSubscription,
    PreviewSubscription,
    ResumeSubscription,
    Subscription,
    SubscriptionCancelled,
    SubscriptionCancelPlanned,
    SubscriptionCancelUndone,
    SubscriptionChangeRequested,
    SubscriptionNotChangeable,
    SubscriptionPaused,
    SubscriptionPausePlanned,
    SubscriptionPreview,
    SubscriptionResumed,
    UndoCancelSubscription,
)
from contracts.message import Actor, Event, FieldError, InvalidInput, NotAllowed, NotFound, SubscriptionId
from services.billing.domain import subscriptions as domain
from services.billing.domain.periods import local_day
from services.billing.domain.plans import Rest
from services.billing.domain.subscriptions import Action, By, Preview, Standing, Terms, When
from services.billing.handlers.access import require_role
from services.billing.store import agreements, copies, subscriptions
from services.billing.store.agreements import planned
from services.billing.store.subscriptions import Kept

_CHANGERS = ("admin", "manager")
_CONTACTS = ("owner", "billing")


async def pause_subscription(tx: Tx, command: PauseSubscription) -> Subscription:
    """Pause it, now or from the period's end."""
    kept, by, today, zone = await _to_change(tx, command.subscription_id, "pause")
    terms = agreements.terms_of(kept.state)
    _require_pause_end(terms, kept.standing, today, command.until, command.when)
    after = domain.pause(terms, kept.standing, today, command.until, when=command.when, by=by)
    event = SubscriptionPaused if after.status == "paused" else SubscriptionPausePlanned
    return await _changed(tx, kept, after, event, zone)


async def resume_subscription(tx: Tx, command: ResumeSubscription) -> Subscription:
    """End its pause, or take a planned one back."""
    kept, _, today, zone = await _to_change(tx, command.subscription_id, "resume")
    after = domain.resume(agreements.terms_of(kept.state), kept.standing, today)
    return await _changed(tx, kept, after, SubscriptionResumed, zone)


async def undo_cancel_subscription(tx: Tx, command: UndoCancelSubscription) -> Subscription:
    """Take a planned cancellation back."""
    kept, _, today, zone = await _to_change(tx, command.subscription_id, "undo_cancel")
    after = domain.undo_cancel(agreements.terms_of(kept.state), kept.standing, today)
    return await _changed(tx, kept, after, SubscriptionCancelUndone, zone, cancel_reason=None)


async def cancel_accepted(tx: Tx, command: CancelSubscription) -> Subscription:
    """Cancel a subscription that the customer has accepted, now or at the period's end."""
    kept, by, today, zone = await _to_change(tx, command.subscription_id, "cancel")
    rest = _rest(kept.state, command.rest, by)
    after = domain.cancel(agreements.terms_of(kept.state), kept.standing, today, command.when, rest, by=by)
    event = SubscriptionCancelled if after.status == "cancelled" else SubscriptionCancelPlanned
    ended = {"ended_at": tx.now} if after.status == "cancelled" else {}
    return await _changed(tx, kept, after, event, zone, cancel_reason=command.reason, **ended)


async def ask_about_subscription(tx: Tx, command: AskAboutSubscription) -> Subscription:
    """Tell the merchant what a customer wishes."""
    actor = tx.cause.actor
    kept = await _locked(tx, command.subscription_id, actor)
    if actor.kind != "contact" or actor.read_only:
        raise NotAllowed("Only the customer can ask the merchant.")
    zone = await zone_of(tx, kept)
    kept = await agreements.let_turn(tx, kept, zone)
    if kept.standing.status in ("cancelled", "completed"):
        # The merchant could do nothing about it: none of these wishes has a button there any more.
        raise SubscriptionNotChangeable(f"It is {kept.standing.status} already.", why=f"already-{kept.standing.status}")
    wish = ChangeWish(wish=command.wish, note=command.note, asked_by=actor.name)
    told = await agreements.tell(tx, kept, SubscriptionChangeRequested, zone, wish=wish)
    return told.state


async def _to_change(tx: Tx, subscription_id: SubscriptionId, action: Action) -> tuple[Kept, By, date, str]:
    """The subscription, locked and as the calendar has left it, once the actor may do this to it."""
    actor = tx.cause.actor
    kept = await _locked(tx, subscription_id, actor)
    by = require_changer(actor)
    zone = await zone_of(tx, kept)
    kept = await agreements.let_turn(tx, kept, zone)
    today = local_day(tx.now, zone)
    if refused := domain.why_not(agreements.terms_of(kept.state), kept.standing, action, today, by):
        if _may_ask(refused.code):
            raise ChangeNotPermitted(refused.sentence, why=refused.code, ask=True)
        raise SubscriptionNotChangeable(refused.sentence, why=refused.code)
    return kept, by, today, zone


def _may_ask(code: str) -> bool:
    """Whether the merchant could do what the customer may not."""
    return code.endswith("-not-allowed") or code in ("minimum-term", "rest-undecided")


async def _locked(tx: Tx, subscription_id: SubscriptionId, actor: Actor) -> Kept:
    kept = await subscriptions.lock_subscription(tx, tx.merchant, subscription_id)
    return require_sight(kept, actor)


def require_sight(kept: Kept | None, actor: Actor) -> Kept:
    """Members see their merchant's, contacts their customer's. Raises NotFound."""
    if kept is None:
        raise NotFound
    member = actor.kind in ("member", "api_key") and actor.merchant_id in (None, kept.state.merchant_id)
    if not (member or (actor.kind == "contact" and actor.customer_id == kept.state.customer_id)):
        raise NotFound
    return kept


def require_changer(actor: Actor) -> By:
    """On whose behalf this actor changes it. Raises NotAllowed."""
    if actor.kind != "contact":
        require_role(actor, *_CHANGERS)
        return "merchant"
    if actor.read_only:
        raise NotAllowed("You are looking on behalf of somebody else and cannot change anything.")
    if actor.role not in _CONTACTS:
        raise NotAllowed(f"This needs the role {' or '.join(_CONTACTS)}. Your role is {actor.role or 'none'}.")
    return "customer"


async def zone_of(db: copies.Reader, kept: Kept) -> str:
    """The time zone whose days count."""
    merchant = await copies.merchant(db, kept.state.merchant_id)
    assert merchant is not None, "Nothing was agreed before its merchant was known, and none is deleted."
    return merchant.time_zone


async def _changed(
    tx: Tx, kept: Kept, after: Standing, event: type[Event[Subscription]], zone: str, **changes: object
) -> Subscription:
    tx.notify(agreements.CHANNEL)
    return (await agreements.tell(tx, agreements.shown(kept, after, **changes), event, zone)).state


def _require_pause_end(terms: Terms, standing: Standing, today: date, until: date | None, when: When) -> None:
    if problems := domain.pause_problems(terms, standing, today, until, when):
        raise InvalidInput(problems[0].message, errors=tuple(problems))


def _rest(agreed: Subscription, rest: Rest | None, by: By) -> Rest | None:
    """What becomes of a plan's rest: the merchant may choose, for the customer it is as agreed. Raises InvalidInput."""
    require_own_rest(agreed, rest, by)
    if agreed.kind == "recurring" or by == "customer":
        return None
    if rest is None and agreed.plan_on_cancel == "ask":
        message = "Say whether the remaining instalments are owed or waived."
        raise InvalidInput(message, errors=(FieldError(field="rest", message=message, code="rest-missing"),))
    return rest


def require_own_rest(agreed: Subscription, rest: Rest | None, by: By) -> None:
    """Refuse a choice that would be ignored: one who waives what is owed all the same would believe it waived."""
    pending = agreed.status == "pending"
    if rest is None or (agreed.kind == "payment_plan" and by == "merchant" and not pending):
        return
    if pending and agreed.kind == "payment_plan":
        code, message = "does-not-belong", "Nobody has accepted it: none of its instalments is owed."
    elif agreed.kind == "recurring":
        code, message = "does-not-belong", "Only a payment plan has remaining instalments."
    else:
        code, message = "rest-undecided", "The merchant decides what becomes of the remaining instalments."
    raise InvalidInput(message, errors=(FieldError(field="rest", message=message, code=code),))


async def preview_subscription(work: Work, question: PreviewSubscription) -> SubscriptionPreview:
    """Try the action, and compare."""
    actor = work.cause.actor
    if work.cause.merchant_id is None:
        raise NotFound
    found = await subscriptions.subscription(work.db, work.cause.merchant_id, question.subscription_id)
    kept = require_sight(found, actor)
    zone = await zone_of(work.db, kept)
    today = local_day(work.db.clock.now(), zone)
    terms = agreements.terms_of(kept.state)
    now = domain.turned(terms, kept.standing, today)
    try:
        by = require_changer(actor)
    except NotAllowed as role:
        can_ask = actor.kind == "contact" and not actor.read_only
        return SubscriptionPreview(
            allowed=False, why_not="role-not-allowed", reason=role.detail, ask=can_ask, status=now.status
        )
    if refused := domain.why_not(terms, now, question.action, today, by):
        can_ask = by == "customer" and _may_ask(refused.code)
        return SubscriptionPreview(
            allowed=False, why_not=refused.code, reason=refused.sentence, ask=can_ask, status=now.status
        )
    _require_used(question)
    if question.action == "pause":
        _require_pause_end(terms, now, today, question.until, question.when)
    if question.action == "cancel":
        require_own_rest(kept.state, question.rest, by)
    undecided = question.action == "cancel" and kept.state.kind == "payment_plan" and now.status != "pending"
    undecided = undecided and by == "merchant" and question.rest is None and terms.plan_on_cancel == "ask"
    rest: Rest | None = "owe" if undecided else (question.rest if by == "merchant" else None)
    seen = domain.preview(
        terms, now, question.action, today, by=by, when=question.when, until=question.until, rest=rest
    )
    day = domain.period_end(terms, now, today) if question.when == "period_end" else today
    shown = _shown(seen, terms, day)
    return shown.model_copy(update={"rest_needed": undecided, "rest_amount": _rest_amount(terms, now, day)})


def _require_used(question: PreviewSubscription) -> None:
    """Refuse what the action has nothing to do with: who gives it would believe that the preview shows it."""
    owners = {"until": ("pause",), "rest": ("cancel",), "when": ("pause", "cancel")}
    given = {"until": question.until, "rest": question.rest, "when": question.when == "period_end"}
    for field in (name for name, actions in owners.items() if given[name] and question.action not in actions):
        message = f"This belongs to the action {' or '.join(owners[field])} alone."
        raise InvalidInput(message, errors=(FieldError(field=field, message=message, code="does-not-belong"),))


def _shown(seen: Preview, terms: Terms, day: date) -> SubscriptionPreview:
    upcoming = domain.next_charge(terms, seen.standing)
    return SubscriptionPreview(
        allowed=True,
        disappear=tuple(map(planned, seen.disappear)),
        move=tuple(
            MovedCharge(old=planned(each.old), new=planned(each.new) if each.new else None) for each in seen.move
        ),
        come=tuple(map(planned, seen.come)),
        effective_on=day,
        status=seen.standing.status,
        next_charge=planned(upcoming) if upcoming else None,
    )


def _rest_amount(terms: Terms, now: Standing, day: date) -> int:
    if terms.kind == "recurring" or now.anchor_on is None:
        return 0
    left = domain.projected(terms, replace(now, cancel_on=None))[now.made :]
    return sum(each.amount for each in left if each.due_on is None or each.due_on >= day)


COMMANDS: Commands = {
    PauseSubscription: pause_subscription,
    ResumeSubscription: resume_subscription,
    UndoCancelSubscription: undo_cancel_subscription,
    AskAboutSubscription: ask_about_subscription,
}
ANSWERS: Questions = {PreviewSubscription: preview_subscription}
