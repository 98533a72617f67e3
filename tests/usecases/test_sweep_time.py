"""A sweep ends before its function times out, and divides its time fairly.

During a sweep, only requests to TaskRouter and DynamoDB and pauses before retries advance the
clock. One thread makes all requests, so their durations add up as they do in one thread of a real
sweep.
"""

from collections.abc import Collection, Iterator
from contextlib import suppress
from copy import copy
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.domain.errors import (
    StoreUnavailable,
    SweepFailed,
    TaskRouterNotFound,
    TaskRouterNotSent,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.reservations import DueReservation, RemoteReservation, Status
from chalicelib.usecases import reconcile, sweep
from chalicelib.usecases.reconcile import JOB
from chalicelib.usecases.sweep import SweepPolicy, sweep_due_reservations
from tests.support import (
    DEADLINES,
    NOW,
    FakeTaskRouter,
    ManualClock,
    make_collaborators,
    make_reconciliation_due,
    make_statistics,
    sid,
)
from tests.usecases.conftest import Service
from tests.usecases.test_decision_time import SlowClient, slow_down

MINUTE = 60_000
LIMITS_MS = {"fetch": 3_000, "list": 3_000, "update": 3_000, "workspace": 3_000}
LIST_LIMITS_MS = {"tasks": 16_000, "events": 16_000}
"""Time limits for requests to TaskRouter, by verb."""
MAX_CALL_MS = 3_214
"""Time limit for a DynamoDB call with the longest CALLBACK_BUDGET_SECONDS."""


@pytest.fixture(autouse=True)
def single_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "CONCURRENCY", 1)


def run_sweep(service: Service, seconds: int = 60) -> dict[str, Any]:
    """Sweep with a function timeout; return the log line, even if the sweep fails."""
    ends_at, lines = service.clock.now + seconds * 1000, list[dict[str, Any]]()
    with suppress(SweepFailed):
        sweep_due_reservations(
            make_collaborators(service.store, service.taskrouter, service.clock, service.deadlines),
            service.policy,
            make_statistics(service.store),
            time_left_ms=lambda: ends_at - service.clock.now,
            report=lines.append,  # type: ignore[arg-type]
        )
    (line,) = lines
    return line


def set_request_durations(service: Service, **durations: int) -> None:
    """Set how long each request to TaskRouter takes, in ms, by verb."""

    def when_called(verb: str) -> None:
        service.clock.now += durations.get(verb, 0)

    service.taskrouter.when_called = when_called


def add_due_reservations(service: Service, count: int) -> list[RemoteReservation]:
    """Add pending Reservations that become due after 130 s."""
    remotes = [service.taskrouter.add(created_at=service.clock.now) for _ in range(count)]
    for remote in remotes:
        service.assign(remote)
    return remotes


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    fetch=st.sampled_from([0, 700, 1_500, 3_000]),
    reservations=st.sampled_from([0, 700, 1_500, 3_000]),
    tasks=st.sampled_from([0, 5_000, 16_000]),
    events=st.sampled_from([0, 700, 2_000]),
    fails=st.booleans(),
)
def test_every_sweep_starts_checks_and_a_due_reconciliation(
    store: DynamoReservationStore,
    *,
    fetch: int,
    reservations: int,
    tasks: int,
    events: int,
    fails: bool,
) -> None:
    delete_all(store)
    service = Service(store, FakeTaskRouter(), ManualClock())
    add_due_reservations(service, 20)
    service.clock.now += 131_000
    lost = service.taskrouter.add(created_at=service.clock.now)
    set_request_durations(service, fetch=fetch, list=reservations, tasks=tasks, events=events)
    if fails:
        service.taskrouter.fail_before["tasks"] = [TaskRouterUnavailable("500")]
    calls, started = service.taskrouter.calls, service.clock.now

    for minute in range(4):
        service.clock.now = started + minute * MINUTE
        before = calls.copy()
        line = run_sweep(service)
        assert service.clock.now <= started + (minute + 1) * MINUTE
        if calls["tasks"] == before["tasks"] and service.store.get(lost.reservation_sid) is None:
            assert line["unreconciled"] > 0
        assert line["due"] == line["left"] == 0 or calls["fetch"] > before["fetch"]
        if minute == 0 or line["unreconciled"]:
            assert calls["tasks"] + calls["events"] > before["tasks"] + before["events"]
    assert calls["tasks"] > fails


