from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg

from chassis.database import Database, Row, Tx
from chassis.republish import CurrentRow
from contracts.identity import Customer, EmailTaken
from contracts.message import Address, MerchantId, NotFound
from services.identity.store.paging import every_row

_COLUMNS = """id, sequence, merchant_id, name, company, email, phone, billing_address, tax_ids, locale, time_zone,
    portal_access, archived, created_at"""


def customer_state(row: Row) -> Customer:
    """The public state of a row of `customer`."""
    return Customer(**dict(row) | {"billing_address": Address.model_validate_json(row["billing_address"])})


async def insert_customer(tx: Tx, customer: Customer) -> None:
    """Keep a new customer, at sequence 1. Raises EmailTaken."""
    made = await tx.fetchval(
        """
        INSERT INTO customer (id, merchant_id, name, company, email, phone, billing_address, tax_ids, locale, time_zone,
                              portal_access, archived, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        ON CONFLICT (merchant_id, lower(email)) WHERE NOT archived DO NOTHING RETURNING id
        """,
        *_values(customer),
        customer.created_at,
    )
    if made is None:
        raise EmailTaken


async def lock_customer(tx: Tx, merchant_id: MerchantId, customer_id: UUID) -> Customer:
    """The merchant's customer, nobody else changing it until the transaction ends. Raises NotFound."""
    row = await tx.fetchrow(
        f"SELECT {_COLUMNS} FROM customer WHERE merchant_id = $1 AND id = $2 FOR UPDATE",  # noqa: S608 - our own column list
        merchant_id,
        customer_id,
    )
    if row is None:
        raise NotFound
    return customer_state(row)


async def save_customer(tx: Tx, customer: Customer) -> int:
    """Overwrite a locked customer; returns its new sequence. Raises EmailTaken, after which the transaction is void."""
    try:
        sequence: int = await tx.fetchval(
            """
            UPDATE customer SET name = $3, company = $4, email = $5, phone = $6, billing_address = $7, tax_ids = $8,
                locale = $9, time_zone = $10, portal_access = $11, archived = $12, sequence = sequence + 1
            WHERE id = $1 AND merchant_id = $2 RETURNING sequence
            """,
            *_values(customer),
        )
    except asyncpg.UniqueViolationError as taken:
        raise EmailTaken from taken
    return sequence


def _values(customer: Customer) -> tuple[object, ...]:
    return (
        customer.id,
        customer.merchant_id,
        customer.name,
        customer.company,
        customer.email,
        customer.phone,
        (customer.billing_address or Address()).model_dump_json(),
        list(customer.tax_ids),
        customer.locale,
        customer.time_zone,
        customer.portal_access,
        customer.archived,
    )


async def every_customer(db: Database) -> AsyncIterator[CurrentRow]:
    """All customers as they are now."""
    query = f"SELECT {_COLUMNS} FROM customer WHERE id > $1 ORDER BY id LIMIT $2"  # noqa: S608 - our own column list
    async for row in every_row(db, query):
        yield CurrentRow(customer_state(row), row["sequence"])
