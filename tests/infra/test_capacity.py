"""The limits of a stage follow from Lambda's limit of concurrent executions."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import OperatorError
from infra.aws import capacity

CONCURRENCY = st.integers(min_value=1, max_value=100_000)


def account(limit, unreserved=None):
    """An account with this limit of concurrent executions."""
    unreserved = limit if unreserved is None else unreserved
    limits = {"ConcurrentExecutions": limit, "UnreservedConcurrentExecutions": unreserved}
    functions = SimpleNamespace(get_account_settings=lambda: {"AccountLimit": limits})
    return SimpleNamespace(account="1" * 12, region="eu-west-1", client=lambda _: functions)


def stage(reserved=None):
    return SimpleNamespace(name="dev", reserved_concurrency=reserved)


@pytest.mark.parametrize(
    ("limit", "unreserved", "reserved", "concurrency"),
    [
        (10, 10, None, 10),
        (1_000, 1_000, None, 1_000),
        (1_000, 400, None, 400),  # other functions have reserved 600
        (1_000, 950, 50, 50),
        (150, 150, 50, 50),
        (1_000, 1_000, 0, 0),
    ],
)
def test_concurrency_is_reserved_or_what_no_function_has_reserved(
    limit, unreserved, reserved, concurrency
):
    assert capacity.read_concurrency(account(limit, unreserved), stage(reserved)) == concurrency


@pytest.mark.parametrize(("limit", "reserved"), [(10, 1), (10, 10), (149, 50), (1_000, 901)])
def test_reservation_that_lambda_would_refuse_is_refused(limit, reserved):
    with pytest.raises(OperatorError) as refused:
        capacity.read_concurrency(account(limit), stage(reserved))

    message = str(refused.value)
    assert message.startswith(f"Stage dev sets reserved_concurrency to {reserved}, but Lambda")
    assert f"only {limit} concurrent executions in account 111111111111, eu-west-1" in message
    assert "--quota-code L-B99A9384" in message


def test_hint_for_a_new_account_names_the_throttles_and_how_to_raise_the_limit():
    assert capacity.describe_low(account(10), stage(), 10) == (
        "Lambda allows only 10 concurrent executions in account 111111111111, eu-west-1, so each "
        "callback route is limited to 100 requests/s and every other method to 10. To raise both, "
        "request a higher limit: aws service-quotas request-service-quota-increase --service-code "
        "lambda --quota-code L-B99A9384 --desired-value 1000"
    )


@pytest.mark.parametrize(("concurrency", "reserved"), [(100, None), (1_000, None), (20, 20)])
def test_sufficient_or_reserved_concurrency_needs_no_hint(concurrency, reserved):
    assert capacity.describe_low(account(1_000), stage(reserved), concurrency) is None


@given(concurrency=CONCURRENCY)
def test_throttled_requests_fit_into_the_concurrency(concurrency):
    callback = capacity.callback_throttle(concurrency)
    default = capacity.default_throttle(concurrency)
    assert callback.rate * capacity.CALLBACK_SECONDS <= concurrency
    assert callback.burst <= concurrency
    # One method for other clients leaves half of the concurrency to callbacks.
    assert default.rate * capacity.DEFAULT_SECONDS <= max(concurrency / 2, 0.5)
    assert default.burst <= max(concurrency / 2, 1)
    assert callback.rate > default.rate
    assert 1 <= capacity.alarm_threshold(concurrency) <= concurrency


@given(concurrency=CONCURRENCY, more=CONCURRENCY)
def test_more_concurrency_never_lowers_a_limit(concurrency, more):
    for throttle in (capacity.callback_throttle, capacity.default_throttle):
        low, high = throttle(concurrency), throttle(concurrency + more)
        assert high.rate >= low.rate
        assert high.burst >= low.burst
    assert capacity.alarm_threshold(concurrency + more) >= capacity.alarm_threshold(concurrency)


def test_enough_concurrency_reduces_no_rate():
    enough, less = capacity.ENOUGH, capacity.ENOUGH - 1
    assert capacity.callback_throttle(enough).rate == capacity.MAX_CALLBACK_THROTTLE.rate
    assert capacity.default_throttle(enough).rate == capacity.MAX_DEFAULT_THROTTLE.rate
    assert capacity.callback_throttle(less).rate < capacity.MAX_CALLBACK_THROTTLE.rate
