"""`python -m local up|reset|demo`: the laptop's commands, behind the Makefile's."""

import argparse
import importlib.util
import os
import subprocess
import sys

from contracts.message import SERVICES
from local import reset, up
from local.folder import Folder


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="set up what is missing, start everything, stay in the foreground")
    commands.add_parser("reset", help="delete everything that `up` made")
    commands.add_parser("demo", help="play the story against the running system")
    one = commands.add_parser(
        "service", help="a task of one service of the running system: service billing dead-letters list"
    )
    one.add_argument("name", choices=SERVICES)
    one.add_argument("task", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    if given.command == "service":
        return service(given.name, given.task)
    return {"up": up.main, "reset": reset.main, "demo": demo}[given.command]()


def service(name: str, task: list[str]) -> int:
    """Runs `python -m services.<name> <task>` with what that service of the running system is given."""
    folder = Folder.from_environment()
    if not folder.state.exists():
        print("Nothing is running here: start it with `make up`, and wait until it says Ready.", file=sys.stderr)
        return 1
    if not task:
        print("Say which task: dead-letters list, say. The service itself is running.", file=sys.stderr)
        return 2
    environment = os.environ | folder.kept("environments.json")[name]
    return subprocess.run([sys.executable, "-m", f"services.{name}", *task], env=environment, check=False).returncode


def demo() -> int:
    """Plays the story as a process of its own, so that it talks to the running system over the network alone."""
    state = Folder.from_environment().state
    if not state.exists():
        print("Nothing is running here: start it with `make up`, and wait until it says Ready.", file=sys.stderr)
        return 1
    if importlib.util.find_spec("local.story") is None:
        print("There is no local/story.py.", file=sys.stderr)
        return 1
    environment = os.environ | {"PORTAL_STATE": str(state)}
    return subprocess.run([sys.executable, "-m", "local.story"], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
