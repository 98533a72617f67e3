"""The exact log lines, headers, statuses and error messages of the routes."""

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError
from chalice.app import Response

from app import app
from chalicelib import observability
from chalicelib.config import SettingsError
from chalicelib.domain.errors import TaskRouterUnavailable
from chalicelib.routes import http, rest_names
from chalicelib.routes.callbacks import move_twilio_routes
from chalicelib.routes.http import log_request
from tests.routes.conftest import FORM, Api, reserve
from tests.routes.test_permissions import ROUTES
from tests.routes.test_voice import post as post_call
from tests.support import sid

HEADERS = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
CALL = {"instruction": "call", "from": "+15556667777", "url": "https://desk.example/twiml"}


def last_line(api: Api) -> dict[str, Any]:
    """Return the last log line, which is a request's, without its times and its `event`."""
    line = api.lines()[-1]
    assert line.pop("time")
    assert line.pop("duration_ms") >= 0
    assert line.pop("event") == "request"
    return line


def request_line(method: str, route: str, status: int, **fields: Any) -> dict[str, Any]:
    level = "ERROR" if status >= 500 else "INFO"
    return {"level": level, "method": method, "route": route, "status": status, **fields}


# Log lines


@pytest.mark.parametrize("verb", ["accept", "reject", "complete"])
def test_decisions_and_reads_are_logged(api: Api, verb: str) -> None:
    remote = reserve(api)
    path = f"/reservations/{remote.reservation_sid}"
    if verb == "complete":
        api.call("POST", f"{path}/accept")
    sids = {
        "reservation_sid": remote.reservation_sid,
        "task_sid": remote.task_sid,
        "worker_sid": remote.worker_sid,
    }
    status = {"accept": "accepted", "reject": "rejected", "complete": "completed"}[verb]

    assert api.call("POST", f"{path}/{verb}").status_code == 200

    fields = {"principal": "supervisor", "asked": status, "answer": status, **sids}
    assert last_line(api) == request_line("POST", f"/reservations/{{sid}}/{verb}", 200, **fields)
    api.call("GET", path)
    assert last_line(api) == request_line(
        "GET",
        "/reservations/{sid}",
        200,
        principal="supervisor",
        reservation_sid=remote.reservation_sid,
    )
    api.call("GET", "/reservations")
    assert last_line(api) == request_line(
        "GET", "/reservations", 200, principal="supervisor", found=1
    )


@pytest.mark.parametrize("answer", ["defer", "accept"])
def test_callback_is_logged(
    environ: dict[str, str], request: pytest.FixtureRequest, answer: str
) -> None:
    environ["ASSIGNMENT_INSTRUCTION"] = answer
    api: Api = request.getfixturevalue("api")
    parameters = api.callback_parameters()
    api.post_callback(parameters)
    assert last_line(api) == request_line(
        "POST",
        "/assignment_callback",
        200,
        answer=answer,
        reservation_sid=parameters["ReservationSid"],
        task_sid=parameters["TaskSid"],
        worker_sid=parameters["WorkerSid"],
        signed=True,
    )


@pytest.mark.parametrize("changed", [True, False])
def test_event_is_logged(api: Api, *, changed: bool) -> None:
    parameters = api.callback_parameters(EventType="reservation.accepted")
    for _ in range(1 if changed else 2):
        api.post_callback(parameters, path="/event_callback")
    assert last_line(api) == request_line(
        "POST",
        "/event_callback",
        204,
        event_type="reservation.accepted",
        changed=changed,
        reservation_sid=parameters["ReservationSid"],
        task_sid=parameters["TaskSid"],
        worker_sid=parameters["WorkerSid"],
        signed=True,
    )


def test_created_task_is_logged(api: Api) -> None:
    response = api.post_json("/create-task", {"attributes": {}})
    assert response.status_code == 201
    assert last_line(api) == request_line(
        "POST", "/create-task", 201, principal="supervisor", task_sid=response.json_body["sid"]
    )


