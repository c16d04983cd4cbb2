"""A private PostgreSQL server in a folder of its own, on a loopback port, beside any other server of the machine."""

import dataclasses
import hashlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from local.binaries import find
from local.children import LOOPBACK, stop, wait_until, with_parent

USER = "portal"
# Where the cluster goes when the server's user cannot reach the given folder (a clone in /root, say).
_ELSEWHERE = Path("/var/lib/customer-portal")
_INITIALISED = "initialised"


@dataclasses.dataclass
class Postgres:
    """A running private server."""

    url: str
    """Its `postgres` database as a superuser: `postgresql://user:password@127.0.0.1:port/postgres`."""
    port: int
    data: Path
    process: subprocess.Popen[bytes]
    durable: bool

    def database_url(self, name: str) -> str:
        """The URL of another database of this server."""
        return in_database(self.url, name)

    def kill9(self) -> None:
        """A crash: the postmaster is killed, its backends notice and end by themselves."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Stops if it still runs, then starts on the same data and port."""
        self.stop()
        self.process = launch(self.data, self.port, durable=self.durable)
        wait(self)

    def stop(self, timeout: float = 8) -> None:
        """Fast shutdown: sessions are ended, everything committed is on disk."""
        stop(self.process, signal.SIGINT, timeout)


def binaries() -> Path:
    """The folder with `postgres` and `initdb`: $PORTAL_POSTGRES_BIN, PATH, or Debian's newest version.

    Raises:
        MissingProgramError: no PostgreSQL server on this machine.
    """
    return find("initdb", "PORTAL_POSTGRES_BIN", ["/usr/lib/postgresql/*/bin/initdb"]).resolve().parent


def start(data: Path, port: int, *, durable: bool = True) -> Postgres:
    """Initialises `data` at the first call, starts the server and waits until it answers.

    `durable=False` leaves out fsync (for tests: survives a killed process, not a power cut).
    """
    initialise(data)
    process = launch(data, port, durable=durable)
    server = Postgres(url(data, port), port, data, process, durable)
    wait(server)
    return server


def initialise(data: Path) -> None:
    """Makes the cluster and its password; nothing when both are there already."""
    if (data / _INITIALISED).exists():
        return
    remove(data)  # a half-made cluster of an interrupted first run
    data.mkdir(parents=True)
    data.chmod(0o711)  # the server's user passes through, nobody lists
    password = secrets.token_urlsafe(24)
    _write_private(data / "password", password)
    cluster = _cluster_for_its_user(data)
    for_initdb = cluster.parent / f"{cluster.name}.pw"
    _write_private(for_initdb, password)
    _give(for_initdb)
    initdb = [str(binaries() / "initdb"), "-D", str(cluster), "-U", USER, f"--pwfile={for_initdb}"]
    initdb += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]
    try:
        done = _run_as_server(initdb, cwd=cluster)
    finally:
        for_initdb.unlink()
    if done.returncode != 0:
        raise RuntimeError(f"initdb failed:\n{done.stdout.decode(errors='replace')}")
    (data / _INITIALISED).touch()


def launch(data: Path, port: int, *, durable: bool = True) -> subprocess.Popen[bytes]:
    """Starts the server without waiting; its log is `data/log`. Call it from the main thread (see `with_parent`)."""
    cluster = (data / "cluster").resolve()
    settings = {
        "port": str(port),
        "listen_addresses": LOOPBACK,
        "unix_socket_directories": "",
        "max_connections": "200",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "fsync": "on" if durable else "off",
        "full_page_writes": "on" if durable else "off",
    }
    arguments = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
    command = with_parent([str(binaries() / "postgres"), "-D", str(cluster), *arguments], signal.SIGINT)
    user = _server_user()
    with (data / "log").open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=cluster,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C on the terminal must reach the supervisor alone
            **_drop(user),
        )


def url(data: Path, port: int) -> str:
    """The URL of the `postgres` database of the server in `data`, as a superuser."""
    password = (data / "password").read_text()
    return f"postgresql://{USER}:{password}@{LOOPBACK}:{port}/postgres"


def answers(server_url: str) -> bool:
    """Whether the server takes a connection now."""
    try:
        psycopg.connect(server_url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def wait(server: Postgres, timeout: float = 30) -> None:
    """Until the server takes connections, also after a crash's recovery."""
    wait_until(lambda: answers(server.url), server.process, server.data / "log", timeout)


def create_database(server_url: str, name: str) -> str:
    """Makes the database unless it exists; returns its URL."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        exists: LiteralString = "SELECT 1 FROM pg_database WHERE datname = %s"
        if connection.execute(exists, [name]).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return in_database(server_url, name)


def drop_database(server_url: str, name: str) -> None:
    """Drops the database, ending whoever is still connected; nothing when it is not there."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def in_database(server_url: str, name: str) -> str:
    """The same server, user and options, another database."""
    address, separator, query = server_url.partition("?")
    scheme, _, rest = address.partition("://")
    authority = rest.partition("/")[0]
    return f"{scheme}://{authority}/{name}{separator}{query}"


def remove(data: Path) -> None:
    """Deletes the folder and the cluster that may live elsewhere."""
    cluster = data / "cluster"
    if cluster.is_symlink():
        shutil.rmtree(cluster.readlink(), ignore_errors=True)
    shutil.rmtree(data, ignore_errors=True)


def _server_user() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root: the user to become, None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL refuses to run as root, and this machine has neither a user postgres nor nobody")


def _cluster_for_its_user(data: Path) -> Path:
    """An empty folder that the server's user owns and reaches: in `data`, or elsewhere with a link in `data`."""
    cluster = data / "cluster"
    user = _server_user()
    if user is None:
        cluster.mkdir(mode=0o700)
        return cluster
    reachable = subprocess.run(["test", "-x", str(data)], check=False, **_drop(user)).returncode == 0
    if not reachable:
        name = hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:16]
        elsewhere = _ELSEWHERE / name
        _ELSEWHERE.mkdir(mode=0o711, exist_ok=True)
        shutil.rmtree(elsewhere, ignore_errors=True)
        elsewhere.mkdir(mode=0o700)
        cluster.symlink_to(elsewhere)
        cluster = elsewhere
    else:
        cluster.mkdir(mode=0o700)
    _give(cluster)
    return cluster


def _give(path: Path) -> None:
    user = _server_user()
    if user is not None:
        os.chown(path, user.pw_uid, user.pw_gid)


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _drop(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """Popen's arguments that make the child another user."""
    return {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _run_as_server(command: list[str], cwd: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command, cwd=cwd, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **_drop(_server_user())
    )
