"""Requests from the browser SDK: payloads, permissions, lists, origins."""

import http.client
import json
import time
from datetime import datetime

import pytest

from taskrouter_simulator.event_bridge import payloads
from taskrouter_simulator.testing import running
from tests.simulator.browser_sdk import PATH, BrowserSdk, post, send
from tests.simulator.conftest import SPANISH, send_request

RENAMED = {
    "task_queue_sid": "queue_sid",
    "task_queue_friendly_name": "queue_name",
    "workflow_friendly_name": "workflow_name",
}
NOT_IN_SDK = {"url", "links", "task_queue_entered_date", "ignore_capacity"}


@pytest.fixture
def alice(taskrouter):
    return BrowserSdk(taskrouter)


@pytest.fixture
def supervisor(taskrouter):
    return BrowserSdk(taskrouter, "Bob", "supervisor")


@pytest.fixture
def offer(taskrouter, alice):
    """Offer Alice a Task; return the Reservation."""
    send_request(taskrouter, "POST", "/Tasks", Attributes=SPANISH)
    alice.update_own(ActivitySid=taskrouter.activities["Idle"])
    taskrouter.advance(2)
    return alice.get_own("/Reservations")["contents"][0]


def from_rest(taskrouter, path):
    """Fetch a resource over REST; return it with the SDK's names and formats."""
    status, body = send_request(taskrouter, "GET", path)
    assert status == 200, body
    return convert(body)


def convert(body):
    return {
        RENAMED.get(name, name): convert_value(name, value)
        for name, value in body.items()
        if name not in NOT_IN_SDK
    }


def convert_value(name, value):
    is_time = name.startswith("date_") or name == "virtual_start_time"
    return int(datetime.fromisoformat(value).timestamp()) if is_time else value


def test_worker_matches_the_rest_resource(taskrouter, alice):
    payload = alice.get_own()
    assert payload.pop("version") == 0
    assert payload == from_rest(taskrouter, f"/Workers/{alice.worker_sid}")


def test_activities_match_the_rest_resources(taskrouter, alice):
    payload = alice.get("Activities")
    names = [item["friendly_name"] for item in payload["contents"]]
    assert names == ["Offline", "Idle", "Busy", "Reserved"]
    for item in payload["contents"]:
        assert item == from_rest(taskrouter, f"/Activities/{item['sid']}")
    assert (payload["after_sid"], payload["meta"]) == (None, {"next_token": None})


def test_task_matches_the_rest_resource(taskrouter, alice, offer):
    sid = offer["task_sid"]
    payload = alice.get(f"Tasks/{sid}")
    assert payload == offer["task"]
    version = payload.pop("version")
    assert payload == from_rest(taskrouter, f"/Tasks/{sid}")
    assert alice.post(f"Tasks/{sid}", Priority=7)["version"] == version + 1
    assert (payload["queue_name"], payload["workflow_name"]) == (
        "Customer Care Requests - Spanish",
        "Incoming Customer Care Requests",
    )


def test_reservation_matches_the_rest_resource(taskrouter, alice, offer):
    path = f"/Workers/{alice.worker_sid}/Reservations/{offer['sid']}"
    extra = {
        "reservation_timeout": 1200,
        "task": alice.get(f"Tasks/{offer['task_sid']}"),
        "version": 0,
        "worker_previous_activity_sid": taskrouter.activities["Idle"],
    }
    expected = from_rest(taskrouter, path) | extra
    assert offer == alice.get_own(f"/Reservations/{offer['sid']}") == expected


def test_task_without_workflow_has_the_default_reservation_timeout(taskrouter, alice):
    queue = taskrouter.task_queues["Customer Care Requests - Spanish"]
    send_request(taskrouter, "POST", "/Tasks", TaskQueueSid=queue)
    alice.update_own(ActivitySid=taskrouter.activities["Idle"])
    taskrouter.advance()
    reservation = alice.get_own("/Reservations")["contents"][0]
    assert reservation["reservation_timeout"] == 120
    assert reservation["task"]["workflow_name"] is reservation["task"]["workflow_sid"] is None


def test_task_without_task_queue_has_no_queue_sid_or_name(taskrouter, alice):
    task = send_request(taskrouter, "POST", "/Tasks", Attributes="{}")[1]
    payload = BrowserSdk(taskrouter, role="admin").get(f"Tasks/{task['sid']}")
    assert payload["queue_sid"] is payload["queue_name"] is None


