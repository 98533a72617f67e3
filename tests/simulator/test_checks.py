"""Mistakes in a definition are reported with severity and location."""

import copy
import io
import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from taskrouter_simulator.checks.definition import check, check_document
from taskrouter_simulator.definition import reader
from taskrouter_simulator.definition.document import Document, parse
from taskrouter_simulator.engine import workflows
from taskrouter_simulator.settings import Settings
from taskrouter_simulator.testing import running

WORKSPACES = sorted((Path(__file__).parent / "workspaces").glob("*.yaml"))

MINIMAL = {
    "friendly_name": "Sales",
    "activities": [{"friendly_name": "Away"}, {"friendly_name": "Here", "available": True}],
    "task_queues": [
        {"friendly_name": "All"},
        {"friendly_name": "VIP", "target_workers": "vip == 1"},
    ],
    "workflows": [
        {
            "friendly_name": "Main",
            "configuration": {"task_routing": {"default_filter": {"queue": "All"}}},
        }
    ],
    "workers": [
        {"friendly_name": "Zoe", "attributes": {"vip": 1, "skills": ["a"], "team": "x"}},
        {"friendly_name": "Yan", "attributes": {"level": 3, "deep": {"list": []}}},
    ],
}


def changed(section, **fields):
    """Return MINIMAL with changed fields of the Workspace, or of a section's first item."""
    definition = copy.deepcopy(MINIMAL)
    (definition[section][0] if section else definition).update(fields)
    return definition


def findings(definition):
    document = Document("", definition)
    return [
        ": ".join(filter(None, [item.severity, document.location(item.path), item.message]))
        for item in check_document(document)
    ]


def routing(*filters, **fields):
    fields.setdefault("default_filter", None)
    value = {"filters": list(filters), **fields}
    return changed("workflows", configuration={"task_routing": value})


def make_filter(expression, *targets, **fields):
    fields |= {"expression": expression} if expression else {}
    return {**fields, "targets": list(targets or [{"queue": "All"}])}


PLACE = "workflows[0].configuration.task_routing"


def routing_findings(*filters, **fields):
    return [text.replace(f" {PLACE}", " ") for text in findings(routing(*filters, **fields))]


def test_minimal_definition_and_quickstart_have_no_mistakes():
    assert findings(MINIMAL) == []
    assert check(reader.quickstart()) == []
    assert findings({"friendly_name": "Empty"}) == []


@pytest.mark.parametrize("file", WORKSPACES, ids=lambda file: file.stem)
def test_workspace_file_has_no_mistakes_and_is_loaded_by_the_simulator(file):
    definition = reader.read(file)
    assert check(definition) == []
    with running(workspace_file=str(file)) as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        assert workspace.fetch().friendly_name == definition.friendly_name
        assert list(taskrouter.task_queues) == [
            queue.friendly_name for queue in definition.task_queues
        ]
        names = [workflow.friendly_name for workflow in workspace.workflows.list()]
        assert names == [workflow.friendly_name for workflow in definition.workflows]


def test_five_workspace_files_are_checked():
    assert [file.stem for file in WORKSPACES] == [
        "flex-default", "multi-channel", "overflow", "quickstart", "skills-with-escalation"
    ]  # fmt: skip


def test_mistakes_that_prevent_reading_are_reported_as_findings():
    assert sorted(findings(changed("workers", capacitys={}, activity=7))) == [
        "error: workers[0]: a Worker has no key 'capacitys'; did you mean capacity?",
        "error: workers[0]: activity must be a string in quotes, not 7",
    ]


def test_findings_are_in_document_order_and_have_sources():
    text = (
        "friendly_name: X\n"
        "workers:\n"
        "  - friendly_name: Zoe\n"
        "    attributes: {the-skill: 1}\n"
        "task_queues:\n"
        "  - friendly_name: Q\n"
        "    target_workers: a ==\n"
        "  - friendly_name: R\n"
        "    reservation_activity: Here\n"
        "activities: []\n"
    )
    document = parse(text.encode(), "f")
    found = check_document(document)
    assert [document.position(finding.path) for finding in found] == [
        (3, 5), (4, 18), (7, 5), (9, 5)
    ]  # fmt: skip
    assert all(finding.source for finding in found)


