"""Reconciliation finds unreported Reservations through reserved Tasks and TaskRouter's Events."""

from collections.abc import Iterable
from contextlib import suppress
from copy import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.adapters.dynamodb.client import to_item
from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.domain.callbacks import EVENT_TYPES
from chalicelib.domain.errors import (
    StoreUnavailable,
    SweepFailed,
    TaskRouterDenied,
    TaskRouterNotFound,
    TaskRouterNotSent,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.reservations import RemoteReservation, Status
from chalicelib.usecases.reconcile import JOB, reconcile
from chalicelib.usecases.run_budget import RunBudget
from tests.support import (
    DEADLINES,
    NOW,
    FakeTaskRouter,
    ManualClock,
    make_collaborators,
    make_reconciliation_due,
)
from tests.usecases.conftest import Service

MINUTE = 60_000
LIFE_CYCLE = (Status.PENDING, Status.ACCEPTED, Status.COMPLETED)


def add_events(service: Service, remote: RemoteReservation, *changes: tuple[Status, int]) -> None:
    """Add a Reservation's status changes to TaskRouter's list of Events."""
    for status, at in changes:
        service.taskrouter.add_event(remote, status, at=at)


def add_deleted_reservation(
    service: Service, at: int, *, statuses: Iterable[Status] = LIFE_CYCLE
) -> RemoteReservation:
    """Add an unreported Reservation that TaskRouter has already deleted; its Events remain."""
    remote = service.taskrouter.add()
    service.taskrouter.remove(remote.reservation_sid)
    add_events(service, remote, *((status, at + n * 1000) for n, status in enumerate(statuses)))
    return remote


def test_reservation_without_callback_is_recorded_within_five_minutes(
    service: Service,
) -> None:
    assert service.sweep()["reconciled"] == 0
    remote = service.taskrouter.add()

    service.clock.now += 299_999
    assert service.sweep()["reconciled"] == 0
    service.clock.now += 1
    assert service.sweep()["reconciled"] == 1

    record = service.record(remote)
    assert (record.status, record.callback, record.history[0].by) == (
        Status.PENDING,
        None,
        "reconcile",
    )
    assert record.expires_at == NOW + 120_000


def test_reconciliation_does_not_change_existing_record(service: Service) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)
    before = service.record(remote)

    assert service.sweep()["reconciled"] == 0
    assert service.record(remote) == before


def test_concurrent_sweeps_reconcile_once(service: Service) -> None:
    reports = []

    def sweep_concurrently(verb: str) -> None:
        if verb == "tasks":
            service.taskrouter.when_called = lambda _verb: None
            reports.append(service.sweep())

    service.taskrouter.add()
    service.taskrouter.when_called = sweep_concurrently
    reports.append(service.sweep())

    assert sorted(report["reconciled"] for report in reports) == [0, 1]
    assert service.taskrouter.calls["tasks"] == 1


def test_reconciliation_counts_unfinished_steps(
    service: Service,
) -> None:
    for _ in range(3):
        service.taskrouter.add()
    service.taskrouter.fail_before["list"] = [TaskRouterThrottled("429")] * 100

    report = service.sweep()
    assert (report["reconciled"], report["unreconciled"], report["ok"]) == (0, 3, True)


def test_rejected_api_key_during_reconciliation_fails_sweep(service: Service) -> None:
    service.taskrouter.fail_before["tasks"] = [TaskRouterDenied("401")]
    with pytest.raises(SweepFailed):
        service.sweep()


def test_unreported_ended_reservation_is_recorded(
    service: Service,
) -> None:
    service.sweep()
    remote = add_deleted_reservation(service, NOW + MINUTE)
    service.clock.now += 5 * MINUTE

    assert service.sweep()["reconciled"] == 1

    record = service.record(remote)
    assert [change.to for change in record.history] == list(LIFE_CYCLE)
    assert {change.by for change in record.history} == {"reconcile"}
    assert (record.status, record.reserved_at, record.callback) == (
        Status.COMPLETED,
        NOW + MINUTE,
        None,
    )
    assert record.task_attributes == '{"selected_language": "es"}'


