"""`make up`: from an empty folder to the running system, and back again on Ctrl-C; the data stay."""

import asyncio
import os
import signal
import time
from collections.abc import Mapping

import psycopg

from contracts.message import SERVICES
from local import install, leftovers, postgres, rabbitmq
from local.children import ChildDiedError
from local.folder import MARK, AlreadyRunningError, Folder
from local.ports import Ports, TakenError
from local.stream import Stream
from local.supervisor import Supervisor
from local.system import ADMIN, CUSTOMER, Programs, System
from local.wanted import SettingError, Wanted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STARTING = "state.starting.json"
# create-merchant's status when an earlier run made it and was killed before we had noted so.
_EXISTS = 3


def main(programs: Programs | None = None) -> int:
    """Installs what is missing, runs in the foreground until told to stop; returns the exit status."""
    folder = Folder.from_environment()
    stream = Stream()
    folder.prepare()
    # Every process that comes from us carries this, so that the next run knows its leftovers.
    os.environ[MARK] = str(folder.path)
    try:
        wanted = Wanted.from_environment(os.environ)
        install.ensure(database=wanted.own_postgres, broker=wanted.own_rabbitmq)
        with folder.locked():
            ended = leftovers.end(folder)
            if ended:
                stream.say(f"Ended {ended} processes that a killed run had left behind.")
            folder.state.unlink(missing_ok=True)
            system = System(folder, wanted, Ports(folder, stream.say), programs or Programs())
            return asyncio.run(Run(system, stream).until_told())
    except AlreadyRunningError as running:
        stream.say(f"Already running here (process {running}). Stop that one first, or use it.")
    except (SettingError, TakenError) as refused:
        stream.say(str(refused))
    return 1


