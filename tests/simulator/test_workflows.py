"""Every key of a Workflow configuration: its default, its limits and its errors."""

import json

import pytest

from taskrouter_simulator.engine import workflows
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Configuration, Filter, Target
from taskrouter_simulator.engine.names import parse_order_by
from taskrouter_simulator.engine.workflows import ConfigurationError, parse_configuration
from tests.simulator.workflow_simulation import WorkflowSimulation, filter_with_target

MAXIMUM = 2**31 - 1


def parse(*filters, **routing):
    return parse_configuration(json.dumps({"task_routing": {"filters": filters, **routing}}))


def error_for(*filters, **routing):
    with pytest.raises(ConfigurationError) as error:
        parse(*filters, **routing)
    return str(error.value)


def test_every_configuration_key_is_parsed():
    target = {
        "queue": "WQ1", "expression": "worker.a == 1", "priority": 0, "timeout": 1,
        "skip_if": "1==1", "order_by": "worker.a", "known_worker_sid": "task.a",
        "known_worker_friendly_name": "task.b",
    }  # fmt: skip
    filter_keys = {"filter_friendly_name": "All", "expression": "a == 1"}
    given = {name: value for name, value in target.items() if name != "queue"}
    assert parse(
        {**filter_keys, "targets": [target, {}]}, {"queue": "WQ2", "priority": "7"},
        default_filter={"queue": "WQ3"},
    ) == Configuration(
        filters=(
            Filter("All", "a == 1", (Target("WQ1", **given), Target())),
            Filter(None, "1==1", (Target("WQ2", priority=7),)),
        ),
        default=Target("WQ3"),
    )  # fmt: skip


def test_configuration_lists_targets_and_queues():
    configuration = parse(
        {"targets": [{"queue": "WQ1"}, {}]}, {"queue": "WQ2"}, default_filter={"queue": "WQ3"}
    )
    queues = [target.queue_sid for target in configuration.targets()]
    assert queues == ["WQ1", None, "WQ2", "WQ3"]
    assert configuration.queue_sids() == {"WQ1", "WQ2", "WQ3"}
    without_default = parse({"queue": "WQ1"})
    assert (len(without_default.targets()), without_default.default) == (1, None)


@pytest.mark.parametrize(
    ("keys", "name", "expression"),
    [
        ({}, None, "1==1"),
        ({"friendly_name": "A"}, "A", "1==1"),
        ({"friendly_name": "A", "filter_friendly_name": "B"}, "B", "1==1"),
        ({"filter_friendly_name": 7}, None, "1==1"),
        ({"Expression": "a == 1"}, None, "a == 1"),
        ({"Expression": "a == 1", "expression": "b == 1"}, None, "b == 1"),
        ({"expression": ""}, None, "1==1"),
        ({"expression": None}, None, "1==1"),
    ],
)
def test_filter_name_and_expression_are_parsed_or_defaulted(keys, name, expression):
    for target in ({"queue": "WQ"}, {"targets": [{"queue": "WQ"}]}):
        (parsed,) = parse({**keys, **target}).filters
        assert parsed == Filter(name, expression, (Target("WQ"),))


@pytest.mark.parametrize(("key", "minimum"), [("priority", 0), ("timeout", 1)])
def test_priority_and_timeout_have_limits(key, minimum):
    for value in (minimum, MAXIMUM, str(MAXIMUM), f"{minimum:012}"):
        (parsed,) = parse({"queue": "WQ", key: value}).filters
        assert getattr(parsed.targets[0], key) == int(value)
    for value in (None, ""):
        (parsed,) = parse({"queue": "WQ", key: value}).filters
        assert getattr(parsed.targets[0], key) is None
    limits = f"{key} must be an integer from {minimum} to {MAXIMUM}"
    for value in (
        minimum - 1,
        MAXIMUM + 1,
        10**12,
        "-1",
        True,
        1.0,
        "x",
        f"{minimum:013}",
        " 1",
        [1],
    ):
        assert error_for({"queue": "WQ", key: value}) == limits


