"""The simulated sweep sends as many requests of each kind to TaskRouter as the real sweep."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from benchmarks.simulated_sweep import Sweeps
from benchmarks.simulated_taskrouter import (
    FETCH,
    LIST_EVENTS,
    LIST_RESERVATIONS,
    LIST_TASKS,
    UNLIMITED,
    UPDATE,
    TaskRouterLimits,
)
from benchmarks.simulation import Group, Scenario, World
from chalicelib.domain.errors import TaskRouterThrottled
from chalicelib.domain.reservations import Status
from chalicelib.usecases import sweep
from tests.support import DEADLINES
from tests.usecases.conftest import Service

# The minute of this time is even, as at the start of the simulation, because the minute determines
# which phase of a reconciliation comes first.
START = 1_790_000_040_000
SWEEP_INTERVAL_S = 180
SECONDS = 30 * 60
VERBS = {
    "update": UPDATE,
    "fetch": FETCH,
    "tasks": LIST_TASKS,
    "list": LIST_RESERVATIONS,
    "events": LIST_EVENTS,
}
INSTANT = replace(UNLIMITED, latency_ms=0)
NEVER = 10**9


@dataclass(frozen=True)
class LifeCycle:
    """The life cycle of a Reservation.

    Attributes:
        at: creation time, in ms since START.
        answer: ms from the creation until the acceptance, or NEVER.
        handle: ms from the acceptance until the wrap-up.
        wrapup: duration of the wrap-up, in ms.
        lost: statuses whose events are lost.
    """

    at: int
    answer: int
    handle: int
    wrapup: int
    lost: frozenset[Status]


def draw_life_cycles(seed: int, number: int) -> list[LifeCycle]:
    """Return random life cycles. Some Reservations time out; about half of the events are lost."""
    draw = random.Random(seed)  # noqa: S311
    minute = 60_000
    return [
        LifeCycle(
            at=draw.randrange(20 * minute),
            answer=draw.choice([draw.randrange(100_000), NEVER]),
            handle=draw.choice([draw.randrange(3 * minute), draw.randrange(25 * minute)]),
            wrapup=draw.randrange(2 * minute),
            lost=frozenset(status for status in Status if draw.random() < 0.5),
        )
        for _ in range(number)
    ]


def simulate(life_cycles: list[LifeCycle], limits: TaskRouterLimits, **inputs: int) -> World:
    scenario = Scenario(
        rate=1,
        deadlines=DEADLINES,
        taskrouter=limits,
        dynamodb_ms=0,
        sweep_interval_s=SWEEP_INTERVAL_S,
        **inputs,
    )
    sweeps = Sweeps(World(scenario))
    world = sweeps.world

    def arrive(life_cycle: LifeCycle) -> Iterator[float]:
        yield life_cycle.at
        expires_at = DEADLINES.expires_at(life_cycle.at, None)
        group = Group(
            1,
            life_cycle.at,
            expires_at,
            life_cycle.answer,
            life_cycle.handle,
            life_cycle.wrapup,
            life_cycle.lost,
        )
        world.timeline.start(world.run_life_cycle(group))

    for life_cycle in life_cycles:
        world.timeline.start(arrive(life_cycle))
    world.timeline.start(sweeps.start_periodically())
    # Leave enough time for the last sweep to end.
    world.timeline.run(until=SECONDS * 1000 + 60_000)
    return world


def run(life_cycles: list[LifeCycle], service: Service) -> None:
    """Replay the life cycles with the real use cases."""
    actions: list[tuple[int, Callable[[], object]]] = []
    for life_cycle in life_cycles:
        actions += plan(life_cycle, service)
    for number in range(1, SECONDS // SWEEP_INTERVAL_S + 1):
        at = number * SWEEP_INTERVAL_S * 1000

        def sweep_once(ends_at: int = START + at + 60_000) -> None:
            service.sweep(lambda: ends_at - service.clock.now)

        actions.append((at, sweep_once))
    for at, action in sorted(actions, key=lambda each: each[0]):
        if at <= SECONDS * 1000 + 60_000:
            service.clock.now = START + at
            action()


def plan(life_cycle: LifeCycle, service: Service) -> list[tuple[int, Callable[[], object]]]:
    remote = service.taskrouter.add(created_at=START + life_cycle.at)
    service.taskrouter.remove(remote.reservation_sid)

    def arrive() -> None:
        service.taskrouter.reservations[remote.reservation_sid] = remote
        service.assign(remote)
        report(Status.PENDING)

    def accept() -> None:
        service.accept(remote)
        report(Status.ACCEPTED)

    def report(status: Status) -> None:
        service.taskrouter.set_status(remote.reservation_sid, status)
        service.taskrouter.add_event(remote, status, at=service.clock.now)
        if status not in life_cycle.lost:
            service.post_event(remote, status)

    steps: list[tuple[int, Callable[[], object]]] = [(life_cycle.at, arrive)]
    if life_cycle.answer == NEVER:
        steps.append((life_cycle.at + 120_000, lambda: report(Status.TIMEOUT)))
    else:
        accepted_at = life_cycle.at + life_cycle.answer
        wrapping_at = accepted_at + life_cycle.handle
        steps += [
            (accepted_at, accept),
            (wrapping_at, lambda: report(Status.WRAPPING)),
            (wrapping_at + life_cycle.wrapup, lambda: report(Status.COMPLETED)),
        ]
    return steps


def count_recorded_statuses(service: Service) -> Counter[Status]:
    return Counter(
        service.record(remote).status for remote in service.taskrouter.reservations.values()
    )


@pytest.mark.parametrize(("seed", "max_events"), [(1, 2_000), (2, 2_000), (3, 4)])
def test_simulation_sends_as_many_requests_as_the_service(
    service: Service, seed: int, max_events: int
) -> None:
    life_cycles = draw_life_cycles(seed, 25)
    service.taskrouter.max_events = max_events

    run(life_cycles, service)
    world = simulate(life_cycles, replace(INSTANT, max_events=max_events))

    # The simulation omits the statistics, which each sweep requests after everything else.
    assert service.taskrouter.calls.pop("statistics") == SECONDS // SWEEP_INTERVAL_S
    calls = {VERBS[verb]: number for verb, number in service.taskrouter.calls.items()}
    assert world.taskrouter.requests == calls
    assert +world.recorded == count_recorded_statuses(service)
    assert calls[FETCH] > 3
    assert calls[LIST_EVENTS] > 50


def test_simulation_ends_throttled_sweeps_like_the_service(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    life_cycles = [LifeCycle(1_000, NEVER, 0, 0, frozenset(Status)) for _ in range(5)]
    # With one thread, the order of the requests is fixed.
    monkeypatch.setattr(sweep, "CONCURRENCY", 1)

    def throttle(_verb: str) -> None:
        raise TaskRouterThrottled("throttled")

    service.taskrouter.when_called = throttle
    run(life_cycles, service)
    world = simulate(life_cycles, replace(INSTANT, per_second=0), concurrency=1)

    calls = {VERBS[verb]: number for verb, number in service.taskrouter.calls.items()}
    assert +world.taskrouter.requests == calls
    assert set(calls) == {FETCH, LIST_TASKS, LIST_EVENTS}
