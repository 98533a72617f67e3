from dataclasses import replace

import pytest

from chalicelib.domain.errors import StoreUnavailable, TaskRouterThrottled, Unsettled
from chalicelib.domain.instructions import Accept, Defer
from chalicelib.domain.reservations import Status
from tests.support import DEADLINES, NOW
from tests.usecases.conftest import ACCEPT, World


def test_a_callback_is_recorded_with_every_parameter_and_deferred(world: World) -> None:
    seen = world.taskrouter.add()

    assert world.assign(seen) == {}

    record = world.record(seen)
    assert record.status is Status.PENDING
    assert record.expires_at == NOW + 120_000
    assert record.callback == {
        "ReservationSid": seen.reservation_sid,
        "TaskSid": seen.task_sid,
        "WorkerSid": seen.worker_sid,
        "WorkflowSid": "WW" + "0" * 32,
        "TaskQueueSid": "WQ" + "0" * 32,
        "TaskAttributes": '{"selected_language": "es"}',
        "WorkerAttributes": '{"languages": ["en", "es"]}',
        "TaskAge": "1",
    }


def test_the_same_reservation_gets_the_first_answer_whatever_the_setting_says_now(
    world: World,
) -> None:
    seen = world.taskrouter.add()

    assert world.assign(seen, Accept()) == {"instruction": "accept"}
    before = world.record(seen)
    world.clock.now += 5_000

    assert world.assign(seen, Defer()) == {"instruction": "accept"}
    assert world.record(seen) == before


def test_the_same_reservation_gets_the_first_answer_after_its_end(world: World) -> None:
    seen = world.taskrouter.add()
    world.assign(seen, ACCEPT)
    world.taskrouter.becomes(seen.reservation_sid, Status.CANCELED)
    world.clock.now += 16_000
    world.sweep()

    assert world.assign(seen) == {"instruction": "accept"}
    assert world.record(seen).status is Status.CANCELED


def test_a_callback_after_the_decision_is_deferred_and_keeps_what_it_carried(
    world: World,
) -> None:
    seen = world.taskrouter.add()
    world.accept(seen, task_sid=seen.task_sid)

    assert world.assign(seen, ACCEPT) == {}

    record = world.record(seen)
    assert record.status is Status.ACCEPTED
    assert record.callback is not None
    assert record.answer == {}


def test_a_callback_that_meets_a_decision_under_way_is_deferred(world: World) -> None:
    seen = world.taskrouter.add()
    answers = []

    def callback_in_between(verb: str) -> None:
        if verb == "update":
            answers.append(world.assign(seen, ACCEPT))

    world.taskrouter.when_called = callback_in_between
    world.reject(seen, task_sid=seen.task_sid)

    assert answers == [{}]
    assert world.record(seen).status is Status.REJECTED


def test_the_time_out_is_the_workflows_as_soon_as_that_is_known(world: World) -> None:
    world.deadlines = replace(DEADLINES, by_workflow={"WW" + "0" * 32: 300})
    seen = world.taskrouter.add(created_at=NOW - 5_000)
    world.sweep()
    assert world.record(seen).expires_at == NOW - 5_000 + 120_000

    world.assign(seen)
    assert world.record(seen).expires_at == NOW - 5_000 + 300_000


def test_a_record_that_is_slow_to_write_twice_is_answered_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = world.taskrouter.add()
    world.reject(seen, task_sid=seen.task_sid)
    before = world.record(seen)
    monkeypatch.setattr(world.store, "_callback_seconds", 0)

    assert world.assign(seen, ACCEPT) == {}
    assert world.record(seen) == before


def test_one_that_is_only_being_decided_is_not_answered_without_a_trace(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision may come to nothing, and then the fallback would get another answer."""
    seen = world.taskrouter.add()
    world.event(seen, Status.PENDING)

    def post(_verb: str) -> None:
        world.taskrouter.when_called = lambda _verb: None
        with pytest.raises(StoreUnavailable):
            world.assign(seen, ACCEPT)

    monkeypatch.setattr(world.store, "_callback_seconds", 0)
    world.taskrouter.when_called = post
    world.taskrouter.fail_before["update"] = [TaskRouterThrottled("429")]
    with pytest.raises(Unsettled):
        world.accept(seen)

    assert world.assign(seen, ACCEPT) == {"instruction": "accept"}


def test_a_late_callback_does_not_make_an_ended_record_due_again(world: World) -> None:
    seen = world.taskrouter.add()
    world.reject(seen, task_sid=seen.task_sid)
    world.assign(seen, ACCEPT)
    world.clock.now += 10 * 86_400_000

    assert world.sweep()["due"] == 0


def test_an_answered_instruction_is_confirmed_after_15_seconds(world: World) -> None:
    seen = world.taskrouter.add()
    world.assign(seen, ACCEPT)
    world.taskrouter.becomes(seen.reservation_sid, Status.ACCEPTED)

    world.clock.now += 14_999
    assert world.sweep()["due"] == 0
    world.clock.now += 1
    assert world.sweep()["mirrored"] == 1

    record = world.record(seen)
    assert record.status is Status.ACCEPTED
    assert record.accepted_by == "assignment_instruction"
