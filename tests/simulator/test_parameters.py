"""REST parameters: invalid values are rejected, and list filters select matching resources."""

import json

import pytest
import requests

from taskrouter_simulator.testing import running
from tests.simulator.conftest import error_for, send_request


def assert_rejected(response, parameter):
    status, body = response
    assert (status, body["code"]) == (400, 20001), body
    assert parameter in body["message"]


SID_FILTERS = [
    ("/Tasks", "WorkflowSid"),
    ("/Tasks", "TaskQueueSid"),
    ("/Tasks", "RoutingTarget"),
    ("/Workers", "ActivitySid"),
    ("/Workers", "TaskQueueSid"),
    ("/TaskQueues", "WorkerSid"),
    ("/Events", "ReservationSid"),
    ("/Events", "TaskQueueSid"),
    ("/Events", "TaskSid"),
    ("/Events", "WorkerSid"),
    ("/Events", "WorkflowSid"),
    ("/Events", "Sid"),
]


@pytest.mark.parametrize(("path", "parameter"), SID_FILTERS)
@pytest.mark.parametrize("value", ["", "x", "AC" + "0" * 32, "WT" + "0" * 31])
def test_list_filter_rejects_invalid_sid(taskrouter, path, parameter, value):
    assert_rejected(send_request(taskrouter, "GET", path, **{parameter: value}), parameter)


@pytest.mark.parametrize(
    ("path", "parameter", "value"),
    [
        ("/Tasks", "AssignmentStatus", "pending,waiting"),
        ("/Tasks", "AssignmentStatus", ""),
        ("/Tasks", "AssignmentStatus", "pending,"),
        ("/Tasks", "Priority", "high"),
        ("/Tasks", "Priority", ""),
        ("/Tasks", "HasAddons", "maybe"),
        ("/Tasks", "EvaluateTaskAttributes", ""),
        ("/Tasks", "EvaluateTaskAttributes", "level"),
        ("/Workers", "TargetWorkersExpression", " "),
        ("/TaskQueues", "EvaluateWorkerAttributes", ""),
        ("/Events", "EventType", "task.made"),
        ("/Events", "EventType", ""),
        ("/Events", "Minutes", ""),
        ("/Events", "Minutes", "ten"),
        ("/Events", "StartDate", "yesterday"),
        ("/Events", "EndDate", ""),
        ("/Events", "TaskChannel", ""),
        ("/Tasks", "PageSize", ""),
        ("/Tasks", "PageSize", "0"),
        ("/Tasks", "Page", "first"),
        ("/Tasks", "PageToken", "PAWT" + "0" * 32),
        ("/Workers", "PageToken", ""),
    ],
)
def test_invalid_list_parameter_is_rejected(taskrouter, path, parameter, value):
    assert_rejected(send_request(taskrouter, "GET", path, **{parameter: value}), parameter)


def test_invalid_reservation_filters_are_rejected(taskrouter, workspace):
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    path = f"/Tasks/{task.sid}/Reservations"
    for parameter, value in (("ReservationStatus", ""), ("ReservationStatus", "open"),
                             ("WorkerSid", ""), ("WorkerSid", "Alice")):  # fmt: skip
        assert_rejected(send_request(taskrouter, "GET", path, **{parameter: value}), parameter)


def test_unknown_value_of_the_available_filter_means_false(taskrouter):
    for path, key in (("/Activities", "activities"), ("/Workers", "workers")):
        _, body = send_request(taskrouter, "GET", path, Available="perhaps")
        assert {item["available"] for item in body[key]} == {False}


