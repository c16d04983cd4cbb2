from datetime import UTC, datetime, timedelta

import pytest

from services.identity.domain.invitations import LIFETIME, Dead, Status, explain, renewable, why_dead

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def test_an_invitation_lives_for_seven_days() -> None:
    assert timedelta(days=7) == LIFETIME


def test_a_pending_invitation_can_be_used_until_its_time_is_over() -> None:
    assert why_dead("pending", LATER, shut_out=False, now=NOW) is None
    assert why_dead("pending", LATER, shut_out=False, now=LATER - timedelta(microseconds=1)) is None
    assert why_dead("pending", LATER, shut_out=False, now=LATER) == "expired"


def test_a_customer_who_is_shut_out_has_no_open_invitation() -> None:
    assert why_dead("pending", LATER, shut_out=True, now=NOW) == "revoked"


@pytest.mark.parametrize("status", ["accepted", "revoked", "expired", "superseded"])
def test_what_has_ended_stays_ended(status: Status) -> None:
    assert why_dead(status, LATER, shut_out=False, now=NOW) == status


def test_a_fresh_mail_follows_an_unused_link_but_not_a_used_or_revoked_one() -> None:
    statuses: list[Status] = ["pending", "accepted", "revoked", "expired", "superseded"]
    assert [status for status in statuses if renewable(status)] == ["pending", "expired"]


def test_every_dead_link_says_why_in_words_of_its_own() -> None:
    reasons: list[Dead] = ["accepted", "revoked", "expired", "superseded", "unknown"]
    assert len({explain(why) for why in reasons}) == 5
