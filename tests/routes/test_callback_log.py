"""`GET /callbacks` finds callbacks, including rejected ones, by SID, route, status and time."""

import time
from dataclasses import replace
from urllib.parse import quote, urlencode

import pytest

from chalicelib.adapters.callback_log import CloudWatchCallbackLog
from chalicelib.domain.callback_log import CALLBACK_ROUTES, RETENTION_DAYS
from chalicelib.domain.errors import CallbackLogUnavailable
from infra.aws import template
from tests.fake_logs import GROUP, FakeLogs
from tests.routes.conftest import BASE_URL, Api
from tests.support import sid

DAY = 86_400_000


@pytest.fixture(autouse=True)
def current_time(api: Api) -> None:
    """Set the API's clock a minute ahead of the system time, which the log lines contain."""
    api.clock.now = time.time_ns() // 1_000_000 + 60_000


def find(api: Api, **parameters: str) -> list[dict[str, object]]:
    response = api.call("GET", f"/callbacks?{urlencode(parameters)}")
    assert response.status_code == 200, response.body
    callbacks: list[dict[str, object]] = response.json_body["callbacks"]
    return callbacks


def test_recorded_callback_is_shown_with_its_answer(api: Api) -> None:
    parameters = api.callback_parameters()
    assert api.post_callback(parameters).status_code == 200

    response = api.call("GET", "/callbacks").json_body

    (callback,) = response["callbacks"]
    assert callback.pop("at").endswith("Z")
    assert callback.pop("duration_ms") > 0
    assert callback == {
        "route": "/assignment_callback",
        "status": 200,
        "signature": "valid",
        "likely_cause": None,
        "checked_url": None,
        "event_type": None,
        "reservation_sid": parameters["ReservationSid"],
        "task_sid": parameters["TaskSid"],
        "worker_sid": parameters["WorkerSid"],
        "answer": "defer",
        "rule": None,
        "changed": None,
        "error": None,
        "reason": None,
    }
    assert response["next_cursor"] is None
    assert response["complete"] is True


def test_event_is_shown_with_its_type_sids_and_effect(api: Api) -> None:
    parameters = api.callback_parameters(EventType="reservation.created")
    assert api.post_callback(parameters, path="/event_callback").status_code == 204

    (callback,) = find(api)

    assert callback["route"] == "/event_callback"
    assert callback["event_type"] == "reservation.created"
    names = {"reservation_sid": "ReservationSid", "task_sid": "TaskSid", "worker_sid": "WorkerSid"}
    assert all(callback[name] == parameters[parameter] for name, parameter in names.items())
    assert callback["changed"] is True


def test_event_that_adds_the_worker_name_to_a_record_is_shown_as_a_change(api: Api) -> None:
    parameters = api.callback_parameters()
    assert api.post_callback(parameters).status_code == 200
    event = {**parameters, "EventType": "reservation.created", "WorkerName": "Alice"}
    for _ in range(2):
        assert api.post_callback(event, path="/event_callback").status_code == 204

    callbacks = find(api, route="/event_callback")

    assert [callback["changed"] for callback in callbacks] == [False, True]


@pytest.mark.parametrize(
    ("event_type", "kinds"),
    [
        ("task.created", ["task"]),
        ("task-queue.entered", ["task"]),
        ("workflow.timeout", ["task"]),
        ("reservation.failed", ["reservation", "task", "worker"]),
        ("worker.activity.update", ["worker"]),
        ("worker.capacity.update", ["worker"]),
        ("worker.created", ["worker"]),
    ],
)
def test_event_is_found_by_each_sid_that_it_contains(
    api: Api, event_type: str, kinds: list[str]
) -> None:
    names = {f"{kind}_sid": f"{kind.title()}Sid" for kind in ("reservation", "task", "worker")}
    parameters = api.callback_parameters(EventType=event_type)
    for name, parameter in names.items():
        if name.removesuffix("_sid") not in kinds:
            del parameters[parameter]
    assert api.post_callback(parameters, path="/event_callback").status_code == 204

    for kind in kinds:
        (callback,) = find(api, **{f"{kind}_sid": parameters[f"{kind.title()}Sid"]})
        assert callback["event_type"] == event_type
        sids = {name: parameters.get(parameter) for name, parameter in names.items()}
        assert {name: callback[name] for name in names} == sids


