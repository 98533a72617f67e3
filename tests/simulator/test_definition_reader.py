"""The keys and values of a definition, and the difference between absent, null and empty."""

from dataclasses import fields

import pytest

from taskrouter_simulator.definition.document import DefinitionError
from taskrouter_simulator.definition.model import (
    UNMANAGED,
    ActivityDefinition,
    Filter,
    Routing,
    Target,
    TaskChannelDefinition,
    TaskQueueDefinition,
    WorkerDefinition,
    WorkflowDefinition,
    WorkspaceDefinition,
    managed,
    walk_targets,
)
from taskrouter_simulator.definition.reader import from_value, quickstart

SECTIONS = {
    "activities": {"friendly_name": "A"},
    "task_channels": {"unique_name": "a"},
    "task_queues": {"friendly_name": "A"},
    "workflows": {"friendly_name": "A"},
    "workers": {"friendly_name": "A"},
}


def read(**values):
    return from_value({"friendly_name": "X", **values})


def read_item(section, **values):
    (found,) = getattr(read(**{section: [{**SECTIONS[section], **values}]}), section)
    return found


def messages(definition):
    with pytest.raises(DefinitionError) as error:
        from_value(definition)
    document = error.value.document
    prefix = "the workspace cannot be loaded: "
    return [document.describe(item).removeprefix(prefix) for item in error.value.findings]


def item_messages(section, **values):
    found = messages({"friendly_name": "X", section: [{**SECTIONS[section], **values}]})
    return [text.removeprefix(f"{section}[0]: ") for text in found]


def test_absent_keys_are_unmanaged():
    definition = read()
    assert definition.friendly_name == "X"
    for field in fields(WorkspaceDefinition):
        if field.name not in {"friendly_name", "document"}:
            assert getattr(definition, field.name) is UNMANAGED
    assert read_item("activities") == ActivityDefinition(friendly_name="A")
    for section, model in (
        ("task_queues", TaskQueueDefinition),
        ("workflows", WorkflowDefinition),
        ("workers", WorkerDefinition),
        ("activities", ActivityDefinition),
        ("task_channels", TaskChannelDefinition),
    ):
        found = read_item(section)
        values = {field.name: getattr(found, field.name) for field in fields(model)}
        assert values.pop("was", None) is None
        assert values.pop("unique_name" if section == "task_channels" else "friendly_name")
        assert set(values.values()) == {UNMANAGED}


def test_empty_list_is_read_as_an_empty_tuple():
    for section in SECTIONS:
        assert getattr(read(**{section: []}), section) == ()


def test_null_clears_an_optional_value():
    assert read(event_callback_url=None).event_callback_url is None
    assert read(events_filter=None).events_filter is None
    for key in ("assignment_callback_url", "fallback_assignment_callback_url"):
        assert getattr(read_item("workflows", **{key: None}), key) is None
    for key in ("reservation_activity", "assignment_activity"):
        assert getattr(read_item("task_queues", **{key: None}), key) is None
    assert read_item("workers", attributes=None).attributes == {}


@pytest.mark.parametrize(
    ("section", "key"),
    [
        (None, "friendly_name"), (None, "multi_task_enabled"), (None, "prioritize_queue_order"),
        (None, "default_activity"), (None, "timeout_activity"), (None, "activities"),
        (None, "workers"), ("activities", "available"), ("activities", "was"),
        ("task_channels", "friendly_name"), ("task_channels", "channel_optimized_routing"),
        ("task_queues", "target_workers"), ("task_queues", "max_reserved_workers"),
        ("task_queues", "task_order"), ("workflows", "task_reservation_timeout"),
        ("workflows", "configuration"), ("workers", "activity"), ("workers", "capacity"),
    ],
)  # fmt: skip
def test_null_is_rejected_for_a_key_that_cannot_be_cleared(section, key):
    found = (
        item_messages(section, **{key: None})
        if section
        else messages({"friendly_name": "X", key: None})
    )
    assert len(found) == 1
    assert "null" in found[0]