@pytest.mark.parametrize("value", ["", " "])
@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/Activities", "FriendlyName"),
        ("/Activities/{activity}", "FriendlyName"),
        ("/Workers", "FriendlyName"),
        ("/Workers", "ActivitySid"),
        ("/Workers", "Attributes"),
        ("/Workers/{worker}", "FriendlyName"),
        ("/Workers/{worker}", "ActivitySid"),
        ("/Workers/{worker}", "Attributes"),
        ("/Workers/{worker}", "RejectPendingReservations"),
        ("/Workers/{worker}/Channels/voice", "Capacity"),
        ("/Workers/{worker}/Channels/voice", "Available"),
        ("/TaskQueues", "FriendlyName"),
        ("/TaskQueues", "ReservationActivitySid"),
        ("/TaskQueues", "AssignmentActivitySid"),
        ("/TaskQueues", "MaxReservedWorkers"),
        ("/TaskQueues", "TaskOrder"),
        ("/TaskQueues/{queue}", "FriendlyName"),
        ("/TaskQueues/{queue}", "ReservationActivitySid"),
        ("/TaskQueues/{queue}", "AssignmentActivitySid"),
        ("/TaskQueues/{queue}", "MaxReservedWorkers"),
        ("/TaskQueues/{queue}", "TaskOrder"),
        ("/Workflows", "FriendlyName"),
        ("/Workflows/{workflow}", "FriendlyName"),
        ("/Workflows/{workflow}", "Configuration"),
        ("/Workflows/{workflow}", "TaskReservationTimeout"),
        ("/Workflows/{workflow}", "ReEvaluateTasks"),
        ("/Tasks", "Attributes"),
        ("/Tasks", "WorkflowSid"),
        ("/Tasks", "TaskQueueSid"),
        ("/Tasks", "RoutingTarget"),
        ("/Tasks", "TaskChannel"),
        ("/Tasks", "Priority"),
        ("/Tasks", "Timeout"),
        ("/Tasks", "VirtualStartTime"),
        ("/Tasks/{task}", "Attributes"),
        ("/Tasks/{task}", "AssignmentStatus"),
        ("/Tasks/{task}", "TaskChannel"),
        ("/Tasks/{task}", "Priority"),
        ("/Tasks/{task}", "VirtualStartTime"),
        ("/TaskChannels", "FriendlyName"),
        ("/TaskChannels", "UniqueName"),
        ("/TaskChannels/voice", "FriendlyName"),
        ("/TaskChannels/voice", "ChannelOptimizedRouting"),
        ("", "FriendlyName"),
        ("", "DefaultActivitySid"),
        ("", "TimeoutActivitySid"),
        ("", "MultiTaskEnabled"),
        ("", "PrioritizeQueueOrder"),
    ],
)
def test_empty_value_is_rejected(taskrouter, workspace, path, parameter, value):
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    path = path.format(
        activity=taskrouter.activities["Idle"],
        worker=taskrouter.workers["Alice"],
        queue=next(iter(taskrouter.task_queues.values())),
        workflow=taskrouter.workflow_sid,
        task=task.sid,
    )
    configuration = '{"task_routing": {"default_filter": {"queue": "WQ"}}}'
    required = {
        "/Activities": {"FriendlyName": "New"},
        "/Workers": {"FriendlyName": "New"},
        "/TaskQueues": {"FriendlyName": "New"},
        "/TaskChannels": {"FriendlyName": "New", "UniqueName": "new"},
        "/Workflows": {"FriendlyName": "New", "Configuration": configuration},
        "/Tasks": {"WorkflowSid": taskrouter.workflow_sid},
    }.get(path, {})
    parameters = {**required, parameter: value}
    assert_rejected(send_request(taskrouter, "POST", path, **parameters), parameter)


@pytest.mark.parametrize("parameter", ["ReservationStatus", "WorkerActivitySid", "Instruction"])
def test_empty_value_in_reservation_update_is_rejected(taskrouter, workspace, parameter):
    workspace.workers(taskrouter.workers["Alice"]).update(
        activity_sid=taskrouter.activities["Idle"]
    )
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    taskrouter.advance()
    (reservation,) = task.reservations.list()
    path = f"/Tasks/{task.sid}/Reservations/{reservation.sid}"
    parameters = {"ReservationStatus": "rejected", parameter: ""}
    assert_rejected(send_request(taskrouter, "POST", path, **parameters), parameter)
    assert reservation.fetch().reservation_status == "pending"


@pytest.mark.parametrize(
    ("path", "parameter", "field"),
    [
        ("/Workflows/{workflow}", "AssignmentCallbackUrl", "assignment_callback_url"),
        ("", "EventCallbackUrl", "event_callback_url"),
        ("", "EventsFilter", "events_filter"),
        ("/TaskQueues/{queue}", "TargetWorkers", "target_workers"),
    ],
)
def test_empty_value_clears_target_workers_events_filter_and_callback_urls(
    taskrouter, path, parameter, field
):
    queue_sid = next(iter(taskrouter.task_queues.values()))
    path = path.format(workflow=taskrouter.workflow_sid, queue=queue_sid)
    status, body = send_request(taskrouter, "POST", path, **{parameter: ""})
    assert status == 200
    assert not body[field]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        *((text, "must be a valid JSON object") for text in ("", "[]", "1", "{", '{"a": NaN}')),
        ('{"a": -Infinity}', "must be a valid JSON object"),
        ('{"a": ' + "[" * 1500 + "]" * 1500 + "}", "is nested too deeply"),
        ('{"a": "' + "x" * 4096 + '"}', "must not be longer than 4096 characters"),
        ('{"a": 1e999}', "must not contain the number 1e999, which is too large"),
        ('{"a": [-1e999]}', "must not contain the number -1e999, which is too large"),
        ('{"a": 1' + "0" * 200 + "e200}", f"must not contain the number 1{'0' * 49}, which"),
    ],
    ids=range(11),
)
def test_every_operation_rejects_invalid_attributes_with_the_same_message(
    taskrouter, workspace, attributes, message
):
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    for path, required in (
        ("/Tasks", {}),
        (f"/Tasks/{task.sid}", {}),
        ("/Workers", {"FriendlyName": "New"}),
        (f"/Workers/{taskrouter.workers['Alice']}", {}),
    ):
        response = send_request(taskrouter, "POST", path, Attributes=attributes, **required)
        assert_rejected(response, f"Attributes {message}")


