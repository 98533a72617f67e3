"""The TaskRouter client sends requests, parses responses and translates errors."""

import inspect
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs

import pytest
from twilio.rest.taskrouter.v1.workspace.task.reservation import ReservationContext

from chalicelib.adapters.secrets import FixedSecrets, Secrets
from chalicelib.adapters.twilio.errors import sdk_name
from chalicelib.adapters.twilio.taskrouter import TwilioTaskRouter
from chalicelib.domain.errors import (
    TaskRouterDenied,
    TaskRouterNotFound,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.instructions import INSTRUCTION_TYPES, Dequeue, parse_instruction
from chalicelib.domain.reservations import Status
from chalicelib.domain.tasks import NewTask, matches_request
from taskrouter_simulator.testing import TaskRouter as Simulator

TASK, WORKER, RESERVATION = "WT" + "1" * 32, "WK" + "2" * 32, "WR" + "3" * 32
RESERVATION_RESOURCE = {
    "sid": RESERVATION,
    "task_sid": TASK,
    "worker_sid": WORKER,
    "worker_name": "Alice",
    "date_created": "2026-11-22T01:02:03Z",
}


def http_response(status: int, body: object) -> bytes:
    text = body if isinstance(body, str) else json.dumps(body)
    head = f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode()


def error_response(status: int, code: int) -> bytes:
    return http_response(status, {"code": code, "message": "secret attribute", "status": status})


def read_request(connection: socket.socket) -> str:
    request = b""
    while b"\r\n\r\n" not in request:
        request += connection.recv(65536)
    head, _, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    while length and len(body) < int(length[1]):
        body += connection.recv(65536)
    return (head + b"\r\n\r\n" + body).decode()


@dataclass
class Server:
    """The state of a server that sends `reply` to each request.

    If the reply is empty, the server closes the connection without a response. If the reply is
    None, the server keeps the connection open without a response.
    """

    url: str
    reply: bytes | None = b""
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    listener = socket.create_server(("127.0.0.1", 0))
    state = Server(f"http://127.0.0.1:{listener.getsockname()[1]}")
    stopped = threading.Event()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                state.requests.append(read_request(connection))
                if state.reply is None:
                    stopped.wait(10)
                else:
                    connection.sendall(state.reply)

    thread = threading.Thread(target=serve)
    thread.start()
    yield state
    stopped.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def taskrouter(url: str) -> TwilioTaskRouter:
    return TwilioTaskRouter(
        base_url=url,
        account_sid="AC" + "a" * 32,
        secrets=FixedSecrets(Secrets(("token",), {"SK" + "b" * 32: "secret"})),
        workspace_sid="WS" + "c" * 32,
    )


REQUESTS: dict[str, Callable[[TwilioTaskRouter], object]] = {
    "fetch by task": lambda client: client.fetch_reservation(RESERVATION, task_sid=TASK),
    "fetch by worker": lambda client: client.fetch_reservation(RESERVATION, worker_sid=WORKER),
    "update": lambda client: client.update_reservation(
        RESERVATION, task_sid=TASK, to=Status.ACCEPTED, activity_sid=None
    ),
    "instruct": lambda client: client.send_instruction(
        RESERVATION, task_sid=TASK, instruction=Dequeue(from_="+15556667777")
    ),
    "list": lambda client: client.list_pending_reservations(TASK),
    "reservations": lambda client: client.list_reservations(TASK),
    "reserved tasks": lambda client: client.list_reserved_tasks(),
    "events": lambda client: client.list_events("reservation.created", since=0, until=1),
    "find": lambda client: client.find_tasks("idempotency_marker", "x"),
    "create": lambda client: client.create_task(
        NewTask(attributes="{}", workflow_sid="WW" + "d" * 32)
    ),
    "workspace": lambda client: client.verify_workspace(),
}


@pytest.mark.parametrize("send", REQUESTS.values(), ids=REQUESTS.keys())
@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (error_response(400, 20001), TaskRouterRefused),
        (error_response(401, 20003), TaskRouterDenied),
        (error_response(403, 20008), TaskRouterDenied),
        (error_response(404, 20404), TaskRouterNotFound),
        (error_response(408, 20408), TaskRouterUnavailable),
        (error_response(409, 20409), TaskRouterRefused),
        (error_response(429, 20429), TaskRouterThrottled),
        (error_response(500, 20500), TaskRouterUnavailable),
        (error_response(503, 20503), TaskRouterUnavailable),
        (
            http_response(400, {"type": "x", "title": "t", "status": 400, "code": 20001}),
            TaskRouterRefused,
        ),
        (http_response(502, "<html>Bad gateway</html>"), TaskRouterUnavailable),
        (http_response(200, "<html>Who are you?</html>"), TaskRouterUnavailable),
        (http_response(200, "[]"), TaskRouterUnavailable),
        (b"junk\r\n\r\n", TaskRouterUnavailable),
        (b"", TaskRouterUnavailable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", TaskRouterUnavailable),
    ],
)
def test_failure_raises_the_matching_error(
    server: Server,
    send: Callable[[TwilioTaskRouter], object],
    reply: bytes,
    error: type[Exception],
) -> None:
    server.reply = reply
    with pytest.raises(error) as raised:
        send(taskrouter(server.url))
    assert type(raised.value) is error
    # Only these errors contain Twilio's message, which explains what the caller can correct.
    is_explained = error in {TaskRouterRefused, TaskRouterNotFound}
    assert "secret attribute" not in str(raised.value) or is_explained


