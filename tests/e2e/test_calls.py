"""Simulated calls use the app's TwiML and rules; their Reservations are recorded."""

import re
import subprocess

import pytest
import requests

from local.supervisor import ROOT
from tests.e2e.live_stack import bare_environ, eventually, live_stack

pytestmark = pytest.mark.slow

CALLER, NUMBER = "+15550001111", "+15556667777"


@pytest.fixture(scope="module")
def live():
    """A stack that dequeues calls by rule and receives TaskRouter's events."""
    environ = bare_environ(
        RULES_FILE="local/voice-rules.toml",
        ASSIGNMENT_INSTRUCTION="defer",
        SIMULATOR_EVENT_PATH="/event_callback",
    )
    with live_stack(environ) as running:
        running.set_contact_uri_of_alice()
        yield running


def place_call(control, *digits, **parameters):
    call = {"from": CALLER, "to": NUMBER, "digits": list(digits), **parameters}
    response = control.post("/calls", call)
    assert response.status == 200
    return response.body


def fetch_latest_record(live, task_sid):
    """Return the app's record of the Task's newest Reservation, or an empty dict."""
    reservations = live.taskrouter.get(f"/Tasks/{task_sid}/Reservations").body["reservations"]
    return live.fetch_record(reservations[-1]["sid"]) if reservations else {}


def list_alerts(control):
    return control.get("/log", {"kind": "alert"}).body["entries"]


def test_dequeue_connects_the_call_and_ending_the_call_completes_the_task(live, control):
    call = place_call(control, "1")
    task_sid = call["task_sid"]
    assert '"selected_language": "es"' in live.fetch_task(task_sid)["attributes"]

    live.set_activity_of_alice("Idle")
    assert eventually(lambda: live.fetch_task(task_sid)["assignment_status"] == "assigned")
    assert live.activity_of_alice() == "Busy"
    assert control.get(f"/calls/{call['sid']}").body["connected_with"]
    assert eventually(lambda: fetch_latest_record(live, task_sid).get("status") == "accepted")
    assert fetch_latest_record(live, task_sid)["instruction"]["instruction"] == "dequeue"

    control.post(f"/calls/{call['sid']}", {"status": "completed"})
    assert live.fetch_task(task_sid)["assignment_status"] == "completed"
    assert eventually(lambda: fetch_latest_record(live, task_sid)["status"] == "completed")
    assert list_alerts(control) == []


def test_commands_in_part_3_of_the_quickstart_work(live, control):
    page = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    part_3 = page.partition("## Part 3")[2].partition("\n## ")[0]
    # The stack is already running, so the commands that start it are omitted.
    variables, *blocks = (
        block
        for text in (page.partition("\n## ")[0], part_3)
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        if "make run" not in block
    )
    definition = live.definition
    shell = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", "\n".join([variables, *blocks])],
        cwd=ROOT, env=definition.environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert shell.returncode == 0, shell.stderr
    assert '"step":"connected","to":"Alice"' in shell.stdout
    assert '"step":"ended"' in shell.stdout


def test_two_invalid_keys_select_the_default_language(live, control):
    call = place_call(control, "7", "8")
    prompts = [step["text"] for step in call["steps"] if step["step"] == "say"]
    assert prompts == ["Para Español oprime el uno.", "For English, please hold or press two."] * 2
    assert '"selected_language": "en"' in live.fetch_task(call["task_sid"])["attributes"]
    paths = [step["url"].removeprefix(live.definition.api_url)
             for step in call["steps"] if step["step"] == "document"]  # fmt: skip
    assert paths == ["/incoming_call", "/enqueue_call", "/enqueue_call_again"]


def test_caller_who_hangs_up_cancels_the_pending_reservation(live, control):
    call = place_call(control, "1", worker_answers=False)
    live.set_activity_of_alice("Idle")
    task_sid = call["task_sid"]
    assert eventually(lambda: fetch_latest_record(live, task_sid).get("status") == "pending")
    control.post(f"/calls/{call['sid']}", {"status": "completed"})
    assert live.fetch_task(task_sid)["assignment_status"] == "canceled"
    assert eventually(lambda: fetch_latest_record(live, task_sid)["status"] == "canceled")
    assert live.activity_of_alice() == "Idle"


def test_caller_hears_an_apology_when_the_task_is_canceled(live, control):
    call = place_call(control, "1")
    form = {"AssignmentStatus": "canceled", "Reason": "closed"}
    assert live.taskrouter.post(f"/Tasks/{call['task_sid']}", form).status == 200

    def find_ended_call():
        current = control.get(f"/calls/{call['sid']}").body
        return current if current["status"] == "completed" else None

    steps = eventually(find_ended_call)["steps"]
    assert [step.get("text") for step in steps[-3:-1]] == [
        "Lo sentimos, ahora nadie puede atender su llamada.",
        "We are sorry. Nobody can take your call right now.",
    ]


def test_unsigned_request_returns_403_without_twiml(live):
    response = requests.post(
        f"{live.definition.api_url}/incoming_call",
        data={"CallSid": "CA" + "0" * 32},
        timeout=5,
    )
    assert response.status_code == 403
    assert response.headers["Content-Type"] == "application/json"
