"""What is asked for every five minutes is found without reading the many that nothing is due for."""

from __future__ import annotations

import logging
from datetime import date, timedelta

import pytest

from chassis.database import Row, Tx
from chassis.ids import new_id
from contracts.message import MerchantId
from services.billing.schedules import methods as looking
from services.billing.schedules.methods import look_at_methods
from services.billing.store import methods, payments, stripe_customers
from tests.integration.billing.returns import paid
from tests.integration.billing.shop import Shop, fake
from tests.integration.billing.test_differences import connect
from tests.integration.billing.wallets import Purse

MANY = 50_000
TODAY = date(2027, 3, 1)
NEW = "acct_nordlicht"


async def cards(
    shop: Shop, count: int, merchant_id: MerchantId | None = None, *, account: str = "", **columns: object
) -> None:
    """So many cards of as many customers; `failure`: why they do not work."""
    failure = columns.get("failure")
    await shop.h.db.execute(
        """
        INSERT INTO payment_method (id, merchant_id, customer_id, sequence, account, stripe_id, is_default, working,
                                    expires_on, expiry_told, state, created_at)
        SELECT gen_random_uuid(), $1, gen_random_uuid(), 1, $2, 'pm_' || gen_random_uuid(), true, $3::text IS NULL,
               $4, $5, jsonb_build_object('failure', $3::text), now()
        FROM generate_series(1, $6)
        """,
        merchant_id or shop.merchant_id,
        account,
        failure,
        columns.get("expires_on", date(2034, 12, 31)),
        columns.get("expiry_told"),
        count,
    )


async def wallets_at_stripe(shop: Shop, count: int, account: str, looked_at: timedelta | None) -> None:
    """So many customers at Stripe, looked at so long ago; None: a look at them was asked for."""
    await shop.h.db.execute(
        """
        INSERT INTO stripe_customer (merchant_id, customer_id, account, stripe_id, looked_at)
        SELECT $1, gen_random_uuid(), $2, 'cus_' || gen_random_uuid(), $3 FROM generate_series(1, $4)
        """,
        shop.merchant_id,
        account,
        None if looked_at is None else shop.clock.now() - looked_at,
        count,
    )


async def rows_read(tx: Tx, table: str) -> int:
    """How many of the table's rows this transaction has read so far, in order or by an index."""
    read: int = await tx.fetchval(
        "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables WHERE relname = $1", table
    )
    return read


async def test_among_many_cards_whose_last_day_is_long_over_only_those_that_are_news_are_read(fake_shop: Shop) -> None:
    await cards(fake_shop, MANY, expires_on=date(2025, 1, 31), failure="expired")
    await cards(fake_shop, 500, expires_on=date(2027, 3, 31), expiry_told=date(2027, 3, 31))
    await cards(fake_shop, 2, expires_on=date(2027, 2, 28), expiry_told=date(2027, 2, 28))
    await cards(fake_shop, 3, expires_on=date(2027, 3, 31), expiry_told=date(2025, 3, 31))
    await fake_shop.h.db.execute("ANALYZE payment_method")
    async with fake_shop.h.transaction() as tx:
        found = await methods.to_act_on(tx, TODAY, date(2027, 3, 31), 1000)
        assert len(set(found)) == len(found) == 5
        assert await rows_read(tx, "payment_method") == 5


