"""A private RabbitMQ node in a folder of its own: own ports, node name, epmd, cookie and users, beside any other node."""

import base64
import dataclasses
import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import contracts.billing
import contracts.identity
import contracts.notifications
import contracts.todos  # noqa: F401 - importing an owner's file registers its messages
from contracts.message import EVENTS, NOUNS, SERVICES, fact_queue, follower_queue
from local.binaries import find
from local.children import LOOPBACK, free_port, port_is_free, stop, wait_until, with_parent

OPERATOR = "portal_operator"
VHOST = "portal"
# Constant: a node's data belongs to its name. Own epmd and own ports keep equal names apart.
_NODE = "portal@localhost"
# Of RabbitMQ's own plugins only these are linked into the node's home; reading the rest costs seconds at each start.
_PLUGINS = ("rabbitmq_management", "rabbitmq_management_agent", "rabbitmq_web_dispatch", "rabbitmq_prelaunch")


@dataclasses.dataclass(frozen=True)
class Management:
    """RabbitMQ's management HTTP API: the few calls that set-up and tests need (0.01-0.07 s each, rabbitmqctl takes 2 s)."""

    base: str
    user: str
    password: str

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The decoded answer, None when it is empty.

        Raises:
            urllib.error.HTTPError: the node refused.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}/api/{path}", data=data, method=method)  # noqa: S310 - our own loopback node or the operator's setting
        credentials = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        request.add_header("Authorization", f"Basic {credentials}")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
            text = answer.read()
        return json.loads(text) if text else None

    def add_user(self, name: str, password: str, tags: str = "") -> None:
        """Makes or changes a user."""
        self.call("PUT", f"users/{quote(name, safe='')}", {"password": password, "tags": tags})

    def add_vhost(self, name: str, users: Iterable[str]) -> None:
        """Makes a vhost with the users' permissions in it."""
        self.call(
            "POST",
            "definitions",
            {"vhosts": [{"name": name}], "permissions": [permissions(user, name) for user in users]},
        )

    def delete_vhost(self, name: str) -> None:
        """Deletes the vhost with all that is in it; every connection to it is closed."""
        self.call("DELETE", f"vhosts/{quote(name, safe='')}")

    def set_permissions(self, user: str, vhost: str, configure: str, write: str, read: str) -> None:
        """Sets a user's three patterns in a vhost."""
        body = {"configure": configure, "write": write, "read": read}
        self.call("PUT", f"permissions/{quote(vhost, safe='')}/{quote(user, safe='')}", body)


@dataclasses.dataclass
class RabbitMQ:
    """A running private node."""

    port: int
    management_port: int
    data: Path
    passwords: Mapping[str, str]
    """Password by user: one user per service (`portal_billing`) and the administrator `portal_operator`."""
    process: subprocess.Popen[bytes]
    epmd: subprocess.Popen[bytes]

    @property
    def amqp_url(self) -> str:
        """The operator's URL of the vhost `portal`."""
        return self.url(OPERATOR)

    def url(self, user: str, vhost: str = VHOST) -> str:
        """`amqp://user:password@127.0.0.1:port/vhost`."""
        return url(self.data, self.port, user, vhost)

    @property
    def management(self) -> Management:
        """The node's HTTP API, as the operator."""
        return management(self.data)

    def kill9(self) -> None:
        """A crash of the node; epmd stays, as it does on a real machine."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Stops if it still runs, then starts on the same data and ports."""
        self.stop()
        self.epmd, self.process = launch(self.data, self.port)
        wait(self)

    def stop(self, timeout: float = 12) -> None:
        """Graceful: confirmed messages are kept."""
        stop(self.process, signal.SIGTERM, timeout)
        stop(self.epmd, signal.SIGTERM, 2)


def user_of(service: str) -> str:
    """The broker user of one of our services: `portal_billing`."""
    return f"portal_{service}"


def permissions(user: str, vhost: str) -> dict[str, str]:
    """A user's permissions as a definitions entry.

    A service declares, fills and reads its own queues, the shared `portal.*` names and the event queues of others that its
    own events feed (it declares those, so that nothing it says is lost before they first start). It publishes to the
    default exchange too, which reaches every queue (RPC needs it): forged commands are stopped by `user_id`, not here.
    It cannot read anyone's commands: passwords travel in some.
    """
    service = user.removeprefix("portal_")
    if service not in SERVICES:  # the operator, or another administrator
        return {"user": user, "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"}
    fed = "".join(f"|{re.escape(queue)}" for queue in sorted(_fed_by(service)))
    own = rf"portal\..*|{service}\..*{fed}"
    return {
        "user": user,
        "vhost": vhost,
        "configure": f"^({own})$",
        "write": rf"^({own}|amq\.default)$",
        "read": f"^({own})$",
    }


