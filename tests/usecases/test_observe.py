"""Events may arrive in any order, repeatedly, and before or after the callback."""

from itertools import permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.domain.errors import TaskRouterRefused
from chalicelib.domain.reservations import ACHIEVED, OPEN, Status
from tests.usecases.conftest import ACCEPT, Service

LIFE_CYCLES = [
    [Status.PENDING, Status.ACCEPTED, Status.WRAPPING, Status.COMPLETED],
    [Status.PENDING, Status.ACCEPTED, Status.CANCELED],
    [Status.PENDING, Status.TIMEOUT],
    [Status.PENDING, Status.REJECTED],
    [Status.PENDING, Status.RESCINDED],
]


def test_repeated_event_does_not_change_the_record_again(service: Service) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)

    assert service.post_event(remote, Status.ACCEPTED)
    assert not service.post_event(remote, Status.ACCEPTED)
    record = service.record(remote)
    assert (record.status, record.worker_name, record.accepted_by) == (
        Status.ACCEPTED,
        "Alice",
        "event",
    )


def test_acceptance_found_by_the_sweep_is_attributed_to_the_sweep(service: Service) -> None:
    remote = service.taskrouter.add()
    service.post_event(remote, Status.PENDING)
    service.taskrouter.set_status(remote.reservation_sid, Status.ACCEPTED)
    service.clock.now += 130_000
    service.sweep()

    assert service.record(remote).accepted_by == "sweep"


@pytest.mark.parametrize(("first", "is_change"), [(Status.PENDING, True), (Status.ACCEPTED, False)])
def test_event_is_recorded_once_even_if_another_request_creates_the_record_at_the_same_time(
    service: Service, monkeypatch: pytest.MonkeyPatch, first: Status, *, is_change: bool
) -> None:
    remote = service.taskrouter.add()
    create_record = service.store.create_record

    def create_after_another_request(reservation: Any, **options: Any) -> bool:
        with monkeypatch.context() as context:
            context.setattr(service.store, "create_record", create_record)
            service.post_event(remote, first)
        return create_record(reservation, **options)

    monkeypatch.setattr(service.store, "create_record", create_after_another_request)
    assert service.post_event(remote, Status.ACCEPTED) is is_change

    record = service.record(remote)
    assert record.status is Status.ACCEPTED
    assert [change.to for change in record.history] == sorted(
        {first, Status.ACCEPTED}, key=LIFE_CYCLES[0].index
    )


def test_callback_is_added_to_record_created_by_event(
    service: Service,
) -> None:
    remote = service.taskrouter.add()

    assert service.post_event(remote, Status.PENDING)
    assert service.record(remote).callback is None
    assert service.assign(remote, ACCEPT) == {"instruction": "accept"}

    record = service.record(remote)
    assert record.callback is not None
    assert [change.by for change in record.history] == ["event"]


def test_record_created_by_event_is_checked_by_sweep(service: Service) -> None:
    remote = service.taskrouter.add()
    service.post_event(remote, Status.PENDING)
    service.taskrouter.set_status(remote.reservation_sid, Status.TIMEOUT)

    service.clock.now += 129_999
    assert service.sweep()["due"] == 0
    service.clock.now += 1
    assert service.sweep()["mirrored"] == 1


def test_acceptor_is_recorded_if_event_arrives_during_accept(
    service: Service,
) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)

    def post_event_during_update(verb: str) -> None:
        if verb == "update":
            service.post_event(remote, Status.ACCEPTED)

    service.taskrouter.when_called = post_event_during_update
    service.accept(remote)
    record = service.record(remote)
    assert (record.accepted_by, record.claim) == ("supervisor:ann", None)
    assert len(record.history) == 2


@pytest.mark.parametrize("target", ACHIEVED)
@pytest.mark.parametrize("is_refused", [True, False])
def test_event_during_update_is_attributed_to_the_caller_unless_the_update_is_refused(
    service: Service, target: Status, *, is_refused: bool
) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)
    if target is Status.COMPLETED:
        service.accept(remote)

    def post_event_during_update(verb: str) -> None:
        if verb == "update":
            service.post_event(remote, target)
            if is_refused:
                service.taskrouter.set_status(remote.reservation_sid, target)

    service.taskrouter.when_called = post_event_during_update
    if is_refused:
        service.taskrouter.fail_before["update"] = [TaskRouterRefused("no")]
    service.decide(remote, target)
    record = service.record(remote)
    source = "event" if is_refused else "supervisor:ann"
    assert (record.history[-1].to, record.history[-1].by) == (target, source)
    if target is Status.ACCEPTED:
        assert record.accepted_by == source


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(life_cycle=st.sampled_from(LIFE_CYCLES), data=st.data())
def test_any_order_of_callback_and_events_results_in_same_final_status(
    service: Service, life_cycle: list[Status], data: st.DataObject
) -> None:
    remote = service.taskrouter.add(life_cycle[-1])
    events = life_cycle + data.draw(st.lists(st.sampled_from(life_cycle), max_size=3))
    steps = data.draw(st.permutations([*events, None]))
    for step in steps:
        if step is None:
            service.assign(remote)
        else:
            service.post_event(remote, step)

    record = service.record(remote)
    assert record.status is life_cycle[-1]
    assert record.callback is not None
    assert len({change.to for change in record.history}) == len(record.history)


@pytest.mark.parametrize("order", list(permutations([Status.TIMEOUT, Status.PENDING, None])))
def test_late_updates_do_not_make_ended_reservation_due(
    service: Service, order: tuple[Status | None, ...]
) -> None:
    remote = service.taskrouter.add(Status.TIMEOUT)
    for step in order:
        if step is None:
            service.assign(remote, ACCEPT)
        else:
            service.post_event(remote, step)

    far_future = service.clock.now + 10**9
    assert [
        due for status in OPEN for due in service.store.due_reservations(status, now=far_future)
    ] == []
