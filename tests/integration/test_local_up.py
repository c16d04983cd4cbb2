"""`make up` with tiny stand-ins for the services, as a process of its own; one test with all the private servers."""

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from contracts.message import SERVICES
from local import leftovers
from local.children import free_port
from local.folder import MARK, Folder
from local.postgres import in_database
from tests import parts

FAKE = Path(__file__).with_name("fake_service.py")
GIVEN = {
    "PORTAL_AMQP_URL": "amqp://guest:guest@127.0.0.1:5999/",
    "STRIPE_SECRET_KEY": "sk_test_given",
    "STRIPE_WEBHOOK_SECRET": "whsec_given",
    "SMTP_URL": "smtp://127.0.0.1:5998",
}


@dataclasses.dataclass
class Up:
    """A supervisor that runs as a process, in a folder of its own."""

    folder: Path
    process: subprocess.Popen[str]
    log: Path

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
        return state

    @property
    def output(self) -> str:
        return self.log.read_text()

    def until(self, condition: Callable[[], object], timeout: float = 100) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def until_ready(self) -> None:
        self.until(lambda: (self.folder / "state.json").exists() and "Ready after" in self.output)

    def stop(self) -> float:
        """SIGTERM; returns the seconds it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, self.output
        return time.monotonic() - began


Starter = Callable[..., Up]


@pytest.fixture
def start() -> Iterator[Starter]:
    with parts.folder() as base, contextlib.ExitStack() as stack:
        harness = base / "harness.py"
        demo = [sys.executable, "-c", "import os; print('demo for', os.environ['PORTAL_DEMO_CUSTOMER_EMAIL'])"]
        harness.write_text(
            "import sys\nfrom local.system import Programs\nfrom local.up import main\n"
            f"fake = [sys.executable, {str(FAKE)!r}]\n"
            f"sys.exit(main(Programs(service=lambda name: [*fake, name], demo_data=tuple({demo!r}))))\n"
        )

        def begin(**environment: str) -> Up:
            log = base / "output"
            run_environment = {name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")}
            run_environment |= {"PORTAL_LOCAL_DIR": str(base / "local"), "PYTHONPATH": str(FAKE.parents[2])}
            with log.open("w") as output:
                process = subprocess.Popen(
                    [sys.executable, str(harness)],
                    env=run_environment | environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            stack.callback(end, process)
            return Up(base / "local", process, log)

        yield begin
    assert leftovers.find(Folder((base / "local").resolve())) == []


def end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        process.wait(60)


def alive(pid: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def hears(pid: int, sign: signal.Signals) -> bool:
    """Whether the process has a handler for the signal (proc(5), SigCgt)."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (sign - 1) & 1)


def environment_of(up: Up, name: str) -> dict[str, str]:
    answer = httpx.get(f"http://127.0.0.1:{up.state['ports'][name]}/environment")
    environment: dict[str, str] = answer.json()
    return environment


