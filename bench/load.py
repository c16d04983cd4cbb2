"""Load over HTTP from another process: wrk."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True)
class Said:
    """What wrk saw; latencies in milliseconds."""

    requests: int
    rate: float
    p50: float
    p99: float


def wrk(url: str, connections: int, seconds: int, *, script: Path | None = None, cookie: str = "", **env: str) -> Said:
    """Load `url`; every answer must be 2xx."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "20s"]
    if script:
        command += ["-s", str(script)]
    if cookie:
        command += ["-H", f"Cookie: {cookie}"]
    done = subprocess.run([*command, url], env=os.environ | env, check=True, capture_output=True, text=True)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(done.stdout)
    return Said(
        int(_found(r"(\d+) requests in", done.stdout)[0]),
        float(_found(r"Requests/sec:\s+([\d.]+)", done.stdout)[0]),
        _milliseconds("50", done.stdout),
        _milliseconds("99", done.stdout),
    )


def _found(pattern: str, text: str) -> tuple[str, ...]:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(text)
    return match.groups()


def _milliseconds(share: str, text: str) -> float:
    value, unit = _found(rf"{share}%\s+([\d.]+)(us|ms|s|m)\b", text)
    return float(value) * _UNITS[unit]
