"""The ledger's file and the database agree after any crash; the settings refuse what a sandbox must not do."""

import asyncio
import json
from pathlib import Path

import pytest

from local.stripe.ledger import Ledger
from local.stripe.settings import RefusedSettingsError, Settings
from local.stripe.store import Store
from local.stripe.webhooks import retry_delay


@pytest.mark.parametrize("written", ["", "{first}", "{first}{half}", "{half}", "{first}{second}"])
async def test_lines_that_a_crash_kept_from_the_file_are_written_at_the_next_start(
    tmp_path: Path, written: str
) -> None:
    store = Store(tmp_path / "sandbox.sqlite3")
    with store.transaction():
        for amount in (100, 200, 300):
            store.add_ledger_line({"amount": amount})
    path = tmp_path / "ledger.jsonl"
    first, second = '{"seq": 1, "amount": 100}\n', '{"seq": 2, "amount": 200}\n'
    path.write_text(written.format(first=first, second=second, half='{"seq": 2, "am'))
    ledger = Ledger(path, store)
    await ledger.flush()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"seq": 1, "amount": 100}, {"seq": 2, "amount": 200}, {"seq": 3, "amount": 300}]
    assert ledger.read() == lines
    await asyncio.gather(*(ledger.flush() for _ in range(5)))
    assert len(path.read_text().splitlines()) == 3
    store.close()


async def test_lines_written_together_come_once_and_in_order(tmp_path: Path) -> None:
    store = Store(tmp_path / "sandbox.sqlite3")
    ledger = Ledger(tmp_path / "ledger.jsonl", store)
    waiting = []
    for amount in range(20):
        with store.transaction():
            store.add_ledger_line({"amount": amount})
        waiting.append(asyncio.create_task(ledger.flush()))
        await asyncio.sleep(0)
        if amount == 10:
            waiting.pop().cancel()  # its caller hung up
    await asyncio.gather(*waiting)
    lines = [json.loads(line) for line in ledger.path.read_text().splitlines()]
    assert [(line["seq"], line["amount"]) for line in lines] == [(amount + 1, amount) for amount in range(20)]
    store.close()


def test_a_rolled_back_transaction_moves_no_money(tmp_path: Path) -> None:
    store = Store(tmp_path / "sandbox.sqlite3")

    def crash() -> None:
        with store.transaction():
            store.add_ledger_line({"amount": 100})
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        crash()
    assert store.ledger_after(0) == []
    store.close()


@pytest.mark.parametrize("key", ["sk_live_1", "rk_test_1", "pk_test_1"])
def test_only_a_secret_test_key_is_taken(key: str) -> None:
    with pytest.raises(RefusedSettingsError, match="must begin with sk_test_"):
        Settings.from_environment({"STRIPE_SECRET_KEY": key})


def test_the_environment_has_defaults_for_everything() -> None:
    settings = Settings.from_environment({})
    assert (settings.port, settings.secret_key, settings.webhook_url) == (8020, "sk_test_local", None)
    assert settings.public_url == "http://127.0.0.1:8020"
    assert Settings.from_environment({"STRIPE_SANDBOX_PORT": "9"}).public_url == "http://127.0.0.1:9"
    with pytest.raises(RefusedSettingsError, match="must be a port number"):
        Settings.from_environment({"STRIPE_SANDBOX_PORT": "http"})


def test_retries_come_slower_and_slower_up_to_a_minute() -> None:
    assert [retry_delay(attempts) for attempts in (1, 2, 3, 8, 100)] == [0.5, 1.0, 2.0, 60.0, 60.0]