def refuse(server: Server, message: object, call: str = "create", **problem: object) -> str:
    """Return the message of the error that a call raises if TaskRouter returns 400."""
    server.reply = http_response(400, {"code": 20001, "message": message, **problem})
    with pytest.raises(TaskRouterRefused) as raised:
        REQUESTS[call](taskrouter(server.url))
    return raised.value.message


CHANNEL = NewTask(attributes="{}", workflow_sid="WW" + "d" * 32, task_channel="fax", timeout=60)
INSTRUCTION = {
    "instruction": "conference",
    "from": "+15556667777",
    "sip_auth_password": "x7!secret",
    "post_work_activity_sid": "WA" + "4" * 32,
}
REJECTION = {"task_sid": TASK, "to": Status.REJECTED, "activity_sid": "WA" + "4" * 32}
REFUSED_CALLS: dict[str, Callable[[TwilioTaskRouter], object]] = {
    "channel": lambda client: client.create_task(CHANNEL),
    "attributes": lambda client: client.create_task(
        replace(CHANNEL, attributes='{"card": ["4111 \\"x\\""], "name": "Zo\\u00eb", "pin": 42}')
    ),
    "conference": lambda client: client.send_instruction(
        RESERVATION, task_sid=TASK, instruction=parse_instruction(INSTRUCTION)
    ),
    "rejection": lambda client: client.update_reservation(RESERVATION, **REJECTION),  # type: ignore[arg-type]
}
REQUESTS |= REFUSED_CALLS


@pytest.mark.parametrize(
    ("call", "message", "end"),
    [
        (
            "channel",
            "TaskChannel fax does not exist in workspace WS1.",
            ": TaskChannel fax does not exist in workspace WS1. Check task_channel.",
        ),
        ("channel", "There is no fax.", ": There is no fax. Check task_channel."),
        (
            "channel",
            "Timeout must be a whole number",
            ": Timeout must be a whole number. Check timeout.",
        ),
        ("channel", "Something is wrong", ": Something is wrong."),
        (
            "rejection",
            f"Activity WA{'4' * 32} does not exist",
            f": Activity WA{'4' * 32} does not exist. Check activity_sid.",
        ),
        (
            "rejection",
            "WorkerActivitySid is not a valid SID",
            ": WorkerActivitySid is not a valid SID. Check activity_sid.",
        ),
        ("rejection", "ReservationStatus is wrong", ": ReservationStatus is wrong."),
        (
            "conference",
            "PostWorkActivitySid is unavailable",
            ": PostWorkActivitySid is unavailable. Check post_work_activity_sid.",
        ),
    ],
)
def test_error_for_a_refused_request_contains_the_message_from_twilio_and_the_parameter_to_check(
    server: Server, call: str, message: str, end: str
) -> None:
    assert refuse(server, message, call) == (
        f"TaskRouter refused the request (HTTP 400, error 20001){end}"
    )


