"""Requests that accept a Reservation with an assignment instruction."""

import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib import config
from chalicelib.domain.errors import (
    StoreUnavailable,
    TaskRouterError,
    TaskRouterNotSent,
    TaskRouterRefused,
    TaskRouterUnavailable,
)
from chalicelib.domain.reservations import Status, StatusUpdate
from tests.domain.instruction_table import CA, REQUIRED, TABLE, Row
from tests.routes.conftest import Api, reserve
from tests.support import NOW, sid

DEQUEUE = {"instruction": "dequeue", "from": "+15556667777", "timeout": 30}
UNKNOWN = "The instruction may have been sent, but its outcome is not known."


def test_accept_with_instruction_returns_202_while_the_phone_rings(api: Api) -> None:
    remote = reserve(api)
    path = f"/reservations/{remote.reservation_sid}/accept"

    response = api.post_json(path, {**DEQUEUE, "task_sid": remote.task_sid})
    assert (response.status_code, response.json_body["reservation_status"]) == (202, "pending")
    repeated = api.post_json(path, DEQUEUE)
    assert (repeated.status_code, repeated.json_body) == (202, response.json_body)
    api.taskrouter.set_status(remote.reservation_sid, Status.ACCEPTED)
    api.service.store.record_status(
        remote.reservation_sid, StatusUpdate(Status.ACCEPTED, NOW, "event", None)
    )
    assert api.post_json(path, DEQUEUE).status_code == 200

    assert [instruction.answer for instruction in api.taskrouter.instructions] == [DEQUEUE]
    record = api.call("GET", f"/reservations/{remote.reservation_sid}")
    assert record.json_body["instruction_sent"] == {"by": "supervisor", "instruction": DEQUEUE}
    assert '"timeout":30}' in record.body.decode().replace(" ", "")


def test_time_to_read_the_record_counts_toward_the_time_limit(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    attributes = json.dumps({"contact_uri": PHONE})
    parameters = api.callback_parameters(WorkerAttributes=attributes)
    assert api.post_callback(parameters).status_code == 200
    get = api.service.store.get

    def get_slowly(reservation_sid: str) -> Any:
        api.clock.now += 12_000
        return get(reservation_sid)

    monkeypatch.setattr(api.service.store, "get", get_slowly)
    response = api.post_json(
        f"/reservations/{parameters['ReservationSid']}/accept",
        {**DEQUEUE, "to": PHONE},
        token=api.token(role="worker", worker_sid=parameters["WorkerSid"]),
    )
    assert (response.status_code, response.json_body["Code"]) == (503, "TaskRouterNotSent")
    assert not api.taskrouter.calls


@pytest.mark.parametrize(
    ("failure", "status", "message"),
    [
        (TaskRouterNotSent("It was not sent. Retry."), 503, "It was not sent. Retry."),
        (TaskRouterRefused("40140"), 409, "The Reservation's status is accepted."),
        (TaskRouterUnavailable("lost"), 409, f"The Reservation's status is accepted. {UNKNOWN}"),
    ],
    ids=["not sent", "refused", "lost"],
)
def test_accept_by_another_client_does_not_confirm_the_instruction(
    api: Api, failure: TaskRouterError, status: int, message: str
) -> None:
    remote = reserve(api)
    path = f"/reservations/{remote.reservation_sid}/accept"

    def accept_elsewhere(verb: str) -> None:
        if verb == "instruct":
            api.taskrouter.set_status(remote.reservation_sid, Status.ACCEPTED)
            api.service.store.record_status(
                remote.reservation_sid, StatusUpdate(Status.ACCEPTED, NOW, "event", None)
            )

    api.taskrouter.when_called = accept_elsewhere
    api.taskrouter.fail_before["instruct"] = [failure]
    response = api.post_json(path, DEQUEUE)
    assert (response.status_code, response.json_body["Message"]) == (status, message)

    repeated = api.post_json(path, DEQUEUE)
    is_unknown = UNKNOWN in message
    assert (repeated.status_code, UNKNOWN in repeated.json_body["Message"]) == (409, is_unknown)
    record = api.call("GET", f"/reservations/{remote.reservation_sid}").json_body
    assert (record["accepted_by"], record["instruction_sent"] is None) == ("event", not is_unknown)


def test_password_is_sent_but_not_shown(api: Api) -> None:
    remote = reserve(api)
    path = f"/reservations/{remote.reservation_sid}"
    instruction = {
        "instruction": "conference",
        "to": "sip:ann@example.com",
        "sip_auth_password": "x7!",
    }
    assert api.post_json(f"{path}/accept", instruction).status_code == 202

    (sent,) = api.taskrouter.instructions
    assert sent.answer == instruction
    for url in (path, "/reservations"):
        shown = api.call("GET", url).body.decode()
        assert "x7!" not in shown
        assert "sip:ann@example.com" in shown


def test_quickstart_route_rejects_an_instruction(api: Api) -> None:
    remote = reserve(api)
    body = {**DEQUEUE, "reservation_sid": remote.reservation_sid}

    response = api.post_json("/accept_reservation", body)
    assert (response.status_code, response.json_body["Code"]) == (400, "BadRequestError")
    assert api.taskrouter.calls["update"] == 0


def test_different_second_instruction_returns_409(api: Api) -> None:
    remote = reserve(api)
    path = f"/reservations/{remote.reservation_sid}/accept"
    api.post_json(path, DEQUEUE)

    response = api.post_json(path, {**DEQUEUE, "timeout": 31})
    assert (response.status_code, response.json_body["Code"]) == (409, "InstructionAlreadySent")
    assert response.json_body["reservation_status"] == "pending"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"instruction": "accept"},
            "instruction must be one of dequeue, call, redirect, conference, or",
        ),
        ({"instruction": "reject"}, "instruction must be one of dequeue"),
        ({"instruction": "supervise"}, "instruction must be one of dequeue"),
        ({"instruction": ["dequeue"]}, "instruction must be one of dequeue"),
        ({"instruction": None}, "instruction must be one of dequeue"),
        ({"instruction": {"instruction": "dequeue"}}, "instruction must be one of dequeue"),
        ({"instruction": "call", "from": "+15556667777"}, "The `call` instruction requires `url`"),
        ({**DEQUEUE, "timeout": "30"}, "timeout must be"),
        ({**DEQUEUE, "timeout": 1000}, "timeout must be"),
        ({**DEQUEUE, "color": "red"}, "The `dequeue` instruction has no parameter `color`"),
        ({"instruction": "redirect", "call_sid": "CA1", "url": "x"}, "call_sid must be"),
    ],
)
def test_invalid_instruction_returns_400_and_sends_nothing(
    api: Api, body: dict[str, Any], message: str
) -> None:
    remote = reserve(api)
    response = api.post_json(f"/reservations/{remote.reservation_sid}/accept", body)

    assert (response.status_code, response.json_body["Code"]) == (400, "BadRequestError")
    assert response.json_body["Message"].startswith(message)
    assert api.taskrouter.instructions == []


