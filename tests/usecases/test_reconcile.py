"""What nobody told us is found: by the Tasks that are reserved, and by TaskRouter's own Events."""

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


def happened(world: World, seen: RemoteReservation, *story: tuple[Status, int]) -> None:
    """Have TaskRouter note what became of a Reservation, and when."""
    for status, at in story:
        world.taskrouter.happened(seen, status, at=at)


def lived_and_ended(
    world: World, at: int, *, statuses: Iterable[Status] = LIFE
) -> RemoteReservation:
    """A Reservation of which we have not heard, and of which TaskRouter has forgotten all else."""
    seen = world.taskrouter.add()
    world.taskrouter.forget(seen.reservation_sid)
    happened(world, seen, *((status, at + n * 1000) for n, status in enumerate(statuses)))
    return seen


def test_a_reservation_whose_callback_never_came_is_recorded_within_five_minutes(
    world: World,
) -> None:
    assert world.sweep()["reconciled"] == 0
    seen = world.taskrouter.add()

    world.clock.now += 299_999
    assert world.sweep()["reconciled"] == 0
    world.clock.now += 1
    assert world.sweep()["reconciled"] == 1

    record = world.record(seen)
    assert (record.status, record.callback, record.history[0].by) == (
        Status.PENDING,
        None,
        "reconcile",
    )
    assert record.expires_at == NOW + 120_000


def test_what_is_recorded_already_is_not_touched_by_reconciling(world: World) -> None:
    seen = world.taskrouter.add()
    world.assign(seen)
    before = world.record(seen)

    assert world.sweep()["reconciled"] == 0
    assert world.record(seen) == before


def test_two_sweeps_at_once_reconcile_once(world: World) -> None:
    reports = []

    def another(verb: str) -> None:
        if verb == "tasks":
            world.taskrouter.when_called = lambda _verb: None
            reports.append(world.sweep())

    world.taskrouter.add()
    world.taskrouter.when_called = another
    reports.append(world.sweep())

    assert sorted(report["reconciled"] for report in reports) == [0, 1]
    assert world.taskrouter.calls["tasks"] == 1


def test_reconciling_counts_the_tasks_and_events_that_it_could_not_come_to(
    world: World,
) -> None:
    for _ in range(3):
        world.taskrouter.add()
    world.taskrouter.fail_before["list"] = [TaskRouterThrottled("429")] * 100

    report = world.sweep()
    assert (report["reconciled"], report["unreconciled"], report["ok"]) == (0, 4, True)


def test_reconciling_with_a_refused_key_fails_the_sweep(world: World) -> None:
    world.taskrouter.fail_before["tasks"] = [TaskRouterDenied("401")]
    with pytest.raises(SweepFailed):
        world.sweep()


def test_a_reservation_that_lived_and_ended_while_we_heard_nothing_is_recorded(
    world: World,
) -> None:
    world.sweep()
    seen = lived_and_ended(world, NOW + MINUTE)
    world.clock.now += 5 * MINUTE

    assert world.sweep()["reconciled"] == 1

    record = world.record(seen)
    assert [change.to for change in record.history] == list(LIFE)
    assert {change.by for change in record.history} == {"reconcile"}
    assert (record.status, record.reserved_at, record.callback) == (
        Status.COMPLETED,
        NOW + MINUTE,
        None,
    )
    assert record.task_attributes == '{"selected_language": "es"}'


def test_a_story_is_recorded_in_the_order_in_which_it_happened(world: World) -> None:
    story = [Status.PENDING, Status.ACCEPTED, Status.WRAPPING, Status.CANCELED]
    seen = lived_and_ended(world, NOW - MINUTE, statuses=story)
    world.sweep()

    assert [change.to for change in world.record(seen).history] == story


def test_an_end_of_which_we_were_not_told_is_mirrored_by_the_next_reconciliation(
    world: World,
) -> None:
    seen = world.taskrouter.add()
    world.assign(seen)
    world.accept(seen)
    world.sweep()
    world.taskrouter.becomes(seen.reservation_sid, Status.COMPLETED)
    happened(world, seen, *((status, NOW + MINUTE) for status in LIFE))
    world.clock.now += 5 * MINUTE  # the sweep's own look at an accepted one comes after 15

    report = world.sweep()
    assert (report["due"], report["reconciled"]) == (0, 1)
    assert world.record(seen).status is Status.COMPLETED


