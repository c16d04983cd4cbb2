"""What a browser fetches beside a page: our stylesheet and script, a merchant's colours, a merchant's logo."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts.message import MerchantId, NotFound
from services.gateway import readmodel

from . import branding
from .page import Brand
from .rendering import static_address, static_file

router = APIRouter()

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_FOR_EVER = {"cache-control": "public, max-age=31536000, immutable"}
_BRIEFLY = {"cache-control": "no-cache"}


@router.get("/static/{name}")
async def static(request: Request, name: str) -> Response:
    """A file of `static/`; kept for ever under the address with its hash."""
    content = static_file(name)
    kind = _TYPES.get(name.rsplit(".", 1)[-1])
    if content is None or kind is None:
        raise NotFound
    current = static_address(name) == f"{request.url.path}?{request.url.query}"
    return Response(content, media_type=kind, headers=_FOR_EVER if current else _BRIEFLY)


@router.get("/brand/{merchant_id:uuid}.css")
async def stylesheet(request: Request, merchant_id: UUID, v: str = "") -> Response:
    """The merchant's colours, with texts that can be read on them."""
    merchant = await readmodel.merchant(request.app.state.runtime.db, merchant_id)
    current = v == merchant.brand_colour[1:]
    return Response(
        branding.stylesheet(merchant.brand_colour),
        media_type=_TYPES["css"],
        headers=_FOR_EVER if current else _BRIEFLY,
    )


@router.get("/brand/{merchant_id:uuid}.png")
async def logo(request: Request, merchant_id: UUID, v: str = "") -> Response:
    """The merchant's logo."""
    found = await readmodel.logo(request.app.state.runtime.db, merchant_id)
    if found is None:
        raise NotFound
    image, version = found
    return Response(image, media_type="image/png", headers=_FOR_EVER if v == str(version) else _BRIEFLY)


@router.get("/robots.txt")
async def robots() -> Response:
    """Nothing here is for search engines."""
    return Response("User-agent: *\nDisallow: /\n", media_type="text/plain", headers=_BRIEFLY)


async def brand_of(request: Request, merchant_id: MerchantId) -> Brand | None:
    """The brand of a page that nobody has to sign in for; None as long as we do not know the merchant."""
    db = request.app.state.runtime.db
    try:
        merchant = await readmodel.merchant(db, merchant_id)
    except NotFound:
        return None
    picture = await readmodel.logo(db, merchant_id)
    return Brand.of(merchant, picture[1] if picture else None)
