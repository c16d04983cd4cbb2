"""The portal as somebody outside sees it: its public API, the mailbox, and Stripe's hosted page. For demos and tests."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

Json = dict[str, Any]


class ApiError(Exception):
    """The portal answered with a problem document."""

    def __init__(self, status: int, problem: Json) -> None:
        super().__init__(f"{status} {problem.get('title')}: {problem.get('detail')} {problem.get('errors', '')}")
        self.status = status
        self.problem = problem


@dataclass
class Portal:
    """One person's API session. `sign_in` first, or `accept` an invitation."""

    base: str
    token: str | None = None
    # No connection outlives its call, so that nobody has to close a Portal.
    http: httpx.Client = field(
        default_factory=lambda: httpx.Client(timeout=20, limits=httpx.Limits(max_keepalive_connections=0))
    )

    def call(self, method: str, path: str, body: Json | None = None, *, key: str | None = None, **query: str) -> Any:
        """One call of the API: JSON in, JSON (or bytes) out. Raises ApiError."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if key:
            headers["Idempotency-Key"] = key
        given = {name: value for name, value in query.items() if value}
        url = f"{self.base}/api/v1{path}"
        return self._read(self.http.request(method, url, json=body, headers=headers, params=given))

    def upload(self, path: str, content: bytes, content_type: str, *, key: str | None = None) -> Any:
        """PUT a file."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}
        if key:
            headers["Idempotency-Key"] = key
        return self._read(self.http.put(f"{self.base}/api/v1{path}", content=content, headers=headers))

    @staticmethod
    def _read(answer: httpx.Response) -> Any:
        is_json = "json" in answer.headers.get("content-type", "")
        if answer.status_code >= 400:
            raise ApiError(answer.status_code, answer.json() if is_json else {"title": answer.text[:200]})
        return answer.json() if is_json else answer.content

    def sign_in(self, email: str, password: str) -> Self:
        """Start a session."""
        self.token = self.call("POST", "/session", {"email": email, "password": password})["token"]
        return self

    def accept(self, token: str, name: str, password: str) -> Self:
        """Use an invitation's link; the answer is a session."""
        answer = self.call("POST", "/invitations/accept", {"token": token, "name": name, "password": password})
        self.token = answer.get("token")
        if self.token is None:
            raise ApiError(500, {"title": "No session came with the accepted invitation."})
        return self

    def everything(self, path: str, **query: str) -> list[Json]:
        """Every item of a list, page after page."""
        items: list[Json] = []
        cursor = ""
        while True:
            page = self.call("GET", path, None, key=None, cursor=cursor, **query)
            items += page["items"]
            cursor = page["next_cursor"] or ""
            if not cursor:
                return items


@dataclass
class Mailbox:
    """The local mailbox' API."""

    base: str

    def wait(self, to: str, contains: str, *, seconds: float = 30, newer_than: int = 0) -> Json:
        """The newest mail to `to` whose subject or text holds `contains`, once more than `newer_than` such have come."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            mails = httpx.get(f"{self.base}/api/mails", params={"to": to}, timeout=10).json()
            fitting = [mail for mail in mails if contains in mail["subject"] + (mail["text"] or "")]
            if len(fitting) > newer_than:
                newest: Json = max(fitting, key=lambda mail: str(mail["received_at"]))
                return newest
            time.sleep(0.1)
        raise TimeoutError(f"No mail to {to} with {contains!r} within {seconds} s.")


def link_in(mail: Json, path: str) -> str:
    """The first link of a mail whose path begins with `path`."""
    for link in mail["links"]:
        if urlsplit(link).path.startswith(path):
            return str(link)
    raise LookupError(f"No link to {path} in the mail {mail['subject']!r}: {mail['links']}")


def token_in(link: str) -> str:
    """The secret at the end of a link."""
    return urlsplit(link).path.rsplit("/", 1)[-1]


def pay_at_checkout(checkout_url: str, card: str) -> httpx.Response:
    """Fill in Stripe's hosted page as a browser would: 303 back to the portal, or the page again with why not."""
    form = {"card_number": card, "expiry": "12/34", "cvc": "123", "cardholder": "Demo Customer"}
    return httpx.post(checkout_url, data=form, timeout=20)


def alert_in(page: str) -> str:
    """The text of a page's first alert."""
    found = re.search(r'role="alert"[^>]*>(.*?)</', page, re.DOTALL)
    return re.sub(r"<[^>]+>|\s+", " ", found.group(1)).strip() if found else ""
