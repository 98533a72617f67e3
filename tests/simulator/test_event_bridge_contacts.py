"""The browser SDK transfers Tasks, and updates the participants of conferences."""

import pytest

from taskrouter_simulator.testing import running
from tests.simulator.browser_sdk import BrowserSdk
from tests.simulator.conftest import SPANISH, send_request
from tests.simulator.test_event_bridge_connections import initialize


@pytest.fixture
def alice(taskrouter):
    return BrowserSdk(taskrouter)


@pytest.fixture
def bob(taskrouter):
    return BrowserSdk(taskrouter, "Bob")


@pytest.fixture
def accepted_reservation(taskrouter, alice):
    """Alice's accepted Reservation."""
    send_request(taskrouter, "POST", "/Tasks", Attributes=SPANISH)
    alice.update_own(ActivitySid=taskrouter.activities["Idle"])
    taskrouter.advance()
    return accept(alice)


def accept(worker):
    sid = worker.get_own("/Reservations", Active="true")["contents"][0]["sid"]
    return worker.update_own(f"/Reservations/{sid}", ReservationStatus="accepted")


def transfer(worker, reservation, to, **params):
    return worker.update_own(
        "/Transfers",
        ReservationSid=reservation["sid"],
        TaskSid=reservation["task_sid"],
        To=to,
        **params,
    )


def cancel(worker, started, **changes):
    params = {"TaskSid": started["task_sid"], "TransferStatus": "canceled"} | changes
    path = f"Workers/{worker.worker_sid}/Transfers/{started['sid']}"
    return worker.send("POST", path, **params)


def test_transfer_has_every_property(taskrouter, alice, bob, accepted_reservation):
    started = transfer(alice, accepted_reservation, bob.worker_sid)
    assert started.pop("sid").startswith("TT")
    dates = [started.pop(name) for name in ("date_created", "date_updated")]
    assert all(isinstance(date, int) for date in dates)
    assert started == {
        "account_sid": taskrouter.account_sid,
        "workspace_sid": taskrouter.workspace_sid,
        "initiating_queue_sid": accepted_reservation["task"]["queue_sid"],
        "initiating_reservation_sid": accepted_reservation["sid"],
        "initiating_worker_sid": alice.worker_sid,
        "initiating_workflow_sid": taskrouter.workflow_sid,
        "task_sid": accepted_reservation["task_sid"],
        "transfer_mode": "WARM",
        "transfer_status": "initiated",
        "transfer_to": bob.worker_sid,
        "transfer_type": "WORKER",
    }


def test_accepted_transfer_is_reported_to_both_workers(
    taskrouter, alice, bob, accepted_reservation
):
    with alice.connect() as first, bob.connect() as second:
        initialize(first)
        initialize(second)
        started = transfer(alice, accepted_reservation, bob.worker_sid)
        assert first.receive() == ("task.transfer-initiated", started)
        own = alice.get_own(f"/Reservations/{accepted_reservation['sid']}")
        assert own["active_outgoing_task_transfer"] == started
        assert "task_transfer" not in own
        taskrouter.advance()
        event_type, offer = second.receive()
        assert (event_type, offer["task_transfer"]) == ("reservation.created", started)
        assert "active_outgoing_task_transfer" not in offer
        # The SDK fails if the response to an update contains a transfer.
        assert not {"task_transfer", "active_outgoing_task_transfer"} & accept(bob).keys()
        event_type, completed = first.receive()
        assert (event_type, completed["transfer_status"]) == ("task.transfer-completed", "complete")
        assert completed["sid"] == started["sid"]


def test_rejected_transfer_has_failed_when_the_rejection_is_reported(
    taskrouter, alice, bob, accepted_reservation
):
    transfer(alice, accepted_reservation, bob.worker_sid)
    taskrouter.advance()
    with alice.connect() as first, bob.connect() as second:
        initialize(first)
        initialize(second)
        sid = bob.get_own("/Reservations")["contents"][0]["sid"]
        bob.update_own(f"/Reservations/{sid}", ReservationStatus="rejected")
        assert first.receive()[0] == "task.transfer-failed"
        event_type, rejected = second.receive()
        assert event_type == "reservation.rejected"
        assert rejected["task_transfer"]["transfer_status"] == "failed"
        assert rejected["task"]["assignment_status"] == "assigned"


def test_transfer_may_be_cold_and_change_the_task(taskrouter, alice, accepted_reservation):
    queue = taskrouter.task_queues["Customer Care Requests - English"]
    started = transfer(
        alice, accepted_reservation, queue, Mode="COLD", Attributes={"a": 1}, Priority=5
    )
    assert (started["transfer_mode"], started["transfer_type"]) == ("COLD", "QUEUE")
    own = alice.get_own(f"/Reservations/{accepted_reservation['sid']}")
    assert own["reservation_status"] == "wrapping"
    assert (own["task"]["attributes"], own["task"]["priority"]) == ('{"a":1}', 5)