@pytest.mark.parametrize(
    ("call", "message", "shown"),
    [
        ("attributes", 'Attributes {"card": ["4111 \\"x\\""]} are bad', "Attributes … are bad"),
        ("attributes", 'Attributes {"card": ["4111', "Attributes …"),
        ("attributes", 'Bad value 4111 "x" of card', "Bad value … of card"),
        ("attributes", "Zoë has no pin 42", "… has no pin …"),
        ("conference", "Password x7!secret is too short", "Password … is too short"),
        ("conference", "From +15556667777 is not verified", "From … is not verified"),
        ("rejection", "contact_uri client:zoe is busy", "contact_uri … is busy"),
        ("rejection", "No route to sip:zoe@example.com", "No route to …"),
        ("rejection", "Task of zoe@example.com is closed", "Task of … is closed"),
        ("rejection", "Card 4111 1111 1111 1111 expired", "Card … expired"),
        ("rejection", "name 'Zoë' isn't unique", "name … isn't unique"),
        ("rejection", 'name "Zoë" isn\'t unique', "name … isn't unique"),
        ("rejection", "https://user:pw@desk.example/x failed", "… failed"),
        ("rejection", "Two\nlines\tof  text", "Two lines of text"),
    ],
)
def test_error_for_a_refused_request_omits_attributes_secrets_and_contacts(
    server: Server, call: str, message: str, shown: str
) -> None:
    assert f"error 20001): {shown}." in refuse(server, message, call)


def test_not_found_error_contains_the_message_from_twilio_and_the_parameter_to_check(
    server: Server,
) -> None:
    message = f"The requested resource /Workflows/WW{'d' * 32} was not found"
    server.reply = http_response(404, {"code": 20404, "message": message})
    with pytest.raises(TaskRouterNotFound) as raised:
        REFUSED_CALLS["channel"](taskrouter(server.url))
    assert raised.value.message == (
        f"TaskRouter has no such resource (HTTP 404, error 20404): {message}. Check workflow_sid."
    )


def test_error_for_a_refused_request_may_contain_task_sids(server: Server) -> None:
    sentence = f"Cannot complete task {TASK} because it is not currently assigned"
    assert sentence in refuse(server, sentence, "rejection")


@pytest.mark.parametrize(
    "message", [None, "", 5, ["x"], {"a": "b"}, "x" * 1_001, "{}" * 400, "x y " * 200]
)
def test_error_for_a_refused_request_is_short(server: Server, message: object) -> None:
    assert len(refuse(server, message)) < 260


def test_error_contains_the_detail_or_the_title_if_twilio_sends_no_message(server: Server) -> None:
    assert ": No such queue." in refuse(server, None, detail="No such queue", title="Bad request")
    assert ": Bad request." in refuse(server, None, title="Bad request")


def test_error_omits_a_deeply_nested_response_body(server: Server) -> None:
    server.reply = http_response(400, "[" * 100_000)
    with pytest.raises(TaskRouterRefused, match=r"\(HTTP 400\)"):
        taskrouter(server.url).verify_workspace()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        *[("7", 7), ("0", 2), ("", 2), ("x", 2), ("-5", 2), ("1.5", 2), ("³", 2)],
        *[
            ("86399", 86_399),
            ("100000", 86_400),
            ("9" * 5_000, 86_400),
            ("0" * 40 + "7", 7),
            ("1234567", 86_400),
        ],
        ("Fri, 31 Dec 2100 23:59:59 GMT", 2),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_header_from_taskrouter_is_used_within_limits(
    server: Server, status: int, header: str, seconds: int
) -> None:
    reply = error_response(status, status).replace(
        b"Connection:", f"Retry-After: {header}\r\nConnection:".encode()
    )
    server.reply = reply
    for call in ("create", "list"):
        with pytest.raises(TaskRouterUnavailable) as raised:
            REQUESTS[call](taskrouter(server.url))
        assert raised.value.retry_after == seconds


def test_refused_connection_raises_taskrouter_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(TaskRouterUnavailable):
        taskrouter(url).verify_workspace()


