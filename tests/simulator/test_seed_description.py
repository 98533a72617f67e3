"""Every field of a Workspace definition: its default, its limits and its effect."""

import copy
import json

import pytest

from taskrouter_simulator import seed
from taskrouter_simulator.clock import Clock
from taskrouter_simulator.definition.document import DefinitionError
from taskrouter_simulator.definition.reader import from_value
from taskrouter_simulator.engine import start
from taskrouter_simulator.identifiers import derived_hex
from taskrouter_simulator.settings import Settings

MINIMAL = {
    "friendly_name": "Sales",
    "activities": [{"friendly_name": "Away"}, {"friendly_name": "Here"}],
    "workers": [{"friendly_name": "Zoe"}],
    "task_queues": [{"friendly_name": "All"}],
    "workflows": [
        {
            "friendly_name": name,
            "configuration": {"task_routing": {"default_filter": {"queue": "All"}}},
        }
        for name in ("Main", "Other")
    ],
}
SETTINGS = {
    "callback_base_url": "http://app/",
    "assignment_path": "/a",
    "fallback_path": "/f",
    "event_path": "/e",
    "reservation_timeout": 77,
}


def load(description, **settings):
    engine = start(Settings(**{**SETTINGS, **settings}), Clock(lambda: 7.0), lambda _effect: None)
    return seed.load(engine, from_value(description))


def changed(section, **fields):
    """Return MINIMAL with changed fields of the Workspace, or of a section's first item."""
    description = copy.deepcopy(MINIMAL)
    (description[section][0] if section else description).update(fields)
    return description


def error_for(description, **settings):
    with pytest.raises(DefinitionError) as error:
        load(description, **settings)
    text = str(error.value)
    assert text.startswith("the workspace cannot be loaded: ")
    return text.removeprefix("the workspace cannot be loaded: ")


def first(resources):
    return next(iter(resources.values()))


def test_absent_fields_have_defaults():
    workspace = load(MINIMAL)
    away, here = workspace.activities.values()
    assert workspace.sid == "WS" + derived_hex("workspace")
    assert (workspace.friendly_name, workspace.multi_task_enabled) == ("Sales", True)
    assert (workspace.event_callback_url, workspace.events_filter) == ("http://app/e", "")
    assert workspace.default_activity_sid == workspace.timeout_activity_sid == away.sid
    assert (away.sid, away.available) == ("WA" + derived_hex("activity/Away"), False)
    assert (here.sid, here.available) == ("WA" + derived_hex("activity/Here"), False)
    worker = first(workspace.workers)
    assert (worker.sid, worker.friendly_name) == ("WK" + derived_hex("worker/Zoe"), "Zoe")
    assert (worker.attributes, worker.activity_sid) == ("{}", away.sid)
    assert {channel.capacity for channel in worker.channels.values()} == {1}
    queue = first(workspace.queues)
    assert (queue.sid, queue.friendly_name) == ("WQ" + derived_hex("queue/All"), "All")
    assert (queue.target_workers, queue.task_order) == ("1==1", "FIFO")
    assert queue.max_reserved_workers == 1
    assert (queue.reservation_activity_sid, queue.assignment_activity_sid) == (None, None)
    main, other = workspace.workflows.values()
    assert main.sid == "WW" + derived_hex("workflow")
    assert other.sid == "WW" + derived_hex("workflow/Other")
    configuration = {"task_routing": {"filters": [], "default_filter": {"queue": queue.sid}}}
    for workflow in (main, other):
        assert json.loads(workflow.text) == configuration
        assert workflow.assignment_callback_url == "http://app/a"
        assert workflow.fallback_assignment_callback_url == "http://app/f"
        assert workflow.task_reservation_timeout == 77
    assert [main.friendly_name, other.friendly_name] == ["Main", "Other"]


def test_workspace_without_resources_has_the_activities_of_a_new_workspace():
    workspace = load({"friendly_name": "Empty"}, event_path="")
    activities = {item.friendly_name: item.available for item in workspace.activities.values()}
    assert activities == {"Offline": False, "Available": True, "Unavailable": False}
    offline = "WA" + derived_hex("activity/Offline")
    assert workspace.default_activity_sid == workspace.timeout_activity_sid == offline
    assert (workspace.workflows, workspace.event_callback_url) == ({}, "")


