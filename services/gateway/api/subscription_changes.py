"""What the customer or the merchant does with a subscription or payment plan, and what that would change."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import Field

from contracts import billing
from contracts.billing import (
    AskAboutSubscription,
    CancelSubscription,
    ChooseSubscriptionMethod,
    MovedCharge,
    PauseSubscription,
    PlannedCharge,
    PreviewSubscription,
    RenewSubscriptionLink,
    ResumeSubscription,
    RevokeSubscriptionLink,
    SendSubscriptionLink,
    SubscriptionLinkUrl,
    UndoCancelSubscription,
)
from contracts.message import Command, Day, PaymentMethodId, Text
from services.gateway import commands
from services.gateway.api.document import COMMAND, refusals
from services.gateway.api.links import LinkEnd, PublicUrl, given_name
from services.gateway.api.shapes import EXAMPLE, Answer, Given, IdempotencyKey, as_given, done, given
from services.gateway.api.subscriptions import Seen, SeenByMember, Subscription
from services.gateway.readmodel.subscriptions import SubscriptionStatus
from services.gateway.security import AnyAccount, must_be_contact

router = APIRouter(tags=["subscriptions"])


class Pause(Given):
    """How long to pause it."""

    until: Annotated[
        Day | None, Field(examples=["2026-06-01"], description="The first day after it. Null: until it is resumed.")
    ] = None
    when: Literal["now", "period_end"] = "now"


class Cancellation(Given):
    """How to cancel it."""

    when: Literal["now", "period_end"] = "now"
    rest: Annotated[
        Literal["owe", "waive"] | None,
        Field(description="A payment plan's remaining instalments, where its `plan_on_cancel` is *ask*; members only."),
    ] = None
    reason: Annotated[Text | None, Field(max_length=500)] = None


class Intent(Given):
    """What somebody would like to do with it."""

    action: Literal["pause", "resume", "cancel", "undo_cancel"]
    until: Day | None = None
    when: Literal["now", "period_end"] = "now"
    rest: Literal["owe", "waive"] | None = None


class Preview(Answer):
    """What an action would change. When it is not `allowed`, `why_not` names the reason and the lists are empty."""

    allowed: bool
    why_not: str | None
    reason: str | None
    ask: Annotated[bool, Field(description="The merchant may be asked for it: `POST .../ask`.")]
    disappear: list[PlannedCharge]
    move: list[MovedCharge]
    come: list[PlannedCharge]
    effective_on: date | None
    status: SubscriptionStatus
    next_charge: PlannedCharge | None
    rest_amount: int
    rest_needed: bool


class Wish(Given):
    """What to ask the merchant for."""

    wish: Literal["pause", "resume", "cancel", "other"]
    note: Annotated[Text | None, Field(max_length=1000)] = None


class SubscriptionChange(Given):
    """What to change. `payment_method_id`: one of the customer's payment methods; null: whichever is their default."""

    payment_method_id: Annotated[UUID | None, Field(examples=[EXAMPLE])]


async def _done(request: Request, order: Command[billing.Subscription], key: str | None) -> Subscription:
    with as_given(given_name):
        return await done(request, order, key, Subscription)


@router.patch(
    "/subscriptions/{subscription_id}",
    operation_id="changeSubscription",
    summary="Choose which payment method it charges",
    responses=refusals(*COMMAND, 404, 409),
)
async def change(
    request: Request, subscription_id: Seen, body: SubscriptionChange, key: IdempotencyKey
) -> Subscription:
    """Members (admin, manager), and the customer's owner and billing contacts. What could not be charged is charged to it."""
    chosen = PaymentMethodId(body.payment_method_id) if body.payment_method_id else None
    return await _done(
        request, ChooseSubscriptionMethod(subscription_id=subscription_id, payment_method_id=chosen), key
    )


@router.post(
    "/subscriptions/{subscription_id}/preview",
    operation_id="previewSubscription",
    summary="What an action would change",
    responses=refusals(*COMMAND, 404),
)
async def preview(request: Request, subscription_id: Seen, body: Intent, _key: IdempotencyKey) -> Preview:
    """Which charges would disappear, move or come. Nothing is changed; exactly this happens when it is then done."""
    question = PreviewSubscription(subscription_id=subscription_id, **body.fields())
    return Preview.model_validate(await commands.ask(request, question))