NAMES = {
    "default_activity": lambda name: changed(None, default_activity=name),
    "timeout_activity": lambda name: changed(None, timeout_activity=name),
    "reservation": lambda name: changed("task_queues", reservation_activity=name),
    "assignment": lambda name: changed("task_queues", assignment_activity=name),
    "worker": lambda name: changed("workers", activity=name),
    "skip_if": lambda name: routing(
        make_filter(None, {"queue": "All", "skip_if": f"workers.${{activity:{name}}} == 0"})
    ),
}


@pytest.mark.parametrize("place", NAMES)
def test_name_of_a_missing_activity_is_an_error_only_if_activities_are_listed(place):
    definition = NAMES[place]("Hera")
    (message,) = [text for text in findings(definition) if text.startswith("error")]
    assert message.endswith("there is no Activity 'Hera'; did you mean 'Here'?")
    del definition["activities"]
    assert [text for text in findings(definition) if text.startswith("error")] == []


@pytest.mark.parametrize(
    ("definition", "section", "kind", "name"),
    [
        (routing(default_filter={"queue": "Vip"}), "task_queues", "TaskQueue", "VIP"),
        (
            changed("task_queues", target_workers="worker.sid != '${worker:Zoo}'"),
            "workers", "Worker", "Zoe",
        ),
    ],
)  # fmt: skip
def test_name_of_a_missing_resource_is_an_error_only_if_such_resources_are_listed(
    definition, section, kind, name
):
    (message,) = findings(definition)
    assert f"there is no {kind} " in message
    assert message.endswith(f"; did you mean {name!r}?")
    del definition[section]
    assert findings(definition) == []


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (changed("workers", capacity={"fax": 1}), "workers[0].capacity: there is no TaskChannel"),
        (
            changed("task_queues", target_workers="worker.channel.fax.assigned_tasks == 0"),
            "task_queues[0]: target_workers: worker.channel.fax.assigned_tasks is not known",
        ),
    ],
)
def test_name_of_a_missing_task_channel_is_an_error_only_if_channels_are_listed(
    definition, message
):
    definition["task_channels"] = []
    (found,) = findings(definition)
    assert found.startswith(f"error: {message}")
    del definition["task_channels"]
    assert findings(definition) == []
    definition["task_channels"] = [{"unique_name": "fax"}]
    assert findings(definition) == []


def with_mistakes():
    """Return a definition whose mistakes are found only after the definition has been read."""
    target = {"queue": "Gone", "expression": "worker.a-b == 1"}
    definition = routing(make_filter("1 == 2", target))
    definition["default_activity"] = "Gone"
    definition["task_queues"][1]["target_workers"] = "vip =="
    definition["workers"][0]["capacity"] = {"fax": 1}
    definition["task_channels"] = [{"unique_name": "mail"}]
    return definition


def paths_of_mappings(value, path=()):
    """Yield the paths of all mappings whose keys the format defines."""
    if isinstance(value, dict):
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in items:
        if isinstance(part, dict | list) and key not in {"attributes", "capacity"}:
            yield from paths_of_mappings(part, (*path, key))


@pytest.mark.parametrize("path", [*paths_of_mappings(with_mistakes())], ids=str)
def test_unknown_key_does_not_hide_other_mistakes(path):
    definition = with_mistakes()
    others = findings(definition)
    assert len(others) == 7
    owner = definition
    for key in path:
        owner = owner[key]
    owner["bogus"] = 1
    found = findings(definition)
    (own,) = [text for text in found if "has no key 'bogus'" in text]
    assert sorted(found) == sorted([own, *others])