@pytest.mark.timeout(300)
def test_the_private_servers_start_stop_and_start_again_with_their_data(start: Starter) -> None:
    up = start()
    up.until_ready()
    first = up.state
    assert set(first) == {"urls", "ports", "databases", "amqp", "stripe", "mail", "credentials", "pids"}
    assert set(first["urls"]) == {"gateway", "webhooks", "stripe", "mailbox"}
    assert set(first["pids"]) == {"postgres", "epmd", "rabbitmq", "stripe", "mailbox", *SERVICES}
    assert set(first["databases"]) == set(SERVICES)
    assert set(first["credentials"]) == {"admin", "customer"}
    assert httpx.get(first["urls"]["mailbox"] + "/api/mails").json() == []
    with psycopg.connect(first["databases"]["billing"], autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1250 AS amount")
    merchant = json.loads((up.folder / "merchant.json").read_text())
    assert json.loads(merchant["said"])["password"] == first["credentials"]["admin"]["password"] + "\n"
    up.stop()
    assert not any(map(alive, first["pids"].values()))
    assert not (up.folder / "state.json").exists()

    # How long this takes is a figure of the benchmarks: on a machine that does other things it says nothing.
    again = start()
    again.until_ready()
    second = again.state
    for same in ("urls", "ports", "databases", "amqp", "stripe", "mail", "credentials"):
        assert second[same] == first[same]
    with psycopg.connect(second["databases"]["billing"]) as connection:
        assert connection.execute("SELECT amount FROM kept").fetchone() == (1250,)
    assert "demo for" not in again.output
    again.stop()


def test_given_parts_are_used_and_not_started_here(start: Starter, server_url: str) -> None:
    up = start(**GIVEN, PORTAL_DATABASE_URL=server_url, PORTAL_TODOS_DATABASE_URL="postgresql://elsewhere/todos")
    up.until_ready()
    state = up.state
    assert set(state["pids"]) == set(SERVICES)
    assert state["urls"]["mailbox"] is None
    assert state["databases"]["billing"] == in_database(server_url, "portal_billing")
    assert state["databases"]["todos"] == "postgresql://elsewhere/todos"
    with psycopg.connect(server_url) as connection:
        made = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'portal\\_%'").fetchall()
    assert {name for (name,) in made} == {f"portal_{service}" for service in SERVICES if service != "todos"}
    billing, todos = environment_of(up, "webhooks"), environment_of(up, "todos")
    assert billing["STRIPE_SECRET_KEY"] == "sk_test_given"
    assert "STRIPE_API_BASE" not in billing
    assert todos["PORTAL_TODOS_AMQP_URL"] == GIVEN["PORTAL_AMQP_URL"]
    assert todos["SMTP_URL"] == GIVEN["SMTP_URL"]


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    """A server of these tests alone: they make databases of the real names on it."""
    with parts.private_postgres() as server:
        yield server.url


@pytest.fixture
def light(start: Starter, server_url: str) -> Starter:
    """Starts with given parts and without demo data: the stand-in services alone."""

    def begin(**environment: str) -> Up:
        return start(**(GIVEN | {"PORTAL_DATABASE_URL": server_url, "PORTAL_DEMO": "0"} | environment))

    return begin


def test_a_service_knows_no_other_services_secrets(light: Starter) -> None:
    up = light()
    up.until_ready()
    todos = environment_of(up, "todos")
    assert {name for name in todos if "STRIPE" in name or "DATABASE_URL" in name or "AMQP_URL" in name} == {
        "PORTAL_TODOS_DATABASE_URL",
        "PORTAL_TODOS_AMQP_URL",
    }
    assert len(todos["PORTAL_SECRET_KEY"]) >= 32
    assert todos["PORTAL_SECRET_KEY"] == environment_of(up, "gateway")["PORTAL_SECRET_KEY"]
    assert todos["PORTAL_PUBLIC_URL"] == up.state["urls"]["gateway"]


def test_a_killed_service_is_started_again_and_said_so(light: Starter) -> None:
    up = light()
    up.until_ready()
    killed = up.state["pids"]["notifications"]
    os.kill(killed, signal.SIGKILL)
    up.until(lambda: "notifications is back" in up.output)
    assert "notifications was killed by SIGKILL; starting it again in 0.5 s." in up.output
    now = up.state["pids"]["notifications"]
    assert now != killed
    assert alive(now)


def test_log_lines_of_services_are_readable(light: Starter) -> None:
    up = light()
    up.until_ready()
    assert "identity        12:30:15.250 WARNING Hello. door=open ~0000beef\n" in up.output


def test_more_of_a_service_listen_on_further_ports(light: Starter) -> None:
    up = light(PORTAL_REPLICAS_BILLING="2", PORTAL_REPLICAS_TODOS="3", PORTAL_REPLICAS_IDENTITY="0")
    up.until_ready()
    state = up.state
    expected = {"billing", "billing-2", "todos", "todos-2", "todos-3", "notifications", "gateway"}
    assert set(state["pids"]) == expected
    assert len({state["ports"][name] for name in ("webhooks", "billing-2", "todos", "todos-2", "todos-3")}) == 5
    assert environment_of(up, "billing-2")["PORTAL_HTTP_PORT"] == str(state["ports"]["billing-2"])


def test_a_taken_port_is_replaced_and_named(light: Starter) -> None:
    with contextlib.closing(socket.socket()) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # somebody has it already: as good
            other.bind(("127.0.0.1", 8010))
            other.listen()
        up = light()
        up.until_ready()
        port = up.state["ports"]["webhooks"]
        assert port != 8010
        assert f"Port 8010 is taken; webhooks listens on {port} instead." in up.output


def test_a_promised_port_that_is_taken_is_named_and_nothing_starts(light: Starter) -> None:
    with contextlib.closing(socket.socket()) as other:
        port = free_port()
        other.bind(("127.0.0.1", port))
        other.listen()
        up = light(PORTAL_PUBLIC_URL=f"http://127.0.0.1:{port}")
        assert up.process.wait(60) == 1
        assert up.output == f"Port {port}, which PORTAL_PUBLIC_URL names, is taken by another program.\n"


def test_a_second_run_in_the_same_folder_is_refused(light: Starter) -> None:
    first = light()
    first.until_ready()
    state = first.state
    second = light()
    assert second.process.wait(60) == 1
    assert second.output == f"Already running here (process {first.process.pid}). Stop that one first, or use it.\n"
    assert first.state == state


def test_a_service_that_cannot_start_ends_the_run_with_its_reason(light: Starter) -> None:
    up = light(FAKE_DIES="todos")
    assert up.process.wait(60) == 1
    assert "todos           cannot work like this" in up.output
    assert "Cannot go on: todos ended with 7, 3 times in a row" in up.output
    assert not (up.folder / "state.json").exists()


def test_a_deaf_service_is_killed_and_the_end_still_comes_in_time(light: Starter) -> None:
    up = light(FAKE_DEAF="billing")
    up.until_ready()
    assert up.stop() <= 25  # and the others did not wait for it
    assert "billing did not end within 6 s and is killed." in up.output


def test_a_stop_during_the_start_leaves_nothing(light: Starter) -> None:
    up = light()
    up.until((up.folder / "lock").exists)
    up.until(lambda: hears(up.process.pid, signal.SIGTERM))
    up.stop()
    assert "Stopped after" in up.output or up.output == ""


def test_a_killed_supervisor_leaves_nothing_that_the_next_run_minds(light: Starter) -> None:
    first = light(FAKE_DEAF="gateway")  # survives the signal that the kernel sends it when its parent dies
    first.until_ready()
    orphan = first.state["pids"]["gateway"]
    first.process.kill()
    first.process.wait()
    assert alive(orphan)
    second = light()
    second.until_ready()
    assert not alive(orphan)
    assert "Ended 1 processes that a killed run had left behind." in second.output
    assert second.state["ports"]["gateway"] == json.loads((second.folder / "ports.json").read_text())["gateway"]


def test_only_processes_with_this_folders_mark_are_ended(tmp_path: Path) -> None:
    ours = subprocess.Popen(["sleep", "60"], env={MARK: str(tmp_path)})
    others = subprocess.Popen(["sleep", "60"], env={MARK: f"{tmp_path}-other"})
    try:
        assert leftovers.end(Folder(tmp_path)) == 1
        assert ours.wait(5) == -signal.SIGTERM
        assert others.poll() is None
    finally:
        others.kill()
        others.wait()


def test_reset_ends_the_run_and_deletes_everything(light: Starter) -> None:
    up = light()
    up.until_ready()
    pids = up.state["pids"]
    environment = os.environ | {"PORTAL_LOCAL_DIR": str(up.folder)}
    command = [sys.executable, "-m", "local", "reset"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, cwd=FAKE.parents[2])
    assert f"Stopping the running system (process {up.process.pid}) ..." in done.stdout
    assert up.process.wait(5) == 0
    assert not any(map(alive, pids.values()))
    assert not up.folder.exists()
