"""When a declined charge is tried again."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.billing.domain.dunning import Policy, hard, next_try, policy_problems

FAILED = datetime(2027, 3, 26, 8, 0, 3, tzinfo=UTC)


def all_tries(policy: Policy, failed_at: datetime, zone: str) -> list[datetime]:
    """Each try of a charge that fails at the very moment of each of them."""
    tries: list[datetime] = []
    now = failed_at
    while (at := next_try(policy, len(tries) + 1, failed_at, now, zone)) is not None:
        tries.append(at)
        now = at
    return tries


def test_retries_are_two_seven_fourteen_and_twenty_one_days_after_the_first_failure_at_nine() -> None:
    # The clocks of Berlin change on 28 March: nine o'clock stays nine o'clock.
    assert all_tries(Policy(), FAILED, "Europe/Berlin") == [
        datetime(2027, 3, 28, 7, tzinfo=UTC),
        datetime(2027, 4, 2, 7, tzinfo=UTC),
        datetime(2027, 4, 9, 7, tzinfo=UTC),
        datetime(2027, 4, 16, 7, tzinfo=UTC),
    ]


def test_cards_declined_between_two_retry_days_use_up_none_of_them() -> None:
    first = datetime(2027, 3, 28, 7, tzinfo=UTC)
    same_day = [next_try(Policy(), failures, FAILED, FAILED, "Europe/Berlin") for failures in (1, 2, 5, 9)]
    assert same_day == [first, first, first, first]
    last = datetime(2027, 4, 16, 7, tzinfo=UTC)
    assert next_try(Policy(), 9, FAILED, last - timedelta(seconds=1), "Europe/Berlin") == last
    assert next_try(Policy(), 9, FAILED, last, "Europe/Berlin") is None


def test_an_outage_that_outlasts_the_last_day_leaves_a_try_a_day_until_each_step_was_taken() -> None:
    late = datetime(2027, 5, 1, 12, tzinfo=UTC)
    assert next_try(Policy(), 2, FAILED, late, "UTC") == datetime(2027, 5, 2, 9, tzinfo=UTC)
    assert next_try(Policy(), 5, FAILED, late, "UTC") is None


def test_the_days_count_from_the_day_of_the_failure_where_the_merchant_is() -> None:
    late = datetime(2027, 3, 1, 23, 30, tzinfo=UTC)
    assert next_try(Policy((1,)), 1, late, late, "UTC") == datetime(2027, 3, 2, 9, tzinfo=UTC)
    assert next_try(Policy((1,)), 1, late, late, "Asia/Tokyo") == datetime(2027, 3, 3, 0, tzinfo=UTC)


def test_a_policy_without_retries_is_exhausted_at_once() -> None:
    assert next_try(Policy(()), 1, FAILED, FAILED, "UTC") is None


@given(
    st.lists(st.integers(1, 60), unique=True, max_size=8).map(lambda days: tuple(sorted(days))),
    st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis wants bounds without a zone
    st.sampled_from(["Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia", "nowhere"]),
)
def test_there_are_as_many_retries_as_days_each_after_the_last_and_after_the_failure(
    days: tuple[int, ...], failed_at: datetime, zone: str
) -> None:
    assert policy_problems(days) == []
    moments = [failed_at, *all_tries(Policy(days), failed_at, zone)]
    assert moments == sorted(set(moments))
    assert len(moments) == len(days) + 1


@pytest.mark.parametrize("code", ["stolen_card", "lost_card", "pickup_card", "fraudulent", "expired_card"])
def test_a_card_that_will_never_work_is_not_tried_again(code: str) -> None:
    assert hard(code)


@pytest.mark.parametrize(
    "code", ["insufficient_funds", "generic_decline", "try_again_later", "authentication_required", None]
)
def test_any_other_decline_is_tried_again(code: str | None) -> None:
    assert not hard(code)


@pytest.mark.parametrize("days", [(0,), (61,), (7, 2), (2, 2), tuple(range(1, 10))])
def test_days_out_of_order_or_range_are_refused_by_name(days: tuple[int, ...]) -> None:
    assert [(each.field, each.code) for each in policy_problems(days)] == [("retry_days", "retry-days-out-of-range")]
