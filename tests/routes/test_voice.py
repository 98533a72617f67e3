"""TwiML of the voice routes; requests are signed by Twilio's RequestValidator."""

import json
from urllib.parse import urlencode, urljoin
from xml.etree import ElementTree as ET

import pytest
from chalice.test import HTTPResponse
from twilio.request_validator import RequestValidator

from tests.routes.conftest import BASE_URL, ENVIRON, FORM, Api

CALL_SID = "CA" + "1" * 32
ROUTES = ["/incoming_call", "/enqueue_call", "/enqueue_call_again", "/left_queue"]


def post(
    api: Api,
    path: str,
    *,
    pairs: list[tuple[str, str]] | None = None,
    without: str = "",
    signature: str | None = "",
    signed_path: str | None = None,
    **given: str,
) -> HTTPResponse:
    """Post like Twilio, by default with a valid signature; None sends no signature."""
    parameters = {
        "CallSid": CALL_SID,
        "AccountSid": ENVIRON["TWILIO_ACCOUNT_SID"],
        "From": "+15550001111",
        "To": "+15556667777",
        "CallStatus": "in-progress",
        "ApiVersion": "2010-04-01",
        "Direction": "inbound",
        **given,
    }
    parameters.pop(without, None)
    sent = [*parameters.items(), *(pairs or [])]
    multiple = {name: [value for key, value in sent if key == name] for name in dict(sent)}
    headers = {"Content-Type": f"{FORM}; charset=UTF-8"}
    if signature is not None:
        url = BASE_URL + (signed_path or path)
        validator = RequestValidator(ENVIRON["TWILIO_AUTH_TOKEN"])
        headers["X-Twilio-Signature"] = signature or validator.compute_signature(
            url, _Multiple(multiple)
        )
    return api.http.post(path, headers=headers, body=urlencode(sent).encode())


class _Multiple(dict[str, list[str]]):
    def getall(self, name: str) -> list[str]:
        return self[name]


def twiml(answer: HTTPResponse) -> ET.Element:
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/xml; charset=utf-8"
    root = ET.fromstring(answer.body)  # noqa: S314  our own
    assert root.tag == "Response"
    return root


def task_of(root: ET.Element) -> dict[str, str]:
    """Return the attributes of the Task that the document enqueues."""
    (queue,) = root.iter("Enqueue")
    workflow_sid = ENVIRON["TWILIO_WORKFLOW_SID"]
    assert queue.attrib == {"workflowSid": workflow_sid, "action": "left_queue", "method": "POST"}
    (task,) = queue
    assert task.tag == "Task"
    attributes: dict[str, str] = json.loads(task.text or "")
    return attributes


def said(root: ET.Element) -> list[tuple[str | None, str | None]]:
    return [(one.get("language"), one.text) for one in root.iter("Say")]


MENU = [
    ("es", "Para Español oprime el uno."),
    ("en", "For English, please hold or press two."),
]


def test_menu_is_from_the_quickstart(api: Api) -> None:
    root = twiml(post(api, "/incoming_call"))

    gather, queue = root
    assert gather.tag == "Gather"
    assert gather.attrib == {
        "numDigits": "1", "action": "enqueue_call", "method": "POST", "timeout": "5"
    }  # fmt: skip
    assert said(gather) == MENU
    # If no key is pressed, Twilio continues in the same document.
    assert queue.tag == "Enqueue"
    assert task_of(root) == {"selected_language": "en"}


@pytest.mark.parametrize(
    ("given", "language"),
    [({"Digits": "1"}, "es"), ({"Digits": "2"}, "en"), ({"Digits": ""}, "en"), ({}, "en")],
)
@pytest.mark.parametrize("path", ["/enqueue_call", "/enqueue_call_again"])
def test_key_enqueues_the_call_in_its_language(
    api: Api, path: str, given: dict[str, str], language: str
) -> None:
    root = twiml(post(api, path, **given))

    assert [one.tag for one in root] == ["Enqueue"]
    assert task_of(root) == {"selected_language": language}


@pytest.mark.parametrize("digits", ["7", "*", "12", "٢", "<1>", "1" * 5000, "'\"&"])
def test_invalid_key_repeats_the_menu_once(api: Api, digits: str) -> None:
    again = twiml(post(api, "/enqueue_call", Digits=digits))

    assert said(again) == MENU
    assert again[0].get("action") == "enqueue_call_again"
    assert task_of(again) == {"selected_language": "en"}

    last = twiml(post(api, "/enqueue_call_again", Digits=digits))
    assert [one.tag for one in last] == ["Enqueue"]
    assert task_of(last) == {"selected_language": "en"}


@pytest.mark.parametrize("path", ROUTES)
def test_every_url_is_relative_and_resolves_to_a_route(api: Api, path: str) -> None:
    root = twiml(post(api, path, Digits="7"))

    for element in root.iter():
        if action := element.get("action"):
            assert "?" not in action
            url = urljoin(BASE_URL + path, action)
            assert url.startswith(f"{BASE_URL}/")
            assert post(api, url.removeprefix(BASE_URL)).status_code == 200


@pytest.mark.parametrize("result", ["queue-full", "error", "system-error", "leave"])
def test_unanswered_caller_hears_an_apology_in_every_language(api: Api, result: str) -> None:
    root = twiml(post(api, "/left_queue", QueueResult=result))
    assert said(root) == [
        ("es", "Lo sentimos, ahora nadie puede atender su llamada."),
        ("en", "We are sorry, nobody can take your call now."),
    ]
    assert root[-1].tag == "Hangup"


@pytest.mark.parametrize("result", ["bridged", "hangup", "redirected", "", "new in 2027"])
def test_answered_or_ended_call_gets_no_apology(api: Api, result: str) -> None:
    root = twiml(post(api, "/left_queue", QueueResult=result))
    assert [one.tag for one in root] == ["Hangup"]


def test_setting_defines_the_languages(
    environ: dict[str, str], request: pytest.FixtureRequest
) -> None:
    languages = [
        {"digit": "9", "language": "de", "say": "Deutsch & <Neun>.", "voice": "Polly.Vicki"},
        {"digit": "0", "language": "fr-CA", "say": "Français.", "default": True},
    ]
    environ["VOICE_LANGUAGES"] = json.dumps(languages)
    api: Api = request.getfixturevalue("api")

    root = twiml(post(api, "/incoming_call"))
    assert said(root) == [("de", "Deutsch & <Neun>."), ("fr-CA", "Français.")]
    assert [one.get("voice") for one in root.iter("Say")] == ["Polly.Vicki", None]
    assert task_of(root) == {"selected_language": "fr-CA"}
    assert task_of(twiml(post(api, "/enqueue_call", Digits="9"))) == {"selected_language": "de"}
    assert said(twiml(post(api, "/left_queue", QueueResult="leave"))) == []


def test_single_language_needs_no_key(
    environ: dict[str, str], request: pytest.FixtureRequest
) -> None:
    only = {"digit": "1", "language": "en", "say": "Please hold.", "default": True}
    environ["VOICE_LANGUAGES"] = json.dumps([only])
    api: Api = request.getfixturevalue("api")

    root = twiml(post(api, "/incoming_call"))
    assert [one.tag for one in root] == ["Say", "Enqueue"]
    assert task_of(root) == {"selected_language": "en"}


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("signature", [None, "x", "A" * 28, "é" * 28])
def test_invalid_signature_returns_403(api: Api, path: str, signature: str | None) -> None:
    answer = post(api, path, signature=signature)
    assert answer.status_code == 403
    assert answer.json_body["Code"] == "InvalidSignature"


@pytest.mark.parametrize("path", ROUTES)
def test_signature_of_other_route_or_parameters_returns_403(api: Api, path: str) -> None:
    assert post(api, path, signed_path="/assignment_callback").status_code == 403
    validator = RequestValidator(ENVIRON["TWILIO_AUTH_TOKEN"])
    one = validator.compute_signature(BASE_URL + path, {"CallSid": CALL_SID})
    assert post(api, path, signature=one).status_code == 403


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"AccountSid": "AC" + "0" * 32}, "AccountSid"),
        ({"without": "AccountSid"}, "AccountSid"),
        ({"without": "CallSid"}, "CallSid"),
        ({"CallSid": "CA1"}, "CallSid"),
        ({"CallSid": "WT" + "1" * 32}, "CallSid"),
        ({"pairs": [("CallSid", "CA" + "2" * 32)]}, "CallSid"),
        ({"pairs": [("Digits", "1"), ("Digits", "2")]}, "Digits"),
        ({"pairs": [("Digits", "1"), ("Digits", "1")]}, "Digits"),
        ({"pairs": [("QueueResult", "leave"), ("QueueResult", "bridged")]}, "QueueResult"),
        ({"pairs": [("AccountSid", "AC" + "0" * 32)]}, "AccountSid"),
    ],
)
def test_invalid_call_parameter_returns_400_with_its_name(
    api: Api, path: str, given: dict[str, str], name: str
) -> None:
    answer = post(api, path, **given)  # type: ignore[arg-type]
    assert answer.status_code == 400
    assert answer.json_body["Code"] == "BadRequestError"
    assert answer.json_body["Message"].startswith(name)


@pytest.mark.parametrize("path", ROUTES)
def test_other_methods_and_content_types_are_refused(api: Api, path: str) -> None:
    assert api.call("GET", path).status_code == 405
    assert api.post_json(path, {"CallSid": CALL_SID}).status_code == 415


def test_log_contains_call_and_language_but_no_phone_number(api: Api) -> None:
    post(api, "/enqueue_call", Digits="1")
    line = api.lines()[-1]
    assert (line["call_sid"], line["selected_language"]) == (CALL_SID, "es")
    post(api, "/left_queue", QueueResult="leave")
    assert api.lines()[-1]["queue_result"] == "leave"
    assert "+1555" not in api.log.getvalue()


def test_calls_need_neither_dynamodb_nor_taskrouter(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    vars(api.service).update(store=None, taskrouter=None)
    monkeypatch.setitem(vars(api.service), "listing", None)
    assert all(post(api, path).status_code == 200 for path in ROUTES)