def test_tasks_are_found_by_an_attribute_and_returned_with_their_attributes(
    taskrouter: Simulator,
) -> None:
    client = TwilioTaskRouter(
        base_url=taskrouter.url,
        account_sid=taskrouter.account_sid,
        secrets=FixedSecrets(
            Secrets(("token",), {taskrouter.api_key_sid: taskrouter.api_key_secret})
        ),
        workspace_sid=taskrouter.workspace_sid,
    )

    requests = {
        marker: NewTask(
            attributes=json.dumps({"idempotency_marker": marker, "nested": {"a": [1, None]}}),
            workflow_sid=taskrouter.workflow_sid,
            priority=3,
            timeout=600,
            task_channel="voice",
        )
        for marker in ("a" * 32, "b" * 32)
    }
    created = {marker: client.create_task(request) for marker, request in requests.items()}

    for marker, request in requests.items():
        (found,) = client.find_tasks("idempotency_marker", marker)
        assert (found.task.sid, found.task.attributes) == (
            created[marker].sid,
            request.attributes,
        )
        assert matches_request(found, request)
        assert matches_request(found, replace(request, task_channel=found.task_channel[0]))
        assert not matches_request(found, replace(request, task_channel="chat"))
    assert client.find_tasks("idempotency_marker", "c" * 32) == []


@pytest.mark.parametrize(
    ("name", "recorded"),
    [("🙂" * 300, "🙂" * 256), ("名" * 256, "名" * 256), ("", None), (None, None)],
)
def test_long_worker_name_is_shortened(
    server: Server, name: str | None, recorded: str | None
) -> None:
    resource = RESERVATION_RESOURCE | {"reservation_status": "accepted", "worker_name": name}
    server.reply = http_response(200, resource)

    remote = taskrouter(server.url).fetch_reservation(RESERVATION, task_sid=TASK)

    assert remote.worker_name == recorded


def test_update_sends_status_and_activity(server: Server) -> None:
    server.reply = http_response(200, RESERVATION_RESOURCE | {"reservation_status": "rejected"})
    activity_sid = "WA" + "4" * 32
    remote = taskrouter(server.url).update_reservation(
        RESERVATION, task_sid=TASK, to=Status.REJECTED, activity_sid=activity_sid
    )

    assert (remote.status, remote.worker_name, remote.created_at) == (
        Status.REJECTED,
        "Alice",
        1795309323000,
    )
    (request,) = server.requests
    assert request.startswith(f"POST /v1/Workspaces/WS{'c' * 32}/Tasks/{TASK}/Reservations/WR3")
    assert "ReservationStatus=rejected" in request
    assert f"WorkerActivitySid={activity_sid}" in request


def test_events_are_parsed_and_unreadable_events_are_counted(server: Server) -> None:
    data = {
        "reservation_sid": RESERVATION,
        "task_sid": TASK,
        "worker_sid": WORKER,
        "worker_name": "Alice",
        "task_queue_sid": "WQ" + "5" * 32,
        "task_attributes": '{"selected_language": "es"}',
        "worker_version": 3,
    }
    event = {
        "event_type": "reservation.accepted",
        "event_date": "2026-11-22T01:02:03Z",
        "event_date_ms": 1_795_309_323_456,
        "event_data": data,
    }
    event_with_invalid_worker_sid = {**event, "event_data": {**data, "worker_sid": "Alice"}}
    event_of_another_workspace = {**event, "event_data": {**data, "workspace_sid": "WS" + "9" * 32}}
    event_without_data = {**event, "event_data": None}
    events = [event, event_with_invalid_worker_sid, event_of_another_workspace, event_without_data]
    server.reply = http_response(200, {"events": events, "meta": {"key": "events"}})

    page = taskrouter(server.url).list_events(
        "reservation.accepted", since=1_795_309_000_999, until=1_795_309_600_000
    )

    (parsed,) = page.events
    assert (page.is_complete, page.unreadable) == (True, 3)
    assert (parsed.status, parsed.at) == (Status.ACCEPTED, 1_795_309_323_456)
    assert (parsed.reservation_sid, parsed.task_sid, parsed.worker_sid) == (
        RESERVATION,
        TASK,
        WORKER,
    )
    assert (parsed.worker_name, parsed.task_attributes) == ("Alice", data["task_attributes"])
    (request,) = server.requests
    assert "EventType=reservation.accepted" in request
    assert "StartDate=2026-11-22T00%3A56%3A40Z" in request
    assert "EndDate=2026-11-22T01%3A06%3A40Z" in request


