"""One readable stream from many processes: JSON log lines become short ones, coloured on a terminal."""

import contextlib
import json
import os
import sys
from typing import Any, TextIO

_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
_LEVELS = {"WARNING": 33, "ERROR": 31, "CRITICAL": 31}
# Said in columns of their own, or of no use to a reader of one line.
_SAID = {"ts", "level", "service", "logger", "msg", "correlation_id", "exception"}


class Stream:
    """Prints lines of children and of ourselves, one at a time."""

    def __init__(self, output: TextIO = sys.stdout) -> None:
        self._output = output
        self._coloured = output.isatty() and not os.environ.get("NO_COLOR")
        self._colours: dict[str, int] = {}

    def say(self, text: str) -> None:
        """A line of ours."""
        with contextlib.suppress(BrokenPipeError):  # the reader went away (`make up | head`); the system must not
            print(text, file=self._output, flush=True)

    def child(self, name: str, line: str) -> None:
        """A line that a child wrote."""
        colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
        self.say(f"{self._paint(f'{name:<15}', colour)} {self._readable(line)}")

    def _readable(self, line: str) -> str:
        try:
            entry = json.loads(line)
        except ValueError:
            return line
        if not isinstance(entry, dict) or "msg" not in entry:
            return line
        return self._entry(entry)

    def _entry(self, entry: dict[str, Any]) -> str:
        level = str(entry.get("level", "")).upper()
        text = f"{str(entry.get('ts', ''))[11:23]:<12} "
        if level not in {"", "INFO"}:
            text += self._paint(level, _LEVELS.get(level, 90)) + " "
        text += str(entry["msg"])
        for key, value in entry.items():
            if key not in _SAID and value is not None:
                text += f" {self._paint(f'{key}={value}', 90)}"
        if entry.get("correlation_id"):
            # The end of a UUIDv7 is its random part; its beginning is the time, alike in neighbouring lines.
            text += self._paint(f" ~{str(entry['correlation_id'])[-8:]}", 90)
        if entry.get("exception"):
            text += "\n" + str(entry["exception"]).rstrip()
        return text

    def _paint(self, text: str, colour: int) -> str:
        return f"\033[{colour}m{text}\033[0m" if self._coloured else text
