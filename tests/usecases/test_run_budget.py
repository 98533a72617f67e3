"""The budget of a sweep is shared by the threads of the sweep."""

import itertools
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import sleep
from typing import Any

import pytest

from chalicelib.domain.errors import StoreUnavailable, TaskRouterUnavailable
from chalicelib.usecases.run_budget import CONCURRENCY, MAX_REASONS, RunBudget
from tests.support import ManualClock


class SlowCounter(Counter[str]):
    """A counter whose readers pause, so that other threads run before the result is stored."""

    def __getitem__(self, name: str) -> int:
        count = super().__getitem__(name)
        sleep(0.001)
        return count


class SlowList(list[str]):
    """A list whose searches pause, so that other threads run before the result is used."""

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


def test_reasons_of_simultaneous_failures_are_distinct_and_limited(budget: RunBudget) -> None:
    run_simultaneously(
        lambda number: budget.count_failure(TaskRouterUnavailable(f"reason {number}")),
        times=MAX_REASONS + 2,
    )

    assert sorted(budget.reasons) == [f"reason {number}" for number in range(MAX_REASONS)]