def _fed_by(service: str) -> set[str]:
    """The event queues of other services that this service's events go to, by the contracts."""
    own = f"{service}."
    followers = {
        follower_queue(other, state)
        for noun, state in NOUNS.items()
        if noun.startswith(own)
        for other in state.followed_by
    }
    facts = {
        fact_queue(other, event) for kind, event in EVENTS.items() if kind.startswith(own) for other in event.handled_by
    }
    return {queue for queue in followers | facts if not queue.startswith(own)}


def definitions(
    passwords: Mapping[str, str], vhost: str = VHOST, salt: Callable[[], bytes] = lambda: secrets.token_bytes(4)
) -> dict[str, Any]:
    """Users, vhost and permissions in the form of RabbitMQ's definitions file; a fresh salt for each password."""
    users = [
        {
            "name": name,
            "password_hash": password_hash(password, salt()),
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": "administrator" if name == OPERATOR else "",
        }
        for name, password in passwords.items()
    ]
    return {
        "users": users,
        "vhosts": [{"name": vhost}],
        "permissions": [permissions(name, vhost) for name in passwords],
    }


def password_hash(password: str, salt: bytes) -> str:
    """RabbitMQ's form: base64 of the 4-byte salt and SHA-256 over salt and password (its "Passwords" page)."""
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def binaries() -> Path:
    """The folder with the RAW scripts: $PORTAL_RABBITMQ_BIN, Debian's, or what PATH leads to.

    Debian's /usr/sbin/rabbitmq-server is a wrapper that insists on the user rabbitmq; the raw script runs as anybody.

    Raises:
        MissingProgramError: no RabbitMQ on this machine.
    """
    debian = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    if not os.environ.get("PORTAL_RABBITMQ_BIN") and debian.is_file():
        return debian.resolve().parent
    script = find("rabbitmq-server", "PORTAL_RABBITMQ_BIN", [str(debian)])
    return script.resolve().parent


def start(data: Path, port: int) -> RabbitMQ:
    """Prepares `data` at the first call, starts the node with its users, waits until it takes connections."""
    prepare(data)
    epmd, process = launch(data, port)
    node = RabbitMQ(port, _ports(data)["management"], data, _passwords(data), process, epmd)
    wait(node)
    return node


def url(data: Path, port: int, user: str, vhost: str = VHOST) -> str:
    """The URL by which a user of the node in `data` signs in."""
    return f"amqp://{user}:{_passwords(data)[user]}@{LOOPBACK}:{port}/{quote(vhost, safe='')}"


def management(data: Path) -> Management:
    """The HTTP API of the node in `data`, as the operator."""
    return Management(f"http://{LOOPBACK}:{_ports(data)['management']}", OPERATOR, _passwords(data)[OPERATOR])


def answers(data: Path, port: int) -> bool:
    """Whether the node takes connections now and knows its users."""
    try:
        management(data).call("GET", f"vhosts/{VHOST}")
        # The last boot step opens the AMQP listener, after the management API's. 503 until then.
        management(data).call("GET", f"health/checks/port-listener/{port}")
    except OSError:  # refused, reset, timed out, or an HTTP error status
        return False
    return True


def _passwords(data: Path) -> dict[str, str]:
    passwords: dict[str, str] = json.loads((data / "passwords.json").read_text())
    return passwords


def prepare(data: Path) -> None:
    """Folders, cookie, passwords and definitions; what is there already stays."""
    data.mkdir(parents=True, exist_ok=True)
    data.chmod(0o700)
    if not (data / "passwords.json").exists():
        names = [OPERATOR, *map(user_of, SERVICES)]
        _write_private(data / "passwords.json", json.dumps({name: secrets.token_urlsafe(18) for name in names}))
    # Written at each start: the permissions follow the contracts, and RabbitMQ imports them at each boot.
    _write_private(data / "definitions.json", json.dumps(definitions(_passwords(data))))
    cookie = data / ".erlang.cookie"
    if not cookie.exists():
        _write_private(cookie, secrets.token_hex(20))
        cookie.chmod(0o400)
    _thin_home(data / "home", binaries().parent)
    (data / "enabled_plugins").write_text("[rabbitmq_management].\n")
    # The ports of the last run while they are free, so that a bookmark of the management page stays true.
    if not (data / "ports.json").exists() or not all(map(port_is_free, _ports(data).values())):
        ports = {name: free_port() for name in ("management", "distribution", "epmd")}
        (data / "ports.json").write_text(json.dumps(ports))


