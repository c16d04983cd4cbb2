from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.identity.domain.limits import (
    FRESH_MAILS,
    LONGEST_WINDOW,
    PER_ACCOUNT,
    PER_NETWORK_ADDRESS,
    Limit,
    retry_after,
)

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
THREE_A_MINUTE = Limit(3, timedelta(minutes=1))


def ago(*seconds: float) -> list[datetime]:
    return [NOW - timedelta(seconds=each) for each in seconds]


def test_the_limits_are_ten_per_account_and_fifty_per_address_in_a_quarter_of_an_hour() -> None:
    assert Limit(10, timedelta(minutes=15)) == PER_ACCOUNT
    assert Limit(50, timedelta(minutes=15)) == PER_NETWORK_ADDRESS


def test_no_limit_looks_further_back_than_attempts_are_kept() -> None:
    assert max(limit.window for limit in (PER_ACCOUNT, PER_NETWORK_ADDRESS, FRESH_MAILS)) == LONGEST_WINDOW


def test_fewer_attempts_than_the_limit_are_free() -> None:
    assert retry_after(THREE_A_MINUTE, [], NOW) is None
    assert retry_after(THREE_A_MINUTE, ago(50, 10), NOW) is None


def test_a_full_window_opens_when_its_oldest_attempt_leaves() -> None:
    assert retry_after(THREE_A_MINUTE, ago(50, 10, 5), NOW) == 10
    assert retry_after(THREE_A_MINUTE, ago(5, 50, 10), NOW) == 10
    assert retry_after(THREE_A_MINUTE, ago(59.5, 10, 5), NOW) == 1


def test_attempts_outside_the_window_do_not_count() -> None:
    assert retry_after(THREE_A_MINUTE, ago(60, 10, 5), NOW) is None


def test_more_attempts_than_the_limit_wait_for_enough_of_them_to_leave() -> None:
    assert retry_after(THREE_A_MINUTE, ago(50, 40, 30, 20), NOW) == 20


@given(st.lists(st.floats(min_value=0, max_value=200), max_size=30))
def test_waiting_exactly_as_long_as_told_is_enough_and_never_needless(seconds: list[float]) -> None:
    attempts = ago(*seconds)
    wait = retry_after(THREE_A_MINUTE, attempts, NOW)
    if wait is None:
        return
    assert retry_after(THREE_A_MINUTE, attempts, NOW + timedelta(seconds=wait)) is None
    assert retry_after(THREE_A_MINUTE, attempts, NOW + timedelta(seconds=wait - 1)) is not None
