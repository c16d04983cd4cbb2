"""What becomes of a mail."""

from datetime import UTC, date, datetime, timedelta

import pytest

from services.notifications.domain import (
    PAUSES,
    Accepted,
    Doubtful,
    Later,
    Outcome,
    Rejected,
    Unanswered,
    Untrue,
    Verdict,
    judge,
    notice_is_due,
    receipt_recipients,
)

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (Accepted(), Verdict("accepted", None, 3)),
        (Doubtful("cut"), Verdict("in_doubt", "cut", 3)),
        (Rejected("550"), Verdict("failed", "550", 3)),
        (Untrue("paid"), Verdict("dropped", "paid", 3)),
    ],
)
def test_an_answer_ends_a_mail(outcome: Outcome, verdict: Verdict) -> None:
    assert judge(outcome, tries=3, queued_at=NOW, now=NOW) == verdict


def test_a_temporary_refusal_is_tried_again_for_a_day_and_then_failed() -> None:
    now, tries = NOW, 0
    while (verdict := judge(Later("451"), tries=tries, queued_at=NOW, now=now)).status == "queued":
        assert verdict.due_at is not None
        assert verdict.due_at > now
        assert verdict.tries == tries + 1
        now, tries = verdict.due_at, verdict.tries
    assert verdict == Verdict("failed", "Tried for a day. 451", len(PAUSES))
    assert timedelta(hours=22) < now - NOW < timedelta(hours=26)


def test_an_owner_that_does_not_answer_is_asked_for_ever_and_costs_no_try() -> None:
    for age, pause in ((0, 1), (20, 5), (3600, 30), (10**6, 30)):
        verdict = judge(Unanswered("silent"), tries=2, queued_at=NOW - timedelta(seconds=age), now=NOW)
        assert verdict == Verdict("queued", "silent", 2, NOW + timedelta(seconds=pause))


@pytest.mark.parametrize(
    ("contacts", "customer", "recipients"),
    [
        ([], "sam@x.example", ["sam@x.example"]),
        ([("member", "eve@x.example")], "sam@x.example", ["sam@x.example"]),
        ([("owner", "a@x.example"), ("billing", "b@x.example")], "sam@x.example", ["a@x.example", "b@x.example"]),
        ([("owner", "a@x.example"), ("billing", "A@X.example")], "sam@x.example", ["a@x.example"]),
        ([("owner", None)], "sam@x.example", ["sam@x.example"]),
        ([], None, []),
    ],
)
def test_a_receipt_goes_to_those_who_look_after_money(
    contacts: list[tuple[str, str | None]], customer: str | None, recipients: list[str]
) -> None:
    assert receipt_recipients(contacts, customer) == recipients


@pytest.mark.parametrize(
    ("charged", "last", "notice", "due"),
    [
        (date(2026, 5, 13), date(2026, 4, 13), 3, True),  # three days ahead
        (date(2026, 5, 14), date(2026, 4, 14), 3, False),  # not yet
        (date(2026, 5, 11), date(2026, 4, 11), 3, True),  # we were not there on the day
        (date(2026, 5, 10), date(2026, 4, 10), 3, False),  # charged today: too late to announce
        (date(2026, 5, 11), date(2026, 5, 10), 3, False),  # every day
        (date(2026, 5, 13), None, 3, True),  # the first charge, after a trial
        (date(2026, 5, 13), date(2026, 4, 13), 0, False),  # the merchant wants none
    ],
)
def test_a_charge_is_announced_once_its_notice_has_begun(
    charged: date, last: date | None, notice: int, due: bool
) -> None:
    assert notice_is_due(charged, last, notice, date(2026, 5, 10)) is due
