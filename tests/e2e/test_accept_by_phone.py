"""An accept that carries an instruction, over real sockets: it rings once, and is recorded."""

import pytest

from tests.e2e.world import bare_environ, eventually, world

pytestmark = pytest.mark.slow

CALLER, NUMBER = "+15550001111", "+15556667777"


@pytest.fixture(scope="module")
def office():
    """A stack that defers every callback, and hears TaskRouter's events."""
    environ = bare_environ(ASSIGNMENT_INSTRUCTION="defer", SIMULATOR_EVENT_PATH="/event_callback")
    with world(environ) as one:
        one.give_alice_a_phone()
        yield one


@pytest.fixture
def waiting(office, phone):
    """Place a call; return it, and its Reservation, which waits for somebody to decide."""

    def of_a_call(**more):
        call = phone.post("/calls", {"from": CALLER, "to": NUMBER, "digits": ["1"], **more}).body
        office.turn_alice("Idle")

        def reserved():
            path = f"/Tasks/{call['task_sid']}/Reservations"
            listed = office.taskrouter.get(path).body["reservations"]
            return listed and office.record(listed[-1]["sid"]).get("status") == "pending" and listed

        return call, eventually(reserved)[-1]["sid"]

    return of_a_call


def accept(office, reservation_sid, instruction=None):
    return office.app.post(f"/reservations/{reservation_sid}/accept", instruction or {})


def times_sent(phone, reservation_sid):
    log = phone.get("/log", {"kind": "request"}).body["entries"]
    return sum(
        "Instruction" in one["parameters"] and one["path"].endswith(reservation_sid) for one in log
    )


@pytest.mark.parametrize("name", ["dequeue", "conference"])
def test_caller_and_worker_are_connected_and_the_reservation_accepted(office, phone, waiting, name):
    call, sid = waiting()
    instruction = {"instruction": name, "from": NUMBER}

    answers = [accept(office, sid, instruction) for _ in range(2)]

    assert {one.status for one in answers} <= {200, 202}
    assert eventually(lambda: office.record(sid)["status"] == "accepted")
    assert times_sent(phone, sid) == 1
    record = office.record(sid)
    assert record["instruction_sent"]["instruction"] == instruction
    assert record["accepted_by"] == record["instruction_sent"]["by"]
    assert phone.get(f"/calls/{call['sid']}").body["connected_with"]
    assert accept(office, sid, instruction).status == 200


def test_after_a_call_that_does_not_accept_a_plain_accept_does(office, phone, waiting):
    _, sid = waiting()
    url = f"{office.described.api_url}/incoming_call"  # any TwiML will do
    instruction = {"instruction": "call", "from": NUMBER, "url": url}

    assert accept(office, sid, instruction).status == 202
    assert accept(office, sid, instruction).status == 202
    assert accept(office, sid, {**instruction, "timeout": 10}).status == 409
    assert times_sent(phone, sid) == 1

    answer = accept(office, sid)
    assert (answer.status, answer.body["reservation_status"]) == (200, "accepted")


def test_a_redirect_that_accepts_does(office, phone, waiting):
    call, sid = waiting()
    url = f"{office.described.api_url}/incoming_call"
    instruction = {"instruction": "redirect", "call_sid": call["sid"], "url": url, "accept": True}

    assert accept(office, sid, instruction).status in {200, 202}
    assert eventually(lambda: office.record(sid)["status"] != "pending")
    assert times_sent(phone, sid) == 1


def test_while_a_phone_rings_a_repeat_rings_no_second(office, phone, waiting):
    call, sid = waiting(worker_answers=False)
    instruction = {"instruction": "conference", "from": NUMBER}

    for _ in range(3):
        answer = accept(office, sid, instruction)
        assert (answer.status, answer.body["reservation_status"]) == (202, "pending")
    assert times_sent(phone, sid) == 1
    phone.post(f"/calls/{call['sid']}", {"status": "completed"})
    assert eventually(lambda: office.record(sid)["status"] == "canceled")
    assert accept(office, sid, instruction).status == 409


def test_what_taskrouter_refuses_may_be_sent_again_mended(office, phone, waiting):
    _, sid = waiting()
    unknown = "WA" + "0" * 32
    refused = {"instruction": "dequeue", "from": NUMBER, "post_work_activity_sid": unknown}

    answer = accept(office, sid, refused)
    assert (answer.status, answer.body["Code"]) == (400, "TaskRouterRefused")
    assert accept(office, sid, {"instruction": "dequeue", "from": NUMBER}).status in {200, 202}
    assert eventually(lambda: office.record(sid)["status"] == "accepted")
