"""The operator's command that connects a merchant to its own account at Stripe."""

from __future__ import annotations

import json

import pytest

from chassis.ids import new_id
from contracts.billing import ChangeDefaults, ReadStripeAccount
from contracts.identity import MerchantCreated
from contracts.message import NotAllowed
from local.children import free_port
from services.billing import cli
from services.billing.store import accounts
from services.billing.store.defaults import every_defaults
from services.billing.stripe_gateway import StripeGateway
from tests.integration.billing.conftest import Sandbox
from tests.integration.billing.shop import KEY, Shop, a_merchant

ACCOUNT = "acct_nordlicht"


async def known(shop: Shop) -> None:
    await shop.h.deliver(MerchantCreated(state=shop.merchant))


async def connect(shop: Shop, url: str, *arguments: str) -> int:
    return await cli.connect_account(
        shop.h.runtime, ["--merchant", str(shop.merchant_id), *arguments], stripe=StripeGateway(KEY, url)
    )


async def test_money_goes_to_the_account_and_back_to_the_platforms(
    sandbox_shop: Shop, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    await known(sandbox_shop)
    assert await connect(sandbox_shop, sandbox.url, "--account", ACCOUNT) == 0
    assert json.loads(capsys.readouterr().out) == {"merchant_id": str(sandbox_shop.merchant_id), "account": ACCOUNT}
    assert await accounts.account_of(sandbox_shop.h.db, sandbox_shop.merchant_id) == ACCOUNT
    # It says nothing of the merchant's defaults, and changing those leaves it alone.
    assert [row async for row in every_defaults(sandbox_shop.h.db)] == []
    changed = await sandbox_shop.order(ChangeDefaults(due_days=3))
    assert (changed.due_days, changed.retry_days) == (3, (2, 7, 14, 21))
    assert await accounts.account_of(sandbox_shop.h.db, sandbox_shop.merchant_id) == ACCOUNT
    assert await connect(sandbox_shop, sandbox.url, "--platform") == 0
    assert await accounts.account_of(sandbox_shop.h.db, sandbox_shop.merchant_id) is None


async def test_a_member_is_told_where_money_goes_and_since_when(sandbox_shop: Shop, sandbox: Sandbox) -> None:
    shop = sandbox_shop
    await known(shop)
    asked = ReadStripeAccount()
    before = await shop.h.ask(asked, actor=shop.member("sales"), merchant_id=shop.merchant_id)
    assert (before.account, before.mode, before.since) == (None, "test", None)
    assert await connect(shop, sandbox.url, "--account", ACCOUNT) == 0
    now = await shop.h.ask(asked, actor=shop.member(), merchant_id=shop.merchant_id)
    assert (now.account, now.mode, now.since) == (ACCOUNT, "test", shop.clock.now())
    with pytest.raises(NotAllowed):
        await shop.h.ask(asked, actor=shop.contact(), merchant_id=shop.merchant_id)


async def test_what_is_wrong_is_one_line_and_changes_nothing(
    sandbox_shop: Shop, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = ["--merchant", str(new_id()), "--account", ACCOUNT]
    assert await cli.connect_account(sandbox_shop.h.runtime, nobody, stripe=StripeGateway(KEY, sandbox.url)) == 1
    assert "Billing knows no merchant" in capsys.readouterr().err
    await known(sandbox_shop)
    away = f"http://127.0.0.1:{free_port()}"
    assert await connect(sandbox_shop, away, "--account", ACCOUNT) == 1
    assert capsys.readouterr().err.count("\n") == 1
    other = a_merchant(sandbox_shop.clock.now(), "Alpha")
    await sandbox_shop.h.deliver(MerchantCreated(state=other))
    await sandbox_shop.h.db.execute(
        "INSERT INTO billing_defaults (merchant_id, sequence, state, stripe_account) VALUES ($1, 0, '{}', $2)",
        other.id,
        ACCOUNT,
    )
    assert await connect(sandbox_shop, sandbox.url, "--account", ACCOUNT) == 1
    assert "is another merchant's already" in capsys.readouterr().err
    assert await accounts.account_of(sandbox_shop.h.db, sandbox_shop.merchant_id) is None


@pytest.mark.parametrize("arguments", [["--account", "nordlicht"], ["--account", ACCOUNT, "--platform"], []])
async def test_what_it_does_not_understand_ends_with_2(sandbox_shop: Shop, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        await connect(sandbox_shop, "http://127.0.0.1:1", *arguments)
    assert ended.value.code == 2


async def test_a_merchants_id_is_an_id(sandbox_shop: Shop) -> None:
    with pytest.raises(SystemExit) as ended:
        await cli.connect_account(
            sandbox_shop.h.runtime, ["--merchant", "nordlicht", "--platform"], stripe=StripeGateway(KEY, "http://x")
        )
    assert ended.value.code == 2
