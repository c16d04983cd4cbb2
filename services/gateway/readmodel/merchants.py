"""The merchant, its logo, and the copies that a command takes along."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterable
from uuid import UUID

from contracts.billing import BillingDefaults
from contracts.identity import Merchant
from contracts.message import Known, MerchantId, State
from services.gateway.readmodel.lists import Reader, state_in


async def merchant(db: Reader, merchant_id: UUID) -> Merchant:
    """One merchant; a session carries its own as `session.merchant`. Raises NotFound."""
    row = await db.fetchrow("SELECT state FROM copy_merchant WHERE id = $1 AND NOT deleted", merchant_id)
    return state_in(row, Merchant)


async def defaults(db: Reader, merchant_id: UUID) -> BillingDefaults:
    """What a merchant wants of invoices unless it says otherwise; the contract's own values where it has said nothing."""
    row = await db.fetchrow("SELECT state FROM copy_defaults WHERE id = $1 AND NOT deleted", merchant_id)
    if row is None:
        return BillingDefaults(id=merchant_id, merchant_id=MerchantId(merchant_id))
    return state_in(row, BillingDefaults)


async def logo(db: Reader, merchant_id: UUID) -> tuple[bytes, int] | None:
    """A merchant's logo as PNG bytes and its version (for an ETag or an address), None without one."""
    row = await db.fetchrow(
        "SELECT state->>'png_base64' AS png, sequence FROM copy_logo WHERE id = $1 AND NOT deleted", merchant_id
    )
    return None if row is None or row["png"] is None else (b64decode(row["png"]), row["sequence"])


async def known(db: Reader, merchant_id: UUID, wanted: Iterable[tuple[type[State], UUID]]) -> tuple[Known, ...]:
    """What we know of other services' aggregates, for the receiver of a command to know at least as much.

    One we do not have is left out: the receiver then decides by its own copy.
    """
    found = []
    for noun, aggregate_id in wanted:
        row = await db.fetchrow(
            f"SELECT sequence, state FROM copy_{noun.short_name()} WHERE id = $1 AND merchant_id = $2",  # noqa: S608 - a name from the contracts
            aggregate_id,
            merchant_id,
        )
        if row is not None:
            found.append(Known(noun=noun.noun, sequence=row["sequence"], state=json.loads(row["state"])))
    return tuple(found)
