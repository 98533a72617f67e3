"""The simulator's access control, and its responses to invalid requests."""

import base64
import http.client
import json
import socket
from urllib.parse import quote, urlencode, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskrouter_simulator.rest.table import ROUTES
from taskrouter_simulator.testing import running


def test_control_route_rejects_foreign_hosts_and_origins(taskrouter):
    assert sorted(taskrouter.workers) == ["Alice", "Bob"]
    for headers in (
        {"Host": "evil.example"},
        {"Host": "["},
        {"Origin": "https://evil.example"},
        {"Origin": "http://["},
        {"Origin": "null"},
    ):
        connection = http.client.HTTPConnection(urlsplit(taskrouter.url).netloc)
        connection.request("GET", "/simulator", headers=headers)
        assert connection.getresponse().status == 403
        connection.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        # DNS rebinding: the page's host resolves to this machine, so Origin and Host match
        {"Origin": "http://evil.example", "Host": "evil.example"},
    ],
)
def test_request_from_foreign_origin_is_rejected_despite_credentials(
    taskrouter, workspace, headers
):
    assert post_task(taskrouter, headers) == 403
    assert workspace.tasks.list() == []


def test_request_from_portal_page_is_accepted(taskrouter):
    host = urlsplit(taskrouter.url).netloc
    assert post_task(taskrouter, {"Origin": taskrouter.url, "Host": host}) == 201


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("simulator:8002", 201),
        ("192.168.0.7:8002", 201),
        ("[fd00::7]:8002", 201),
        # DNS rebinding without an Origin: browsers omit Origin from same-origin GET requests
        ("evil.example:8002", 403),
        ("127.0.0.1.evil.example", 403),
        ("taskrouter.internal:8002", 403),
    ],
)
def test_rest_api_accepts_a_host_only_if_it_is_an_ip_address_or_has_no_dot(
    taskrouter, host, status
):
    assert post_task(taskrouter, {"Host": host}) == status


def test_host_with_a_dot_is_accepted_if_the_allowed_hosts_setting_contains_it():
    with running(allowed_hosts="other.internal, taskrouter.internal") as taskrouter:
        assert post_task(taskrouter, {"Host": "TaskRouter.internal:8002"}) == 201
        assert post_task(taskrouter, {"Host": "evil.example"}) == 403


def post_task(taskrouter, headers):
    """Create a Task with valid credentials; return the HTTP status."""
    credentials = base64.b64encode(
        f"{taskrouter.account_sid}:{taskrouter.auth_token}".encode()
    ).decode()
    connection = http.client.HTTPConnection(urlsplit(taskrouter.url).netloc)
    connection.request(
        "POST",
        f"/v1/Workspaces/{taskrouter.workspace_sid}/Tasks",
        body="Attributes=%7B%7D",
        headers={
            "Authorization": f"Basic {credentials}",
            "Content-Type": "application/x-www-form-urlencoded",
            **headers,
        },
    )
    status = connection.getresponse().status
    connection.close()
    return status


def test_disconnecting_client_causes_no_error(taskrouter, workspace, capfd):
    host = urlsplit(taskrouter.url)
    credentials = base64.b64encode(
        f"{taskrouter.account_sid}:{taskrouter.auth_token}".encode()
    ).decode()
    for _ in range(3):
        with socket.create_connection((host.hostname, host.port)) as connection:
            connection.sendall(
                f"POST /v1/Workspaces HTTP/1.1\r\nHost: {host.netloc}\r\n"
                f"Authorization: Basic {credentials}\r\n"
                f"Content-Length: 100\r\n\r\nFriendly".encode()
            )
    assert workspace.fetch().sid == taskrouter.workspace_sid
    assert capfd.readouterr().err == ""


@pytest.fixture(scope="module")
def shared_simulator():
    with running() as taskrouter:
        yield taskrouter


SIDS = st.sampled_from(["{seeded}", "WS" + "0" * 32, "x", "%00", "ü", "..%2f"])
NAMES = ["FriendlyName", "Attributes", "Configuration", "ActivitySid", "AssignmentStatus",
         "ReservationStatus", "Priority", "Timeout", "WorkflowSid", "TaskChannel", "If-Match",
         "VirtualStartTime", "TargetWorkers", "EventCallbackUrl", "PageSize", "PageToken",
         "Page", "Ordering", "RoutingTarget", "TargetWorkersExpression", "EvaluateTaskAttributes",
         "EvaluateWorkerAttributes", "EventsFilter", "EventType", "MultiTaskEnabled", "Template",
         "UniqueName", "Instruction", "Supervisor", "SupervisorMode", "StartDate", "EndDate",
         "Minutes", "SplitByWaitTime", "QueueSids"]  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["{}", "[]", "1" * 400, "-1", "NaN", "1e999", "accepted", "completed", "http://[",
                     "9999-99-99", "0001-01-01T00:00:00+23:59", "[" * 5000, '{"task_routing": 1}',
                     '{"task_routing": {"filters": [{"targets": [{}]}]}}', "Priority:desc",
                     "taskrouter.currentHour > 1", "worker.channel.voice.assigned_tasks = 0",
                     "WyIiLCBbIngiXSwgZmFsc2Vd", "W10=", "supervise", "conference"]),
)  # fmt: skip


@given(
    path=st.sampled_from(sorted(ROUTES)),
    method=st.sampled_from(["GET", "POST", "DELETE", "PUT"]),
    sids=st.lists(SIDS, min_size=3, max_size=3),
    parameters=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4),
    trailing_bytes=st.binary(max_size=20),
)
@settings(max_examples=150, deadline=None)
def test_random_requests_never_cause_server_errors(  # noqa: PLR0917 - Hypothesis passes keywords
    shared_simulator, path, method, sids, parameters, trailing_bytes
):
    for name, sid in zip(("workspace", "task", "worker"), sids, strict=True):
        path = path.replace(f"{{{name}}}", sid.replace("{seeded}", shared_simulator.workspace_sid))
    path = path.replace("{workflow}", sids[1]).replace("{task_queue}", sids[2])
    path = path.replace("{sid}", sids[2].replace("{seeded}", shared_simulator.workers["Alice"]))
    if method == "DELETE" and path.endswith(shared_simulator.workspace_sid):
        return  # later examples need the Workspace
    query = urlencode(parameters, errors="surrogatepass")
    credentials = f"{shared_simulator.account_sid}:{shared_simulator.auth_token}"
    connection = http.client.HTTPConnection(urlsplit(shared_simulator.url).netloc)
    connection.request(
        method,
        f"{quote(path, safe='/%')}?{query}",
        body=query.encode() + trailing_bytes,
        headers={
            "Authorization": "Basic " + base64.b64encode(credentials.encode()).decode(),
            "Content-Type": "application/x-www-form-urlencoded",
        },
    )
    response = connection.getresponse()
    body = response.read()
    connection.close()
    assert response.status < 500
    if response.status >= 400:
        assert json.loads(body)["status"] == response.status
