"""Which loopback port each part listens on: the last run's, the usual one, or a replacement that is named."""

from collections.abc import Callable

from local.children import free_port, port_is_free
from local.folder import Folder

USUAL = {
    "gateway": 8000,
    "webhooks": 8010,
    "stripe": 8020,
    "smtp": 8025,
    "mailbox": 8030,
    "postgres": 15432,
    "amqp": 15673,
}


class TakenError(RuntimeError):
    """A port that cannot be replaced is taken; the message names it."""


class Ports:
    """The ports of this run; kept in the folder, since links in mails and bookmarks should stay true."""

    def __init__(self, folder: Folder, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say
        self._kept: dict[str, int] = folder.kept("ports.json")
        self.chosen: dict[str, int] = {}

    def choose(self, name: str, *, promised: int | None = None) -> int:
        """The port of a part, the same each time it is asked in one run.

        `promised`: somebody was told this number already, so another will not do.

        Raises:
            TakenError: the promised port is taken.
        """
        if name in self.chosen:
            return self.chosen[name]
        if promised is not None and not port_is_free(promised):
            raise TakenError(f"Port {promised}, which PORTAL_PUBLIC_URL names, is taken by another program.")
        port = promised or self._pick(name)
        self.chosen[name] = port
        self._folder.keep("ports.json", self._kept | self.chosen)
        return port

    def _pick(self, name: str) -> int:
        used = set(self.chosen.values())
        usual = USUAL.get(name)
        wished = [port for port in (self._kept.get(name), usual) if port is not None and port not in used]
        for port in wished:
            if port_is_free(port):
                return port
        port = next(port for port in iter(free_port, None) if port not in used)
        if wished:
            self._say(f"Port {wished[-1]} is taken; {name} listens on {port} instead.")
        return port