def test_value_of_every_key_is_read():
    assert read_item("activities", available=True, was="B") == ActivityDefinition(
        friendly_name="A", available=True, was="B"
    )
    assert read_item(
        "task_channels", friendly_name="C", channel_optimized_routing=False
    ) == TaskChannelDefinition(unique_name="a", friendly_name="C", channel_optimized_routing=False)
    queue = {
        "target_workers": "", "max_reserved_workers": 2, "task_order": "LIFO",
        "reservation_activity": "R", "assignment_activity": "S", "was": "B",
    }  # fmt: skip
    assert read_item("task_queues", **queue) == TaskQueueDefinition(friendly_name="A", **queue)
    worker = {"attributes": {"a": [1]}, "activity": "R", "capacity": {"voice": 0}, "was": "B"}
    assert read_item("workers", **worker) == WorkerDefinition(friendly_name="A", **worker)
    workspace = {
        "multi_task_enabled": False, "prioritize_queue_order": "LIFO", "default_activity": "D",
        "timeout_activity": "T", "event_callback_url": "https://a",
    }  # fmt: skip
    types = ["task.created", "task.updated", "task.created"]
    assert read(events_filter=types, **workspace) == WorkspaceDefinition(
        friendly_name="X", events_filter=frozenset(types), **workspace
    )


def test_events_filter_may_be_a_comma_separated_string():
    expected = frozenset({"task.created", "task.updated"})
    assert read(events_filter=" task.updated , task.created").events_filter == expected
    assert read(events_filter="").events_filter is None
    assert read(events_filter=" ").events_filter is None


def test_workflow_is_read_with_its_routing():
    target = {
        "queue": "Q", "expression": "worker.a == 1", "priority": 0, "timeout": 1,
        "skip_if": "1==1", "order_by": "worker.b", "known_worker_sid": "task.c",
        "known_worker_friendly_name": "task.d",
    }  # fmt: skip
    item = {"filter_friendly_name": "F", "expression": "e == 1"}
    tasks = {"filters": [{**item, "targets": [target, {}]}], "default_filter": {"queue": "R"}}
    workflow = {
        "assignment_callback_url": "${api}/a",
        "fallback_assignment_callback_url": "${api}/f",
        "task_reservation_timeout": 5,
        "was": "B",
    }
    found = read_item("workflows", configuration={"task_routing": tasks}, **workflow)
    routing = Routing(
        filters=(Filter(targets=(Target(**target), Target()), **item),),
        default_filter=Target(queue="R"),
    )
    assert found == WorkflowDefinition(friendly_name="A", configuration=routing, **workflow)
    assert list(walk_targets(found.configuration)) == [
        (("filters", 0, "targets", 0), Target(**target)),
        (("filters", 0, "targets", 1), Target()),
        (("default_filter",), Target(queue="R")),
    ]


def test_null_in_a_target_means_the_default():
    keys = [field.name for field in fields(Target)]
    tasks = {"default_filter": dict.fromkeys(keys)}
    routing = read_item("workflows", configuration={"task_routing": tasks}).configuration
    assert routing.default_filter == Target()


@pytest.mark.parametrize(
    ("tasks", "omits"), [({}, True), ({"default_filter": None}, False), ({"filters": []}, True)]
)
def test_absent_default_filter_differs_from_null(tasks, omits):
    routing = read_item("workflows", configuration={"task_routing": tasks}).configuration
    assert routing.default_filter is None
    assert routing.omits_default_filter is omits


def test_default_replaces_only_an_unmanaged_value():
    assert managed(UNMANAGED, 3) == 3
    assert managed(0, 3) == 0
    assert managed(None, 3) is None
    assert repr(UNMANAGED) == "UNMANAGED"


