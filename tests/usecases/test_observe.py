"""Events: in any order, repeated, before or after the callback."""

from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.domain.reservations import OPEN, Status
from tests.usecases.conftest import ACCEPT, World

LIVES = [
    [Status.PENDING, Status.ACCEPTED, Status.WRAPPING, Status.COMPLETED],
    [Status.PENDING, Status.ACCEPTED, Status.CANCELED],
    [Status.PENDING, Status.TIMEOUT],
    [Status.PENDING, Status.REJECTED],
    [Status.PENDING, Status.RESCINDED],
]


def test_an_event_moves_the_record(world: World) -> None:
    seen = world.taskrouter.add()
    world.assign(seen)

    assert world.event(seen, Status.ACCEPTED)
    assert not world.event(seen, Status.ACCEPTED)
    record = world.record(seen)
    assert (record.status, record.worker_name, record.accepted_by) == (
        Status.ACCEPTED,
        "Alice",
        "event",
    )


def test_a_reservation_first_heard_of_by_event_is_recorded_and_its_callback_completes_it(
    world: World,
) -> None:
    seen = world.taskrouter.add()

    assert world.event(seen, Status.PENDING)
    assert world.record(seen).callback is None
    assert world.assign(seen, ACCEPT) == {"instruction": "accept"}

    record = world.record(seen)
    assert record.callback is not None
    assert [change.by for change in record.history] == ["event"]


def test_a_reservation_first_heard_of_by_event_is_swept_like_any_other(world: World) -> None:
    seen = world.taskrouter.add()
    world.event(seen, Status.PENDING)
    world.taskrouter.becomes(seen.reservation_sid, Status.TIMEOUT)

    world.clock.now += 129_999
    assert world.sweep()["due"] == 0
    world.clock.now += 1
    assert world.sweep()["mirrored"] == 1


def test_who_accepted_is_known_though_the_event_is_faster_than_our_own_write(
    world: World,
) -> None:
    seen = world.taskrouter.add()
    world.assign(seen)

    def event_in_between(verb: str) -> None:
        if verb == "update":
            world.event(seen, Status.ACCEPTED)

    world.taskrouter.when_called = event_in_between
    world.accept(seen)
    record = world.record(seen)
    assert (record.accepted_by, record.claim) == ("supervisor:ann", None)
    assert len(record.history) == 2


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(life=st.sampled_from(LIVES), data=st.data())
def test_any_order_of_callback_and_events_ends_alike(
    world: World, life: list[Status], data: st.DataObject
) -> None:
    seen = world.taskrouter.add(life[-1])
    events = life + data.draw(st.lists(st.sampled_from(life), max_size=3))
    steps = data.draw(st.permutations([*events, None]))
    for step in steps:
        if step is None:
            world.assign(seen)
        else:
            world.event(seen, step)

    record = world.record(seen)
    assert record.status is life[-1]
    assert record.callback is not None
    assert len({change.to for change in record.history}) == len(record.history)


@pytest.mark.parametrize("order", list(permutations([Status.TIMEOUT, Status.PENDING, None])))
def test_an_ended_reservation_is_not_made_due_by_late_news(
    world: World, order: tuple[Status | None, ...]
) -> None:
    seen = world.taskrouter.add(Status.TIMEOUT)
    for step in order:
        if step is None:
            world.assign(seen, ACCEPT)
        else:
            world.event(seen, step)

    far = world.clock.now + 10**9
    assert [one for status in OPEN for one in world.store.due_reservations(status, now=far)] == []
