"""Rules determine the answers to callbacks, and the log names the rule that matched."""

import json
from pathlib import Path
from urllib.parse import urlencode

import pytest
from botocore.exceptions import ReadTimeoutError

from tests.domain.instruction_table import TABLE
from tests.routes.conftest import BASE_URL, FORM, Api

FALLBACK = "/assignment_callback/fallback"
RULES = """
[[rule]]
name = "Spanish calls"
when = "task.language == 'es'"
instruction = "dequeue"
from = {ref = "task.to"}

[[rule]]
name = "VIPs at once"
when = "task.vip == `true`"
instruction = "accept"
"""


@pytest.fixture
def rules(environ: dict[str, str], tmp_path: Path) -> Path:
    """The rules file, which the app reads when it handles its first callback."""
    file = tmp_path / "rules.toml"
    file.write_text(RULES)
    environ["RULES_FILE"] = str(file)
    return file


def callback_parameters(api: Api, **attributes: object) -> dict[str, str]:
    return api.callback_parameters(TaskAttributes=json.dumps(attributes))


def post_fallback(api: Api, parameters: dict[str, str]):
    signature = api.sign(parameters, url=BASE_URL + FALLBACK)
    headers = {"Content-Type": FORM, "X-Twilio-Signature": signature}
    return api.http.post(FALLBACK, headers=headers, body=urlencode(parameters).encode())


def test_matching_rule_determines_the_answer_and_is_logged(rules: Path, api: Api) -> None:
    parameters = callback_parameters(api, language="es", to="+15556667777")

    response = api.post_callback(parameters)

    assert response.json_body == {"instruction": "dequeue", "from": "+15556667777"}
    (line,) = api.lines()
    assert (line["answer"], line["rule"]) == ("dequeue", "Spanish calls")
    assert "FailedRules" not in line
    record = api.call("GET", f"/reservations/{parameters['ReservationSid']}").json_body
    assert record["instruction"] == response.json_body
    assert [change["note"] for change in record["history"]] == ["rule Spanish calls"]


def test_password_is_sent_only_to_taskrouter(rules: Path, api: Api) -> None:
    rules.write_text(
        '[[rule]]\nname = "sip"\ninstruction = "conference"\nsip_auth_username = "joey"\n'
        'sip_auth_password = "hunter2"\n'
    )
    parameters = callback_parameters(api)

    answers = [api.post_callback(parameters).json_body for _ in range(2)]

    assert [answer["sip_auth_password"] for answer in answers] == ["hunter2"] * 2
    record = api.call("GET", f"/reservations/{parameters['ReservationSid']}")
    assert record.json_body["instruction"]["sip_auth_username"] == "joey"
    assert b"hunter2" not in record.body
    assert "hunter2" not in api.log.getvalue()


def test_password_in_an_accept_request_is_not_shown(api: Api) -> None:
    remote = api.taskrouter.add()
    sids = {"ReservationSid": remote.reservation_sid, "TaskSid": remote.task_sid}
    api.post_callback(api.callback_parameters(**sids, WorkerSid=remote.worker_sid))
    path = f"/reservations/{remote.reservation_sid}"

    api.post_json(f"{path}/accept", {"instruction": "conference", "sip_auth_password": "hunter2"})

    (sent,) = api.taskrouter.instructions
    assert sent.answer["sip_auth_password"] == "hunter2"
    assert b"hunter2" not in api.call("GET", path).body


def test_assignment_instruction_setting_is_used_if_no_rule_matches(
    rules: Path, environ, request
) -> None:
    environ["ASSIGNMENT_INSTRUCTION"] = "accept"
    api: Api = request.getfixturevalue("api")

    assert api.post_callback(callback_parameters(api, vip=False)).json_body == {
        "instruction": "accept"
    }
    assert "rule" not in api.lines()[0]


def test_failing_rule_is_logged_without_values_and_skipped(rules: Path, api: Api) -> None:
    response = api.post_callback(callback_parameters(api, language="es", vip=True, to="tel:secret"))

    assert response.json_body == {"instruction": "accept"}
    (line,) = api.lines()
    assert line["rule"] == "VIPs at once"
    assert (line["FailedRules"], line["failed_rules"]) == (1, ["Spanish calls: from"])
    assert "secret" not in api.log.getvalue()


@pytest.mark.parametrize(
    "other_field",
    [r'"x": "\ud800"', r'"\udc00": NaN', f'"x": {"9" * 5_000}', f'"x": {"[" * 900 + "]" * 900}'],
)
def test_attributes_that_strict_parsers_reject_are_used_in_answers_and_records(
    rules: Path, api: Api, other_field: str
) -> None:
    rules.write_text(
        '[[rule]]\nname = "blocked"\nwhen = "task.blocked"\ninstruction = "conference"\n'
        'sip_auth_username = {ref = "task.name"}\n'
    )
    attributes = f'{{"blocked": true, "name": "a\\ud800", {other_field}}}'
    parameters = api.callback_parameters(TaskAttributes=attributes, WorkerAttributes=attributes)

    response = api.post_callback(parameters)

    expected = {"instruction": "conference", "sip_auth_username": "a\ufffd"}
    assert (response.status_code, response.json_body) == (200, expected)
    assert api.post_callback(parameters).json_body == expected
    record = api.call("GET", f"/reservations/{parameters['ReservationSid']}").json_body
    assert record["callback"] == parameters
    assert record["task_attributes"] == record["worker_attributes"]
    assert (record["task_attributes"]["blocked"], record["instruction"]) == (True, expected)
    (listed,) = api.call("GET", "/reservations").json_body["reservations"]
    assert listed.items() <= record.items()
    assert not {"FailedRules", "UnreadableCallback"} & api.lines()[0].keys()


