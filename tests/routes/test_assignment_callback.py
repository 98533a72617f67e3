"""Assignment callbacks are verified, recorded and answered."""

import json
from pathlib import Path
from urllib.parse import urlencode

import pytest
from botocore.exceptions import ReadTimeoutError

from chalicelib.domain.callbacks import AssignmentCallback, Form
from chalicelib.domain.errors import BadRequest
from tests.routes.conftest import ENVIRON, FORM, Api

INVALID_SIGNATURES = [None, "x", "é" * 28, "A" * 28, " " * 28]


def fetch_record(api: Api, parameters: dict[str, str]) -> dict[str, object] | None:
    response = api.call("GET", f"/reservations/{parameters['ReservationSid']}")
    return response.json_body if response.status_code == 200 else None


@pytest.mark.parametrize(
    "content_type", [FORM, f"{FORM}; charset=utf-8", f"{FORM};charset=UTF-8", FORM.upper()]
)
def test_signed_callback_returns_empty_object(api: Api, content_type: str) -> None:
    parameters = api.callback_parameters()

    response = api.post_callback(parameters, content_type=content_type)

    assert (response.status_code, response.body) == (200, b"{}")
    assert response.headers["Content-Type"] == "application/json"
    record = fetch_record(api, parameters)
    assert record is not None
    assert record["status"] == "pending"
    assert record["callback"] == parameters
    assert record["task_attributes"] == {"selected_language": "es"}
    assert record["worker_attributes"] == {"languages": ["en", "es"]}


def test_timestamp_and_unknown_parameter_are_recorded(api: Api) -> None:
    parameters = api.callback_parameters(Timestamp="1790000000", NewIn2027="ünïcode +&=")

    assert api.post_callback(parameters).status_code == 200
    record = fetch_record(api, parameters)
    assert record is not None
    assert record["callback"] == parameters


@pytest.mark.parametrize("signature", INVALID_SIGNATURES)
def test_invalid_signature_returns_403_and_records_nothing(api: Api, signature: str | None) -> None:
    parameters = api.callback_parameters()

    response = api.post_callback(parameters, signature=signature)

    assert response.status_code == 403
    assert response.json_body["Code"] == "InvalidSignature"
    assert fetch_record(api, parameters) is None


def test_signature_covers_every_parameter(api: Api) -> None:
    parameters = api.callback_parameters()
    signature = api.sign(parameters)

    for name in [*parameters, "Unknown"]:
        changed = {**parameters, name: parameters.get(name, "") + "x"}
        assert api.post_callback(changed, signature=signature).status_code == 403


def test_log_contains_the_checked_url_but_no_signature(api: Api) -> None:
    parameters = api.callback_parameters()
    signature = api.sign(parameters, url="https://wrong.example/assignment_callback")

    api.post_callback(parameters, signature=signature)

    assert api.lines()[-1]["checked_url"] == "https://example.test/api/assignment_callback"
    assert signature not in api.log.getvalue()


def test_auth_token_signature_is_rejected_if_a_header_specifies_a_shared_key(api: Api) -> None:
    header = {"X-Twilio-Webhooks-Signature-Settings": "key=k1,algorithm=HMAC_SHA1"}
    assert api.post_callback(api.callback_parameters(), headers=header).status_code == 403


@pytest.mark.parametrize(
    "base_url",
    ["https://example.test:8443/api", "http://127.0.0.1:8000", "https://example.test/api/"],
)
def test_signed_url_is_public_base_url_plus_route(
    environ: dict[str, str], request: pytest.FixtureRequest, base_url: str
) -> None:
    environ["PUBLIC_BASE_URL"] = base_url
    api: Api = request.getfixturevalue("api")
    parameters = api.callback_parameters()
    signature = api.sign(parameters, url=base_url.rstrip("/") + "/assignment_callback")

    assert api.post_callback(parameters, signature=signature).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 403),
        (b"%", 403),
        (b"\xff\xfe", 400),
        (b"a=%FF", 400),
        (b"=nameless", 400),
        (b"&".join(b"a%d=1" % number for number in range(500)), 400),
        (b"ReservationSid=a&ReservationSid=b", 403),
        (b"a=" + b"x" * 200_000, 413),
    ],
)
def test_invalid_body_or_signature_is_rejected_with_a_message(
    api: Api, body: bytes, status: int
) -> None:
    response = api.http.post(
        "/assignment_callback",
        headers={"Content-Type": FORM, "X-Twilio-Signature": "A" * 28},
        body=body,
    )
    assert response.status_code == status
    assert response.json_body["Message"].count(".") >= 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ReservationSid", "WR123"),
        ("TaskSid", ""),
        ("WorkerSid", "WT" + "0" * 32),
        ("AccountSid", "AC" + "9" * 32),
        ("WorkspaceSid", "WS" + "9" * 32),
    ],
)
def test_error_for_an_invalid_or_unexpected_sid_names_the_parameter(
    api: Api, name: str, value: str
) -> None:
    response = api.post_callback(api.callback_parameters(**{name: value}))

    assert response.status_code == 400
    assert name in response.json_body["Message"]


@pytest.mark.parametrize("route", ["/assignment_callback/fallback", "/event_callback"])
@pytest.mark.parametrize("event", ["reservation.created", "task.created"])
@pytest.mark.parametrize(
    ("name", "value"), [("AccountSid", "AC" + "9" * 32), ("WorkspaceSid", "WS" + "9" * 32)]
)
def test_callback_from_another_account_or_workspace_is_rejected_on_fallback_and_event_routes(
    api: Api, route: str, event: str, name: str, value: str
) -> None:
    parameters = api.callback_parameters(**{name: value, "EventType": event})

    response = api.post_callback(parameters, path=route)

    assert response.status_code == 400
    assert response.json_body["Message"] == f"{name} does not match this service's settings."
    assert fetch_record(api, parameters) is None


