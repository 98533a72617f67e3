from dataclasses import replace
from typing import Any

import pytest

from chalicelib.domain.errors import StoreUnavailable, TaskRouterThrottled
from chalicelib.domain.instructions import Accept, Defer
from chalicelib.domain.reservations import Delivery, Reservation, Status
from chalicelib.usecases.assign import assign
from tests.support import DEADLINES, NOW
from tests.usecases.conftest import ACCEPT, Service


def test_callback_is_recorded_with_every_parameter_and_deferred(service: Service) -> None:
    remote = service.taskrouter.add()

    assert service.assign(remote) == {}

    record = service.record(remote)
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


def test_delivery_is_recorded_with_the_time_of_the_answer(service: Service) -> None:
    remote = service.taskrouter.add()
    service.post_event(remote, Status.PENDING)
    delivery = Delivery(NOW - 7, "/assignment_callback", "https://a.test", "s" * 28)

    assign(
        replace(service.callback(remote), delivery=delivery),
        Defer(),
        store=service.store,
        deadlines=DEADLINES,
        now=NOW,
    )

    assert service.record(remote).delivery == replace(delivery, answered_at=NOW)


def test_repeated_callback_gets_first_answer_instead_of_new_instruction(
    service: Service,
) -> None:
    remote = service.taskrouter.add()

    assert service.assign(remote, Accept()) == {"instruction": "accept"}
    before = service.record(remote)
    service.clock.now += 5_000

    assert service.assign(remote, Defer()) == {"instruction": "accept"}
    assert service.record(remote) == before


def test_repeated_callback_gets_first_answer_after_reservation_ended(service: Service) -> None:
    remote = service.taskrouter.add()
    service.assign(remote, ACCEPT)
    service.taskrouter.set_status(remote.reservation_sid, Status.CANCELED)
    service.clock.now += 16_000
    service.sweep()

    assert service.assign(remote) == {"instruction": "accept"}
    assert service.record(remote).status is Status.CANCELED


def test_callback_after_decision_is_deferred_and_recorded(
    service: Service,
) -> None:
    remote = service.taskrouter.add()
    service.accept(remote, task_sid=remote.task_sid)

    assert service.assign(remote, ACCEPT) == {}

    record = service.record(remote)
    assert record.status is Status.ACCEPTED
    assert record.callback is not None
    assert record.answer == {}


def test_callback_during_decision_is_deferred(service: Service) -> None:
    remote = service.taskrouter.add()
    answers = []

    def post_callback_during_update(verb: str) -> None:
        if verb == "update":
            answers.append(service.assign(remote, ACCEPT))

    service.taskrouter.when_called = post_callback_during_update
    service.reject(remote, task_sid=remote.task_sid)

    assert answers == [{}]
    assert service.record(remote).status is Status.REJECTED


def test_workflow_timeout_applies_as_soon_as_a_callback_reports_the_workflow(
    service: Service,
) -> None:
    service.deadlines = replace(DEADLINES, by_workflow={"WW" + "0" * 32: 300})
    remote = service.taskrouter.add(created_at=NOW - 5_000)
    service.sweep()
    assert service.record(remote).expires_at == NOW - 5_000 + 120_000

    service.assign(remote)
    assert service.record(remote).expires_at == NOW - 5_000 + 300_000


def test_callback_after_decision_is_answered_without_second_write_if_first_write_is_slow(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = service.taskrouter.add()
    service.reject(remote, task_sid=remote.task_sid)
    before = service.record(remote)
    monkeypatch.setattr(service.store, "_callback_seconds", 0)

    assert service.assign(remote, ACCEPT) == {}
    assert service.record(remote) == before


def test_callback_during_decision_is_not_answered_unless_recorded(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this callback were answered but not recorded, the fallback's answer could differ."""
    remote = service.taskrouter.add()
    service.post_event(remote, Status.PENDING)

    def post_callback(_verb: str) -> None:
        service.taskrouter.when_called = lambda _verb: None
        with pytest.raises(StoreUnavailable):
            service.assign(remote, ACCEPT)

    monkeypatch.setattr(service.store, "_callback_seconds", 0)
    service.taskrouter.when_called = post_callback
    service.taskrouter.fail_before["update"] = [TaskRouterThrottled("429")]
    with pytest.raises(TaskRouterThrottled):
        service.accept(remote)

    assert service.assign(remote, ACCEPT) == {"instruction": "accept"}


def test_record_erased_between_the_two_writes_of_a_late_callback_is_not_recreated(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = service.taskrouter.add()
    service.reject(remote, task_sid=remote.task_sid)
    late_write = service.store._record_late_callback

    def erase_first(reservation: Reservation) -> dict[str, Any]:
        service.store.erase(reservation.reservation_sid)
        return late_write(reservation)

    monkeypatch.setattr(service.store, "_record_late_callback", erase_first)
    assert service.assign(remote, ACCEPT) == {}
    assert service.store.get(remote.reservation_sid) is None


def test_late_callback_does_not_make_ended_reservation_due(service: Service) -> None:
    remote = service.taskrouter.add()
    service.reject(remote, task_sid=remote.task_sid)
    service.assign(remote, ACCEPT)
    service.clock.now += 10 * 86_400_000

    assert service.sweep()["due"] == 0


def test_reservation_is_checked_15_seconds_after_callback_is_answered_with_instruction(
    service: Service,
) -> None:
    remote = service.taskrouter.add()
    service.assign(remote, ACCEPT)
    service.taskrouter.set_status(remote.reservation_sid, Status.ACCEPTED)

    service.clock.now += 14_999
    assert service.sweep()["due"] == 0
    service.clock.now += 1
    assert service.sweep()["mirrored"] == 1

    record = service.record(remote)
    assert record.status is Status.ACCEPTED
    assert record.accepted_by == "assignment_instruction"
