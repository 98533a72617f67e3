"""Strict and lenient parsing of JSON, and its compact encoding."""

import json
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.json_text import (
    MAX_DEPTH,
    JsonError,
    _parse_in_parts,
    json_size,
    parse_json,
    parse_json_object,
    read_facts,
    read_json_object,
    replace_lone_surrogates,
    to_json,
)

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


@pytest.mark.parametrize("digits", [400, 4_300])
def test_integer_is_read_exactly_if_it_has_at_most_4300_digits(digits: int) -> None:
    number = "9" * digits
    facts, unknown = read_facts(f'{{"n": {number}}}')
    assert (str(facts["n"]), unknown) == (number, frozenset())
    assert read_facts(f'{{"n": {"9" * 4_301}}}')[1] == {"n"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1e999", "it contains a number that is out of range"),
        ('{"a": [-1e400]}', "it contains a number that is out of range"),
        ("9" * 5_000, "it contains a number that is out of range"),
        (r'"\ud800"', "it contains half of a surrogate pair"),
        (r'{"\udc00": 1}', "it contains half of a surrogate pair"),
        ("{}x", "it has a syntax error"),
        ("", "it has a syntax error"),
        ("[NaN]", "NaN is not JSON"),
        ("Infinity", "Infinity is not JSON"),
        ("[-Infinity]", "-Infinity is not JSON"),
        ('{"a": 1, "b": 2, "b": 3}', 'it repeats the name "b"'),
        ("[" * 33 + "]" * 33, "it is nested deeper than 32 levels"),
        ('{"a":' * 33 + "1" + "}" * 33, "it is nested deeper than 32 levels"),
        ("[" * 40, "it is nested deeper than 32 levels"),
        ("[" * 31 + "[],[", "it has a syntax error"),
    ],
    ids=range(15),
)
def test_error_states_why_the_text_is_rejected(text: str, reason: str) -> None:
    with pytest.raises(JsonError, match=f"^{reason}$"):
        parse_json(text)


def test_size_is_the_number_of_bytes_of_compact_json() -> None:
    assert json_size({"a": [1, "\u00e9"]}) == len('{"a":[1,"x"]}') + 1
    assert json_size("\ud800\x01") == 2 + 3 + 6
    assert to_json({"a": [1, "\u00e9\x01"]}) == '{"a":[1,"\u00e9\\u0001"]}'


@pytest.mark.parametrize("parse", [parse_json_object, read_json_object])
def test_values_of_every_type_are_read(parse: Callable[[str], object]) -> None:
    value = {"a": [1, -2.5, 1e10, True, False, None, "x", {}, []], "b": {"c": 0}}
    assert parse(json.dumps(value)) == value
    assert read_facts(json.dumps(value)) == (value, frozenset())
    text = json.dumps(value).replace("[1,", "[NaN, 1,")
    facts, unknown = read_facts(f'{{"deep": {"[" * 99}{"]" * 99}, {text[1:]}')
    assert (facts["b"], facts["a"][1:], unknown) == (value["b"], value["a"], {"a"})


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[]", "an array"),
        ("5", "a number"),
        ("null", "null"),
        ('"a"', "a string"),
        ("true", "true or false"),
    ],
)
def test_error_names_the_type_of_a_value_that_is_not_an_object(text: str, kind: str) -> None:
    for parse in (parse_json_object, read_json_object, read_facts):
        with pytest.raises(JsonError, match=f"^it is {kind}$"):
            parse(text)
    for parse in (read_json_object, read_facts):
        with pytest.raises(JsonError, match="^it has a syntax error$"):
            parse(text + "}")