@pytest.mark.parametrize("prefix", ["AC", "WS", "WA", "WK", "WQ", "WW", "WC", "TC", "WT", "WR"])
def test_sid_is_rejected_everywhere_except_in_urls(prefix):
    sid = prefix + "0123456789abcdefABCDEF" + "0" * 10
    message = f"contains {sid}; use the name instead"
    assert messages({"friendly_name": sid}) == [f"friendly_name {message}"]
    assert messages({"friendly_name": "X", "default_activity": sid}) == [
        f"default_activity {message}"
    ]
    for section, key in (
        ("activities", "was"), ("task_queues", "friendly_name"), ("task_queues", "target_workers"),
        ("workers", "activity"),
    ):  # fmt: skip
        assert item_messages(section, **{key: f"a == '{sid}'"}) == [f"{key} {message}"]
    assert item_messages("workers", attributes={"a": [1, {"b": sid}], sid: 1}) == [
        f"workers[0].attributes.a[1]: b {message}",
        f"workers[0].attributes: {sid} {message}",
    ]
    tasks = {"default_filter": {"queue": sid}}
    (found,) = item_messages("workflows", configuration={"task_routing": tasks})
    assert found.endswith(f"default_filter: queue {message}")
    url = f"https://example.com/Accounts/{sid}"
    assert read(event_callback_url=url).event_callback_url == url


@pytest.mark.parametrize(
    "text", ["WA" + "0" * 31, "WA" + "0" * 33, "XWA" + "0" * 32, "PN" + "0" * 32]
)
def test_text_that_is_not_a_taskrouter_sid_is_allowed(text):
    assert read(default_activity=text).default_activity == text


@pytest.mark.parametrize(
    ("section", "key", "has_limit"),
    [
        ("activities", "friendly_name", True), ("workers", "friendly_name", True),
        ("task_channels", "friendly_name", True), ("workers", "activity", True),
        ("task_queues", "friendly_name", False), ("workflows", "friendly_name", False),
        ("task_channels", "unique_name", False),
    ],
)  # fmt: skip
def test_names_have_documented_limits(section, key, has_limit):
    assert getattr(read_item(section, **{key: "x" * 64}), key) == "x" * 64
    if has_limit:
        message = f"{key} has 65 characters; the maximum is 64"
        assert item_messages(section, **{key: "x" * 65}) == [message]
    else:
        read_item(section, **{key: "x" * 65})
    assert item_messages(section, **{key: ""})[0] == f"{key} must not be empty"


def test_attributes_have_limits():
    read_item("workers", attributes={"a": "x" * 4086})
    message = "attributes has 4,097 characters as JSON; the maximum is 4,096"
    assert item_messages("workers", attributes={"a": "x" * 4088}) == [message]
    read_item("workers", attributes={"a": "ü" * 4086})
    deep = current = {}
    for _ in range(49):
        current["a"] = current = {}
    read_item("workers", attributes=deep)
    current["a"] = []
    message = "attributes must not be nested more than 50 levels deep"
    assert item_messages("workers", attributes=deep) == [message]
    for _ in range(5000):
        deep = {"a": [deep]}
    assert item_messages("workers", attributes=deep) == [message]
    message = "attributes contains a number that is too large"
    assert item_messages("workers", attributes={"a": float("inf")}) == [message]


def test_incomplete_character_is_rejected():
    message = "friendly_name contains an incomplete Unicode character"
    assert item_messages("workers", friendly_name="\ud800") == [message]
    assert read_item("workers", friendly_name="\ud7ff\ue000🙂").friendly_name


@pytest.mark.parametrize("section", [section for section in SECTIONS if section != "task_channels"])
def test_duplicate_name_in_a_list_is_rejected(section):
    def messages_for(*items):
        return messages({"friendly_name": "X", section: list(items)})

    def problem(index, key, name, title="name"):
        return f"{section}[{index}]: {key}: another item in {section} has the {title} {name!r}"

    a, b = {"friendly_name": "A"}, {"friendly_name": "B"}
    assert messages_for(a, b, a) == [problem(2, "friendly_name", "A")]
    remedy = "; apply this renaming before you give the name to another item"
    assert messages_for(a, {**b, "was": "A"}) == [problem(1, "was", "A") + remedy]
    assert messages_for({**a, "was": "B"}, b) == [problem(0, "was", "B") + remedy]
    equal = f"{section}[0]: was: the previous name equals the name; remove this key"
    assert messages_for({**a, "was": "A"}) == [equal]
    assert messages_for({**a, "was": "C"}, {**b, "was": "C"}) == [
        problem(1, "was", "C", "previous name")
    ]
    read(**{section: [{**a, "was": "C"}, {**b, "was": "D"}]})