@pytest.mark.parametrize("task_sid", ["", "WT1", "x" * 5_000])
def test_malformed_task_sid_of_an_event_is_not_logged(api: Api, task_sid: str) -> None:
    parameters = api.callback_parameters(EventType="task.created", TaskSid=task_sid)
    assert api.post_callback(parameters, path="/event_callback").status_code == 204
    (callback,) = find(api)
    assert callback["task_sid"] is None


def test_rejected_callback_is_found_with_the_checked_url_and_the_cause(api: Api) -> None:
    parameters = api.callback_parameters()
    signature = api.sign(parameters, f"{BASE_URL}/assignment_callback?secret=other")
    path = "/assignment_callback"
    response = api.http.post(
        f"{path}?secret=value",
        headers={
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Twilio-Signature": signature,
        },
        body=urlencode(parameters).encode(),
    )
    assert response.status_code == 403

    (callback,) = find(api, status="403")

    assert callback["signature"] == "invalid"
    assert callback["error"] == "InvalidSignature"
    assert callback["checked_url"] == f"{BASE_URL}/assignment_callback?secret=***"
    assert callback["likely_cause"] == "auth_token"
    assert callback["reservation_sid"] is None  # SIDs in unverified requests are not logged


def test_missing_signature_is_shown_as_invalid_and_an_unchecked_signature_as_unknown(
    api: Api,
) -> None:
    parameters = api.callback_parameters()
    api.post_callback(parameters, signature=None)
    api.post_callback({"x": "y" * 200_000})

    found = {each["status"]: each for each in find(api)}

    assert (found[403]["signature"], found[403]["likely_cause"]) == ("invalid", "no_header")
    assert found[413]["signature"] is None


def test_filters_select_by_sid_route_and_status(api: Api) -> None:
    first, second = api.callback_parameters(), api.callback_parameters()
    api.post_callback(first)
    api.post_callback(second)
    api.post_callback(first, path="/assignment_callback/fallback")
    api.post_callback(second, signature="x" * 28)

    def routes(**parameters: str) -> list[object]:
        return [each["route"] for each in find(api, **parameters)]

    primary, fallback, _ = CALLBACK_ROUTES
    assert routes(reservation_sid=first["ReservationSid"]) == [fallback, primary]
    assert routes(task_sid=second["TaskSid"]) == [primary]
    assert routes(worker_sid=first["WorkerSid"], route=fallback) == [fallback]
    assert routes(route=primary, status="200") == [primary, primary]
    assert routes(status="403") == [primary]
    assert routes(status="500") == []
    assert routes(reservation_sid=sid("WR")) == []


def test_since_and_until_parameters_limit_the_searched_period(api: Api) -> None:
    api.post_callback(api.callback_parameters())
    (callback,) = find(api)
    at = str(callback["at"])

    assert len(find(api, since=at, until=at)) == 1
    assert find(api, until="2026-01-01") == []
    assert find(api, since="9999-12-31T23:59:59.999-23:59") == []
    assert find(api, until="0001-01-01T00:00+23:59") == []
    assert len(find(api, since="0001-01-01T00:00+23:59", until="9999-12-31")) == 1


def test_search_covers_the_retention_period_of_the_log(api: Api) -> None:
    response = api.call("GET", "/callbacks?since=2020-01-01").json_body
    days = template.read()["Parameters"]["LogRetentionDays"]["Default"]
    assert days == RETENTION_DAYS
    assert response["searched_until"] == iso(api.clock.now - days * DAY)
    assert api.call("GET", "/callbacks").json_body == response