@pytest.mark.parametrize(("before", "after"), [("[", "]"), ('{"a":', "}")])
def test_values_nested_too_deeply_become_strings_but_their_siblings_are_read(
    before: str, after: str
) -> None:
    text = f'{before * 31}{{"x": [1], "y": [[2]]}}{after * 31}'
    value = read_json_object(f'{{"m": {text}}}')["m"]
    for _ in range(31):
        value = value["a"] if isinstance(value, dict) else value[0]
    # The object is at level 33 of the text, so it becomes a string.
    assert value == '{"x": [1], "y": [[2]]}'
    shallower = read_json_object(f'{{"m": {before * 30}[[1], [2], 3]{after * 30}}}')["m"]
    for _ in range(30):
        shallower = shallower["a"] if isinstance(shallower, dict) else shallower[0]
    assert shallower == ["[1]", "[2]", 3]


def test_json_nested_deeper_than_the_maximum_depth_is_rejected() -> None:
    assert parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    with pytest.raises(JsonError, match="deeper"):
        parse_json("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))


def test_brackets_in_strings_do_not_count_toward_the_depth() -> None:
    assert parse_json_object('{"a": "\\"' + "[" * 100 + '"}')


def test_byte_order_mark_is_ignored() -> None:
    text = "\ufeff" + json.dumps({"a": 1})
    assert parse_json(text) == parse_json_object(text) == read_json_object(text) == {"a": 1}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (r'"\ud800"', "\ufffd"),
        (r'"a\udc00\ud83d\ude00"', "a\ufffd\U0001f600"),
        (r'"\\ud800"', r"\ud800"),
        (r'{"\udbff": [1]}', {"\ufffd": [1]}),
        ("NaN", None),
        ("Infinity", None),
        ("-1e999", None),
        ("9" * 5_000, None),
        ("[-1e999]", [None]),
        ("9" * 400, 10**400 - 1),
        ('"a\nb\x00"', "a\nb\x00"),
        ('1, "x": 2', 2),
        (r'"\\\ud800\\ud800"', "\\\ufffd\\ud800"),
        ("[" * 5_000 + "]" * 5_000, ...),
        ('{"a":' * 5_000 + '"]"' + "}" * 5_000, ...),
    ],
)
def test_object_with_an_unusual_value_is_read(value: str, expected: object) -> None:
    read = read_json_object(f'{{"blocked": true, "x": {value}, "last": [1]}}')
    assert (read["blocked"], read["last"]) == (True, [1])
    if expected is not ...:
        assert read["x"] == expected


def test_values_nested_deeper_than_the_maximum_depth_are_read_as_json_text() -> None:
    text = "[" * MAX_DEPTH + '["é", NaN]' + ", 8]" * MAX_DEPTH
    value = read_json_object(f'{{"x": {text}}}')["x"]
    for _ in range(MAX_DEPTH - 2):
        value, eight = value
        assert eight == 8
    assert value == ['[["é", NaN], 8]', 8]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NaN", {"NaN"}),
        ("[{}, -Infinity]", {"NaN"}),
        ('{"a": 1e309}', {"NaN"}),
        ("9" * 5_000, {"NaN"}),
        ("[" * 1_500 + "NaN" + "]" * 1_500, {"NaN"}),
        ("1.7976931348623157e308", set()),
        ("9" * 4_000, set()),
        ("1e-999", set()),
        ('"NaN"', set()),
        ("[" * 2_000 + '"Infinity"' + "]" * 2_000, set()),
    ],
)
def test_values_with_non_finite_numbers_are_reported(text: str, expected: set[str]) -> None:
    value, unknown = read_facts(f'{{"a": 1, "NaN": {text}, "b": "]"}}')
    assert list(value) == ["a", "NaN", "b"]
    assert unknown == expected


@pytest.mark.parametrize(
    "text",
    [
        '{"a":' + "[" * 2_030 + "]" * 2_030 + "}",
        '{"a":' * 682,
        "[{" * 2_048,
        '{"a":[' + "NaN," * 1_000 + "1]}",
        '{"' + r"\ud800" * 680 + '":1}',
        '{"a":"' + "\\" * 2_040 + '"}',
        '"' * 4_096,
        '{"a":' + "1" * 4_000 + ".5}",
    ],
)
def test_pathological_attributes_are_read_or_rejected_within_200_ms(text: str) -> None:
    started = time.process_time()
    with suppress(JsonError):
        read_facts(text)
    with suppress(JsonError):
        read_json_object(text)
    assert time.process_time() - started < 0.2