def test_worker_cannot_send_an_instruction_for_another_workers_reservation(api: Api) -> None:
    remote = reserve(api)
    path = f"/reservations/{remote.reservation_sid}/accept"

    other_token = api.token(role="worker", worker_sid=sid("WK"))
    assert api.post_json(path, DEQUEUE, token=other_token).status_code == 403
    own_token = api.token(role="worker", worker_sid=remote.worker_sid)
    assert api.post_json(path, DEQUEUE, token=own_token).status_code == 202


PHONE = "+15550001111"
URL = "https://desk.example/twiml"
FORBIDDEN_PARAMETERS = {
    *("to", "call_sid", "url", "record", "status_callback_url", "status_callback_events"),
    *("status_callback", "status_callback_method", "status_callback_event"),
    *("wait_url", "wait_method", "conference_record", "conference_trim", "recording_channels"),
    *("recording_status_callback", "recording_status_callback_method"),
    *("conference_status_callback", "conference_status_callback_method"),
    *("conference_status_callback_event", "conference_recording_status_callback"),
    "conference_recording_status_callback_method",
}
"""Parameters that control recordings, requested URLs, the called phone or the redirected call."""

PARAMETER_ROWS = [row for row in TABLE if row.instruction != "reject"]


def accept_as_worker(api: Api, body: dict[str, Any], **callback: str) -> Any:
    """Post a callback; then accept its Reservation, as the reserved Worker, with an instruction."""
    remote = api.taskrouter.add()
    sids = {
        "ReservationSid": remote.reservation_sid,
        "TaskSid": remote.task_sid,
        "WorkerSid": remote.worker_sid,
    }
    assert api.post_callback(api.callback_parameters(**sids, **callback)).status_code == 200
    token = api.token(role="worker", worker_sid=remote.worker_sid)
    return api.post_json(f"/reservations/{remote.reservation_sid}/accept", body, token=token)