def test_only_worker_names_are_case_insensitive():
    names = [{"friendly_name": "Straße"}, {"friendly_name": "STRASSE"}]
    read(activities=names, task_queues=names, workflows=names)
    (message,) = messages({"friendly_name": "X", "workers": names})
    assert message == "workers[1]: friendly_name: another item in workers has the name 'STRASSE'"


def test_renaming_may_change_the_case_of_a_worker_name():
    definition = read(workers=[{"friendly_name": "Bob", "was": "bob"}])
    assert definition.workers[0].was == "bob"
    taken = [{"friendly_name": "Bob"}, {"friendly_name": "Al", "was": "bob"}]
    (message,) = messages({"friendly_name": "X", "workers": taken})
    assert message.startswith("workers[1]: was: another item in workers has the name 'bob'; apply")


def test_duplicate_unique_name_of_a_task_channel_is_rejected():
    (message,) = messages({"friendly_name": "X", "task_channels": [{"unique_name": "a"}] * 2})
    problem = "another item in task_channels has the name 'a'"
    assert message == f"task_channels[1]: unique_name: {problem}"


def test_task_channel_cannot_be_renamed():
    (message,) = item_messages("task_channels", was="b")
    assert message.startswith("a TaskChannel has no key 'was'")


def test_mistakes_in_events_filter_are_described():
    def messages_for(value):
        return messages({"friendly_name": "X", "events_filter": value})

    assert messages_for([]) == [
        (
            "events_filter must not be an empty list, because TaskRouter selects all types if the"
            " filter is empty; to select all types, write null"
        )
    ]
    assert messages_for({}) == ["events_filter must be a list of event types, not a mapping"]
    assert messages_for(7) == ["events_filter must be a list of event types, not 7"]
    assert messages_for([7]) == ["events_filter[0] must be an event type, not 7"]
    assert messages_for(["task.created", "Task.Created"]) == [
        "events_filter[1]: unknown type 'Task.Created'; did you mean task.created?"
    ]


def test_definition_that_is_not_a_mapping_is_rejected():
    message = "the Workspace must be a mapping, not a list"
    assert messages([]) == [message]


def test_all_mistakes_are_found_at_once():
    found = messages(
        {
            "activities": [{"friendly_name": 1}, {}],
            "workers": [{"friendly_name": "A", "x": 1, "capacity": {"voice": -1, "chat": "1"}}],
        }
    )
    assert found == [
        "activities[0]: friendly_name must be a string in quotes, not 1",
        "activities[1]: an Activity lacks the required key friendly_name",
        (
            "workers[0]: a Worker has no key 'x'; use one of friendly_name, was, attributes,"
            " activity, capacity"
        ),
        "workers[0].capacity: voice must be a whole number from 0 to 100000, not -1",
        "workers[0].capacity: chat must be a whole number from 0 to 100000, not '1'",
        "the Workspace lacks the required key friendly_name",
    ]


def test_quickstart_defines_the_workspace_of_the_tutorial():
    definition = quickstart()
    assert [item.friendly_name for item in definition.activities] == [
        "Offline", "Idle", "Busy", "Reserved"
    ]  # fmt: skip
    assert [item.available for item in definition.activities] == [False, True, False, False]
    assert [item.friendly_name for item in definition.workers] == ["Alice", "Bob"]
    (workflow,) = definition.workflows
    assert workflow.assignment_callback_url == "${api}/assignment_callback"