def test_transfer_changes_only_given_properties_of_the_task(
    taskrouter, alice, bob, accepted_reservation
):
    with alice.connect() as channel:
        initialize(channel)
        transfer(alice, accepted_reservation, bob.worker_sid, Priority=0)
        assert channel.receive_types(2) == ["task.transfer-initiated", "task.updated"]
    assert (
        alice.get_own(f"/Reservations/{accepted_reservation['sid']}")["task"]["attributes"]
        == SPANISH
    )


def test_transfer_without_changes_does_not_update_the_task(
    taskrouter, alice, bob, accepted_reservation
):
    with alice.connect() as channel:
        initialize(channel)
        started = transfer(alice, accepted_reservation, bob.worker_sid)
        cancel(alice, started)
        assert channel.receive_types(2) == ["task.transfer-initiated", "task.transfer-canceled"]


def test_initiating_worker_can_cancel_a_transfer_once(taskrouter, alice, bob, accepted_reservation):
    started = transfer(alice, accepted_reservation, bob.worker_sid)
    status, body = cancel(alice, started)
    assert (status, body["payload"]["transfer_status"]) == (200, "canceled")
    status, body = cancel(alice, started)
    message = f"Transfer {started['sid']} is already canceled . Cannot cancel transfer."
    assert (status, body["message"]) == (400, message)


def test_canceling_a_transfer_requires_the_initiating_worker_and_the_matching_task(
    taskrouter, alice, bob, accepted_reservation
):
    started = transfer(alice, accepted_reservation, bob.worker_sid)
    other = send_request(taskrouter, "POST", "/Tasks", Attributes=SPANISH)[1]["sid"]
    assert cancel(bob, started)[0] == 404
    assert cancel(alice, {**started, "sid": "TT1"})[0] == 404
    assert cancel(alice, started, TaskSid="WT1")[0] == 404
    assert cancel(alice, started, TaskSid=other)[0] == 404
    status, body = cancel(alice, started, TransferStatus="complete")
    assert (status, body["message"]) == (400, "TransferStatus must be canceled")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ReservationSid": "WR1"}, "ReservationSid must be the SID of an existing Reservation"),
        ({"ReservationSid": None}, "ReservationSid must be the SID of an existing Reservation"),
        ({"Mode": "HOT"}, "Mode must be one of WARM, COLD"),
        ({"To": None}, "Missing required parameter To in the post body"),
        ({"To": "WK1"}, "Cannot transfer to WK1: specify a different Worker or a TaskQueue"),
        ({"Attributes": []}, "Attributes must be a valid JSON object"),
        ({"Priority": -1}, "Priority must be a whole number from 0 to 2147483647"),
        ({"Priority": 2**31}, "Priority must be a whole number from 0 to 2147483647"),
    ],
)
def test_invalid_transfer_is_rejected(alice, bob, accepted_reservation, changes, message):
    params = {"ReservationSid": accepted_reservation["sid"], "To": bob.worker_sid} | changes
    status, body = alice.send("POST", f"Workers/{alice.worker_sid}/Transfers", **params)
    assert (status, body["message"]) == (400, message)
    assert "active_outgoing_task_transfer" not in alice.get_own(
        f"/Reservations/{accepted_reservation['sid']}"
    )


def test_worker_cannot_transfer_the_tasks_of_others(taskrouter, alice, bob, accepted_reservation):
    params = {"ReservationSid": accepted_reservation["sid"], "To": bob.worker_sid}
    for worker in (alice.worker_sid, bob.worker_sid):
        assert bob.send("POST", f"Workers/{worker}/Transfers", **params)[0] == 403


CONTACTS = [
    {"friendly_name": "Alice", "attributes": {"contact_uri": "+15550000001"}, "activity": "Idle"},
    {"friendly_name": "Bob", "attributes": {"contact_uri": "+15550000002"}},
]
CENTER = {
    "friendly_name": "Conferences",
    "multi_task_enabled": True,
    "activities": [
        {"friendly_name": "Offline", "available": False},
        {"friendly_name": "Idle", "available": True},
    ],
    "workers": CONTACTS,
    "task_queues": [{"friendly_name": "All"}],
    "workflows": [
        {
            "friendly_name": "All",
            "configuration": {"task_routing": {"default_filter": {"queue": "All"}}},
        }
    ],
}