@pytest.mark.parametrize("row", PARAMETER_ROWS, ids=lambda row: f"{row.instruction}.{row.name}")
def test_worker_may_set_all_except_the_forbidden_parameters(api: Api, row: Row) -> None:
    required = REQUIRED.get(row.instruction, {})
    body = {**required, "instruction": row.instruction, row.name: row.valid_values[0]}
    response = accept_as_worker(api, body)

    refused = body.keys() & FORBIDDEN_PARAMETERS
    if not refused:
        assert response.status_code == 202
        return
    assert (response.status_code, response.json_body["Code"]) == (403, "ForbiddenError")
    assert any(
        f" `{name}` in the `{row.instruction}` instruction" in response.json_body["Message"]
        for name in refused
    )
    assert api.taskrouter.instructions == []
    (record,) = api.call("GET", "/reservations").json_body["reservations"]
    assert record["instruction_sent"] is None
    path = f"/reservations/{record['reservation_sid']}/accept"
    assert api.post_json(path, body).status_code == 202


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"instruction": "call", "from": PHONE, "url": URL},
            "may not set `url` in the `call` instruction.",
        ),
        (
            {"instruction": "dequeue", "to": PHONE},
            "may set `to` in the `dequeue` instruction only to the contact_uri of its Worker.",
        ),
        (
            {"instruction": "redirect", "call_sid": CA, "url": URL},
            (
                "may set `call_sid` in the `redirect` instruction only to "
                "the call_sid of the Reservation's Task."
            ),
        ),
    ],
)
def test_error_names_the_forbidden_parameter(api: Api, body: dict[str, Any], message: str) -> None:
    response = accept_as_worker(api, body)

    assert response.status_code == 403
    assert response.json_body["Message"] == f"A token with the `worker` role {message}"


@pytest.mark.parametrize("instruction", ["dequeue", "conference"])
@pytest.mark.parametrize("contact_uri", [PHONE, "client:alice", "sip:alice@example.com", "alice"])
def test_worker_may_call_only_its_own_contact_uri(
    api: Api, instruction: str, contact_uri: str
) -> None:
    attributes = json.dumps({"contact_uri": contact_uri})
    body = {"instruction": instruction, "from": "+15556667777"}

    own = accept_as_worker(api, {**body, "to": contact_uri}, WorkerAttributes=attributes)
    assert own.status_code == 202
    for other in ("+15550002222", "client:bob", contact_uri + "1"):
        refused = accept_as_worker(api, {**body, "to": other}, WorkerAttributes=attributes)
        assert refused.status_code == 403


@pytest.mark.parametrize(
    "attributes",
    ["", "{}", "[]", "{", "null", '{"contact_uri": null}', '{"contact_uri": ["alice"]}'],
)
def test_worker_without_a_known_contact_uri_must_omit_the_to_parameter(
    api: Api, attributes: str
) -> None:
    body = {"instruction": "dequeue", "from": PHONE}

    refused = accept_as_worker(api, {**body, "to": "alice"}, WorkerAttributes=attributes)
    assert refused.status_code == 403
    assert accept_as_worker(api, body, WorkerAttributes=attributes).status_code == 202


def test_worker_must_omit_the_to_parameter_if_no_callback_arrived(api: Api) -> None:
    remote = api.taskrouter.add()
    token = api.token(role="worker", worker_sid=remote.worker_sid)
    path = f"/reservations/{remote.reservation_sid}/accept"

    assert api.post_json(path, {**DEQUEUE, "to": PHONE}, token=token).status_code == 403
    assert api.post_json(path, DEQUEUE, token=token).status_code == 202


def test_worker_does_not_learn_the_contact_uri_of_another_worker(api: Api) -> None:
    token = api.token(role="worker", worker_sid=sid("WK"))
    attributes = json.dumps({"contact_uri": PHONE})
    parameters = api.callback_parameters(WorkerAttributes=attributes)
    assert api.post_callback(parameters).status_code == 200
    path = f"/reservations/{parameters['ReservationSid']}/accept"

    responses = [
        api.post_json(path, {"instruction": "dequeue", "to": to}, token=token)
        for to in (PHONE, "+15550002222")
    ]

    assert [response.status_code for response in responses] == [403, 403]
    assert responses[0].json_body == responses[1].json_body


