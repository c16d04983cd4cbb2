"""What a merchant wants of invoices and subscriptions unless it says otherwise."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import Field

from contracts.billing import ChangeDefaults
from contracts.message import Count, Flag, Percent, Text
from services.gateway import readmodel
from services.gateway.api.document import COMMAND, refusals
from services.gateway.api.shapes import Answer, AnyViewer, Db, Given, IdempotencyKey, done
from services.gateway.security import MemberSession

router = APIRouter(tags=["merchant"])

Days = Annotated[Count, Field(ge=1, le=60)]


class BillingDefaults(Answer):
    """The defaults as they are; days count from the moment that something is made."""

    due_days: int
    tax_rate: Decimal
    tax_inclusive: bool
    memo: str | None
    allow_partial: bool
    link_days: Annotated[int | None, Field(description="After how many days a payment link expires; null: never.")]
    allow_customer_cancel: bool
    allow_customer_pause: bool
    minimum_payments: int
    retry_days: Annotated[list[int], Field(description="Days after an automatic charge first failed.")]
    after_last_retry: Literal["cancel", "keep"]
    plan_on_cancel: Literal["owe", "waive", "ask"]
    renewal_notice_days: int


class BillingDefaultsChange(Given):
    """What to change; fields that are left out stay."""

    due_days: Annotated[Count, Field(ge=0, le=365)] = 14
    tax_rate: Percent = Decimal(0)
    tax_inclusive: Flag = False
    memo: Text | None = None
    allow_partial: Flag = False
    link_days: Annotated[Count, Field(ge=1, le=3650)] | None = None
    allow_customer_cancel: Flag = False
    allow_customer_pause: Flag = False
    minimum_payments: Annotated[Count, Field(ge=0, le=120)] = 0
    retry_days: Annotated[list[Days], Field(max_length=10)] = Field(default_factory=list)
    after_last_retry: Literal["cancel", "keep"] = "cancel"
    plan_on_cancel: Literal["owe", "waive", "ask"] = "ask"
    renewal_notice_days: Annotated[Count, Field(ge=0, le=30)] = 3


@router.get("/billing-defaults", operation_id="readBillingDefaults", summary="The billing defaults")
async def read(db: Db, viewer: AnyViewer, _session: MemberSession) -> BillingDefaults:
    """Members only."""
    return BillingDefaults.model_validate(await readmodel.defaults(db, viewer.merchant_id))


@router.patch(
    "/billing-defaults",
    operation_id="changeBillingDefaults",
    summary="Change the billing defaults",
    responses=refusals(*COMMAND),
)
async def change(
    request: Request, body: BillingDefaultsChange, _session: MemberSession, key: IdempotencyKey
) -> BillingDefaults:
    """Admins only. What exists already stays as it is."""
    return await done(request, ChangeDefaults(**body.fields()), key, BillingDefaults)
