"""`make reset`: ends a run that still goes, deletes everything that `make up` made, and what it made outside the folder."""

import os
import shutil
import signal
import sys
import time

from local import leftovers, postgres
from local.folder import AlreadyRunningError, Folder

_PATIENCE = 20.0


def main() -> int:
    """Returns the exit status."""
    folder = Folder.from_environment()
    if not folder.path.exists():
        print("Nothing to reset.")
        return 0
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            with folder.locked():
                leftovers.end(folder)
                postgres.remove(folder.postgres)
                shutil.rmtree(folder.path)
            break
        except AlreadyRunningError as running:
            if time.monotonic() > deadline:
                print(f"Process {running} does not end; end it first.", file=sys.stderr)
                return 1
            _ask_to_stop(str(running))
            time.sleep(0.3)
    print("Everything that `make up` had made is deleted. The next `make up` starts over.")
    return 0


def _ask_to_stop(pid: str) -> None:
    """SIGTERM to the process that holds the folder's lock: by that it is ours."""
    if pid.isdigit():
        print(f"Stopping the running system (process {pid}) ...")
        os.kill(int(pid), signal.SIGTERM)
