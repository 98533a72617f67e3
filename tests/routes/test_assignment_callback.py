import json
from pathlib import Path
from urllib.parse import urlencode

import pytest
from botocore.exceptions import ReadTimeoutError

from tests.routes.conftest import ENVIRON, FORM, Api

FORGERIES = [None, "x", "é" * 28, "A" * 28, " " * 28]


def recorded(api: Api, parameters: dict[str, str]) -> dict[str, object] | None:
    answer = api.call("GET", f"/reservations/{parameters['ReservationSid']}")
    return answer.json_body if answer.status_code == 200 else None


@pytest.mark.parametrize(
    "content_type", [FORM, f"{FORM}; charset=utf-8", f"{FORM};charset=UTF-8", FORM.upper()]
)
def test_signed_callback_returns_empty_object(api: Api, content_type: str) -> None:
    parameters = api.callback_parameters()

    answer = api.post_callback(parameters, content_type=content_type)

    assert (answer.status_code, answer.body) == (200, b"{}")
    assert answer.headers["Content-Type"] == "application/json"
    record = recorded(api, parameters)
    assert record is not None
    assert record["status"] == "pending"
    assert record["callback"] == parameters
    assert record["task_attributes"] == {"selected_language": "es"}
    assert record["worker_attributes"] == {"languages": ["en", "es"]}


def test_unknown_parameters_and_timestamp_are_kept(api: Api) -> None:
    parameters = api.callback_parameters(Timestamp="1790000000", NewIn2027="ünïcode +&=")

    assert api.post_callback(parameters).status_code == 200
    record = recorded(api, parameters)
    assert record is not None
    assert record["callback"] == parameters


@pytest.mark.parametrize("signature", FORGERIES)
def test_invalid_signature_returns_403_and_records_nothing(api: Api, signature: str | None) -> None:
    parameters = api.callback_parameters()

    answer = api.post_callback(parameters, signature=signature)

    assert answer.status_code == 403
    assert answer.json_body["Code"] == "InvalidSignature"
    assert recorded(api, parameters) is None


def test_signature_covers_every_parameter(api: Api) -> None:
    parameters = api.callback_parameters()
    signature = api.sign(parameters)

    for name in [*parameters, "Unknown"]:
        changed = {**parameters, name: parameters.get(name, "") + "x"}
        assert api.post_callback(changed, signature=signature).status_code == 403


def test_refusal_logs_the_checked_url_but_no_signature(api: Api) -> None:
    parameters = api.callback_parameters()
    signature = api.sign(parameters, url="https://wrong.example/assignment_callback")

    api.post_callback(parameters, signature=signature)

    assert api.lines()[-1]["checked_url"] == "https://example.test/api/assignment_callback"
    assert signature not in api.log.getvalue()


def test_unknown_shared_key_is_refused_despite_valid_signature(
    api: Api,
) -> None:
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
def test_malformed_body_is_refused_with_one_sentence(api: Api, body: bytes, status: int) -> None:
    answer = api.http.post(
        "/assignment_callback",
        headers={"Content-Type": FORM, "X-Twilio-Signature": "A" * 28},
        body=body,
    )
    assert answer.status_code == status
    assert answer.json_body["Message"].count(".") >= 1


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
def test_error_for_invalid_sid_or_other_account_names_the_parameter(
    api: Api, name: str, value: str
) -> None:
    answer = api.post_callback(api.callback_parameters(**{name: value}))

    assert answer.status_code == 400
    assert name in answer.json_body["Message"]


def test_repeated_unknown_parameter_is_kept_and_its_signature_is_valid(api: Api) -> None:
    parameters = api.callback_parameters()
    pairs = [*parameters.items(), ("Digit", "2"), ("Digit", "1")]

    class Repeated(dict):
        def getall(self, name: str) -> list[str]:
            return [value for key, value in pairs if key == name]

    answer = api.http.post(
        "/assignment_callback",
        headers={"Content-Type": FORM, "X-Twilio-Signature": api.sign(Repeated(pairs))},
        body=urlencode(pairs).encode(),
    )
    assert answer.status_code == 200
    record = recorded(api, parameters)
    assert record is not None
    assert record["callback"] == {**parameters, "Digit": ["2", "1"]}


def test_accept_setting_returns_accept(
    environ: dict[str, str], request: pytest.FixtureRequest
) -> None:
    environ["ASSIGNMENT_INSTRUCTION"] = "accept"
    api: Api = request.getfixturevalue("api")
    parameters = api.callback_parameters()

    answers = [api.post_callback(parameters) for _ in range(10)]

    assert {answer.body for answer in answers} == {b'{"instruction":"accept"}'}
    record = recorded(api, parameters)
    assert record is not None
    assert record["instruction"] == {"instruction": "accept"}


def test_log_line_contains_everything_except_attributes(api: Api) -> None:
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


def test_unrecorded_callback_returns_503(api: Api) -> None:
    class UnreachableClient:
        def update_item(self, **_request: object) -> None:
            raise ReadTimeoutError(endpoint_url="http://dynamodb")

    api.service.store._client = UnreachableClient()

    answer = api.post_callback(api.callback_parameters())
    assert answer.status_code == 503
    assert answer.json_body["Code"] == "StoreUnavailable"


def test_unexpected_error_reveals_nothing(api: Api) -> None:
    class Broken:
        def update_item(self, **_request: object) -> None:
            raise RuntimeError("the Task's attributes: secret")

    api.service.store._client = Broken()

    answer = api.post_callback(api.callback_parameters())
    assert answer.status_code == 500
    assert "secret" not in answer.body.decode() + api.log.getvalue()
    crash = api.lines()[0]
    assert crash["error"] == ["RuntimeError"]
    assert "update_item" in json.dumps(crash["where"])


def test_repeated_answer_keeps_whole_numbers(
    environ: dict[str, str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    file = tmp_path / "rules.toml"
    file.write_text('[[rule]]\nname = "ring"\ninstruction = "dequeue"\ntimeout = 30\n')
    environ["RULES_FILE"] = str(file)
    api: Api = request.getfixturevalue("api")
    parameters = api.callback_parameters()

    for _ in range(2):
        answer = api.post_callback(parameters)
        assert json.loads(answer.body) == {"instruction": "dequeue", "timeout": 30}
        assert b"30.0" not in answer.body