def test_worker_channels_match_the_rest_resources(taskrouter, alice, offer):
    payload = alice.get_own("/WorkerChannels")
    assert len(payload["contents"]) == 5
    reserved = {item["task_channel_unique_name"]: item for item in payload["contents"]}
    assert reserved["default"]["assigned_tasks"] == 1
    assert reserved["default"]["last_reserved_time"] // 1000 == offer["date_created"]
    assert reserved["voice"]["last_reserved_time"] == 0
    for item in payload["contents"]:
        del item["last_reserved_time"]
        path = f"/Workers/{alice.worker_sid}/Channels/{item['sid']}"
        assert item == from_rest(taskrouter, path)


def test_task_queue_matches_the_rest_resource(taskrouter, supervisor):
    sid = taskrouter.task_queues["Customer Care Requests - Spanish"]
    payload = supervisor.get(f"TaskQueues/{sid}")
    assert payload.pop("lifo_queue") is False
    assert payload == from_rest(taskrouter, f"/TaskQueues/{sid}")
    send_request(taskrouter, "POST", f"/TaskQueues/{sid}", TaskOrder="LIFO")
    assert supervisor.get(f"TaskQueues/{sid}")["lifo_queue"] is True


def test_task_queue_without_activities_has_no_activity_names(taskrouter, supervisor):
    taskrouter.reset(
        {
            "friendly_name": "Multitasking",
            "multi_task_enabled": True,
            "task_queues": [{"friendly_name": "All"}],
        }
    )
    payload = BrowserSdk(taskrouter, role="admin").get(
        f"TaskQueues/{taskrouter.task_queues['All']}"
    )
    assert payload["assignment_activity_name"] is payload["reservation_activity_name"] is None


def test_worker_accepts_wraps_up_and_completes_a_reservation(taskrouter, alice, offer):
    path = f"/Reservations/{offer['sid']}"
    for status, task_status in (
        ("accepted", "assigned"),
        ("wrapping", "wrapping"),
        ("completed", "completed"),
    ):
        payload = alice.update_own(path, ReservationStatus=status)
        assert payload == alice.get_own(path)
        assert payload["reservation_status"] == status
        assert payload["task"]["assignment_status"] == task_status


def test_rejected_request_gets_the_same_status_and_message_as_from_the_rest_api(
    taskrouter, alice, offer
):
    path = f"/Workers/{alice.worker_sid}/Reservations/{offer['sid']}"
    expected = send_request(taskrouter, "POST", path, ReservationStatus="completed")
    assert alice.send("POST", path[1:], ReservationStatus="completed") == expected
    assert expected[0] == 400


def test_objects_booleans_and_nulls_are_accepted_as_parameters(taskrouter, alice):
    payload = alice.update_own(Attributes={"name": "Ms. Alice", "levels": [1, None]})
    assert json.loads(payload["attributes"]) == {"name": "Ms. Alice", "levels": [1, None]}
    idle, offline = (taskrouter.activities[name] for name in ("Idle", "Offline"))
    assert alice.update_own(ActivitySid=idle, RejectPendingReservations=False)["available"]
    alice.update_own(ActivitySid=offline, RejectPendingReservations=True, FriendlyNames=None)
    assert alice.get_own()["activity_name"] == "Offline"


def test_version_is_compared_with_the_if_match_header(taskrouter, alice):
    path = f"Workers/{alice.worker_sid}"
    version = alice.get_own()["version"]
    status, _ = alice.send("POST", path, {"If-Match": str(version + 1)}, Attributes={})
    assert status == 412
    status, _ = alice.send("POST", path, {"If-Match": str(version)}, Attributes={})
    assert status == 200


def test_worker_creates_tasks_for_themselves(taskrouter, alice):
    payload = alice.post(
        "Tasks",
        WorkflowSid=taskrouter.workflow_sid,
        TaskQueueSid=taskrouter.task_queues["Customer Care Requests - Spanish"],
        RoutingTarget=alice.worker_sid,
        TaskChannelUniqueName="voice",
        Attributes={"outbound_to": "customer", "from": "worker"},
    )
    assert payload["routing_target"] == alice.worker_sid
    assert payload["task_channel_unique_name"] == "voice"
    assert json.loads(payload["attributes"])["outbound_to"] == "customer"
    by_sid = alice.post(
        "Tasks", RoutingTarget=alice.worker_sid, TaskChannelSid=payload["task_channel_sid"]
    )
    assert by_sid["task_channel_unique_name"] == "voice"


