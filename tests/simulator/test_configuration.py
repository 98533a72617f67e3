"""Parsing of Workflow configurations."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrouter_simulator.engine.workflows import ConfigurationError, parse_configuration


@pytest.mark.parametrize(
    "text",
    [
        "", "no json", "[]", "{}", '{"task_routing": []}', '{"task_routing": {"filters": {}}}',
        '{"task_routing": {"filters": [1]}}',
        '{"task_routing": {"filters": [{"targets": [1]}]}}',
        '{"task_routing": {"filters": [{"targets": [{}]}]}}',
        '{"task_routing": {"filters": [{"targets": [{"queue": 1}]}]}}',
        '{"task_routing": {"filters": [{"targets": [{"queue": "WQ", "timeout": 0}]}]}}',
        '{"task_routing": {"filters": [{"targets": [{"queue": "WQ", "timeout": true}]}]}}',
        '{"task_routing": {"filters": [{"targets": [{"queue": "WQ", "timeout": 1%s}]}]}}'
        % ("0" * 400),
        '{"task_routing": {"filters": [{"targets": [{"queue": "WQ", "priority": 2147483648}]}]}}',
        '{"task_routing": {"filters": [{"targets": [{"queue": "WQ", "priority": "x"}]}]}}',
        '{"task_routing": {"filters": [{"targets": [{"queue": "WQ", "skip_if": "("}]}]}}',
        '{"task_routing": {"filters": [{"targets": [{"queue": "WQ", "known_worker_sid": "1"}]}]}}',
        '{"task_routing": {"filters": [{"expression": "a =", "queue": "WQ"}]}}',
        '{"task_routing": {"filters": [{"expression": 1, "queue": "WQ"}]}}',
        '{"task_routing": {"default_filter": 1}}',
        '{"task_routing": {"default_filter": {}}}',
        '{"task_routing": {"default_filter": []}}',
        '{"task_routing": {"default_filter": ""}}',
        '{"task_routing": {"default_filter": {"task_queue_sid": "WQ"}}}',
        '{"task_routing": {"default_filter": {"queue": ""}}}',
        '{"task_routing": {"default_filter": {"queue": null, "priority": 1}}}',
        '{"task_routing": {"filters": [{"targets": [{"queue": "WQ", "timeout": 1.5}]}]}}',
        '{"task_routing": {"filters": [{"targets": [{"queue": "WQ", "priority": "1_0"}]}]}}',
        '{"task_routing": {"filters": [{"targets": [{"queue": "WQ", "priority": " 1"}]}]}}',
        "[" * 100_000,
    ],
)  # fmt: skip
def test_invalid_configuration_is_rejected(text):
    with pytest.raises(ConfigurationError):
        parse_configuration(text)


@pytest.mark.parametrize(
    "order_by",
    ["nonsense here", "worker.level DESCENDING", "worker.level DESC,", "worker.1 ASC", " ", ",",
     "worker.level DESC worker.age ASC", "worker.level, ,", "worker.level: DESC", "1"],
)  # fmt: skip
def test_invalid_value_of_order_by_is_rejected(order_by):
    target = {"queue": "WQ", "order_by": order_by}
    document = {"task_routing": {"filters": [{"targets": [target]}]}}
    with pytest.raises(ConfigurationError, match="^order_by: "):
        parse_configuration(json.dumps(document))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["task_routing", "filters", "targets", "queue", "expression",
                             "timeout", "priority", "skip_if", "default_filter",
                             "order_by", "known_worker_sid"]),
            inner,
        )
    ),
)  # fmt: skip


@given(JSON)
def test_any_json_parses_or_raises_configuration_error(document):
    with contextlib.suppress(ConfigurationError):
        parse_configuration(json.dumps(document))


def test_unknown_keys_and_numeric_strings_are_accepted():
    configuration = parse_configuration(
        '{"task_routing": {"filters": [{"filter_friendly_name": "SMS", "Expression": "a==1",'
        '"targets": [{"queue": "WQ1", "priority": "5", "timeout": "30", "color": "red"}]}],'
        '"default_filter": {"filter_friendly_name": "Default", "queue": "WQ2",'
        '"Expression": "1==1", "priority": 1, "timeout": 15}}}'
    )
    assert configuration.filters[0].targets[0].timeout == 30
    assert configuration.default.queue_sid == "WQ2"


def test_filter_can_specify_queue_without_targets():
    (parsed,) = parse_configuration('{"task_routing": {"filters": [{"queue": "WQ1"}]}}').filters
    assert parsed.targets[0].queue_sid == "WQ1"
