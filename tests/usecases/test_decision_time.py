"""An API request that changes a Reservation ends in time, however slow TaskRouter and DynamoDB are.

API Gateway and the function time out after 29 seconds.
"""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.domain.errors import (
    AppError,
    TaskRouterDenied,
    TaskRouterNotFound,
    TaskRouterNotSent,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
    Unsettled,
)
from chalicelib.domain.instructions import Conference, Instruction
from chalicelib.domain.reservations import RemoteReservation, Status
from chalicelib.usecases.decide import Decision, decide
from chalicelib.usecases.find_reservation import find_reservation_to_accept
from tests.chaos.fault_injection import FaultInjectingProxy, FaultInjector
from tests.support import FakeTaskRouter, ManualClock, make_collaborators
from tests.usecases.conftest import SUPERVISOR, Service

REQUEST_MS, WRITE_MS = 8_000, 2_000
"""Time limits of a request to TaskRouter, and of a DynamoDB call with default settings."""

INSTRUCTION = Conference(from_="+15556667777")
ERRORS = [
    TaskRouterDenied("401"),
    TaskRouterNotFound("404"),
    TaskRouterNotSent("refused"),
    TaskRouterRefused("400"),
    TaskRouterThrottled("429"),
    TaskRouterUnavailable("lost"),
]
durations = st.sampled_from([0, 500, 3_999, 5_000, 7_500, REQUEST_MS])


class SlowStore(FaultInjectingProxy):
    """A store whose calls take the maximum time."""

    def __init__(self, store: DynamoReservationStore, clock: ManualClock) -> None:
        super().__init__("store", store, FaultInjector())
        self._store, self._clock = store, clock

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            self._clock.now += WRITE_MS
            return getattr(self._store, name)(*arguments, **options)

        return call


def accept_by_task(
    service: Service, remote: RemoteReservation, instruction: Instruction | None = None
) -> None:
    """Find a Task's Reservation and accept it, like `/accept_reservation`."""
    started = service.clock.now
    sid = find_reservation_to_accept(
        remote.task_sid, principal=SUPERVISOR, taskrouter=service.taskrouter
    )
    decision = Decision(
        Status.ACCEPTED, sid, SUPERVISOR, task_sid=remote.task_sid, instruction=instruction
    )
    store: Any = SlowStore(service.store, service.clock)
    decide(decision, make_collaborators(store, service.taskrouter, service.clock), started=started)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    requests=st.lists(durations, min_size=6, max_size=6),
    error=st.sampled_from([None, *ERRORS]),
    fetch_fails=st.booleans(),
    is_recorded=st.booleans(),
    status=st.sampled_from([Status.PENDING, Status.ACCEPTED]),
    instruction=st.sampled_from([None, INSTRUCTION]),
)
def test_accept_request_ends_before_the_function_times_out(
    store: DynamoReservationStore,
    requests: list[int],
    error: AppError | None,
    status: Status,
    instruction: Instruction | None,
    *,
    fetch_fails: bool,
    is_recorded: bool,
) -> None:
    service = Service(store, FakeTaskRouter(), ManualClock())
    remote = service.taskrouter.add()
    if is_recorded:
        service.assign(remote)
    service.taskrouter.set_status(remote.reservation_sid, status)
    started, remaining, ended = service.clock.now, iter(requests), []

    def take_time(_verb: str) -> None:
        service.clock.now += next(remaining)
        ended.append(service.clock.now)

    service.taskrouter.when_called = take_time
    for verb in ("update", "instruct"):
        service.taskrouter.fail_before[verb] = [error] if error else []
    if fetch_fails and is_recorded:
        service.taskrouter.fail_before["fetch"] = [TaskRouterUnavailable("lost")]
    with suppress(AppError):
        accept_by_task(service, remote, instruction)

    assert ended[-1] - started <= 20_000
    assert service.clock.now - started < 29_000


@pytest.mark.parametrize("instruction", [None, INSTRUCTION])
def test_request_is_not_sent_if_the_reservation_was_found_too_late(
    service: Service, instruction: Instruction | None
) -> None:
    remote = service.taskrouter.add()

    def take_time(_verb: str) -> None:
        service.clock.now += 7_500

    service.taskrouter.when_called = take_time
    with pytest.raises(TaskRouterNotSent, match=r"too slowly. The request was not sent. Retry"):
        accept_by_task(service, remote, instruction)
    record = service.record(remote)
    assert (record.claim, record.instruction_sent) == (None, None)
    assert service.taskrouter.calls == {"list": 1, "fetch": 1}

    service.taskrouter.when_called = lambda _verb: None
    accept_by_task(service, remote, instruction)


@pytest.mark.parametrize(
    ("error", "skipped"),
    [(TaskRouterRefused("400"), "fetch"), (TaskRouterNotFound("404"), "workspace")],
)
def test_outcome_is_not_verified_if_no_time_is_left(
    service: Service, error: AppError, skipped: str
) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)

    def take_time(_verb: str) -> None:
        service.clock.now += 6_000

    service.taskrouter.when_called = take_time
    service.taskrouter.fail_before["update"] = [error]
    with pytest.raises(Unsettled):
        accept_by_task(service, remote)
    assert service.taskrouter.calls[skipped] == 0
    assert service.record(remote).claim is not None
