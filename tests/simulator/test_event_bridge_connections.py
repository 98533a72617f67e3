"""WebSockets of the browser SDK: events, heartbeats, expiry, reconnections."""

import contextlib
import time

import pytest
from websockets.exceptions import InvalidStatus

from taskrouter_simulator.event_bridge import sessions
from taskrouter_simulator.testing import running
from tests.simulator.browser_sdk import BrowserSdk, access_token, open_channel
from tests.simulator.conftest import SPANISH, send_request


@pytest.fixture
def alice(taskrouter):
    return BrowserSdk(taskrouter)


@pytest.fixture
def bob(taskrouter):
    return BrowserSdk(taskrouter, "Bob")


def initialize(channel):
    """Receive the first message; return its payload."""
    event_type, payload = channel.receive()
    assert event_type == "init"
    return payload


def offer_task(taskrouter, *workers):
    """Create a Task, and set the Workers to Idle; return the Task's SID."""
    task = send_request(taskrouter, "POST", "/Tasks", Attributes=SPANISH)[1]
    for worker in workers:
        worker.update_own(ActivitySid=taskrouter.activities["Idle"])
    taskrouter.advance()
    return task["sid"]


def test_first_message_contains_sids_and_the_lifetime_of_the_token(taskrouter, alice):
    with alice.connect() as channel:
        payload = initialize(channel)
    lifetime = payload.pop("token_lifetime")
    assert 3_590_000 < lifetime <= 3_600_000
    assert payload == {
        "account_sid": taskrouter.account_sid,
        "channel_id": alice.worker_sid,
        "workspace_sid": taskrouter.workspace_sid,
    }


def test_worker_receives_events_about_their_reservation(taskrouter, alice):
    with alice.connect() as channel:
        initialize(channel)
        task_sid = offer_task(taskrouter, alice)
        assert channel.receive()[0] == "worker.activity.update"
        event_type, offer = channel.receive()
        assert (event_type, offer["task_sid"]) == ("reservation.created", task_sid)
        assert (offer["reservation_status"], offer["version"]) == ("pending", 0)
        assert offer["task"]["assignment_status"] == "reserved"
        assert channel.receive()[1]["activity_name"] == "Reserved"
        for status, events in (
            ("accepted", ["reservation.accepted", "worker.activity.update"]),
            ("wrapping", ["reservation.wrapup", "task.wrapup"]),
            ("completed", ["reservation.completed", "task.completed"]),
        ):
            payload = alice.update_own(f"/Reservations/{offer['sid']}", ReservationStatus=status)
            received = [channel.receive() for _ in events]
            assert [event_type for event_type, _ in received] == events
            assert received[0][1] == payload
        assert received[1][1] == payload["task"]


def test_event_has_the_state_at_the_time_of_the_event(taskrouter, alice):
    with alice.connect() as channel:
        initialize(channel)
        offer_task(taskrouter, alice)
        taskrouter.advance(1200)
        events = dict(channel.receive() for _ in range(5))
    assert events["reservation.created"]["reservation_status"] == "pending"
    assert events["reservation.timeout"]["reservation_status"] == "timeout"
    assert events["reservation.timeout"]["task"]["assignment_status"] == "pending"
    assert events["worker.activity.update"]["activity_name"] == "Offline"


@pytest.mark.parametrize("status", ["rejected", "canceled"])
def test_ended_offer_is_reported(taskrouter, alice, status):
    with alice.connect() as channel:
        initialize(channel)
        task_sid = offer_task(taskrouter, alice)
        sid = alice.get_own("/Reservations")["contents"][0]["sid"]
        channel.receive_types(3)
        if status == "rejected":
            alice.update_own(f"/Reservations/{sid}", ReservationStatus="rejected")
        else:
            send_request(taskrouter, "POST", f"/Tasks/{task_sid}", AssignmentStatus="canceled")
        event_type, payload = channel.receive()
        assert (event_type, payload["reservation_status"]) == (f"reservation.{status}", status)
        expected = {"rejected": "pending", "canceled": "canceled"}[status]
        assert payload["task"]["assignment_status"] == expected
        assert channel.receive()[0] == "worker.activity.update"
        if status == "canceled":
            assert channel.receive()[0] == "task.canceled"