def test_events_are_recorded_in_chronological_order(service: Service) -> None:
    statuses = [Status.PENDING, Status.ACCEPTED, Status.WRAPPING, Status.CANCELED]
    remote = add_deleted_reservation(service, NOW - MINUTE, statuses=statuses)
    service.sweep()

    assert [change.to for change in service.record(remote).history] == statuses


def test_missed_end_is_recorded_by_next_reconciliation(
    service: Service,
) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)
    service.accept(remote)
    service.sweep()
    service.taskrouter.set_status(remote.reservation_sid, Status.COMPLETED)
    add_events(service, remote, *((status, NOW + MINUTE) for status in LIFE_CYCLE))
    service.clock.now += 5 * MINUTE  # an accepted Reservation becomes due after 15 minutes

    report = service.sweep()
    assert (report["due"], report["reconciled"]) == (0, 1)
    assert service.record(remote).status is Status.COMPLETED


def test_event_with_recorded_status_does_not_change_history(service: Service) -> None:
    service.sweep()
    remote = service.taskrouter.add()
    service.assign(remote)
    add_events(service, remote, (Status.PENDING, NOW))
    before = service.record(remote)
    service.clock.now += 5 * MINUTE

    assert service.sweep()["reconciled"] == 0
    assert service.record(remote).history == before.history


def test_recent_events_are_left_for_next_reconciliation(service: Service) -> None:
    service.sweep()
    service.clock.now += 5 * MINUTE
    remote = add_deleted_reservation(service, service.clock.now - 10_000)
    assert service.sweep()["reconciled"] == 0

    service.clock.now += 5 * MINUTE
    assert service.sweep()["reconciled"] == 1
    assert service.record(remote).status is Status.COMPLETED


def test_event_that_is_listed_late_is_found_by_next_reconciliation(service: Service) -> None:
    service.sweep()
    service.clock.now += 5 * MINUTE
    service.sweep()
    remote = add_deleted_reservation(service, service.clock.now - 50_000, statuses=[Status.PENDING])

    service.clock.now += 5 * MINUTE
    assert service.sweep()["reconciled"] == 1
    assert service.record(remote).status is Status.PENDING


def test_reconciliation_covers_hours_in_which_no_sweep_ran(service: Service) -> None:
    service.sweep()
    missed = [add_deleted_reservation(service, NOW + hours * 60 * MINUTE) for hours in range(1, 8)]
    service.clock.now += 8 * 60 * MINUTE

    assert service.sweep()["reconciled"] == len(missed)
    assert {service.record(remote).status for remote in missed} == {Status.COMPLETED}


def test_next_run_continues_interrupted_reconciliation(service: Service) -> None:
    service.sweep()
    early_reservation = add_deleted_reservation(service, NOW + MINUTE)
    late_reservation = add_deleted_reservation(service, NOW + 50 * MINUTE)
    service.clock.now += 60 * MINUTE
    requests = 0

    def throttle_from_second_window(verb: str) -> None:
        nonlocal requests
        requests += verb == "events"
        if requests > len(Status) - 1:  # one request per event type and window
            raise TaskRouterThrottled("429")

    service.taskrouter.when_called = throttle_from_second_window
    report = service.sweep()
    # The second window and the list of Tasks, which comes last, are left for the next run.
    assert (report["reconciled"], report["unreconciled"], report["ok"]) == (1, 2, True)
    assert service.record(early_reservation).status is Status.COMPLETED
    assert service.store.get(late_reservation.reservation_sid) is None

    service.taskrouter.when_called = lambda _verb: None
    service.clock.now += MINUTE
    assert service.sweep()["reconciled"] == 1
    assert service.record(late_reservation).status is Status.COMPLETED