@pytest.fixture
def conference(app):
    """A conference between a caller and Alice: the simulator, Alice's SDK, and her Reservation."""
    with running(callback_base_url=app.url, assignment_path="") as simulator:
        simulator.reset(CENTER)
        app.set_response(
            "/incoming_call",
            f"<Response><Enqueue workflowSid='{simulator.workflow_sid}'/></Response>".encode(),
            content_type="text/xml",
        )
        simulator.place_call("+15550001111", "+15550002222")
        simulator.advance()
        alice = BrowserSdk(simulator)
        sid = alice.get_own("/Reservations")["contents"][0]["sid"]
        conference = {"Instruction": "conference", "From": "+15550002222"}
        alice.update_own(f"/Reservations/{sid}", **conference, Transcribe=True)
        simulator.advance()
        yield simulator, alice, alice.get_own(f"/Reservations/{sid}")


def flags(simulator, number):
    """Return the conference settings of the call from or to a number."""
    calls = simulator._request("GET", "/calls")["calls"]
    call = next(call for call in calls if number in {call["from"], call["to"]})
    return call["conference"]


def test_worker_puts_the_customer_on_hold(conference):
    simulator, alice, reservation = conference
    assert not flags(simulator, "+15550001111")["hold"]
    for hold in (True, False):
        payload = alice.update_own(
            "/CustomerParticipant", TaskSid=reservation["task_sid"], Hold=hold
        )
        assert payload["sid"] == reservation["task_sid"]
        assert flags(simulator, "+15550001111")["hold"] is hold
    assert not flags(simulator, "+15550000001")["hold"]


def test_worker_can_update_their_own_participant(conference):
    simulator, alice, reservation = conference
    params = {"ReservationSid": reservation["sid"], "Mute": True, "EndConferenceOnExit": True}
    payload = alice.update_own("/WorkerParticipant", **params)
    assert payload["sid"] == reservation["sid"]
    participant = flags(simulator, "+15550000001")
    assert (participant["muted"], participant["end_conference_on_exit"]) == (True, True)
    alice.update_own("/WorkerParticipant", ReservationSid=reservation["sid"], Mute=False)
    participant = flags(simulator, "+15550000001")
    assert (participant["muted"], participant["end_conference_on_exit"]) == (False, True)


def test_worker_puts_another_worker_on_hold_and_removes_that_worker(conference):
    simulator, alice, reservation = conference
    bob = BrowserSdk(simulator, "Bob")
    transfer(alice, reservation, bob.worker_sid)
    simulator.advance()
    sid = bob.get_own("/Reservations")["contents"][0]["sid"]
    bob.update_own(f"/Reservations/{sid}", Instruction="conference", From="+15550002222")
    simulator.advance()
    target = {"TaskSid": reservation["task_sid"], "TargetWorkerSid": bob.worker_sid}
    alice.update_own("/HoldWorkerParticipant", **target, Hold=True)
    assert flags(simulator, "+15550000002")["hold"]
    assert not flags(simulator, "+15550000001")["hold"]
    payload = alice.update_own("/KickWorkerParticipant", **target)
    assert payload["sid"] == reservation["task_sid"]
    assert flags(simulator, "+15550000002") is None
    assert flags(simulator, "+15550000001")
    status, body = alice.send("POST", f"Workers/{alice.worker_sid}/KickWorkerParticipant", **target)
    message = f"Task {reservation['task_sid']} has no conference with Worker {bob.worker_sid}"
    assert (status, body["message"]) == (400, message)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("CustomerParticipant", "the customer"),
        ("HoldWorkerParticipant", "Worker WK1"),
        ("KickWorkerParticipant", "Worker WK1"),
    ],
)
def test_participant_update_requires_the_workers_own_task_and_a_conference(
    alice, bob, accepted_reservation, path, name
):
    def update(worker, sid, **changes):
        params = {
            "TaskSid": accepted_reservation["task_sid"],
            "TargetWorkerSid": "WK1",
            "Hold": True,
        }
        return worker.send("POST", f"Workers/{sid}/{path}", **params | changes)

    assert update(bob, bob.worker_sid)[0] == 403
    assert update(bob, alice.worker_sid)[0] == 403
    status, body = update(alice, alice.worker_sid)
    message = f"Task {accepted_reservation['task_sid']} has no conference with {name}"
    assert (status, body["message"]) == (400, message)
    status, body = update(alice, alice.worker_sid, TaskSid="WT1")
    assert (status, body["message"]) == (400, "TaskSid must be the SID of an existing Task")


def test_participant_update_requires_the_workers_own_reservation_and_a_conference(
    taskrouter, alice, bob, accepted_reservation
):
    params = {"ReservationSid": accepted_reservation["sid"], "Mute": True}
    assert bob.send("POST", f"Workers/{bob.worker_sid}/WorkerParticipant", **params)[0] == 403
    status, body = alice.send("POST", f"Workers/{alice.worker_sid}/WorkerParticipant", **params)
    message = (
        f"Task {accepted_reservation['task_sid']} has no conference with Worker {alice.worker_sid}"
    )
    assert (status, body["message"]) == (400, message)