def test_rescinded_offer_is_reported(taskrouter, alice, bob):
    queue = taskrouter.task_queues["Customer Care Requests - English"]
    send_request(taskrouter, "POST", f"/TaskQueues/{queue}", MaxReservedWorkers=2)
    for worker in (alice, bob):
        worker.update_own(ActivitySid=taskrouter.activities["Idle"])
    with alice.connect() as channel:
        initialize(channel)
        send_request(taskrouter, "POST", "/Tasks", Attributes='{"selected_language": "en"}')
        taskrouter.advance()
        sid = bob.get_own("/Reservations")["contents"][0]["sid"]
        assert channel.receive_types(2) == ["reservation.created", "worker.activity.update"]
        bob.update_own(f"/Reservations/{sid}", ReservationStatus="accepted")
        event_type, payload = channel.receive()
        assert event_type == "reservation.rescinded"
        assert payload["task"]["assignment_status"] == "assigned"


def test_worker_receives_changes_to_their_attributes_and_channels(taskrouter, alice):
    with alice.connect() as channel:
        initialize(channel)
        payload = alice.update_own(Attributes={"a": 1})
        event_type, received = channel.receive()
        assert event_type == "worker.attributes.update"
        assert received == payload
        voice = f"/Workers/{alice.worker_sid}/Channels/voice"
        send_request(taskrouter, "POST", voice, Capacity=5)
        event_type, received = channel.receive()
        channels = alice.get_own("/WorkerChannels")["contents"]
        expected = next(item for item in channels if item["sid"] == received["sid"])
        assert event_type == "worker.capacity.update"
        assert received == expected
        assert (received["configured_capacity"], received["task_channel_unique_name"]) == (
            5,
            "voice",
        )
        send_request(taskrouter, "POST", voice, Available="false")
        event_type, received = channel.receive()
        assert (event_type, received["available"]) == ("worker.channel.availability.update", False)


def test_each_channel_event_increases_the_version_of_the_worker_by_one(taskrouter, alice):
    """These events contain no version, so the SDK adds 1 to the version that it stores."""
    voice = f"/Workers/{alice.worker_sid}/Channels/voice"
    before = alice.get_own()["version"]
    send_request(taskrouter, "POST", voice, Capacity=5)
    assert alice.get_own()["version"] == before + 1
    send_request(taskrouter, "POST", voice, Available="false")
    assert alice.get_own()["version"] == before + 2
    send_request(taskrouter, "POST", voice, Available="false", Capacity=5)
    assert alice.get_own()["version"] == before + 2


def test_worker_with_an_open_reservation_receives_task_updates(taskrouter, alice, bob):
    task_sid = offer_task(taskrouter, alice)
    with alice.connect() as channel, bob.connect() as other:
        initialize(channel)
        initialize(other)
        payload = alice.post(f"Tasks/{task_sid}", Attributes={"a": 1})
        assert channel.receive() == ("task.updated", payload)
        bob.update_own(Attributes={})
        assert other.receive()[0] == "worker.attributes.update"


def test_worker_who_rejected_a_task_receives_no_task_updates(taskrouter, alice):
    task_sid = offer_task(taskrouter, alice)
    sid = alice.get_own("/Reservations")["contents"][0]["sid"]
    alice.update_own(f"/Reservations/{sid}", ReservationStatus="rejected")
    with alice.connect() as channel:
        initialize(channel)
        send_request(taskrouter, "POST", f"/Tasks/{task_sid}", Priority=1)
        alice.update_own(Attributes={})
        assert channel.receive()[0] == "worker.attributes.update"


def test_worker_receives_no_events_about_other_workers(taskrouter, alice, bob):
    with bob.connect() as channel:
        initialize(channel)
        offer_task(taskrouter, alice)
        send_request(taskrouter, "POST", "/Activities", FriendlyName="Lunch")
        bob.update_own(Attributes={})
        assert channel.receive()[0] == "worker.attributes.update"