def test_all_missed_reservations_are_recorded_even_if_lists_are_incomplete(
    service: Service,
) -> None:
    service.sweep()
    service.taskrouter.max_events = 4
    missed = [add_deleted_reservation(service, NOW + MINUTE + n * 2000) for n in range(20)]
    service.clock.now += 15 * MINUTE

    assert service.sweep()["unreconciled"] == 0
    assert {service.record(remote).status for remote in missed} == {Status.COMPLETED}


def test_too_many_events_within_one_second_do_not_block_later_events(service: Service) -> None:
    service.sweep()
    service.taskrouter.max_events = 3
    for _ in range(5):
        add_deleted_reservation(service, NOW + MINUTE, statuses=[Status.CANCELED])
    later_reservation = add_deleted_reservation(service, NOW + 2 * MINUTE)
    service.clock.now += 5 * MINUTE

    assert service.sweep()["reconciled"] == 4
    assert service.record(later_reservation).status is Status.COMPLETED


def test_progress_is_saved_after_a_window_that_used_up_the_time(service: Service) -> None:
    service.sweep()
    add_deleted_reservation(service, NOW + MINUTE, statuses=[Status.CANCELED])
    service.clock.now += 5 * MINUTE
    create_record, created = service.store.create_record, []

    def count_creation(*args: Any, **kwargs: Any) -> bool:
        created.append(args)
        return create_record(*args, **kwargs)

    service.store.create_record = count_creation  # type: ignore[method-assign]
    assert service.sweep(lambda: 24_000 if created else 60_000)["reconciled"] == 1

    service.clock.now += 5 * MINUTE
    _, progress = service.store.start_periodic_job(
        JOB, now=service.clock.now, retry_at=0, run_id="r"
    )
    assert progress[""] == NOW + 5 * MINUTE - 15_000


def test_tasks_and_events_alternate_if_time_is_short(service: Service) -> None:
    service.sweep()
    service.clock.now += 5 * MINUTE
    pending_reservation = service.taskrouter.add()
    ended_reservation = add_deleted_reservation(service, service.clock.now - MINUTE)
    requests: set[str] = set()
    service.taskrouter.when_called = requests.add

    for _ in range(2):
        requests.clear()
        # Each run has time to finish only one phase: the Tasks or the Events.
        service.sweep(lambda: 24_000 if {"tasks", "events"} <= requests else 60_000)
        service.clock.now += 5 * MINUTE

    assert service.record(pending_reservation).status is Status.PENDING
    assert service.record(ended_reservation).status is Status.COMPLETED


def test_end_time_is_recorded_as_creation_time_if_only_end_is_known(service: Service) -> None:
    service.sweep()
    remote = add_deleted_reservation(service, NOW + MINUTE, statuses=[Status.COMPLETED])
    service.clock.now += 8 * 60 * MINUTE
    service.sweep()

    assert service.record(remote).reserved_at == NOW + MINUTE


def test_events_older_than_taskrouters_retention_period_are_not_requested(service: Service) -> None:
    service.sweep()
    service.clock.now += 31 * 24 * 60 * MINUTE
    start_times: list[int] = []
    list_events = service.taskrouter.list_events

    def record_since(event_type: str, *, since: int, until: int) -> Any:
        start_times.append(since)
        return list_events(event_type, since=since, until=until)

    service.taskrouter.list_events = record_since  # type: ignore[method-assign]
    service.sweep(lambda: 24_000 if len(start_times) >= 8 else 60_000)
    assert min(start_times) == service.clock.now - 30 * 24 * 60 * MINUTE


def test_window_with_failed_request_is_read_again(service: Service) -> None:
    service.sweep()
    remote = add_deleted_reservation(service, NOW + MINUTE)
    service.clock.now += 5 * MINUTE
    service.taskrouter.fail_before["events"] = [TaskRouterUnavailable("500")]
    with pytest.raises(SweepFailed):
        service.sweep()

    service.clock.now += 15 * MINUTE
    service.sweep()
    assert service.record(remote).status is Status.COMPLETED