MISSING_ACTIVITY = "WA" + "0" * 32


def test_error_identifies_parameter(taskrouter, workspace):
    queue = workspace.task_queues(next(iter(taskrouter.task_queues.values())))
    worker = workspace.workers(taskrouter.workers["Alice"])
    tasks = workspace.tasks
    calls = [
        (tasks.create, {"task_channel": "fax"}, "TaskChannel fax does not exist"),
        (tasks.create, {"workflow_sid": "WW" + "0" * 32}, "WorkflowSid WW0"),
        (tasks.create, {"task_queue_sid": "WQ" + "0" * 32}, "TaskQueueSid WQ0"),
        (tasks.create, {"routing_target": "WK" + "0" * 32}, "RoutingTarget WK0"),
        (tasks.create, {"routing_target": "WQ" + "0" * 32}, "RoutingTarget WQ0"),
        (tasks.create, {"ignore_capacity": "true"}, "IgnoreCapacity requires a RoutingTarget"),
        (worker.update, {"activity_sid": MISSING_ACTIVITY}, "ActivitySid: Activity WA0"),
        (queue.update, {"reservation_activity_sid": MISSING_ACTIVITY}, "ReservationActivitySid: "),
        (queue.update, {"assignment_activity_sid": MISSING_ACTIVITY}, "AssignmentActivitySid: "),
        (workspace.update, {"default_activity_sid": MISSING_ACTIVITY}, "DefaultActivitySid: "),
        (workspace.update, {"timeout_activity_sid": MISSING_ACTIVITY}, "TimeoutActivitySid: "),
        (workspace.update, {"events_filter": "task.created, task.made"}, "types: task.made"),
    ]
    for call, parameters, message in calls:
        assert message in error_for(call, **parameters)


@pytest.mark.parametrize("name", ["1fax", "my-fax", "my fax", "fax.1", "fäx", "", "a" + "\n"])
def test_unique_name_that_expressions_cannot_contain_is_rejected(workspace, name):
    create = workspace.task_channels.create
    assert "UniqueName" in error_for(create, friendly_name="Fax", unique_name=name)


@pytest.mark.parametrize("name", ["fax_1", "$fax", "Fax9$"])
def test_channel_with_valid_unique_name_can_be_used_in_expression(workspace, name):
    channel = workspace.task_channels.create(friendly_name="Fax", unique_name=name)
    queue = workspace.task_queues.create(
        friendly_name="Fax", target_workers=f"worker.channel.{name}.assigned_tasks == 0"
    )
    workers = workspace.workers.list(task_queue_sid=queue.sid)
    assert {worker.friendly_name for worker in workers} == {"Alice", "Bob"}
    task = workspace.tasks.create(attributes="{}", task_channel=name, task_queue_sid=queue.sid)
    assert task.task_channel_sid == channel.sid
    for identifier in (name, channel.sid):
        events = workspace.events.list(task_channel=identifier, event_type="task.created")
        assert [event.resource_sid for event in events] == [task.sid]


def test_multitasking_can_be_disabled_only_if_another_workspace_is_single_tasking(taskrouter):
    workspaces = taskrouter.client().taskrouter.v1.workspaces
    workspace = workspaces.create(friendly_name="Sales")
    workspace.update(multi_task_enabled=True)
    assert workspace.update(multi_task_enabled=False).multi_task_enabled is False
    with running() as second_simulator:
        workspaces = second_simulator.client().taskrouter.v1.workspaces
        single = workspaces(second_simulator.workspace_sid)
        single.update(multi_task_enabled=True)
        message = error_for(single.update, multi_task_enabled=False)
        assert "MultiTaskEnabled must not be changed to false" in message