@pytest.mark.parametrize("style", ["block", "flow", "json", "first key"])
@pytest.mark.parametrize("path", [*paths_of_mappings(with_mistakes())], ids=str)
def test_unknown_key_is_reported_at_its_own_position(path, style):
    definition = with_mistakes()
    owner = definition
    for key in path:
        owner = owner[key]
    values = dict(owner)
    owner.clear()
    owner |= {"bogus": 1} | values if style == "first key" else values | {"bogus": 1}
    if style == "json":
        text = json.dumps(definition, indent=3)
    else:
        stream = io.StringIO()
        yaml = YAML(typ="safe", pure=True)
        yaml.default_flow_style, yaml.sort_base_mapping_type_on_output = style == "flow", False
        yaml.dump(definition, stream)
        text = stream.getvalue()
    before, key, _ = text.partition('"bogus"' if style == "json" else "bogus")
    assert key
    document = parse(text.encode(), "f")
    (unknown_key,) = [
        finding for finding in check_document(document) if "'bogus'" in finding.message
    ]
    column = len(before) - before.rfind("\n")
    assert document.position(unknown_key.path) == (before.count("\n") + 1, column)


def test_missing_or_invalid_workspace_name_does_not_hide_other_mistakes():
    definition = with_mistakes()
    others = findings(definition)
    for name, message in ((7, "must be a string in quotes, not 7"), ("", "must not be empty")):
        definition["friendly_name"] = name
        own = f"error: friendly_name {message}"
        assert sorted(findings(definition)) == sorted([own, *others])
    del definition["friendly_name"]
    missing = "error: the Workspace lacks the required key friendly_name"
    assert sorted(findings(definition)) == sorted([missing, *others])


@pytest.mark.parametrize(
    ("path", "value", "hidden"),
    [
        (("default_activity",), 1, ["there is no Activity 'Gone'"]),
        (("prioritize_queue_order",), "LAST", []),
        (("multi_task_enabled",), 1, []),
        (("event_callback_url",), "ftp://a", []),
        (("events_filter",), [], []),
        (("activities", 0, "available"), 1, []),
        (("task_queues", 0, "max_reserved_workers"), 0, []),
        (("task_queues", 1, "target_workers"), None, ["task_queues[1]: target_workers"]),
        (("workflows", 0, "task_reservation_timeout"), 0, []),
        (("workflows", 0, "assignment_callback_url"), 1, []),
        (("workflows", 0, "was"), 1, []),
        (("workflows", 0, "configuration", "task_routing", "default_filter"), 1, ["workflows"]),
        (("workflows", 0, "configuration", "task_routing", "filters"), 1, ["workflows"]),
        (("workflows", 0, "configuration", "task_routing", "filters", 0, "targets"), 1,
         ["workflows"]),
        (("workflows", 0, "configuration", "task_routing", "filters", 0, "targets", 0, "timeout"),
         0, ["workflows"]),
        (("workers", 0, "attributes"), 1, ["error: workers"]),
        (("workers", 1, "capacity"), {"voice": -1}, ["error: workers"]),
        (("workers", 0, "attributes"), {"a": "x" * 4096}, []),
        (("activities", 0, "friendly_name"), "x" * 65, []),
        (("workers", 1, "friendly_name"), "WK" + "0" * 32, []),
        (("workers", 0, "friendly_name"), "Yan", ["error: workers"]),
        (("activities", 0, "friendly_name"), None, ["there is no Activity 'Gone'"]),
        (("task_queues", 0, "friendly_name"), " ", ["task_queues[1]", "no TaskQueue 'Gone'"]),
    ],
)  # fmt: skip
def test_unusable_value_hides_only_dependent_findings(path, value, hidden):
    definition = with_mistakes()
    others = [text for text in findings(definition) if not any(part in text for part in hidden)]
    owner = definition
    for key in path[:-1]:
        owner = owner[key]
    owner[path[-1]] = value
    found = findings(definition)
    new = [text for text in found if text not in others]
    assert len(new) == 1
    assert sorted(found) == sorted([*others, *new])


