"""Workers read and switch their Activity. The overview shows the last Activity recorded."""

import json
from typing import Any

import pytest
from chalice.test import HTTPResponse

from chalicelib.domain.errors import (
    StoreUnavailable,
    TaskRouterDenied,
    TaskRouterNotSent,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.workers import Activity, WorkerActivity
from tests.routes.conftest import Api
from tests.routes.test_overview import get
from tests.routes.test_taskrouter_faults import connect_to
from tests.scripted_server import Peer, running_server
from tests.support import NOW, sid

SECOND = 1_000
IDLE = Activity(sid("WA"), "Idle", is_available=True)
OFFLINE = Activity(sid("WA"), "Offline", is_available=False)


@pytest.fixture
def alice(api: Api) -> str:
    """The SID of an idle Worker in the fake TaskRouter."""
    worker_sid = sid("WK")
    api.taskrouter.workspace_activities = [OFFLINE, IDLE]
    api.taskrouter.workers[worker_sid] = WorkerActivity(
        worker_sid, "Alice", IDLE.sid, IDLE.name, NOW
    )
    return worker_sid


def token_of(api: Api, worker_sid: str) -> str:
    return api.token("worker", worker_sid=worker_sid)


def switch(api: Api, worker_sid: str, activity_sid: Any = OFFLINE.sid) -> HTTPResponse:
    token = token_of(api, worker_sid)
    return api.post_json("/activity", {"activity_sid": activity_sid}, token=token)


def worker_in_overview(api: Api, worker_sid: str) -> dict[str, Any]:
    """Return the Worker from the Worker's own overview."""
    worker: dict[str, Any] = get(api, worker=worker_sid).json_body["worker"]
    return worker


def post_event(api: Api, worker_sid: str, activity: Activity, **overrides: str) -> HTTPResponse:
    event = {
        "EventType": "worker.activity.update",
        "AccountSid": api.environ["TWILIO_ACCOUNT_SID"],
        "WorkspaceSid": api.environ["TWILIO_WORKSPACE_SID"],
        "WorkerSid": worker_sid,
        "WorkerName": "Alice",
        "WorkerActivitySid": activity.sid,
        "WorkerActivityName": activity.name,
        "Timestamp": str(NOW // SECOND),
        **overrides,
    }
    return api.post_callback(event, path="/event_callback")


def test_response_contains_sorted_activities_and_the_callers_worker(api: Api, alice: str) -> None:
    response = api.call("GET", "/activities", token=token_of(api, alice))

    assert response.json_body == {
        "activities": [
            {"sid": IDLE.sid, "name": "Idle", "available": True},
            {"sid": OFFLINE.sid, "name": "Offline", "available": False},
        ],
        "worker": {
            "sid": alice,
            "name": "Alice",
            "activity_sid": IDLE.sid,
            "activity_name": "Idle",
            "activity_changed_at": "2026-09-21T14:13:20.000Z",
        },
    }
    assert worker_in_overview(api, alice) == response.json_body["worker"]


@pytest.mark.usefixtures("alice")
def test_supervisor_lists_activities_without_a_worker(api: Api) -> None:
    response = api.call("GET", "/activities")

    assert len(response.json_body["activities"]) == 2
    assert response.json_body["worker"] is None
    assert api.taskrouter.calls == {"activities": 1}


def test_switched_activity_is_shown_by_the_next_overview(api: Api, alice: str) -> None:
    response = switch(api, alice)

    assert (response.status_code, response.json_body) == (
        200,
        {
            "worker_sid": alice,
            "activity_sid": OFFLINE.sid,
            "activity_name": "Offline",
            "activity_changed_at": "2026-09-21T14:13:20.000Z",
        },
    )
    assert worker_in_overview(api, alice)["activity_name"] == "Offline"
    assert api.taskrouter.workers[alice].activity_sid == OFFLINE.sid


def test_repeated_switch_gets_the_same_response(api: Api, alice: str) -> None:
    first, second = switch(api, alice), switch(api, alice)

    assert first.json_body == second.json_body
    assert worker_in_overview(api, alice)["activity_sid"] == OFFLINE.sid


def test_switch_whose_response_was_lost_can_be_repeated(api: Api, alice: str) -> None:
    api.taskrouter.fail_after["update worker"] = [TaskRouterUnavailable("connection lost")]

    lost = switch(api, alice)
    assert (lost.status_code, lost.json_body["Code"]) == (503, "TaskRouterUnavailable")
    assert lost.headers["Retry-After"] == "2"
    assert switch(api, alice).status_code == 200
    assert worker_in_overview(api, alice)["activity_name"] == "Offline"


@pytest.mark.parametrize("role", ["supervisor", "service"])
def test_caller_without_a_worker_must_send_a_worker_sid(api: Api, alice: str, role: str) -> None:
    token = api.token(role)
    body = {"activity_sid": OFFLINE.sid}

    refused = api.post_json("/activity", body, token=token)
    assert (refused.status_code, refused.json_body["Message"]) == (
        400,
        "Send worker_sid, because the token does not identify a Worker.",
    )
    named = api.post_json("/activity", {**body, "worker_sid": alice}, token=token)
    assert named.status_code == 200
    assert worker_in_overview(api, alice)["activity_name"] == "Offline"


def test_worker_may_switch_only_its_own_activity(api: Api, alice: str) -> None:
    body = {"activity_sid": OFFLINE.sid, "worker_sid": alice}

    refused = api.post_json("/activity", body, token=token_of(api, sid("WK")))
    assert refused.status_code == 403
    assert not api.taskrouter.calls
    assert api.post_json("/activity", body, token=token_of(api, alice)).status_code == 200


@pytest.mark.parametrize("value", [None, "", "Offline", sid("WK"), 7, ["WA"]])
def test_activity_sid_must_be_the_sid_of_an_activity(api: Api, alice: str, value: Any) -> None:
    response = switch(api, alice, value)

    assert response.status_code == 400
    assert "activity_sid must be an Activity SID" in response.json_body["Message"]
    assert not api.taskrouter.calls


def test_activity_unknown_to_taskrouter_is_rejected(api: Api, alice: str) -> None:
    response = switch(api, alice, sid("WA"))

    assert (response.status_code, response.json_body["Code"]) == (400, "TaskRouterRefused")
    assert worker_in_overview(api, alice)["activity_sid"] is None


@pytest.mark.parametrize("path", ["/activities", "/activity"])
def test_worker_unknown_to_taskrouter_gets_404(api: Api, path: str) -> None:
    worker_sid = sid("WK")
    if path == "/activities":
        response = api.call("GET", path, token=token_of(api, worker_sid))
    else:
        response = switch(api, worker_sid)

    assert response.status_code == 404
    assert response.json_body["Message"].startswith("TaskRouter has no such Worker")


@pytest.mark.parametrize(
    ("error", "response"),
    [
        (TaskRouterThrottled("throttled", retry_after=7), (503, "7")),
        (TaskRouterNotSent("not sent"), (503, "1")),
        (TaskRouterUnavailable("failed"), (503, "2")),
        (TaskRouterDenied("denied"), (502, None)),
    ],
)
@pytest.mark.parametrize("verb", ["activities", "fetch worker", "update worker"])
def test_failure_of_taskrouter_changes_nothing(
    api: Api, alice: str, verb: str, error: Exception, response: tuple[int, str | None]
) -> None:
    api.taskrouter.fail_before[verb] = [error]

    if verb == "update worker":
        failed = switch(api, alice)
    else:
        failed = api.call("GET", "/activities", token=token_of(api, alice))
    assert (failed.status_code, failed.headers.get("Retry-After")) == response
    assert worker_in_overview(api, alice)["activity_sid"] is None
    assert api.taskrouter.workers[alice].activity_sid == IDLE.sid


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (b"HTTP/1.1 429 x\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n", "TaskRouterThrottled"),
        (b"HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n", "TaskRouterUnavailable"),
        (b"HTTP/1.1 200 x\r\nContent-Length: 4\r\n\r\n[{}]", "TaskRouterUnavailable"),
        (b"HTTP/1.1 401 x\r\nContent-Length: 0\r\n\r\n", "TaskRouterDenied"),
        (b"", "TaskRouterUnavailable"),
        (None, "TaskRouterUnavailable"),
    ],
)
def test_error_code_depends_on_the_cause_of_the_failed_taskrouter_request(
    api: Api, reply: bytes | None, code: str
) -> None:
    def serve(peer: Peer) -> None:
        while peer.read_request():
            if reply is None:
                peer.read_request()  # no response; the client gives up
            elif reply == b"":
                return
            else:
                peer.send(reply)

    with running_server() as server:
        server.script = serve
        connect_to(api, server.url)
        response = switch(api, sid("WK"))

    assert response.json_body["Code"] == code
    assert response.status_code in (502, 503)