def test_reconciliation_does_not_start_if_time_is_short(service: Service) -> None:
    remote = add_deleted_reservation(service, NOW - MINUTE)

    assert service.sweep(time_left_ms=20_000)["reconciled"] == 0
    assert service.store.get(remote.reservation_sid) is None
    assert service.sweep()["reconciled"] == 1, (
        "the skipped reconciliation was not due in the next sweep"
    )


def test_accepted_reservation_found_in_events_is_checked_after_15_minutes(service: Service) -> None:
    service.deadlines = replace(DEADLINES, reservation_timeout=120)
    remote = service.taskrouter.add(Status.ACCEPTED)
    add_events(service, remote, (Status.PENDING, NOW - MINUTE), (Status.ACCEPTED, NOW - MINUTE))
    assert service.sweep()["reconciled"] == 1
    service.taskrouter.set_status(remote.reservation_sid, Status.COMPLETED)

    service.clock.now += 15 * MINUTE
    assert service.sweep()["mirrored"] == 1
    assert service.record(remote).status is Status.COMPLETED


def test_reported_final_status_replaces_status_gone(service: Service) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)
    service.sweep()
    service.taskrouter.remove(remote.reservation_sid)
    service.clock.now += 3 * MINUTE
    assert service.sweep()["gone"] == 1
    add_events(service, remote, (Status.PENDING, NOW), (Status.CANCELED, NOW + MINUTE))

    service.clock.now += 5 * MINUTE
    assert service.sweep()["reconciled"] == 1
    assert service.record(remote).status is Status.CANCELED


def test_progress_of_job_never_decreases(service: Service) -> None:
    service.store.start_periodic_job("job", now=NOW, retry_at=NOW, run_id="1")
    service.store.save_progress("job", {"": NOW, "a": NOW + 2})
    service.store.save_progress("job", {"": NOW, "a": NOW + 1})
    service.store.save_progress("job", {"": NOW - 1, "a": NOW + 3}, due_at=NOW + MINUTE)

    assert service.store.start_periodic_job("job", now=NOW, retry_at=NOW + MINUTE, run_id="2") == (
        True,
        {"": NOW, "a": NOW + 2},
    )
    assert not service.store.start_periodic_job(
        "job", now=NOW + MINUTE - 1, retry_at=0, run_id="3"
    )[0]


def record_lists(service: Service) -> dict[str, list[str]]:
    """Return a dictionary that collects the Event types and Task lists requested from now on."""
    listed: dict[str, list[str]] = {"events": [], "tasks": []}
    list_events = service.taskrouter.list_events

    def list_and_record(event_type: str, *, since: int, until: int) -> Any:
        listed["events"].append(event_type)
        return list_events(event_type, since=since, until=until)

    service.taskrouter.list_events = list_and_record  # type: ignore[method-assign]
    service.taskrouter.when_called = lambda verb: (
        listed["tasks"].append(verb) if verb == "tasks" else None
    )
    return listed


