from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator

from chassis.database import Database, Row, Tx
from chassis.republish import CurrentRow
from contracts.identity import Logo, Merchant
from contracts.message import Address, MerchantId, NotFound
from services.identity.store.paging import every_row

_COLUMNS = """id, sequence, name, support_email, support_phone, brand_colour, address, tax_id, locale, time_zone,
    currency, created_at"""


def merchant_state(row: Row) -> Merchant:
    """The public state of a row of `merchant`."""
    values = dict(row)
    return Merchant(**values | {"merchant_id": row["id"], "address": Address.model_validate_json(row["address"])})


def logo_state(merchant_id: MerchantId, png: bytes | None) -> Logo:
    """The public state of a merchant's logo, which has the merchant's id."""
    return Logo(id=merchant_id, merchant_id=merchant_id, png_base64=None if png is None else b64encode(png).decode())


async def insert_merchant(tx: Tx, merchant: Merchant) -> None:
    """Keep a new merchant, at sequence 1."""
    await tx.execute(
        """
        INSERT INTO merchant (id, name, support_email, support_phone, brand_colour, address, tax_id, locale, time_zone,
                              currency, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        """,
        merchant.id,
        merchant.name,
        merchant.support_email,
        merchant.support_phone,
        merchant.brand_colour,
        merchant.address.model_dump_json(),
        merchant.tax_id,
        merchant.locale,
        merchant.time_zone,
        merchant.currency,
        merchant.created_at,
    )


async def lock_merchant(tx: Tx, merchant_id: MerchantId) -> Merchant:
    """The merchant, nobody else changing it until the transaction ends. Raises NotFound."""
    row = await tx.fetchrow(f"SELECT {_COLUMNS} FROM merchant WHERE id = $1 FOR UPDATE", merchant_id)  # noqa: S608 - our own column list
    if row is None:
        raise NotFound
    return merchant_state(row)


async def name_of(tx: Tx, merchant_id: MerchantId) -> str:
    """What the merchant is called."""
    name: str = await tx.fetchval("SELECT name FROM merchant WHERE id = $1", merchant_id)
    return name


async def save_merchant(tx: Tx, merchant: Merchant) -> int:
    """Overwrite a locked merchant; returns its new sequence."""
    sequence: int = await tx.fetchval(
        """
        UPDATE merchant SET name = $2, support_email = $3, support_phone = $4, brand_colour = $5, address = $6,
            tax_id = $7, locale = $8, time_zone = $9, currency = $10, sequence = sequence + 1
        WHERE id = $1 RETURNING sequence
        """,
        merchant.id,
        merchant.name,
        merchant.support_email,
        merchant.support_phone,
        merchant.brand_colour,
        merchant.address.model_dump_json(),
        merchant.tax_id,
        merchant.locale,
        merchant.time_zone,
        merchant.currency,
    )
    return sequence


async def save_logo(tx: Tx, merchant_id: MerchantId, png: bytes | None) -> int:
    """Set or take away a merchant's logo; returns its new sequence. Raises NotFound when there is no such merchant."""
    sequence: int | None = await tx.fetchval(
        """
        INSERT INTO logo (merchant_id, png) SELECT id, $2 FROM merchant WHERE id = $1
        ON CONFLICT (merchant_id) DO UPDATE SET png = EXCLUDED.png, sequence = logo.sequence + 1
        RETURNING sequence
        """,
        merchant_id,
        png,
    )
    if sequence is None:
        raise NotFound
    return sequence


async def wait_for_other_creations(tx: Tx) -> None:
    """Until this transaction ends, nobody else makes a merchant: two runs of the command cannot make the same one."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtext('create-merchant'))")


async def find_merchant_of_admin(tx: Tx, name: str, email: str) -> MerchantId | None:
    """The merchant of that name (whatever the case) in whose team the address is an admin."""
    found: MerchantId | None = await tx.fetchval(
        """
        SELECT merchant.id FROM merchant
        JOIN member ON member.merchant_id = merchant.id AND member.role = 'admin'
        JOIN person ON person.id = member.person_id
        WHERE lower(merchant.name) = lower($1) AND lower(person.email) = lower($2)
        """,
        name,
        email,
    )
    return found


async def every_merchant(db: Database) -> AsyncIterator[CurrentRow]:
    """All merchants as they are now."""
    query = f"SELECT {_COLUMNS} FROM merchant WHERE id > $1 ORDER BY id LIMIT $2"  # noqa: S608 - our own column list
    async for row in every_row(db, query):
        yield CurrentRow(merchant_state(row), row["sequence"])


async def every_logo(db: Database) -> AsyncIterator[CurrentRow]:
    """All logos as they are now, those taken away included."""
    query = "SELECT merchant_id AS id, sequence, png FROM logo WHERE merchant_id > $1 ORDER BY merchant_id LIMIT $2"
    async for row in every_row(db, query):
        yield CurrentRow(logo_state(row["id"], row["png"]), row["sequence"])