def test_empty_list_of_activities_means_no_activities():
    workspace = load({"friendly_name": "Empty", "activities": []})
    assert (workspace.activities, workspace.default_activity_sid) == ({}, "")


def test_given_fields_replace_defaults():
    workspace = load(
        changed(
            None, multi_task_enabled=False, default_activity="Here", timeout_activity="Here",
            events_filter="task.created", event_callback_url="https://b/c",
        )
    )  # fmt: skip
    away, here = workspace.activities.values()
    assert workspace.multi_task_enabled is False
    assert workspace.default_activity_sid == workspace.timeout_activity_sid == here.sid
    assert workspace.events_filter == "task.created"
    assert workspace.event_callback_url == "https://b/c"
    assert first(workspace.workers).activity_sid == here.sid
    assert first(load(changed("activities", available=True)).activities).available is True
    fields = {"attributes": {"a": [1]}, "activity": "Here", "capacity": {"voice": 0, "chat": 9}}
    workspace = load(changed("workers", **fields))
    worker = first(workspace.workers)
    assert (worker.attributes, worker.activity_sid) == ('{"a": [1]}', here.sid)
    names = {channel.unique_name: sid for sid, channel in workspace.channels.items()}
    capacities = {name: worker.channels[sid].capacity for name, sid in names.items()}
    assert capacities == {"default": 1, "voice": 0, "sms": 1, "chat": 9, "video": 1}
    queue = first(
        load(
            changed(
                "task_queues", target_workers="a == 1", max_reserved_workers=50, task_order="LIFO",
                reservation_activity="Here", assignment_activity="Away",
            )
        ).queues
    )  # fmt: skip
    assert (queue.target_workers, queue.task_order) == ("a == 1", "LIFO")
    assert queue.max_reserved_workers == 50
    assert (queue.reservation_activity_sid, queue.assignment_activity_sid) == (here.sid, away.sid)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/x", "http://app/x"),
        ("${api}/x", "http://app/x"),
        ("${api}", "http://app"),
        ("", ""),
        (None, ""),
        ("https://b/c?d#e", "https://b/c?d#e"),
    ],
)
def test_url_may_be_a_path_or_null(url, expected):
    workspace = load(changed(None, event_callback_url=url))
    assert workspace.event_callback_url == expected
    for name in ("assignment_callback_url", "fallback_assignment_callback_url"):
        workflow = first(load(changed("workflows", **{name: url})).workflows)
        assert getattr(workflow, name) == expected


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("x", "'x'"), (7, "7"), ("ftp://a", "'ftp://a'"), (["/x"], "a list"),
        ("http://", "'http://'"), ("${api}x", "'${api}x'"), ("${app}/x", "'${app}/x'"),
        ("/${api}", "'/${api}'"), ("https://${api}", "'https://${api}'"), (True, "true"),
        ("${api}/a b", "'${api}/a b'"), ({}, "a mapping"),
    ],
)  # fmt: skip
def test_invalid_url_is_rejected(url, shown):
    reason = f"must be a URL, or ${{api}} followed by a path, not {shown}"
    message = error_for(changed(None, event_callback_url=url))
    assert message == f"event_callback_url {reason}"
    for name in ("assignment_callback_url", "fallback_assignment_callback_url"):
        assert error_for(changed("workflows", **{name: url})) == f"workflows[0]: {name} {reason}"