@pytest.mark.parametrize(
    "route", ["/assignment_callback", "/assignment_callback/fallback", "/event_callback"]
)
@pytest.mark.parametrize("name", ["AccountSid", "ReservationSid"])
def test_rejected_callback_is_logged_with_the_message_and_without_the_value(
    api: Api, route: str, name: str
) -> None:
    value = "AC" + "9" * 32
    event = {name: value, "EventType": "reservation.created"}

    response = api.post_callback(api.callback_parameters(**event), path=route)

    (line,) = api.lines()
    assert (line["status"], line["error"]) == (400, "BadRequestError")
    assert line["reason"] == response.json_body["Message"]
    assert value not in api.log.getvalue()


def test_message_to_an_api_client_is_not_logged(api: Api) -> None:
    response = api.call("GET", "/reservations?hunter2=1")

    assert "hunter2" in response.json_body["Message"]
    assert "reason" not in api.lines()[-1]


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", ["AccountSid", "WorkspaceSid"])
def test_second_account_or_workspace_in_a_form_is_rejected(name: str, first: int) -> None:
    own = {"AccountSid": "AC" + "1" * 32, "WorkspaceSid": "WS" + "1" * 32}
    values = [own[name], own[name][:2] + "9" * 32]
    pairs = [(name, values[first]), (name, values[1 - first])]

    with pytest.raises(BadRequest, match=name):
        AssignmentCallback.from_form(
            Form(pairs), account_sid=own["AccountSid"], workspace_sid=own["WorkspaceSid"]
        )


@pytest.mark.parametrize("name", ["AccountSid", "WorkspaceSid"])
def test_callback_without_an_account_or_workspace_is_accepted(api: Api, name: str) -> None:
    parameters = api.callback_parameters()
    del parameters[name]

    assert api.post_callback(parameters).status_code == 200


def test_repeated_unknown_parameter_is_verified_and_recorded(api: Api) -> None:
    parameters = api.callback_parameters()
    pairs = [*parameters.items(), ("Digit", "2"), ("Digit", "1")]

    class MultiDict(dict):
        def getall(self, name: str) -> list[str]:
            return [value for key, value in pairs if key == name]

    response = api.http.post(
        "/assignment_callback",
        headers={"Content-Type": FORM, "X-Twilio-Signature": api.sign(MultiDict(pairs))},
        body=urlencode(pairs).encode(),
    )
    assert response.status_code == 200
    record = fetch_record(api, parameters)
    assert record is not None
    assert record["callback"] == {**parameters, "Digit": ["2", "1"]}


def test_repeated_callbacks_are_answered_with_the_configured_instruction(
    environ: dict[str, str], request: pytest.FixtureRequest
) -> None:
    environ["ASSIGNMENT_INSTRUCTION"] = "accept"
    api: Api = request.getfixturevalue("api")
    parameters = api.callback_parameters()

    responses = [api.post_callback(parameters) for _ in range(10)]

    assert {response.body for response in responses} == {b'{"instruction":"accept"}'}
    record = fetch_record(api, parameters)
    assert record is not None
    assert record["instruction"] == {"instruction": "accept"}


def test_log_line_contains_answer_and_sids_but_no_attributes(api: Api) -> None:
    parameters = api.callback_parameters()
    api.post_callback(parameters)

    (line,) = api.lines()
    assert line["event"] == "request"
    assert line["route"] == "/assignment_callback"
    assert line["status"] == 200
    assert line["answer"] == "defer"
    assert line["reservation_sid"] == parameters["ReservationSid"]
    assert line["task_sid"] == parameters["TaskSid"]
    assert line["worker_sid"] == parameters["WorkerSid"]
    assert line["duration_ms"] >= 0
    text = api.log.getvalue()
    assert "selected_language" not in text
    assert ENVIRON["TWILIO_AUTH_TOKEN"] not in text


def test_callback_that_cannot_be_recorded_returns_503(api: Api) -> None:
    class UnreachableClient:
        def update_item(self, **_request: object) -> None:
            raise ReadTimeoutError(endpoint_url="http://dynamodb")

    api.service.store._client = UnreachableClient()

    response = api.post_callback(api.callback_parameters())
    assert response.status_code == 503
    assert response.json_body["Code"] == "StoreUnavailable"
    reason = "DynamoDB at http://dynamodb did not respond in time."
    assert response.json_body["Message"] == f"{reason} Retry."
    assert api.lines()[-1]["reason"] == reason


def test_unexpected_error_returns_500_without_details(api: Api) -> None:
    class BrokenClient:
        def update_item(self, **_request: object) -> None:
            raise RuntimeError("the Task's attributes: secret")

    api.service.store._client = BrokenClient()

    response = api.post_callback(api.callback_parameters())
    assert response.status_code == 500
    assert "secret" not in response.body.decode() + api.log.getvalue()
    error_line = api.lines()[0]
    assert error_line["error"] == ["RuntimeError"]
    assert "update_item" in json.dumps(error_line["where"])


def test_integers_remain_integers_in_a_repeated_answer(
    environ: dict[str, str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    file = tmp_path / "rules.toml"
    file.write_text('[[rule]]\nname = "ring"\ninstruction = "dequeue"\ntimeout = 30\n')
    environ["RULES_FILE"] = str(file)
    api: Api = request.getfixturevalue("api")
    parameters = api.callback_parameters()

    for _ in range(2):
        response = api.post_callback(parameters)
        assert json.loads(response.body) == {"instruction": "dequeue", "timeout": 30}
        assert b"30.0" not in response.body