def test_switch_succeeds_if_the_record_cannot_be_written(
    api: Api, alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("DynamoDB failed.")

    with monkeypatch.context() as patched:
        patched.setattr(api.service.worker_activities, "save", fail)
        assert switch(api, alice).status_code == 200
        assert api.call("GET", "/activities", token=token_of(api, alice)).status_code == 200
    assert worker_in_overview(api, alice)["activity_sid"] is None


def test_activity_changed_by_taskrouter_is_shown_after_its_event(api: Api) -> None:
    alice = sid("WK")
    assert post_event(api, alice, OFFLINE).status_code == 204

    assert worker_in_overview(api, alice) == {
        "sid": alice,
        "name": "Alice",
        "activity_sid": OFFLINE.sid,
        "activity_name": "Offline",
        "activity_changed_at": "2026-09-21T14:13:20.000Z",
    }
    line = api.lines()[0]
    assert (line["event_type"], line["worker_sid"]) == ("worker.activity.update", alice)
    assert line["changed"] is True


@pytest.mark.parametrize(("elapsed", "name"), [(-1, "Idle"), (0, "Offline"), (1, "Offline")])
def test_event_replaces_the_activity_unless_the_event_is_older(
    api: Api, elapsed: int, name: str
) -> None:
    alice = sid("WK")
    post_event(api, alice, IDLE)
    response = post_event(api, alice, OFFLINE, Timestamp=str(NOW // SECOND + elapsed))

    assert response.status_code == 204
    assert worker_in_overview(api, alice)["activity_name"] == name


def post_exact_event(api: Api, worker_sid: str, activity: Activity, at: int) -> None:
    """Post an event that happened *at* ms after NOW."""
    post_event(api, worker_sid, activity, TimestampMs=str(NOW + at))


def test_event_that_happened_first_but_arrives_last_is_ignored(api: Api) -> None:
    alice = sid("WK")
    post_exact_event(api, alice, OFFLINE, 600)
    post_exact_event(api, alice, IDLE, 200)

    assert worker_in_overview(api, alice)["activity_name"] == "Offline"
    assert worker_in_overview(api, alice)["activity_changed_at"] == "2026-09-21T14:13:20.000Z"


def test_response_to_a_switch_does_not_replace_a_later_event_in_the_same_second(
    api: Api, alice: str
) -> None:
    api.clock.now = NOW + 150
    post_exact_event(api, alice, OFFLINE, 600)
    assert switch(api, alice, IDLE.sid).status_code == 200

    assert worker_in_overview(api, alice)["activity_name"] == "Offline"


@pytest.mark.parametrize("read_at", [700, 60_000])
def test_activity_read_from_taskrouter_is_not_replaced_by_an_earlier_event(
    api: Api, alice: str, read_at: int
) -> None:
    post_exact_event(api, alice, OFFLINE, 100)
    api.clock.now = NOW + read_at
    api.call("GET", "/activities", token=token_of(api, alice))
    post_exact_event(api, alice, OFFLINE, 200)

    assert worker_in_overview(api, alice)["activity_name"] == "Idle"


@pytest.mark.parametrize("times", [{}, {"TimestampMs": str(NOW + 700)}])
def test_activity_read_from_taskrouter_is_replaced_by_an_event_in_the_same_second(
    api: Api, alice: str, times: dict[str, str]
) -> None:
    api.clock.now = NOW + 500
    api.call("GET", "/activities", token=token_of(api, alice))
    api.clock.now = NOW + 2_000
    post_event(api, alice, OFFLINE, **times)

    assert worker_in_overview(api, alice)["activity_name"] == "Offline"


@pytest.mark.parametrize(
    "overrides",
    [
        {"EventType": "worker.attributes.update"},
        {"EventType": "worker.activity.updates"},
        {"EventType": "activity.update"},
        {"WorkerSid": "WK1"},
        {"WorkerSid": ""},
        {"WorkerActivitySid": "Offline"},
    ],
)
def test_event_without_a_valid_activity_change_is_acknowledged_but_not_recorded(
    api: Api, overrides: dict[str, str]
) -> None:
    alice = sid("WK")
    assert post_event(api, alice, OFFLINE, **overrides).status_code == 204
    assert worker_in_overview(api, alice)["activity_sid"] is None


@pytest.mark.parametrize("timestamp", ["", "now", "17900000000", "179000000"])
def test_event_without_a_valid_timestamp_has_the_time_of_its_arrival(
    api: Api, timestamp: str
) -> None:
    alice = sid("WK")
    api.clock.now = NOW + 61_999
    post_event(api, alice, OFFLINE, Timestamp=timestamp)

    assert worker_in_overview(api, alice)["activity_changed_at"] == "2026-09-21T14:14:21.000Z"


def test_event_without_names_does_not_erase_the_known_name_of_the_worker(api: Api) -> None:
    alice = sid("WK")
    post_event(api, alice, IDLE)
    post_event(api, alice, OFFLINE, WorkerName="", WorkerActivityName="")

    assert worker_in_overview(api, alice)["name"] == "Alice"
    assert worker_in_overview(api, alice)["activity_name"] == ""


def test_names_in_events_are_shortened_to_256_characters(api: Api) -> None:
    alice = sid("WK")
    post_event(api, alice, IDLE, WorkerName="n" * 300, WorkerActivityName="a" * 300)

    assert worker_in_overview(api, alice)["name"] == "n" * 256
    assert worker_in_overview(api, alice)["activity_name"] == "a" * 256


def test_event_from_another_workspace_is_rejected(api: Api) -> None:
    alice = sid("WK")
    response = post_event(api, alice, OFFLINE, WorkspaceSid="WS" + "0" * 32)

    assert response.status_code == 400
    assert worker_in_overview(api, alice)["activity_sid"] is None


def test_recorded_activity_expires_after_the_retention_period(api: Api) -> None:
    alice = sid("WK")
    post_event(api, alice, OFFLINE, Timestamp="")

    table = api.environ["STATE_TABLE"]
    key = {"id": {"S": f"activity#{alice}"}}
    item = api.service.dynamodb.get_item(TableName=table, Key=key)["Item"]
    assert item["ttl"] == {"N": str(NOW // SECOND + 30 * 86_400)}


def test_overview_with_a_changed_activity_has_a_different_tag(api: Api, alice: str) -> None:
    tag = get(api, worker=alice).headers["ETag"]
    switch(api, alice)
    changed = get(api, worker=alice, tag=tag)

    assert changed.status_code == 200
    assert get(api, worker=alice, tag=changed.headers["ETag"]).status_code == 304


def test_worker_switches_activity_in_the_simulator(simulated_api: Api, taskrouter: Any) -> None:
    api, alice = simulated_api, taskrouter.workers["Alice"]
    activities = api.call("GET", "/activities", token=token_of(api, alice)).json_body
    by_name = {each["name"]: each for each in activities["activities"]}
    assert by_name.keys() == taskrouter.activities.keys()
    assert by_name["Idle"]["available"] is True
    assert activities["worker"]["name"] == "Alice"

    response = switch(api, alice, by_name["Idle"]["sid"])
    assert response.status_code == 200
    assert (
        response.json_body["activity_name"]
        == worker_in_overview(api, alice)["activity_name"]
        == "Idle"
    )
    refused = switch(api, alice, "WA" + "0" * 32)
    assert (refused.status_code, refused.json_body["Code"]) == (400, "TaskRouterRefused")
    unknown = switch(api, "WK" + "0" * 32, by_name["Idle"]["sid"])
    assert unknown.status_code == 404
    assert json.loads(unknown.body)["Code"] == "NotFoundError"
