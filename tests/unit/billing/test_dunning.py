"""When a declined charge is tried again."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.billing.domain.dunning import Policy, hard, next_try, policy_problems

FAILED = datetime(2027, 3, 26, 8, 0, 3, tzinfo=UTC)


def test_retries_are_two_seven_fourteen_and_twenty_one_days_after_the_first_failure_at_nine() -> None:
    # The clocks of Berlin change on 28 March: nine o'clock stays nine o'clock.
    assert [next_try(Policy(), failures, FAILED, "Europe/Berlin") for failures in range(1, 6)] == [
        datetime(2027, 3, 28, 7, tzinfo=UTC),
        datetime(2027, 4, 2, 7, tzinfo=UTC),
        datetime(2027, 4, 9, 7, tzinfo=UTC),
        datetime(2027, 4, 16, 7, tzinfo=UTC),
        None,
    ]


def test_the_days_count_from_the_day_of_the_failure_where_the_merchant_is() -> None:
    late = datetime(2027, 3, 1, 23, 30, tzinfo=UTC)
    assert next_try(Policy((1,)), 1, late, "UTC") == datetime(2027, 3, 2, 9, tzinfo=UTC)
    assert next_try(Policy((1,)), 1, late, "Asia/Tokyo") == datetime(2027, 3, 3, 0, tzinfo=UTC)


def test_a_policy_without_retries_is_exhausted_at_once() -> None:
    assert next_try(Policy(()), 1, FAILED, "UTC") is None


@given(
    st.lists(st.integers(1, 60), unique=True, max_size=8).map(lambda days: tuple(sorted(days))),
    st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis wants bounds without a zone
    st.sampled_from(["Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia", "nowhere"]),
)
def test_there_are_as_many_retries_as_days_each_after_the_last_and_after_the_failure(
    days: tuple[int, ...], failed_at: datetime, zone: str
) -> None:
    assert policy_problems(days) == []
    tries = [next_try(Policy(days), failures, failed_at, zone) for failures in range(1, len(days) + 3)]
    assert tries[len(days) :] == [None, None]
    moments = [failed_at, *[each for each in tries if each]]
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