def test_configuration_that_is_not_managed_is_allowed():
    definition = copy.deepcopy(MINIMAL)
    del definition["workflows"][0]["configuration"]
    assert findings(definition) == []


def test_hyphen_in_the_name_of_an_attribute_causes_a_warning():
    attributes = {"vip": 1, "a-b": {"c": 1, "d-e": 2}, "list": [{"f-g": 1}], "text": "h-i"}
    reason = "because the name has a hyphen"
    assert findings(changed("workers", attributes=attributes)) == [
        f"warning: workers[0].attributes: expressions cannot refer to a-b, {reason}",
        f"warning: workers[0].attributes.a-b: expressions cannot refer to d-e, {reason}",
    ]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a-b == 1", "a-b"),
        ("team == 'x-y' AND task-type == 1", "task-type"),
        ("worker.a-b-c HAS 'x'", "a-b-c"),
        ("a-1 == 1", "a-1"),
    ],
)
def test_hyphen_in_a_name_in_an_expression_is_an_error(text, name):
    assert findings(changed("task_queues", target_workers=text)) == [
        f"error: task_queues[0]: target_workers: the name {name} must not contain a hyphen"
    ]


@pytest.mark.parametrize("text", ["team == 'x-y' OR team == 'x'", 'team != "a-b"', "vip > -5"])
def test_hyphen_in_a_value_is_allowed(text):
    assert findings(changed("task_queues", target_workers=text)) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("team HAS 'x'", "HAS: the team attribute of Worker Zoe is not a list"),
        ("worker.team HAS 'x'", "HAS: the team attribute of Worker Zoe is not a list"),
        ("level HAS 3", "HAS: the level attribute of Worker Yan is not a list"),
        ("deep HAS 3", "HAS: the deep attribute of Worker Yan is not a list"),
        ("deep.list[0] HAS 3 OR 'x' IN team", "IN: the team attribute of Worker Zoe is not a list"),
        ("'x' NOT IN worker.team", "NOT IN: the team attribute of Worker Zoe is not a list"),
        ("skills == 'a'", "==: the skills attribute of Worker Zoe is a list"),
        ("skills CONTAINS 'a'", "CONTAINS: the skills attribute of Worker Zoe is a list"),
        ("'a' != worker.skills", "!=: the skills attribute of Worker Zoe is a list"),
        ("1 < deep.list", "<: the deep.list attribute of Worker Yan is a list"),
    ],
)
def test_comparison_with_an_attribute_of_the_wrong_type_is_an_error(text, reason):
    hint = "; use HAS" if "is a list" in reason else ""
    message = f"{reason}, so the comparison is false{hint}"
    assert findings(changed("task_queues", target_workers=text)) == [
        f"error: task_queues[0]: target_workers: {message}"
    ]
    if "worker." in text:
        found = routing_findings(make_filter(None, {"queue": "All", "expression": text}))
        assert found == [f"error: .filters[0].targets[0]: expression: {message}"]


@pytest.mark.parametrize(
    "text",
    [
        "skills HAS 'a'", "'a' IN skills", "'b' NOT IN skills", "team IN ['x']", "skills != null",
        "null == skills OR vip == 1", "missing HAS 'x' OR vip == 1", "skills[0] == 'a'",
        "deep.list HAS 1 OR vip == 1",
    ],
)  # fmt: skip
def test_comparison_with_an_attribute_of_the_right_type_is_allowed(text):
    assert findings(changed("task_queues", target_workers=text)) == []


def test_target_of_an_unmanaged_task_queue_is_checked_against_all_declared_workers():
    definition = routing(make_filter(None, {"queue": "Other", "expression": "worker.team HAS 'x'"}))
    del definition["task_queues"]
    (message,) = findings(definition)
    assert "expression: HAS: the team attribute of Worker Zoe is not a list" in message


def test_types_of_task_attributes_are_not_checked():
    target = {"queue": "All", "expression": "task.team HAS worker.team OR worker.team IN task.team"}
    assert routing_findings(make_filter("team HAS 'x'", target)) == []


