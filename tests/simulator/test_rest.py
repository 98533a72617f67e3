"""Over HTTP, with the unmodified Twilio SDK and with junk."""

import base64
import http.client
import json
import socket
import time
from urllib.parse import quote, urlencode, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio.base.exceptions import TwilioRestException, TwilioServiceException
from twilio.rest import Client

from simulator.rest.table import ROUTES
from simulator.testing import running


@pytest.fixture
def workspace(taskrouter):
    return taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)


def test_the_quickstart_by_sdk(taskrouter, workspace):
    task = workspace.tasks.create(
        attributes='{"selected_language": "es"}', workflow_sid=taskrouter.workflow_sid
    )
    assert task.assignment_status == "pending"
    alice = workspace.workers(taskrouter.workers["Alice"])
    assert alice.update(activity_sid=taskrouter.activities["Idle"]).activity_name == "Idle"
    (reservation,) = workspace.tasks(task.sid).reservations.list()
    assert (reservation.reservation_status, reservation.worker_name) == ("pending", "Alice")
    assert workspace.tasks(task.sid).fetch().assignment_status == "reserved"
    assert alice.fetch().activity_name == "Reserved"
    assert reservation.update(reservation_status="accepted").reservation_status == "accepted"
    assert workspace.tasks(task.sid).fetch().assignment_status == "assigned"
    assert alice.fetch().activity_name == "Busy"
    (mine,) = alice.reservations.list(reservation_status="accepted")
    assert mine.sid == reservation.sid


def test_a_workspace_from_nothing(taskrouter):
    workspaces = taskrouter.client().taskrouter.v1.workspaces
    made = workspaces.create(friendly_name="Sales", multi_task_enabled=False)
    activities = {one.friendly_name: one.sid for one in made.activities.list()}
    assert list(activities) == ["Offline", "Available", "Unavailable"]
    assert made.default_activity_name == made.timeout_activity_name == "Offline"
    queue = made.task_queues.create(friendly_name="All", target_workers="1==1")
    configuration = json.dumps({"task_routing": {"default_filter": {"queue": queue.sid}}})
    made.workflows.create(friendly_name="Main", configuration=configuration)
    worker = made.workers.create(friendly_name="Carol", activity_sid=activities["Available"])
    task = made.tasks.create(attributes="{}")
    taskrouter.advance()
    (reservation,) = made.workers(worker.sid).fetch().reservations.list()
    assert reservation.task_sid == task.sid
    rejected = (
        made.workers(worker.sid)
        .reservations(reservation.sid)
        .update(reservation_status="rejected", worker_activity_sid=activities["Offline"])
    )
    assert rejected.reservation_status == "rejected"
    made.tasks(task.sid).update(assignment_status="canceled", reason="enough")
    assert made.tasks(task.sid).fetch().reason == "enough"
    made.delete()
    with pytest.raises(TwilioRestException) as refused:
        workspaces(made.sid).fetch()
    assert refused.value.status == 404


@pytest.mark.parametrize(
    "url", ["nowhere", "ftp://a/b", "http://", "http://a b/", "http://a/\r\nX: y", "http://[", "ü"]
)
def test_a_callback_url_must_be_one(taskrouter, workspace, url):
    with pytest.raises(TwilioRestException, match="AssignmentCallbackUrl is not a valid URL"):
        workspace.workflows(taskrouter.workflow_sid).update(assignment_callback_url=url)


def test_both_pairs_of_credentials_open_it(taskrouter):
    token = Client(taskrouter.account_sid, taskrouter.auth_token)
    token.taskrouter.base_url = taskrouter.url
    assert token.taskrouter.v1.workspaces.list()[0].sid == taskrouter.workspace_sid
    assert taskrouter.client().taskrouter.v1.workspaces.list()


def test_wrong_credentials_are_refused_as_twilio_does(taskrouter):
    client = Client(taskrouter.account_sid, "wrong")
    client.taskrouter.base_url = taskrouter.url
    with pytest.raises(TwilioRestException) as refused:
        client.taskrouter.v1.workspaces(taskrouter.workspace_sid).fetch()
    assert (refused.value.status, refused.value.code) == (401, 20003)


def test_an_unknown_sid_is_twilios_404(workspace):
    with pytest.raises(TwilioRestException) as refused:
        workspace.tasks("WT" + "0" * 32).fetch()
    assert (refused.value.status, refused.value.code) == (404, 20404)
    assert f"The requested resource /Workspaces/{workspace._solution['sid']}/Tasks/WT0" in (
        refused.value.msg
    )


def test_an_ended_reservation_is_twilios_400(taskrouter, workspace):
    workspace.workers(taskrouter.workers["Alice"]).update(
        activity_sid=taskrouter.activities["Idle"]
    )
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    taskrouter.advance(1200)
    (reservation,) = task.reservations.list()
    with pytest.raises(TwilioRestException, match="not currently in a Pending state") as refused:
        reservation.update(reservation_status="accepted")
    assert (refused.value.status, refused.value.code) == (400, 20001)
    assert reservation.fetch().reservation_status == "timeout"