async def test_among_many_cards_that_were_left_behind_only_those_that_are_news_are_read(fake_shop: Shop) -> None:
    await connect(fake_shop, NEW)
    await cards(fake_shop, MANY // 2, failure=methods.LEFT_BEHIND)
    await cards(fake_shop, MANY // 2, account=NEW)
    # Declined for good where they are: nothing is to be said of them.
    await cards(fake_shop, 500, failure="expired_card")
    await cards(fake_shop, 2, account="acct_before")
    await cards(fake_shop, 2)
    await cards(fake_shop, 3, account=NEW, failure=methods.LEFT_BEHIND)
    # A merchant who never changed has nothing to follow.
    await cards(fake_shop, 10, MerchantId(new_id()))
    await fake_shop.h.db.execute("ANALYZE payment_method")
    async with fake_shop.h.transaction() as tx:
        found = await methods.at_another_account(tx, 1000)
        assert len(set(found)) == len(found) == 7
        assert await rows_read(tx, "payment_method") == 7


async def test_among_many_wallets_that_were_looked_at_or_left_only_those_that_are_due_are_read(
    fake_shop: Shop,
) -> None:
    await connect(fake_shop, NEW)
    await wallets_at_stripe(fake_shop, MANY // 2, NEW, timedelta(hours=1))
    await wallets_at_stripe(fake_shop, MANY // 2, "", timedelta(hours=1))
    await wallets_at_stripe(fake_shop, 2, NEW, timedelta(days=2))
    await wallets_at_stripe(fake_shop, 2, "", timedelta(days=2))
    await wallets_at_stripe(fake_shop, 2, "", None)
    await fake_shop.h.db.execute("ANALYZE stripe_customer")
    before = fake_shop.clock.now() - timedelta(days=1)
    async with fake_shop.h.transaction() as tx:
        due = await stripe_customers.to_look_at(tx, before, 100)
        assert sorted((each.owner.account or "", each.is_left) for each in due) == [
            ("", False),
            ("", False),
            ("", True),
            ("", True),
            (NEW, False),
            (NEW, False),
        ]
        assert await rows_read(tx, "stripe_customer") == 6


async def test_wallets_at_an_account_that_was_left_are_passed_over_for_a_day_and_keep_no_other_waiting(
    fake_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "_PAGE", 2)
    monkeypatch.setattr(looking, "_PAGE_TAKES", timedelta(0))
    await wallets_at_stripe(fake_shop, 5, "", timedelta(days=30))
    await connect(fake_shop, NEW)
    purse = Purse(fake_shop)
    await purse.begins()
    fake_shop.later(days=2)
    stripe = fake(fake_shop)
    stripe.asked.clear()
    await purse.is_looked_at()
    assert stripe.asked.count("wallet") == 1
    async with fake_shop.h.transaction() as tx:
        assert await stripe_customers.to_look_at(tx, fake_shop.clock.now() - timedelta(hours=23), 100) == []
    await connect(fake_shop, None)
    fake_shop.later(days=1, minutes=1)
    stripe.asked.clear()
    await purse.is_looked_at()
    assert stripe.asked.count("wallet") == 5


# --- as many as are due -----------------------------------------------------------------------------------------------


async def test_one_run_looks_at_every_wallet_that_is_due(fake_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "_PAGE", 10)
    monkeypatch.setattr(looking, "_PAGE_TAKES", timedelta(0))
    await wallets_at_stripe(fake_shop, 35, "", timedelta(days=2))
    stripe = fake(fake_shop)
    await look_at_methods(fake_shop.h.runtime, stripe=stripe)
    assert stripe.asked.count("wallet") == 35
    await look_at_methods(fake_shop.h.runtime, stripe=stripe)
    assert stripe.asked.count("wallet") == 35


async def test_a_run_ends_in_time_and_the_next_one_goes_on_where_it_ended(
    fake_shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(looking, "_PAGE", 10)
    # Two pages at this pace, the third one would come too late.
    monkeypatch.setattr(looking, "_PAGE_TAKES", timedelta(seconds=2))
    monkeypatch.setattr(looking, "_LOOKING", timedelta(seconds=3))
    await wallets_at_stripe(fake_shop, 35, "", timedelta(days=2))
    stripe = fake(fake_shop)
    await look_at_methods(fake_shop.h.runtime, stripe=stripe)
    assert stripe.asked.count("wallet") == 20
    assert "More wallets are due" in caplog.text
    await look_at_methods(fake_shop.h.runtime, stripe=stripe)
    assert stripe.asked.count("wallet") == 35


async def test_a_month_of_payments_is_compared_a_page_at_a_time_and_none_is_left_out(
    fake_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await paid(fake_shop)
    since = fake_shop.clock.now()
    # Six moments, at each of which ten of them arrived: a page ends amid those of one moment.
    await fake_shop.h.db.execute(
        """
        INSERT INTO payment (id, merchant_id, customer_id, invoice_id, sequence, attempt, status, amount, currency,
                             created_at, settled_at, command_id, payer, payer_name, correlation_id, request, intent_id)
        SELECT gen_random_uuid(), merchant_id, customer_id, invoice_id, 1, n, status, amount, currency,
               created_at, settled_at + n % 6 * interval '1 hour', n::text, payer, '', correlation_id, '{}', 'pi_month_' || n
        FROM payment, generate_series(2, 61) AS n
        """
    )
    db, fetched = fake_shop.h.db, list[int]()
    fetch = db.fetch

    async def counted(sql: str, *parameters: object) -> list[Row]:
        rows = await fetch(sql, *parameters)
        fetched.append(len(rows))
        return rows

    monkeypatch.setattr(db, "fetch", counted)
    found = [each async for each in payments.booked_since(db, None, since, page=7)]
    assert fetched == [7] * 8 + [5]
    assert len({each.payment.id for each in found}) == len(found) == 61
    assert [each.payment.settled_at for each in found] == sorted(each.payment.settled_at or since for each in found)
    later = since + timedelta(hours=5)
    assert len([each async for each in payments.booked_since(db, None, later, page=7)]) == 10
    assert [each async for each in payments.booked_since(db, "acct_other", since)] == []
