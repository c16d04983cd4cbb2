"""The operator's commands for charges that were sent, never answered, and can be asked about no more."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, STDOUT

import pytest

from chassis.ids import new_id
from contracts.billing import Invoice
from services.billing.cli import deciding
from services.billing.stripe_gateway import StripeClosedError, StripeUnavailableError
from tests.integration.billing.collecting import Calendar
from tests.integration.billing.conftest import Sandbox
from tests.integration.billing.shop import KEY, SECRET, Shop, fake
from tests.integration.billing.test_changed_account import NEW, unanswered_renewal

WHY = ["--reason", "Stripe's mail of 3 March", "--by", "Nora"]


async def unanswered(shop: Shop) -> tuple[Calendar, str]:
    """A renewal's charge without an answer at an account that was left; and its id."""
    calendar = await unanswered_renewal(shop)
    await shop.news()
    return calendar, str(await shop.h.db.fetchval("SELECT id FROM payment WHERE automatic"))


async def decides(shop: Shop, payment_id: str, *outcome: str, closed: bool = True) -> int:
    fake(shop).fails["reach"] = [StripeClosedError("It has been disconnected.")] if closed else []
    arguments = ["--payment", payment_id, *outcome, *WHY]
    return await deciding.decide_charge(shop.h.runtime, arguments, stripe=shop.stripe)


async def receipts(shop: Shop, invoice: Invoice) -> list[tuple[str | None, int]]:
    return [(each.number, each.amount) for each in (await shop.invoice(invoice)).receipts]