def make_lists_fail(service: Service, failing: Iterable[str], error: Exception) -> None:
    """Make requests for lists fail. *failing* may contain Event types and `tasks`."""
    list_events, list_tasks = service.taskrouter.list_events, service.taskrouter.list_reserved_tasks
    failing = set(failing)

    def list_or_fail(event_type: str, *, since: int, until: int) -> Any:
        if event_type in failing:
            raise error
        return list_events(event_type, since=since, until=until)

    def list_tasks_or_fail() -> Any:
        if "tasks" in failing:
            raise error
        return list_tasks()

    service.taskrouter.list_events = list_or_fail  # type: ignore[method-assign]
    service.taskrouter.list_reserved_tasks = list_tasks_or_fail  # type: ignore[method-assign]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    failing=st.sets(st.sampled_from(["tasks", *EVENT_TYPES]), min_size=1),
    error=st.sampled_from(
        [TaskRouterUnavailable("500"), TaskRouterNotSent("refused"), TaskRouterThrottled("429")]
    ),
    failures=st.integers(1, 3),
)
def test_only_failed_parts_are_repeated_within_a_minute(
    store: DynamoReservationStore, failing: set[str], error: Exception, failures: int
) -> None:
    store._client.delete_item(TableName=store._state, Key={"id": {"S": JOB}})
    service = Service(store, FakeTaskRouter(), ManualClock())
    service.sweep()
    service.clock.now += 5 * MINUTE
    taskrouter = service.taskrouter
    pending = taskrouter.add()
    ended = add_deleted_reservation(service, service.clock.now - MINUTE)
    for _ in range(failures):
        service.taskrouter = copy(taskrouter)
        make_lists_fail(service, failing, error)
        with suppress(SweepFailed):
            service.sweep()
        service.clock.now += MINUTE

    service.taskrouter = copy(taskrouter)
    listed = record_lists(service)
    report = service.sweep()
    # A throttled request ends the run, which may then leave other parts for the next run as well.
    if not isinstance(error, TaskRouterThrottled):
        assert sorted([*listed["tasks"], *listed["events"]]) == sorted(failing)
    assert report["unreconciled"] == 0
    assert service.record(pending).status is Status.PENDING
    assert service.record(ended).status is Status.COMPLETED


def test_two_failed_reconciliations_delay_the_records_by_two_minutes(service: Service) -> None:
    service.sweep()
    service.clock.now += 5 * MINUTE
    ended = add_deleted_reservation(service, service.clock.now - MINUTE)
    for _ in range(2):
        service.taskrouter.fail_before["events"] = [TaskRouterUnavailable("500")]
        with pytest.raises(SweepFailed):
            service.sweep()
        service.clock.now += MINUTE
    service.sweep()

    assert service.record(ended).status is Status.COMPLETED
    assert service.record(ended).history[0].at <= NOW + 7 * MINUTE