def launch(data: Path, port: int) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]:
    """Starts epmd and the node without waiting; returns both."""
    return launch_epmd(data), launch_node(data, port)


def launch_epmd(data: Path) -> subprocess.Popen[bytes]:
    """Erlang's name server of this node alone, in the foreground: the node would leave a daemon behind for ever."""
    epmd = str(find("epmd", "PORTAL_ERLANG_BIN", ["/usr/lib/erlang/erts-*/bin/epmd"]))
    command = [epmd, "-port", str(_ports(data)["epmd"]), "-address", LOOPBACK]
    return _launch(data, with_parent(command, signal.SIGKILL))


def launch_node(data: Path, port: int) -> subprocess.Popen[bytes]:
    """Starts the node without waiting; its log is `data/log`. Call it from the main thread (see `with_parent`)."""
    _write_configuration(data, port, _ports(data))
    return _launch(data, with_parent([str(data / "home" / "sbin" / "rabbitmq-server")], signal.SIGTERM))


def _launch(data: Path, command: list[str]) -> subprocess.Popen[bytes]:
    with (data / "log").open("ab") as log:
        return subprocess.Popen(
            command,
            env=_environment(data, _ports(data)),
            cwd=data,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C on the terminal must reach the supervisor alone
        )


def wait(node: RabbitMQ, timeout: float = 60) -> None:
    """Until the node takes connections and its management API knows its users."""
    wait_until(lambda: answers(node.data, node.port), node.process, node.data / "log", timeout)


def _ports(data: Path) -> dict[str, int]:
    """The node's further ports, by what they are for."""
    ports: dict[str, int] = json.loads((data / "ports.json").read_text())
    return ports


def _write_configuration(data: Path, port: int, ports: Mapping[str, int]) -> None:
    (data / "rabbitmq.conf").write_text(f"""\
listeners.tcp.1 = {LOOPBACK}:{port}
management.tcp.ip = {LOOPBACK}
management.tcp.port = {ports["management"]}
load_definitions = {data / "definitions.json"}
# The default log of a quorum queue is 512 MB before it rolls: too much to read again at each start of a laptop.
raft.wal_max_size_bytes = 33554432
log.file = false
log.console = true
log.console.level = warning
""")


def _environment(data: Path, ports: Mapping[str, int]) -> dict[str, str]:
    """The node's environment; nothing of a system-wide node's settings (RABBITMQ_*, ERL_*) leaks in."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_", "NOTIFY_"))}
    return clean | {
        "HOME": str(data),  # Erlang reads ~/.erlang.cookie
        "RABBITMQ_SCRIPTS_DIR": str(data / "home" / "sbin"),
        "RABBITMQ_BASE": str(data),
        "RABBITMQ_NODENAME": _NODE,
        "RABBITMQ_DIST_PORT": str(ports["distribution"]),
        "ERL_EPMD_PORT": str(ports["epmd"]),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "RABBITMQ_CONF_ENV_FILE": str(data / "no-environment-file"),
        "RABBITMQ_CONFIG_FILE": str(data / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(data / "no-advanced-file"),
        "RABBITMQ_MNESIA_BASE": str(data / "mnesia"),
        "RABBITMQ_LOG_BASE": str(data / "logs"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(data / "enabled_plugins"),
        "RABBITMQ_PLUGINS_DIR": str(data / "home" / "plugins"),
        "RABBITMQ_PLUGINS_EXPAND_DIR": str(data / "plugins-expanded"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(data / "generated"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        # The script then becomes the node instead of waiting beside it: our signals and kills reach the real process.
        "RUNNING_UNDER_SYSTEMD": "true",
    }


def _thin_home(home: Path, real: Path) -> None:
    """A RABBITMQ_HOME with links to what the node needs and no more."""
    shutil.rmtree(home, ignore_errors=True)
    (home / "plugins").mkdir(parents=True)
    for folder in ("sbin", "escript"):
        (home / folder).symlink_to(real / folder)
    for plugin in (real / "plugins").iterdir():
        name = plugin.name.rpartition("-")[0]
        if not name.startswith("rabbitmq_") or name in _PLUGINS:
            (home / "plugins" / plugin.name).symlink_to(plugin)


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