@pytest.mark.parametrize(
    ("section", "field", "minimum", "maximum"),
    [
        ("task_queues", "max_reserved_workers", 1, 50),
        ("workflows", "task_reservation_timeout", 1, 86_400),
        ("workers", "voice", 0, 100_000),
    ],
)
def test_whole_number_has_limits(section, field, minimum, maximum):
    def description(value):
        fields = {field: value} if section != "workers" else {"capacity": {field: value}}
        return changed(section, **fields)

    for value in (minimum, maximum):
        load(description(value))
    where = {"workers": "workers[0].capacity"}.get(section, f"{section}[0]")
    for value, shown in (
        (minimum - 1, minimum - 1), (maximum + 1, maximum + 1), (None, "null"), ("1", "'1'"),
        (1.0, 1.0), (True, "true"),
    ):  # fmt: skip
        message = f"{field} must be a whole number from {minimum} to {maximum}, not {shown}"
        assert error_for(description(value)) == f"{where}: {message}"


def test_minimum_reservation_timeout_is_configurable():
    load(changed("workflows", task_reservation_timeout=5), least_reservation_timeout=5)
    message = error_for(
        changed("workflows", task_reservation_timeout=4), least_reservation_timeout=5
    )
    limits = "task_reservation_timeout must be a whole number from 5 to 86400, not 4"
    assert message == f"workflows[0]: {limits}"


UNKNOWN_ACTIVITY = ": there is no Activity 'Hero'; did you mean 'Here'?"


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({}, "the Workspace lacks the required key friendly_name"),
        (changed(None, friendly_name=" "), "friendly_name must not be empty"),
        (
            changed("workers", friendly_name=7),
            "workers[0]: friendly_name must be a string in quotes, not 7",
        ),
        (
            changed("workers", friendly_name=[]),
            "workers[0]: friendly_name must be a string, not a list",
        ),
        (changed(None, multi_task_enabled=0), "multi_task_enabled must be true or false, not 0"),
        (
            changed("activities", available="x"),
            "activities[0]: available must be true or false, not 'x'",
        ),
        (changed(None, default_activity="Hero"), UNKNOWN_ACTIVITY[2:]),
        (changed(None, timeout_activity="No"), "there is no Activity 'No'"),
        (changed("workers", activity="Hero"), f"workers[0]{UNKNOWN_ACTIVITY}"),
        (changed("task_queues", reservation_activity="Hero"), f"task_queues[0]{UNKNOWN_ACTIVITY}"),
        (changed("task_queues", assignment_activity="Hero"), f"task_queues[0]{UNKNOWN_ACTIVITY}"),
        (
            changed("workers", capacity={"vioce": 1}),
            "workers[0].capacity: there is no TaskChannel 'vioce'; did you mean 'voice'?",
        ),
        (changed("workers", capacity=7), "workers[0]: capacity must be a mapping, not 7"),
        (
            changed("task_queues", task_order="x"),
            "task_queues[0]: task_order must be FIFO or LIFO, not 'x'",
        ),
        (changed("workers", attributes=7), "workers[0]: attributes must be a mapping, not 7"),
        (
            changed("workers", attributes=[["a", 1]]),
            "workers[0]: attributes must be a mapping, not a list",
        ),
        (changed("workers", capacity=None), "workers[0]: capacity must be a mapping, not null"),
        (
            changed("activities", friendly_name="Here"),
            "activities[1]: friendly_name: another item in activities has the name 'Here'",
        ),
        (
            changed(None, events_filter="task.create"),
            "events_filter[0]: unknown type 'task.create'; did you mean task.created?",
        ),
        (
            changed("workers", capacitys={}),
            "workers[0]: a Worker has no key 'capacitys'; did you mean capacity?",
        ),
        (
            changed("activities", xyzzy=1),
            (
                "activities[0]: an Activity has no key 'xyzzy'; use one of friendly_name, was,"
                " available"
            ),
        ),
        (
            changed("task_queues", was="All"),
            "task_queues[0]: was: the previous name equals the name; remove this key",
        ),
        (changed(None, activities={}), "activities must be a list, not a mapping"),
        (
            changed(None, activities=[7]),
            "activities[0] must be a mapping, not 7",
        ),
        (
            changed("task_queues", target_workers="=="),
            (
                "task_queues[0]: target_workers: '==' is not an expression: unexpected '=' at"
                " position 1; expected an attribute or a value"
            ),
        ),
        (
            changed("task_queues", target_workers="worker.sid == '${worker:Zoo}'"),
            "task_queues[0]: there is no Worker 'Zoo'; did you mean 'Zoe'?",
        ),
    ],
    ids=range(26),
)
def test_error_states_location_and_reason(description, message):
    assert error_for(description) == message