def test_repeated_wrong_comparison_with_an_attribute_is_reported_once():
    text = "team HAS 'x' OR team HAS 'y' OR vip HAS 1"
    assert len(findings(changed("task_queues", target_workers=text))) == 2


NO_WORKER = "no declared Worker can match the expression"


@pytest.mark.parametrize(
    "text",
    [
        "vip == 2", "missing == 1", "1 == 2", "skills HAS 'b'", "worker.activity_name == 'Gone'",
        "worker.friendly_name == 'zoe'", "level > 3 AND vip == 1", "level == 3 AND vip == 1",
    ],
)  # fmt: skip
def test_expression_that_matches_no_declared_worker_causes_a_warning(text):
    definition = changed("task_queues", target_workers=text)
    assert findings(definition) == [f"warning: task_queues[0]: target_workers: {NO_WORKER}"]
    definition["workers"] = []
    assert findings(definition) == []
    del definition["workers"]
    assert findings(definition) == []


@pytest.mark.parametrize(
    "text",
    [
        "worker.activity_name == 'Here'",
        "worker.activity_sid == '${activity:Here}'",
        "worker.channel.voice.assigned_tasks > 5",
        "worker.friendly_name == 'Yan'",
        "worker.sid == '${worker:Yan}'",
        "level == 3 OR vip == 2",
    ],
)
def test_expression_that_a_worker_may_match_in_some_state_is_allowed(text):
    assert findings(changed("task_queues", target_workers=text)) == []


def test_target_that_no_member_of_its_task_queue_matches_causes_a_warning():
    def warnings_for(text, queue="VIP"):
        first = {"queue": queue, "timeout": 5}
        return routing_findings(make_filter(None, first, {"expression": text}))

    warning = f"warning: .filters[0].targets[1]: expression: {NO_WORKER}"
    assert warnings_for("worker.level == 3") == [warning]
    assert warnings_for("worker.level == 3", "All") == []
    assert warnings_for("worker.level == task.level") == []
    assert warnings_for("worker.vip == 1") == []
    assert warnings_for("1 == 2") == [warning]


def test_target_of_a_task_queue_without_members_has_no_further_warning():
    definition = routing(make_filter(None, {"queue": "VIP", "expression": "worker.level == 3"}))
    definition["task_queues"][1]["target_workers"] = "vip == 9"
    assert findings(definition) == [f"warning: task_queues[1]: target_workers: {NO_WORKER}"]


@pytest.mark.parametrize("text", ["", " "])
def test_empty_target_workers_expression_causes_a_warning(text):
    assert findings(changed("task_queues", target_workers=text)) == [
        (
            "warning: task_queues[0]: an empty expression matches no Worker, so Tasks wait in this"
            " TaskQueue"
        )
    ]


def test_absent_default_filter_causes_a_warning_unless_a_filter_matches_all_tasks():
    definition = routing(make_filter("a == 1"))
    assert findings(definition) == []
    tasks = definition["workflows"][0]["configuration"]["task_routing"]
    del tasks["default_filter"]
    assert findings(definition) == [
        (
            "warning: workflows[0].configuration: there is no default_filter, so Tasks that match"
            " no filter are canceled; write default_filter: null if that is intended"
        )
    ]
    for expression in (None, "1 = 1", "'a' IN ['a']"):
        tasks["filters"] = [make_filter("a == 1"), make_filter(expression)]
        assert findings(definition) == []


BLOCKED = "and its last target has neither timeout nor skip_if"


def test_filter_after_a_filter_that_matches_all_tasks_is_not_reached():
    message = f"no Task reaches this filter, because filter F matches all Tasks, {BLOCKED}"
    assert routing_findings(
        make_filter("a == 1"),
        make_filter(None, filter_friendly_name="F"),
        make_filter("b == 1"),
        make_filter(None),
    ) == [f"warning: .filters[2]: {message}", f"warning: .filters[3]: {message}"]