def test_unknown_template_is_rejected(taskrouter):
    create = taskrouter.client().taskrouter.v1.workspaces.create
    assert "Template must be one of NONE, FIFO" in error_for(
        create, friendly_name="Sales", template="LIFO"
    )


def test_fifo_template_sends_all_tasks_to_a_single_task_queue(taskrouter):
    create = taskrouter.client().taskrouter.v1.workspaces.create
    workspace = create(friendly_name="Sales", template="FIFO")
    (queue,) = workspace.task_queues.list()
    (workflow,) = workspace.workflows.list()
    assert (queue.friendly_name, queue.task_order) == ("Sample Queue", "FIFO")
    assert (queue.target_workers, queue.max_reserved_workers) == ("1==1", 1)
    assert workflow.friendly_name == "Default Fifo Workflow"
    assert workflow.task_reservation_timeout == 120
    task = workspace.tasks.create(attributes='{"anything": 1}').fetch()
    assert (task.workflow_sid, task.task_queue_sid) == (workflow.sid, queue.sid)
    activities = [activity.friendly_name for activity in workspace.activities.list()]
    assert activities == ["Offline", "Available", "Unavailable"]


@pytest.mark.parametrize("parameters", [{}, {"template": "NONE"}])
def test_workspace_without_template_has_no_task_queues_or_workflows(taskrouter, parameters):
    create = taskrouter.client().taskrouter.v1.workspaces.create
    workspace = create(friendly_name="Sales", **parameters)
    assert workspace.task_queues.list() == workspace.workflows.list() == []
    assert len(workspace.activities.list()) == 3


def test_friendly_names_of_workers_are_case_insensitive(taskrouter, workspace):
    assert "already exists" in error_for(workspace.workers.create, friendly_name="ALICE")
    alice = workspace.workers(taskrouter.workers["Alice"])
    assert "already exists" in error_for(alice.update, friendly_name="bob")
    assert alice.update(friendly_name="alice").friendly_name == "alice"
    assert [worker.sid for worker in workspace.workers.list(friendly_name="Alice")] == [
        alice.fetch().sid
    ]


def create_filtered_resources(taskrouter, workspace):
    """Create resources that differ in the properties that most list filters compare."""
    sales = workspace.task_queues.create(friendly_name="Sales", target_workers="team == 'sales'")
    carol = workspace.workers.create(
        friendly_name="Carol", attributes='{"team": "sales"}',
        activity_sid=taskrouter.activities["Idle"],
    )  # fmt: skip
    workflow = workspace.workflows.create(
        friendly_name="Sales",
        configuration=json.dumps({"task_routing": {"default_filter": {"queue": sales.sid}}}),
    )
    task = workspace.tasks.create(
        attributes='{"topic": "cars"}', workflow_sid=workflow.sid, priority=7, task_channel="chat"
    )
    targeted = workspace.tasks.create(attributes="{}", routing_target=sales.sid)
    workspace.tasks.create(
        attributes='{"selected_language": "en"}', workflow_sid=taskrouter.workflow_sid
    )
    taskrouter.advance()
    (reservation,) = task.reservations.list()
    carol.update(activity_sid=taskrouter.activities["Idle"])  # the list filters need an idle Worker
    return {"queue": sales.sid, "worker": carol.sid, "workflow": workflow.sid, "task": task.sid,
            "targeted": targeted.sid, "reservation": reservation.sid,
            "idle": taskrouter.activities["Idle"], "english": taskrouter.workflow_sid}  # fmt: skip


@pytest.mark.parametrize(
    ("resource", "filters", "expected"),
    [
        ("tasks", {"priority": 7}, ["task"]),
        ("tasks", {"assignment_status": ["reserved"]}, ["task"]),
        ("tasks", {"workflow_sid": "{workflow}"}, ["task"]),
        ("tasks", {"workflow_name": "Sales"}, ["task"]),
        ("tasks", {"task_queue_sid": "{queue}"}, ["task", "targeted"]),
        ("tasks", {"task_queue_name": "Sales"}, ["task", "targeted"]),
        ("tasks", {"routing_target": "{queue}"}, ["targeted"]),
        ("tasks", {"evaluate_task_attributes": "topic = 'cars'"}, ["task"]),
        ("tasks", {"has_addons": True}, []),
        ("workers", {"activity_name": "Idle"}, ["worker"]),
        ("workers", {"activity_sid": "{idle}"}, ["worker"]),
        ("workers", {"available": "1"}, ["worker"]),
        ("workers", {"friendly_name": "cAROL"}, ["worker"]),
        ("workers", {"task_queue_name": "Sales"}, ["worker"]),
        ("workers", {"task_queue_sid": "{queue}"}, ["worker"]),
        ("workers", {"target_workers_expression": "team == 'sales'"}, ["worker"]),
        ("task_queues", {"friendly_name": "Sales"}, ["queue"]),
        ("task_queues", {"worker_sid": "{worker}"}, ["queue"]),
        ("task_queues", {"evaluate_worker_attributes": "team == 'sales'"}, ["queue"]),
        ("workflows", {"friendly_name": "Sales"}, ["workflow"]),
        ("activities", {"friendly_name": "Idle"}, ["idle"]),
        ("activities", {"available": "true"}, ["idle"]),
    ],
)
def test_list_filter_selects_matching_resources(taskrouter, workspace, resource, filters, expected):
    sids = create_filtered_resources(taskrouter, workspace)
    filters_with_sids = {
        name: value.format(**sids) if isinstance(value, str) else value
        for name, value in filters.items()
    }
    listed = [item.sid for item in getattr(workspace, resource).list(**filters_with_sids)]
    assert listed == [sids[name] for name in expected]
    assert len(getattr(workspace, resource).list()) > len(listed)


