"""Parameters of new Tasks, and comparison of Tasks found in TaskRouter with the requested Task."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.errors import BadRequest
from chalicelib.domain.tasks import CreatedTask, FoundTask, NewTask, matches_request, parse_new_task
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


def make_found_task(**changes: object) -> FoundTask:
    return replace(FOUND, task=replace(FOUND.task, **changes))  # type: ignore[arg-type]


@given(requested=ATTRIBUTES, found=ATTRIBUTES)
def test_requested_attributes_must_match(
    requested: dict[str, object], found: dict[str, object]
) -> None:
    request = replace(REQUEST, attributes=json.dumps(requested))
    expected = all(name in found and found[name] == value for name, value in requested.items())

    assert matches_request(make_found_task(attributes=json.dumps(found)), request) is expected
    assert matches_request(make_found_task(attributes=json.dumps(found | requested)), request)


@pytest.mark.parametrize("attributes", [None, "", "null", "[]", "{", '{"a": NaN}', "{}"])
def test_task_without_the_requested_attributes_does_not_match(attributes: str | None) -> None:
    assert matches_request(make_found_task(attributes=attributes), REQUEST) is False


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
def test_every_requested_parameter_except_the_priority_must_match(
    request_changes: dict[str, object], *, expected: bool
) -> None:
    """A Workflow may change the priority, so the priority is not compared."""
    assert matches_request(FOUND, replace(REQUEST, **request_changes)) is expected  # type: ignore[arg-type]


def parse(**parameters: object) -> NewTask:
    return parse_new_task({"attributes": "{}", **parameters}, workflow_sid=WORKFLOW)


def test_attributes_parameter_is_the_only_required_parameter() -> None:
    assert parse() == NewTask(attributes="{}", workflow_sid=WORKFLOW)
    with pytest.raises(BadRequest, match=r"^attributes is missing\. "):
        parse_new_task({}, workflow_sid=WORKFLOW)


def test_every_parameter_of_a_new_task_is_read() -> None:
    other_workflow = sid("WW")
    parameters = {"priority": 3, "timeout": 60, "task_channel": "voice"}
    assert parse(workflow_sid=other_workflow, **parameters) == NewTask(
        attributes="{}", workflow_sid=other_workflow, priority=3, timeout=60, task_channel="voice"
    )


@pytest.mark.parametrize("name", ["priority", "timeout", "task_channel"])
def test_parameter_with_a_null_value_gets_its_default(name: str) -> None:
    assert parse(**{name: None}) == parse()


WHOLE_NUMBERS = {"priority": (0, 2_147_483_647), "timeout": (1, 1_209_600)}
whole_numbers = pytest.mark.parametrize(
    ("name", "minimum", "maximum"), [(name, *limits) for name, limits in WHOLE_NUMBERS.items()]
)


@whole_numbers
def test_whole_number_may_be_a_json_number_or_a_string_of_up_to_ten_digits(
    name: str, minimum: int, maximum: int
) -> None:
    for number in (minimum, minimum + 1, maximum - 1, maximum):
        for value in (number, str(number), f"{number:010}"):
            assert parse(**{name: value}) == replace(parse(), **{name: number})


@whole_numbers
def test_error_states_the_limits_of_a_whole_number(name: str, minimum: int, maximum: int) -> None:
    numbers = [minimum - 1, maximum + 1]
    texts = ["", "-1", "+1", " 1", "1.0", "0x1", "1_0", "\u0661", "\u00b2", f"{minimum:011}"]
    for value in (*numbers, *map(str, numbers), *texts, True, False, 1.0, [], {}):
        with pytest.raises(BadRequest) as raised:
            parse(**{name: value})
        assert raised.value.message == f"{name} must be a whole number from {minimum} to {maximum}."


@pytest.mark.parametrize("channel", ["x", "x" * 64, CHANNEL, "voice channel"])
def test_channel_of_1_to_64_printable_characters_is_accepted(channel: str) -> None:
    assert parse(task_channel=channel).task_channel == channel


@pytest.mark.parametrize("channel", ["", "x" * 65, "a\nb", "a\x7f", 5, True, ["voice"]])
def test_invalid_channel_is_rejected(channel: object) -> None:
    with pytest.raises(BadRequest) as raised:
        parse(task_channel=channel)
    assert raised.value.message == (
        "task_channel must be the SID or unique name of a TaskChannel, with at most 64 characters."
    )


def attributes_of_length(length: int) -> dict[str, str]:
    return {"a": "\u00e9" * (length - len('{"a":""}'))}


def test_attributes_of_4096_characters_may_be_an_object_or_a_string() -> None:
    attributes = attributes_of_length(4_096)
    text = json.dumps(attributes, ensure_ascii=False, separators=(",", ":"))
    for value in (attributes, text, "\ufeff" + text):
        assert parse(attributes=value).attributes == text


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (attributes_of_length(4_097), "may have at most 4096 characters as JSON text."),
        ("{" + " " * 4_095 + "}", "may have at most 4096 characters as JSON text."),
        (None, "must be a JSON object, or a string that contains one."),
        (5, "must be a JSON object, or a string that contains one."),
        ([], "must be a JSON object, or a string that contains one."),
        ("[]", "is not a valid JSON object: it is an array."),
        ("{", "is not a valid JSON object: it has a syntax error."),
        ({"a": float("nan")}, "is not a valid JSON object: NaN is not JSON."),
    ],
    ids=range(8),
)
def test_error_explains_why_attributes_are_rejected(attributes: object, message: str) -> None:
    with pytest.raises(BadRequest) as raised:
        parse(attributes=attributes)
    assert raised.value.message == f"attributes {message}"