@pytest.mark.parametrize(
    "options",
    [
        {"attributes": "no json"},
        {"attributes": "[1]"},
        {"attributes": '{"a": NaN}'},
        {"attributes": json.dumps({"a": "x" * 4096})},
        {"priority": -1},
        {"timeout": 0},
        {"task_channel": "telepathy"},
        {"workflow_sid": "WW" + "0" * 32},
    ],
)
def test_a_bad_parameter_is_twilios_400(workspace, options):
    with pytest.raises(TwilioRestException) as refused:
        workspace.tasks.create(**{"attributes": "{}", **options})
    assert (refused.value.status, refused.value.code) == (400, 20001)


def test_errors_can_be_problem_documents():
    with running(problem_details=True) as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        with pytest.raises(TwilioServiceException) as refused:
            workspace.tasks("WT" + "0" * 32).fetch()
        assert (refused.value.status, refused.value.code) == (404, 20404)
        taskrouter.fault("request", "error", status=429)
        with pytest.raises(TwilioServiceException) as refused:
            workspace.fetch()
        assert (refused.value.status, refused.value.code) == (429, 20429)


def test_an_update_that_is_refused_changes_nothing(workspace):
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    with pytest.raises(TwilioRestException):
        task.update(assignment_status="canceled", task_channel="telepathy")
    assert task.fetch().assignment_status == "pending"


def test_lists_show_tasks_without_their_attributes(workspace):
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    assert workspace.tasks.list()[0].attributes is None
    assert workspace.tasks(task.sid).fetch().attributes == '{"selected_language": "es"}'


def test_lists_come_in_pages_that_the_sdk_follows(workspace):
    made = [workspace.tasks.create(attributes='{"selected_language": "es"}').sid for _ in range(7)]
    assert [task.sid for task in workspace.tasks.list(page_size=3)] == made
    assert [task.sid for task in workspace.tasks.list(page_size=3, limit=4)] == made[:4]


def test_lists_are_filtered(taskrouter, workspace):
    first = workspace.tasks.create(attributes='{"selected_language": "es"}')
    second = workspace.tasks.create(attributes='{"selected_language": "en"}', priority=5)
    workspace.tasks(first.sid).update(assignment_status="canceled")
    by_status = workspace.tasks.list(assignment_status=["pending", "reserved"])
    assert [one.sid for one in by_status] == [second.sid]
    found = workspace.tasks.list(evaluate_task_attributes="selected_language == 'en'")
    assert [one.sid for one in found] == [second.sid]
    ordered = workspace.tasks.list(ordering="Priority:desc")
    assert [one.sid for one in ordered] == [second.sid, first.sid]
    spanish = workspace.workers.list(target_workers_expression='languages HAS "es"')
    assert [one.friendly_name for one in spanish] == ["Alice"]
    queued = workspace.workers.list(task_queue_sid=next(iter(taskrouter.task_queues.values())))
    assert [one.friendly_name for one in queued] == ["Alice"]


def test_an_old_version_is_not_updated(taskrouter, workspace):
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    workspace.tasks(task.sid).update(priority=1)
    with pytest.raises(TwilioRestException) as refused:
        workspace.tasks(task.sid).update(priority=2, if_match='"0"')
    assert refused.value.status == 412
    assert workspace.tasks(task.sid).fetch().priority == 1


def test_completing_what_is_not_assigned_is_refused_in_twilios_words(workspace):
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    with pytest.raises(TwilioRestException, match="because it is not currently assigned"):
        workspace.tasks(task.sid).update(assignment_status="completed")


def test_a_reservation_completes_with_its_task(taskrouter, workspace):
    workspace.workers(taskrouter.workers["Alice"]).update(
        activity_sid=taskrouter.activities["Idle"]
    )
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    taskrouter.advance()
    (reservation,) = task.reservations.list()
    reservation.update(reservation_status="accepted")
    assert reservation.update(reservation_status="completed").reservation_status == "completed"
    assert task.fetch().assignment_status == "completed"


def test_pending_reservations_are_rejected_with_a_move_to_an_unavailable_activity(
    taskrouter, workspace
):
    alice = workspace.workers(taskrouter.workers["Alice"])
    alice.update(activity_sid=taskrouter.activities["Idle"])
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    taskrouter.advance()
    with pytest.raises(TwilioRestException, match="Unable to reject pending reservations"):
        alice.update(activity_sid=taskrouter.activities["Idle"], reject_pending_reservations=True)
    alice.update(activity_sid=taskrouter.activities["Offline"], reject_pending_reservations=True)
    assert task.reservations.list()[0].reservation_status == "rejected"
    assert alice.fetch().activity_name == "Offline"


def test_the_simulator_tells_about_itself_on_loopback_only(taskrouter):
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
        # a page whose name resolves to this machine: the same origin, in the browser's eyes
        {"Origin": "http://evil.example", "Host": "evil.example"},
    ],
)
def test_a_web_page_that_knows_the_credentials_is_refused(taskrouter, workspace, headers):
    assert post_task(taskrouter, headers) == 403
    assert workspace.tasks.list() == []


