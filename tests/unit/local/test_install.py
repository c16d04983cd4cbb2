"""What is installed, how, and what is said when it cannot be."""

import os
import subprocess
from pathlib import Path

import pytest

from local import install
from local.binaries import MissingProgramError, find


def test_no_service_starts_during_an_installation_and_the_old_policy_comes_back(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 104\n")
    policy.chmod(0o755)
    with install.no_services_started(policy):
        assert subprocess.run([policy], check=False).returncode == 101
    assert subprocess.run([policy], check=False).returncode == 104
    assert list(tmp_path.iterdir()) == [policy]


def test_where_there_was_no_policy_none_stays(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with pytest.raises(RuntimeError, match="apt broke"), install.no_services_started(policy):
        raise RuntimeError("apt broke")
    assert list(tmp_path.iterdir()) == []


def test_the_policy_of_before_survives_an_installer_that_was_killed(tmp_path: Path) -> None:
    policy, kept = tmp_path / "policy-rc.d", tmp_path / "policy-rc.d.portal-kept"
    kept.write_text("the administrator's")
    policy.write_text("left by the killed one")
    with install.no_services_started(policy):
        assert kept.read_text() == "the administrator's"
    assert policy.read_text() == "the administrator's"


def test_who_may_not_install_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit) as said:
        install.install(["postgresql", "rabbitmq-server"])
    assert str(said.value) == (
        "Missing here: postgresql rabbitmq-server. Install them (as root on Debian: apt-get install postgresql "
        "rabbitmq-server) or run the whole system with docker-compose.yml (docker compose up)."
    )


def test_missing_fonts_alone_stop_nobody(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(install, "missing", lambda **_: [install.FONTS])
    install.ensure()
    assert capsys.readouterr().out.startswith("Without the package fonts-noto-core a PDF with Arabic")


def test_a_part_that_is_given_needs_no_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PORTAL_POSTGRES_BIN", str(tmp_path))
    monkeypatch.setenv("PORTAL_RABBITMQ_BIN", str(tmp_path))
    assert {"postgresql", "rabbitmq-server"} <= set(install.missing())
    assert {"postgresql", "rabbitmq-server"}.isdisjoint(install.missing(database=False, broker=False))


def test_a_folder_that_is_named_must_hold_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOME_BIN", str(tmp_path))
    with pytest.raises(MissingProgramError, match="holds no sh"):
        find("sh", "SOME_BIN", ["/bin/sh"])


def test_the_newest_version_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for version in ("9.6", "15", "17"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "no-such-program").touch()
    assert find("no-such-program", "NO_SUCH_VARIABLE", [f"{tmp_path}/*/no-such-program"]).parent.name == "17"