def test_filter_that_repeats_the_expression_of_a_preceding_filter_is_not_reached():
    message = (
        f"no Task reaches this filter, because filter number 2 matches the same Tasks, {BLOCKED}"
    )
    assert routing_findings(make_filter("b == 1"), make_filter("a == 1"), make_filter(" a=1")) == [
        f"warning: .filters[2]: {message}"
    ]


@pytest.mark.parametrize("end", [{"timeout": 5}, {"skip_if": "workers.available == 0"}])
def test_tasks_leave_a_catch_all_filter_only_if_its_last_target_can_time_out_or_be_skipped(end):
    first = make_filter(None, {"queue": "All", "timeout": 5}, {"queue": "VIP", **end})
    assert routing_findings(first, make_filter("b == 1")) == []
    first = make_filter(None, {"queue": "All", **end}, {"queue": "VIP"})
    (warning,) = routing_findings(first, make_filter("b == 1"))
    assert warning.startswith("warning: .filters[1]: no Task reaches this filter")


def test_filters_whose_expressions_are_always_false_are_not_reached():
    message = "no Task reaches this filter, because its expression is always false"
    assert routing_findings(make_filter("1 == 2"), make_filter("a == 1")) == [
        f"warning: .filters[0]: {message}"
    ]
    found = routing_findings(make_filter("1 == 2"), make_filter("'x' == 'y'"))
    assert found == [
        "error: : no Task can reach a target of this Workflow",
        f"warning: .filters[0]: {message}",
        f"warning: .filters[1]: {message}",
    ]
    assert "error" not in str(
        routing_findings(make_filter("1 == 2"), default_filter={"queue": "All"})
    )


def test_target_after_a_target_that_cannot_time_out_or_be_skipped_causes_a_warning():
    message = (
        "Tasks that wait for a free Worker never reach this target, because the preceding target"
        " has neither timeout nor skip_if"
    )
    targets = [
        {"queue": "All"},
        {"timeout": 5},
        {"skip_if": "workers.available == 0"},
        {},
        {"queue": "VIP"},
    ]
    assert routing_findings(make_filter("a == 1", *targets)) == [
        f"warning: .filters[0].targets[1]: {message}",
        f"warning: .filters[0].targets[4]: {message}",
    ]


def test_target_beyond_the_lifetime_of_a_task_causes_a_warning():
    def warnings_for(*timeouts):
        targets = [{"queue": "All", "timeout": timeout} for timeout in timeouts]
        return routing_findings(make_filter("a == 1", *targets))

    assert warnings_for(86_399, 1) == []
    assert warnings_for(43_200, 43_200, 7) == [
        (
            "warning: .filters[0].targets[2]: Tasks would reach this target after 86,400 seconds,"
            " but they are canceled after 86,400 seconds unless they are created with a longer"
            " Timeout"
        )
    ]


def test_default_filter_that_no_task_reaches_causes_a_warning():
    default = {"queue": "VIP"}
    skip = {"queue": "All", "skip_if": "workers.available == 0"}
    message = "no Task reaches the default filter, because another filter matches all Tasks"
    warning = [f"warning: : {message}"]
    assert (
        routing_findings(make_filter("a == 1"), make_filter(None), default_filter=default)
        == warning
    )
    timeout = {"queue": "All", "timeout": 5}
    assert routing_findings(make_filter(None, skip, timeout), default_filter=default) == warning
    assert routing_findings(make_filter(None, skip, skip), default_filter=default) == []
    assert routing_findings(make_filter("a == 1"), default_filter=default) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("expression", "worker.vip == 1"),
        ("timeout", 5),
        ("skip_if", "workers.available == 0"),
        ("order_by", "worker.level"),
    ],
)
def test_undocumented_key_of_the_default_filter_causes_a_warning(key, value):
    assert routing_findings(default_filter={"queue": "All", "priority": 3, key: value}) == [
        (
            f"warning: .default_filter: {key}: Twilio documents only queue and priority for"
            " default_filter"
        )
    ]