def test_call_is_logged(api: Api) -> None:
    call_sid = "CA" + "1" * 32
    post_call(api, "/enqueue_call", Digits="1")
    fields = {"call_sid": call_sid, "selected_language": "es", "signed": True}
    assert last_line(api) == request_line("POST", "/enqueue_call", 200, **fields)
    post_call(api, "/left_queue", QueueResult="leave")
    fields = {"call_sid": call_sid, "queue_result": "leave", "signed": True}
    assert last_line(api) == request_line("POST", "/left_queue", 200, **fields)


def test_failed_rule_and_unreadable_callback_are_logged(
    environ: dict[str, str], tmp_path: Any, request: pytest.FixtureRequest
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(
        'unreadable = "reject"\n'
        '[[rule]]\nname = "far"\nwhen = "task.far"\ninstruction = "dequeue"\n'
        'from = {ref = "task.from"}\n'
        '[[rule]]\nname = "vip"\nwhen = "task.vip"\ninstruction = "accept"\n'
    )
    environ["RULES_FILE"] = str(rules)
    api: Api = request.getfixturevalue("api")

    def post(attributes: str) -> dict[str, Any]:
        api.post_callback(api.callback_parameters(TaskAttributes=attributes))
        line = last_line(api)
        ignored = (
            "reservation_sid",
            "task_sid",
            "worker_sid",
            "signed",
            "method",
            "route",
            "status",
            "level",
        )
        return {name: value for name, value in line.items() if name not in ignored}

    assert post('{"vip": true}') == {"answer": "accept", "rule": "vip"}
    assert post('{"far": true, "from": 5}') == {
        "answer": "defer",
        "failed_rules": ["far: from"],
        "FailedRules": 1,
    }
    assert post("{") == {
        "answer": "reject",
        "unreadable": "TaskAttributes",
        "UnreadableCallback": 1,
    }


@pytest.mark.parametrize(
    ("status", "level"),
    [(200, "INFO"), (404, "INFO"), (499, "INFO"), (500, "ERROR"), (503, "ERROR")],
)
def test_only_statuses_of_at_least_500_are_logged_as_errors(
    api: Api, monkeypatch: pytest.MonkeyPatch, status: int, level: str
) -> None:
    times = iter([10.0, 10.0123456])
    monkeypatch.setattr(http, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    request: Any = SimpleNamespace(method="GET", path="/x")
    observability.start()
    observability.bind(found=5)

    log_request(request, lambda _: Response("", status_code=status))

    line = api.lines()[-1]
    del line["time"]
    assert line == {
        "level": level,
        "event": "request",
        "method": "GET",
        "route": "/x",
        "status": status,
        "duration_ms": 12.3,
    }


# Headers


def test_responses_have_the_default_headers(api: Api) -> None:
    assert api.call("GET", "/health", token=None).headers == HEADERS
    assert api.call("GET", "/reservations").headers == HEADERS
    refused = api.call("GET", "/reservations", token=None)
    assert refused.headers == {**HEADERS, "WWW-Authenticate": "Bearer"}
    assert refused.json_body.keys() == {"Code", "Message"}
    forbidden = api.call("POST", "/create-task", token=api.token("worker", worker_sid=sid("WK")))
    assert (forbidden.status_code, forbidden.headers) == (403, HEADERS)


@pytest.mark.parametrize("origin", ["", "https://agents.example"])
def test_only_routes_that_require_a_token_send_cors_headers(
    environ: dict[str, str], request: pytest.FixtureRequest, origin: str
) -> None:
    environ["CORS_ALLOW_ORIGIN"] = origin
    api: Api = request.getfixturevalue("api")
    cors = {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": "ETag, Retry-After, Server-Time",
        "Vary": "Origin",
    }
    allowed = {**HEADERS, **(cors if origin else {})}

    assert api.call("GET", "/reservations").headers == allowed
    refused = api.call("GET", "/reservations", token=None)
    assert refused.headers == {**allowed, "WWW-Authenticate": "Bearer"}
    assert api.call("GET", "/health").headers == HEADERS
    assert api.post_callback(api.callback_parameters()).headers == HEADERS
    assert api.post_callback(api.callback_parameters(), signature=None).headers == HEADERS
    preflight = api.call("OPTIONS", "/reservations", token=None)
    if not origin:
        assert (preflight.status_code, preflight.headers) == (403, HEADERS)
        return
    assert (preflight.status_code, preflight.body) == (204, b"")
    assert preflight.headers == {
        **allowed,
        "Access-Control-Allow-Methods": "GET",
        "Access-Control-Allow-Headers": (
            "Authorization, Content-Type, Idempotency-Key, If-None-Match"
        ),
        "Access-Control-Max-Age": "600",
    }


@pytest.mark.parametrize(
    "path", ["/create-task", "/accept_reservation", "/reservations", "/reservations/{sid}/reject"]
)
@pytest.mark.parametrize("tutorial", ["true", "false"])
def test_get_routes_of_the_tutorial_require_the_tutorial_routes_setting(
    environ: dict[str, str], request: pytest.FixtureRequest, path: str, tutorial: str
) -> None:
    environ |= {"CORS_ALLOW_ORIGIN": "*", "TUTORIAL_ROUTES": tutorial}
    api: Api = request.getfixturevalue("api")
    supported = [
        method
        for method, route in ROUTES
        if route == path and (method == "POST" or path == "/reservations" or tutorial == "true")
    ]
    path = path.replace("{sid}", sid("WR"))

    preflight = api.call("OPTIONS", path, token=None)
    assert preflight.headers["Access-Control-Allow-Methods"] == ", ".join(supported)
    for method in ("GET", "POST"):
        status = api.call(method, path).status_code
        assert (status == 405) == (method not in supported)
    if "GET" not in supported:
        assert api.call("GET", path).json_body == {
            "Code": "MethodNotAllowedError",
            "Message": "Unsupported method: GET",
        }


# Unexpected errors


@pytest.mark.parametrize(
    ("error", "body", "event"),
    [
        (
            SettingsError("RETENTION_DAYS must be a number."),
            {"Code": "SettingsError", "Message": "RETENTION_DAYS must be a number."},
            "settings",
        ),
        (
            ZeroDivisionError("secret"),
            {"Code": "InternalServerError", "Message": "An internal server error occurred."},
            "crash",
        ),
    ],
)
def test_unexpected_error_is_logged_and_returned_as_500(
    api: Api, monkeypatch: pytest.MonkeyPatch, error: Exception, body: dict[str, str], event: str
) -> None:
    class Failing:
        def principal(self, _authorization: str | None) -> None:
            raise error

    monkeypatch.setitem(vars(api.service), "tokens", Failing())
    response = api.call("GET", "/reservations")
    assert (response.status_code, response.headers) == (500, HEADERS)
    assert response.json_body == body
    crash, line = api.lines()[-2:]
    assert crash["event"] == event
    assert (line["status"], line["level"]) == (500, "ERROR")
    assert "secret" not in api.log.getvalue()


# Limits


@pytest.mark.parametrize(("size", "status"), [(131_071, 400), (131_072, 400), (131_073, 413)])
def test_body_of_at_most_128_kib_is_read(api: Api, size: int, status: int) -> None:
    response = api.call("POST", "/create-task", body=b"[".ljust(size), content_type=FORM + "x")
    assert response.status_code in (status, 415)
    response = api.call("POST", "/create-task", body=b"a=".ljust(size, b"1"), content_type=FORM)
    assert response.status_code == status


@pytest.mark.parametrize("count", [1, 2, 3])
def test_at_most_two_unknown_parameters_are_named(api: Api, count: int) -> None:
    names = ["xyzzy0", "xyzzy1", "xyzzy2"][:count]
    query = "&".join(f"{name}=1" for name in names)
    messages = {
        path: api.call("GET", f"{path}?{query}").json_body["Message"]
        for path in ("/reservations", f"/reservations/{sid('WR')}")
    }
    named = " ".join(f'There is no parameter "{name}".' for name in names[:2])
    known = "The parameters are: worker_sid, status, since, limit, cursor."
    assert list(messages.values()) == [f"{named} {known}", f"{named} This route has no parameters."]


@pytest.mark.parametrize(("others", "is_suggested"), [(9, True), (10, False)])
def test_first_ten_unknown_names_are_compared_with_the_parameters_of_the_route(
    api: Api, others: int, *, is_suggested: bool
) -> None:
    unknown = {f"zz{number}": "1" for number in range(others)}
    body = {**CALL, **unknown, "task_sidd": "1"}
    response = api.post_json(f"/reservations/{sid('WR')}/accept", body)
    assert response.status_code == 400
    suggestion = 'There is no parameter "task_sidd"; did you mean task_sid?'
    assert response.json_body["Message"].startswith(suggestion) == is_suggested


@pytest.mark.parametrize(("length", "shown"), [(15, "n" * 15), (16, "***")])
def test_at_most_ten_query_parameter_names_of_up_to_fifteen_characters_are_logged(
    api: Api, length: int, shown: str
) -> None:
    pairs = [("n" * length, "v"), *[(f"p{number}", "v") for number in range(11)]]
    url = http.mask_url("https://a.test/dev/x/route/", "/route", pairs)
    others = "&".join(f"p{number}=***" for number in range(9))
    assert url == f"https://a.test/dev/***/route/?{shown}=***&{others}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.test/dev/route", "https://a.test/dev/route"),
        ("https://a.test/dev/route/", "https://a.test/dev/route/"),
        ("https://a.test/dev/route/secret", "https://a.test/dev/route/***"),
        ("https://a.test/dev/other", "https:///route/***"),
        ("https://a.test/route", "https://a.test/route"),
        (f"https://a.test/{'s' * 15}/route", f"https://a.test/{'s' * 15}/route"),
        (f"https://a.test/{'s' * 16}/route", "https://a.test/***/route"),
    ],
)
def test_url_parts_that_may_be_secrets_are_not_logged(url: str, shown: str) -> None:
    assert http.mask_url(url, "/route", []) == shown


