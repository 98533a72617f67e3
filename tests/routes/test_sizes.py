"""Limits on the sizes of responses, pages, records, instructions and log lines."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from chalice.app import Response
from chalice.test import HTTPResponse

from chalicelib.domain.callbacks import MAX_RECORDED_BYTES, OMITTED
from chalicelib.routes.http import log_request
from chalicelib.usecases import list_reservations as usecase
from tests.routes.conftest import Api, list_pages, reserve
from tests.support import sid

MAX_LAMBDA_BYTES = 6_291_556
"""Maximum size of a synchronous response from a Lambda function."""

MAX_RESPONSE_BYTES = 1_000_000


def lambda_sizes(response: HTTPResponse) -> list[int]:
    """Return the sizes of the Lambda result: escaped (Python 3.11), unescaped (3.12 or later)."""
    result = {
        "headers": dict(response.headers),
        "multiValueHeaders": {},
        "statusCode": response.status_code,
        "body": response.body.decode(),
    }
    return [
        len(json.dumps(result, ensure_ascii=ensure_ascii).encode())
        for ensure_ascii in (True, False)
    ]


def attributes_of(text: str) -> str:
    """Return attributes that repeat *text* up to 4,096 characters, Twilio's limit."""
    return '{"a":"' + text * ((4_096 - len('{"a":""}')) // len(text)) + '"}'


def post_large(api: Api, text: str, **overrides: str) -> str:
    reservation_sid = sid("WR")
    attributes = attributes_of(text)
    response = api.post_callback(
        api.callback_parameters(
            ReservationSid=reservation_sid,
            TaskAttributes=attributes,
            WorkerAttributes=attributes,
            **overrides,
        )
    )
    assert response.status_code == 200
    return reservation_sid


@pytest.mark.parametrize("text", ["あ", "é", "🙂", "\x01", "\\u0001", '\\"'])
def test_pages_end_before_the_response_is_too_large(api: Api, text: str) -> None:
    sids = {post_large(api, text) for _ in range(30)}

    listed: list[str] = []
    pages = [*list_pages(api, "limit=100")]
    for response in pages:
        assert len(response.body) < MAX_RESPONSE_BYTES
        assert max(lambda_sizes(response)) < MAX_LAMBDA_BYTES
        records = response.json_body["reservations"]
        assert all(OMITTED not in record["callback"] for record in records)
        assert all(record["task_attributes"] for record in records)
        listed += [record["reservation_sid"] for record in records]

    assert (len(listed), set(listed)) == (30, sids)
    assert 1 < len(pages) <= 6


@pytest.mark.parametrize("query", ["", "status=pending&", "worker"])
def test_oversized_reservation_is_alone_on_its_page(
    api: Api, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    monkeypatch.setattr(usecase, "MAX_PAGE_BYTES", 1)
    worker_sid = sid("WK")
    sids = [reserve(api, worker_sid=worker_sid).reservation_sid for _ in range(3)]
    query = f"worker_sid={worker_sid}&" if query == "worker" else query

    listed = [
        [record["reservation_sid"] for record in page.json_body["reservations"]]
        for page in list_pages(api, f"{query}limit=2")
    ]

    assert sorted(filter(None, listed)) == [[reservation_sid] for reservation_sid in sorted(sids)]


def test_size_limit_of_a_page_is_exact(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        reserve(api)
    records = api.call("GET", "/reservations").json_body["reservations"]
    sizes = [len(json.dumps(record, separators=(",", ":")).encode()) for record in records]

    for limit, count in ((sizes[0] + sizes[1], 2), (sizes[0] + sizes[1] - 1, 1)):
        monkeypatch.setattr(usecase, "MAX_PAGE_BYTES", limit)
        page = api.call("GET", "/reservations").json_body
        assert page["reservations"] == records[:count]


def test_responses_are_unescaped_utf_8(api: Api) -> None:
    reservation_sid = post_large(api, "あ🙂", WorkerName="田中")

    record = api.call("GET", f"/reservations/{reservation_sid}").body.decode()
    error = api.call("GET", "/reservations?%E5%90%8D=1").body.decode()

    assert "あ🙂" in record
    assert '"WorkerName":"田中"' in record
    assert 'There is no parameter \\"名\\"' in error
    assert "\\u" not in record + error


def test_lone_surrogate_in_a_response_is_replaced() -> None:
    request: Any = SimpleNamespace(method="GET", path="/reservations")

    response = log_request(request, lambda _: Response({"Message": "あ\ud800\U0001f642"}))

    assert response.body == '{"Message":"あ\ufffd\U0001f642"}'


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TaskAttributes", '{"a": "' + "x" * 100_000 + '"}'),
        ("WorkerAttributes", "\x01" * 20_000),
        ("TaskQueueTargetExpression", "名" * 9_000 + "x" * 45_000),
        ("WorkflowSid", "x" * 100_000),
        ("x" * 100_000, "1"),
        ("\x01" * 12_000, "1"),
    ],
)
def test_oversized_parameter_is_omitted_but_the_reservation_is_recorded(
    api: Api, name: str, value: str
) -> None:
    parameters = api.callback_parameters(**{name: value})

    assert api.post_callback(parameters).status_code == 200
    response = api.call("GET", f"/reservations/{parameters['ReservationSid']}")

    record = response.json_body
    if name == "WorkerAttributes":
        assert record["worker_attributes"] is None
    if name == "TaskAttributes":
        assert record["task_attributes"] is None
    (omitted,) = record["callback"].pop(OMITTED)
    assert len(omitted) <= 64
    del parameters[name]
    assert record["callback"] == parameters
    assert len(response.body) < MAX_RESPONSE_BYTES


def test_rules_read_attributes_that_are_too_large_for_the_record(
    environ: dict[str, str], tmp_path: Any, request: pytest.FixtureRequest
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "big"\nwhen = "task.vip"\ninstruction = "accept"\n')
    environ["RULES_FILE"] = str(rules)
    api: Api = request.getfixturevalue("api")
    attributes = '{"vip": true, "a": "' + "x" * 100_000 + '"}'

    response = api.post_callback(api.callback_parameters(TaskAttributes=attributes))

    assert response.json_body == {"instruction": "accept"}


@pytest.mark.parametrize("text", ["名" * 257, "x" * 120_000])
def test_rule_that_renders_oversized_text_fails(
    environ: dict[str, str], tmp_path: Any, request: pytest.FixtureRequest, text: str
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[[rule]]\nname = "far"\ninstruction = "dequeue"\nfrom = {ref = "task.from"}\n'
    )
    environ["RULES_FILE"] = str(rules)
    api: Api = request.getfixturevalue("api")
    attributes = json.dumps({"from": text}, ensure_ascii=False)

    response = api.post_callback(api.callback_parameters(TaskAttributes=attributes))

    assert response.json_body == {}
    assert api.lines()[-1]["failed_rules"] == ["far: from"]


def test_record_omits_parameters_beyond_its_size_limit_and_names_at_most_ten_of_them(
    api: Api,
) -> None:
    many = {f"p{number}": "\x01" * 200 for number in range(180)}
    parameters = api.callback_parameters(**many)
    assert api.post_callback(parameters).status_code == 200

    response = api.call("GET", f"/reservations/{parameters['ReservationSid']}")

    callback = response.json_body["callback"]
    assert len(callback.pop(OMITTED)) == 10
    size = len(json.dumps(callback, ensure_ascii=False, separators=(",", ":")).encode())
    assert MAX_RECORDED_BYTES / 2 < size <= MAX_RECORDED_BYTES


def test_event_with_oversized_attributes_is_recorded(api: Api) -> None:
    parameters = api.callback_parameters(
        EventType="reservation.accepted",
        TaskAttributes='{"a": "' + "x" * 80_000 + '"}',
        WorkerName="名" * 300,
    )
    assert api.post_callback(parameters, path="/event_callback").status_code == 204

    record = api.call("GET", f"/reservations/{parameters['ReservationSid']}").json_body
    assert record["status"] == "accepted"
    assert record["task_attributes"] is None
    assert record["worker_attributes"] == {"languages": ["en", "es"]}
    assert record["worker_name"] == "名" * 256


@pytest.mark.parametrize("length", [100, 40_000])
def test_long_event_type_is_truncated_in_the_log(api: Api, length: int) -> None:
    parameters = api.callback_parameters(EventType="x" * length)
    api.post_callback(parameters, path="/event_callback")
    assert api.lines()[-1]["event_type"] == "x" * min(length, 500)


@pytest.mark.parametrize("role", ["worker", "supervisor"])
@pytest.mark.parametrize(
    ("parameter", "text", "limit"),
    [
        ("status_callback", "https://a.example/" + "x" * 120_000, "4000 characters"),
        ("wait_url", "https://a.example/" + "x" * 3_983, "4000 characters"),
        ("sip_auth_username", "名" * 257, "256 characters"),
        ("from", "client:" + "🙂" * 250, "256 characters"),
        ("status_callback_event", "answered," * 9_000 + "answered", "at most once"),
    ],
)
def test_oversized_text_in_an_instruction_is_rejected(
    api: Api, role: str, parameter: str, text: str, limit: str
) -> None:
    remote = reserve(api)
    token = api.token(role, worker_sid=remote.worker_sid if role == "worker" else None)
    body = {"instruction": "conference", parameter: text}

    path = f"/reservations/{remote.reservation_sid}/accept"
    response = api.post_json(path, body, token=token)

    assert response.status_code == 400
    message = response.json_body["Message"]
    assert message.startswith(f"{parameter} must be ")
    assert limit in message
    assert len(message) < 300
    record = api.call("GET", f"/reservations/{remote.reservation_sid}").json_body
    assert record["instruction_sent"] is None