def test_events_filter_causes_a_warning_if_the_event_callback_url_is_null():
    definition = changed(None, event_callback_url=None, events_filter=["task.created"])
    assert findings(definition) == [
        "warning: events_filter has no effect, because event_callback_url is null"
    ]
    assert findings(changed(None, event_callback_url=None, events_filter=None)) == []
    assert findings(changed(None, events_filter=["task.created"])) == []


def test_fallback_url_causes_a_warning_if_the_assignment_callback_url_is_null():
    key = "fallback_assignment_callback_url"
    definition = changed("workflows", assignment_callback_url=None, **{key: "/f"})
    assert findings(definition) == [
        f"warning: workflows[0]: {key} has no effect, because assignment_callback_url is null"
    ]
    assert findings(changed("workflows", assignment_callback_url=None, **{key: None})) == []
    assert findings(changed("workflows", assignment_callback_url="/a", **{key: "/f"})) == []


def test_fallback_url_causes_a_warning_if_the_assignment_callback_url_is_absent():
    key = "fallback_assignment_callback_url"
    assert findings(changed("workflows", **{key: "/f"})) == [
        (
            f"warning: workflows[0]: {key} may have no effect, because assignment_callback_url is "
            "absent"
        )
    ]
    assert findings(changed("workflows", **{key: None})) == []


@pytest.mark.parametrize(
    ("key", "maximum", "name"),
    [("activities", 100, "friendly_name"), ("task_channels", 15, "unique_name")],
)
def test_number_of_resources_has_a_limit(key, maximum, name):
    items = [{name: f"x{number}"} for number in range(maximum)]
    definition = {"friendly_name": "X", key: items}
    assert findings(definition) == []
    items.append({name: "y"})
    (message,) = findings(definition)
    assert message.endswith(
        f"{key} has {maximum + 1} items, but TaskRouter allows {maximum} by default; Twilio may"
        " increase the limit"
    )


def test_configuration_has_a_maximum_size(monkeypatch):
    assert workflows.MAX_CONFIGURATION == 1_038_576
    definition = routing(make_filter("a == 1"))
    filters = [make_filter("a == 1", {"queue": "WQ" + "0" * 32})]
    size = len(json.dumps({"task_routing": {"filters": filters}}))
    monkeypatch.setattr(workflows, "MAX_CONFIGURATION", size)
    assert findings(definition) == []
    monkeypatch.setattr(workflows, "MAX_CONFIGURATION", size - 1)
    (finding,) = check_document(Document("", definition))
    limit = f"the maximum is {size - 1}"
    assert finding.message == f"the configuration is {size} bytes long as JSON; {limit}"
    assert finding.source == "https://www.twilio.com/docs/taskrouter/limits"


def test_capacity_has_a_limit():
    assert findings(changed("workers", capacity={"voice": 50})) == []
    (message,) = findings(changed("workers", capacity={"voice": 51}))
    limit = "voice is 51, but TaskRouter allows 50 by default; Twilio may increase the limit"
    assert message == f"warning: workers[0].capacity: {limit}"


def test_check_does_not_depend_on_settings_of_the_simulator(monkeypatch):
    monkeypatch.setenv("SIMULATOR_LEAST_RESERVATION_TIMEOUT", "100")
    assert Settings().least_reservation_timeout == 1
    assert findings(changed("workflows", task_reservation_timeout=1)) == []


def test_messages_contain_names_of_activities_instead_of_sids():
    target = {"queue": "Q", "skip_if": "workers.foo == 0"}
    other = {"queue": "Q", "skip_if": "workers.${activity:Nope} == 0"}
    routing = {"task_routing": {"filters": [{"targets": [target, other]}]}}
    workflow = {"friendly_name": "W", "configuration": routing}
    value = {"friendly_name": "X", "workflows": [workflow]}
    messages = [finding.message for finding in check_document(Document("x", value))]
    choices = "available, unavailable, ${activity:Nope}"
    assert f"skip_if: workers.foo is not known: foo is not one of {choices}" in messages