def test_event_published_on_request_is_not_sent_if_its_resource_has_the_wrong_type(
    taskrouter, alice
):
    with alice.connect() as channel:
        initialize(channel)
        task = offer_task(taskrouter, alice)
        received = channel.receive_types(3)
        assert received.count("reservation.created") == 1
        (reservation,) = send_request(taskrouter, "GET", f"/Tasks/{task}/Reservations")[1][
            "reservations"
        ]
        for body in (
            {"event_type": "task.transfer-initiated", "task_sid": task},
            {"event_type": "worker.activity.update", "task_sid": task},
            {"event_type": "worker.capacity.update", "reservation_sid": reservation["sid"]},
            {"event_type": "task.updated", "task_sid": task},
        ):
            taskrouter._request("POST", "/events", body)
        assert channel.receive()[0] == "task.updated"


def test_every_connection_of_a_worker_receives_the_workers_events(taskrouter, alice):
    with alice.connect() as first, alice.connect() as second:
        initialize(first)
        initialize(second)
        alice.update_own(Attributes={})
        assert first.receive() == second.receive()


def test_events_do_not_depend_on_the_subscriptions_of_the_workspace(taskrouter, alice, workspace):
    workspace.update(event_callback_url="http://127.0.0.1:9", events_filter="task.created")
    with alice.connect() as channel:
        initialize(channel)
        alice.update_own(Attributes={})
        assert channel.receive()[0] == "worker.attributes.update"


def test_heartbeat_is_sent_while_there_are_no_events(taskrouter, alice, monkeypatch):
    assert sessions.HEARTBEAT_SECONDS == 15
    monkeypatch.setattr(sessions, "HEARTBEAT_SECONDS", 0.05)
    with alice.connect() as channel:
        initialize(channel)
        assert [channel.socket.recv(5) for _ in range(3)] == [" ", " ", " "]
        alice.update_own(Attributes={})
        while (message := channel.socket.recv(5)) == " ":
            pass
        assert '"worker.attributes.update"' in message


def test_connection_is_closed_when_the_token_expires(taskrouter):
    begin = time.time()
    token = access_token(taskrouter, valid_until=begin + 0.4)
    with open_channel(taskrouter, token=token) as channel:
        assert 0 < initialize(channel)["token_lifetime"] <= 400
        assert channel.wait_until_closed() == (1008, "The Access Token has expired")
    assert 0.4 <= time.time() - begin < 5


def test_connection_outlives_the_token_if_disconnection_is_disabled(monkeypatch):
    monkeypatch.setattr(sessions, "HEARTBEAT_SECONDS", 0.2)
    with running(expired_token_disconnects=False) as taskrouter:
        token = access_token(taskrouter, valid_until=time.time() + 0.3)
        with open_channel(taskrouter, token=token) as channel:
            initialize(channel)
            assert [channel.socket.recv(5) for _ in range(3)] == [" ", " ", " "]


def test_worker_may_reconnect(taskrouter, alice):
    for _ in range(3):
        with alice.connect() as channel:
            initialize(channel)
            alice.update_own(Attributes={})
            assert channel.receive()[0] == "worker.attributes.update"


def test_existing_sessions_are_closed_on_request(taskrouter, alice, bob):
    with alice.connect() as first, bob.connect() as other:
        initialize(first)
        initialize(other)
        with alice.connect(closeExistingSessions="false") as second:
            initialize(second)
            with alice.connect(closeExistingSessions="true") as third:
                initialize(third)
                for closed in (first, second):
                    assert closed.wait_until_closed() == (4001, "The Worker has connected again")
                alice.update_own(Attributes={})
                assert third.receive()[0] == "worker.attributes.update"
        bob.update_own(Attributes={})
        assert other.receive()[0] == "worker.attributes.update"


def test_reset_closes_all_connections(taskrouter, alice, bob):
    with alice.connect() as first, bob.connect() as second:
        initialize(first)
        initialize(second)
        taskrouter.reset()
        for channel in (first, second):
            assert channel.wait_until_closed() == (1012, "The simulator was reset")
    with alice.connect() as channel:
        initialize(channel)
        alice.update_own(Attributes={})
        assert channel.receive()[0] == "worker.attributes.update"


