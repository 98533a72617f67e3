"""The budget of a sweep limits its steps and retries, and is shared by its threads."""

import itertools
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import sleep
from typing import Any

import pytest

from chalicelib.domain.errors import (
    AppError,
    BadRequest,
    StoreUnavailable,
    TaskRouterDenied,
    TaskRouterError,
    TaskRouterNotFound,
    TaskRouterNotSent,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.usecases.run_budget import CONCURRENCY, MAX_REASONS, RunBudget
from tests.support import ManualClock


class SlowCounter(Counter[str]):
    """A counter that pauses after each read, so that other threads run before the next write."""

    def __getitem__(self, name: str) -> int:
        count = super().__getitem__(name)
        sleep(0.001)
        return count


class SlowList(list[str]):
    """A list that pauses after each search, so that other threads run before the result is used."""

    def __contains__(self, reason: object) -> bool:
        contains = super().__contains__(reason)
        sleep(0.001)
        return contains


@pytest.fixture
def budget() -> RunBudget:
    budget = RunBudget(ManualClock(), lambda: 60_000)
    budget.errors = SlowCounter()
    budget.reasons = SlowList()
    return budget


def run_simultaneously(step: Callable[[int], Any], times: int) -> None:
    barrier = threading.Barrier(CONCURRENCY)

    def run(numbers: list[int]) -> None:
        barrier.wait()
        for number in numbers:
            step(number)

    with ThreadPoolExecutor(CONCURRENCY) as pool:
        list(pool.map(run, itertools.repeat(list(range(times)), CONCURRENCY)))


def test_failures_of_simultaneous_steps_are_all_counted(budget: RunBudget) -> None:
    errors = (TaskRouterUnavailable("one"), StoreUnavailable("two"))

    run_simultaneously(lambda number: budget.count_failure(errors[number % 2]), times=10)

    assert set(budget.errors.values()) == {5 * CONCURRENCY}
    assert len(budget.errors) == 2


def test_reasons_for_simultaneous_failures_are_distinct_and_limited(budget: RunBudget) -> None:
    run_simultaneously(
        lambda number: budget.count_failure(TaskRouterUnavailable(f"reason {number}")),
        times=MAX_REASONS + 2,
    )

    assert sorted(budget.reasons) == [f"reason {number}" for number in range(MAX_REASONS)]


def make_budget(time_left_ms: int = 60_000) -> tuple[RunBudget, ManualClock]:
    clock = ManualClock()
    return RunBudget(clock, lambda: time_left_ms), clock


@pytest.mark.parametrize(("time_left_ms", "may_continue"), [(24_999, False), (25_000, True)])
def test_step_starts_only_if_25_seconds_are_left(time_left_ms: int, *, may_continue: bool) -> None:
    assert make_budget(time_left_ms)[0].may_continue() is may_continue


class ThrottledRequest:
    """A request that is throttled a given number of times before it succeeds."""

    def __init__(self, throttled: int) -> None:
        self.throttled = throttled
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        if self.count <= self.throttled:
            raise TaskRouterThrottled("429")
        return "response"


@pytest.mark.parametrize(("throttled", "pause_ms"), [(0, 0), (1, 500), (2, 1_500), (3, 3_500)])
def test_throttled_request_is_repeated_up_to_three_times(throttled: int, pause_ms: int) -> None:
    budget, clock = make_budget()
    request, started = ThrottledRequest(throttled), clock.now

    assert budget.retry_throttled(request) == "response"
    assert (clock.now - started, request.count) == (pause_ms, throttled + 1)
    assert budget.may_continue()


@pytest.mark.parametrize(
    ("time_left_ms", "requests", "pause_ms"), [(60_000, 4, 3_500), (24_999, 1, 0)]
)
def test_throttling_ends_the_run_if_all_retries_fail_or_time_is_short(
    time_left_ms: int, requests: int, pause_ms: int
) -> None:
    budget, clock = make_budget(time_left_ms)
    request, started = ThrottledRequest(throttled=100), clock.now

    with pytest.raises(TaskRouterThrottled):
        budget.retry_throttled(request)
    assert (clock.now - started, request.count) == (pause_ms, requests)
    budget._time_left_ms = lambda: 60_000
    assert not budget.may_continue()


def test_request_to_an_unavailable_taskrouter_is_not_retried_and_does_not_end_the_run() -> None:
    budget, _ = make_budget()
    requests = []

    def fail() -> None:
        requests.append(1)
        raise TaskRouterUnavailable("500")

    with pytest.raises(TaskRouterUnavailable):
        budget.retry_throttled(fail)
    assert len(requests) == 1
    assert budget.may_continue()


@pytest.mark.parametrize(
    ("error", "ends_run"),
    [
        (TaskRouterDenied, True),
        (TaskRouterNotFound, True),
        (TaskRouterRefused, False),
        (TaskRouterUnavailable, False),
        (TaskRouterThrottled, False),
        (TaskRouterNotSent, False),
        (TaskRouterError, False),
        (StoreUnavailable, False),
        (BadRequest, False),
    ],
)
def test_failure_ends_the_run_if_all_other_steps_would_fail(
    error: type[AppError], *, ends_run: bool
) -> None:
    budget, _ = make_budget()
    budget.count_failure(error("why"))
    assert budget.may_continue() is not ends_run
    assert budget.errors == {error.code: 1}
    assert budget.reasons == ([] if error is BadRequest else ["why"])


def test_failures_are_counted_by_code_and_the_first_three_distinct_reasons_are_kept() -> None:
    budget, _ = make_budget()
    for reason in ("a", "b", "a", "c", "d", "b"):
        budget.count_failure(TaskRouterUnavailable(reason))
    budget.count_failure(StoreUnavailable("e"))
    budget.count_failure(BadRequest("f"))

    assert budget.errors == {
        "TaskRouterUnavailable": 6,
        "StoreUnavailable": 1,
        "BadRequestError": 1,
    }
    assert budget.reasons == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("time_left_ms", "last_start_ms"),
    [(60_000, 42_500), (60_001, 42_500), (25_002, 25_001), (25_000, 25_000), (10_000, 25_000)],
)
def test_half_budget_has_half_the_time_for_starting_steps(
    time_left_ms: int, last_start_ms: int
) -> None:
    budget, _ = make_budget()
    budget._time_left_ms = lambda: time_left_ms
    half = budget.half()
    budget._time_left_ms = lambda: last_start_ms
    assert half.may_continue()
    budget._time_left_ms = lambda: last_start_ms - 1
    assert not half.may_continue()
    assert budget.may_continue() is (last_start_ms > 25_000)


def test_throttling_ends_only_one_half_but_rejected_credentials_end_the_whole_run() -> None:
    budget, _ = make_budget()
    throttled, denied = budget.half(), budget.half()
    with pytest.raises(TaskRouterThrottled):
        throttled.retry_throttled(ThrottledRequest(throttled=100))
    assert [each.may_continue() for each in (budget, throttled, denied)] == [True, False, True]

    denied.count_failure(TaskRouterDenied("401"))
    assert [each.may_continue() for each in (budget, denied)] == [False, False]
    assert (budget.errors, budget.reasons) == ({"TaskRouterDenied": 1}, ["401"])