def routing(**fields):
    return changed("workflows", configuration={"task_routing": fields})


def one_filter(**fields):
    return routing(filters=[{"targets": [{"queue": "All"}], **fields}])


def two_targets(**fields):
    return one_filter(targets=[{"queue": "All"}, fields])


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (routing(), ": task_routing must have filters or a default_filter"),
        (routing(default_filter=None), ": task_routing must have filters or a default_filter"),
        (routing(filters=1), ".task_routing: filters must be a list, not 1"),
        (routing(default_filter={}), ".task_routing: default_filter must have a queue"),
        (
            routing(default_filter={"queue": "Al"}),
            ".task_routing.default_filter: there is no TaskQueue 'Al'; did you mean 'All'?",
        ),
        (
            routing(default_filter={"queue": "All", "note": 1}),
            ".task_routing.default_filter: a target has no key 'note'; use one of queue",
        ),
    ],
    ids=range(6),
)
def test_error_states_location_in_configuration(description, message):
    assert error_for(description).startswith("workflows[0].configuration" + message)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (one_filter(targets=[]), ": targets must not be empty"),
        (
            one_filter(targets=[{"priority": 1}]),
            ".targets[0]: the first target of a filter must have a queue",
        ),
        (two_targets(queue="No"), ".targets[1]: there is no TaskQueue 'No'"),
        (one_filter(expression="a b"), ": expression: 'a b' is not an expression"),
        (
            one_filter(expression=""),
            ": expression must not be empty; remove the key",
        ),
        (two_targets(skip_if="workers.gone == 1"), ".targets[1]: skip_if: workers.gone is not"),
        (two_targets(order_by="level"), ".targets[1]: order_by: level must begin with `worker.`"),
        (two_targets(known_worker_sid="="), ".targets[1]: known_worker_sid: '=' is not a refer"),
        (
            two_targets(timeout=0),
            ".targets[1]: timeout must be a whole number from 1 to 2147483647, not 0",
        ),
        (
            two_targets(priority=-1),
            ".targets[1]: priority must be a whole number from 0 to 2147483647, not -1",
        ),
    ],
    ids=range(10),
)
def test_error_states_location_in_filter(description, message):
    place = "workflows[0].configuration.task_routing.filters[0]"
    assert error_for(description).startswith(place + message)


def test_configuration_contains_sids_instead_of_names():
    workspace = load(
        routing(
            filters=[
                {
                    "filter_friendly_name": "VIP",
                    "expression": "vip == true",
                    "targets": [
                        {
                            "queue": "All", "timeout": 5, "priority": 0,
                            "skip_if": "workers.${activity:Here} == 0",
                        },
                        {"expression": "worker.sid != '${worker:Zoe}'", "order_by": "worker.All"},
                    ],
                },
                {"targets": [{"queue": "All", "known_worker_friendly_name": "task.All"}]},
            ],
            default_filter=None,
        )
    )  # fmt: skip
    queue, here = first(workspace.queues).sid, "WA" + derived_hex("activity/Here")
    zoe = first(workspace.workers).sid
    assert json.loads(first(workspace.workflows).text) == {
        "task_routing": {
            "filters": [
                {
                    "filter_friendly_name": "VIP",
                    "expression": "vip == true",
                    "targets": [
                        {
                            "queue": queue, "timeout": 5, "priority": 0,
                            "skip_if": f"workers.{here} == 0",
                        },
                        {"expression": f"worker.sid != '{zoe}'", "order_by": "worker.All"},
                    ],
                },
                {
                    "expression": "1==1",
                    "targets": [{"queue": queue, "known_worker_friendly_name": "task.All"}],
                },
            ]
        }
    }  # fmt: skip