@pytest.mark.parametrize(
    "key",
    [
        "queue",
        "expression",
        "skip_if",
        "order_by",
        "known_worker_sid",
        "known_worker_friendly_name",
    ],
)
def test_queue_and_expressions_of_a_target_must_be_strings(key):
    for value in (7, True, [], {}):
        message = f"{key} must be a string"
        assert error_for({"targets": [{"queue": "WQ", key: value}]}) == message
    if key != "queue":
        for value in ("", None):
            parsed = parse({"targets": [{"queue": "WQ", key: value}]})
            assert parsed.targets() == [Target("WQ")]
        message = error_for({"targets": [{"queue": "WQ", key: "~"}]})
        assert message.startswith(f"{key}: '~' is not ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the configuration is not JSON or is nested too deeply"),
        ("[" * 100_000, "the configuration is not JSON or is nested too deeply"),
        ("[]", "the configuration must be an object"),
        ("{}", "task_routing must be an object"),
        ('{"task_routing": {"filters": {}}}', "filters must be an array"),
        ('{"task_routing": {"filters": [1]}}', "a filter must be an object"),
        ('{"task_routing": {"filters": [{"targets": 1}]}}', "targets must be an array"),
        ('{"task_routing": {"filters": [{"targets": [1]}]}}', "a target must be an object"),
        (
            '{"task_routing": {"filters": [{"targets": [{}]}]}}',
            "the first target of a filter must have a queue",
        ),
        ('{"task_routing": {"filters": [{}]}}', "the first target of a filter must have a queue"),
        ('{"task_routing": {"default_filter": 1}}', "default_filter must be an object"),
        ('{"task_routing": {"default_filter": {}}}', "default_filter must have a queue"),
    ],
    ids=range(12),
)
def test_error_describes_invalid_configuration(text, message):
    with pytest.raises(ConfigurationError) as error:
        parse_configuration(text)
    assert str(error.value) == message


def test_filters_and_default_filter_may_be_null():
    assert parse_configuration('{"task_routing": {"filters": null, "default_filter": null}}') == (
        Configuration()
    )


def test_queues_in_configuration_must_exist():
    simulation = WorkflowSimulation(default={"queue": "One"})
    for routing in ({"filters": [{"queue": "WQ0"}]}, {"default_filter": {"queue": "WQ0"}}):
        text = json.dumps({"task_routing": routing})
        with pytest.raises(BadRequest) as error:
            workflows.require_configuration(simulation.engine, simulation.workspace, text)
        message = "Workflow configuration is invalid: TaskQueue WQ0 does not exist"
        assert error.value.message == message


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("expression", "task.1a == 1"),
        ("skip_if", "task.1a == 1"),
        ("order_by", "worker.1a"),
        ("known_worker_sid", "task.1a"),
        ("known_worker_friendly_name", "task.1a"),
    ],
)
def test_names_in_every_string_of_a_target_are_checked(key, text):
    with pytest.raises(BadRequest, match=rf"{key}: .*1a contains a name that begins with a digit"):
        WorkflowSimulation(filter_with_target(**{key: text}))
    WorkflowSimulation(filter_with_target(**{key: text}), names_may_begin_with_digit=True)


def test_names_in_filter_expression_are_checked():
    routing = {"expression": "task.1a == 1", "targets": [{"queue": "One"}]}
    with pytest.raises(BadRequest, match="expression: task.1a contains a name that begins"):
        WorkflowSimulation(routing)
    WorkflowSimulation(routing, names_may_begin_with_digit=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("worker.a", [(("worker", "a"), 1)]),
        ("worker.a DESC", [(("worker", "a"), -1)]),
        (" worker.a  asc , worker.b[0] desc ", [(("worker", "a"), 1), (("worker", "b", 0), -1)]),
    ],
)
def test_order_by_clause_is_parsed_into_keys_and_directions(text, expected):
    clauses = parse_order_by(text)
    assert [(clause.keys, clause.sign) for clause in clauses] == expected
    assert clauses[0].value({"worker": {"a": 7}}) == 7