@pytest.mark.parametrize("delay_seconds", [0, 1, 20, 49, 50, 55, 59, 70, 119])
@pytest.mark.parametrize("fault", ["failure", "crash"])
def test_next_sweep_repeats_the_failed_reconciliation_of_a_slow_sweep(
    service: Service, delay_seconds: int, fault: str
) -> None:
    service.sweep()
    service.clock.now += 5 * MINUTE
    started = service.clock.now
    ended = add_deleted_reservation(service, started - MINUTE)
    due = service.taskrouter.add(created_at=started - 10 * MINUTE)
    service.post_event(due, Status.PENDING)
    service.store._client.update_item(
        TableName=service.store._reservations,
        Key={"reservation_sid": {"S": due.reservation_sid}},
        UpdateExpression="SET due_at = :now",
        ExpressionAttributeValues={":now": {"N": str(started)}},
    )

    def delay_fetch(verb: str) -> None:
        if verb == "fetch":
            service.clock.now += delay_seconds * 1000

    service.taskrouter.when_called = delay_fetch
    if fault == "crash":
        service.taskrouter.fail_before["tasks"] = [KeyboardInterrupt()]
    service.taskrouter.fail_before["events"] = [TaskRouterUnavailable("500")] * 8
    with pytest.raises((SweepFailed, KeyboardInterrupt, AssertionError)):
        service.sweep()
    # The reconciliation precedes the checks, so its crash prevents the checks.
    delay_seconds = 0 if fault == "crash" else delay_seconds
    assert service.clock.now == started + delay_seconds * 1000
    service.taskrouter.when_called = lambda _verb: None
    service.taskrouter.fail_before.clear()

    service.clock.now = started + (delay_seconds // 60 + 1) * MINUTE
    service.sweep()
    assert service.record(ended).status is Status.COMPLETED


def test_failed_reconciliation_of_a_long_sweep_is_not_repeated_immediately(
    service: Service,
) -> None:
    """A sweep may take longer than a minute if `lambda_timeout` is longer."""
    for delay_seconds in (0, 49, 60, 109, 180):
        make_reconciliation_due(service.store, service.clock.now)
        budget = RunBudget(service.clock, lambda: 60_000)
        service.clock.now += delay_seconds * 1000
        collaborators = make_collaborators(service.store, service.taskrouter, service.clock)
        service.taskrouter.fail_before["tasks"] = [TaskRouterUnavailable("500")]
        assert None in reconcile(collaborators, budget, map)

        concurrent = RunBudget(service.clock, lambda: 60_000)
        assert reconcile(collaborators, concurrent, map) == []
        service.clock.now += 10 * MINUTE


def test_reconciliation_interrupted_by_a_crash_is_repeated_within_a_minute(
    service: Service,
) -> None:
    ended = add_deleted_reservation(service, NOW - MINUTE)
    service.taskrouter.fail_before["tasks"] = [KeyboardInterrupt()]
    with pytest.raises((KeyboardInterrupt, AssertionError)):
        service.sweep()
    service.clock.now += MINUTE
    service.sweep()
    assert service.record(ended).status is Status.COMPLETED


def test_parts_are_not_repeated_before_five_minutes_have_passed(service: Service) -> None:
    service.sweep()
    listed = record_lists(service)
    for _ in range(4):
        service.clock.now += MINUTE
        service.sweep()
    assert listed == {"events": [], "tasks": []}


def test_parts_whose_progress_was_not_saved_are_repeated_within_a_minute(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise StoreUnavailable("DynamoDB is down")

    with monkeypatch.context() as patch:
        patch.setattr(service.store, "save_progress", fail)
        with pytest.raises(SweepFailed):
            service.sweep()
    listed = record_lists(service)
    service.clock.now += MINUTE
    service.sweep()
    assert len(listed["events"]) >= len(EVENT_TYPES)
    assert listed["tasks"] == ["tasks"]


def test_progress_saved_by_an_earlier_version_is_used(service: Service) -> None:
    service.clock.now = NOW + 8 * MINUTE
    old = {"id": JOB, "at": NOW, "done_until": NOW - 15_000}
    service.store._client.put_item(TableName=service.store._state, Item=to_item(old))
    ended = add_deleted_reservation(service, NOW + MINUTE)
    long_ended = add_deleted_reservation(service, NOW - 30 * MINUTE)

    assert service.sweep()["reconciled"] == 1
    assert service.record(ended).status is Status.COMPLETED
    assert service.store.get(long_ended.reservation_sid) is None
    item = service.store._client.get_item(TableName=service.store._state, Key={"id": {"S": JOB}})[
        "Item"
    ]
    # An earlier version reads these two attributes.
    assert (item["at"], item["done_until"]) == (
        {"N": str(NOW + 8 * MINUTE)},
        {"N": str(NOW + 8 * MINUTE - 15_000)},
    )


def test_statuses_of_more_than_100_records_are_fetched(service: Service) -> None:
    remotes = [service.taskrouter.add() for _ in range(130)]
    for remote in remotes:
        service.assign(remote)
    sids = {remote.reservation_sid for remote in remotes}

    statuses = service.store.fetch_statuses(sids | {"WR" + "f" * 32})
    assert statuses == dict.fromkeys(sids, Status.PENDING)


def test_unreadable_event_fails_sweep_but_does_not_block_other_events(
    service: Service,
) -> None:
    remote = add_deleted_reservation(service, NOW - MINUTE)
    service.taskrouter.unreadable_events = 1
    with pytest.raises(SweepFailed):
        service.sweep()
    assert service.record(remote).status is Status.COMPLETED

    service.taskrouter.unreadable_events = 0
    service.clock.now += 15 * MINUTE
    assert service.sweep()["ok"] is True


def test_ended_task_in_the_list_of_reserved_tasks_causes_no_failure(service: Service) -> None:
    remote = service.taskrouter.add()
    service.taskrouter.fail_before["list"] = [TaskRouterNotFound("404")]
    report = service.sweep()
    assert (report["reconciled"], report["unreconciled"], report["ok"]) == (0, 0, True)
    assert service.store.get(remote.reservation_sid) is None
