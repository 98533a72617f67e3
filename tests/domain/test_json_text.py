"""JSON parsing with limits on depth, numbers and characters."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.json_text import MAX_DEPTH, JsonError, parse_json, parse_json_object

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


@given(values)
def test_serialized_value_is_parsed_back(value: object) -> None:
    try:
        assert parse_json(json.dumps(value)) == value
    except JsonError:
        text = json.dumps(value)
        assert "\\ud" in text or text.count("[") + text.count("{") > MAX_DEPTH


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_rejected_with_json_error(text: str) -> None:
    with suppress(JsonError):
        parse_json(text)


@pytest.mark.parametrize(
    "text", ["NaN", "-Infinity", "1e999", '"\\ud800"', "[" * 100_000, "9" * 5_000, "", "{}x"]
)
def test_invalid_or_unsafe_json_is_rejected(text: str) -> None:
    with pytest.raises(JsonError):
        parse_json(text)


def test_json_nested_deeper_than_the_maximum_depth_is_rejected() -> None:
    assert parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    with pytest.raises(JsonError, match="deeper"):
        parse_json("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))


def test_brackets_in_strings_do_not_count_toward_the_depth() -> None:
    assert parse_json_object('{"a": "\\"' + "[" * 100 + '"}')
