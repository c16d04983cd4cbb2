"""Where the programs of PostgreSQL and RabbitMQ are on this machine."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path


class MissingProgramError(RuntimeError):
    """A program that the laptop needs is nowhere on this machine; the message says where was looked."""


def find(program: str, variable: str, patterns: Sequence[str]) -> Path:
    """The program's path: the folder named by the environment variable, then PATH, then the newest match of `patterns`.

    The folder named by the variable must hold the program: a wrong setting is an error, never a silent other version.

    Raises:
        MissingProgramError: nothing found.
    """
    folder = os.environ.get(variable)
    if folder:
        chosen = Path(folder) / program
        if chosen.is_file():
            return chosen
        raise MissingProgramError(f"{variable}={folder} holds no {program}")
    on_path = shutil.which(program)
    if on_path:
        return Path(on_path)
    found = [path for pattern in patterns for path in Path("/").glob(pattern.lstrip("/")) if path.is_file()]
    if found:
        return max(found, key=_version)
    raise MissingProgramError(f"{program} is neither in {variable} nor on PATH nor at {' or '.join(patterns)}")


def _version(path: Path) -> list[int]:
    """Numbers in the path, so that /usr/lib/postgresql/17 beats /usr/lib/postgresql/9."""
    digits = "".join(character if character.isdigit() else " " for character in str(path))
    return [int(number) for number in digits.split()]