async def test_the_list_says_what_is_needed_to_look_it_up(fake_shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    calendar, payment_id = await unanswered(fake_shop)
    invoice = await calendar.last()
    fake(fake_shop).fails["reach"] = [StripeClosedError("It has been disconnected.")]
    assert await deciding.unknown_charges(fake_shop.h.runtime, [], stripe=fake_shop.stripe) == 0
    said = json.loads(capsys.readouterr().out)
    given = {name: said[name] for name in ("payment_id", "merchant", "customer", "invoice", "amount", "currency")}
    assert given == {
        "payment_id": payment_id,
        "merchant": "Nordlicht GmbH",
        "customer": "Ada Lovelace",
        "invoice": invoice.number,
        "amount": 1250,
        "currency": "EUR",
    }
    assert (said["account"], said["account_answers"], said["billed_with_now"]) == (None, "closed", NEW)
    assert said["idempotency_key"] == f"{invoice.id}:1"
    assert said["stripe_customer"].startswith("cus_")


async def test_a_charge_that_is_decided_as_succeeded_is_booked_once_and_who_decided_is_kept(
    fake_shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    calendar, payment_id = await unanswered(fake_shop)
    assert await decides(fake_shop, payment_id, "--succeeded", "pi_told") == 0
    said = {"status": "succeeded", "intent_id": "pi_told", "reason": "Stripe's mail of 3 March", "decided_by": "Nora"}
    assert json.loads(capsys.readouterr().out) == {"payment_id": payment_id, **said}
    invoice = await calendar.last()
    assert invoice.status == "paid"
    booked = await receipts(fake_shop, invoice)
    assert [amount for _, amount in booked] == [1250]
    assert {"payment.succeeded", "invoice.paid"} <= set(await fake_shop.news())
    # Twice is once, also by somebody else, and whatever the account says by then.
    assert await decides(fake_shop, payment_id, "--succeeded", "pi_told", closed=False) == 0
    assert await fake_shop.news() == []
    assert await receipts(fake_shop, invoice) == booked
    row = await fake_shop.h.db.fetchrow("SELECT * FROM decided_charge")
    assert row is not None
    assert (str(row["payment_id"]), row["decided_by"], row["decided_at"]) == (
        payment_id,
        "Nora",
        fake_shop.clock.now(),
    )
    # Not decided otherwise afterwards.
    capsys.readouterr()
    for other in (["--failed"], ["--succeeded", "pi_other"]):
        assert await decides(fake_shop, payment_id, *other) == 1
        assert capsys.readouterr().err == (
            "decide-charge: Nora has decided that it succeeded with pi_told: Stripe's mail of 3 March\n"
        )
    assert await fake_shop.news() == []


async def test_a_charge_that_is_decided_as_failed_ends_and_what_is_owed_can_be_paid(fake_shop: Shop) -> None:
    calendar, payment_id = await unanswered(fake_shop)
    assert await decides(fake_shop, payment_id, "--failed") == 0
    assert await decides(fake_shop, payment_id, "--failed") == 0
    invoice = await calendar.last()
    assert invoice.status == "open"
    assert await fake_shop.payments_of(invoice) == [(1, "failed")]
    assert await fake_shop.h.db.fetchval("SELECT count(*) FROM decided_charge WHERE intent_id IS NULL") == 1
    await fake_shop.customer_pays(await fake_shop.pay(invoice, fake_shop.contact()))
    assert (await calendar.last()).status == "paid"


@pytest.mark.parametrize(
    ("answers", "said"),
    [(None, "answers: what became of it is asked there"), (StripeUnavailableError("away"), "does not say whether")],
)
async def test_nothing_is_decided_where_the_account_answers_or_may_answer(
    fake_shop: Shop, capsys: pytest.CaptureFixture[str], answers: Exception | None, said: str
) -> None:
    calendar, payment_id = await unanswered(fake_shop)
    fake(fake_shop).fails["reach"] = [answers] if answers else []
    arguments = ["--payment", payment_id, "--succeeded", "pi_told", *WHY]
    assert await deciding.decide_charge(fake_shop.h.runtime, arguments, stripe=fake_shop.stripe) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert said in line
    assert await fake_shop.payments_of(await calendar.last()) == [(1, "unknown")]
    assert await fake_shop.h.db.fetchval("SELECT count(*) FROM decided_charge") == 0
    assert await fake_shop.news() == []


async def test_money_of_another_payment_and_charges_that_are_not_unknown_are_refused(
    fake_shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    calendar, payment_id = await unanswered(fake_shop)
    first = await fake_shop.h.db.fetchrow("SELECT id, intent_id FROM payment WHERE NOT automatic")
    assert first is not None
    assert await decides(fake_shop, payment_id, "--succeeded", first["intent_id"]) == 1
    assert "is another payment's in our books" in capsys.readouterr().err
    for wrong in (str(first["id"]), str(new_id())):
        assert await decides(fake_shop, wrong, "--failed") == 1
        assert capsys.readouterr().err == f"decide-charge: Billing knows no automatic charge {wrong}.\n"
    await fake_shop.h.db.execute("UPDATE payment SET status = 'created' WHERE automatic")
    assert await decides(fake_shop, payment_id, "--failed") == 1
    assert capsys.readouterr().err == "decide-charge: It is created: there is nothing to decide.\n"
    assert await fake_shop.news() == []
    assert (await calendar.last()).status == "open"


async def test_the_commands_are_those_of_the_running_service(fake_shop: Shop, sandbox: Sandbox) -> None:
    calendar, payment_id = await unanswered(fake_shop)
    # The sandbox lets nobody use an account of such a name.
    await fake_shop.h.db.execute("UPDATE payment SET account = 'gone' WHERE id = $1", payment_id)
    environment = {
        "PATH": os.environ["PATH"],
        "PORTAL_BILLING_DATABASE_URL": fake_shop.h.runtime.settings.database_url,
        "PORTAL_BILLING_AMQP_URL": "amqp://portal_billing:none@127.0.0.1:1/none",
        "PORTAL_SECRET_KEY": "a secret of sixteen letters",
        "PORTAL_PUBLIC_URL": "https://portal.test",
        "STRIPE_SECRET_KEY": KEY,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "STRIPE_API_BASE": sandbox.url,
    }

    async def types(*arguments: str) -> tuple[int | None, str]:
        command = (sys.executable, "-m", "services.billing", *arguments)
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE, stderr=STDOUT)
        said, _ = await process.communicate()
        return process.returncode, said.decode()

    code, said = await types("unknown-charges")
    assert (code, json.loads(said)["account_answers"]) == (0, "closed")
    code, said = await types("decide-charge", "--payment", payment_id, "--succeeded", "pi_told", *WHY)
    assert (code, json.loads(said)["status"]) == (0, "succeeded")
    assert (await calendar.last()).status == "paid"
    assert await types("unknown-charges") == (0, "")
    code, said = await types("decide-charge", "--payment", payment_id, *WHY)
    assert (code, said) == (2, "decide-charge: one of the arguments --succeeded --failed is required\n")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--payment", "7", "--failed", *WHY],
        ["--payment", "01a205cd-8e61-7580-a7f9-fa609e8777a6", "--succeeded", "ch_told", *WHY],
        ["--payment", "01a205cd-8e61-7580-a7f9-fa609e8777a6", "--failed", "--by", "Nora", "--reason", " "],
        ["--payment", "01a205cd-8e61-7580-a7f9-fa609e8777a6", *WHY],
        ["--payment", "01a205cd-8e61-7580-a7f9-fa609e8777a6", "--failed", "--succeeded", "pi_told", *WHY],
    ],
)
async def test_what_is_not_understood_is_one_line(
    fake_shop: Shop, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        await deciding.decide_charge(fake_shop.h.runtime, arguments, stripe=fake_shop.stripe)
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