@pytest.mark.parametrize(
    "text", ["", " ", "{", "{]}", "[1]", "5", "null", '"a"', "{'a': 1}", '{"a": 1} x', '{"a": +1}']
)
def test_text_that_is_not_an_object_is_rejected(text: str) -> None:
    for read in (read_json_object, read_facts):
        with pytest.raises(JsonError):
            read(text)


json_texts = st.recursive(
    st.sampled_from(
        ["NaN", "-Infinity", "1e999", "-0.0", "9" * 4_400, "null", r'"\udfff"', r'"\ud83d\ude00"']
    )
    | st.text().map(json.dumps),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
        | st.dictionaries(st.text(max_size=3).map(json.dumps), inner, max_size=3).map(
            lambda pairs: "{" + ",".join(f"{name}: {value}" for name, value in pairs.items()) + "}"
        )
    ),
    max_leaves=20,
)


@given(json_texts, st.integers(0, 60))
def test_every_object_is_read_into_values_that_json_and_utf_8_can_represent(
    text: str, depth: int
) -> None:
    read = read_json_object(f'{{"x": {"[" * depth}{text}{"]" * depth}}}')
    json.dumps(read, ensure_ascii=False, allow_nan=False).encode()


@given(json_texts, st.integers(0, 1_000))
def test_parsing_in_parts_yields_the_same_value_as_parsing_the_whole_text(
    text: str, depth: int
) -> None:
    text = f'{{"x": {"[" * depth}{text}{"]" * depth}, "x": "[", "y": 1}}'
    facts, unknown = read_facts(text)
    with suppress(RecursionError, ValueError):
        assert json.dumps(_parse_in_parts(text)) == json.dumps(json.loads(text, strict=False))
    assert unknown <= {"x"}
    assert facts["y"] == 1


@given(values)
def test_all_parsers_read_the_same_value(value: object) -> None:
    text = json.dumps({"x": value})
    with suppress(JsonError):
        assert parse_json_object(text) == read_json_object(text) == read_facts(text)[0]


@given(st.text(max_size=200) | st.text('{}[]",:\\ud8N1e', max_size=60))
def test_any_text_is_read_or_rejected_with_json_error(text: str) -> None:
    with suppress(JsonError):
        read_json_object(text)
    with suppress(JsonError):
        read_facts(text)
    with suppress(JsonError):
        _parse_in_parts(text)


# ASCII, and characters of two, three and four bytes, including lone surrogates.
any_text = st.text(st.characters() | st.sampled_from('"\\\x01\x7fé名🙂\ud800\udfff'))


@given(any_text)
def test_lambda_result_is_at_most_about_three_times_as_large_as_the_json(text: str) -> None:
    """The Lambda runtime for Python 3.11 escapes all non-ASCII characters."""
    body = replace_lone_surrogates(to_json({"a": text}))
    size = len(body.encode())

    assert size == json_size({"a": text})
    for ensure_ascii in (True, False):
        assert len(json.dumps(body, ensure_ascii=ensure_ascii).encode()) <= 3 * size + 2
    assert json.loads(body) == {"a": replace_lone_surrogates(text)}


@given(any_text)
def test_only_lone_surrogates_are_replaced(text: str) -> None:
    replaced = replace_lone_surrogates(text)

    replaced.encode()  # raises UnicodeEncodeError for a lone surrogate
    assert [character for character in replaced if character != "\ufffd"] == [
        character
        for character in text
        if not "\ud800" <= character <= "\udfff" and character != "\ufffd"
    ]
    assert len(replaced) == len(text)
