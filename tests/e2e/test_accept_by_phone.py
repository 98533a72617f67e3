"""A repeated accept request with an instruction does not send the instruction again."""

import pytest

from tests.e2e.live_stack import bare_environ, eventually, live_stack

pytestmark = pytest.mark.slow

CALLER, NUMBER = "+15550001111", "+15556667777"


@pytest.fixture(scope="module")
def live():
    """A stack that defers every callback and receives TaskRouter's events."""
    environ = bare_environ(ASSIGNMENT_INSTRUCTION="defer", SIMULATOR_EVENT_PATH="/event_callback")
    with live_stack(environ) as running:
        running.set_contact_uri_of_alice()
        yield running


@pytest.fixture
def place_call(live, control):
    """A function that places a call, and returns the call and the SID of the Reservation."""

    def place(**parameters):
        call = control.post(
            "/calls", {"from": CALLER, "to": NUMBER, "digits": ["1"], **parameters}
        ).body
        live.set_activity_of_alice("Idle")

        def find_pending():
            path = f"/Tasks/{call['task_sid']}/Reservations"
            reservations = live.taskrouter.get(path).body["reservations"]
            sid = reservations[-1]["sid"] if reservations else None
            return sid if sid and live.fetch_record(sid).get("status") == "pending" else None

        sid = eventually(find_pending)
        assert sid, "no pending Reservation was recorded"
        return call, sid

    return place


def accept(live, reservation_sid, instruction=None):
    return live.app.post(f"/reservations/{reservation_sid}/accept", instruction or {})


def count_instructions(control, reservation_sid):
    entries = control.get("/log", {"kind": "request"}).body["entries"]
    return sum(
        "Instruction" in entry["parameters"] and entry["path"].endswith(reservation_sid)
        for entry in entries
    )


@pytest.mark.parametrize("name", ["dequeue", "conference"])
def test_accept_request_with_an_instruction_connects_the_call_and_accepts_the_reservation(
    live, control, place_call, name
):
    call, sid = place_call()
    instruction = {"instruction": name, "from": NUMBER}

    responses = [accept(live, sid, instruction) for _ in range(2)]

    assert {response.status for response in responses} <= {200, 202}
    assert eventually(lambda: live.fetch_record(sid)["status"] == "accepted")
    assert count_instructions(control, sid) == 1
    record = live.fetch_record(sid)
    assert record["instruction_sent"]["instruction"] == instruction
    assert record["accepted_by"] == record["instruction_sent"]["by"]
    assert control.get(f"/calls/{call['sid']}").body["connected_with"]
    assert accept(live, sid, instruction).status == 200


def test_accept_request_succeeds_after_a_call_instruction_that_left_the_reservation_pending(
    live, control, place_call
):
    _, sid = place_call()
    url = f"{live.definition.api_url}/incoming_call"  # Any TwiML document works here.
    instruction = {"instruction": "call", "from": NUMBER, "url": url}

    assert accept(live, sid, instruction).status == 202
    assert accept(live, sid, instruction).status == 202
    assert accept(live, sid, {**instruction, "timeout": 10}).status == 409
    assert count_instructions(control, sid) == 1

    response = accept(live, sid)
    assert (response.status, response.body["reservation_status"]) == (200, "accepted")


def test_redirect_instruction_that_accepts_the_reservation_changes_its_status(
    live, control, place_call
):
    call, sid = place_call()
    url = f"{live.definition.api_url}/incoming_call"
    instruction = {"instruction": "redirect", "call_sid": call["sid"], "url": url, "accept": True}

    assert accept(live, sid, instruction).status in {200, 202}
    assert eventually(lambda: live.fetch_record(sid)["status"] != "pending")
    assert count_instructions(control, sid) == 1


def test_accept_request_repeated_while_the_phone_rings_sends_no_second_instruction(
    live, control, place_call
):
    call, sid = place_call(worker_answers=False)
    instruction = {"instruction": "conference", "from": NUMBER}

    for _ in range(3):
        response = accept(live, sid, instruction)
        assert (response.status, response.body["reservation_status"]) == (202, "pending")
    assert count_instructions(control, sid) == 1
    control.post(f"/calls/{call['sid']}", {"status": "completed"})
    assert eventually(lambda: live.fetch_record(sid)["status"] == "canceled")
    assert accept(live, sid, instruction).status == 409


def test_corrected_instruction_is_sent_after_taskrouter_refuses_the_first(
    live, control, place_call
):
    _, sid = place_call()
    unknown_activity = "WA" + "0" * 32
    invalid = {"instruction": "dequeue", "from": NUMBER, "post_work_activity_sid": unknown_activity}

    response = accept(live, sid, invalid)
    assert (response.status, response.body["Code"]) == (400, "TaskRouterRefused")
    assert accept(live, sid, {"instruction": "dequeue", "from": NUMBER}).status in {200, 202}
    assert eventually(lambda: live.fetch_record(sid)["status"] == "accepted")