def delete_all(store: DynamoReservationStore) -> None:
    """Delete all records and the progress of the reconciliation."""
    client = store._client
    for item in client.scan(TableName=store._reservations)["Items"]:
        key = {"reservation_sid": item["reservation_sid"]}
        client.delete_item(TableName=store._reservations, Key=key)
    client.delete_item(TableName=store._state, Key={"id": {"S": JOB}})


def test_failed_part_is_repeated_by_the_next_sweep_even_if_checks_use_up_the_time(
    service: Service,
) -> None:
    service.taskrouter.fail_before["tasks"] = [TaskRouterUnavailable("500")]
    run_sweep(service)
    add_due_reservations(service, 40)
    service.clock.now += 131_000
    lost = service.taskrouter.add(task_sid="WT" + "0" * 32, created_at=service.clock.now)
    set_request_durations(service, fetch=6_000)

    line = run_sweep(service)
    assert service.taskrouter.calls["tasks"] == 2
    assert service.record(lost).status is Status.PENDING
    assert line["left"] > 30
    assert line["unreconciled"] == 0


def test_all_tasks_are_processed_even_if_each_sweep_has_time_for_only_a_few(
    service: Service,
) -> None:
    for number in range(40):
        service.taskrouter.add(task_sid=f"WT{number:032x}")
    set_request_durations(service, list=2_500)

    for minute in range(12):
        service.clock.now = NOW + minute * MINUTE
        run_sweep(service)
    assert service.taskrouter.calls["list"] <= 12 * 8
    assert all(service.store.get(sid) for sid in service.taskrouter.reservations)


@pytest.mark.parametrize("part", ["reconciliation", "checks"])
def test_throttling_of_one_part_does_not_prevent_the_other_part(
    service: Service, part: str
) -> None:
    (due,) = add_due_reservations(service, 1)
    service.taskrouter.set_status(due.reservation_sid, Status.CANCELED)
    service.clock.now += 131_000
    lost = service.taskrouter.add(created_at=service.clock.now)
    verb = "tasks" if part == "reconciliation" else "fetch"
    service.taskrouter.fail_before[verb] = [TaskRouterThrottled("429")] * 100

    line = run_sweep(service)
    assert line["ok"]
    assert line["mirrored"] == (part == "reconciliation")
    assert (service.store.get(lost.reservation_sid) is None) == (part == "reconciliation")
    assert (line["unreconciled"] > 0) == (part == "reconciliation")
    assert line["left"] == (part == "checks")


@pytest.mark.parametrize("seconds", [1, 24])
def test_reconciliation_with_too_little_time_is_counted_as_unreconciled(
    service: Service, seconds: int
) -> None:
    line = run_sweep(service, seconds)
    assert (line["reconciled"], line["unreconciled"], line["ok"]) == (0, 1, True)