def test_worker_updates_and_completes_their_task(taskrouter, alice, offer):
    path = f"Tasks/{offer['task_sid']}"
    assert json.loads(alice.post(path, Attributes={"a": 1})["attributes"]) == {"a": 1}
    alice.update_own(f"/Reservations/{offer['sid']}", ReservationStatus="accepted")
    payload = alice.post(path, AssignmentStatus="completed", Reason="done")
    assert (payload["assignment_status"], payload["reason"]) == ("completed", "done")
    assert alice.get(path) == payload


def test_parameter_with_a_different_name_in_the_rest_api_is_renamed(strict_simulator):
    alice = BrowserSdk(strict_simulator)
    alice.post("Tasks", RoutingTarget=alice.worker_sid)
    strict_simulator.advance()
    sid = alice.get_own("/Reservations")["contents"][0]["sid"]
    path = f"Workers/{alice.worker_sid}/Reservations/{sid}"
    status, body = alice.send("POST", path, Instruction="call", DequeueStatusCallbackEvents="a")
    expected = "DequeueStatusCallbackEvent does not apply to the call instruction"
    assert (status, body["message"]) == (400, expected)


def test_parameters_known_only_to_the_sdk_are_accepted(strict_simulator):
    alice = BrowserSdk(strict_simulator)
    assert alice.get_own("/Reservations", Active="true", PageSize=1000)["contents"] == []
    status, body = alice.send("POST", f"Workers/{alice.worker_sid}", Attribute={})
    assert status == 400
    assert body["message"].startswith("Unknown parameter 'Attribute'")


def test_active_reservations_exclude_rejected_reservations(taskrouter, alice, offer):
    assert len(alice.get_own("/Reservations", Active="true")["contents"]) == 1
    alice.update_own(
        f"/Reservations/{offer['sid']}",
        ReservationStatus="rejected",
        WorkerActivitySid=taskrouter.activities["Offline"],
    )
    assert alice.get_own("/Reservations", Active="true")["contents"] == []
    statuses = [item["reservation_status"] for item in alice.get_own("/Reservations")["contents"]]
    assert statuses == ["rejected"]


def test_supervise_instruction_gets_the_same_response_as_from_the_rest_api(
    taskrouter, alice, supervisor, offer
):
    path = f"Tasks/{offer['task_sid']}/Reservations/{offer['sid']}"
    supervise = {
        "Instruction": "supervise",
        "SupervisorMode": "monitor",
        "Supervisor": supervisor.worker_sid,
    }
    rest = send_request(taskrouter, "POST", f"/{path}", **supervise)
    assert supervisor.send("POST", path, **supervise) == rest


def test_supervisor_updates_other_workers(taskrouter, alice, supervisor):
    path = f"Workers/{alice.worker_sid}"
    idle = taskrouter.activities["Idle"]
    assert supervisor.post(path, ActivitySid=idle)["activity_sid"] == idle
    assert supervisor.post(path, Attributes={"a": 1})["attributes"] == '{"a":1}'
    assert supervisor.get(path) == alice.get_own()


def test_requests_beyond_a_workers_permissions_are_denied(taskrouter, alice, supervisor, offer):
    bob, queue = supervisor.worker_sid, next(iter(taskrouter.task_queues.values()))
    other_task = send_request(taskrouter, "POST", "/Tasks", Attributes='{"selected_language":"en"}')
    for method, path, params in (
        ("GET", "Workers", {}),
        ("GET", f"Workers/{bob}", {}),
        ("POST", f"Workers/{bob}", {"Attributes": {}}),
        ("POST", f"Workers/{alice.worker_sid}", {"FriendlyName": "Carol"}),
        ("GET", f"Workers/{bob}/WorkerChannels", {}),
        ("GET", f"Workers/{bob}/Reservations", {}),
        ("GET", f"Workers/{bob}/Reservations/{offer['sid']}", {}),
        ("POST", f"Workers/{bob}/Reservations/{offer['sid']}", {"ReservationStatus": "accepted"}),
        ("POST", "Tasks", {}),
        ("POST", "Tasks", {"RoutingTarget": bob}),
        ("GET", f"Tasks/{other_task[1]['sid']}", {}),
        ("POST", f"Tasks/{other_task[1]['sid']}", {"Attributes": {}}),
        (
            "POST",
            f"Tasks/{offer['task_sid']}/Reservations/{offer['sid']}",
            {"Instruction": "supervise", "Supervisor": alice.worker_sid},
        ),
        ("GET", "TaskQueues", {}),
        ("GET", f"TaskQueues/{queue}", {}),
    ):
        status, body = alice.send(method, path, **params)
        assert (status, body["code"]) == (403, 20003), (method, path)
        assert body["message"].startswith("The Access Token does not permit the request: ")


