"""What a browser or a program does with the gateway in more than one of its tests: sign in, fill in, read a refusal."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import httpx

from contracts.billing import CheckoutStarted
from contracts.identity import Contact, Member
from contracts.message import InvoiceId, PaymentId
from tests.integration.gateway.world import World

LINK = {
    "kind": "one_time",
    "currency": "EUR",
    "lines": [{"description": "Consulting", "quantity": "2.5", "unit_amount": 12000}],
    "due_on": "2026-04-01",
    "send_email": True,
}
"""What a program sends to make a payment link."""
CHECKOUT = CheckoutStarted(
    payment_id=PaymentId(UUID(int=7)), checkout_url="https://checkout.example/x", invoice_id=InvoiceId(UUID(int=8))
)
"""Where whoever pays is sent."""


async def signed_in(world: World, who: Member | Contact) -> httpx.AsyncClient:
    """A browser with the session of a person."""
    return world.client(Cookie=f"portal={await world.sign_in(who)}")


async def posted(browser: httpx.AsyncClient, page: str, path: str | None = None, **typed: str) -> httpx.Response:
    """Fill in the form of a page and send it."""
    csrf = re.search(r'name="csrf" value="([^"]+)"', (await browser.get(page)).text)
    assert csrf is not None
    return await browser.post(path or page, data={"csrf": csrf[1]} | typed)


def fields_of(page: str, form_to: str) -> dict[str, str]:
    """What a browser would send of the form to an address, nobody having touched it."""
    form = re.search(rf'<form[^>]*action="{re.escape(form_to)}"[^>]*>(.*?)</form>', page, re.DOTALL)
    assert form is not None, page
    sent = {}
    for tag in re.findall(r"<input[^>]*>", form[1]):
        name, value = re.search(r'name="([^"]+)"', tag), re.search(r'value="([^"]*)"', tag)
        assert name is not None
        sent[name[1]] = value[1] if value else ""
    for name, options in re.findall(r'<select[^>]*name="([^"]+)"[^>]*>(.*?)</select>', form[1], re.DOTALL):
        chosen = re.search(r'value="([^"]*)" selected', options)
        sent[name] = chosen[1] if chosen else ""
    return sent


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """A refusal's document, with the status that it must have."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert {"type", "title", "detail"} <= document.keys()
    return document
