"""The folder `.local`: everything that `make up` keeps between runs, and the lock that lets one run use it at a time."""

import contextlib
import dataclasses
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MARK = "PORTAL_LOCAL_RUN"
"""Every child carries this variable with the folder's path: by it a leftover is known to be ours."""


class AlreadyRunningError(RuntimeError):
    """Another `make up` uses the folder; the message names its process."""


@dataclasses.dataclass(frozen=True)
class Folder:
    """The paths in the folder."""

    path: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Folder":
        """`$PORTAL_LOCAL_DIR` (tests run beside a person's `make up`), else `.local` in the repository."""
        return cls(Path(environment.get("PORTAL_LOCAL_DIR") or ROOT / ".local").resolve())

    @property
    def postgres(self) -> Path:
        """The PostgreSQL server's folder."""
        return self.path / "postgres"

    @property
    def rabbitmq(self) -> Path:
        """The RabbitMQ node's folder."""
        return self.path / "rabbitmq"

    @property
    def mails(self) -> Path:
        """Where the mailbox keeps its files."""
        return self.path / "mails"

    @property
    def stripe(self) -> Path:
        """The sandbox's folder; its ledger is `ledger.jsonl` in it."""
        return self.path / "stripe"

    @property
    def state(self) -> Path:
        """`state.json`: there while everything runs, and only then."""
        return self.path / "state.json"

    def prepare(self) -> None:
        """Makes the folder. Others pass through it (PostgreSQL's user) but do not list it."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o711)

    def keep(self, name: str, value: object) -> None:
        """Writes a JSON file that only its owner reads, whole or not at all."""
        unfinished = self.path / f".{name}.{os.getpid()}"
        unfinished.touch(mode=0o600)
        unfinished.write_text(json.dumps(value, indent=2) + "\n")
        unfinished.rename(self.path / name)

    def kept(self, name: str) -> dict[str, Any]:
        """What `keep` wrote, empty when it never did."""
        path = self.path / name
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def secret(self, name: str, length: int = 32) -> str:
        """A random value made once and kept: the same at the next `make up`."""
        known = self.kept("secrets.json")
        if name not in known:
            known[name] = secrets.token_urlsafe(length)
            self.keep("secrets.json", known)
        return str(known[name])

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder for this process; the kernel lets go when the process ends, however it ends.

        Raises:
            AlreadyRunningError: somebody else holds it.
        """
        with (self.path / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read().strip()
                raise AlreadyRunningError(holder) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield
