"""Callbacks are recorded in a file, and replayed to an app."""

import json

import pytest

from taskrouter_simulator.__main__ import main
from taskrouter_simulator.callbacks.answers import Response
from taskrouter_simulator.callbacks.signature import sign
from taskrouter_simulator.identifiers import Credentials
from taskrouter_simulator.replay import describe_differences
from taskrouter_simulator.testing import running
from tests.simulator.conftest import SPANISH

ENTRY = {
    "kind": "assignment",
    "method": "POST",
    "url": "http://recorded.example/api/assign?a=1#rc=2",
    "attempt": 1,
    "headers": {"I-Twilio-Idempotency-Token": "t" * 32},
    "parameters": {"TaskSid": "WT1", "Text": "ü"},
    "status": 200,
    "content_type": "application/json",
    "answer": '{"instruction": "accept"}',
    "error": "",
}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "callbacks.jsonl"


def write(file, *entries):
    file.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")


def replay(file, url):
    return main(["replay", str(file), "--to", url])


def test_replayed_callbacks_get_the_same_responses(app, file, capsys):
    app.set_response("/assignment_callback", {"instruction": "accept"})
    settings = {"callback_base_url": app.url, "event_path": "/events", "record_file": str(file)}
    with running(**settings) as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        idle = taskrouter.activities["Idle"]
        workspace.workers(taskrouter.workers["Alice"]).update(activity_sid=idle)
        workspace.tasks.create(attributes=SPANISH)
        taskrouter.advance()
        logged = [entry for kind in ("assignment", "event") for entry in taskrouter.log(kind)]
    lines = file.read_text(encoding="ascii").splitlines()
    assert len(lines) == len(logged) > 3
    kinds = [json.loads(line)["kind"] for line in lines]
    sent = [(request["path"], request["parameters"]) for request in app.received]
    app.received.clear()
    assert replay(file, app.url) == 0
    assert sorted(map(str, sent)) == sorted(
        str((request["path"], request["parameters"])) for request in app.received
    )
    output = capsys.readouterr().out.splitlines()
    assert output[-1] == f"{len(lines)} callbacks, 0 different responses"
    assert output[0] == f"1 {kinds[0]} {app.received[0]['path']}: same response"


def test_callback_is_signed_for_the_new_url(app, file):
    write(file, ENTRY)
    app.set_response("/base/api/assign?a=1", {"instruction": "accept"})
    assert replay(file, f"{app.url}/base/") == 0
    (request,) = app.received
    assert request["path"] == "/base/api/assign?a=1"
    assert request["parameters"] == ENTRY["parameters"]
    assert request["headers"]["I-Twilio-Idempotency-Token"] == "t" * 32
    url = f"{app.url}/base/api/assign?a=1"
    signature = sign(Credentials().auth_token, url, ENTRY["parameters"])
    assert request["headers"]["X-Twilio-Signature"] == signature


def test_get_request_is_sent_with_its_parameters_in_the_query_string(app, file):
    write(file, {**ENTRY, "kind": "status", "method": "GET"})
    replay(file, app.url)
    (request,) = app.received
    assert request["path"] == "/api/assign?a=1&TaskSid=WT1&Text=%C3%BC"


def test_environment_variables_determine_the_signature(app, file, monkeypatch):
    write(file, ENTRY)
    monkeypatch.setenv("SIMULATOR_SHARED_KEY_SIGNATURES", "true")
    replay(file, app.url)
    assert "X-Twilio-Webhooks-Signature-Settings" in app.received[0]["headers"]


def test_different_response_is_reported(app, file, capsys):
    write(file, ENTRY, {**ENTRY, "answer": '{"instruction":"reject"}'})
    app.set_response("/api/assign?a=1", {"instruction": "reject"})
    assert replay(file, app.url) == 1
    prefix, before = "1 assignment /api/assign?a=1:", '{"instruction": "accept"}'
    after = '{"instruction": "reject"}'
    assert capsys.readouterr().out.splitlines() == [
        f"{prefix} body {before} became {after}",
        "2 assignment /api/assign?a=1: same response",
        "2 callbacks, 1 different response",
    ]


def test_unreachable_app_is_reported(file, capsys):
    write(file, ENTRY)
    assert replay(file, "http://127.0.0.1:9") == 1
    assert "1 assignment /api/assign?a=1: no connection" in capsys.readouterr().out


def response(**fields):
    values = {"status": 200, "content_type": "application/json", "body": b"{}", **fields}
    return Response(**values)


@pytest.mark.parametrize(
    ("changes", "received", "expected"),
    [
        ({}, response(body=b'{ "instruction":"accept" }'), []),
        ({"status": 204}, response(body=b'{"instruction": "accept"}'), ["status 204 became 200"]),
        (
            {"content_type": "text/plain", "answer": "a"},
            response(body=b"b"),
            [
                'content type "text/plain" became "application/json"',
                'body text "a" became text "b"',
            ],
        ),
        ({"answer": "a", "answer_length": 3}, response(body=b"abc"), []),
        ({"answer": "a", "answer_length": 3}, response(body=b"ab"), ["length 3 became 2"]),
        (
            {"answer": "a", "answer_length": 2},
            response(body=b"bb"),
            ['body text "a" became text "b"'],
        ),
        ({}, response(error="no connection"), ["no connection"]),
        ({"answer": "x" * 300}, response(body=b"1"), ['body text "' + "x" * 194 + " became 1"]),
        ({"answer": "[" * 100_000}, response(body=b"[" * 100_000), []),
    ],
)
def test_differences_are_described(changes, received, expected):
    assert describe_differences({**ENTRY, **changes}, received) == expected


@pytest.mark.parametrize(
    ("before", "after", "difference"),
    [
        ('{"a": 1}', '{"a": true}', 'body {"a": 1} became {"a": true}'),
        ("[0]", "[false]", "body [0] became [false]"),
        ('"a"', "a", 'body "a" became text "a"'),
        ('{"a": 1, "b": [2.0]}', '{"b": [2], "a": 1.0}', None),
        ("[NaN]", "[NaN]", None),
    ],
)
def test_bodies_are_compared_as_json_values(before, after, difference):
    differences = describe_differences({**ENTRY, "answer": before}, response(body=after.encode()))
    assert differences == ([difference] if difference else [])


def test_attempts_without_a_response_and_other_log_entries_are_skipped(app, file, capsys):
    write(file, {**ENTRY, "status": None}, {"kind": "alert", "code": 1}, ENTRY)
    app.set_response("/api/assign?a=1", {"instruction": "accept"})
    assert replay(file, app.url) == 0
    assert capsys.readouterr().out.endswith("1 callback, 0 different responses\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "{file} contains no callback with a response"),
        ('{"kind": "alert"}\n', "{file} contains no callback with a response"),
        (json.dumps({**ENTRY, "status": None}), "{file} contains no callback with a response"),
        (json.dumps(ENTRY) + "\n\n", "line 2 of {file} is not a JSON object"),
        ("{", "line 1 of {file} is not a JSON object"),
        ("[" * 100_000, "line 1 of {file} is not a JSON object"),
        ("[]", "line 1 of {file} is not a JSON object"),
        *(
            (json.dumps({**ENTRY, name: value}), "line 1 of {file} is not a valid callback")
            for name, value in (
                ("kind", 1), ("url", None), ("url", "/a"), ("answer", None), ("status", "200"),
                ("parameters", {"a": 1}), ("parameters", []), ("headers", None),
                ("headers", {"I-Twilio-Idempotency-Token": 1}),
                ("method", "PUT"), ("method", 1),
            )
        ),
        *(
            (json.dumps({key: ENTRY[key] for key in ENTRY if key != name}),
             "line 1 of {file} is not a valid callback")
            for name in ("kind", "method", "url", "answer", "status", "parameters", "headers")
        ),
    ],
)  # fmt: skip
def test_invalid_file_is_rejected(file, capsys, text, message):
    file.write_text(text, encoding="utf-8")
    assert replay(file, "http://127.0.0.1:9") == 2
    assert capsys.readouterr().err == f"replay: {message.format(file=file)}\n"


def test_crlf_separates_exported_log_entries_but_unicode_separators_do_not(app, file):
    answer = "a\u2028b\u2029c\u0085d"
    entry = json.dumps({**ENTRY, "answer": answer}, ensure_ascii=False)
    file.write_text(f"{entry}\n{entry}\n", encoding="utf-8", newline="\r\n")
    app.set_response("/api/assign?a=1", answer.encode())
    assert replay(file, app.url) == 0
    assert len(app.received) == 2


def test_missing_and_binary_files_are_rejected(file, capsys):
    assert replay(file, "http://127.0.0.1:9") == 2
    file.write_bytes(b"\xff")
    assert replay(file, "http://127.0.0.1:9") == 2
    assert capsys.readouterr().err.count(f"replay: cannot read {file}: ") == 2


def test_base_url_is_required_and_must_be_absolute(file, capsys):
    for arguments in (["replay", str(file)], ["replay", str(file), "--to", "app"]):
        with pytest.raises(SystemExit):
            main(arguments)
    assert "argument --to: must be an absolute URL" in capsys.readouterr().err


def test_recording_continues_after_a_restart(app, file):
    settings = {"callback_base_url": app.url, "event_path": "/events", "record_file": str(file)}
    counts = []
    for _ in range(2):
        with running(**settings) as taskrouter:
            workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
            workspace.tasks.create(attributes=SPANISH)
            taskrouter.advance()
        counts.append(len(file.read_text(encoding="ascii").splitlines()))
    assert counts[1] == 2 * counts[0] > 0


def test_command_fails_if_the_recording_cannot_be_opened(tmp_path, capsys):
    folder = tmp_path / "missing"
    assert main(["--port", "0", "--record-file", str(folder / "file")]) == 1
    assert "simulator: " in capsys.readouterr().err
