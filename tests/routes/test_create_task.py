"""`/create-task` validates its parameters and reports TaskRouter's errors."""

import json
from urllib.parse import urlencode

import pytest

from chalicelib.domain.errors import (
    TaskRouterDenied,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from tests.routes.conftest import ENVIRON, FORM, Api

BODY = {"attributes": {"selected_language": "en"}}


@pytest.mark.usefixtures("tutorial")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_request_without_parameters_creates_the_tutorials_task(api: Api, method: str) -> None:
    response = api.call(method, "/create-task")

    assert response.status_code == 201
    assert response.json_body.pop("sid").startswith("WT")
    assert response.json_body["attributes"] == {"selected_language": "es"}
    assert response.json_body["workflow_sid"] == ENVIRON["TWILIO_WORKFLOW_SID"]
    assert response.json_body["assignment_status"] == "pending"


WITHOUT_ATTRIBUTES = [
    (b"", None),
    (b"", FORM),
    (b"{}", "application/json"),
    (b"{}", FORM),
    (b'{"priority": 5}', "application/json"),
    (b"priority=5", FORM),
    (b'{"Attributes": "{}"}', "application/json"),
    (b'{"attribute": {"a": 1}}', "application/json"),
    (b"Attributes=%7B%7D", FORM),
    (b"selected_language=en", FORM),
]


@pytest.mark.parametrize(("body", "content_type"), WITHOUT_ATTRIBUTES)
def test_attributes_are_required(api: Api, body: bytes, content_type: str | None) -> None:
    response = api.call("POST", "/create-task", body=body, content_type=content_type)

    assert (response.status_code, response.json_body["Code"]) == (400, "BadRequestError")
    assert "attributes" in response.json_body["Message"]
    assert not api.taskrouter.calls


@pytest.mark.usefixtures("tutorial")
@pytest.mark.parametrize(("body", "content_type"), WITHOUT_ATTRIBUTES[6:])
def test_request_with_an_unknown_parameter_does_not_create_the_tutorials_task(
    api: Api, body: bytes, content_type: str | None
) -> None:
    response = api.call("POST", "/create-task", body=body, content_type=content_type)

    assert (response.status_code, response.json_body["Code"]) == (400, "BadRequestError")
    assert not api.taskrouter.calls


def test_empty_attributes_are_accepted(api: Api) -> None:
    assert api.post_json("/create-task", {"attributes": {}}).json_body["attributes"] == {}


@pytest.mark.parametrize("path", ["/create-task?attributes=%7B%7D", "/accept_reservation"])
def test_get_request_changes_nothing_unless_tutorial_routes_are_enabled(
    api: Api, path: str
) -> None:
    response = api.call("GET", path)

    assert response.status_code == 405
    assert response.json_body == {
        "Code": "MethodNotAllowedError",
        "Message": "Unsupported method: GET",
    }
    assert not api.taskrouter.calls
    # Chalice itself rejects a method without a route in the same way.
    unknown = api.call("PUT", path)
    assert (unknown.status_code, unknown.json_body["Code"]) == (405, "MethodNotAllowedError")


@pytest.mark.usefixtures("tutorial")
@pytest.mark.parametrize(
    "source", ["json", "json with attributes as string", "form", "query", "curl -d"]
)
def test_parameters_are_read_from_a_query_a_form_or_json(api: Api, source: str) -> None:
    attributes = {"selected_language": "en", "name": "Zoë"}
    text = json.dumps(attributes, ensure_ascii=False)
    match source:
        case "json":
            response = api.post_json("/create-task", {"attributes": attributes, "priority": 7})
        case "json with attributes as string":
            response = api.post_json("/create-task", {"attributes": text, "priority": "7"})
        case "form":
            body = urlencode({"attributes": text, "priority": "7"}).encode()
            response = api.call("POST", "/create-task", body=body, content_type=FORM)
        case "query":
            query = urlencode({"attributes": text, "priority": "7"})
            response = api.call("GET", f"/create-task?{query}")
        case _:
            body = json.dumps({"attributes": attributes, "priority": 7}).encode()
            response = api.call("POST", "/create-task", body=body, content_type=FORM)

    assert response.status_code == 201
    assert response.json_body["attributes"] == attributes
    assert response.json_body["priority"] == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attributes", "{"),
        ("attributes", "[]"),
        ("attributes", 5),
        ("attributes", None),
        ("attributes", '{"a": NaN}'),
        ("attributes", '{"a": 1e999}'),
        ("attributes", '{"a": "\\ud800"}'),
        ("attributes", "[" * 4_000),
        ("attributes", '{"a":' * 40 + "1" + "}" * 40),
        ("attributes", {"a": "x" * 4_089}),
        ("priority", -1),
        ("priority", 2**31),
        ("priority", True),
        ("priority", 1.5),
        ("priority", "high"),
        ("priority", "9" * 5_000),
        ("timeout", 0),
        ("timeout", 1_209_601),
        ("task_channel", ""),
        ("task_channel", "x" * 65),
        ("task_channel", {"a": 1}),
        ("workflow_sid", "WW1"),
        ("workflow_sid", 1),
    ],
)
def test_error_names_the_invalid_parameter(api: Api, name: str, value: object) -> None:
    response = api.post_json("/create-task", {name: value})

    assert response.status_code == 400
    assert name in response.json_body["Message"]
    assert not api.taskrouter.calls


