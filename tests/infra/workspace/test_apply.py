"""Plans for a live Workspace, and their execution."""

import copy
import itertools
import json
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
from twilio.base.exceptions import TwilioException

from infra import OperatorError
from infra.workspace import apply as execution
from infra.workspace.plan import Action, make_plan
from infra.workspace.state import read_for
from taskrouter_simulator.definition.reader import QUICKSTART, from_value, read
from tests.infra.workspace.live import API, Killed, LiveWorkspace, define, workspace

FIXTURES = [QUICKSTART, *sorted(Path("tests/simulator/workspaces").glob("*.yaml"))]


@pytest.fixture
def live(tmp_path):
    with workspace(tmp_path) as running:
        yield running


@pytest.mark.parametrize("file", FIXTURES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_no_changes_remain_after_apply(live, file):
    definition = read(file)
    assert live.plan(definition).changes
    live.apply(definition)
    assert live.changes(definition) == []


def test_killed_apply_is_completed_by_the_next_apply(live):
    definition = read(QUICKSTART)
    for max_requests in itertools.count(1):
        killed = live.add_workspace(max_requests)
        restarted = LiveWorkspace(live.twilio, killed.sid)
        try:
            killed.apply(definition)
        except Killed:
            restarted.apply(definition)
            assert restarted.changes(definition) == []
        else:
            break
    assert max_requests > 25
    names = [item.friendly_name for item in restarted.context.task_queues.list()]
    assert len(names) == len(set(names)) == 2


@pytest.fixture
def quickstart(live):
    live.definition = read(QUICKSTART)
    live.apply(live.definition)
    return live


def test_plan_contains_exactly_the_drift(quickstart):
    context = quickstart.context
    workflow = context.workflows.list()[0]
    workflow.update(task_reservation_timeout=60, assignment_callback_url="http://127.0.0.1:9/other")
    context.workers.list(friendly_name="Bob")[0].update(attributes='{"languages": ["de"]}')
    context.update(events_filter="task.created")
    assert quickstart.changes(quickstart.definition) == [
        ("update", "Workspace 'Quickstart'", {"events_filter": None}),
        ("update", "Worker 'Bob'", {"attributes": {"languages": ["en"]}}),
        (
            "update",
            "Workflow 'Incoming Customer Care Requests'",
            {
                "assignment_callback_url": f"{API}/assignment_callback",
                "task_reservation_timeout": 1200,
            },
        ),
    ]
    quickstart.apply(quickstart.definition)
    assert quickstart.changes(quickstart.definition) == []
    assert context.fetch().events_filter is None


def test_difference_in_notation_is_not_drift(quickstart):
    context = quickstart.context
    workflow = context.workflows.list()[0]
    text = json.dumps(json.loads(workflow.configuration), indent=4, sort_keys=True)
    workflow.update(configuration=text.replace("==", " == "))
    queue = context.task_queues.list()[0]
    queue.update(target_workers=queue.target_workers.replace('"', "'").replace("HAS", " has "))
    context.workers.list(friendly_name="Alice")[0].update(
        attributes='{ "languages" : ["en","es"] }'
    )
    assert quickstart.changes(quickstart.definition) == []


def test_unmanaged_fields_and_the_activity_of_each_worker_are_left_unchanged(quickstart):
    context = quickstart.context
    idle = context.activities.list(friendly_name="Idle")[0].sid
    context.workers.list(friendly_name="Alice")[0].update(activity_sid=idle)
    context.task_queues.list()[0].update(max_reserved_workers=5)
    context.update(prioritize_queue_order="LIFO")
    assert quickstart.changes(quickstart.definition) == []


def test_null_clears_a_url(live):
    configuration = {"task_routing": {"default_filter": {"queue": "All"}}}
    flow = {"friendly_name": "Flow", "configuration": configuration}
    queues = [{"friendly_name": "All"}]
    live.apply(define(task_queues=queues, workflows=[flow | {"assignment_callback_url": "/a"}]))
    without_url = define(task_queues=queues, workflows=[flow])
    cleared = define(workflows=[{"friendly_name": "Flow", "assignment_callback_url": None}])
    assert live.changes(without_url) == []
    assert live.changes(cleared) == [
        ("update", "Workflow 'Flow'", {"assignment_callback_url": None})
    ]
    live.apply(cleared)
    assert live.context.workflows.list()[0].assignment_callback_url is None


def test_rename_keeps_the_sid_and_the_references(quickstart):
    context = quickstart.context
    before = {item.friendly_name: item.sid for item in context.activities.list()}
    value = copy.deepcopy(quickstart.definition.document.value)
    value["activities"][3] |= {"friendly_name": "Held", "was": "Reserved"}
    for queue in value["task_queues"]:
        queue["reservation_activity"] = "Held"
    renamed = from_value(value)
    assert quickstart.changes(renamed) == [("rename", "Activity 'Held'", {"friendly_name": "Held"})]
    quickstart.apply(renamed)
    after = {item.friendly_name: item.sid for item in context.activities.list()}
    assert after["Held"] == before["Reserved"]
    assert quickstart.changes(renamed) == []


def test_rename_to_a_name_in_use_is_refused(live):
    definition = define(activities=[{"friendly_name": "Offline", "was": "Available"}])
    with pytest.raises(OperatorError, match="'Available' to 'Offline', but both exist"):
        live.plan(definition)


def test_worker_is_renamed_even_if_only_the_case_differs(live):
    live.apply(define(workers=[{"friendly_name": "alice"}]))
    renamed = define(workers=[{"friendly_name": "Alice"}])
    assert live.changes(renamed) == [("rename", "Worker 'Alice'", {"friendly_name": "Alice"})]
    live.apply(renamed)
    assert live.changes(renamed) == []


def test_availability_of_an_activity_is_never_changed_in_place(live):
    definition = define(activities=[{"friendly_name": "Offline", "available": True}])
    (change,) = live.plan(definition).changes
    assert (change.action, change.before) == ("replace", {"available": False})
    assert "Rename the Activity, set `was`" in change.note
    before = len(live.requests("POST", "DELETE"))
    with pytest.raises(OperatorError, match="Nothing was changed. Activity 'Offline' cannot be c"):
        live.apply(definition)
    assert len(live.requests("POST", "DELETE")) == before


def test_clearing_an_activity_of_a_task_queue_requires_a_replacement(quickstart):
    name = "Customer Care Requests - Spanish"
    definition = define(task_queues=[{"friendly_name": name, "reservation_activity": None}])
    (change,) = [item for item in quickstart.plan(definition).changes if item.name == name]
    assert (change.action, change.before) == ("replace", {"reservation_activity": "Reserved"})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"default_activity": "Gone"}, "Workspace 'New' refers to the Activity 'Gone', which is"),
        (
            {"task_queues": [{"friendly_name": "Q", "target_workers": "sid == '${worker:Eve}'"}]},
            "TaskQueue 'Q' refers to the Worker 'Eve'",
        ),
        (
            {"workers": [{"friendly_name": "W", "capacity": {"fax": 1}}]},
            "Worker 'W' refers to the TaskChannel 'fax'",
        ),
        (
            {"task_queues": [{"friendly_name": "Q", "target_workers": "a == '${task_queue:Q}'"}]},
            "TaskQueue 'Q' refers to the TaskQueue 'Q', which is created later",
        ),
        (
            {"task_queues": [{"friendly_name": "Q", "target_workers": "a == '${team:T}'"}]},
            "TaskQueue 'Q' refers to the team 'T', which is neither",
        ),
        ({"workflows": [{"friendly_name": "F"}]}, "'F' does not exist yet, so the file must con"),
    ],
)
def test_invalid_reference_or_missing_configuration_is_refused(live, keys, message):
    with pytest.raises(OperatorError, match=message):
        live.plan(define(**keys))


