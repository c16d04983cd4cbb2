"""Whose day it is: the merchant's, also where theirs is another than UTC's, and where a day has no midnight or two."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta

import pytest

from contracts.billing import (
    AccountStatement,
    CancelSubscription,
    NewInstalment,
    NewLine,
    Statement,
    Subscription,
    VoidInvoice,
)
from contracts.identity import MerchantChanged
from contracts.message import CustomerId, InvalidInput, InvoiceId, SubscriptionId
from tests.integration.billing.collecting import Calendar, monthly
from tests.integration.billing.shop import Shop, payment_link

AHEAD = ("Pacific/Kiritimati", datetime(2027, 1, 30, 10, 30, tzinfo=UTC), date(2027, 1, 31))
BEHIND = ("Pacific/Pago_Pago", datetime(2027, 2, 1, 10, 30, tzinfo=UTC), date(2027, 1, 31))
"""The merchant's zone, a moment, and its day there: UTC has the one before, or the next."""


async def moved(shop: Shop, time_zone: str, at: datetime) -> Shop:
    """The shop, somewhere else."""
    shop.clock.at = at
    there = shop.merchant.model_copy(update={"time_zone": time_zone})
    await shop.h.deliver(MerchantChanged(state=there), sequence=2)
    return dataclasses.replace(shop, merchant=there)


@pytest.mark.parametrize(("time_zone", "at", "day"), [AHEAD, BEHIND])
async def test_an_invoice_is_due_and_a_subscription_begins_by_the_merchants_day(
    fake_shop: Shop, time_zone: str, at: datetime, day: date
) -> None:
    time = Calendar(await moved(fake_shop, time_zone, at))
    given = payment_link(fake_shop).model_dump(exclude_unset=True, exclude={"due_on"})
    plain = await fake_shop.order(payment_link(fake_shop).model_validate(given))
    assert plain.due_on == day + timedelta(days=14)
    with pytest.raises(InvalidInput) as refused:
        await fake_shop.order(monthly(fake_shop, starts_on=day - timedelta(days=1)))
    assert [each.field for each in refused.value.errors] == ["starts_on"]
    made = await time.accepted(monthly(fake_shop, starts_on=day))
    assert made.anchor_on == day
    assert made.next_charge is not None
    assert made.next_charge.on == date(2027, 2, 28)


async def test_a_charge_is_made_at_nine_in_the_morning_of_the_merchants_last_of_february(fake_shop: Shop) -> None:
    """On the islands nine o'clock of the 28th is 19:00 of the 27th in UTC."""
    time = Calendar(await moved(fake_shop, AHEAD[0], AHEAD[1]))
    made = await time.accepted(monthly(fake_shop))
    await time.comes(date(2027, 2, 27), hour=18)
    assert (await time.now(made)).charges_made == 1
    await time.comes(date(2027, 2, 27), hour=19)
    renewed = await time.now(made)
    assert renewed.charges_made == 2
    assert renewed.current_period is not None
    assert (renewed.current_period.starts_on, renewed.current_period.ends_on) == (date(2027, 2, 28), date(2027, 3, 30))


@pytest.mark.parametrize(("time_zone", "at", "day"), [AHEAD, BEHIND])
@pytest.mark.parametrize("by_its_invoice", [True, False])
async def test_an_offer_that_is_withdrawn_ended_on_the_merchants_day(
    fake_shop: Shop, time_zone: str, at: datetime, day: date, by_its_invoice: bool
) -> None:
    await moved(fake_shop, time_zone, at)
    made: Subscription = await fake_shop.order(monthly(fake_shop))
    assert made.first_invoice_id is not None
    if by_its_invoice:
        await fake_shop.order(VoidInvoice(invoice_id=InvoiceId(made.first_invoice_id)))
    else:
        await fake_shop.order(CancelSubscription(subscription_id=SubscriptionId(made.id)))
    ended = await Calendar(fake_shop).now(made)
    assert (ended.status, ended.ended_on, ended.ended_at) == ("cancelled", day, at)


@pytest.mark.parametrize(
    ("time_zone", "begins"),
    [
        ("America/Santiago", datetime(2027, 9, 5, 4, 0, tzinfo=UTC)),  # no midnight: 24:00 is 01:00
        ("Africa/Cairo", datetime(2027, 4, 29, 22, 0, tzinfo=UTC)),  # no midnight
        ("Asia/Beirut", datetime(2027, 3, 27, 22, 0, tzinfo=UTC)),  # no midnight
        ("America/Havana", datetime(2027, 11, 7, 4, 0, tzinfo=UTC)),  # two: the day begins with the first
        ("Europe/Berlin", datetime(2027, 3, 27, 23, 0, tzinfo=UTC)),  # a day of 23 hours
        ("Pacific/Kiritimati", datetime(2027, 12, 31, 10, 0, tzinfo=UTC)),  # UTC has the old year for 14 hours more
    ],
)
async def test_a_statement_has_each_entry_on_one_day_also_where_clocks_change(
    fake_shop: Shop, time_zone: str, begins: datetime
) -> None:
    await moved(fake_shop, time_zone, begins - timedelta(microseconds=1))
    old = await fake_shop.link()
    fake_shop.clock.at = begins
    new = await fake_shop.link()
    day = (begins + timedelta(hours=14)).date()
    for on, number in ((day - timedelta(days=1), old.number), (day, new.number)):
        question = AccountStatement(customer_id=CustomerId(fake_shop.customer.id), from_on=on, to_on=on)
        told: Statement = await fake_shop.h.ask(question, actor=fake_shop.member(), merchant_id=fake_shop.merchant_id)
        assert [(each.on, each.reference) for each in told.currencies[0].entries] == [(on, number)]


async def test_an_instalment_may_be_due_today_where_the_merchant_is(fake_shop: Shop) -> None:
    await moved(fake_shop, BEHIND[0], BEHIND[1])
    line = NewLine(description="Website", unit_amount=2000)
    parts = (NewInstalment(due_on=BEHIND[2], amount=1000), NewInstalment(due_on=date(2027, 2, 28), amount=1000))
    made = await fake_shop.order(
        monthly(fake_shop, kind="payment_plan", lines=(line,), interval=None, instalments=parts)
    )
    assert [each.due_on for each in made.instalments] == [date(2027, 1, 31), date(2027, 2, 28)]
