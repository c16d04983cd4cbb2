"""Mails as files."""

import os
from pathlib import Path

import pytest

from local.mailbox.store import Store


def test_a_mail_is_flushed_to_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        steps.append(f"fsync with {len(list(tmp_path.glob('*.eml')))} named")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    Store(tmp_path).add("a@example.test", ["b@example.test"], b"Subject: x\r\n\r\ny\r\n")
    assert steps == ["fsync with 0 named", "fsync with 1 named"]


def test_a_mail_half_written_at_a_crash_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / ".20260101T000000.000000Z-00000000").write_bytes(b"Subject: half")
    assert Store(tmp_path).all() == []


def test_mails_survive_a_restart_in_order(tmp_path: Path) -> None:
    first = Store(tmp_path).add("", ["a@example.test"], b"Subject: one\r\n\r\n")
    second = Store(tmp_path).add("", ["a@example.test"], b"Subject: two\r\n\r\n")
    assert [mail.id for mail in Store(tmp_path).all()] == [second, first]


def test_a_charset_nobody_knows_is_still_shown(tmp_path: Path) -> None:
    store = Store(tmp_path)
    content = (
        b"Subject: x\r\nContent-Type: text/plain; charset=klingon\r\nContent-Transfer-Encoding: 8bit\r\n\r\nQapla'\n"
    )
    mail = store.get(store.add("", ["a@example.test"], content))
    assert mail is not None
    assert mail.text == "Qapla'\n"
