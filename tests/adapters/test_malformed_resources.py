"""TaskRouter's responses are used only if the format is valid and the SIDs match the request."""

import json
from collections.abc import Callable, Iterator
from dataclasses import astuple
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.adapters.secrets import FixedSecrets, Secrets
from chalicelib.adapters.twilio.taskrouter import TwilioTaskRouter
from chalicelib.domain.errors import TaskRouterUnavailable
from chalicelib.domain.instructions import Dequeue
from chalicelib.domain.reservations import RemoteReservation, Status
from chalicelib.domain.tasks import CreatedTask, NewTask
from tests.scripted_server import Peer, running_server

ACCOUNT, WORKSPACE, WORKFLOW = "AC" + "a" * 32, "WS" + "c" * 32, "WW" + "d" * 32
TASK, WORKER, RESERVATION = "WT" + "1" * 32, "WK" + "2" * 32, "WR" + "3" * 32

RESERVATION_RESOURCE = {
    "sid": RESERVATION,
    "task_sid": TASK,
    "worker_sid": WORKER,
    "worker_name": "Alice",
    "reservation_status": "accepted",
    "date_created": "2026-11-22T01:02:03Z",
}
TASK_RESOURCE = {
    "sid": TASK,
    "attributes": "{}",
    "assignment_status": "pending",
    "workflow_sid": WORKFLOW,
    "task_queue_sid": None,
    "priority": 0,
    "timeout": 600,
}
MARKED = '{"idempotency_marker": "x-1"}'
EVENT_RESOURCE = {
    "sid": "EV" + "0" * 32,
    "event_type": "reservation.created",
    "event_date_ms": 1_795_309_323_000,
    "resource_sid": RESERVATION,
    "event_data": {"task_sid": TASK, "worker_sid": WORKER, "task_attributes": "{}"},
}


class TaskRouter:
    """The adapter and a server that sends `body` in each response."""

    def __init__(self, url: str) -> None:
        self.body = b"{}"
        self.client = TwilioTaskRouter(
            base_url=url,
            account_sid=ACCOUNT,
            secrets=FixedSecrets(Secrets(("token",), {"SK" + "b" * 32: "secret"})),
            workspace_sid=WORKSPACE,
            seconds=3,
        )

    def serve(self, peer: Peer) -> None:
        while peer.read_request():
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self.body) + self.body)


@pytest.fixture(scope="module")
def taskrouter() -> Iterator[TaskRouter]:
    with running_server() as server:
        taskrouter = TaskRouter(server.url)
        server.script = taskrouter.serve
        yield taskrouter
        taskrouter.client._http_client.session.close()


Call = Callable[[TwilioTaskRouter], Any]

SINGLE: dict[str, Call] = {
    "fetch by Task": lambda client: client.fetch_reservation(RESERVATION, task_sid=TASK),
    "fetch by Worker": lambda client: client.fetch_reservation(RESERVATION, worker_sid=WORKER),
    "update": lambda client: client.update_reservation(
        RESERVATION, task_sid=TASK, to=Status.ACCEPTED, activity_sid=None
    ),
    "instruct": lambda client: client.send_instruction(
        RESERVATION, task_sid=TASK, instruction=Dequeue()
    ),
}
LISTS: dict[str, Call] = {
    "pending reservations": lambda client: client.list_pending_reservations(TASK),
    "reservations": lambda client: client.list_reservations(TASK),
}
TASKS: dict[str, Call] = {
    "create": lambda client: client.create_task(NewTask("{}", WORKFLOW)),
}
TASK_LISTS: dict[str, Call] = {
    "reserved tasks": lambda client: client.list_reserved_tasks(),
    "find": lambda client: client.find_tasks("idempotency_marker", "x-1"),
}
EVENTS: dict[str, Call] = {
    "events": lambda client: client.list_events("reservation.created", since=0, until=1_000),
}
OTHERS: dict[str, Call] = {
    "workspace": lambda client: client.verify_workspace(),
    "statistics": lambda client: client.fetch_statistics(),
}
CALLS = SINGLE | LISTS | TASKS | TASK_LISTS | EVENTS | OTHERS


def listed(key: str, *resources: object) -> dict[str, object]:
    return {key: list(resources), "meta": {"key": key}}


