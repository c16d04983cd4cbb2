"""A merchant's settings and logo."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from binascii import Error as NotBase64Error

from chassis.database import Tx
from chassis.requests import Commands, Work, steps
from contracts.identity import Logo, LogoChanged, Merchant, MerchantChanged, SetLogo, UpdateMerchant
from contracts.message import Actor, FieldError, InvalidInput, NotAllowed
from services.identity.domain.access import why_not_settings
from services.identity.domain.inputs import mistakes
from services.identity.domain.logo import UnusableImageError, redraw
from services.identity.store import merchants

_MAX_UPLOAD = 1_000_000


async def update_merchant(tx: Tx, command: UpdateMerchant) -> Merchant:
    """Change what is given; an empty text takes a support contact or tax id away."""
    _only_admins(tx.cause.actor)
    errors = mistakes(command.model_dump())
    if errors:
        raise InvalidInput(errors=errors)
    merchant = await merchants.lock_merchant(tx, tx.merchant)
    given = {name: value for name, value in command if value is not None}
    given |= {name: None for name in ("support_email", "support_phone", "tax_id") if given.get(name) == ""}
    changed = merchant.model_copy(update=given)
    if changed != merchant:
        tx.announce(MerchantChanged(state=changed), sequence=await merchants.save_merchant(tx, changed))
    return changed


async def set_logo(work: Work, command: SetLogo) -> Logo:
    """Redraw the image in a thread, outside any transaction, then keep it."""
    _only_admins(work.cause.actor)
    png = None if command.image_base64 is None else await asyncio.to_thread(_redrawn, command.image_base64)
    async with work.transaction() as tx:
        sequence = await merchants.save_logo(tx, tx.merchant, png)
        logo = merchants.logo_state(tx.merchant, png)
        tx.announce(LogoChanged(state=logo), sequence=sequence)
        tx.reply(logo)
    return logo


def _redrawn(image_base64: str) -> bytes:
    try:
        image = b64decode(image_base64, validate=True)
    except NotBase64Error as broken:
        raise _bad_image("This is not base64.") from broken
    if len(image) > _MAX_UPLOAD:
        raise _bad_image("The file is too large: it may have 1 MB at most.")
    try:
        return redraw(image)
    except UnusableImageError as unusable:
        raise _bad_image(str(unusable)) from unusable


def _bad_image(message: str) -> InvalidInput:
    return InvalidInput(message, errors=(FieldError(field="image_base64", message=message),))


def _only_admins(actor: Actor) -> None:
    reason = why_not_settings(actor)
    if reason:
        raise NotAllowed(reason)


COMMANDS: Commands = {UpdateMerchant: update_merchant, SetLogo: steps(set_logo)}
"""Which function answers which command."""
