"""The laptop's mailbox, as a process of its own: SMTP in, files, pages and JSON out, faults on request."""

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import httpx
import pytest

from local.children import free_port, wait_until


@dataclasses.dataclass(frozen=True)
class Mailbox:
    smtp_port: int
    folder: Path
    http: httpx.Client
    process: subprocess.Popen[bytes]

    async def send(self, message: EmailMessage, sender: str, *recipients: str) -> str:
        _, answer = await aiosmtplib.send(
            message,
            sender=sender,
            recipients=list(recipients),
            hostname="127.0.0.1",
            port=self.smtp_port,
            start_tls=False,
        )
        return answer


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailbox]:
    folder = tmp_path_factory.mktemp("mailbox")
    smtp_port, http_port = free_port(), free_port()
    environment = os.environ | {
        "MAILBOX_SMTP_PORT": str(smtp_port),
        "MAILBOX_HTTP_PORT": str(http_port),
        "MAILBOX_DIR": str(folder / "mails"),
    }
    log = folder / "log"
    with log.open("wb") as output, httpx.Client(base_url=f"http://127.0.0.1:{http_port}") as client:
        process = subprocess.Popen(
            [sys.executable, "-m", "local.mailbox"], env=environment, stdout=output, stderr=output
        )
        try:
            wait_until(lambda: healthy(client), process, log, timeout=20)
            yield Mailbox(smtp_port, folder / "mails", client, process)
        finally:
            process.terminate()
            assert process.wait(5) in {0, -signal.SIGTERM}


