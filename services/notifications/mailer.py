"""The SMTP client: hands one mail over and says what the mail server answered. The only importer of aiosmtplib.

What is certain and what is not (RFC 5321, 4.2.5 and 6.1): until the final dot is written the mail server has taken
nothing, so whatever goes wrong before it is *later* or *rejected*. From then on only the server's answer tells; without
one the mail is *in doubt*, because some servers had taken it and some had not, and nothing in SMTP lets us ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.message import EmailMessage
from ipaddress import ip_address
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

import aiosmtplib

from services.notifications.domain import Accepted, Doubtful, Later, Outcome, Rejected

DIALOGUE_SECONDS = 20.0
"""From the first packet to the permission to send the body."""
ANSWER_SECONDS = 120.0
"""From the final dot to the answer: some servers scan a mail before they take it."""

_READY = 354
_TAKEN = 250


@dataclass(frozen=True)
class Server:
    """Where mails go, read from an SMTP URL."""

    host: str
    port: int
    user: str | None
    password: str | None
    tls: bool
    start_tls: bool

    @classmethod
    def from_url(cls, url: str) -> Server:
        """`smtp://[user:password@]host[:port][?starttls]` or `smtps://…`.

        Raises:
            ValueError: it is neither, or would send a password in the clear to another machine.
        """
        parts = urlsplit(url)
        options = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or options - {"starttls"}:
            raise ValueError("SMTP_URL is smtp://[user:password@]host[:port][?starttls] or smtps://….")
        tls, start_tls = parts.scheme == "smtps", "starttls" in options
        if parts.password and not (tls or start_tls or _loopback(parts.hostname)):
            raise ValueError("SMTP_URL holds a password: use smtps:// or add ?starttls, so that nobody can read it.")
        port = parts.port or (465 if tls else 587 if start_tls else 25)
        user = unquote(parts.username) if parts.username else None
        return cls(parts.hostname, port, user, unquote(parts.password or "") if user else None, tls, start_tls)


class Mailer:
    """Hands mails to one SMTP server, a connection per mail. Safe for several tasks at once."""

    def __init__(self, server: Server, *, greet_as: str) -> None:
        self._server = server
        self._greet_as = greet_as
        self._goodbyes: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*self._goodbyes, return_exceptions=True)

    async def send(self, mail: EmailMessage, *, begin: Callable[[], Awaitable[bool]]) -> Outcome | None:
        """Hand `mail` over to the one address in its To.

        `begin` is awaited when the server is ready for the body, and says whether it may still go out; None when not.
        """
        content = bytes(mail)
        smtp = self._connection()
        try:
            try:
                async with asyncio.timeout(DIALOGUE_SECONDS):
                    refused = await self._envelope(smtp, mail)
                if refused is not None:
                    return refused
                if not await begin():
                    smtp.close()  # no dot: the server throws away what it has
                    return None
            except (aiosmtplib.SMTPException, OSError) as failed:  # TimeoutError is an OSError
                return Later(f"The mail server cannot be used: {_words(failed)}")
            return await _body(smtp, content)
        finally:
            self._say_goodbye(smtp)

    def _connection(self) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=self._server.host,
            port=self._server.port,
            username=self._server.user,
            password=self._server.password,
            use_tls=self._server.tls,
            # Not opportunistic: whoever can strip STARTTLS from a greeting could read along unnoticed.
            start_tls=self._server.start_tls,
            local_hostname=self._greet_as,
            timeout=DIALOGUE_SECONDS,
        )

    async def _envelope(self, smtp: aiosmtplib.SMTP, mail: EmailMessage) -> Outcome | None:
        """Everything up to `354 go ahead`; None when the server waits for the body."""
        await smtp.connect()
        try:
            await smtp.mail(mail["From"].addresses[0].addr_spec)
            await smtp.rcpt(mail["To"].addresses[0].addr_spec)
        except (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPRecipientRefused) as refused:
            return _verdict(refused.code, refused.message)
        ready = await smtp.execute_command(b"DATA")
        return None if ready.code == _READY else _verdict(ready.code, ready.message)

    def _say_goodbye(self, smtp: aiosmtplib.SMTP) -> None:
        """QUIT without making anybody wait: the outcome is to be written down at once."""
        if not smtp.is_connected:
            return
        goodbye = asyncio.create_task(_quit(smtp), name="smtp quit")
        self._goodbyes.add(goodbye)
        goodbye.add_done_callback(self._goodbyes.discard)


def greeting(host: str) -> str:
    """How we name ourselves in EHLO: a domain, or an address as RFC 5321 (4.1.3) writes it."""
    with contextlib.suppress(ValueError):
        return f"[IPv6:{host}]" if ip_address(host).version == 6 else f"[{host}]"
    return host


async def _body(smtp: aiosmtplib.SMTP, content: bytes) -> Outcome:
    """Send the mail itself. aiosmtplib's `data` is not used: it does not tell a cut before the body from one after."""
    protocol = smtp.protocol
    if protocol is None or not protocol.is_connected:
        return Later("The mail server hung up before the mail was sent.")
    stuffed = re.sub(rb"(?m)^\.", b"..", content)  # RFC 5321, 4.5.2; the policy has already made every line end CRLF
    protocol.write(stuffed + b".\r\n")
    try:
        code, words = await protocol.read_response(timeout=ANSWER_SECONDS)
    except (aiosmtplib.SMTPException, OSError) as cut:
        smtp.close()
        return Doubtful(f"The mail was sent, but the mail server's answer did not arrive: {_words(cut)}")
    return _verdict(code, words)


def _verdict(code: int, words: str) -> Outcome:
    if code == _TAKEN:
        return Accepted()
    reason = f"{code} {_printable(words)}"
    return Rejected(reason) if 500 <= code <= 599 else Later(reason)


def _words(error: BaseException) -> str:
    return _printable(str(error)) or type(error).__name__


def _printable(text: str) -> str:
    """A server's words as a reason that people read: one line, no longer than fits beside an invoice."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:300]


def _loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


async def _quit(smtp: aiosmtplib.SMTP) -> None:
    with contextlib.suppress(aiosmtplib.SMTPException, OSError):
        await smtp.quit(timeout=2)
    smtp.close()