def test_malformed_events_do_not_affect_other_events(server: Server) -> None:
    data = {"task_sid": TASK, "worker_sid": WORKER}
    event = {
        "event_type": "reservation.canceled",
        "event_date_ms": 1_795_309_323_456,
        "resource_sid": RESERVATION,
        "event_data": data,
    }
    malformed: list[dict[str, object]] = [
        {**event, "event_date_ms": None},
        {**event, "event_date_ms": "soon"},
        {**event, "event_data": json.dumps(data)},
        {**event, "event_data": [data]},
        {**event, "event_type": None},
        {**event, "resource_sid": None},
    ]
    server.reply = http_response(200, {"events": [*malformed, event], "meta": {"key": "events"}})

    page = taskrouter(server.url).list_events("reservation.canceled", since=0, until=1)

    events = page.events
    assert {event.reservation_sid for event in events} == {RESERVATION}
    assert [event.at for event in events] == [None, None, 1_795_309_323_456]
    assert page.unreadable == 4


def test_at_most_two_pages_of_events_are_read(server: Server) -> None:
    event = {"event_type": "reservation.created", "event_data": {}}
    next_page_url = f"{server.url}/v1/Workspaces/WS/Events?Page=1"
    body = {"events": [event] * 1000, "meta": {"key": "events", "next_page_url": next_page_url}}
    server.reply = http_response(200, body)

    page = taskrouter(server.url).list_events("reservation.created", since=0, until=1)

    assert (page.events, page.is_complete, page.unreadable) == ([], False, 2000)
    assert len(server.requests) == 2


ACTIVITY, CALL = "WA" + "4" * 32, "CA" + "6" * 32
INSTRUCTIONS: list[tuple[dict[str, object], dict[str, list[str]]]] = [
    (
        {
            "instruction": "dequeue",
            "from": "+15556667777",
            "timeout": 30,
            "post_work_activity_sid": ACTIVITY,
            "status_callback_events": "initiated,answered",
        },
        {
            "Instruction": ["dequeue"],
            "DequeueFrom": ["+15556667777"],
            "DequeueTimeout": ["30"],
            "DequeuePostWorkActivitySid": [ACTIVITY],
            "DequeueStatusCallbackEvent": ["initiated", "answered"],
        },
    ),
    (
        {
            "instruction": "call",
            "to": "client:alice",
            "from": "+15556667777",
            "url": "https://desk.example/twiml",
            "accept": True,
        },
        {
            "Instruction": ["call"],
            "CallTo": ["client:alice"],
            "CallFrom": ["+15556667777"],
            "CallUrl": ["https://desk.example/twiml"],
            "CallAccept": ["true"],
        },
    ),
    (
        {"instruction": "redirect", "call_sid": CALL, "url": "https://desk.example/twiml"},
        {
            "Instruction": ["redirect"],
            "RedirectCallSid": [CALL],
            "RedirectUrl": ["https://desk.example/twiml"],
        },
    ),
    (
        {"instruction": "conference", "from": "+15556667777", "muted": False, "timeout": 20},
        {
            "Instruction": ["conference"],
            "From": ["+15556667777"],
            "Muted": ["false"],
            "Timeout": ["20"],
        },
    ),
]


@pytest.mark.parametrize(("instruction", "form"), INSTRUCTIONS)
def test_instruction_is_sent_with_rest_parameter_names(
    server: Server, instruction: dict[str, object], form: dict[str, list[str]]
) -> None:
    server.reply = http_response(200, RESERVATION_RESOURCE | {"reservation_status": "pending"})

    remote = taskrouter(server.url).send_instruction(
        RESERVATION, task_sid=TASK, instruction=parse_instruction(instruction)
    )

    assert remote.status is Status.PENDING
    (request,) = server.requests
    assert parse_qs(request.partition("\r\n\r\n")[2]) == form


def test_sdk_supports_every_parameter_of_every_instruction() -> None:
    supported = inspect.signature(ReservationContext.update).parameters
    for instruction_type in INSTRUCTION_TYPES.values():
        for parameter in instruction_type.parameters().values():
            assert sdk_name(parameter.rest_name) in supported