def test_the_portals_own_page_and_an_sdk_under_another_name_are_let_in(taskrouter):
    host = urlsplit(taskrouter.url).netloc
    assert post_task(taskrouter, {"Origin": taskrouter.url, "Host": host}) == 201
    assert post_task(taskrouter, {"Host": "taskrouter.internal:8002"}) == 201


def post_task(taskrouter, headers):
    """Create a Task as a form with the right credentials does; the status."""
    pair = base64.b64encode(f"{taskrouter.account_sid}:{taskrouter.auth_token}".encode()).decode()
    kind = "application/x-www-form-urlencoded"
    connection = http.client.HTTPConnection(urlsplit(taskrouter.url).netloc)
    connection.request(
        "POST",
        f"/v1/Workspaces/{taskrouter.workspace_sid}/Tasks",
        body="Attributes=%7B%7D",
        headers={"Authorization": f"Basic {pair}", "Content-Type": kind, **headers},
    )
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_reset_begins_anew(taskrouter, workspace):
    workspace.tasks.create(attributes='{"selected_language": "es"}')
    taskrouter.reset()
    assert taskrouter.log() == []
    assert workspace.tasks.list() == []


def test_in_real_time_a_reservation_times_out_by_itself():
    with running(frozen_clock=False, reservation_timeout=1) as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        alice = workspace.workers(taskrouter.workers["Alice"])
        alice.update(activity_sid=taskrouter.activities["Idle"])
        task = workspace.tasks.create(attributes='{"selected_language": "es"}')
        assert task.fetch().assignment_status == "reserved"
        until = time.monotonic() + 10
        while task.fetch().assignment_status == "reserved":
            assert time.monotonic() < until
        assert alice.fetch().activity_name == "Offline"


def test_a_client_that_hangs_up_breaks_nothing(taskrouter, workspace, capfd):
    host = urlsplit(taskrouter.url)
    pair = base64.b64encode(f"{taskrouter.account_sid}:{taskrouter.auth_token}".encode()).decode()
    for _ in range(3):
        with socket.create_connection((host.hostname, host.port)) as connection:
            connection.sendall(
                f"POST /v1/Workspaces HTTP/1.1\r\nHost: {host.netloc}\r\n"
                f"Authorization: Basic {pair}\r\nContent-Length: 100\r\n\r\nFriendly".encode()
            )
    assert workspace.fetch().sid == taskrouter.workspace_sid
    assert capfd.readouterr().err == ""


@pytest.fixture(scope="module")
def shared():
    with running() as taskrouter:
        yield taskrouter


SID = st.sampled_from(["{seeded}", "WS" + "0" * 32, "x", "%00", "ü", "..%2f"])
NAMES = ["FriendlyName", "Attributes", "Configuration", "ActivitySid", "AssignmentStatus",
         "ReservationStatus", "Priority", "Timeout", "WorkflowSid", "TaskChannel", "If-Match",
         "VirtualStartTime", "TargetWorkers", "EventCallbackUrl", "PageSize", "PageToken",
         "Page", "Ordering", "RoutingTarget", "TargetWorkersExpression"]  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["{}", "[]", "1" * 400, "-1", "NaN", "1e999", "accepted", "completed", "http://[",
                     "9999-99-99", "0001-01-01T00:00:00+23:59", "[" * 5000, '{"task_routing": 1}',
                     '{"task_routing": {"filters": [{"targets": [{}]}]}}']),
)  # fmt: skip


@given(
    path=st.sampled_from(sorted(ROUTES)),
    method=st.sampled_from(["GET", "POST", "DELETE", "PUT"]),
    ids=st.lists(SID, min_size=3, max_size=3),
    parameters=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4),
    raw=st.binary(max_size=20),
)
@settings(max_examples=150, deadline=None)
def test_no_junk_makes_a_500(shared, path, method, ids, parameters, raw):  # noqa: PLR0917 - given by name
    for name, sid in zip(("workspace", "task", "worker"), ids, strict=True):
        path = path.replace(f"{{{name}}}", sid.replace("{seeded}", shared.workspace_sid))
    path = path.replace("{sid}", ids[2].replace("{seeded}", shared.workers["Alice"]))
    if method == "DELETE" and path.endswith(shared.workspace_sid):
        return
    query = urlencode(parameters, errors="surrogatepass")
    pair = f"{shared.account_sid}:{shared.auth_token}"
    connection = http.client.HTTPConnection(urlsplit(shared.url).netloc)
    connection.request(
        method,
        f"{quote(path, safe='/%')}?{query}",
        body=query.encode() + raw,
        headers={
            "Authorization": "Basic " + base64.b64encode(pair.encode()).decode(),
            "Content-Type": "application/x-www-form-urlencoded",
        },
    )
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status < 500
    if answer.status >= 400:
        assert json.loads(body)["status"] == answer.status
