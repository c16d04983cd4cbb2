"""Create new Payment Link: an invoice, a subscription, or a payment plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Discriminator, Field, Tag, field_validator
from pydantic_core import PydanticCustomError

from contracts.billing import CreatePaymentLink, CreateSubscription, NewEnd, NewInstalment, NewInterval, NewLine
from contracts.message import Count, Currency, Day, Flag, Moment, Text
from services.gateway.api.customers import Managed
from services.gateway.api.document import COMMAND, refusals
from services.gateway.api.errors import ALTERNATIVE
from services.gateway.api.invoices import Invoice
from services.gateway.api.links import LinkTerms, given_name
from services.gateway.api.shapes import Given, IdempotencyKey, as_given, done
from services.gateway.api.subscriptions import Subscription

router = APIRouter(tags=["invoices"])


class NewPaymentLink(LinkTerms):
    """An invoice to make. It opens at once, unless it is a draft; `send_email` mails the customer its link."""

    kind: Literal["one_time"] = "one_time"
    currency: Annotated[Currency, Field(examples=["EUR"])]
    lines: Annotated[
        list[NewLine],
        Field(
            min_length=1,
            max_length=200,
            examples=[[{"description": "Consulting", "quantity": "2.5", "unit_amount": 12000, "tax_rate": "19"}]],
        ),
    ]
    tax_inclusive: Annotated[Flag | None, Field(description="Null: as the billing defaults say.")] = None
    due_on: Annotated[
        Day | None, Field(examples=["2026-04-30"], description="Null: after as many days as the billing defaults say.")
    ] = None
    memo: Annotated[Text | None, Field(description="Left out: as the billing defaults say.")] = None
    partial: Annotated[
        Flag | None, Field(description="Whether a part may be paid. Null: as the billing defaults say.")
    ] = None
    expires_at: Annotated[
        Moment | None,
        Field(description="Until when its payment link works; null: no end. Left out: as the billing defaults say."),
    ] = None
    send_email: Flag = False
    draft: Flag = False

    @field_validator("kind", mode="before")
    @classmethod
    def _say_all_kinds(cls, kind: object) -> object:
        if kind != "one_time":
            raise PydanticCustomError("kind", "Input should be 'one_time', 'recurring' or 'payment_plan'")
        return kind


class _Agreement(LinkTerms):
    currency: Annotated[Currency, Field(examples=["EUR"])]
    lines: Annotated[
        list[NewLine],
        Field(min_length=1, max_length=200, examples=[[{"description": "Hosting", "unit_amount": 1200}]]),
    ]
    tax_inclusive: Annotated[Flag | None, Field(description="Null: as the billing defaults say.")] = None
    memo: Text | None = None
    starts_on: Annotated[Day | None, Field(description="Null: on the day that the customer accepts.")] = None
    allow_customer_cancel: Annotated[Flag | None, Field(description="Null: as the billing defaults say.")] = None
    allow_customer_pause: Annotated[Flag | None, Field(description="Null: as the billing defaults say.")] = None
    minimum_payments: Annotated[
        Count | None,
        Field(description="So many payments before the customer may cancel. Null: as the billing defaults say."),
    ] = None
    after_last_retry: Annotated[
        Literal["cancel", "keep"] | None, Field(description="Null: as the billing defaults say.")
    ] = None
    expires_at: Annotated[Moment | None, Field(description="Until when its link works; null: no end.")] = None
    send_email: Flag = False


class NewSubscription(_Agreement):
    """A charge that comes again and again; `lines` are of one period."""

    kind: Literal["recurring"]
    interval: NewInterval
    trial_days: Count = 0
    ends: Annotated[NewEnd | None, Field(description="Null: until somebody cancels it.")] = None


class EqualInstalments(Given):
    """So many equal parts, the last one with what does not divide."""

    count: Count
    interval: NewInterval | None = None


def _which_instalments(given: object) -> str:
    return f"{ALTERNATIVE}{'equal' if isinstance(given, Mapping | EqualInstalments) else 'custom'}"


class NewPaymentPlan(_Agreement):
    """A total in parts, each with its own invoice; `lines` are of the whole. The first part is due on acceptance."""

    kind: Literal["payment_plan"]
    instalments: Annotated[
        Annotated[EqualInstalments, Tag(f"{ALTERNATIVE}equal")]
        | Annotated[list[NewInstalment], Field(max_length=200), Tag(f"{ALTERNATIVE}custom")],
        Discriminator(_which_instalments),
    ]
    plan_on_cancel: Annotated[
        Literal["owe", "waive", "ask"] | None,
        Field(description="What becomes of the rest when the customer cancels. Null: as the billing defaults say."),
    ] = None

    def fields(self) -> dict[str, Any]:
        """Equal instalments are a count and an interval in billing's command."""
        given = super().fields()
        if isinstance(self.instalments, EqualInstalments):
            equal = given.pop("instalments")
            given |= {"instalment_count": equal["count"], "interval": equal.get("interval")}
        return given


_KINDS = ("one_time", "recurring", "payment_plan")


def _kind(given: object) -> str:
    kind = given.get("kind") if isinstance(given, Mapping) else getattr(given, "kind", None)
    # Whatever else it is, the invoice's own shape says that this kind does not exist.
    return f"{ALTERNATIVE}{kind if kind in _KINDS else 'one_time'}"


NewLink = Annotated[
    Annotated[NewPaymentLink, Tag(f"{ALTERNATIVE}one_time")]
    | Annotated[NewSubscription, Tag(f"{ALTERNATIVE}recurring")]
    | Annotated[NewPaymentPlan, Tag(f"{ALTERNATIVE}payment_plan")],
    Discriminator(_kind),
]


@router.post(
    "/customers/{customer_id}/payment-links",
    operation_id="createPaymentLink",
    summary="Create new Payment Link",
    status_code=201,
    responses=refusals(*COMMAND, 404),
)
async def create(request: Request, customer_id: Managed, body: NewLink, key: IdempotencyKey) -> Invoice | Subscription:
    """*Save And Email Payment Link* with `send_email`, *Save Payment Link* without. Members only.

    `one_time` (also when `kind` is left out) answers with the invoice. `recurring` and `payment_plan` answer with the
    subscription, which waits for the customer: paying its `first_invoice_id` accepts it, or its own `link` where nothing is
    due yet.
    """
    equal = isinstance(body, NewPaymentPlan) and isinstance(body.instalments, EqualInstalments)
    with as_given(_in_equal_parts if equal else given_name):
        if isinstance(body, NewPaymentLink):
            return await done(request, CreatePaymentLink(customer_id=customer_id, **body.fields()), key, Invoice)
        return await done(request, CreateSubscription(customer_id=customer_id, **body.fields()), key, Subscription)


def _in_equal_parts(field: str) -> str:
    if field == "interval" or field.startswith("interval."):
        return f"instalments.{field}"
    return "instalments.count" if field == "instalment_count" else given_name(field)