@router.post(
    "/subscriptions/{subscription_id}/pause",
    operation_id="pauseSubscription",
    summary="Pause it",
    responses=refusals(*COMMAND, 404, 409),
)
async def pause(
    request: Request, subscription_id: Seen, key: IdempotencyKey, body: Pause | None = None
) -> Subscription:
    """Members (admin, manager), and the customer's owner and billing contacts where it allows them to."""
    return await _done(request, PauseSubscription(subscription_id=subscription_id, **given(body)), key)


@router.post(
    "/subscriptions/{subscription_id}/resume",
    operation_id="resumeSubscription",
    summary="End its pause",
    responses=refusals(*COMMAND, 404, 409),
)
async def resume(request: Request, subscription_id: Seen, key: IdempotencyKey) -> Subscription:
    """Also takes a planned pause back."""
    return await _done(request, ResumeSubscription(subscription_id=subscription_id), key)


@router.post(
    "/subscriptions/{subscription_id}/cancel",
    operation_id="cancelSubscription",
    summary="Cancel it",
    responses=refusals(*COMMAND, 404, 409),
)
async def cancel(
    request: Request, subscription_id: Seen, key: IdempotencyKey, body: Cancellation | None = None
) -> Subscription:
    """Invoices that are open stay open."""
    return await _done(request, CancelSubscription(subscription_id=subscription_id, **given(body)), key)


@router.post(
    "/subscriptions/{subscription_id}/undo-cancel",
    operation_id="undoCancelSubscription",
    summary="Take a planned cancellation back",
    responses=refusals(*COMMAND, 404, 409),
)
async def undo_cancel(request: Request, subscription_id: Seen, key: IdempotencyKey) -> Subscription:
    """Possible until its day has come."""
    return await _done(request, UndoCancelSubscription(subscription_id=subscription_id), key)


@router.post(
    "/subscriptions/{subscription_id}/send",
    operation_id="sendSubscriptionLink",
    summary="Mail the link on which it is accepted (again)",
    responses=refusals(*COMMAND, 404, 409),
)
async def send(request: Request, subscription_id: SeenByMember, key: IdempotencyKey) -> Subscription:
    """For one without a first invoice: with a trial, or a start in the future. Members only."""
    return await _done(request, SendSubscriptionLink(subscription_id=subscription_id), key)


@router.post(
    "/subscriptions/{subscription_id}/link/renew",
    operation_id="renewSubscriptionLink",
    summary="Make a new link on which it is accepted",
    responses=refusals(*COMMAND, 404, 409),
)
async def renew(
    request: Request, subscription_id: SeenByMember, key: IdempotencyKey, body: LinkEnd | None = None
) -> Subscription:
    """The one before leads nowhere from now on but to a page that says so. Members only."""
    return await _done(request, RenewSubscriptionLink(subscription_id=subscription_id, **given(body)), key)


@router.post(
    "/subscriptions/{subscription_id}/link/revoke",
    operation_id="revokeSubscriptionLink",
    summary="Withdraw the link on which it is accepted",
    responses=refusals(*COMMAND, 404, 409),
)
async def revoke(request: Request, subscription_id: SeenByMember, key: IdempotencyKey) -> Subscription:
    """It goes on waiting: a new link, or a mail with one, opens it again. Members only."""
    return await _done(request, RevokeSubscriptionLink(subscription_id=subscription_id), key)


@router.post(
    "/subscriptions/{subscription_id}/link",
    operation_id="copySubscriptionLink",
    summary="The public URL on which it is accepted",
    responses=refusals(*COMMAND, 404, 409, 410),
)
async def link(request: Request, subscription_id: SeenByMember, _key: IdempotencyKey) -> PublicUrl:
    """The URL is a secret and stored nowhere; asking again gives the same one. Members only."""
    return PublicUrl(url=await commands.public_url(request, SubscriptionLinkUrl(subscription_id=subscription_id)))


@router.post(
    "/subscriptions/{subscription_id}/ask",
    operation_id="askAboutSubscription",
    summary="Ask the merchant for a change",
    responses=refusals(*COMMAND, 404, 409),
)
async def ask(
    request: Request, subscription_id: Seen, body: Wish, session: AnyAccount, key: IdempotencyKey
) -> Subscription:
    """For what the customer may not do themselves. Contacts only."""
    must_be_contact(session)
    return await _done(request, AskAboutSubscription(subscription_id=subscription_id, **body.fields()), key)