def test_events_that_we_have_heard_cost_no_write(world: World) -> None:
    world.sweep()
    seen = world.taskrouter.add()
    world.assign(seen)
    happened(world, seen, (Status.PENDING, NOW))
    before = world.record(seen)
    world.clock.now += 5 * MINUTE

    assert world.sweep()["reconciled"] == 0
    assert world.record(seen).history == before.history


def test_what_may_still_be_on_its_way_to_us_is_left_for_the_next_time(world: World) -> None:
    world.sweep()
    world.clock.now += 5 * MINUTE
    seen = lived_and_ended(world, world.clock.now - 10_000)
    assert world.sweep()["reconciled"] == 0

    world.clock.now += 5 * MINUTE
    assert world.sweep()["reconciled"] == 1
    assert world.record(seen).status is Status.COMPLETED


def test_an_event_that_shows_up_late_in_the_list_is_found_by_the_overlap(world: World) -> None:
    world.sweep()
    world.clock.now += 5 * MINUTE
    world.sweep()
    seen = lived_and_ended(world, world.clock.now - 50_000, statuses=[Status.PENDING])

    world.clock.now += 5 * MINUTE
    assert world.sweep()["reconciled"] == 1
    assert world.record(seen).status is Status.PENDING


def test_after_hours_without_a_sweep_all_of_them_are_caught_up_with(world: World) -> None:
    world.sweep()
    lost = [lived_and_ended(world, NOW + hours * 60 * MINUTE) for hours in range(1, 8)]
    world.clock.now += 8 * 60 * MINUTE

    assert world.sweep()["reconciled"] == len(lost)
    assert {world.record(seen).status for seen in lost} == {Status.COMPLETED}


def test_what_a_run_does_not_come_to_the_next_one_does(world: World) -> None:
    world.sweep()
    early = lived_and_ended(world, NOW + MINUTE)
    late = lived_and_ended(world, NOW + 50 * MINUTE)
    world.clock.now += 60 * MINUTE
    asked = 0

    def throttle_from_the_second_window_on(verb: str) -> None:
        nonlocal asked
        asked += verb == "events"
        if asked > len(Status) - 1:  # a question a type of event, and window
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


def test_of_more_events_than_are_told_at_once_none_is_missed(world: World) -> None:
    world.sweep()
    world.taskrouter.most_events = 4
    lost = [lived_and_ended(world, NOW + MINUTE + n * 2000) for n in range(20)]
    world.clock.now += 15 * MINUTE

    assert world.sweep()["unreconciled"] == 0
    assert {world.record(seen).status for seen in lost} == {Status.COMPLETED}


def test_many_events_within_a_second_hold_up_nothing(world: World) -> None:
    world.sweep()
    world.taskrouter.most_events = 3
    for _ in range(5):
        lived_and_ended(world, NOW + MINUTE, statuses=[Status.CANCELED])
    later = lived_and_ended(world, NOW + 2 * MINUTE)
    world.clock.now += 5 * MINUTE

    assert world.sweep()["reconciled"] == 4
    assert world.record(later).status is Status.COMPLETED


def test_a_window_that_took_all_the_time_is_not_read_again(world: World) -> None:
    world.sweep()
    lived_and_ended(world, NOW + MINUTE, statuses=[Status.CANCELED])
    world.clock.now += 5 * MINUTE
    create_record, written = world.store.create_record, []

    def last_write(*given: Any, **named: Any) -> bool:
        written.append(given)
        return create_record(*given, **named)

    world.store.create_record = last_write  # type: ignore[method-assign]
    assert world.sweep(lambda: 24_000 if written else 60_000)["reconciled"] == 1

    world.clock.now += 5 * MINUTE
    _, done_until = world.store.start_periodic_job(JOB, now=world.clock.now, every_ms=0)
    assert done_until == NOW + 5 * MINUTE - 15_000


def test_neither_question_takes_the_time_of_the_other_every_time(world: World) -> None:
    world.sweep()
    world.clock.now += 5 * MINUTE
    waiting = world.taskrouter.add()
    ended = lived_and_ended(world, world.clock.now - MINUTE)
    asked: set[str] = set()
    world.taskrouter.when_called = asked.add

    for _ in range(2):
        asked.clear()
        # Each time there is time for one of them.
        world.sweep(lambda: 24_000 if {"tasks", "events"} <= asked else 60_000)
        world.clock.now += 5 * MINUTE

    assert world.record(waiting).status is Status.PENDING
    assert world.record(ended).status is Status.COMPLETED