def test_supervisor_is_denied_actions_on_behalf_of_others(taskrouter, alice, supervisor, offer):
    path = f"Tasks/{offer['task_sid']}/Reservations/{offer['sid']}"
    for params in (
        {"Instruction": "supervise", "Supervisor": alice.worker_sid},
        {"Instruction": "accept", "Supervisor": supervisor.worker_sid},
        {"ReservationStatus": "accepted"},
    ):
        assert supervisor.send("POST", path, **params)[0] == 403
    reservations = f"Workers/{alice.worker_sid}/Reservations"
    assert supervisor.send("GET", reservations)[0] == 403
    assert alice.get_own(f"/Reservations/{offer['sid']}") == offer


def test_worker_is_denied_access_to_a_rejected_task(taskrouter, alice, offer):
    alice.update_own(f"/Reservations/{offer['sid']}", ReservationStatus="rejected")
    assert alice.send("GET", f"Tasks/{offer['task_sid']}")[0] == 403


def test_access_to_another_workspace_is_denied(taskrouter, alice):
    other = f"Workspaces/WS{'0' * 32}/Activities"
    body = {"url": other, "method": "GET", "params": {}, "token": alice.token}
    status, response = post(taskrouter, json.dumps(body).encode(), {})
    assert (status, response["message"]) == (
        403,
        "The Access Token does not permit the request: the request is for another Workspace",
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "Nowhere"),
        ("GET", "Workers/WK1/Nowhere"),
        ("POST", "Activities"),
        ("GET", "Tasks"),
        ("GET", "Tasks/WT1"),
        ("POST", "TaskQueues"),
        ("GET", "Activities/../Workers"),
    ],
)
def test_unsupported_request_returns_404(taskrouter, alice, method, path):
    status, body = alice.send(method, path)
    expected = f"/Workspaces/{taskrouter.workspace_sid}/{path}"
    message = f"The requested resource {expected} was not found"
    assert (status, body["code"], body["message"]) == (404, 20404, message)


def test_unknown_resource_is_not_found(workspace, alice, supervisor):
    assert alice.send("GET", f"Workers/{alice.worker_sid}/Reservations/WR1")[0] == 404
    assert supervisor.send("GET", "Workers/WK1")[0] == 404
    assert supervisor.send("GET", "TaskQueues/WQ1")[0] == 404
    workspace.workers(alice.worker_sid).delete()
    assert alice.send("GET", f"Workers/{alice.worker_sid}/WorkerChannels")[0] == 404


def test_url_may_begin_with_a_slash(taskrouter, alice):
    url = f"/Workspaces/{taskrouter.workspace_sid}/Activities"
    body = {"url": url, "method": "GET", "token": alice.token}
    assert post(taskrouter, json.dumps(body).encode(), {})[0] == 200


def test_list_is_divided_into_pages(taskrouter, alice):
    sids = list(taskrouter.activities.values())
    first = alice.get("Activities", PageSize=3)
    assert [item["sid"] for item in first["contents"]] == sids[:3]
    assert first["after_sid"] == first["meta"]["next_token"] == sids[2]
    for cursor in ("AfterSid", "NextToken"):
        second = alice.get("Activities", PageSize=3, **{cursor: sids[2]})
        assert [item["sid"] for item in second["contents"]] == sids[3:]
        assert second["after_sid"] is None
    exact = alice.get("Activities", PageSize=4)
    assert (len(exact["contents"]), exact["after_sid"]) == (4, None)


def test_page_has_50_items_unless_a_different_size_is_requested(taskrouter, supervisor):
    for number in range(49):
        send_request(taskrouter, "POST", "/TaskQueues", FriendlyName=f"Queue {number}")
    assert len(supervisor.get("TaskQueues")["contents"]) == 50
    assert len(supervisor.get("TaskQueues", PageSize=51)["contents"]) == 51


