"""The SMTP door, and the ways in which tests make it misbehave."""

import asyncio
import time
from enum import StrEnum
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session
from pydantic import BaseModel, ConfigDict, Field

from local.mailbox.store import Store

_LARGEST = 25 * 2**20


class Kind(StrEnum):
    """Where the server misbehaves."""

    REFUSE = "refuse"
    """Nobody listens: the connection is refused."""
    RCPT_4XX = "rcpt_4xx"
    """451 to RCPT TO: try again later."""
    RCPT_5XX = "rcpt_5xx"
    """550 to RCPT TO: no such mailbox."""
    DATA_4XX = "data_4xx"
    """451 after the final dot: not taken, try again later."""
    DATA_5XX = "data_5xx"
    """554 after the final dot: not taken, for good."""
    CUT = "cut"
    """The mail is taken and kept, and the connection cut before the sender hears so."""
    CUT_LOST = "cut_lost"
    """The same to the sender's eyes, but the mail was not kept."""


class Fault(BaseModel):
    """One misbehaviour, until it happened `times` times or `seconds` passed (whichever is set; neither: until cleared)."""

    model_config = ConfigDict(extra="forbid")
    kind: Kind
    to: str = Field("", description="Only for recipients that contain this text; ignored by refuse.")
    times: int | None = Field(None, ge=1, description="Ignored by refuse.")
    seconds: float | None = Field(None, gt=0)


class Door:
    """The listening SMTP server and its faults."""

    def __init__(self, store: Store, host: str, port: int) -> None:
        self.store = store
        self._host, self._port = host, port
        self._server: asyncio.Server | None = None
        self._faults: list[tuple[Fault, float | None]] = []
        self._reopening: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Starts to listen, unless it does."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._session, self._host, self._port)

    async def close(self) -> None:
        """Stops listening; sessions that are open go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def _session(self) -> SMTP:
        return SMTP(
            self, hostname="mailbox.localhost", ident="portal mailbox", enable_SMTPUTF8=True, data_size_limit=_LARGEST
        )

    async def add(self, fault: Fault) -> None:
        """Adds a misbehaviour to those in force."""
        until = None if fault.seconds is None else time.monotonic() + fault.seconds
        self._faults.append((fault, until))
        await self._follow()

    async def clear(self) -> None:
        """Behaves again."""
        self._faults.clear()
        await self._follow()

    @property
    def faults(self) -> list[Fault]:
        """Those in force."""
        now = time.monotonic()
        self._faults = [(fault, until) for fault, until in self._faults if until is None or until > now]
        return [fault for fault, _ in self._faults]

    async def _follow(self) -> None:
        """Listens or not, as the faults say, and looks again when a refusal ends."""
        if self._reopening is not None:
            self._reopening.cancel()
            self._reopening = None
        if not any(fault.kind is Kind.REFUSE for fault in self.faults):
            await self.open()
            return
        await self.close()
        ends = [until for fault, until in self._faults if fault.kind is Kind.REFUSE and until is not None]
        if ends:
            loop = asyncio.get_running_loop()
            delay = max(0.0, min(ends) - time.monotonic()) + 0.01
            self._reopening = loop.call_later(delay, lambda: loop.create_task(self._follow()))

    def _strikes(self, *kinds: Kind, recipients: list[str]) -> Kind | None:
        """The first fault of these kinds that applies, counted as having happened."""
        for fault in self.faults:
            if fault.kind in kinds and any(fault.to in recipient for recipient in recipients):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self._faults = [entry for entry in self._faults if entry[0] is not fault]
                return fault.kind
        return None

    # Called by aiosmtpd; the names are its own.

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Takes any recipient that no fault is about."""
        match self._strikes(Kind.RCPT_4XX, Kind.RCPT_5XX, recipients=[address]):
            case Kind.RCPT_4XX:
                return "451 4.7.1 Greylisted, try again later (asked for by a test)"
            case Kind.RCPT_5XX:
                return "550 5.1.1 No such mailbox (asked for by a test)"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: Any, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Keeps the mail on disk, then says 250 - in this order, so that 250 means kept."""
        kinds = (Kind.DATA_4XX, Kind.DATA_5XX, Kind.CUT, Kind.CUT_LOST)
        strike = self._strikes(*kinds, recipients=envelope.rcpt_tos)
        match strike:
            case Kind.DATA_4XX:
                return "451 4.3.0 Not taken, try again later (asked for by a test)"
            case Kind.DATA_5XX:
                return "554 5.6.0 Not taken (asked for by a test)"
        mail_id = ""
        if strike is not Kind.CUT_LOST:
            content = envelope.original_content or b""
            mail_id = await asyncio.to_thread(self.store.add, envelope.mail_from or "", envelope.rcpt_tos, content)
        if strike is not None:
            server.transport.abort()
        return f"250 2.0.0 Kept as {mail_id}"