def test_what_is_first_heard_of_by_its_end_was_there_by_then(world: World) -> None:
    world.sweep()
    seen = lived_and_ended(world, NOW + MINUTE, statuses=[Status.COMPLETED])
    world.clock.now += 8 * 60 * MINUTE
    world.sweep()

    assert world.record(seen).reserved_at == NOW + MINUTE


def test_nothing_is_asked_for_that_is_older_than_taskrouter_keeps_it(world: World) -> None:
    world.sweep()
    world.clock.now += 31 * 24 * 60 * MINUTE
    oldest: list[int] = []
    ask = world.taskrouter.list_events

    def noted(event_type: str, *, since: int, until: int) -> Any:
        oldest.append(since)
        return ask(event_type, since=since, until=until)

    world.taskrouter.list_events = noted  # type: ignore[method-assign]
    world.sweep(lambda: 24_000 if len(oldest) >= 8 else 60_000)
    assert min(oldest) == world.clock.now - 30 * 24 * 60 * MINUTE


def test_a_window_of_which_one_question_failed_is_read_again(world: World) -> None:
    world.sweep()
    seen = lived_and_ended(world, NOW + MINUTE)
    world.clock.now += 5 * MINUTE
    world.taskrouter.fail_before["events"] = [TaskRouterUnavailable("500")]
    with pytest.raises(SweepFailed):
        world.sweep()

    world.clock.now += 15 * MINUTE
    world.sweep()
    assert world.record(seen).status is Status.COMPLETED


def test_without_time_nothing_is_begun(world: World) -> None:
    seen = lived_and_ended(world, NOW - MINUTE)

    assert world.sweep(time_left_ms=20_000)["reconciled"] == 0
    assert world.store.get(seen.reservation_sid) is None
    assert world.sweep()["reconciled"] == 1, "it was not begun, so it is still time to"


def test_a_reservation_found_open_by_its_events_is_looked_at_in_time(world: World) -> None:
    world.deadlines = replace(DEADLINES, reservation_timeout=120)
    seen = world.taskrouter.add(Status.ACCEPTED)
    happened(world, seen, (Status.PENDING, NOW - MINUTE), (Status.ACCEPTED, NOW - MINUTE))
    assert world.sweep()["reconciled"] == 1
    world.taskrouter.becomes(seen.reservation_sid, Status.COMPLETED)

    world.clock.now += 15 * MINUTE
    assert world.sweep()["mirrored"] == 1
    assert world.record(seen).status is Status.COMPLETED


def test_the_real_end_is_heard_after_gone(world: World) -> None:
    seen = world.taskrouter.add()
    world.assign(seen)
    world.sweep()
    world.taskrouter.forget(seen.reservation_sid)
    world.clock.now += 3 * MINUTE
    assert world.sweep()["gone"] == 1
    happened(world, seen, (Status.PENDING, NOW), (Status.CANCELED, NOW + MINUTE))

    world.clock.now += 5 * MINUTE
    assert world.sweep()["reconciled"] == 1
    assert world.record(seen).status is Status.CANCELED


def test_a_job_done_further_by_another_run_is_not_set_back(world: World) -> None:
    world.store.start_periodic_job("job", now=NOW, every_ms=MINUTE)
    world.store.save_progress("job", done_until=NOW + 2)
    world.store.save_progress("job", done_until=NOW + 1)

    assert world.store.start_periodic_job("job", now=NOW + MINUTE, every_ms=MINUTE) == (
        True,
        NOW + 2,
    )


def test_statuses_are_told_of_any_number_of_records(world: World) -> None:
    every = [world.taskrouter.add() for _ in range(130)]
    for seen in every:
        world.assign(seen)
    sids = {seen.reservation_sid for seen in every}

    told = world.store.fetch_statuses(sids | {"WR" + "f" * 32})
    assert told == dict.fromkeys(sids, Status.PENDING)


def test_an_event_that_can_not_be_read_makes_the_alarm_fire_and_holds_up_no_other(
    world: World,
) -> None:
    seen = lived_and_ended(world, NOW - MINUTE)
    world.taskrouter.unreadable_events = 1
    with pytest.raises(SweepFailed):
        world.sweep()
    assert world.record(seen).status is Status.COMPLETED

    world.taskrouter.unreadable_events = 0
    world.clock.now += 15 * MINUTE
    assert world.sweep()["ok"] is True