def test_messages_from_the_client_are_ignored(taskrouter, alice):
    with alice.connect() as channel:
        initialize(channel)
        channel.socket.send("text")
        channel.socket.send(b"\xff")
        alice.update_own(Attributes={})
        assert channel.receive()[0] == "worker.attributes.update"


def test_text_that_is_not_utf_8_closes_the_connection_without_an_error_message(capsys):
    with running() as taskrouter, BrowserSdk(taskrouter).connect() as channel:
        initialize(channel)
        channel.socket.send(b"\xff", text=True)
        assert channel.wait_until_closed()[0] == 1007
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("headers", "token", "status"), [({}, "x" * 9_000, 414), ({"X-Long": "x" * 9_000}, "", 431)]
)
def test_handshake_that_is_too_long_is_rejected(taskrouter, headers, token, status):
    with pytest.raises(InvalidStatus) as error, open_channel(taskrouter, headers, token=token):
        pass
    assert error.value.response.status_code == status


def test_client_that_does_not_read_its_messages_is_disconnected(taskrouter, alice, monkeypatch):
    monkeypatch.setattr(sessions, "MAX_QUEUED_MESSAGES", 0)
    with alice.connect() as channel:
        assert channel.wait_until_closed() == (1013, "The client does not read its messages")


def wait_for_activity(alice, expected):
    """Wait a few seconds for the expected Activity; return the name of the actual Activity."""
    for _ in range(200):
        if (name := alice.get_own()["activity_name"]) == expected:
            break
        time.sleep(0.01)
    return name


@pytest.mark.parametrize(
    ("setting", "query", "expected"),
    [
        ("unchanged", {}, "Idle"),
        ("unchanged", {"setWorkerOfflineIfDisconnected": "true"}, "Offline"),
        ("offline", {}, "Offline"),
        ("offline", {"setWorkerOfflineIfDisconnected": "false"}, "Idle"),
    ],
)
def test_setting_and_query_parameter_decide_whether_a_disconnected_worker_becomes_offline(
    setting, query, expected
):
    with running(disconnected_worker=setting) as taskrouter:
        alice = BrowserSdk(taskrouter)
        alice.update_own(ActivitySid=taskrouter.activities["Idle"])
        with alice.connect(**query) as first:
            initialize(first)
            with alice.connect(**query) as second:
                initialize(second)
            assert wait_for_activity(alice, "Idle") == "Idle"
        assert wait_for_activity(alice, expected) == expected


def test_worker_keeps_their_activity_if_the_server_closes_the_connection(taskrouter, alice):
    alice.update_own(ActivitySid=taskrouter.activities["Idle"])
    token = access_token(taskrouter, valid_until=time.time() + 0.2)
    with open_channel(taskrouter, token=token, setWorkerOfflineIfDisconnected="true") as channel:
        assert channel.wait_until_closed()[0] == 1008
    assert alice.get_own()["activity_name"] == "Idle"


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_pages_from_other_origins_cannot_connect(taskrouter, alice, origin):
    with (
        pytest.raises(InvalidStatus) as error,
        alice_channel(taskrouter, alice, {"Origin": origin}),
    ):
        pass
    assert error.value.response.status_code == 403


def test_pages_on_this_machine_can_connect(taskrouter, alice):
    with alice_channel(taskrouter, alice, {"Origin": "http://localhost:3000"}) as channel:
        initialize(channel)


def alice_channel(taskrouter, alice, headers):
    return open_channel(taskrouter, headers, token=alice.token)


def test_open_connections_do_not_delay_the_shutdown():
    with contextlib.ExitStack() as stack:
        with running() as taskrouter:
            channel = stack.enter_context(BrowserSdk(taskrouter).connect())
            initialize(channel)
            begin = time.monotonic()
        assert time.monotonic() - begin < 0.9  # less than timeout_graceful_shutdown
        assert channel.wait_until_closed()[0] == 1012