def test_expression_may_name_a_worker_that_exists_only_in_taskrouter(live):
    live.apply(define(workers=[{"friendly_name": "Eve", "capacity": {"chat": 3}}]))
    queue = {"friendly_name": "Q", "target_workers": "sid != '${worker:Eve}'"}
    definition = define(task_queues=[queue])
    live.apply(definition)
    sid = live.context.workers.list()[0].sid
    assert live.context.task_queues.list()[0].target_workers == f"sid != '{sid}'"
    assert live.changes(definition) == []


def test_plan_shows_only_declared_capacities(live):
    live.apply(define(workers=[{"friendly_name": "Eve", "capacity": {"chat": 3, "sms": 2}}]))
    definition = define(workers=[{"friendly_name": "Eve", "capacity": {"chat": 0}}])
    (change,) = live.plan(definition).changes
    assert (change.before, change.after) == ({"capacity": {"chat": 3}}, {"capacity": {"chat": 0}})


def test_undeclared_workers_are_not_read(live):
    before = len(live.requests("GET"))
    live.plan(define(activities=[]))
    assert not any("/Workers" in path for _, path in live.requests("GET")[before:])


def test_worker_attributes_are_fetched_if_the_worker_list_omits_them(tmp_path):
    with workspace(tmp_path, worker_lists_have_attributes="false") as live:
        definition = define(workers=[{"friendly_name": "Eve", "attributes": {"a": 1}}])
        live.apply(definition)
        assert live.changes(definition) == []


