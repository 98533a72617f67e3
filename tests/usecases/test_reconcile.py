"""Reconciliation finds unreported Reservations by reserved Tasks and by TaskRouter's Events."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.domain.errors import (
    SweepFailed,
    TaskRouterDenied,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.reservations import RemoteReservation, Status
from chalicelib.usecases.reconcile import JOB
from tests.support import DEADLINES, NOW
from tests.usecases.conftest import World

MINUTE = 60_000
LIFE = (Status.PENDING, Status.ACCEPTED, Status.COMPLETED)


def add_events(world: World, remote: RemoteReservation, *changes: tuple[Status, int]) -> None:
    """Add a Reservation's status changes to TaskRouter's list of Events."""
    for status, at in changes:
        world.taskrouter.add_event(remote, status, at=at)


def add_ended_reservation(
    world: World, at: int, *, statuses: Iterable[Status] = LIFE
) -> RemoteReservation:
    """Add an unreported Reservation that TaskRouter has already deleted; its Events remain."""
    remote = world.taskrouter.add()
    world.taskrouter.remove(remote.reservation_sid)
    add_events(world, remote, *((status, at + n * 1000) for n, status in enumerate(statuses)))
    return remote


def test_reservation_without_callback_is_recorded_within_five_minutes(
    world: World,
) -> None:
    assert world.sweep()["reconciled"] == 0
    remote = world.taskrouter.add()

    world.clock.now += 299_999
    assert world.sweep()["reconciled"] == 0
    world.clock.now += 1
    assert world.sweep()["reconciled"] == 1

    record = world.record(remote)
    assert (record.status, record.callback, record.history[0].by) == (
        Status.PENDING,
        None,
        "reconcile",
    )
    assert record.expires_at == NOW + 120_000


def test_reconciliation_does_not_change_existing_record(world: World) -> None:
    remote = world.taskrouter.add()
    world.assign(remote)
    before = world.record(remote)

    assert world.sweep()["reconciled"] == 0
    assert world.record(remote) == before


def test_concurrent_sweeps_reconcile_once(world: World) -> None:
    reports = []

    def sweep_again(verb: str) -> None:
        if verb == "tasks":
            world.taskrouter.when_called = lambda _verb: None
            reports.append(world.sweep())

    world.taskrouter.add()
    world.taskrouter.when_called = sweep_again
    reports.append(world.sweep())

    assert sorted(report["reconciled"] for report in reports) == [0, 1]
    assert world.taskrouter.calls["tasks"] == 1


def test_reconciliation_counts_steps_that_it_did_not_finish(
    world: World,
) -> None:
    for _ in range(3):
        world.taskrouter.add()
    world.taskrouter.fail_before["list"] = [TaskRouterThrottled("429")] * 100

    report = world.sweep()
    assert (report["reconciled"], report["unreconciled"], report["ok"]) == (0, 4, True)


def test_reconciliation_with_refused_key_fails_sweep(world: World) -> None:
    world.taskrouter.fail_before["tasks"] = [TaskRouterDenied("401")]
    with pytest.raises(SweepFailed):
        world.sweep()


def test_unreported_ended_reservation_is_recorded(
    world: World,
) -> None:
    world.sweep()
    remote = add_ended_reservation(world, NOW + MINUTE)
    world.clock.now += 5 * MINUTE

    assert world.sweep()["reconciled"] == 1

    record = world.record(remote)
    assert [change.to for change in record.history] == list(LIFE)
    assert {change.by for change in record.history} == {"reconcile"}
    assert (record.status, record.reserved_at, record.callback) == (
        Status.COMPLETED,
        NOW + MINUTE,
        None,
    )
    assert record.task_attributes == '{"selected_language": "es"}'


def test_events_are_recorded_in_chronological_order(world: World) -> None:
    statuses = [Status.PENDING, Status.ACCEPTED, Status.WRAPPING, Status.CANCELED]
    remote = add_ended_reservation(world, NOW - MINUTE, statuses=statuses)
    world.sweep()

    assert [change.to for change in world.record(remote).history] == statuses


def test_missed_end_is_recorded_by_next_reconciliation(
    world: World,
) -> None:
    remote = world.taskrouter.add()
    world.assign(remote)
    world.accept(remote)
    world.sweep()
    world.taskrouter.set_status(remote.reservation_sid, Status.COMPLETED)
    add_events(world, remote, *((status, NOW + MINUTE) for status in LIFE))
    world.clock.now += 5 * MINUTE  # the sweep checks an accepted Reservation after 15 minutes

    report = world.sweep()
    assert (report["due"], report["reconciled"]) == (0, 1)
    assert world.record(remote).status is Status.COMPLETED


def test_recorded_events_cause_no_write(world: World) -> None:
    world.sweep()
    remote = world.taskrouter.add()
    world.assign(remote)
    add_events(world, remote, (Status.PENDING, NOW))
    before = world.record(remote)
    world.clock.now += 5 * MINUTE

    assert world.sweep()["reconciled"] == 0
    assert world.record(remote).history == before.history


def test_recent_events_are_left_for_next_reconciliation(world: World) -> None:
    world.sweep()
    world.clock.now += 5 * MINUTE
    remote = add_ended_reservation(world, world.clock.now - 10_000)
    assert world.sweep()["reconciled"] == 0

    world.clock.now += 5 * MINUTE
    assert world.sweep()["reconciled"] == 1
    assert world.record(remote).status is Status.COMPLETED


def test_overlap_finds_event_that_is_listed_late(world: World) -> None:
    world.sweep()
    world.clock.now += 5 * MINUTE
    world.sweep()
    remote = add_ended_reservation(world, world.clock.now - 50_000, statuses=[Status.PENDING])

    world.clock.now += 5 * MINUTE
    assert world.sweep()["reconciled"] == 1
    assert world.record(remote).status is Status.PENDING


def test_reconciliation_covers_hours_without_sweep(world: World) -> None:
    world.sweep()
    missed = [add_ended_reservation(world, NOW + hours * 60 * MINUTE) for hours in range(1, 8)]
    world.clock.now += 8 * 60 * MINUTE

    assert world.sweep()["reconciled"] == len(missed)
    assert {world.record(remote).status for remote in missed} == {Status.COMPLETED}


def test_next_run_continues_interrupted_reconciliation(world: World) -> None:
    world.sweep()
    early = add_ended_reservation(world, NOW + MINUTE)
    late = add_ended_reservation(world, NOW + 50 * MINUTE)
    world.clock.now += 60 * MINUTE
    requests = 0

    def throttle_from_the_second_window_on(verb: str) -> None:
        nonlocal requests
        requests += verb == "events"
        if requests > len(Status) - 1:  # one request per event type and window
            raise TaskRouterThrottled("429")

    world.taskrouter.when_called = throttle_from_the_second_window_on
    report = world.sweep()
    assert (report["reconciled"], report["unreconciled"], report["ok"]) == (1, 1, True)
    assert world.record(early).status is Status.COMPLETED
    assert world.store.get(late.reservation_sid) is None

    world.taskrouter.when_called = lambda _verb: None
    world.clock.now += 5 * MINUTE
    assert world.sweep()["reconciled"] == 1
    assert world.record(late).status is Status.COMPLETED


def test_no_event_is_missed_in_incomplete_pages(world: World) -> None:
    world.sweep()
    world.taskrouter.max_events = 4
    missed = [add_ended_reservation(world, NOW + MINUTE + n * 2000) for n in range(20)]
    world.clock.now += 15 * MINUTE

    assert world.sweep()["unreconciled"] == 0
    assert {world.record(remote).status for remote in missed} == {Status.COMPLETED}


def test_many_events_within_one_second_do_not_block_others(world: World) -> None:
    world.sweep()
    world.taskrouter.max_events = 3
    for _ in range(5):
        add_ended_reservation(world, NOW + MINUTE, statuses=[Status.CANCELED])
    later = add_ended_reservation(world, NOW + 2 * MINUTE)
    world.clock.now += 5 * MINUTE

    assert world.sweep()["reconciled"] == 4
    assert world.record(later).status is Status.COMPLETED


def test_window_that_used_all_time_is_not_read_again(world: World) -> None:
    world.sweep()
    add_ended_reservation(world, NOW + MINUTE, statuses=[Status.CANCELED])
    world.clock.now += 5 * MINUTE
    create_record, written = world.store.create_record, []

    def last_write(*args: Any, **kwargs: Any) -> bool:
        written.append(args)
        return create_record(*args, **kwargs)

    world.store.create_record = last_write  # type: ignore[method-assign]
    assert world.sweep(lambda: 24_000 if written else 60_000)["reconciled"] == 1

    world.clock.now += 5 * MINUTE
    _, done_until = world.store.start_periodic_job(JOB, now=world.clock.now, every_ms=0)
    assert done_until == NOW + 5 * MINUTE - 15_000


def test_tasks_and_events_alternate_if_time_is_short(world: World) -> None:
    world.sweep()
    world.clock.now += 5 * MINUTE
    waiting = world.taskrouter.add()
    ended = add_ended_reservation(world, world.clock.now - MINUTE)
    requests: set[str] = set()
    world.taskrouter.when_called = requests.add

    for _ in range(2):
        requests.clear()
        # Each run has time for only one of the two.
        world.sweep(lambda: 24_000 if {"tasks", "events"} <= requests else 60_000)
        world.clock.now += 5 * MINUTE

    assert world.record(waiting).status is Status.PENDING
    assert world.record(ended).status is Status.COMPLETED


def test_creation_time_is_the_end_if_only_the_end_is_known(world: World) -> None:
    world.sweep()
    remote = add_ended_reservation(world, NOW + MINUTE, statuses=[Status.COMPLETED])
    world.clock.now += 8 * 60 * MINUTE
    world.sweep()

    assert world.record(remote).reserved_at == NOW + MINUTE


def test_events_older_than_taskrouter_retention_are_not_requested(world: World) -> None:
    world.sweep()
    world.clock.now += 31 * 24 * 60 * MINUTE
    oldest: list[int] = []
    list_events = world.taskrouter.list_events

    def record_since(event_type: str, *, since: int, until: int) -> Any:
        oldest.append(since)
        return list_events(event_type, since=since, until=until)

    world.taskrouter.list_events = record_since  # type: ignore[method-assign]
    world.sweep(lambda: 24_000 if len(oldest) >= 8 else 60_000)
    assert min(oldest) == world.clock.now - 30 * 24 * 60 * MINUTE


def test_window_with_failed_request_is_read_again(world: World) -> None:
    world.sweep()
    remote = add_ended_reservation(world, NOW + MINUTE)
    world.clock.now += 5 * MINUTE
    world.taskrouter.fail_before["events"] = [TaskRouterUnavailable("500")]
    with pytest.raises(SweepFailed):
        world.sweep()

    world.clock.now += 15 * MINUTE
    world.sweep()
    assert world.record(remote).status is Status.COMPLETED


def test_reconciliation_does_not_start_if_time_is_short(world: World) -> None:
    remote = add_ended_reservation(world, NOW - MINUTE)

    assert world.sweep(time_left_ms=20_000)["reconciled"] == 0
    assert world.store.get(remote.reservation_sid) is None
    assert world.sweep()["reconciled"] == 1, "the job has not started, so it is still due"


def test_open_reservation_found_by_events_is_checked_in_time(world: World) -> None:
    world.deadlines = replace(DEADLINES, reservation_timeout=120)
    remote = world.taskrouter.add(Status.ACCEPTED)
    add_events(world, remote, (Status.PENDING, NOW - MINUTE), (Status.ACCEPTED, NOW - MINUTE))
    assert world.sweep()["reconciled"] == 1
    world.taskrouter.set_status(remote.reservation_sid, Status.COMPLETED)

    world.clock.now += 15 * MINUTE
    assert world.sweep()["mirrored"] == 1
    assert world.record(remote).status is Status.COMPLETED


def test_final_status_is_recorded_after_gone(world: World) -> None:
    remote = world.taskrouter.add()
    world.assign(remote)
    world.sweep()
    world.taskrouter.remove(remote.reservation_sid)
    world.clock.now += 3 * MINUTE
    assert world.sweep()["gone"] == 1
    add_events(world, remote, (Status.PENDING, NOW), (Status.CANCELED, NOW + MINUTE))

    world.clock.now += 5 * MINUTE
    assert world.sweep()["reconciled"] == 1
    assert world.record(remote).status is Status.CANCELED


def test_progress_of_job_never_decreases(world: World) -> None:
    world.store.start_periodic_job("job", now=NOW, every_ms=MINUTE)
    world.store.save_progress("job", done_until=NOW + 2)
    world.store.save_progress("job", done_until=NOW + 1)

    assert world.store.start_periodic_job("job", now=NOW + MINUTE, every_ms=MINUTE) == (
        True,
        NOW + 2,
    )


def test_statuses_of_any_number_of_records_are_fetched(world: World) -> None:
    remotes = [world.taskrouter.add() for _ in range(130)]
    for remote in remotes:
        world.assign(remote)
    sids = {remote.reservation_sid for remote in remotes}

    statuses = world.store.fetch_statuses(sids | {"WR" + "f" * 32})
    assert statuses == dict.fromkeys(sids, Status.PENDING)


def test_unreadable_event_fails_sweep_but_does_not_block_others(
    world: World,
) -> None:
    remote = add_ended_reservation(world, NOW - MINUTE)
    world.taskrouter.unreadable_events = 1
    with pytest.raises(SweepFailed):
        world.sweep()
    assert world.record(remote).status is Status.COMPLETED

    world.taskrouter.unreadable_events = 0
    world.clock.now += 15 * MINUTE
    assert world.sweep()["ok"] is True