@pytest.mark.parametrize(
    ("limit", "status"), [("1", 200), ("100", 200), ("0", 400), ("101", 400), ("01", 400)]
)
def test_limit_parameter_must_be_a_whole_number_from_1_to_100(
    api: Api, limit: str, status: int
) -> None:
    assert api.call("GET", f"/reservations?limit={limit}").status_code == status


@pytest.mark.parametrize(
    ("since", "count"),
    [
        ("2026-09-21T14:13:20Z", 1),
        ("2026-09-21T14:13:20", 1),
        ("2026-09-21T14:13:20.001Z", 0),
        ("2026-09-21T14:13:20.001", 0),
        ("2026-09-21T16:13:20%2B02:00", 1),
        ("2026-09-21T16:13:20.001%2B02:00", 0),
        ("2026-09-21T12:13:20-02:00", 1),
        ("0001-01-01T00:00:00%2B23:59", 1),
        ("9999-12-31T23:59:59-23:59", 0),
    ],
)
def test_since_parameter_is_in_utc_unless_it_has_an_offset(
    api: Api, since: str, count: int
) -> None:
    reserve(api)
    page = api.call("GET", f"/reservations?since={since}").json_body
    assert len(page["reservations"]) == count


# Decisions


def test_time_limit_of_the_quickstart_route_includes_the_search(api: Api) -> None:
    """A slow search of TaskRouter leaves no time for another request."""
    remote = reserve(api)
    api.taskrouter.fail_after["update"] = [TaskRouterUnavailable("connection lost")]
    search = api.taskrouter.list_pending_reservations

    def search_slowly(task_sid: str) -> Any:
        api.clock.now += 60_000
        return search(task_sid)

    api.taskrouter.list_pending_reservations = search_slowly  # type: ignore[method-assign]
    response = api.call("POST", f"/accept_reservation?task_sid={remote.task_sid}")
    assert response.status_code == 503
    assert api.taskrouter.calls["fetch"] == 0


