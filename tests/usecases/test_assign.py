from dataclasses import replace

import pytest

from chalicelib.domain.errors import StoreUnavailable, TaskRouterThrottled, Unsettled
from chalicelib.domain.instructions import Accept, Defer
from chalicelib.domain.reservations import Status
from tests.support import DEADLINES, NOW
from tests.usecases.conftest import ACCEPT, World


def test_callback_is_recorded_with_every_parameter_and_deferred(world: World) -> None:
    remote = world.taskrouter.add()

    assert world.assign(remote) == {}

    record = world.record(remote)
    assert record.status is Status.PENDING
    assert record.expires_at == NOW + 120_000
    assert record.callback == {
        "ReservationSid": remote.reservation_sid,
        "TaskSid": remote.task_sid,
        "WorkerSid": remote.worker_sid,
        "WorkflowSid": "WW" + "0" * 32,
        "TaskQueueSid": "WQ" + "0" * 32,
        "TaskAttributes": '{"selected_language": "es"}',
        "WorkerAttributes": '{"languages": ["en", "es"]}',
        "TaskAge": "1",
    }


def test_repeated_callback_gets_first_answer_after_setting_changes(
    world: World,
) -> None:
    remote = world.taskrouter.add()

    assert world.assign(remote, Accept()) == {"instruction": "accept"}
    before = world.record(remote)
    world.clock.now += 5_000

    assert world.assign(remote, Defer()) == {"instruction": "accept"}
    assert world.record(remote) == before


def test_repeated_callback_gets_first_answer_after_reservation_ended(world: World) -> None:
    remote = world.taskrouter.add()
    world.assign(remote, ACCEPT)
    world.taskrouter.set_status(remote.reservation_sid, Status.CANCELED)
    world.clock.now += 16_000
    world.sweep()

    assert world.assign(remote) == {"instruction": "accept"}
    assert world.record(remote).status is Status.CANCELED


def test_callback_after_decision_is_deferred_and_recorded(
    world: World,
) -> None:
    remote = world.taskrouter.add()
    world.accept(remote, task_sid=remote.task_sid)

    assert world.assign(remote, ACCEPT) == {}

    record = world.record(remote)
    assert record.status is Status.ACCEPTED
    assert record.callback is not None
    assert record.answer == {}


def test_callback_during_decision_is_deferred(world: World) -> None:
    remote = world.taskrouter.add()
    answers = []

    def callback_in_between(verb: str) -> None:
        if verb == "update":
            answers.append(world.assign(remote, ACCEPT))

    world.taskrouter.when_called = callback_in_between
    world.reject(remote, task_sid=remote.task_sid)

    assert answers == [{}]
    assert world.record(remote).status is Status.REJECTED


def test_workflow_timeout_applies_once_callback_names_workflow(world: World) -> None:
    world.deadlines = replace(DEADLINES, by_workflow={"WW" + "0" * 32: 300})
    remote = world.taskrouter.add(created_at=NOW - 5_000)
    world.sweep()
    assert world.record(remote).expires_at == NOW - 5_000 + 120_000

    world.assign(remote)
    assert world.record(remote).expires_at == NOW - 5_000 + 300_000


def test_callback_after_decision_is_answered_without_slow_second_write(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = world.taskrouter.add()
    world.reject(remote, task_sid=remote.task_sid)
    before = world.record(remote)
    monkeypatch.setattr(world.store, "_callback_seconds", 0)

    assert world.assign(remote, ACCEPT) == {}
    assert world.record(remote) == before


def test_callback_during_decision_is_not_answered_unless_recorded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the decision failed, the fallback would get a different answer."""
    remote = world.taskrouter.add()
    world.event(remote, Status.PENDING)

    def post_callback(_verb: str) -> None:
        world.taskrouter.when_called = lambda _verb: None
        with pytest.raises(StoreUnavailable):
            world.assign(remote, ACCEPT)

    monkeypatch.setattr(world.store, "_callback_seconds", 0)
    world.taskrouter.when_called = post_callback
    world.taskrouter.fail_before["update"] = [TaskRouterThrottled("429")]
    with pytest.raises(Unsettled):
        world.accept(remote)

    assert world.assign(remote, ACCEPT) == {"instruction": "accept"}


def test_late_callback_does_not_make_ended_record_due(world: World) -> None:
    remote = world.taskrouter.add()
    world.reject(remote, task_sid=remote.task_sid)
    world.assign(remote, ACCEPT)
    world.clock.now += 10 * 86_400_000

    assert world.sweep()["due"] == 0


def test_answered_instruction_is_checked_after_15_seconds(world: World) -> None:
    remote = world.taskrouter.add()
    world.assign(remote, ACCEPT)
    world.taskrouter.set_status(remote.reservation_sid, Status.ACCEPTED)

    world.clock.now += 14_999
    assert world.sweep()["due"] == 0
    world.clock.now += 1
    assert world.sweep()["mirrored"] == 1

    record = world.record(remote)
    assert record.status is Status.ACCEPTED
    assert record.accepted_by == "assignment_instruction"
