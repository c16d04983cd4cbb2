"""Processes that a killed `make up` left behind. Only what carries our mark with our folder's path is ever ended."""

import contextlib
import os
import signal
import time
from pathlib import Path

from local.folder import MARK, Folder


def find(folder: Folder) -> list[int]:
    """Pids, other than ours, that were started with this folder's mark in their environment."""
    mark = f"{MARK}={folder.path}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
            if mark in (entry / "environ").read_bytes().split(b"\0") and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return sorted(found)


def end(folder: Folder, patience: float = 8) -> int:
    """Ends them, kindly at first; returns how many there were."""
    first = find(folder)
    for sign, until in ((signal.SIGTERM, patience), (signal.SIGKILL, 5)):
        for pid in find(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
        deadline = time.monotonic() + until
        while find(folder) and time.monotonic() < deadline:
            time.sleep(0.1)
    return len(first)