def test_record_has_exactly_the_expected_fields(api: Api) -> None:
    names = {
        "WorkflowName": "Quickstart",
        "TaskQueueName": "Support",
        "TaskChannelUniqueName": "voice",
    }
    parameters = api.callback_parameters(**names)
    api.post_callback(parameters)
    record = api.call("GET", f"/reservations/{parameters['ReservationSid']}").json_body
    assert record == {
        "reservation_sid": parameters["ReservationSid"],
        "task_sid": parameters["TaskSid"],
        "worker_sid": parameters["WorkerSid"],
        "worker_name": None,
        "workflow_sid": parameters["WorkflowSid"],
        "workflow_name": "Quickstart",
        "task_queue_sid": parameters["TaskQueueSid"],
        "task_queue_name": "Support",
        "task_channel_name": "voice",
        "status": "pending",
        "instruction": {},
        "reserved_at": "2026-09-21T14:13:20.000Z",
        "expires_at": "2026-09-21T14:15:20.000Z",
        "task_attributes": {"selected_language": "es"},
        "worker_attributes": {"languages": ["en", "es"]},
        "instruction_sent": None,
        "accepted_by": None,
        "callback": parameters,
        "history": [
            {
                "at": "2026-09-21T14:13:20.000Z",
                "from": None,
                "to": "pending",
                "by": "assignment_callback",
                "note": None,
            }
        ],
        "rule": None,
        "delivery": {
            "received_at": "2026-09-21T14:13:20.000Z",
            "answered_at": "2026-09-21T14:13:20.000Z",
            "route": "/assignment_callback",
            "checked_url": "https://example.test/api/assignment_callback",
        },
        "claims": [],
    }


