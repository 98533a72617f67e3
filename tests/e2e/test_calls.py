"""Phone calls from the first ring to the end, over real sockets: simulator, TwiML, rule, record."""

import re
import subprocess

import pytest
import requests

from local.supervisor import ROOT
from tests.e2e.world import bare_environ, eventually, world

pytestmark = pytest.mark.slow

CALLER, NUMBER = "+15550001111", "+15556667777"


@pytest.fixture(scope="module")
def office():
    """A stack whose rules answer calls with dequeue, and which hears TaskRouter's events."""
    environ = bare_environ(
        RULES_FILE="local/voice-rules.toml",
        ASSIGNMENT_INSTRUCTION="defer",
        SIMULATOR_EVENT_PATH="/event_callback",
    )
    with world(environ) as one:
        one.give_alice_a_phone()
        yield one


def place(phone, *digits, **more):
    call = {"from": CALLER, "to": NUMBER, "digits": list(digits), **more}
    answer = phone.post("/calls", call)
    assert answer.status == 200
    return answer.body


def record_of(office, task_sid):
    """Our record of the Task's newest Reservation."""
    listed = office.taskrouter.get(f"/Tasks/{task_sid}/Reservations").body["reservations"]
    return office.record(listed[-1]["sid"]) if listed else {}


def alerts(phone):
    return phone.get("/log", {"kind": "alert"}).body["entries"]


def test_a_call_is_answered_by_dequeue_and_completed_by_its_end(office, phone):
    call = place(phone, "1")
    task_sid = call["task_sid"]
    assert '"selected_language": "es"' in office.task(task_sid)["attributes"]

    office.turn_alice("Idle")
    assert eventually(lambda: office.task(task_sid)["assignment_status"] == "assigned")
    assert office.activity_of_alice() == "Busy"
    assert phone.get(f"/calls/{call['sid']}").body["connected_with"]
    assert eventually(lambda: record_of(office, task_sid).get("status") == "accepted")
    assert record_of(office, task_sid)["instruction"]["instruction"] == "dequeue"

    phone.post(f"/calls/{call['sid']}", {"status": "completed"})
    assert office.task(task_sid)["assignment_status"] == "completed"
    assert eventually(lambda: record_of(office, task_sid)["status"] == "completed")
    assert alerts(phone) == []


def test_part_3_of_the_quickstart_word_for_word(office, phone):
    page = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    names, *_ = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    part_3 = re.findall(r"^```shell\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    described = office.described
    script = "\n".join([names, *part_3]).replace("http://127.0.0.1:8000", described.api_url)
    shell = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c",
         script.replace("http://127.0.0.1:8002", described.simulator_url)],
        cwd=ROOT, env=described.environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert shell.returncode == 0, shell.stderr
    assert '"step":"connected","to":"Alice"' in shell.stdout
    assert '"step":"ended"' in shell.stdout


def test_two_wrong_keys_lead_to_the_default_language(office, phone):
    call = place(phone, "7", "8")
    said = [one["text"] for one in call["steps"] if one["step"] == "say"]
    assert said == ["Para Español oprime el uno.", "For English, please hold or press two."] * 2
    assert '"selected_language": "en"' in office.task(call["task_sid"])["attributes"]
    paths = [one["url"].removeprefix(office.described.api_url)
             for one in call["steps"] if one["step"] == "document"]  # fmt: skip
    assert paths == ["/incoming_call", "/enqueue_call", "/enqueue_call_again"]


def test_who_hangs_up_while_an_agent_thinks_it_over_leaves_a_canceled_reservation(office, phone):
    call = place(phone, "1", worker_answers=False)
    office.turn_alice("Idle")
    task_sid = call["task_sid"]
    assert eventually(lambda: record_of(office, task_sid).get("status") == "pending")
    phone.post(f"/calls/{call['sid']}", {"status": "completed"})
    assert office.task(task_sid)["assignment_status"] == "canceled"
    assert eventually(lambda: record_of(office, task_sid)["status"] == "canceled")
    assert office.activity_of_alice() == "Idle"


def test_a_caller_whose_task_is_canceled_hears_an_apology(office, phone):
    call = place(phone, "1")
    canceled = {"AssignmentStatus": "canceled", "Reason": "closed"}
    assert office.taskrouter.post(f"/Tasks/{call['task_sid']}", canceled).status == 200

    def ended():
        seen = phone.get(f"/calls/{call['sid']}").body
        return seen if seen["status"] == "completed" else None

    steps = eventually(ended)["steps"]
    assert [one.get("text") for one in steps[-3:-1]] == [
        "Lo sentimos, ahora nadie puede atender su llamada.",
        "We are sorry, nobody can take your call now.",
    ]


def test_what_twilio_has_not_signed_gets_no_twiml(office):
    answer = requests.post(
        f"{office.described.api_url}/incoming_call",
        data={"CallSid": "CA" + "0" * 32},
        timeout=5,
    )
    assert answer.status_code == 403
    assert answer.headers["Content-Type"] == "application/json"
