"""Installs the Debian packages the laptop needs, without starting their system services.

`python -m local.install` for `make up`; `python -m local.install --tests` adds what only tests need.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from local import postgres, rabbitmq
from local.binaries import MissingProgramError

POLICY = Path("/usr/sbin/policy-rc.d")
FONTS = "fonts-noto-core"
_FONTS = Path("/usr/share/fonts/truetype/noto/NotoSansArabic-Regular.ttf")
_NO_SERVICES = (
    "#!/bin/sh\n# Written by the portal's installer for the time of an installation: start nothing.\nexit 101\n"
)


def missing(*, database: bool = True, broker: bool = True, tests: bool = False) -> list[str]:
    """Debian packages whose programs or files are wanted and not here; empty when all is well."""
    packages = []
    if database and _absent(postgres.binaries):
        packages.append("postgresql")
    if broker and _absent(rabbitmq.binaries):
        packages.append("rabbitmq-server")
    if not _FONTS.exists():
        packages.append(FONTS)
    if tests and not (shutil.which("chromium") or os.environ.get("PORTAL_TEST_CHROMIUM")):
        packages.append("chromium")
    if tests and not shutil.which("wrk"):
        packages.append("wrk")
    return packages


def _absent(find: Callable[[], object]) -> bool:
    try:
        find()
    except MissingProgramError:
        return True
    return False


@contextlib.contextmanager
def no_services_started(policy: Path = POLICY) -> Iterator[None]:
    """While inside, `invoke-rc.d` is told 101 (action forbidden); what stood at `policy` before is put back."""
    kept = policy.with_name(policy.name + ".portal-kept")
    if not kept.exists() and policy.exists():  # an existing one is from an installer that was killed: the real original
        policy.rename(kept)
    policy.write_text(_NO_SERVICES)
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)
        if kept.exists():
            kept.rename(policy)


def advice(packages: Sequence[str]) -> str:
    """One message for a person who has to install the packages by hand."""
    names = " ".join(packages)
    return (
        f"Missing here: {names}. Install them (as root on Debian: apt-get install {names}) or run the whole system "
        "with docker-compose.yml (docker compose up)."
    )


def install(packages: Sequence[str]) -> None:
    """Installs with apt-get as root; progress goes to our own output.

    Raises:
        SystemExit: with one clear message when this machine or this user cannot.
    """
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SystemExit(advice(packages))
    print(f"Installing {' '.join(packages)} (no system service is started) ...", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    # Another apt may be at work: wait for its lock instead of failing.
    apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"]
    with no_services_started():
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            done = subprocess.run(
                [*apt, *arguments],
                env=environment,
                check=False,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            if done.returncode != 0:
                raise SystemExit(f"{done.stdout}\napt-get {arguments[0]} failed. {advice(packages)}")
    _keep_from_boot(packages)


def _keep_from_boot(packages: Sequence[str]) -> None:
    """Freshly installed servers are for our private instances: the system's own must not start at the next boot."""
    if not shutil.which("systemctl"):
        return
    for package in packages:
        if package in {"postgresql", "rabbitmq-server"}:
            subprocess.run(["systemctl", "disable", "--quiet", package], check=False, capture_output=True)


def ensure(*, database: bool = True, broker: bool = True, tests: bool = False) -> None:
    """Installs what is wanted and not here; silent when nothing is."""

    def lacking() -> list[str]:
        return missing(database=database, broker=broker, tests=tests)

    packages = lacking()
    if packages == [FONTS] and os.geteuid() != 0:
        print(f"Without the package {FONTS} a PDF with Arabic or Hebrew text cannot be made. {advice(packages)}")
    elif packages:
        install(packages)
        if lacking():
            raise SystemExit(f"Still missing after the installation: {' '.join(lacking())}.")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m local.install", description=__doc__)
    parser.add_argument("--tests", action="store_true", help="also what only tests and benchmarks need (chromium, wrk)")
    ensure(tests=parser.parse_args().tests)


if __name__ == "__main__":
    main()
