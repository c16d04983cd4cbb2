"""Subscriptions and payment plans: what is charged when, and what pausing, resuming and cancelling change."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from services.billing.domain.periods import Interval, Period
from services.billing.domain.plans import Instalment, equal_instalments
from services.billing.domain.subscriptions import (
    Action,
    By,
    Charge,
    Moved,
    Standing,
    Terms,
    accept,
    after_last_retry,
    cancel,
    charged,
    due,
    next_charge,
    pause,
    pause_problems,
    preview,
    resume,
    terms_problems,
    turn,
    turned,
    turns_on,
    undo_cancel,
    upcoming,
    why_not,
)

MONTHLY = Terms("recurring", "EUR", 10_00, Interval("month"), allow_customer_cancel=True, allow_customer_pause=True)
PLAN = Terms(
    "payment_plan",
    "EUR",
    400_00,
    Interval("month"),
    instalments=equal_instalments("EUR", 400_00, 4),
    allow_customer_cancel=True,
    allow_customer_pause=True,
    plan_on_cancel="owe",
)
CUSTOM = replace(
    PLAN,
    interval=None,
    instalments=(
        Instalment(1, None, 100_00),
        Instalment(2, date(2027, 3, 10), 100_00),
        Instalment(3, date(2027, 5, 20), 200_00),
    ),
)


def day(text: str) -> date:
    return date.fromisoformat(text)


def accepted(terms: Terms, on: str) -> Standing:
    return accept(terms, Standing(instalments=terms.instalments), day(on))


def charged_until(terms: Terms, standing: Standing, on: str) -> Standing:
    while charge := due(terms, standing, day(on)):
        standing = charged(terms, standing, charge)
    return turned(terms, standing, day(on))


def running(terms: Terms, begun: str, today: str) -> Standing:
    return charged_until(terms, accepted(terms, begun), today)


def days(terms: Terms, standing: Standing, count: int = 4) -> list[str]:
    return [charge.on.isoformat() for charge in upcoming(terms, standing, count)]


def refusal(terms: Terms, standing: Standing, action: Action, today: str, by: By = "customer") -> str | None:
    refused = why_not(terms, standing, action, day(today), by)
    return refused.code if refused else None


# What is charged when


def test_nothing_is_charged_before_it_is_accepted() -> None:
    assert next_charge(MONTHLY, Standing()) is None
    assert next_charge(PLAN, Standing(instalments=PLAN.instalments)) is None


def test_the_first_period_is_charged_on_acceptance_and_month_ends_anchor_to_their_day() -> None:
    standing = accepted(MONTHLY, "2027-01-31")
    assert standing == Standing("active", day("2027-01-31"))
    first, second, *_ = upcoming(MONTHLY, standing, 2)
    assert first == Charge(1, day("2027-01-31"), 10_00, Period(day("2027-01-31"), day("2027-02-28")))
    assert second == Charge(2, day("2027-02-28"), 10_00, Period(day("2027-02-28"), day("2027-03-31")))
    assert days(MONTHLY, standing) == ["2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30"]


def test_a_start_in_the_future_is_waited_for_and_one_in_the_past_is_today() -> None:
    terms = replace(MONTHLY, starts_on=day("2027-02-15"))
    assert days(terms, accepted(terms, "2027-01-31"), 2) == ["2027-02-15", "2027-03-15"]
    assert days(terms, accepted(terms, "2027-02-20"), 2) == ["2027-02-20", "2027-03-20"]


def test_a_trial_that_ends_on_a_month_end_anchors_there() -> None:
    terms = replace(MONTHLY, trial_days=30)
    standing = accepted(terms, "2027-01-01")
    assert standing.trial_until == day("2027-01-31")
    assert days(terms, standing, 3) == ["2027-01-31", "2027-02-28", "2027-03-31"]


def test_an_end_after_three_payments_brings_three() -> None:
    terms = replace(MONTHLY, ends_after=3)
    assert days(terms, accepted(terms, "2027-01-31"), 9) == ["2027-01-31", "2027-02-28", "2027-03-31"]


def test_an_end_on_a_day_is_inclusive() -> None:
    for end, count in (("2027-03-30", 2), ("2027-03-31", 3)):
        terms = replace(MONTHLY, ends_on=day(end))
        assert len(days(terms, accepted(terms, "2027-01-31"), 9)) == count


def test_a_subscription_is_completed_when_its_last_period_is_over() -> None:
    terms = replace(MONTHLY, ends_after=2)
    standing = running(terms, "2027-01-31", "2027-03-30")
    assert (standing.status, standing.made) == ("active", 2)
    done = turn(terms, standing, day("2027-03-31"))
    assert done is not None
    assert (done.status, done.ended_on) == ("completed", day("2027-03-31"))
    assert turn(terms, done, day("2030-01-01")) is None


def test_a_plan_is_completed_when_its_last_instalment_has_an_invoice() -> None:
    standing = running(PLAN, "2027-01-31", "2027-04-30")
    assert (standing.status, standing.made, standing.ended_on) == ("completed", 4, day("2027-04-30"))


def test_after_an_outage_charges_come_one_at_a_time_oldest_first() -> None:
    standing = accepted(MONTHLY, "2027-01-31")
    today, seen = day("2027-04-01"), []
    while charge := due(MONTHLY, standing, today):
        seen.append((charge.number, charge.on.isoformat()))
        standing = charged(MONTHLY, standing, charge)
    assert seen == [(1, "2027-01-31"), (2, "2027-02-28"), (3, "2027-03-31")]


def test_the_same_charge_is_not_made_twice() -> None:
    standing = accepted(MONTHLY, "2027-01-31")
    charge = next_charge(MONTHLY, standing)
    assert charge is not None
    with pytest.raises(ValueError, match="Charge 1 of 2027-01-31"):
        charged(MONTHLY, charged(MONTHLY, standing, charge), charge)


def test_custom_instalments_begin_on_acceptance() -> None:
    assert days(CUSTOM, accepted(CUSTOM, "2027-03-02")) == ["2027-03-02", "2027-03-10", "2027-05-20"]


# Pausing


def test_a_pause_skips_the_charges_of_its_days_and_keeps_the_anchor() -> None:
    standing = pause(MONTHLY, running(MONTHLY, "2027-01-31", "2027-02-10"), day("2027-02-10"), None, by="customer")
    assert (standing.status, standing.paused_on) == ("paused", day("2027-02-10"))
    assert next_charge(MONTHLY, standing) is None
    again = resume(MONTHLY, standing, day("2027-04-10"))
    assert again.status == "active"
    assert days(MONTHLY, again, 2) == ["2027-04-30", "2027-05-31"]


def test_a_pause_until_a_day_ends_by_the_calendar() -> None:
    standing = running(MONTHLY, "2027-01-31", "2027-02-10")
    standing = pause(MONTHLY, standing, day("2027-02-10"), day("2027-03-31"), by="customer")
    assert days(MONTHLY, standing, 2) == ["2027-03-31", "2027-04-30"]
    assert turn(MONTHLY, standing, day("2027-03-30")) is None
    back = turn(MONTHLY, standing, day("2027-03-31"))
    assert back is not None
    assert (back.status, back.resumes_on) == ("active", None)
    assert days(MONTHLY, back, 2) == ["2027-03-31", "2027-04-30"]


def test_an_end_that_means_never_can_be_paused_until_resumed_and_ends_on_no_day() -> None:
    terms = replace(MONTHLY, ends_on=date.max)
    paused = pause(terms, running(terms, "2027-01-31", "2027-02-05"), day("2027-02-05"), None, by="customer")
    assert (paused.status, next_charge(terms, paused), turns_on(terms, paused)) == ("paused", None, None)


def test_a_skipped_charge_does_not_count_towards_the_end() -> None:
    terms = replace(MONTHLY, ends_after=3)
    standing = pause(
        terms, running(terms, "2027-01-15", "2027-01-20"), day("2027-01-20"), day("2027-03-01"), by="customer"
    )
    assert days(terms, standing, 9) == ["2027-03-15", "2027-04-15"]


def test_a_pause_today_skips_a_charge_of_today_that_was_not_made_and_none_of_yesterday() -> None:
    standing = pause(MONTHLY, accepted(MONTHLY, "2027-01-31"), day("2027-02-28"), day("2027-03-05"), by="merchant")
    assert days(MONTHLY, standing, 3) == ["2027-01-31", "2027-03-31", "2027-04-30"]
    resumed = turned(MONTHLY, standing, day("2027-03-06"))
    assert resumed.status == "active"
    assert days(MONTHLY, resumed, 3) == ["2027-01-31", "2027-03-31", "2027-04-30"]


def test_a_pause_at_the_periods_end_begins_there_and_can_be_taken_back() -> None:
    standing = running(MONTHLY, "2027-01-31", "2027-02-10")
    scheduled = pause(MONTHLY, standing, day("2027-02-10"), None, when="period_end", by="customer")
    assert (scheduled.status, scheduled.pause_on) == ("active", day("2027-02-28"))
    assert next_charge(MONTHLY, scheduled) is None
    begun = turn(MONTHLY, scheduled, day("2027-02-28"))
    assert begun is not None
    assert (begun.status, begun.paused_on, begun.pause_on) == ("paused", day("2027-02-28"), None)
    assert resume(MONTHLY, scheduled, day("2027-02-11")) == standing


def test_a_paused_plan_moves_its_instalments_and_keeps_their_sum() -> None:
    standing = pause(
        PLAN, running(PLAN, "2027-01-31", "2027-02-10"), day("2027-02-10"), day("2027-04-10"), by="customer"
    )
    assert days(PLAN, standing) == ["2027-04-30", "2027-05-31", "2027-06-30"]
    back = turned(PLAN, standing, day("2027-04-10"))
    assert [each.due_on for each in back.instalments] == [
        day("2027-01-31"),
        day("2027-04-30"),
        day("2027-05-31"),
        day("2027-06-30"),
    ]
    assert sum(each.amount for each in back.instalments) == 400_00


def test_a_pause_must_end_after_it_begins_and_within_two_years() -> None:
    standing = running(MONTHLY, "2027-01-31", "2027-02-10")
    today = day("2027-02-10")
    for until, fields in (
        (None, []),
        ("2027-02-10", ["until"]),
        ("2027-02-11", []),
        ("2029-02-09", []),
        ("2029-02-10", ["until"]),
    ):
        found = pause_problems(MONTHLY, standing, today, day(until) if until else None)
        assert [each.field for each in found] == fields, until
    assert [each.field for each in pause_problems(MONTHLY, standing, today, day("2027-02-28"), "period_end")] == [
        "until"
    ]
    with pytest.raises(ValueError, match="cannot end on"):
        pause(MONTHLY, standing, today, today, by="customer")


# Cancelling


def test_cancelled_now_nothing_more_is_charged() -> None:
    standing = cancel(MONTHLY, running(MONTHLY, "2027-01-31", "2027-02-10"), day("2027-02-10"), "now", by="customer")
    assert (standing.status, standing.ended_on) == ("cancelled", day("2027-02-10"))
    assert next_charge(MONTHLY, standing) is None


def test_cancelled_at_the_periods_end_it_runs_until_what_is_paid_is_over() -> None:
    standing = cancel(
        MONTHLY, running(MONTHLY, "2027-01-31", "2027-02-10"), day("2027-02-10"), "period_end", by="customer"
    )
    assert (standing.status, standing.cancel_on) == ("active", day("2027-02-28"))
    assert next_charge(MONTHLY, standing) is None
    ended = turned(MONTHLY, standing, day("2027-02-28"))
    assert (ended.status, ended.ended_on, ended.cancelled_by) == ("cancelled", day("2027-02-28"), "customer")


def test_the_period_end_of_a_trial_is_its_end() -> None:
    terms = replace(MONTHLY, trial_days=14)
    standing = cancel(terms, accepted(terms, "2027-01-01"), day("2027-01-05"), "period_end", by="customer")
    assert standing.cancel_on == day("2027-01-15")
    assert next_charge(terms, standing) is None


def test_on_the_day_of_a_charge_the_period_end_is_the_one_after() -> None:
    standing = running(MONTHLY, "2027-01-31", "2027-02-10")
    assert cancel(MONTHLY, standing, day("2027-02-28"), "period_end", by="customer").cancel_on == day("2027-03-31")


def test_a_pause_that_has_outlasted_what_is_paid_makes_the_periods_end_today() -> None:
    paused = pause(MONTHLY, running(MONTHLY, "2027-01-31", "2027-02-10"), day("2027-02-10"), None, by="customer")
    early = cancel(MONTHLY, paused, day("2027-02-20"), "period_end", by="customer")
    assert (early.status, early.cancel_on) == ("paused", day("2027-02-28"))
    late = cancel(MONTHLY, paused, day("2027-03-20"), "period_end", by="customer")
    assert (late.status, late.ended_on) == ("cancelled", day("2027-03-20"))


def test_a_cancellation_that_is_undone_has_never_been() -> None:
    standing = pause(
        PLAN, running(PLAN, "2027-01-31", "2027-02-10"), day("2027-02-10"), None, when="period_end", by="customer"
    )
    cancelled = cancel(PLAN, standing, day("2027-02-11"), "period_end", "waive", by="merchant")
    assert cancelled != standing
    assert undo_cancel(PLAN, cancelled, day("2027-02-12")) == standing


def test_a_scheduled_cancellation_beats_a_scheduled_pause() -> None:
    standing = running(MONTHLY, "2027-01-31", "2027-02-10")
    both = pause(MONTHLY, standing, day("2027-02-10"), None, when="period_end", by="customer")
    both = cancel(MONTHLY, both, day("2027-02-11"), "period_end", by="customer")
    assert both.pause_on == both.cancel_on == day("2027-02-28")
    ended = turn(MONTHLY, both, day("2027-02-28"))
    assert ended is not None
    assert (ended.status, ended.pause_on) == ("cancelled", None)
    assert turn(MONTHLY, ended, day("2027-02-28")) is None


def test_the_rest_of_a_plan_is_owed_as_one_last_charge_the_same_day() -> None:
    standing = cancel(PLAN, running(PLAN, "2027-01-31", "2027-02-10"), day("2027-02-10"), "now", by="customer")
    last = due(PLAN, standing, day("2027-02-10"))
    assert last == Charge(2, day("2027-02-10"), 300_00, instalment=2)
    done = charged(PLAN, standing, last)
    assert (done.status, done.made, next_charge(PLAN, done)) == ("cancelled", 2, None)
    assert sum(each.amount for each in done.instalments) == 400_00


def test_the_rest_of_a_plan_is_waived() -> None:
    standing = running(PLAN, "2027-01-31", "2027-02-10")
    standing = cancel(PLAN, standing, day("2027-02-10"), "now", "waive", by="merchant")
    assert next_charge(PLAN, standing) is None
    assert sum(each.amount for each in standing.instalments) == 100_00


def test_a_plan_cancelled_at_its_next_instalment_owes_the_rest_there() -> None:
    standing = running(PLAN, "2027-01-31", "2027-02-10")
    standing = cancel(PLAN, standing, day("2027-02-10"), "period_end", by="customer")
    last = next_charge(PLAN, standing)
    assert last == Charge(2, day("2027-02-28"), 300_00, instalment=2)
    assert last is not None
    done = charged(PLAN, standing, last)
    assert (done.status, next_charge(PLAN, done)) == ("cancelled", None)


def test_an_instalment_that_an_outage_kept_back_stays_its_own_charge_when_the_plan_is_cancelled() -> None:
    standing = cancel(PLAN, accepted(PLAN, "2027-01-31"), day("2027-02-10"), "now", "waive", by="merchant")
    assert upcoming(PLAN, standing, 9) == (Charge(1, day("2027-01-31"), 100_00, instalment=1),)


def test_what_becomes_of_the_rest_must_have_been_decided() -> None:
    ask = replace(PLAN, plan_on_cancel="ask")
    standing = running(ask, "2027-01-31", "2027-02-10")
    assert refusal(ask, standing, "cancel", "2027-02-10") == "rest-undecided"
    assert refusal(ask, standing, "cancel", "2027-02-10", "merchant") is None
    with pytest.raises(ValueError, match="has not been decided"):
        cancel(ask, standing, day("2027-02-10"), "now", by="merchant")


def test_after_the_last_retry_it_is_cancelled_or_kept_as_agreed() -> None:
    standing = running(MONTHLY, "2027-01-31", "2027-02-10")
    assert after_last_retry(MONTHLY, standing, day("2027-02-21")).status == "cancelled"
    assert after_last_retry(replace(MONTHLY, after_last_retry="keep"), standing, day("2027-02-21")) == standing
    ask = replace(PLAN, plan_on_cancel="ask")
    owed = after_last_retry(ask, running(ask, "2027-01-31", "2027-02-10"), day("2027-02-21"))
    assert due(ask, owed, day("2027-02-21")) == Charge(2, day("2027-02-21"), 300_00, instalment=2)
    done = running(PLAN, "2027-01-31", "2027-05-01")
    assert after_last_retry(PLAN, done, day("2027-05-21")) == done


# Who may


@pytest.mark.parametrize("by", ["customer", "merchant"])
def test_nothing_is_done_to_what_has_ended(by: By) -> None:
    actions: tuple[Action, ...] = ("pause", "resume", "cancel", "undo_cancel")
    cancelled = cancel(MONTHLY, running(MONTHLY, "2027-01-31", "2027-02-10"), day("2027-02-10"), "now", by="merchant")
    completed = running(PLAN, "2027-01-31", "2027-05-01")
    assert {refusal(MONTHLY, cancelled, action, "2027-02-11", by) for action in actions} == {"already-cancelled"}
    assert {refusal(PLAN, completed, action, "2027-05-02", by) for action in actions} == {"already-completed"}


def test_a_pause_of_a_cancelled_subscription_says_why_not() -> None:
    ended = cancel(MONTHLY, running(MONTHLY, "2027-01-31", "2027-02-10"), day("2027-02-10"), "now", by="merchant")
    refused = why_not(MONTHLY, ended, "pause", day("2027-02-11"), "merchant")
    assert refused is not None
    assert refused.sentence == "It is cancelled already."


def test_the_customer_may_what_the_merchant_has_allowed_and_the_merchant_may_all() -> None:
    closed = replace(MONTHLY, allow_customer_cancel=False, allow_customer_pause=False)
    standing = running(closed, "2027-01-31", "2027-02-10")
    paused = pause(closed, standing, day("2027-02-10"), None, by="merchant")
    leaving = cancel(closed, standing, day("2027-02-10"), "period_end", by="merchant")
    for state, action, code in (
        (standing, "pause", "pause-not-allowed"),
        (standing, "cancel", "cancel-not-allowed"),
        (paused, "resume", "resume-not-allowed"),
        (leaving, "undo_cancel", "undo-not-allowed"),
    ):
        assert refusal(closed, state, action, "2027-02-11") == code  # type: ignore[arg-type]  # a literal in a tuple is a str to mypy
        assert refusal(closed, state, action, "2027-02-11", "merchant") is None  # type: ignore[arg-type]  # as above


def test_a_customer_does_not_undo_what_the_merchant_did() -> None:
    standing = running(MONTHLY, "2027-01-31", "2027-02-10")
    today = day("2027-02-10")
    assert refusal(MONTHLY, pause(MONTHLY, standing, today, None, by="merchant"), "resume", "2027-02-11") == (
        "resume-not-allowed"
    )
    assert refusal(MONTHLY, pause(MONTHLY, standing, today, None, by="customer"), "resume", "2027-02-11") is None
    leaving = cancel(MONTHLY, standing, today, "period_end", by="merchant")
    assert refusal(MONTHLY, leaving, "undo_cancel", "2027-02-11") == "undo-not-allowed"
    leaving = cancel(MONTHLY, standing, today, "period_end", by="customer")
    assert refusal(MONTHLY, leaving, "undo_cancel", "2027-02-11") is None


def test_the_minimum_term_counts_payments_that_succeeded_and_binds_the_customer_alone() -> None:
    terms = replace(MONTHLY, minimum_payments=3)
    standing = replace(running(terms, "2027-01-31", "2027-05-01"), paid=2)
    refused = why_not(terms, standing, "cancel", day("2027-05-01"), "customer")
    assert refused is not None
    assert refused.sentence == "It can be cancelled after 3 payments; 1 are still to come."
    assert refusal(terms, standing, "cancel", "2027-05-01", "merchant") is None
    assert refusal(terms, replace(standing, paid=3), "cancel", "2027-05-01") is None


def test_what_makes_no_sense_says_why() -> None:
    standing = running(MONTHLY, "2027-01-31", "2027-02-10")
    today = day("2027-02-10")
    paused = pause(MONTHLY, standing, today, None, by="customer")
    leaving = cancel(MONTHLY, standing, today, "period_end", by="customer")
    last = replace(MONTHLY, ends_after=1)
    for terms, state, action, code in (
        (MONTHLY, standing, "resume", "not-paused"),
        (MONTHLY, standing, "undo_cancel", "not-cancelled"),
        (MONTHLY, standing, "accept", "not-pending"),
        (MONTHLY, Standing(), "pause", "not-accepted"),
        (MONTHLY, paused, "pause", "already-paused"),
        (MONTHLY, leaving, "pause", "ends-anyway"),
        (last, standing, "pause", "nothing-left"),
        (replace(MONTHLY, ends_on=day("2027-02-09")), Standing(), "accept", "over"),
    ):
        assert refusal(terms, state, action, "2027-02-10") == code  # type: ignore[arg-type]  # a literal in a tuple is a str to mypy


# Previews


def seen(terms: Terms, standing: Standing, action: Action, today: str, **how: Any) -> tuple[list[str], Any, list[str]]:
    shown = preview(terms, standing, action, day(today), by="customer", **how)
    moves = [(each.old.on.isoformat(), each.new and each.new.on.isoformat()) for each in shown.move]
    return [each.on.isoformat() for each in shown.disappear], moves, [each.on.isoformat() for each in shown.come]


def test_the_preview_of_a_pause_shows_what_is_skipped() -> None:
    standing = running(MONTHLY, "2027-01-31", "2027-02-10")
    assert seen(MONTHLY, standing, "pause", "2027-02-10", until=day("2027-04-01")) == (
        ["2027-02-28", "2027-03-31"],
        [],
        [],
    )


def test_the_preview_of_a_pause_shows_the_charges_that_come_at_the_end_instead() -> None:
    terms = replace(MONTHLY, ends_after=3)
    standing = running(terms, "2027-01-31", "2027-02-10")
    assert seen(terms, standing, "pause", "2027-02-10", until=day("2027-03-01")) == (["2027-02-28"], [], ["2027-04-30"])


def test_the_preview_of_a_plans_pause_shows_old_and_new_days() -> None:
    standing = running(PLAN, "2027-01-31", "2027-02-10")
    assert seen(PLAN, standing, "pause", "2027-02-10", until=day("2027-03-01")) == (
        [],
        [("2027-02-28", "2027-03-31"), ("2027-03-31", "2027-04-30"), ("2027-04-30", "2027-05-31")],
        [],
    )
    assert seen(PLAN, standing, "pause", "2027-02-10")[1] == [
        ("2027-02-28", None),
        ("2027-03-31", None),
        ("2027-04-30", None),
    ]


def test_the_preview_of_resuming_shows_the_days_before_the_pause_and_the_new_ones() -> None:
    paused = pause(PLAN, running(PLAN, "2027-01-31", "2027-02-10"), day("2027-02-10"), None, by="customer")
    shown = preview(PLAN, paused, "resume", day("2027-03-05"), by="customer")
    assert shown.move[0] == Moved(
        Charge(2, day("2027-02-28"), 100_00, instalment=2), Charge(2, day("2027-03-31"), 100_00, instalment=2)
    )
    assert (shown.disappear, len(shown.move), shown.come) == ((), 3, ())


def test_the_preview_of_a_plans_cancellation_shows_the_one_sum_that_comes() -> None:
    standing = running(PLAN, "2027-01-31", "2027-02-10")
    shown = preview(PLAN, standing, "cancel", day("2027-02-10"), by="customer")
    assert [each.on.isoformat() for each in shown.disappear] == ["2027-02-28", "2027-03-31", "2027-04-30"]
    assert shown.come == (Charge(2, day("2027-02-10"), 300_00, instalment=2),)
    assert shown.standing.status == "cancelled"


def test_a_next_charge_that_is_years_away_is_still_shown() -> None:
    terms = replace(MONTHLY, interval=Interval("year", 3))
    standing = running(terms, "2027-01-31", "2027-02-10")
    assert seen(terms, standing, "cancel", "2027-02-10") == (["2030-01-31"], [], [])


# Terms


def fields(terms: Terms) -> list[str]:
    return [each.field for each in terms_problems(terms, day("2027-03-02"))]


def test_good_terms_have_no_problems() -> None:
    assert fields(MONTHLY) == fields(PLAN) == fields(CUSTOM) == []


def test_bad_terms_name_their_fields() -> None:
    assert fields(replace(MONTHLY, interval=Interval("month", 25))) == ["interval.count"]
    assert fields(replace(MONTHLY, interval=None)) == ["interval"]
    assert fields(replace(MONTHLY, trial_days=-1)) == fields(replace(MONTHLY, trial_days=731)) == ["trial_days"]
    assert fields(replace(MONTHLY, ends_after=0)) == ["ends.after"]
    assert fields(replace(MONTHLY, ends_on=day("2027-03-01"))) == ["ends.on"]
    assert fields(replace(MONTHLY, ends_on=day("2027-04-01"), trial_days=31)) == ["ends.on"]
    assert fields(replace(MONTHLY, ends_on=day("2027-04-02"), trial_days=31)) == []
    assert fields(replace(MONTHLY, starts_on=date.max, ends_on=date.max, trial_days=1)) == ["starts_on"]
    assert fields(replace(MONTHLY, starts_on=day("2027-03-01"))) == ["starts_on"]
    assert fields(replace(MONTHLY, starts_on=day("2037-03-03"))) == ["starts_on"]
    assert fields(replace(MONTHLY, ends_after=3, minimum_payments=4)) == ["minimum_payments"]
    assert fields(replace(PLAN, minimum_payments=5)) == ["minimum_payments"]
    assert fields(replace(PLAN, amount=399_00)) == ["instalments"]
    assert fields(replace(PLAN, interval=None)) == ["instalments"]
