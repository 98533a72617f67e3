"""Invariants of the simulation whose results docs/capacity.md shows."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import simulated_sweep
from benchmarks.inputs import ENVIRON
from benchmarks.simulated_sweep import Sweep, Sweeps, simulate
from benchmarks.simulated_taskrouter import FETCH, UNLIMITED, UPDATE, TaskRouter, TaskRouterLimits
from benchmarks.simulation import DEFAULT_DEADLINES, Scenario, World
from benchmarks.timeline import Process, Timeline, run_concurrently
from chalicelib import config
from chalicelib.adapters.twilio import taskrouter
from chalicelib.domain.reservations import OPEN, Status
from chalicelib.runtime import Runtime, SystemClock

HOUR = 3_600
LATEST = 10**12

scenarios = st.builds(
    Scenario,
    rate=st.floats(0.05, 10),
    seconds=st.integers(60, 1_200),
    answer_s=st.none() | st.floats(1, 200),
    handle_s=st.floats(1, 1_500),
    wrapup_s=st.floats(1, 300),
    lost_events=st.floats(0, 1),
    taskrouter=st.builds(
        TaskRouterLimits,
        per_second=st.integers(0, 30),
        concurrent=st.integers(1, 20),
        latency_ms=st.integers(0, 3_000),
        max_events=st.integers(2, 2_000),
    ),
    concurrency=st.integers(1, 10),
    seed=st.integers(0, 1_000),
)


def simulate_longer(scenario: Scenario, seconds: int) -> tuple[World, list[Sweep]]:
    """Simulate a scenario, and continue for *seconds* after its arrivals end."""
    sweeps = Sweeps(World(scenario))
    sweeps.world.timeline.start(sweeps.world.arrivals())
    sweeps.world.timeline.start(sweeps.start_periodically())
    sweeps.world.timeline.run(until=(scenario.seconds + seconds) * 1000)
    return sweeps.world, sweeps.finished


@settings(max_examples=10)
@given(scenarios)
def test_every_reservation_has_one_record_and_open_records_are_scheduled(
    scenario: Scenario,
) -> None:
    world, _ = simulate_longer(scenario, seconds=1)
    assert sum(world.recorded.values()) == world.arrived
    for status in OPEN:
        scheduled = sum(each.size for each in world.due(status, now=LATEST))
        assert scheduled == world.recorded[status]


@settings(max_examples=5)
@given(scenarios)
def test_every_reservation_ends_if_taskrouter_throttles_nothing(scenario: Scenario) -> None:
    limits = replace(scenario.taskrouter, per_second=10**6, concurrent=10**6, latency_ms=100)
    world, _ = simulate_longer(replace(scenario, taskrouter=limits), seconds=12 * HOUR)
    ended = {status: number for status, number in world.recorded.items() if number}
    assert ended.keys() <= {Status.COMPLETED, Status.TIMEOUT}
    assert sum(ended.values()) == world.arrived
    assert world.reserved == 0


@settings(max_examples=10)
@given(scenarios)
def test_limits_of_taskrouter_are_not_exceeded(scenario: Scenario) -> None:
    world, _ = simulate(scenario)
    router, limits = world.taskrouter, scenario.taskrouter
    assert router.max_concurrent <= limits.concurrent
    for operation, number in router.requests.items():
        served = number - router.throttled[operation]
        assert 0 <= served <= limits.per_second * (scenario.seconds + 1)


@settings(max_examples=5)
@given(scenarios)
def test_doubled_concurrency_does_not_leave_more_reservations_due(scenario: Scenario) -> None:
    limits = replace(UNLIMITED, latency_ms=scenario.taskrouter.latency_ms)
    # This scenario loses no events. Otherwise, with more concurrency, the reconciliation would
    # record more Reservations whose events were lost, and these Reservations would become due.
    scenario = replace(scenario, taskrouter=limits, rate=scenario.rate * 40, lost_events=0.0)
    more = replace(scenario, concurrency=2 * scenario.concurrency)
    left, left_with_more = (
        sum(sweep.unchecked for sweep in simulate(each)[1]) for each in (scenario, more)
    )
    assert left_with_more <= left


@settings(max_examples=3)
@given(scenarios)
def test_same_seed_gives_same_result(scenario: Scenario) -> None:
    (first, first_sweeps), (second, second_sweeps) = simulate(scenario), simulate(scenario)
    assert first.taskrouter.requests == second.taskrouter.requests
    assert first.recorded == second.recorded
    assert first_sweeps == second_sweeps


def test_groups_behave_like_single_reservations() -> None:
    single = simulate(Scenario(rate=3, taskrouter=UNLIMITED))[0]
    groups = simulate(Scenario(rate=300, taskrouter=UNLIMITED))[0]
    for operation in (UPDATE, FETCH):
        expected = 100 * single.taskrouter.requests[operation]
        assert groups.taskrouter.requests[operation] == pytest.approx(expected, rel=0.15)


def test_throttled_part_of_a_group_is_accepted_by_a_later_request() -> None:
    limits = TaskRouterLimits(per_second=20, latency_ms=100)
    world, _ = simulate_longer(
        Scenario(rate=90, seconds=1, taskrouter=limits, attempts=10), seconds=HOUR
    )
    assert world.taskrouter.throttled[UPDATE] > 0
    assert world.given_up == 0
    assert world.recorded[Status.COMPLETED] == world.arrived > 20


def test_list_limits_match_the_adapter() -> None:
    assert TaskRouterLimits.max_events == taskrouter._MAX_EVENTS
    assert simulated_sweep._PAGE_SIZE == taskrouter._PAGE_SIZE
    # A list of several pages may take as long as two page requests.
    assert simulated_sweep._LIST_MS == 2 * taskrouter.PAGE_SECONDS * 1000


def test_default_deadlines_match_the_default_settings() -> None:
    service = Runtime(config.load({**ENVIRON}), None, SystemClock())
    assert service.deadlines == DEFAULT_DEADLINES


def test_processes_resume_in_chronological_order() -> None:
    timeline, log = Timeline(), []

    def wait(name: str, *durations: float) -> Process:
        for duration in durations:
            yield duration
            log.append((name, timeline.now_ms()))

    timeline.start(wait("a", 10, 10))
    timeline.start(wait("b", 5, 5, 5))
    timeline.run(until=15)
    assert log == [("b", 5), ("a", 10), ("b", 10), ("b", 15)]
    timeline.run(until=30)
    assert log[-1] == ("a", 20)
    assert timeline.now_ms() == 30


def test_concurrency_of_processes_is_limited() -> None:
    timeline, running = Timeline(), Counter[str]()
    most = 0

    def step() -> Process:
        nonlocal most
        running["now"] += 1
        most = max(most, running["now"])
        yield 10
        running["now"] -= 1

    def run_all() -> Process:
        yield from run_concurrently((step() for _ in range(7)), concurrency=3)
        running["ended_at"] = timeline.now_ms()

    timeline.start(run_all())
    timeline.run(until=100)
    assert most == 3
    assert running["ended_at"] == 30  # three rounds


def test_requests_above_the_limit_per_second_are_throttled() -> None:
    timeline = Timeline()
    router = TaskRouter(TaskRouterLimits(per_second=3, concurrent=100), timeline)
    assert router.start(UPDATE, 2) == 2
    assert router.start(UPDATE, 2) == 1
    assert router.start(FETCH) == 1
    timeline.run(until=1_000)
    assert router.start(UPDATE, 5) == 3
    assert router.throttled == {UPDATE: 3, FETCH: 0}


def test_requests_above_the_concurrency_limit_are_throttled() -> None:
    router = TaskRouter(TaskRouterLimits(per_second=100, concurrent=2), Timeline())
    assert router.start(UPDATE, 3) == 2
    router.end(1)
    assert router.start(FETCH, 3) == 1