@pytest.mark.parametrize(
    ("setting", "body", "status"),
    [
        ({}, {"instruction": "dequeue"}, 403),
        ({}, {}, 200),
        ({"conference": []}, {"instruction": "dequeue"}, 403),
        ({"conference": []}, {"instruction": "conference"}, 202),
        ({"conference": []}, {"instruction": "conference", "to": "alice"}, 202),
        ({"conference": []}, {"instruction": "conference", "from": PHONE}, 403),
        ({"conference": ["record"]}, {"instruction": "conference", "record": True}, 202),
        ({"conference": ["record"]}, {"instruction": "conference", "to": "bob"}, 403),
        ({"conference": ["to"]}, {"instruction": "conference", "to": "bob"}, 202),
        ({"call": ["from", "url"]}, {"instruction": "call", "from": PHONE, "url": URL}, 202),
        ({"redirect": ["url"]}, {"instruction": "redirect", "call_sid": CA, "url": URL}, 202),
        (
            {"redirect": ["url"]},
            {"instruction": "redirect", "call_sid": "CA" + "9" * 32, "url": URL},
            403,
        ),
        (
            {"redirect": ["url", "call_sid"]},
            {"instruction": "redirect", "call_sid": "CA" + "9" * 32, "url": URL},
            202,
        ),
    ],
)
def test_worker_instructions_setting_determines_the_permissions_of_workers(
    environ: dict[str, str],
    request: pytest.FixtureRequest,
    setting: dict[str, list[str]],
    body: dict[str, Any],
    status: int,
) -> None:
    environ["WORKER_INSTRUCTIONS"] = json.dumps(setting)
    api: Api = request.getfixturevalue("api")

    response = accept_as_worker(
        api,
        body,
        WorkerAttributes='{"contact_uri": "alice"}',
        TaskAttributes=json.dumps({"call_sid": CA}),
    )

    assert response.status_code == status


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "dequeue",
        '{"dequeue": "from"}',
        '{"dequeue": null}',
        '{"accept": []}',
        '{"supervise": []}',
        '{"dequeue": ["url"]}',
        '{"dequeue": [["from"]]}',
        '{"dequeue": [1]}',
    ],
)
def test_malformed_worker_instructions_setting_is_rejected(
    environ: dict[str, str], text: str
) -> None:
    with pytest.raises(config.SettingsError, match="^WORKER_INSTRUCTIONS (must|is not) "):
        config.load({**environ, "WORKER_INSTRUCTIONS": text})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            '{"call": ["urll"]}',
            'must not list "urll" for the "call" instruction, which has no such parameter: ',
        ),
        (
            '{"conference": ["DequeueFrom"]}',
            'must not list "DequeueFrom" for the "conference" instruction, ',
        ),
        ('{"conferense": []}', 'must not contain the instruction "conferense": write conference.'),
        ('{"Dequeue": []}', 'must not contain the instruction "Dequeue": write dequeue.'),
        ('{"xyzzy": []}', 'must not contain the instruction "xyzzy": write one of dequeue, '),
        ('{"call": "url"}', 'must map "call" to a list of parameters.'),
        (
            '{"call": ["url"], "call": ["from"]}',
            'is not a valid JSON object: it repeats the name "call".',
        ),
    ],
)
def test_error_names_the_mistake_in_the_worker_instructions_setting(
    environ: dict[str, str], value: str, message: str
) -> None:
    with pytest.raises(config.SettingsError) as raised:
        config.load(environ | {"WORKER_INSTRUCTIONS": value})
    assert str(raised.value).startswith(f"WORKER_INSTRUCTIONS {message}")


@pytest.mark.parametrize("role", ["supervisor", "service"])
def test_other_roles_may_send_any_instruction(
    environ: dict[str, str], request: pytest.FixtureRequest, role: str
) -> None:
    environ["WORKER_INSTRUCTIONS"] = "{}"
    api: Api = request.getfixturevalue("api")
    remote = reserve(api)
    body = {"instruction": "call", "from": PHONE, "to": "client:bob", "url": URL}

    path = f"/reservations/{remote.reservation_sid}/accept"
    assert api.post_json(path, body, token=api.token(role)).status_code == 202


CALL_RULE = """
[[rule]]
name = "call the agent"
instruction = "call"
from = "+15556667777"
to = "client:alice"
url = "https://desk.example/twiml"
"""


@pytest.fixture
def call_rule(environ: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(CALL_RULE)
    environ["RULES_FILE"] = str(file)


def fail(*_arguments: object, **_options: object) -> None:
    raise StoreUnavailable("DynamoDB did not respond in time. Retry.")


def test_instruction_is_refused_if_the_fallback_could_not_record_its_answer(
    call_rule: None, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = api.taskrouter.add()
    parameters = api.callback_parameters(
        ReservationSid=remote.reservation_sid,
        TaskSid=remote.task_sid,
        WorkerSid=remote.worker_sid,
    )
    with monkeypatch.context() as outage:
        outage.setattr(api.service.store, "record_callback", fail)
        assert api.post_callback(parameters).status_code == 503
        answer = api.post_callback(parameters, path="/assignment_callback/fallback").json_body
        assert answer["instruction"] == "call"

    path = f"/reservations/{remote.reservation_sid}/accept"
    request = {"instruction": "conference", "from": "+15556667777", "task_sid": remote.task_sid}
    early = api.post_json(path, request)
    assert (early.status_code, early.json_body["Code"]) == (503, "OutcomeUnknown")
    assert early.headers["Retry-After"] == "15"
    api.clock.now += 15_000
    late = api.post_json(path, request)
    assert (late.status_code, late.json_body) == (
        409,
        {
            "Code": "AnswerUnknown",
            "Message": "The answer to the Reservation's callback is not recorded, so the answer "
            "may have called a phone. Accept without an instruction.",
            "reservation_status": "pending",
        },
    )
    assert api.taskrouter.instructions == []
    assert api.post_json(path, {"task_sid": remote.task_sid}).status_code == 200