def test_task_queues_can_be_filtered_by_worker_attributes(workspace):
    english = "Customer Care Requests - English"
    queues = workspace.task_queues.list(evaluate_worker_attributes="friendly_name == 'Bob'")
    assert [queue.friendly_name for queue in queues] == [english]
    assert len(workspace.task_queues.list(evaluate_worker_attributes='languages HAS "es"')) == 2


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"event_type": "reservation.created"}, {"reservation"}),
        ({"reservation_sid": "{reservation}"}, {"reservation"}),
        ({"task_sid": "{targeted}", "event_type": "task.created"}, {"targeted"}),
        ({"worker_sid": "{worker}", "event_type": "worker.created"}, {"worker"}),
        ({"workflow_sid": "{workflow}", "event_type": "workflow.created"}, {"workflow"}),
        ({"task_queue_sid": "{queue}", "event_type": "task-queue.created"}, {"queue"}),
        ({"task_channel": "chat", "event_type": "task.created"}, {"task"}),
    ],
)
def test_event_filter_selects_matching_events(taskrouter, workspace, filters, expected):
    sids = create_filtered_resources(taskrouter, workspace)
    filters_with_sids = {name: value.format(**sids) for name, value in filters.items()}
    events = workspace.events.list(**filters_with_sids)
    assert {event.resource_sid for event in events} == {sids[name] for name in expected}
    (fetched,) = workspace.events.list(sid=events[0].sid)
    assert fetched.sid == events[0].sid


FORM = "application/x-www-form-urlencoded"


def send_body(taskrouter, method, path, body, content_type):
    """Send a body of any type to a path in the Workspace."""
    return requests.request(
        method,
        f"{taskrouter.url}/v1/Workspaces/{taskrouter.workspace_sid}{path}",
        auth=(taskrouter.account_sid, taskrouter.auth_token),
        data=body,
        headers={"Content-Type": content_type} if content_type else {},
        timeout=5,
    )


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"FriendlyName": "New"}'),
        ("text/plain", b"FriendlyName=New"),
        ("multipart/form-data; boundary=x", b"--x--"),
        ("application/x-www-form-urlencodedx", b"FriendlyName=New"),
        (None, b"FriendlyName=New"),
    ],
)
def test_body_that_is_not_a_form_is_rejected(taskrouter, method, content_type, body):
    before = taskrouter._request("GET", "")
    for path in ("/Tasks", f"/Workers/{taskrouter.workers['Alice']}"):
        response = send_body(taskrouter, method, path, body, content_type)
        assert_rejected((response.status_code, response.json()), FORM)
    assert taskrouter._request("GET", "") == before


@pytest.mark.parametrize("content_type", [FORM, f"{FORM}; charset=utf-8", "text/plain", None])
def test_empty_body_needs_no_content_type(taskrouter, content_type):
    assert send_body(taskrouter, "POST", "/Tasks", b"", content_type).status_code == 201


@pytest.mark.parametrize(
    "body", [b"FriendlyName=%FF", b"FriendlyName=\xff", b"%C3=1", b"X=%ED%A0%80"]
)
def test_form_that_is_not_utf8_is_rejected(taskrouter, body):
    response = send_body(taskrouter, "POST", "/Workers", body, FORM)
    assert_rejected((response.status_code, response.json()), "not valid UTF-8")
    query = send_body(taskrouter, "GET", "/Workers?FriendlyName=%FF", b"", None)
    assert_rejected((query.status_code, query.json()), "not valid UTF-8")