@pytest.mark.parametrize(
    ("variable", "kind"),
    [
        ("activity", "Activity"),
        ("task_channel", "TaskChannel"),
        ("task_queue", "TaskQueue"),
        ("worker", "Worker"),
        ("workflow", "Workflow"),
        ("queue", "queue"),
    ],
)
def test_error_for_a_variable_states_the_kind_of_the_unknown_resource(variable, kind):
    text = f"worker.sid == '${{{variable}:Nobody}}'"
    message = f"task_queues[0]: there is no {kind} 'Nobody'"
    assert error_for(changed("task_queues", target_workers=text)) == message


def test_null_activity_of_task_queue_means_no_activity():
    description = changed("activities", friendly_name="Reserved")
    description["activities"][1]["friendly_name"] = "Busy"
    reserved, busy = (f"WA{derived_hex(f'activity/{name}')}" for name in ("Reserved", "Busy"))
    queue = first(load(description).queues)
    assert (queue.reservation_activity_sid, queue.assignment_activity_sid) == (reserved, busy)
    description["task_queues"][0] |= {"reservation_activity": None, "assignment_activity": None}
    queue = first(load(description).queues)
    assert (queue.reservation_activity_sid, queue.assignment_activity_sid) == (None, None)


def test_task_channels_are_created_and_built_in_channels_are_renamed():
    description = changed("workers", capacity={"email": 4, "voice": 2})
    description["task_channels"] = [
        {"unique_name": "email"},
        {"unique_name": "voice", "friendly_name": "Phone", "channel_optimized_routing": True},
        {"unique_name": "fax", "friendly_name": "Fax"},
        {"unique_name": "sms"},
    ]
    workspace = load(description)
    channels = {
        item.unique_name: (item.friendly_name, item.channel_optimized_routing)
        for item in workspace.channels.values()
    }
    assert channels == {
        "default": ("Default", False), "voice": ("Phone", True), "sms": ("Sms", False),
        "chat": ("Chat", False), "video": ("Video", False), "email": ("email", False),
        "fax": ("Fax", False),
    }  # fmt: skip
    worker = first(workspace.workers)
    capacities = {
        workspace.channels[sid].unique_name: item.capacity for sid, item in worker.channels.items()
    }
    assert capacities == {
        "default": 1, "voice": 2, "sms": 1, "chat": 1, "video": 1, "email": 4, "fax": 1
    }  # fmt: skip


def test_invalid_name_of_task_channel_is_rejected():
    message = error_for(changed(None, task_channels=[{"unique_name": "e-mail"}]))
    assert message.startswith("task_channels[0]: UniqueName e-mail must consist of letters")


def test_preferred_queue_order_is_fifo_unless_the_workspace_specifies_lifo():
    assert load(MINIMAL).prioritize_queue_order == "FIFO"
    assert load(changed(None, prioritize_queue_order="LIFO")).prioritize_queue_order == "LIFO"


def test_events_filter_may_be_a_list_of_event_types():
    types = ["task.created", "reservation.created"]
    workspace = load(changed(None, events_filter=types))
    assert workspace.events_filter == "reservation.created,task.created"
    assert load(changed(None, events_filter=None)).events_filter == ""


def test_empty_target_workers_expression_is_preserved():
    assert first(load(changed("task_queues", target_workers="")).queues).target_workers == ""


def test_settings_define_the_callbacks_of_the_default_workspace():
    settings = {**SETTINGS, "fallback_path": ""}
    engine = start(Settings(**settings), Clock(lambda: 7.0), lambda _effect: None)
    workspace = seed.load(engine, seed.default_definition())
    workflow = first(workspace.workflows)
    assert workspace.event_callback_url == "http://app/e"
    assert workflow.assignment_callback_url == "http://app/a"
    assert workflow.fallback_assignment_callback_url == ""
    assert workflow.task_reservation_timeout == 77


def test_first_mistake_is_described_and_others_are_counted():
    description = changed(None, multi_task_enabled=0, default_activity=7)
    reason = "multi_task_enabled must be true or false, not 0"
    assert error_for(description) == f"{reason} (1 more mistake)"
    description["timeout_activity"] = 7
    assert error_for(description) == f"{reason} (2 more mistakes)"