def healthy(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def mailbox(running: Mailbox) -> Mailbox:
    running.http.delete("/api/mails")
    running.http.delete("/_faults")
    return running


def invitation() -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Café Nord <portal@example.test>"
    message["To"] = "Ada <ada@example.test>"
    message["Subject"] = "Grüße, your invitation"
    message["Message-ID"] = "<invitation-1@example.test>"
    message.set_content("Open http://127.0.0.1:8000/i/abc. Or not.\n")
    message.add_alternative(
        '<p>Hi</p><a href="http://127.0.0.1:8000/i/abc?x=1&amp;y=2">Join</a><img src="cid:logo@x"><script>alert(1)</script>',
        subtype="html",
    )
    html = message.get_payload()[1]  # type: ignore[index] # a multipart's payload is a list
    assert isinstance(html, EmailMessage)
    html.add_related(b"\x89PNG-bytes", "image", "png", cid="<logo@x>", filename="logo.png")
    return message


async def test_a_mail_is_a_file_a_json_entry_and_a_page(mailbox: Mailbox) -> None:
    answer = await mailbox.send(invitation(), "bounce+17@example.test", "ada@example.test", "bcc@example.test")
    [mail] = mailbox.http.get("/api/mails").json()
    assert answer == f"2.0.0 Kept as {mail['id']}"
    assert mail["to"] == ["ada@example.test", "bcc@example.test"]
    assert mail["return_path"] == "bounce+17@example.test"
    assert mail["subject"] == "Grüße, your invitation"
    assert mail["message_id"] == "<invitation-1@example.test>"
    assert mail["text"] == "Open http://127.0.0.1:8000/i/abc. Or not.\n"
    assert mail["links"] == ["http://127.0.0.1:8000/i/abc?x=1&y=2", "http://127.0.0.1:8000/i/abc"]
    assert mail["attachments"] == [{"name": "logo.png", "content_type": "image/png", "size": 10}]
    stored = (mailbox.folder / f"{mail['id']}.eml").read_bytes()
    assert stored.endswith(invitation_end(stored))
    assert stored.startswith(
        b"Return-Path: <bounce+17@example.test>\r\nX-Envelope-To: ada@example.test, bcc@example.test\r\n"
    )
    assert "Grüße, your invitation" in mailbox.http.get("/").text


def invitation_end(stored: bytes) -> bytes:
    """What the sender sent is in the file untouched: its own closing boundary is the last line."""
    boundary = stored.partition(b'boundary="')[2].partition(b'"')[0]
    return b"--" + boundary + b"--\r\n"


async def test_mails_are_listed_newest_first_and_by_whole_recipient(mailbox: Mailbox) -> None:
    for recipient in ("ada@example.test", "da@example.test", "ADA@example.test"):
        await mailbox.send(invitation(), "", recipient)
    everyone = mailbox.http.get("/api/mails").json()
    assert [mail["to"] for mail in everyone] == [["ADA@example.test"], ["da@example.test"], ["ada@example.test"]]
    adas = mailbox.http.get("/api/mails", params={"to": "ada@example.test"}).json()
    assert [mail["to"] for mail in adas] == [["ADA@example.test"], ["ada@example.test"]]


async def test_a_strangers_html_cannot_run_or_send_anything(mailbox: Mailbox) -> None:
    await mailbox.send(invitation(), "", "ada@example.test")
    [mail] = mailbox.http.get("/api/mails").json()
    page = mailbox.http.get(f"/mails/{mail['id']}")
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page.text
    assert "<script>" not in page.text
    frame = mailbox.http.get(f"/mails/{mail['id']}/html")
    policy = frame.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert policy.endswith("sandbox allow-popups allow-popups-to-escape-sandbox")
    assert "allow-scripts" not in policy
    assert f'src="/mails/{mail["id"]}/parts/logo%40x"' in frame.text
    assert mailbox.http.get(f"/mails/{mail['id']}/parts/logo@x").content == b"\x89PNG-bytes"


async def test_text_and_headers_are_escaped_on_their_pages(mailbox: Mailbox) -> None:
    message = EmailMessage()
    message["Subject"] = "<b>bold</b>"
    message.set_content("<i>1 < 2</i>")
    await mailbox.send(message, "", "ada@example.test")
    [mail] = mailbox.http.get("/api/mails").json()
    assert "<pre>&lt;i&gt;1 &lt; 2&lt;/i&gt;" in mailbox.http.get(f"/mails/{mail['id']}?view=text").text
    assert "<dd>&lt;b&gt;bold&lt;/b&gt;</dd>" in mailbox.http.get(f"/mails/{mail['id']}?view=headers").text


def test_an_id_never_becomes_a_path(mailbox: Mailbox) -> None:
    (mailbox.folder.parent / "secret.eml").write_text("Subject: secret\n\n")
    for mail_id in ("..%2Fsecret", "nothing", "20260101T000000.000000Z-00000000"):
        assert mailbox.http.get(f"/mails/{mail_id}").status_code == 404


def test_another_host_name_gets_nothing(mailbox: Mailbox) -> None:
    assert mailbox.http.get("/api/mails", headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize(
    ("kind", "status"), [("rcpt_4xx", 451), ("rcpt_5xx", 550)], ids=["later at RCPT", "never at RCPT"]
)
async def test_one_recipient_is_turned_away_once(mailbox: Mailbox, kind: str, status: int) -> None:
    mailbox.http.post("/_faults", json={"kind": kind, "to": "ada@", "times": 1})
    await mailbox.send(invitation(), "", "bob@example.test")
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
        await mailbox.send(invitation(), "", "ada@example.test")
    assert refused.value.recipients[0].code == status
    await mailbox.send(invitation(), "", "ada@example.test")
    assert [mail["to"] for mail in mailbox.http.get("/api/mails").json()] == [
        ["ada@example.test"],
        ["bob@example.test"],
    ]


@pytest.mark.parametrize(("kind", "status"), [("data_4xx", 451), ("data_5xx", 554)])
async def test_a_mail_turned_away_after_its_final_dot_is_not_kept(mailbox: Mailbox, kind: str, status: int) -> None:
    mailbox.http.post("/_faults", json={"kind": kind, "times": 1})
    with pytest.raises(aiosmtplib.SMTPDataError) as refused:
        await mailbox.send(invitation(), "", "ada@example.test")
    assert refused.value.code == status
    assert mailbox.http.get("/api/mails").json() == []


@pytest.mark.parametrize(("kind", "kept"), [("cut", 1), ("cut_lost", 0)])
async def test_cut_after_the_final_dot_looks_the_same_whether_kept_or_lost(
    mailbox: Mailbox, kind: str, kept: int
) -> None:
    mailbox.http.post("/_faults", json={"kind": kind, "times": 1})
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await mailbox.send(invitation(), "", "ada@example.test")
    assert len(mailbox.http.get("/api/mails").json()) == kept
    assert mailbox.http.get("/_faults").json() == []


async def test_a_refusal_ends_by_itself_or_when_cleared(mailbox: Mailbox) -> None:
    mailbox.http.post("/_faults", json={"kind": "refuse", "seconds": 2})
    with pytest.raises(aiosmtplib.SMTPConnectError):
        await mailbox.send(invitation(), "", "ada@example.test")
    await asyncio.sleep(2.5)
    await mailbox.send(invitation(), "", "ada@example.test")
    mailbox.http.post("/_faults", json={"kind": "refuse"})
    with pytest.raises(aiosmtplib.SMTPConnectError):
        await mailbox.send(invitation(), "", "ada@example.test")
    mailbox.http.delete("/_faults")
    await mailbox.send(invitation(), "", "ada@example.test")
    assert len(mailbox.http.get("/api/mails").json()) == 2


def test_an_unknown_fault_is_refused(mailbox: Mailbox) -> None:
    assert mailbox.http.post("/_faults", json={"kind": "explode"}).status_code == 422
    assert mailbox.http.post("/_faults", json={"kind": "cut", "tims": 1}).status_code == 422