UNREADABLE = {
    "empty": b"",
    "null": b"null",
    "number": b"5",
    "string": b'"x"',
    "list": b"[]",
    "empty object": b"{}",
    "infinity": b'{"sid": Infinity}',
    "not UTF-8": b"\xff",
    "nested lists": b"[" * 200_000,
    "nested objects": b'{"a":' * 200_000,
    "long number": b"1" * 6_000,
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_response_without_a_readable_resource_raises_an_error(
    taskrouter: TaskRouter, call: Call, body: bytes
) -> None:
    taskrouter.body = body
    with pytest.raises(TaskRouterUnavailable, match="TaskRouter's response can't be read"):
        call(taskrouter.client)


UNEXPECTED_SIDS = [
    *(
        (name, value)
        for name in ("sid", "task_sid", "worker_sid")
        for value in (None, 5, [RESERVATION], "", "x", "WK1", "WQ" + "9" * 32, {})
    ),
    ("sid", "WR" + "9" * 32),
]


@pytest.mark.parametrize(("name", "value"), UNEXPECTED_SIDS, ids=str)
@pytest.mark.parametrize("call", SINGLE.values(), ids=SINGLE)
def test_reservation_with_an_unexpected_sid_raises_an_error(
    taskrouter: TaskRouter, call: Call, name: str, value: object
) -> None:
    taskrouter.body = json.dumps({**RESERVATION_RESOURCE, name: value}).encode()
    with pytest.raises(TaskRouterUnavailable, match="TaskRouter's response can't be read"):
        call(taskrouter.client)


@pytest.mark.parametrize("operation", SINGLE)
def test_reservation_of_another_task_or_worker_raises_an_error(
    taskrouter: TaskRouter, operation: str
) -> None:
    name = "worker_sid" if operation == "fetch by Worker" else "task_sid"
    other = RESERVATION_RESOURCE[name][:2] + "9" * 32
    taskrouter.body = json.dumps({**RESERVATION_RESOURCE, name: other}).encode()
    with pytest.raises(TaskRouterUnavailable):
        SINGLE[operation](taskrouter.client)


@pytest.mark.parametrize("call", LISTS.values(), ids=LISTS)
def test_list_with_a_reservation_of_another_task_raises_an_error(
    taskrouter: TaskRouter, call: Call
) -> None:
    other = {**RESERVATION_RESOURCE, "task_sid": "WT" + "9" * 32}
    page = listed("reservations", RESERVATION_RESOURCE, other)
    taskrouter.body = json.dumps(page).encode()
    with pytest.raises(TaskRouterUnavailable):
        call(taskrouter.client)


def test_any_worker_is_valid_if_the_request_contains_no_worker(taskrouter: TaskRouter) -> None:
    other = "WK" + "9" * 32
    taskrouter.body = json.dumps({**RESERVATION_RESOURCE, "worker_sid": other}).encode()
    assert SINGLE["fetch by Task"](taskrouter.client).worker_sid == other
    assert SINGLE["update"](taskrouter.client).worker_sid == other


def test_workspace_with_a_different_sid_raises_an_error(taskrouter: TaskRouter) -> None:
    taskrouter.body = json.dumps({"sid": "WS" + "9" * 32}).encode()
    with pytest.raises(TaskRouterUnavailable):
        taskrouter.client.verify_workspace()


@pytest.mark.parametrize("workflow_sid", [None, "WW" + "9" * 32])
def test_created_task_must_have_the_requested_workflow(
    taskrouter: TaskRouter, workflow_sid: str | None
) -> None:
    taskrouter.body = json.dumps(TASK_RESOURCE).encode()
    assert TASKS["create"](taskrouter.client).sid == TASK
    taskrouter.body = json.dumps(TASK_RESOURCE | {"workflow_sid": workflow_sid}).encode()
    with pytest.raises(TaskRouterUnavailable, match="TaskRouter's response can't be read"):
        TASKS["create"](taskrouter.client)


@pytest.mark.parametrize(
    "attributes", ["{}", "", "[]", '{"idempotency_marker": "x-2"}', '{"idempotency_marker": null}']
)
def test_found_task_must_have_the_requested_attribute(
    taskrouter: TaskRouter, attributes: str
) -> None:
    task = TASK_RESOURCE | {"attributes": attributes}
    taskrouter.body = json.dumps(listed("tasks", task) | task).encode()
    with pytest.raises(TaskRouterUnavailable, match="TaskRouter's response can't be read"):
        taskrouter.client.find_tasks("idempotency_marker", "x-1")


def test_list_of_pending_reservations_omits_other_statuses(taskrouter: TaskRouter) -> None:
    statuses = [status.value for status in Status if status is not Status.GONE]
    resources = [RESERVATION_RESOURCE | {"reservation_status": status} for status in statuses]
    taskrouter.body = json.dumps(listed("reservations", *resources)).encode()
    pending = LISTS["pending reservations"](taskrouter.client)
    assert [remote.status for remote in pending] == [Status.PENDING]
    assert [remote.status.value for remote in LISTS["reservations"](taskrouter.client)] == statuses


def test_list_with_an_event_of_a_different_type_raises_an_error(taskrouter: TaskRouter) -> None:
    other = EVENT_RESOURCE | {"event_type": "reservation.accepted"}
    taskrouter.body = json.dumps(listed("events", EVENT_RESOURCE)).encode()
    assert len(EVENTS["events"](taskrouter.client).events) == 1
    taskrouter.body = json.dumps(listed("events", EVENT_RESOURCE, other)).encode()
    with pytest.raises(TaskRouterUnavailable, match="TaskRouter's response can't be read"):
        EVENTS["events"](taskrouter.client)


def test_fetched_task_must_have_the_listed_sid(taskrouter: TaskRouter) -> None:
    # The search and the fetch get the same response.
    body = listed("tasks", TASK_RESOURCE) | TASK_RESOURCE | {"attributes": MARKED}
    taskrouter.body = json.dumps(body).encode()
    assert len(taskrouter.client.find_tasks("idempotency_marker", "x-1")) == 1
    taskrouter.body = json.dumps(body | {"sid": "WT" + "9" * 32}).encode()
    with pytest.raises(TaskRouterUnavailable):
        taskrouter.client.find_tasks("idempotency_marker", "x-1")


@pytest.mark.parametrize("status", ["gone", "unknown", None, 5, ["accepted"]])
def test_status_must_be_defined_by_taskrouter(taskrouter: TaskRouter, status: object) -> None:
    resource = {**RESERVATION_RESOURCE, "reservation_status": status}
    taskrouter.body = json.dumps(resource).encode()
    with pytest.raises(TaskRouterUnavailable):
        SINGLE["update"](taskrouter.client)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([10**400, TASK, WORKER, "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]),
    lambda values: (
        st.lists(values, max_size=2) | st.dictionaries(st.text(max_size=3), values, max_size=2)
    ),
    max_leaves=5,
)


def changed(resource: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Generate JSON values, and resources in which some fields may be missing or arbitrary."""
    names = st.sampled_from(sorted(resource))
    changes = st.dictionaries(names, json_values, max_size=2)
    missing = st.sets(names, max_size=1)
    return json_values | st.builds(
        lambda changes, missing: {
            name: value for name, value in {**resource, **changes}.items() if name not in missing
        },
        changes,
        missing,
    )


def page(key: str, resource: dict[str, Any]) -> st.SearchStrategy[Any]:
    resources = st.lists(changed(resource), max_size=2) | json_values
    meta = st.just({"key": key}) | json_values | st.fixed_dictionaries({"key": json_values})
    return st.fixed_dictionaries({key: resources, "meta": meta})


BODIES = (
    dict.fromkeys(SINGLE, changed(RESERVATION_RESOURCE))
    | dict.fromkeys(LISTS, page("reservations", RESERVATION_RESOURCE))
    | dict.fromkeys(TASKS, changed(TASK_RESOURCE))
    | dict.fromkeys(TASK_LISTS, page("tasks", TASK_RESOURCE))
    | dict.fromkeys(
        EVENTS,
        page("events", EVENT_RESOURCE)
        | changed(dict(EVENT_RESOURCE["event_data"])).map(  # type: ignore[call-overload]
            lambda data: listed("events", {**EVENT_RESOURCE, "event_data": data})
        ),
    )
    | dict.fromkeys(OTHERS, changed({"sid": WORKSPACE}))
)


def check_types(result: object) -> None:
    """Check the types of the fields that the service stores or compares.

    Only Reservations and created Tasks are checked.
    """
    for each in result if isinstance(result, list) else [result]:
        if isinstance(each, RemoteReservation):
            *sids, name, status, created_at = astuple(each)
            assert all(isinstance(sid, str) and len(sid) == 34 for sid in sids)
            assert name is None or isinstance(name, str)
            assert status in Status
            assert isinstance(created_at, int)
        elif isinstance(each, CreatedTask):
            assert all(value is None or isinstance(value, (str, int)) for value in astuple(each))


@pytest.mark.parametrize("operation", CALLS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_malformed_taskrouter_response_raises_only_errors_of_this_service(
    taskrouter: TaskRouter, operation: str, data: st.DataObject
) -> None:
    taskrouter.body = json.dumps(data.draw(BODIES[operation])).encode()
    try:
        result = CALLS[operation](taskrouter.client)
    except TaskRouterUnavailable:
        return
    check_types(result)
