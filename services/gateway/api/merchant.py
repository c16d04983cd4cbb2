"""The merchant's own settings."""

from __future__ import annotations

from base64 import b64encode
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import StringConstraints

from contracts.identity import Colour, Phone, SetLogo, SupportEmail, TimeZone, UpdateMerchant
from contracts.message import Address, Currency, Line, Locale
from services.gateway import commands
from services.gateway.api.document import COMMAND, refusals
from services.gateway.api.errors import TooLarge, UnsupportedMediaType
from services.gateway.api.shapes import Answer, Given, IdempotencyKey, done
from services.gateway.security import AnyAccount, MemberSession

router = APIRouter(tags=["merchant"])

_MOST_LOGO = 1_000_000
_IMAGES = {"image/png", "image/jpeg"}


class Merchant(Answer):
    """The business that bills, as its customers see it."""

    id: UUID
    name: str
    support_email: str | None
    support_phone: str | None
    brand_colour: str
    address: Address
    tax_id: str | None
    locale: str
    time_zone: str
    currency: str


class MerchantChange(Given):
    """What to change; fields that are left out stay."""

    name: Line | None = None
    support_email: SupportEmail | None = None
    support_phone: Phone | None = None
    brand_colour: Colour | None = None
    address: Address | None = None
    tax_id: Annotated[str, StringConstraints(max_length=40)] | None = None
    locale: Locale | None = None
    time_zone: TimeZone | None = None
    currency: Currency | None = None


@router.get("/merchant", operation_id="readMerchant", summary="The merchant of the current account")
async def read(session: AnyAccount) -> Merchant:
    """For members and contacts alike."""
    return Merchant.model_validate(session.merchant)


@router.patch(
    "/merchant",
    operation_id="changeMerchant",
    summary="Change branding, support contact and defaults",
    responses=refusals(*COMMAND),
)
async def change(request: Request, body: MerchantChange, _session: MemberSession, key: IdempotencyKey) -> Merchant:
    """Admins only."""
    return await done(request, UpdateMerchant(**body.fields()), key, Merchant)


@router.put(
    "/merchant/logo",
    operation_id="setLogo",
    summary="Set the merchant's logo",
    status_code=204,
    responses=refusals(*COMMAND),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in sorted(_IMAGES)},
        }
    },
)
async def set_logo(request: Request, _session: MemberSession, key: IdempotencyKey) -> Response:
    """A PNG or JPEG of at most 1 MB as the body; it is encoded anew. Admins only."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in _IMAGES:
        raise UnsupportedMediaType("The body must be a PNG or JPEG image.")
    image = await request.body()
    if len(image) > _MOST_LOGO:
        raise TooLarge("A logo has 1 MB at most.")
    await commands.send(request, SetLogo(image_base64=b64encode(image).decode()), id=key)
    return Response(status_code=204)


@router.delete(
    "/merchant/logo",
    operation_id="removeLogo",
    summary="Take the logo away",
    status_code=204,
    responses=refusals(*COMMAND),
)
async def remove_logo(request: Request, _session: MemberSession, key: IdempotencyKey) -> Response:
    """Admins only."""
    await commands.send(request, SetLogo(image_base64=None), id=key)
    return Response(status_code=204)
