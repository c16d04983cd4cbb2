"""What a sandbox keeps when its process ends, and what it refuses to be."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from local.children import free_port
from local.stripe.launch import stop
from tests.integration.stripe_sandbox.sandbox import Running, receiving, run_sandbox


async def test_a_killed_sandbox_keeps_objects_keys_and_undelivered_events(tmp_path: Path) -> None:
    async with receiving() as receiver:
        async with run_sandbox(tmp_path, receiver) as first:
            receiver.answers[:] = [500] * 50
            session = await first.session({"idempotency_key": "kept"})
            paid = await first.control("POST", f"/sessions/{session.id}/pay", card="4242424242424242")
            await receiver.until(lambda: len(receiver.about(paid["payment_intent"])) == 4)
            await stop(first.process, signal.SIGKILL)
        receiver.answers.clear()
        receiver.deliveries.clear()
        async with run_sandbox(tmp_path, receiver) as second:
            await receiver.until(lambda: len(receiver.about(paid["payment_intent"])) == 4)
            assert sorted(receiver.types_about(paid["payment_intent"])) == [
                "charge.succeeded",
                "checkout.session.completed",
                "payment_intent.created",
                "payment_intent.succeeded",
            ]
            assert (await second.session({"idempotency_key": "kept"})).id == session.id
            found = await second.stripe.v1.checkout.sessions.retrieve_async(session.id)
            assert (found.status, found.payment_intent) == ("complete", paid["payment_intent"])
            lines = second.ledger(paid["payment_intent"])
            assert [(line["kind"], line["amount"], line["currency"]) for line in lines] == [
                ("charge.succeeded", 1250, "eur")
            ]
            assert (lines[0]["idempotency_key"], lines[0]["checkout_session"]) == ("kept", session.id)


def start_and_fail(**environment: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "local.stripe"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    return ended.stderr.strip()


async def test_a_live_key_is_refused_at_the_start(tmp_path: Path) -> None:
    said = await asyncio.to_thread(
        start_and_fail, STRIPE_SECRET_KEY="sk_live_something", STRIPE_SANDBOX_DATA=str(tmp_path)
    )
    assert said == "stripe sandbox: STRIPE_SECRET_KEY must begin with sk_test_: the sandbox never takes a live key"


async def test_a_second_sandbox_on_the_same_folder_refuses_to_start(sandbox: Running) -> None:
    said = await asyncio.to_thread(
        start_and_fail,
        STRIPE_SANDBOX_DATA=str(sandbox.data),
        STRIPE_SANDBOX_PORT=str(free_port()),
        STRIPE_SECRET_KEY="sk_test_x",
    )
    assert said == f"stripe sandbox: another sandbox is running on {sandbox.data}"


def test_it_listens_on_loopback_only(sandbox: Running) -> None:
    port = int(sandbox.url.rsplit(":", 1)[1])
    sockets = Path(f"/proc/{sandbox.process.pid}/net/tcp").read_text().splitlines()[1:]
    listening = [line.split()[1] for line in sockets if line.split()[3] == "0A"]
    assert [address for address in listening if address.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


async def test_the_ledger_is_readable_over_http_as_in_the_file(sandbox: Running) -> None:
    session = await sandbox.session()
    paid = await sandbox.control("POST", f"/sessions/{session.id}/pay", card="4242424242424242")
    lines = (await sandbox.control("GET", "/ledger"))["lines"]
    assert [line for line in lines if line["payment_intent"] == paid["payment_intent"]] == sandbox.ledger(
        paid["payment_intent"]
    )
