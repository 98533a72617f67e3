"""The TaskRouter client sends the expected requests, enforces limits and translates errors."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from requests import PreparedRequest, RequestException, Response
from twilio.base.exceptions import TwilioException, TwilioRestException

from chalicelib.adapters.exchange import Exchange
from chalicelib.adapters.secrets import FixedSecrets, Secrets
from chalicelib.adapters.twilio import errors, http_client
from chalicelib.adapters.twilio import taskrouter as adapter
from chalicelib.adapters.twilio.http_client import SizeLimitedExchange, make_http_client
from chalicelib.adapters.twilio.taskrouter import TwilioTaskRouter
from chalicelib.domain.errors import (
    TaskRouterDenied,
    TaskRouterError,
    TaskRouterNotFound,
    TaskRouterNotSent,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.instructions import Dequeue
from chalicelib.domain.reservations import RemoteReservation, Status
from chalicelib.domain.tasks import CreatedTask, FoundTask, NewTask
from tests.scripted_server import Peer, ScriptedServer, running_server

ACCOUNT, WORKSPACE, WORKFLOW = "AC" + "a" * 32, "WS" + "c" * 32, "WW" + "d" * 32
TASK, WORKER, RESERVATION = "WT" + "1" * 32, "WK" + "2" * 32, "WR" + "3" * 32
ACTIVITY = "WA" + "4" * 32
PATH = f"/v1/Workspaces/{WORKSPACE}"

RESERVATION_RESOURCE = {
    "sid": RESERVATION,
    "task_sid": TASK,
    "worker_sid": WORKER,
    "worker_name": "Alice",
    "reservation_status": "wrapping",
    "date_created": "2026-11-22T01:02:03Z",
}
REMOTE = RemoteReservation(
    reservation_sid=RESERVATION,
    task_sid=TASK,
    worker_sid=WORKER,
    worker_name="Alice",
    status=Status.WRAPPING,
    created_at=1_795_309_323_000,
)
TASK_RESOURCE = {
    "sid": TASK,
    "attributes": '{"a": 1}',
    "assignment_status": "pending",
    "workflow_sid": WORKFLOW,
    "task_queue_sid": "WQ" + "5" * 32,
    "priority": "3",
    "timeout": "600",
    "task_channel_sid": "TC" + "6" * 32,
    "task_channel_unique_name": "voice",
}
CREATED = CreatedTask(
    sid=TASK,
    attributes='{"a": 1}',
    assignment_status="pending",
    workflow_sid=WORKFLOW,
    task_queue_sid="WQ" + "5" * 32,
    priority=3,
)
NEW = NewTask(attributes='{"a": 1}', workflow_sid=WORKFLOW)


def response(status: int, body: object) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    return head.encode() + content


def make_client(url: str, secrets: FixedSecrets | None = None, **options: Any) -> TwilioTaskRouter:
    return TwilioTaskRouter(
        base_url=url,
        account_sid=ACCOUNT,
        secrets=secrets or FixedSecrets(Secrets(("token",), {"SK" + "b" * 32: "secret"})),
        workspace_sid=WORKSPACE,
        **options,
    )


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with running_server() as running:
        yield running


def serve(server: ScriptedServer, *responses: bytes) -> None:
    """Make *server* send the given responses, and then repeat the last response."""
    pending = list(responses)

    def respond(peer: Peer) -> None:
        peer.read_request()
        peer.send(pending.pop(0) if len(pending) > 1 else pending[0])

    server.script = respond


def parsed(request: bytes) -> tuple[str, str, dict[str, list[str]], dict[str, list[str]]]:
    """Return the method, path, query and form of a request."""
    head, _, body = request.decode().partition("\r\n\r\n")
    method, target, _ = head.split(" ", 2)
    url = urlsplit(target)
    return method, url.path, parse_qs(url.query), parse_qs(body)


def listed(name: str, *resources: dict[str, Any]) -> dict[str, Any]:
    return {name: list(resources), "meta": {"key": name}}


Call = Callable[[TwilioTaskRouter], object]

OPERATIONS: dict[str, tuple[Call, object, object, tuple[str, str, dict[str, Any], dict[str, Any]]]]
OPERATIONS = {
    "fetch by task": (
        lambda client: client.fetch_reservation(
            RESERVATION, task_sid=TASK, worker_sid="WK" + "9" * 32
        ),
        RESERVATION_RESOURCE,
        REMOTE,
        ("GET", f"{PATH}/Tasks/{TASK}/Reservations/{RESERVATION}", {}, {}),
    ),
    "fetch by worker": (
        lambda client: client.fetch_reservation(RESERVATION, worker_sid=WORKER),
        RESERVATION_RESOURCE,
        REMOTE,
        ("GET", f"{PATH}/Workers/{WORKER}/Reservations/{RESERVATION}", {}, {}),
    ),
    "update": (
        lambda client: client.update_reservation(
            RESERVATION, task_sid=TASK, to=Status.COMPLETED, activity_sid=None
        ),
        RESERVATION_RESOURCE,
        REMOTE,
        (
            "POST",
            f"{PATH}/Tasks/{TASK}/Reservations/{RESERVATION}",
            {},
            {"ReservationStatus": ["completed"]},
        ),
    ),
    "update with an Activity": (
        lambda client: client.update_reservation(
            RESERVATION, task_sid=TASK, to=Status.REJECTED, activity_sid=ACTIVITY
        ),
        RESERVATION_RESOURCE,
        REMOTE,
        (
            "POST",
            f"{PATH}/Tasks/{TASK}/Reservations/{RESERVATION}",
            {},
            {"ReservationStatus": ["rejected"], "WorkerActivitySid": [ACTIVITY]},
        ),
    ),
    "instruct": (
        lambda client: client.send_instruction(
            RESERVATION, task_sid=TASK, instruction=Dequeue(from_="+15556667777")
        ),
        RESERVATION_RESOURCE,
        REMOTE,
        (
            "POST",
            f"{PATH}/Tasks/{TASK}/Reservations/{RESERVATION}",
            {},
            {"Instruction": ["dequeue"], "DequeueFrom": ["+15556667777"]},
        ),
    ),
    "pending reservations": (
        lambda client: client.list_pending_reservations(TASK),
        listed("reservations", RESERVATION_RESOURCE | {"reservation_status": "pending"}),
        [replace(REMOTE, status=Status.PENDING)],
        (
            "GET",
            f"{PATH}/Tasks/{TASK}/Reservations",
            {"ReservationStatus": ["pending"], "PageSize": ["1000"]},
            {},
        ),
    ),
    "reservations": (
        lambda client: client.list_reservations(TASK),
        listed("reservations", RESERVATION_RESOURCE),
        [REMOTE],
        ("GET", f"{PATH}/Tasks/{TASK}/Reservations", {"PageSize": ["1000"]}, {}),
    ),
    "reserved tasks": (
        lambda client: client.list_reserved_tasks(),
        listed("tasks", TASK_RESOURCE, {"sid": "WT" + "7" * 32}),
        [TASK, "WT" + "7" * 32],
        (
            "GET",
            f"{PATH}/Tasks",
            {"AssignmentStatus": ["reserved"], "PageSize": ["1000"]},
            {},
        ),
    ),
    "create": (
        lambda client: client.create_task(NEW),
        TASK_RESOURCE,
        CREATED,
        ("POST", f"{PATH}/Tasks", {}, {"Attributes": ['{"a": 1}'], "WorkflowSid": [WORKFLOW]}),
    ),
    "create with options": (
        lambda client: client.create_task(
            replace(NEW, priority=0, timeout=60, task_channel="voice")
        ),
        TASK_RESOURCE,
        CREATED,
        (
            "POST",
            f"{PATH}/Tasks",
            {},
            {
                "Attributes": ['{"a": 1}'],
                "WorkflowSid": [WORKFLOW],
                "Priority": ["0"],
                "Timeout": ["60"],
                "TaskChannel": ["voice"],
            },
        ),
    ),
    "workspace": (
        lambda client: client.verify_workspace(),
        {"sid": WORKSPACE},
        None,
        ("GET", PATH, {}, {}),
    ),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_sends_the_expected_request_and_reads_the_response(
    server: ScriptedServer, operation: str
) -> None:
    call, resource, result, request = OPERATIONS[operation]
    serve(server, response(200, resource))
    assert call(make_client(server.url)) == result
    assert [parsed(each) for each in server.requests] == [request]


def test_start_and_end_dates_of_an_event_list_are_rounded_down_to_whole_seconds(
    server: ScriptedServer,
) -> None:
    first = listed("events")
    first["meta"]["next_page_url"] = f"{server.url}{PATH}/Events?Page=1"
    serve(server, response(200, first), response(200, listed("events")))

    make_client(server.url).list_events(
        "reservation.created", since=1_795_309_000_999, until=1_795_309_600_999
    )

    query = {
        "EventType": ["reservation.created"],
        "StartDate": ["2026-11-22T00:56:40Z"],
        "EndDate": ["2026-11-22T01:06:40Z"],
        "PageSize": ["1000"],
    }
    assert parsed(server.requests[0]) == ("GET", f"{PATH}/Events", query, {})


@pytest.mark.parametrize(("count", "is_complete"), [(0, True), (2, True), (3, False), (4, False)])
def test_list_of_events_is_complete_if_shorter_than_the_maximum(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, count: int, *, is_complete: bool
) -> None:
    monkeypatch.setattr(adapter, "_MAX_EVENTS", 3)
    event = {"event_type": "task.created", "event_data": {}}
    serve(server, response(200, listed("events", *[event] * count)))
    page = make_client(server.url).list_events("task.created", since=0, until=1)
    assert (page.events, page.is_complete) == ([], is_complete)
    assert page.unreadable == min(count, 3)


@pytest.mark.parametrize(
    ("time", "at"),
    [(1, 1), (2, 2), (0, None), (-1, None), (True, None), (1.5, None), ("1", None), (None, None)],
)
def test_time_of_an_event_is_read_only_if_it_is_a_positive_integer(
    server: ScriptedServer, time: object, at: int | None
) -> None:
    data = {"task_sid": TASK, "worker_sid": WORKER}
    event = {
        "event_type": "reservation.created",
        "event_date_ms": time,
        "resource_sid": RESERVATION,
        "event_data": data,
    }
    serve(server, response(200, listed("events", event)))
    page = make_client(server.url).list_events("reservation.created", since=0, until=1)
    assert [event.at for event in page.events] == [at]


def test_at_most_five_tasks_are_found_and_fetched(server: ScriptedServer) -> None:
    found, marked = {"sid": TASK}, '{"idempotency_marker": "x-1"}'
    task = TASK_RESOURCE | {"attributes": marked}
    serve(server, response(200, listed("tasks", *[found] * 6)), response(200, task))

    tasks = make_client(server.url).find_tasks("idempotency_marker", "x-1")

    created = replace(CREATED, attributes=marked)
    assert tasks == [FoundTask(created, 600, ("TC" + "6" * 32, "voice"))] * 5
    search, *fetches = map(parsed, server.requests)
    expression = {"EvaluateTaskAttributes": ['idempotency_marker == "x-1"'], "PageSize": ["5"]}
    assert search == ("GET", f"{PATH}/Tasks", expression, {})
    assert fetches == [("GET", f"{PATH}/Tasks/{TASK}", {}, {})] * 5


def test_only_the_first_page_of_reservations_is_read(server: ScriptedServer) -> None:
    page = listed("reservations", *[RESERVATION_RESOURCE] * 1001)
    page["meta"]["next_page_url"] = f"{server.url}{PATH}/Tasks/{TASK}/Reservations?Page=1"
    serve(server, response(200, page))
    assert make_client(server.url).list_reservations(TASK) == [REMOTE] * 1000
    assert len(server.requests) == 1


# Rotation of the API key


class RotatedSecrets(FixedSecrets):
    """Secrets whose refresh returns a new API key."""

    def refresh(self) -> Secrets:
        return Secrets(("token",), {"SK" + "e" * 32: "new"})


def test_request_with_a_rejected_key_is_retried_once_with_the_new_key(
    server: ScriptedServer,
) -> None:
    secrets = RotatedSecrets(Secrets(("token",), {"SK" + "b" * 32: "secret"}))
    serve(server, response(401, {}), response(200, RESERVATION_RESOURCE))
    client = make_client(server.url, secrets)
    assert client.fetch_reservation(RESERVATION, task_sid=TASK) == REMOTE
    first, second = server.requests
    assert b"authorization: basic" in first.lower()
    assert first != second

    serve(server, response(403, {}))
    with pytest.raises(TaskRouterDenied):
        make_client(server.url, secrets).verify_workspace()
    assert len(server.requests) == 4


def test_request_with_a_rejected_key_is_not_retried_without_a_new_key(
    server: ScriptedServer,
) -> None:
    serve(server, response(401, {}))
    with pytest.raises(TaskRouterDenied):
        make_client(server.url).verify_workspace()
    assert len(server.requests) == 1


# Limits


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
    """The limits (seconds, bytes) of each exchange. The exchanges send no requests."""
    limits: list[tuple[float, int]] = []

    def run(exchange: SizeLimitedExchange[Any]) -> object:
        limits.append((exchange.seconds, exchange.max_bytes))
        raise TimeoutError

    monkeypatch.setattr(Exchange, "run", run)
    return limits


@pytest.mark.parametrize("operation", [*OPERATIONS, "events", "search"])
def test_operations_have_time_and_size_limits(
    limits: list[tuple[float, int]], monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    monkeypatch.setattr(adapter, "time", SimpleNamespace(monotonic=lambda: 100.0))
    others: dict[str, Call] = {
        "events": lambda client: client.list_events("x", since=0, until=1),
        "search": lambda client: client.find_tasks("a", "b"),
    }
    call = others[operation] if operation in others else OPERATIONS[operation][0]
    with pytest.raises(TaskRouterNotSent):
        call(make_client("http://taskrouter.test"))
    expected = {
        "pending reservations": (3.0, 2**26),
        "reservations": (3.0, 2**26),
        "reserved tasks": (16.0, 2**26),
        "events": (16.0, 2**26),
    }
    assert limits == [expected.get(operation, (3.0, 2**20))]


@pytest.mark.parametrize(("elapsed", "seconds"), [(1.5, 0.5), (2.0, 0), (2.5, 0)])
def test_retried_request_gets_the_remaining_time(
    monkeypatch: pytest.MonkeyPatch, elapsed: float, seconds: float
) -> None:
    time_limits: list[float] = []

    def refuse(exchange: SizeLimitedExchange[Any]) -> object:
        time_limits.append(exchange.seconds)
        raise TaskRouterDenied("no")

    times = iter([100.0, 100.0, 100.0 + elapsed])
    monkeypatch.setattr(Exchange, "run", refuse)
    monkeypatch.setattr(adapter, "time", SimpleNamespace(monotonic=lambda: next(times)))
    secrets = RotatedSecrets(Secrets(("token",), {"SK" + "b" * 32: "secret"}))
    client = make_client("http://taskrouter.test", secrets, seconds=2.0)
    with pytest.raises(TaskRouterDenied):
        client.verify_workspace()
    assert time_limits == [2.0, seconds]


@pytest.mark.parametrize(("size", "is_read"), [(2**20, True), (2**20 + 1, False)])
def test_only_a_resource_of_at_most_one_mebibyte_is_read(
    server: ScriptedServer, size: int, *, is_read: bool
) -> None:
    content = json.dumps(RESERVATION_RESOURCE).encode().ljust(size)
    serve(server, response(200, content))
    client = make_client(server.url)
    if is_read:
        assert client.fetch_reservation(RESERVATION, task_sid=TASK) == REMOTE
    else:
        with pytest.raises(TaskRouterUnavailable, match="response can't be read"):
            client.fetch_reservation(RESERVATION, task_sid=TASK)


def test_connection_is_closed_if_the_response_is_too_large(server: ScriptedServer) -> None:
    closed = threading.Event()

    def send_endlessly(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n{")
        try:
            while not peer.ended.is_set():
                peer.send(b" " * 65_536)
        except OSError:
            closed.set()

    server.script = send_endlessly
    with pytest.raises(TaskRouterUnavailable) as raised:
        make_client(server.url).verify_workspace()
    assert closed.wait(5)
    assert raised.value.message == "TaskRouter's response can't be read."


def test_connections_have_time_limits_and_are_pooled() -> None:
    client = make_http_client(errors.to_error, seconds=7.5)
    assert client.timeout == (2.0, 7.5)
    for scheme in ("http", "https"):
        transport = client.session.get_adapter(f"{scheme}://taskrouter.test")
        assert isinstance(transport, http_client.TrackedAdapter)
        assert transport._pool_maxsize == 32
        assert transport.max_retries.total == 0


# Errors


@pytest.mark.parametrize("status", [199, *range(300, 600)])
def test_statuses_other_than_2xx_have_matching_errors(status: int) -> None:
    received = Response()
    received.status_code = status
    received.request = PreparedRequest()
    received.request.body = None
    received._content = b"{}"

    error = errors.to_error(received)

    special: dict[int, type[TaskRouterError]] = {
        401: TaskRouterDenied,
        403: TaskRouterDenied,
        404: TaskRouterNotFound,
        408: TaskRouterUnavailable,
        499: TaskRouterUnavailable,
        429: TaskRouterThrottled,
    }
    default = TaskRouterRefused if 400 <= status < 500 else TaskRouterUnavailable
    assert type(error) is special.get(status, default)
    assert f"(HTTP {status})" in error.message or status == 429


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (199, "TaskRouter failed (HTTP 199)."),
        (200, None),
        (201, None),
        (299, None),
        (300, "TaskRouter failed (HTTP 300)."),
    ],
)
def test_only_2xx_responses_are_read(
    server: ScriptedServer, status: int, message: str | None
) -> None:
    serve(server, response(status, RESERVATION_RESOURCE))
    client = make_client(server.url)
    if message is None:
        assert client.fetch_reservation(RESERVATION, task_sid=TASK) == REMOTE
    else:
        with pytest.raises(TaskRouterUnavailable) as raised:
            client.fetch_reservation(RESERVATION, task_sid=TASK)
        assert raised.value.message == message


@pytest.mark.parametrize(
    ("code", "shown"), [(20001, ", error 20001"), ("20001", ""), (True, ""), (None, "")]
)
def test_only_an_integer_is_shown_as_the_error_code_from_twilio(
    server: ScriptedServer, code: object, shown: str
) -> None:
    serve(server, response(400, {"code": code}))
    with pytest.raises(TaskRouterRefused) as raised:
        make_client(server.url).verify_workspace()
    assert raised.value.message == (
        f"TaskRouter refused the request (HTTP 400{shown}); see "
        "https://www.twilio.com/docs/api/errors."
    )


@pytest.mark.parametrize(
    "error",
    [
        TwilioException("x"),
        TwilioRestException(500, "u"),
        ValueError(),
        TypeError(),
        KeyError(),
        AttributeError(),
        RecursionError(),
        OverflowError(),
    ],
)
def test_response_that_the_sdk_cannot_read_raises_an_error(error: Exception) -> None:
    def send(_workspace: Any) -> None:
        raise error

    with pytest.raises(TaskRouterUnavailable, match="response can't be read"):
        make_client("http://taskrouter.test")._request(send)


@pytest.mark.parametrize("error", [RequestException(), TimeoutError()])
def test_failure_before_sending_is_reported_as_not_sent(error: Exception) -> None:
    def send(_workspace: Any) -> None:
        raise error

    with pytest.raises(TaskRouterNotSent):
        make_client("http://taskrouter.test")._request(send)


PROBLEMS: list[tuple[dict[str, object], str, str]] = [
    ({"message": "", "detail": "No such queue"}, "", ": No such queue."),
    ({"message": 5, "detail": ["x"], "title": "Bad"}, "", ": Bad."),
    ({"message": "There is no fa"}, "TaskChannel=fa", ": There is no fa."),
    ({"message": "There is no fax"}, "TaskChannel=fax", ": There is no fax. Check task_channel."),
    (
        {"message": "Timeout of fax"},
        "TaskChannel=fax&Timeout=60",
        ": Timeout of fax. Check timeout.",
    ),
    (
        {"message": "Not fax and 600"},
        "TaskChannel=fax&Timeout=600",
        ": Not fax and 600. Check task_channel, timeout.",
    ),
    (
        {"message": "ReservationStatus is wrong"},
        "ReservationStatus=x",
        ": ReservationStatus is wrong.",
    ),
    ({}, "TaskChannel=fax", "; see https://www.twilio.com/docs/api/errors."),
]


@pytest.mark.parametrize(("problem", "body", "end"), PROBLEMS)
def test_error_names_the_parameters_mentioned_in_the_message_from_twilio(
    problem: dict[str, object], body: str, end: str
) -> None:
    assert errors._describe_problem(problem, body) == end