# Names from TaskRouter's REST API


EXPLAINED = {
    "Instruction": rest_names._INSTRUCTIONS,
    "DequeueFrom": rest_names._INSTRUCTIONS,
    "ReservationStatus": rest_names._STATUS,
    "AssignmentStatus": rest_names._STATUS,
    "WorkerActivitySid": rest_names._ACTIVITY,
    "ActivitySid": rest_names._ACTIVITY,
    "ReservationSid": "the path of the route contains the SID of the Reservation",
    "Reason": rest_names._UNSUPPORTED,
    "Attributes": rest_names._TASK,
    "Priority": rest_names._TASK,
    "TaskChannel": rest_names._TASK,
    "WorkflowSid": rest_names._TASK,
    "TaskQueueSid": rest_names._ROUTING,
    "RoutingTarget": rest_names._ROUTING,
    "IgnoreCapacity": rest_names._UNSUPPORTED,
    "VirtualStartTime": rest_names._UNSUPPORTED,
    "Supervisor": rest_names._SUPERVISE,
    "SupervisorMode": rest_names._SUPERVISE,
    "IdempotencyKey": rest_names._KEY,
    "Idempotency-Key": rest_names._KEY,
    "AccountSid": rest_names._WORKSPACE,
    "WorkspaceSid": rest_names._WORKSPACE,
}


@pytest.mark.parametrize("name", EXPLAINED)
def test_rest_api_name_is_explained_if_the_route_has_no_counterpart(api: Api, name: str) -> None:
    response = api.post_json(f"/reservations/{sid('WR')}/complete", {name: "x"})
    assert response.json_body["Message"] == (
        f'There is no parameter "{name}": {EXPLAINED[name]}. The parameters are: task_sid.'
    )


def test_counterparts_map_rest_api_names_to_parameters() -> None:
    assert rest_names.COUNTERPARTS == {
        "ReservationStatus": "status",
        "AssignmentStatus": "status",
        "WorkerActivitySid": "activity_sid",
        "PageSize": "limit",
        "PageToken": "cursor",
        "Page": "cursor",
    }


def test_routes_without_a_secret_segment_are_not_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "middleware_handlers", list(app.middleware_handlers))
    before = dict(app.routes), list(app.middleware_handlers)
    move_twilio_routes(app, ("",))
    assert (dict(app.routes), list(app.middleware_handlers)) == before