class Run:
    """One run in the foreground."""

    def __init__(self, system: System, stream: Stream) -> None:
        self._system = system
        self._stream = stream
        self._supervisor = Supervisor(stream, self._tell_state)
        self._credentials: dict[str, Mapping[str, str]] = {}
        self._state_name = _STARTING
        self._began = time.monotonic()

    async def until_told(self) -> int:
        """Starts everything, then waits for a signal; stops everything in any case."""
        told = asyncio.Event()
        for sign in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(sign, told.set)
        starting = asyncio.create_task(self._start())
        waiting = asyncio.create_task(told.wait())
        status = 0
        try:
            await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done() and not told.is_set():
                starting.result()
                await waiting
        except* (ChildDiedError, psycopg.Error) as died:
            status = 1
            for reason in _leaves(died):
                self._stream.say(f"Cannot go on: {reason}")
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            waiting.cancel()
            await self._stop()
        return status

    async def _start(self) -> None:
        system, supervisor = self._system, self._supervisor
        await asyncio.to_thread(system.prepare)
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._services())
            parts.create_task(supervisor.start(system.stand_ins()))
        self._tell_state()
        await self._once()
        self._state_name = system.folder.state.name
        self._tell_state()
        (system.folder.path / _STARTING).unlink(missing_ok=True)
        system.folder.keep("environments.json", {service: system.variables(service) for service in SERVICES})
        self._say_where()

    async def _services(self) -> None:
        """The servers, an empty database per service, then the services: each makes its tables when it starts.

        They could wait for RabbitMQ by themselves, and would fill the stream with saying so.
        """
        system = self._system
        async with asyncio.TaskGroup() as servers:
            servers.create_task(self._supervisor.start(system.rabbitmq()))
            servers.create_task(self._databases())
        await self._supervisor.start(system.services())

    async def _databases(self) -> None:
        system = self._system
        await self._supervisor.start(system.postgres())
        for service in SERVICES:
            if service not in system.wanted.databases:
                await asyncio.to_thread(postgres.create_database, system.database_server(), f"portal_{service}")

    async def _once(self) -> None:
        """The merchant and the demo data of a first run. A failure is said; the system runs without them."""
        system, folder = self._system, self._system.folder
        if not system.wanted.demo:
            return
        admin = {"email": ADMIN, "password": system.password["admin"]}
        customer = {"email": CUSTOMER, "password": system.password["customer"]}
        try:
            if not folder.kept("merchant.json"):
                await self._create_merchant(admin)
            self._credentials["admin"] = admin
            self._tell_state()
            if system.programs.demo_data and not folder.kept("demo.json"):
                self._stream.say("Making demo data (only at the first run) ...")
                environment = system.environment("gateway") | {
                    "PORTAL_STATE": str(folder.path / _STARTING),
                    "PORTAL_DEMO_CUSTOMER_EMAIL": customer["email"],
                    "PORTAL_DEMO_CUSTOMER_PASSWORD": customer["password"],
                }
                await self._supervisor.run_once("demo data", system.programs.demo_data, environment, shown=True)
                folder.keep("demo.json", {"customer": customer["email"]})
            if folder.kept("demo.json"):
                self._credentials["customer"] = customer
        except ChildDiedError as failed:
            self._stream.say(f"The demo data are not complete: {failed}\n`make reset` starts over.")

    async def _create_merchant(self, admin: Mapping[str, str]) -> None:
        system = self._system
        command = [*system.programs.service("identity"), "create-merchant", "--name", "Café Nord", "--currency", "EUR"]
        command += [
            "--locale",
            "en",
            "--time-zone",
            "Europe/Berlin",
            "--person",
            "Anna Nord",
            "--email",
            admin["email"],
        ]
        password = admin["password"].encode() + b"\n"
        environment = system.environment("identity")
        printed = await self._supervisor.run_once(
            "identity", [*command, "--password-stdin"], environment, given=password, fine=(0, _EXISTS)
        )
        system.folder.keep("merchant.json", {"said": printed.decode()})

    def _tell_state(self) -> None:
        """Writes the state: under another name until everything is ready, so that `state.json` means ready."""
        self._system.folder.keep(self._state_name, self._system.state(self._supervisor.pids, self._credentials))

    def _say_where(self) -> None:
        system = self._system
        rows = [("Portal and console", system.gateway_url), ("Mailbox", system.mailbox_url or system.smtp_url)]
        rows.append(("Stripe sandbox", system.stripe_url or "(your Stripe account)"))
        rows.append(("Stripe's webhooks go to", system.webhook_url))
        if system.wanted.own_rabbitmq:
            manager = rabbitmq.management(system.folder.rabbitmq)
            rows.append(("RabbitMQ's pages", f"{manager.base}  {manager.user} / {manager.password}"))
        for who, sign_in in self._credentials.items():
            label = {"admin": "Sign in as the merchant", "customer": "Sign in as a customer"}[who]
            rows.append((label, f"{sign_in['email']} / {sign_in['password']}"))
        rows.append(("All of it, for programs", str(system.folder.state)))
        took = time.monotonic() - self._began
        lines = "\n".join(f"  {label:<24} {value}" for label, value in rows)
        self._stream.say(f"\nReady after {took:.1f} s.\n{lines}\n\nCtrl-C stops everything and keeps the data.\n")

    async def _stop(self) -> None:
        self._stream.say("Stopping; the data stay.")
        began = time.monotonic()
        for name in (self._system.folder.state.name, _STARTING):
            (self._system.folder.path / name).unlink(missing_ok=True)
        # The services first: what they still have to say, they say to a broker and a database that are there.
        parts = {"postgres", "epmd", "rabbitmq", "stripe", "mailbox"}
        await self._supervisor.stop([name for name in self._supervisor.names if name not in parts])
        await self._supervisor.stop([name for name in self._supervisor.names if name in parts])
        self._stream.say(f"Stopped after {time.monotonic() - began:.1f} s.")


def _leaves(group: BaseExceptionGroup[Exception]) -> list[str]:
    """The reasons in a group, each once."""
    reasons: dict[str, None] = {}
    for error in group.exceptions:
        found = _leaves(error) if isinstance(error, BaseExceptionGroup) else [str(error)]
        reasons |= dict.fromkeys(found)
    return list(reasons)
