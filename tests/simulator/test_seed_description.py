"""Every field of a Workspace description: its default, its limits and its effect."""

import copy
import json

import pytest

from taskrouter_simulator import seed
from taskrouter_simulator.clock import Clock
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
    return seed.load(engine, description)


def changed(section, **fields):
    """Return MINIMAL with changed fields of the Workspace, or of a section's first item."""
    description = copy.deepcopy(MINIMAL)
    (description[section][0] if section else description).update(fields)
    return description


def refusal(description, **settings):
    with pytest.raises(seed.SeedError) as error:
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
    configuration = {"task_routing": {"default_filter": {"queue": queue.sid}}}
    for workflow in (main, other):
        assert json.loads(workflow.text) == configuration
        assert workflow.assignment_callback_url == "http://app/a"
        assert workflow.fallback_assignment_callback_url == "http://app/f"
        assert workflow.task_reservation_timeout == 77
    assert [main.friendly_name, other.friendly_name] == ["Main", "Other"]


def test_workspace_without_resources_is_loaded():
    workspace = load({"friendly_name": "Empty"}, event_path="")
    assert (workspace.activities, workspace.workflows) == ({}, {})
    assert (workspace.event_callback_url, workspace.default_activity_sid) == ("", "")


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
    [("/x", "http://app/x"), ("", ""), ("https://b/c?d#e", "https://b/c?d#e")],
)
def test_url_may_be_a_path_or_empty(url, expected):
    workspace = load(changed(None, event_callback_url=url))
    assert workspace.event_callback_url == expected
    for name in ("assignment_callback_url", "fallback_assignment_callback_url"):
        workflow = first(load(changed("workflows", **{name: url})).workflows)
        assert getattr(workflow, name) == expected


@pytest.mark.parametrize("url", ["x", None, 7, "ftp://a", ["/x"], "http://"])
def test_invalid_url_is_refused(url):
    reason = "must be a URL, a path that begins with /, or empty, not"
    message = refusal(changed(None, event_callback_url=url))
    assert message == f"event_callback_url {reason} {url!r}"
    for name in ("assignment_callback_url", "fallback_assignment_callback_url"):
        assert refusal(changed("workflows", **{name: url})) == f"{name} {reason} {url!r}"


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
    for value in (minimum - 1, maximum + 1, None, "1", 1.0, True):
        message = f"{field} must be a whole number from {minimum} to {maximum}, not {value!r}"
        assert refusal(description(value)) == message


def test_setting_defines_minimum_reservation_timeout():
    load(changed("workflows", task_reservation_timeout=5), least_reservation_timeout=5)
    message = refusal(changed("workflows", task_reservation_timeout=4), least_reservation_timeout=5)
    assert message == "task_reservation_timeout must be a whole number from 5 to 86400, not 4"


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({}, "'friendly_name' is missing"),
        (changed(None, friendly_name=""), "friendly_name must be a non-empty string, not ''"),
        (changed("workers", friendly_name=7), "friendly_name must be a non-empty string, not 7"),
        (changed(None, multi_task_enabled=0), "multi_task_enabled must be true or false, not 0"),
        (changed("activities", available="x"), "available must be true or false, not 'x'"),
        (changed(None, default_activity="No"), "there is no Activity No"),
        (changed(None, timeout_activity="No"), "there is no Activity No"),
        (changed("workers", activity="No"), "there is no Activity No"),
        (changed("task_queues", reservation_activity="No"), "there is no Activity No"),
        (changed("task_queues", assignment_activity="No"), "there is no Activity No"),
        (changed("workers", capacity={"fax": 1}), "there is no TaskChannel fax"),
        (changed("task_queues", task_order="x"), "task_order must be FIFO or LIFO, not 'x'"),
        (changed("workers", attributes=7), "attributes must be a JSON object, not 7"),
        (
            changed("workers", attributes=[["a", 1]]),
            "attributes must be a JSON object, not [['a', 1]]",
        ),
        (changed("workers", capacity=None), "capacity must be a JSON object, not None"),
        (
            changed("activities", friendly_name="Here"),
            "Activity Here already exists in this workspace",
        ),
        (changed(None, events_filter="x"), "EventsFilter contains unknown event types: x"),
        (
            changed("workers", capacitys={}),
            (
                "workers: unknown field capacitys; the fields are activity, attributes, capacity,"
                " friendly_name; did you mean capacity?"
            ),
        ),
        (
            changed("activities", xyzzy=1),
            "activities: unknown field xyzzy; the fields are available, friendly_name",
        ),
        (
            changed(None, xyzzy=1),
            (
                "the workspace: unknown field xyzzy; the fields are activities,"
                " default_activity, event_callback_url, events_filter, friendly_name,"
                " multi_task_enabled, task_queues, timeout_activity, workers, workflows"
            ),
        ),
        (
            changed("task_queues", xyzzy=1),
            (
                "task_queues: unknown field xyzzy; the fields are assignment_activity,"
                " friendly_name, max_reserved_workers, "
                "reservation_activity, target_workers, task_order"
            ),
        ),
        (
            changed("workflows", xyzzy=1),
            (
                "workflows: unknown field xyzzy; the fields are assignment_callback_url,"
                " configuration, fallback_assignment_callback_url, friendly_name,"
                " task_reservation_timeout"
            ),
        ),
    ],
    ids=range(22),
)
def test_error_names_field_and_reason(description, message):
    assert refusal(description) == message


def test_queue_names_are_replaced_everywhere_in_configuration():
    routing = {
        "filters": [{"targets": [{"queue": "All"}, {"queue": "All", "order_by": "worker.All"}]}],
        "default_filter": {"queue": "All", "note": {"All": "All", "queue": ["All"]}},
    }
    workspace = load(changed("workflows", configuration={"task_routing": routing}))
    sid = first(workspace.queues).sid
    routing["filters"][0]["targets"] = [{"queue": sid}, {"queue": sid, "order_by": "worker.All"}]
    routing["default_filter"]["queue"] = sid
    assert json.loads(first(workspace.workflows).text) == {"task_routing": routing}


def test_error_names_unreadable_file(tmp_path):
    path = tmp_path / "sales.json"
    for text in (None, "{", "[]"):
        if text is not None:
            path.write_text(text)
        with pytest.raises(seed.SeedError) as error:
            seed.read(path)
        assert str(error.value).startswith(f"cannot read a workspace from {path}: ")