# Requests


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"attributes=%7B%7D", 400),
        ("application/json", b'{"attributes": {}}', 201),
        ("application/json", b"[]", 400),
        (FORM, b"attributes=%7B%7D", 201),
        (FORM, b'{"attributes": {}}', 201),
        (FORM, b"\xef\xbb\xbfattributes=%7B%7D", 201),
        ("application/octet-stream", b'{"attributes": {}}', 201),
        ("application/json", b'{"attributes": "\xff"}', 400),
        ("text/plain", b'{"attributes": {}}', 415),
    ],
)
def test_content_type_and_leading_brace_determine_the_format_of_a_body(
    api: Api, content_type: str, body: bytes, status: int
) -> None:
    response = api.call("POST", "/create-task", body=body, content_type=content_type)
    assert response.status_code == status
    assert len(api.taskrouter.tasks) == (1 if status == 201 else 0)
    if status == 400:
        message = response.json_body["Message"]
        not_json = "The body is neither a form nor a valid JSON object: "
        assert message.startswith("The body must be UTF-8." if b"\xff" in body else not_json)


@pytest.mark.parametrize("body", ["aé", "\ufeffaé", "aé".encode(), "\ufeffaé".encode()])
def test_body_is_read_as_bytes_without_a_byte_order_mark(body: str | bytes) -> None:
    request: Any = SimpleNamespace(raw_body=body)
    assert http.read_body(request) == "aé".encode()


def signed_request(path: str, domain: str | None, **headers: str) -> Any:
    context = {"path": path, "resourcePath": "/route", "domainName": domain}
    return SimpleNamespace(context=context, headers=headers)


@pytest.mark.parametrize(
    ("path", "base_url", "url"),
    [
        ("/dev/route", "https://a.test/x", "https://a.test/x/route"),
        ("/dev/route/", "https://a.test/x", "https://a.test/x/route/"),
        ("/other", "https://a.test/x", "https://a.test/x/route"),
        ("/dev/route/", "", "https://api.test/dev/route/"),
    ],
)
def test_requested_url_keeps_the_trailing_slash_of_the_path(
    path: str, base_url: str, url: str
) -> None:
    assert http._requested_url(signed_request(path, "api.test"), base_url) == url


def test_urls_that_twilio_may_have_signed_combine_hosts_paths_and_schemes() -> None:
    headers = {"host": "a.test", "x-forwarded-host": "front.test"}
    request = signed_request("/dev/route", "api.test", **headers)
    paths = ("/x/route", "/dev/route")
    assert list(http._other_urls(request, "https://a.test/x/route")) == [
        f"{scheme}://{host}{path}"
        for host in ("a.test", "api.test", "front.test")
        for path in paths
        for scheme in ("https", "http")
    ]
    without_domain = signed_request("/route", None)
    assert list(http._other_urls(without_domain, "https://a.test/route")) == [
        "https://a.test/route",
        "http://a.test/route",
    ]


def test_unrecorded_reservation_is_logged_with_its_error(api: Api) -> None:
    class UnreachableClient:
        def update_item(self, **_request: object) -> None:
            raise ConnectTimeoutError(endpoint_url="http://dynamodb")

    api.service.store._client = UnreachableClient()
    parameters = api.callback_parameters()
    sids = {
        "reservation_sid": parameters["ReservationSid"],
        "task_sid": parameters["TaskSid"],
        "worker_sid": parameters["WorkerSid"],
        "signed": True,
    }
    path = "/assignment_callback"

    assert api.post_callback(parameters, path=f"{path}/fallback").json_body == {}
    expected = {"answer": "defer", "error": "StoreUnavailable", "UnrecordedReservation": 1, **sids}
    fallback = request_line("POST", f"{path}/fallback", 200, **expected)
    # The line must be written at every log level, because an alarm counts it.
    assert last_line(api) == {**fallback, "level": "ERROR"}

    response = api.post_callback(parameters, path=path)
    assert (response.status_code, response.json_body["Code"]) == (503, "StoreUnavailable")
    line = last_line(api)
    assert line.pop("reason") == "DynamoDB at http://dynamodb did not respond in time."
    assert line == request_line("POST", path, 503, error="StoreUnavailable", **sids)
