"""Mails as files: one `.eml` each, named by the time of its arrival, never changed."""

import dataclasses
import datetime as dt
import email
import email.policy
import html
import os
import re
import secrets
from collections.abc import Sequence
from email.message import EmailMessage
from functools import cached_property
from pathlib import Path

_HREF = re.compile(r"""<a\b[^>]*?\bhref\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_BARE_URL = re.compile(r"https?://[^\s<>\"')\]]+")
_ID = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}")


@dataclasses.dataclass(frozen=True)
class Attachment:
    """A part that is neither the text nor the HTML body."""

    name: str
    content_type: str
    content_id: str
    content: bytes


@dataclasses.dataclass(frozen=True)
class Mail:
    """One stored mail, parsed."""

    id: str
    raw: bytes

    @cached_property
    def message(self) -> EmailMessage:
        """The parsed message, with the two envelope headers that the store added."""
        return email.message_from_bytes(self.raw, policy=email.policy.default)

    @property
    def received_at(self) -> dt.datetime:
        """When it was accepted, UTC."""
        return dt.datetime.strptime(self.id.partition("-")[0], "%Y%m%dT%H%M%S.%f%z")

    @property
    def recipients(self) -> list[str]:
        """Addresses of the envelope: who really gets it, whatever the header To says."""
        return [address.strip() for address in self.header("X-Envelope-To").split(",") if address.strip()]

    @property
    def return_path(self) -> str:
        """The envelope's sender, where a bounce would go."""
        return self.header("Return-Path").strip("<>")

    def header(self, name: str) -> str:
        """The header's decoded value, empty when absent."""
        return str(self.message.get(name, ""))

    @cached_property
    def text(self) -> str:
        """The plain text body, empty when there is none."""
        return self._body("plain")

    @cached_property
    def html(self) -> str:
        """The HTML body, empty when there is none."""
        return self._body("html")

    def _body(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        if part is None:
            return ""
        try:
            return str(part.get_content()).replace("\r\n", "\n")
        except LookupError:  # a charset that Python does not know
            payload = part.get_payload(decode=True)
            return payload.decode(errors="replace").replace("\r\n", "\n") if isinstance(payload, bytes) else ""

    @cached_property
    def links(self) -> list[str]:
        """Every target of the HTML's anchors, then further URLs of the text, each once, in reading order."""
        found = [html.unescape(first or second) for first, second in _HREF.findall(self.html)]
        found += [url.rstrip(".,;:") for url in _BARE_URL.findall(self.text)]
        return list(dict.fromkeys(found))

    @cached_property
    def attachments(self) -> list[Attachment]:
        """All other parts, in order."""
        bodies = (self.message.get_body(("plain",)), self.message.get_body(("html",)))
        return [
            Attachment(
                part.get_filename() or f"part-{number}",
                part.get_content_type(),
                str(part.get("Content-ID", "")).strip("<>"),
                payload if isinstance(payload := part.get_payload(decode=True), bytes) else b"",
            )
            for number, part in enumerate(self.message.walk())
            if not part.is_multipart() and part not in bodies
        ]


class Store:
    """The folder of mails. Files are immutable, so each is parsed once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._parsed: dict[str, Mail] = {}

    def add(self, sender: str, recipients: Sequence[str], content: bytes) -> str:
        """Writes the mail durably: when this returns, neither a crash nor a power cut loses it. Returns its id."""
        now = dt.datetime.now(dt.UTC)
        name = f"{now:%Y%m%dT%H%M%S.%f}Z-{secrets.token_hex(4)}"
        # What a delivering server adds (RFC 5321, 4.4), and the recipients, whom the header may not name.
        envelope = f"Return-Path: <{sender}>\r\nX-Envelope-To: {', '.join(recipients)}\r\n".encode()
        unfinished = self.folder / f".{name}"
        with unfinished.open("wb") as file:
            file.write(envelope + content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(self.folder / f"{name}.eml")
        directory = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return name

    def all(self, to: str = "") -> list[Mail]:
        """Every mail, newest first; with `to` only those that have this recipient (whole address, any case)."""
        ids = sorted((path.stem for path in self.folder.glob("*.eml")), reverse=True)
        mails = [mail for mail in map(self.get, ids) if mail is not None]
        wanted = to.casefold()
        return [mail for mail in mails if not wanted or wanted in map(str.casefold, mail.recipients)]

    def get(self, mail_id: str) -> Mail | None:
        """One mail, None when there is none of this id."""
        if not _ID.fullmatch(mail_id):  # the id becomes a path
            return None
        if mail_id not in self._parsed:
            path = self.folder / f"{mail_id}.eml"
            if not path.exists():
                return None
            self._parsed[mail_id] = Mail(mail_id, path.read_bytes())
        return self._parsed[mail_id]

    def clear(self) -> None:
        """Deletes every mail."""
        for path in self.folder.glob("*.eml"):
            path.unlink()
        self._parsed.clear()
