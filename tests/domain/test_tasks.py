"""Comparison of a Task found in TaskRouter with the Task that was requested."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.tasks import CreatedTask, FoundTask, NewTask, is_result
from tests.support import sid

WORKFLOW, CHANNEL = sid("WW"), sid("TC")
REQUEST = NewTask(attributes='{"language": "en", "nested": {"a": [1]}}', workflow_sid=WORKFLOW)
FOUND = FoundTask(
    CreatedTask(sid("WT"), REQUEST.attributes, "pending", WORKFLOW, sid("WQ"), 0),
    timeout=86_400,
    task_channel=(CHANNEL, "voice"),
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=5,
)
ATTRIBUTES = st.dictionaries(st.sampled_from("abcdef"), VALUES, max_size=6)


def found_with(**changes: object) -> FoundTask:
    return replace(FOUND, task=replace(FOUND.task, **changes))  # type: ignore[arg-type]


@given(requested=ATTRIBUTES, found=ATTRIBUTES)
def test_requested_attributes_must_be_present(
    requested: dict[str, object], found: dict[str, object]
) -> None:
    request = replace(REQUEST, attributes=json.dumps(requested))
    expected = all(name in found and found[name] == value for name, value in requested.items())

    assert is_result(found_with(attributes=json.dumps(found)), request) is expected
    assert is_result(found_with(attributes=json.dumps(found | requested)), request)


@pytest.mark.parametrize("attributes", [None, "", "null", "[]", "{", '{"a": NaN}', "{}"])
def test_task_without_readable_attributes_is_not_the_result(attributes: str | None) -> None:
    assert not is_result(found_with(attributes=attributes), REQUEST)


@pytest.mark.parametrize(
    ("request_changes", "expected"),
    [
        ({}, True),
        ({"workflow_sid": sid("WW")}, False),
        ({"timeout": 86_400}, True),
        ({"timeout": 60}, False),
        ({"task_channel": CHANNEL}, True),
        ({"task_channel": "voice"}, True),
        ({"task_channel": "chat"}, False),
        ({"task_channel": sid("TC")}, False),
        ({"priority": 5}, True),
    ],
)
def test_other_requested_values_must_be_equal(
    request_changes: dict[str, object], *, expected: bool
) -> None:
    """A Workflow may change the priority, so the priority is not compared."""
    assert is_result(FOUND, replace(REQUEST, **request_changes)) is expected  # type: ignore[arg-type]
