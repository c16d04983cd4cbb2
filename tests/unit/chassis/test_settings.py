"""What a service reads from its environment."""

import pytest
from pydantic import ValidationError

from chassis.ids import new_id
from chassis.settings import ServiceSettings
from chassis.tokens import derive, digest

BASE = {"PORTAL_DATABASE_URL": "postgresql://a/all", "PORTAL_AMQP_URL": "amqp://u:p@b/v", "PORTAL_SECRET_KEY": "k" * 16}


def load(monkeypatch: pytest.MonkeyPatch, **more: str) -> ServiceSettings:
    for name, value in (BASE | more).items():
        monkeypatch.setenv(name, value)
    return ServiceSettings.load("billing")


def test_a_services_own_variable_beats_the_common_one(monkeypatch: pytest.MonkeyPatch) -> None:
    own = "postgresql://a/billing"
    assert load(monkeypatch, PORTAL_BILLING_DATABASE_URL=own, PORTAL_TODOS_DATABASE_URL="x").database_url == own


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in BASE:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValidationError) as unset:
        ServiceSettings.load("billing")
    assert [error["loc"] for error in unset.value.errors()] == [("database_url",), ("amqp_url",), ("secret_key",)]


def test_the_secret_key_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "kkkk" not in repr(load(monkeypatch))


def test_who_a_message_must_come_from_follows_from_our_own_broker_user(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, PORTAL_AMQP_URL="amqp://portal_billing:p@b/v").broker_user("todos") == "portal_todos"
    assert load(monkeypatch, PORTAL_AMQP_URL="amqp://shared:p@b/v").broker_user("todos") == "shared"
    named = load(monkeypatch, PORTAL_AMQP_URL="amqp://x:p@b/v", PORTAL_BROKER_USERS="todos=carol,billing=dave")
    assert named.broker_user("todos") == "carol"


def test_a_links_token_follows_from_key_kind_subject_and_generation_alone() -> None:
    subject = new_id()
    token = derive("key", "pay_link", subject, 1)
    assert token == derive("key", "pay_link", subject, 1)
    assert len(token) == 43
    others = {
        derive("other", "pay_link", subject, 1),
        derive("key", "invitation", subject, 1),
        derive("key", "pay_link", new_id(), 1),
        derive("key", "pay_link", subject, 2),
    }
    assert token not in others
    assert len(others) == 4
    assert len(digest(token)) == 64