def iso(at: int) -> str:
    seconds, ms = divmod(at, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{ms:03}Z"


def test_cursor_continues_after_the_last_callback_of_a_page(api: Api) -> None:
    sids = []
    for _ in range(5):
        parameters = api.callback_parameters()
        api.post_callback(parameters)
        sids.append(parameters["ReservationSid"])
    found, sizes, cursor = [], [], ""
    while True:
        page = api.call("GET", f"/callbacks?limit=2{cursor}").json_body
        assert page["complete"] is True
        found += [each["reservation_sid"] for each in page["callbacks"]]
        sizes.append(len(page["callbacks"]))
        if page["next_cursor"] is None:
            break
        assert page["searched_until"] == page["callbacks"][-1]["at"]
        cursor = f"&cursor={page['next_cursor']}"
    assert found == sids[::-1]
    assert sizes == [2, 2, 1]


INVALID_LIMITS = ("0", "101", "-1", "1.5", "x", "", "\u0663", "1" * 400, " 1", "1\n", "1e1")
INVALID_QUERIES = [
    *(f"limit={quote(value)}" for value in INVALID_LIMITS),
    *(f"status={quote(value)}" for value in ("99", "600", "4xx", "", "200 || true", '200"')),
    *(f"reservation_sid={value}" for value in ("", "WR1", sid("WT"), quote(sid("WR") + '"'))),
    *(f"task_sid={quote(value)}" for value in ('" || $.x = "', sid("WR"))),
    f"worker_sid={sid('WT')}",
    *(f"route={quote(value)}" for value in ("", "/reservations", '/event_callback" }', "*")),
    *(f"since={quote(value)}" for value in ("", "yesterday", "1790000000000", "2026-13-01")),
    "until=tomorrow",
    "since=2026-11-23&until=2026-11-22",
    *(
        f"cursor={quote(value)}"
        for value in (
            "",
            "x",
            "1",
            "1-",
            "-1-1",
            "1-10000",
            "9" * 16 + "-1",
            "1-1\n",
            "\u0661-1",
            "1-1-2",
            "1-1-1-",
            "1-1-1-\n",
            "1-1-1-a b",
        )
    ),
    "status=200&status=403",
    "reservation=1",
]


@pytest.mark.parametrize("query", INVALID_QUERIES)
def test_error_for_an_invalid_parameter_is_a_sentence(api: Api, query: str) -> None:
    response = api.call("GET", f"/callbacks?{query}")
    assert response.status_code == 400, response.body
    assert response.json_body["Code"] == "BadRequestError"
    assert response.json_body["Message"].endswith(".")


@pytest.mark.parametrize(
    "cursor", ["999999999999999-9999", "0-0", "1-9999", "1-1-1", "1-1-1-1-1-token"]
)
def test_well_formed_cursor_is_accepted(api: Api, cursor: str) -> None:
    assert find(api, cursor=cursor) == []


def test_smallest_and_largest_limit_and_status_are_accepted(api: Api) -> None:
    for parameter in ("limit=1", "limit=100", "status=100", "status=599"):
        assert api.call("GET", f"/callbacks?{parameter}").status_code == 200


def test_service_may_see_callbacks_but_a_worker_may_not(api: Api) -> None:
    assert api.call("GET", "/callbacks", token=api.token("service")).status_code == 200
    worker = api.token("worker", worker_sid=sid("WK"))
    refused = api.call("GET", "/callbacks", token=worker)
    assert (refused.status_code, refused.json_body["Code"]) == (403, "ForbiddenError")


@pytest.fixture
def cloudwatch(api: Api, fake_logs: FakeLogs) -> FakeLogs:
    """A fake CloudWatch Logs, which the API uses instead of the local log."""
    vars(api.service)["callback_log"] = CloudWatchCallbackLog(GROUP)
    return fake_logs


def test_cloudwatch_is_not_called_for_a_rejected_request(api: Api, cloudwatch: FakeLogs) -> None:
    worker = api.token("worker", worker_sid=sid("WK"))
    for token in (None, "x.y.z", worker, api.token("supervisor", ttl=-60)):
        assert api.call("GET", "/callbacks", token=token).status_code in (401, 403)
    assert api.call("GET", "/callbacks?status=x").status_code == 400
    assert cloudwatch.calls == []


def test_parameters_become_the_filter_pattern_and_the_start_time(
    api: Api, cloudwatch: FakeLogs
) -> None:
    wanted = sid("WR")
    at = api.clock.now - 5
    cloudwatch.add(at, reservation_sid=wanted, status=403)
    cloudwatch.add(at, reservation_sid=wanted)
    cloudwatch.add(at, reservation_sid=sid("WR"), status=403)
    since = iso(api.clock.now - DAY)

    (callback,) = find(api, reservation_sid=wanted, status="403", since=since)

    assert callback["reservation_sid"] == wanted
    pattern = cloudwatch.requests[0]["filterPattern"]
    assert pattern.endswith(f' && $.reservation_sid = "{wanted}" && $.status = 403 }}')
    assert cloudwatch.requests[-1]["startTime"] == api.clock.now - DAY


def test_backward_search_starts_at_the_time_in_the_until_parameter(
    api: Api, cloudwatch: FakeLogs
) -> None:
    end = api.clock.now - DAY
    for at in (end, end + 1):
        cloudwatch.add(at)
    assert [each["at"] for each in find(api, until=iso(end))] == [iso(end)]
    assert cloudwatch.requests[0]["endTime"] == end


def test_throttled_search_gets_503_with_a_retry_after_header(
    api: Api, cloudwatch: FakeLogs
) -> None:
    cloudwatch.before_response = lambda _: (400, b'{"__type": "ThrottlingException"}')

    response = api.call("GET", "/callbacks")

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "2"
    assert response.json_body == {
        "Code": CallbackLogUnavailable.code,
        "Message": (
            "The callback log can't be read: CloudWatch Logs returned ThrottlingException. Retry."
        ),
    }
    line = api.lines()[-1]
    assert line["reason"] == response.json_body["Message"].removesuffix(" Retry.")


def test_missing_permission_causes_503_without_a_retry_after_header(
    api: Api, cloudwatch: FakeLogs
) -> None:
    cloudwatch.before_response = lambda _: (400, b'{"__type": "AccessDeniedException"}')
    response = api.call("GET", "/callbacks")
    assert response.status_code == 503
    assert "Retry-After" not in response.headers


def test_incomplete_search_is_reported_as_incomplete(api: Api, cloudwatch: FakeLogs) -> None:
    cloudwatch.before_response = lambda number: None if number < 3 else (500, b"")

    page = api.call("GET", "/callbacks").json_body

    assert (page["callbacks"], page["complete"]) == ([], False)
    assert page["searched_until"] == iso(api.clock.now - 65 * 60_000 + 1)
    third_window = api.clock.now - 157 * 5 * 60_000 + 1
    assert page["next_cursor"] == f"{api.clock.now - 65 * 60_000}-0-{third_window}"


def test_cursor_with_an_expired_token_is_rejected(api: Api, cloudwatch: FakeLogs) -> None:
    cursor = f"{api.clock.now}-0-{api.clock.now - 1}-0-0-expired"
    response = api.call("GET", f"/callbacks?cursor={cursor}")
    assert (response.status_code, response.json_body["Code"]) == (400, "BadRequestError")
    assert len(cloudwatch.calls) == 1


def test_throttled_search_with_a_token_gets_503(api: Api, cloudwatch: FakeLogs) -> None:
    cloudwatch.before_response = lambda _: (400, b'{"__type": "ThrottlingException"}')
    cursor = f"{api.clock.now}-0-{api.clock.now - 1}-0-0-token"
    response = api.call("GET", f"/callbacks?cursor={cursor}")
    assert (response.status_code, response.json_body["Code"]) == (503, CallbackLogUnavailable.code)


def test_page_has_50_callbacks_by_default(api: Api, cloudwatch: FakeLogs) -> None:
    for number in range(60):
        cloudwatch.add(api.clock.now - number)
    assert len(find(api)) == 50


def test_runtime_on_lambda_reads_the_log_group_of_its_function(
    api: Api, fake_logs: FakeLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("FUNCTION_NAME", "f"), ("LOG_GROUP_NAME", "/custom/group")):
        monkeypatch.setenv(f"AWS_LAMBDA_{name}", value)
        service = replace(api.service, local_log=None)
        vars(api.service)["callback_log"] = service.callback_log
        assert find(api) == []
    groups = [request["logGroupName"] for request in fake_logs.requests]
    assert list(dict.fromkeys(groups)) == ["/aws/lambda/f", "/custom/group"]