@pytest.mark.parametrize("attributes", ["not JSON", "[1]", "null", '{"vip": yes}'])
@pytest.mark.parametrize(
    ("key", "answer"), [("", {}), ('unreadable = "reject"\n', {"instruction": "reject"})]
)
def test_callback_with_unreadable_attributes_is_counted_and_answered_as_configured(
    rules: Path, api: Api, attributes: str, key: str, answer: object
) -> None:
    rules.write_text(key + rules.read_text())
    parameters = api.callback_parameters(TaskAttributes=attributes)

    response = api.post_callback(parameters)

    assert (response.status_code, response.json_body) == (200, answer)
    (line,) = api.lines()
    assert (line["unreadable"], line["UnreadableCallback"]) == ("TaskAttributes", 1)
    assert not {"rule", "failed_rules"} & line.keys()
    assert attributes not in api.log.getvalue()
    record = api.call("GET", f"/reservations/{parameters['ReservationSid']}").json_body
    assert (record["task_attributes"], record["callback"]) == (None, parameters)


@pytest.mark.parametrize("value", ["NaN", "[-1e999]", "[" * 1_500 + "Infinity" + "]" * 1_500])
def test_callback_is_counted_as_unreadable_if_a_rule_reads_a_non_finite_number(
    rules: Path, api: Api, value: str
) -> None:
    vip = api.callback_parameters(TaskAttributes=f'{{"vip": {value}}}')
    unaffected = api.callback_parameters(TaskAttributes=f'{{"vip": true, "x": {value}}}')

    assert api.post_callback(vip).json_body == {}
    assert api.post_callback(unaffected).json_body == {"instruction": "accept"}

    first, second = api.lines()
    assert (first["unreadable"], first["UnreadableCallback"]) == ("TaskAttributes", 1)
    assert "UnreadableCallback" not in second
    record = api.call("GET", f"/reservations/{unaffected['ReservationSid']}").json_body
    assert (record["task_attributes"]["vip"], record["callback"]) == (True, unaffected)


def test_missing_attributes_are_not_counted_as_unreadable(rules: Path, api: Api) -> None:
    for text in ("", "   "):
        response = api.post_callback(
            api.callback_parameters(TaskAttributes=text, TaskPriority=text, TaskAge=text)
        )
        assert (response.status_code, response.json_body) == (200, {})
        assert "UnreadableCallback" not in api.lines()[-1]


def test_repeated_callback_gets_the_first_answer_even_if_the_rules_have_changed(
    rules: Path, api: Api
) -> None:
    parameters = callback_parameters(api, vip=True)
    first = api.post_callback(parameters).json_body
    rules.write_text("")
    del vars(api.service)["rules"]

    assert api.post_callback(parameters).json_body == first == {"instruction": "accept"}
    assert "rule" not in api.lines()[1]


def test_repeated_answer_is_byte_identical(rules: Path, api: Api) -> None:
    rows = [row for row in TABLE if row.instruction == "conference"]
    lines = [f"{row.name} = {json.dumps(row.valid_values[-1], ensure_ascii=False)}" for row in rows]
    rules.write_text("\n".join(['[[rule]]\nname = "all"\ninstruction = "conference"', *lines]))
    parameters = callback_parameters(api)

    first, second = (api.post_callback(parameters) for _ in range(2))

    expected = {"instruction": "conference", **{row.name: row.valid_values[-1] for row in rows}}
    assert first.json_body == expected
    assert second.body == first.body == post_fallback(api, parameters).body


def test_fallback_applies_the_rules_without_dynamodb(rules: Path, api: Api) -> None:
    class UnreachableClient:
        def update_item(self, **_request: object) -> None:
            raise ReadTimeoutError(endpoint_url="http://dynamodb")

    api.service.store._client = UnreachableClient()

    response = post_fallback(api, callback_parameters(api, vip=True))

    assert (response.status_code, response.json_body) == (200, {"instruction": "accept"})
    (line,) = api.lines()
    assert (line["rule"], line["UnrecordedReservation"]) == ("VIPs at once", 1)


def test_accepted_event_after_a_dequeue_instruction_is_attributed_to_the_instruction(
    rules: Path, api: Api
) -> None:
    parameters = callback_parameters(api, language="es", to="+15556667777")
    api.post_callback(parameters)
    event = {**parameters, "EventType": "reservation.accepted"}
    signature = api.sign(event, url=f"{BASE_URL}/event_callback")
    headers = {"Content-Type": FORM, "X-Twilio-Signature": signature}

    api.http.post("/event_callback", headers=headers, body=urlencode(event).encode())

    record = api.call("GET", f"/reservations/{parameters['ReservationSid']}").json_body
    assert (record["status"], record["accepted_by"]) == ("accepted", "assignment_instruction")


@pytest.mark.parametrize("instruction", ["defer", "accept"])
def test_invalid_rules_file_is_logged_and_the_assignment_instruction_setting_is_used(
    instruction: str, rules: Path, environ, request
) -> None:
    rules.write_text('[[rule]]\nname = "one"\ninstruction = "dance"\n')
    environ["ASSIGNMENT_INSTRUCTION"] = instruction
    api: Api = request.getfixturevalue("api")

    responses = [
        api.post_callback(callback_parameters(api)),
        post_fallback(api, callback_parameters(api)),
    ]

    assert [response.status_code for response in responses] == [200, 200]
    assert {response.json_body.get("instruction", "defer") for response in responses} == {
        instruction
    }
    error, *lines = api.lines()
    assert (error["event"], error["level"]) == ("rules", "ERROR")
    assert error["problems"][0].startswith(f'{rules}: rule "one": There is no instruction "dance"')
    assert [(line["FailedRules"], line["failed_rules"]) for line in lines] == [
        (1, ["RULES_FILE"])
    ] * 2
