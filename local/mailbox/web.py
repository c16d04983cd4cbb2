"""The inbox: pages for a person, JSON for tests, and the switch for faults."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from local.mailbox.smtp import Door, Fault
from local.mailbox.store import Mail, Store

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
)
# Our own pages: no script at all, one style sheet, the frame with the mail.
_PAGE = "default-src 'none'; style-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
# A mail is a stranger's HTML: it may look like something, show pictures and open links in a new tab. Nothing else.
_MAIL = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src * data:; font-src data:; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)
_CID = re.compile(r"cid:([^\"'\s)>]+)", re.IGNORECASE)


def application(store: Store, door: Door) -> FastAPI:
    """The web application; its lifespan opens and closes the SMTP door."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await door.open()
        yield
        await door.close()

    app = FastAPI(title="Mailbox", lifespan=lifespan, docs_url=None, redoc_url=None)
    # Another web page in the same browser must not read the mails through a name of its own that leads to loopback.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "mailbox"])

    @app.middleware("http")
    async def secure(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers.setdefault("Content-Security-Policy", _PAGE)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    _pages(app, store)
    _api(app, store, door)
    return app


def _pages(app: FastAPI, store: Store) -> None:
    def found(mail_id: str) -> Mail:
        mail = store.get(mail_id)
        if mail is None:
            raise HTTPException(404, "No such mail.")
        return mail

    @app.get("/", response_class=HTMLResponse)
    def inbox(to: str = "") -> str:
        return _TEMPLATES.get_template("inbox.html").render(mails=store.all(to), to=to)

    @app.get("/style.css")
    def style() -> Response:
        return Response((Path(__file__).parent / "style.css").read_bytes(), media_type="text/css")

    @app.get("/mails/{mail_id}", response_class=HTMLResponse)
    def mail(mail_id: str, view: str = "") -> str:
        shown = found(mail_id)
        view = view or ("html" if shown.html else "text")
        return _TEMPLATES.get_template("mail.html").render(mail=shown, view=view)

    @app.get("/mails/{mail_id}/html")
    def body(mail_id: str) -> HTMLResponse:
        pictures = _CID.sub(lambda match: f"/mails/{mail_id}/parts/{quote(match[1])}", found(mail_id).html)
        return HTMLResponse(f'<base target="_blank">{pictures}', headers={"Content-Security-Policy": _MAIL})

    @app.get("/mails/{mail_id}/raw", response_class=PlainTextResponse)
    def raw(mail_id: str) -> Response:
        return Response(found(mail_id).raw, media_type="text/plain; charset=utf-8")

    @app.get("/mails/{mail_id}/parts/{name:path}")
    def part(mail_id: str, name: str) -> Response:
        """An attachment by its file name, or an embedded picture by its Content-ID."""
        for attachment in found(mail_id).attachments:
            if name in {attachment.name, attachment.content_id}:
                headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(attachment.name)}"}
                return Response(attachment.content, media_type=attachment.content_type, headers=headers)
        raise HTTPException(404, "No such part.")


def _api(app: FastAPI, store: Store, door: Door) -> None:
    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/api/mails")
    def mails(to: str = "") -> list[dict[str, Any]]:
        """Every mail, newest first; `to` = one envelope recipient, whole address."""
        return [_as_json(mail) for mail in store.all(to)]

    @app.delete("/api/mails", status_code=204)
    def clear() -> None:
        store.clear()

    @app.get("/_faults")
    def faults() -> list[Fault]:
        return door.faults

    @app.post("/_faults", status_code=201)
    async def add_fault(fault: Fault) -> list[Fault]:
        await door.add(fault)
        return door.faults

    @app.delete("/_faults", status_code=204)
    async def clear_faults() -> None:
        await door.clear()


def _as_json(mail: Mail) -> dict[str, Any]:
    return {
        "id": mail.id,
        "received_at": mail.received_at.isoformat(),
        "from": mail.header("From"),
        "to": mail.recipients,
        "return_path": mail.return_path,
        "subject": mail.header("Subject"),
        "message_id": mail.header("Message-ID").strip(),
        "headers": [[name, str(value)] for name, value in mail.message.items()],
        "text": mail.text,
        "html": mail.html,
        "links": mail.links,
        "attachments": [
            {"name": part.name, "content_type": part.content_type, "size": len(part.content)}
            for part in mail.attachments
        ],
    }