def test_all_pages_are_read(live):
    names = [f"Queue {number}" for number in range(60)]
    definition = define(task_queues=[{"friendly_name": name} for name in names])
    live.apply(definition)
    with mock.patch("infra.workspace.state.PAGE_SIZE", 20):
        assert live.changes(definition) == []


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    "fault", [{"kind": "error", "status": 503}, {"kind": "cut"}], ids=["error", "cut"]
)
def test_failed_creation_request_creates_nothing_twice(live, moment, fault):
    definition = read(QUICKSTART)
    for path in ("*/Activities", "*/TaskQueues", "*/Workflows", "*/Workers"):
        live.twilio.fault("request", method="POST", path=path, moment=moment, **fault)
    live.apply(definition)
    assert live.changes(definition) == []
    created = [path for _, path in live.requests("POST") if path.endswith("Queues")]
    assert len(created) == 2 + (moment == "before")


def test_throttled_request_is_repeated_after_the_requested_delay(live):
    live.twilio.fault("request", "error", method="POST", status=429, retry_after=7, times=2)
    live.apply(read(QUICKSTART))
    assert live.waits == [7, 7]


@pytest.mark.parametrize("status", [401, 429])
def test_error_that_does_not_depend_on_the_change_is_raised_unchanged(live, status):
    """`Account.call` turns such an error into a message with the remedy."""
    live.twilio.fault("request", "error", method="POST", status=status, retry_after=121, times=None)
    with pytest.raises(TwilioException, match=str(status)):
        live.apply(read(QUICKSTART))


@pytest.mark.parametrize(("status", "is_forbidden"), [(400, False), (403, True)])
def test_error_names_the_refused_change_and_mentions_permissions_only_for_status_403(
    live, status, is_forbidden
):
    live.twilio.fault("request", "error", method="POST", path="*/Workflows", status=status)
    with pytest.raises(OperatorError, match="^Workflow 'Incoming.*refused to create it") as error:
        live.apply(read(QUICKSTART))
    hint = "The API key may lack the permission to write"
    assert str(error.value).endswith(hint) is is_forbidden


def test_request_is_not_repeated_if_the_requested_delay_exceeds_the_limit(live):
    live.twilio.fault("request", "error", status=429, retry_after=121, times=None)
    with pytest.raises(TwilioException, match="429"):
        live.plan(define())
    assert live.waits == []


def test_failing_request_is_retried_three_times(live):
    live.twilio.fault("request", "error", status=500, times=None)
    with pytest.raises(TwilioException):
        live.plan(define())
    assert live.waits == [0.5, 1.0, 2.0]


def test_error_for_a_refused_change_contains_the_reason(tmp_path):
    with workspace(tmp_path, {"friendly_name": "New"}) as live:
        definition = define(multi_task_enabled=False)
        (change,) = live.plan(definition).changes
        assert "only if another Workspace in the account is single-tasking" in change.note
        with pytest.raises(OperatorError, match="refused to update it: .*MultiTaskEnabled must"):
            live.apply(definition)


def test_error_names_the_field_that_taskrouter_did_not_store(live, monkeypatch):
    workspaces_context = type(live.context)
    monkeypatch.setattr(workspaces_context, "update", lambda *_args, **_kwargs: None)
    with pytest.raises(OperatorError, match="'New': TaskRouter did not store prioritize_queue_ord"):
        live.apply(define(prioritize_queue_order="LIFO"))


def test_undeclared_resources_are_listed_but_deleted_only_with_the_prune_option(quickstart):
    definition = define(workflows=[], task_queues=[], workers=[], activities=[])
    plan = quickstart.plan(definition)
    assert [change.title for change in plan.changes] == ["Workspace 'New'"]
    listed = {item.resource.name: item.note for item in plan.unmanaged}
    assert listed["Alice"] == ""
    assert listed["Offline"] == "used by the Workspace 'Quickstart'"
    pruned = quickstart.plan(definition, prune=True)
    assert [item.resource.name for item in pruned.unmanaged] == ["Offline"]
    assert pruned.excessive_deletions
    quickstart.apply(definition, prune=True)
    assert [item.friendly_name for item in quickstart.context.activities.list()] == ["Offline"]
    assert quickstart.context.workflows.list() == []
    assert len(quickstart.context.task_channels.list()) == 5