def test_reconciliation_that_cannot_start_is_counted_as_unreconciled(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise StoreUnavailable("DynamoDB is down")

    monkeypatch.setattr(service.store, "start_periodic_job", fail)
    line = run_sweep(service)
    assert (line["unreconciled"], line["errors"]) == (1, {"StoreUnavailable": 1})


def test_checks_are_counted_even_if_the_list_of_due_reservations_is_incomplete(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_due_reservations(service, 2)
    service.clock.now += 131_000
    due_reservations = service.store.due_reservations

    def fail_after_first_page(status: Status, *, now: int) -> Iterator[DueReservation]:
        yield from due_reservations(status, now=now)
        raise StoreUnavailable("DynamoDB is down")

    monkeypatch.setattr(service.store, "due_reservations", fail_after_first_page)
    line = run_sweep(service)
    assert (line["due"], line["unchanged"], line["errors"]) == (2, 2, {"StoreUnavailable": 1})


def test_sweep_with_no_time_left_for_checks_still_reads_the_oldest_due_reservation_of_each_status(
    service: Service,
) -> None:
    accepted = service.taskrouter.add(Status.ACCEPTED)
    service.post_event(accepted, Status.ACCEPTED)
    service.clock.now += 15 * MINUTE
    add_due_reservations(service, 2)
    service.clock.now += 131_000

    line = run_sweep(service, seconds=20)
    assert (line["due"], line["left"], line["oldest_due_ms"]) == (2, 2, 131_000)


def test_recording_many_reservations_of_one_task_stops_in_time_and_continues_later(
    service: Service,
) -> None:
    task_sid = sid("WT")
    remotes = [service.taskrouter.add(task_sid=task_sid) for _ in range(50)]
    service.store = slow_down(service.store, service.clock, iter(lambda: 700, None))
    recorded = []
    for minute in range(6):
        service.clock.now = NOW + minute * MINUTE
        line = run_sweep(service, seconds=50)
        assert service.clock.now <= NOW + minute * MINUTE + 50_000
        recorded.append(line["reconciled"])
        assert (line["unreconciled"] > 0) == (sum(recorded) < len(remotes))
    assert sum(recorded) == len(remotes)
    assert min(recorded[:3]) > 5


def slow_down_status_reads(service: Service, duration: int) -> list[int]:
    """Make every read of statuses take *duration* ms, and return ``completed`` for all SIDs.

    Returns:
        A list that collects the number of SIDs in each read.
    """
    reads: list[int] = []

    def fetch_statuses(sids: Collection[str]) -> dict[str, Status]:
        service.clock.now += duration
        reads.append(len(sids))
        return dict.fromkeys(sids, Status.COMPLETED)

    service.store.fetch_statuses = fetch_statuses  # type: ignore[method-assign]
    return reads


@pytest.mark.parametrize(("seconds", "read_ms"), [(50, 700), (60, 900)])
def test_recording_many_events_stops_in_time_and_continues_later(
    service: Service, seconds: int, read_ms: int
) -> None:
    run_sweep(service)
    for number in range(4_000):
        remote = service.taskrouter.add(Status.COMPLETED)
        at = NOW + 30_000 + number * 50
        service.taskrouter.add_event(remote, Status.COMPLETED, at=at)
    service.taskrouter.max_events = 10_000
    reads = slow_down_status_reads(service, read_ms)

    started = service.clock.now = NOW + 5 * MINUTE
    unreconciled = []
    for minute in range(20):
        service.clock.now = started + minute * MINUTE
        unreconciled.append(run_sweep(service, seconds)["unreconciled"])
        assert service.clock.now <= started + minute * MINUTE + seconds * 1000
        if not unreconciled[-1]:
            break
    assert unreconciled[0] > 0
    assert unreconciled[-1] == 0
    assert max(reads) <= 100
    _, progress = service.store.start_periodic_job(
        JOB, now=NOW + 99 * MINUTE, retry_at=0, run_id="r"
    )
    assert progress["completed"] >= NOW + 5 * MINUTE - 15_000


def test_recording_many_events_of_one_reservation_stops_in_time(service: Service) -> None:
    remote = service.taskrouter.add(Status.COMPLETED)
    for number in range(40):
        status = (Status.PENDING, Status.ACCEPTED, Status.WRAPPING)[number % 3]
        service.taskrouter.add_event(remote, status, at=NOW - MINUTE + number)
    service.store = slow_down(service.store, service.clock, iter(lambda: 1_900, None))
    for minute in range(4):
        service.clock.now = NOW + minute * MINUTE
        line = run_sweep(service)
        assert service.clock.now <= NOW + (minute + 1) * MINUTE
    assert line["unreconciled"] == 0
    assert service.record(remote).status is Status.WRAPPING


def test_progress_of_an_event_type_is_not_reset_by_a_batch_that_ends_earlier(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first batch ends before the time up to which one type is already reconciled."""
    monkeypatch.setattr(reconcile, "BATCH_SIZE", 1)
    now = NOW - 15_000
    service.store.save_progress(
        JOB, {"": now - 400_000, "created": now - 310_000, "tasks": now}, due_at=NOW
    )
    for at in (now - 390_000, now - 305_000):
        remote = service.taskrouter.add(Status.COMPLETED)
        service.taskrouter.add_event(remote, Status.COMPLETED, at=at)
    saved: list[dict[str, int]] = []
    save = service.store.save_progress

    def save_and_record(job: str, progress: dict[str, int], **options: Any) -> None:
        saved.append(progress)
        save(job, progress, **options)

    monkeypatch.setattr(service.store, "save_progress", save_and_record)
    assert run_sweep(service)["unreconciled"] == 0
    events = [progress for progress in saved if "created" in progress]
    assert [progress["created"] for progress in events] == [now - 310_000, now]
    assert [progress["completed"] for progress in events] == [now - 390_000, now]
    assert [progress[""] for progress in events] == [now - 390_000, now]


@pytest.mark.parametrize(("claim_ms", "is_sent"), [(2_999, True), (3_000, False)])
def test_sweep_sends_a_decision_only_if_the_step_has_enough_time_left(
    service: Service, monkeypatch: pytest.MonkeyPatch, claim_ms: int, *, is_sent: bool
) -> None:
    service.deadlines = replace(DEADLINES, reject_after=60)
    (due,) = add_due_reservations(service, 1)
    service.clock.now += MINUTE
    claim = service.store.claim

    def claim_slowly(*arguments: Any, **options: Any) -> Any:
        service.clock.now += claim_ms
        return claim(*arguments, **options)

    monkeypatch.setattr(service.store, "claim", claim_slowly)
    line = run_sweep(service)
    assert (line["rejected"], line["failed"]) == (is_sent, not is_sent)
    assert service.taskrouter.calls["update"] == is_sent
    assert service.record(due).claim is None


def test_workspace_is_not_verified_if_no_time_is_left(service: Service) -> None:
    (due,) = add_due_reservations(service, 1)
    service.taskrouter.remove(due.reservation_sid)
    service.clock.now += 131_000
    set_request_durations(service, fetch=3_000)

    assert run_sweep(service, seconds=27)["left"] == 1
    assert service.taskrouter.calls["workspace"] == 0
    assert run_sweep(service)["gone"] == 1


ERRORS = [
    TaskRouterNotFound("404"),
    TaskRouterNotSent("refused"),
    TaskRouterRefused("400"),
    TaskRouterThrottled("429"),
    TaskRouterUnavailable("lost"),
]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    random=st.randoms(use_true_random=True),
    seconds=st.sampled_from([30, 45, 60]),
    slow=st.booleans(),
)
def test_sweep_ends_before_its_function_times_out(
    store: DynamoReservationStore, *, random: Random, seconds: int, slow: bool
) -> None:
    delete_all(store)
    service = Service(store, FakeTaskRouter(), ManualClock())
    service.deadlines = replace(DEADLINES, reservation_timeout=600, reject_after=60, max_wrapup=60)
    service.policy = SweepPolicy(reject_activity_sid="WA" + "0" * 32)
    statuses = random.choices([*Status][:4], k=3)
    for recorded in (Status.PENDING, Status.WRAPPING):
        for status in statuses:
            remote = service.taskrouter.add(recorded, task_sid=f"WT{len(statuses):032x}")
            service.post_event(remote, recorded)
            if status is not statuses[0]:
                service.taskrouter.set_status(remote.reservation_sid, status)
            service.taskrouter.add_event(remote, status, at=NOW + 30_000)
    for _ in range(4):
        service.taskrouter.add(task_sid=f"WT{len(statuses):032x}")
    service.clock.now += 2 * MINUTE
    make_reconciliation_due(store, service.clock.now)
    fractions, limits = [1, 1, 2] if slow else [1, 2, 10, 100], LIMITS_MS | LIST_LIMITS_MS

    def delay_call(operation: str) -> None:
        # Queries take no time here, because a real sweep lists due Reservations while other
        # threads check them.
        if operation != "query":
            service.clock.now += MAX_CALL_MS // random.choice(fractions)

    def when_called(verb: str) -> None:
        service.clock.now += limits[verb] // random.choice(fractions)
        error = random.choice([None, None, None, *ERRORS])
        if error is not None:
            raise error

    service.store = copy(store)
    service.store._client = SlowClient(store._client, delay_call)
    service.taskrouter.when_called = when_called
    ends_at = service.clock.now + seconds * 1000
    run_sweep(service, seconds)
    assert service.clock.now <= ends_at