@pytest.mark.parametrize(
    "params", [{"PageSize": 0}, {"PageSize": 1001}, {"AfterSid": "WA1"}, {"NextToken": "WA1"}]
)
def test_invalid_paging_parameter_is_rejected(taskrouter, alice, params):
    status, body = alice.send("GET", "Activities", **params)
    assert (status, body["message"].split()[0]) == (400, next(iter(params)))
    assert alice.send("GET", "Activities", PageSize=1000)[0] == 200


def test_supervisor_searches_workers(taskrouter, supervisor):
    def names(**params):
        return [item["friendly_name"] for item in supervisor.get("Workers", **params)["contents"]]

    assert names() == ["Alice", "Bob"]
    assert names(FriendlyName="Bob") == ["Bob"]
    assert names(TargetWorkersExpression='languages HAS "es"') == ["Alice"]
    assert names(Ordering="FriendlyName:desc") == ["Bob", "Alice"]
    bob = taskrouter.workers["Bob"]
    assert names(Ordering="FriendlyName:desc", PageSize=1, NextToken=bob) == ["Alice"]
    assert supervisor.send("GET", "Workers", ActivitySid="WAxxx")[0] == 400


def test_search_covers_more_than_one_page_of_the_rest_api(taskrouter, supervisor):
    queues = [{"friendly_name": f"Queue {i}"} for i in range(1001)]
    taskrouter.reset({"friendly_name": "Large", "task_queues": queues})
    admin = BrowserSdk(taskrouter, role="admin")
    first = admin.get("TaskQueues", PageSize=1000, Ordering="FriendlyName:asc")
    rest = admin.get("TaskQueues", Ordering="FriendlyName:asc", NextToken=first["after_sid"])
    names = [item["friendly_name"] for item in [*first["contents"], *rest["contents"]]]
    assert names == sorted(f"Queue {i}" for i in range(1001))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The body is not JSON or is nested too deeply"),
        (b"{", "The body is not JSON or is nested too deeply"),
        (b"\xff", "The body is not JSON or is nested too deeply"),
        (b'{"a": NaN}', "The body is not JSON or is nested too deeply"),
        (b"[" * 100_000, "The body is not JSON or is nested too deeply"),
        (b"[]", "The body must be a JSON object"),
        (b"x" * 4_000_001, "The body is longer than 4000000 bytes"),
    ],
)
def test_malformed_body_is_rejected(taskrouter, body, message):
    status, response = post(taskrouter, body, {})
    assert (status, response["message"]) == (400, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "DELETE"}, "method must be GET or POST"),
        ({"method": []}, "method must be GET or POST"),
        ({"method": None}, "method must be GET or POST"),
        ({"url": None}, "url must be a string, and params must be an object"),
        ({"params": []}, "url must be a string, and params must be an object"),
        ({"params": {"Active": "\ud800"}}, "params must contain valid Unicode only"),
        ({"params": {"\ud800": "1"}}, "params must contain valid Unicode only"),
        (
            {"params": {str(number): 1 for number in range(1001)}},
            "The request has too many parameters",
        ),
    ],
)
def test_malformed_request_is_rejected(taskrouter, alice, changes, message):
    url = f"Workspaces/{taskrouter.workspace_sid}/Activities"
    body = {"url": url, "method": "GET", "params": {}, "token": alice.token} | changes
    status, response = post(taskrouter, json.dumps(body).encode(), {})
    assert (status, response["message"]) == (400, message)


def test_requests_are_logged_without_their_tokens(taskrouter, alice):
    alice.get_own("/Reservations", Active="true")
    alice.send("GET", "Nowhere")
    post(taskrouter, b"{", {})
    entries = taskrouter.log("request")
    workspace = f"/v1/Workspaces/{taskrouter.workspace_sid}"
    assert [(entry["method"], entry["path"], entry["status"]) for entry in entries] == [
        ("GET", f"{workspace}/Workers/{alice.worker_sid}/Reservations", 200),
        ("GET", f"{workspace}/Nowhere", 404),
        ("POST", PATH, 400),
    ]
    assert entries[0]["parameters"] == {"Active": "true"}
    assert entries[0]["answer"] == {"contents": [], "after_sid": None, "meta": {"next_token": None}}
    assert entries[1]["answer"]["code"] == 20404
    assert alice.token not in json.dumps(entries)