def test_attributes_of_4096_characters_are_accepted(api: Api) -> None:
    assert api.post_json("/create-task", {"attributes": {"a": "é" * 4_088}}).status_code == 201


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"null", b"\xff", b"{}{}", b"[" * 100_000, b'{"a":' * 5_000, b"NaN", b'"x"'],
)
def test_body_that_is_not_a_json_object_is_rejected(api: Api, body: bytes) -> None:
    response = api.call("POST", "/create-task", body=body, content_type="application/json")
    assert response.status_code == 400
    assert response.json_body["Code"] == "BadRequestError"


def test_body_over_the_size_limit_returns_413(api: Api) -> None:
    response = api.call(
        "POST", "/create-task", body=b" " * 200_000, content_type="application/json"
    )
    assert response.status_code == 413


def test_repeated_parameter_is_rejected(api: Api) -> None:
    assert api.call("POST", "/create-task?priority=1&priority=2").status_code == 400
    body = b"priority=1&priority=1"
    assert api.call("POST", "/create-task", body=body, content_type=FORM).status_code == 400
    body = b"priority=1"
    path = "/create-task?priority=1"
    assert api.call("POST", path, body=body, content_type=FORM).status_code == 400


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (TaskRouterRefused("no"), 400),
        (TaskRouterDenied("no"), 502),
        (TaskRouterThrottled("no"), 503),
        (TaskRouterUnavailable("no"), 503),
    ],
)
def test_taskrouter_error_determines_the_status(api: Api, error: Exception, status: int) -> None:
    api.taskrouter.fail_before["create"] = [error]

    response = api.post_json("/create-task", BODY)
    assert response.status_code == status
    assert ("Retry-After" in response.headers) == (status == 503)


def test_log_contains_no_attributes(api: Api) -> None:
    api.post_json("/create-task", {"attributes": {"card": "4111"}})

    assert "4111" not in api.log.getvalue()
    assert api.lines()[-1]["task_sid"].startswith("WT")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"attributes": {"a": 1}}'),
        ("application/json", b'{"attributes": "\xef\xbb\xbf{\\"a\\": 1}"}'),
        (FORM, b'{"attributes": {"a": 1}}'),
        (FORM, b"attributes={%22a%22:1}"),
    ],
)
def test_byte_order_mark_in_a_body_is_ignored(api: Api, body: bytes, content_type: str) -> None:
    response = api.call(
        "POST", "/create-task", body=b"\xef\xbb\xbf" + body, content_type=content_type
    )
    assert (response.status_code, response.json_body["attributes"]) == (201, {"a": 1})
    (task,) = api.taskrouter.tasks.values()
    assert json.loads(task.attributes) == {"a": 1}