@pytest.mark.parametrize("moment", ["before", "after"])
def test_deletion_succeeds_despite_a_lost_request_or_response(quickstart, moment):
    definition = define(workflows=[])
    quickstart.twilio.fault("request", "cut", method="DELETE", moment=moment)
    quickstart.apply(definition, prune=True)
    assert quickstart.context.workflows.list() == []


def test_error_for_a_refused_deletion_contains_the_reason(quickstart):
    workflow = quickstart.context.workflows.list()[0]
    quickstart.context.tasks.create(
        workflow_sid=workflow.sid, attributes='{"selected_language": "es"}'
    )
    with pytest.raises(OperatorError, match="refused to delete it: .*has tasks and cannot be del"):
        quickstart.apply(define(workflows=[]), prune=True)


def test_resource_that_a_remaining_resource_needs_is_not_deleted(quickstart):
    plan = quickstart.plan(define(task_queues=[], activities=[]), prune=True)
    deleted = {change.name for change in plan.of(Action.DELETE)}
    assert deleted == {"Available", "Unavailable", "Idle"}


def test_protected_resource_and_the_resources_that_it_uses_are_not_deleted(quickstart):
    (workflow,) = quickstart.context.workflows.list()
    definition = define(workflows=[], task_queues=[])
    plan = quickstart.plan(definition, prune=True, reasons_to_keep={workflow.sid: "the reason"})
    assert plan.of(Action.DELETE) == []
    assert {item.note for item in plan.unmanaged} == {
        "the reason",
        f"used by the Workflow {workflow.friendly_name!r}",
    }


def test_up_to_30_percent_of_each_kind_of_resource_may_be_deleted_without_force(live):
    names = [f"Queue {number}" for number in range(10)]
    live.apply(define(task_queues=[{"friendly_name": name} for name in names]))
    for kept, excessive in ((7, []), (6, ["4 of 10 in task_queues"])):
        declared = [{"friendly_name": name} for name in names[:kept]]
        plan = live.plan(define(task_queues=declared), prune=True)
        assert plan.excessive_deletions == excessive
    with pytest.raises(OperatorError, match="more than 30% .*: 4 of 10 in task_queues.*--force"):
        execution.refuse_impossible(plan, force=False)
    execution.refuse_impossible(plan, force=True)


def test_resources_of_other_kinds_do_not_raise_the_limit(live):
    workers = [{"friendly_name": f"w{number}"} for number in range(20)]
    queues = [{"friendly_name": f"q{number}"} for number in range(5)]
    live.apply(define(workers=workers, task_queues=queues))
    named = [{"friendly_name": "q0", "target_workers": "sid == '${worker:w1}'"}]
    for keys in ({"task_queues": named}, {"task_queues": named, "workers": workers}):
        plan = live.plan(define(**keys), prune=True)
        assert plan.excessive_deletions == ["4 of 5 in task_queues"]


def test_excessive_deletions_of_every_kind_are_listed(quickstart):
    plan = quickstart.plan(define(workflows=[], task_queues=[]), prune=True)
    assert plan.excessive_deletions == ["1 of 1 in workflows", "2 of 2 in task_queues"]


def test_duplicate_names_are_refused(live):
    state = read_for(live.context, define())
    twins = [item for item in state.resources if item.name == "Available"] * 2
    doubled = replace(state, resources=(*twins,))
    for keys in (
        {"activities": [{"friendly_name": "Available"}]},
        {"default_activity": "Available"},
    ):
        with pytest.raises(OperatorError, match="several resources with the name 'Available': WA"):
            make_plan(define(**keys), doubled, api_url=API)


def test_checksum_changes_with_the_workspace_and_the_definition(quickstart):
    definition = define(activities=[])
    first = quickstart.plan(definition).checksum
    assert quickstart.plan(definition).checksum == first
    assert quickstart.plan(define(task_queues=[])).checksum != first
    quickstart.context.activities.create(friendly_name="Lunch")
    assert quickstart.plan(definition).checksum != first


def test_urls_are_left_out_until_the_api_has_a_url(live):
    plan = live.apply(read(QUICKSTART), api_url=None)
    assert plan.omitted == (
        "Workspace 'Quickstart': event_callback_url",
        "Workflow 'Incoming Customer Care Requests': assignment_callback_url",
        "Workflow 'Incoming Customer Care Requests': fallback_assignment_callback_url",
    )
    assert live.context.fetch().event_callback_url is None
    assert live.plan(read(QUICKSTART), api_url=None).changes == ()
    assert len(live.plan(read(QUICKSTART)).changes) == 2