@pytest.mark.parametrize(
    ("moment", "attributes"), [("before", '{"languages": ["en", "es"]}'), ("after", "{}")]
)
def test_fault_replaces_the_response(taskrouter, alice, moment, attributes):
    path = f"/v1/Workspaces/{taskrouter.workspace_sid}/Workers/*"
    taskrouter.fault("request", "error", path=path, method="POST", moment=moment, status=503)
    assert alice.get_own()["attributes"] == '{"languages": ["en", "es"]}'
    status, body = alice.send("POST", f"Workers/{alice.worker_sid}", Attributes={})
    assert (status, body["message"]) == (503, "Internal Server Error")
    assert taskrouter.log("request")[-1]["fault"] == f"error {moment}"
    assert alice.get_own()["attributes"] == attributes


@pytest.mark.parametrize(
    ("moment", "attributes"), [("before", '{"languages": ["en", "es"]}'), ("after", "{}")]
)
def test_fault_cuts_the_connection(taskrouter, alice, moment, attributes):
    taskrouter.fault("request", "cut", moment=moment)
    with pytest.raises(http.client.RemoteDisconnected):
        alice.send("POST", f"Workers/{alice.worker_sid}", Attributes={})
    assert alice.get_own()["attributes"] == attributes


@pytest.mark.parametrize("moment", ["before", "after"])
def test_fault_delays_the_response(taskrouter, alice, moment):
    taskrouter.fault("request", "latency", moment=moment, seconds=0.2)
    begin = time.monotonic()
    assert alice.get_own()["friendly_name"] == "Alice"
    assert time.monotonic() - begin >= 0.2


def request(taskrouter, method, headers):
    return send(taskrouter, method, headers)[0]


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:8080"]
)
def test_pages_on_this_machine_may_send_requests(taskrouter, origin):
    preflight = request(taskrouter, "OPTIONS", {"Origin": origin})
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == origin
    assert preflight.headers["Access-Control-Allow-Headers"] == "*"
    assert preflight.headers["Access-Control-Allow-Methods"] == "POST"
    assert preflight.headers["Access-Control-Max-Age"] == "600"
    response = request(taskrouter, "POST", {"Origin": origin})
    assert response.status == 401  # no token
    assert response.headers["Access-Control-Allow-Origin"] == origin
    assert response.headers["Vary"] == "Origin"


@pytest.mark.parametrize("method", ["OPTIONS", "POST"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "https://localhost.evil.example"},
        {"Origin": "null"},
        {"Origin": "file://localhost"},
        {"Origin": "localhost"},
        {"Host": "evil.example"},
        {"Host": "evil.example", "Origin": "http://localhost:3000"},
    ],
)
def test_pages_from_other_origins_may_not_send_requests(taskrouter, method, headers):
    response = request(taskrouter, method, headers)
    assert response.status == 403
    assert response.headers["Access-Control-Allow-Origin"] is None


def test_configured_origins_and_hosts_are_accepted():
    settings = {
        "allowed_origins": " https://app.example.com, null,",
        "allowed_hosts": "sim.example.com",
    }
    with running(**settings) as taskrouter:
        for origin in ("https://app.example.com", "null"):
            assert request(taskrouter, "OPTIONS", {"Origin": origin}).status == 204
        for origin in ("https://evil.example", ""):
            assert request(taskrouter, "OPTIONS", {"Origin": origin}).status == 403
        host = {"Host": "sim.example.com", "Origin": "https://app.example.com"}
        assert request(taskrouter, "OPTIONS", host).status == 204


def test_asterisk_allows_all_origins():
    with running(allowed_origins="*") as taskrouter:
        headers = {"Origin": "https://anywhere.example"}
        assert request(taskrouter, "OPTIONS", headers).status == 204


def test_unexpected_exception_is_logged_and_returns_500(taskrouter, alice, monkeypatch, caplog):
    monkeypatch.setattr(payloads, "worker", lambda *_: {}["missing"])
    status, body = alice.send("GET", f"Workers/{alice.worker_sid}")
    assert (status, body["status"], body["code"]) == (500, 500, 20500)
    assert body["message"] == "Internal Server Error"
    assert taskrouter.log("request")[-1]["status"] == 500
    (record,) = caplog.records
    assert record.exc_info[0] is KeyError


@pytest.fixture
def strict_simulator():
    with running(unknown_parameters="refused") as simulator:
        yield simulator
