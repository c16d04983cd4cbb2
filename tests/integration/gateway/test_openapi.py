"""The API's own document: valid, complete, and with a sentence for every pattern."""

import json

import schemathesis

from services.gateway.api.errors import PATTERNS
from tests.integration.gateway.world import World

ISSUE = """\
POST /api/v1/session · GET /api/v1/session · DELETE /api/v1/session · PUT /api/v1/session/account ·
GET /api/v1/customers · POST /api/v1/customers · GET /api/v1/customers/{customer_id} ·
PATCH /api/v1/customers/{customer_id} · POST /api/v1/customers/{customer_id}/invitations ·
POST /api/v1/invitations/accept · POST /api/v1/customers/{customer_id}/payment-links · GET /api/v1/invoices ·
GET /api/v1/invoices/{invoice_id} · POST /api/v1/invoices/{invoice_id}/link · POST /api/v1/invoices/{invoice_id}/pay ·
POST /api/v1/invoices/{invoice_id}/link/renew · POST /api/v1/invoices/{invoice_id}/link/revoke ·
POST /api/v1/invoices/{invoice_id}/replace · GET /api/v1/billing-defaults · PATCH /api/v1/billing-defaults ·
POST /api/v1/invoices/{invoice_id}/open · POST /api/v1/invoices/{invoice_id}/send ·
POST /api/v1/invoices/{invoice_id}/refunds · GET /api/v1/refunds · GET /api/v1/disputes · GET /api/v1/reconciliation ·
GET /api/v1/invoices/{invoice_id}/credit-notes/{refund_id}.pdf ·
POST /api/v1/invoices/{invoice_id}/void · POST /api/v1/invoices/{invoice_id}/give-up ·
GET /api/v1/invoices/{invoice_id}/invoice.pdf · GET /api/v1/invoices/{invoice_id}/receipt.pdf ·
GET /api/v1/statements · GET /api/v1/statements/statement.pdf · GET /api/v1/statements/statement.csv ·
GET /api/v1/payment-methods · POST /api/v1/payment-methods · GET /api/v1/payment-methods/{payment_method_id} ·
PATCH /api/v1/payment-methods/{payment_method_id} · DELETE /api/v1/payment-methods/{payment_method_id} ·
POST /api/v1/payment-methods/{payment_method_id}/default ·
GET /api/v1/todos · POST /api/v1/todos · GET /api/v1/todos/{todo_id} · PATCH /api/v1/todos/{todo_id} ·
DELETE /api/v1/todos/{todo_id} · GET /api/v1/merchant · PATCH /api/v1/merchant · PUT /api/v1/merchant/logo ·
DELETE /api/v1/merchant/logo · GET /api/v1/changes · GET /api/v1/subscriptions ·
GET /api/v1/subscriptions/{subscription_id} · GET /api/v1/subscriptions/{subscription_id}/invoices ·
POST /api/v1/subscriptions/{subscription_id}/preview · POST /api/v1/subscriptions/{subscription_id}/pause ·
POST /api/v1/subscriptions/{subscription_id}/resume · POST /api/v1/subscriptions/{subscription_id}/cancel ·
POST /api/v1/subscriptions/{subscription_id}/undo-cancel · POST /api/v1/subscriptions/{subscription_id}/ask ·
POST /api/v1/subscriptions/{subscription_id}/send · PATCH /api/v1/subscriptions/{subscription_id} ·
POST /api/v1/subscriptions/{subscription_id}/link · POST /api/v1/subscriptions/{subscription_id}/link/renew ·
POST /api/v1/subscriptions/{subscription_id}/link/revoke"""


async def test_every_pattern_of_the_api_has_a_sentence(world: World) -> None:
    async with world.client() as browser:
        document = (await browser.get("/api/v1/openapi.json")).text
    asked = set()
    json.loads(document, object_hook=lambda found: asked.add(str(found.get("pattern"))))
    assert asked - {"None"} == PATTERNS.keys()


async def test_the_openapi_document_is_valid_and_complete(world: World) -> None:
    async with world.client() as browser:
        document = (await browser.get("/api/v1/openapi.json")).json()
    schemathesis.openapi.from_dict(document).validate()
    operations = [
        (method.upper(), path, each) for path, found in document["paths"].items() for method, each in found.items()
    ]
    assert {f"{method} {path}" for method, path, _ in operations} == {each.strip() for each in ISSUE.split("·")}
    assert len({each["operationId"] for *_, each in operations}) == len(operations)
    for method, path, each in operations:
        assert each["summary"], path
        assert {"500", "503"} <= each["responses"].keys(), path
        assert each["security"] == [] or {"401", "403"} <= each["responses"].keys(), (method, path)
        for status, answer in each["responses"].items():
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"], (method, path, status)
        if method == "POST":
            assert "idempotency-key" in {parameter["name"] for parameter in each["parameters"]}, path
    public = {path for _, path, each in operations if each["security"] == []}
    assert public == {"/api/v1/session", "/api/v1/invitations/accept"}
