"""Limits and error messages for expressions and references."""

import pytest

from taskrouter_simulator.engine.expressions import (
    Comparisons,
    ExpressionError,
    FoldedText,
    NumericText,
    check,
    parse,
    parse_reference,
    reference_keys,
    references,
)
from taskrouter_simulator.engine.model import parse_attributes
from taskrouter_simulator.engine.names import parse_order_by


def evaluate(text, **context):
    return parse(text, Comparisons())(context)


def error_for(function, text):
    with pytest.raises(ExpressionError) as error:
        function(text)
    return str(error.value)


@pytest.mark.parametrize(("left", "right"), ["()", "[]"])
def test_expression_may_be_nested_50_levels_deep(left, right):
    def nested(levels):
        if left == "(":
            return "(" * levels + "1 == 1" + ")" * levels
        return "a == " + "[" * levels + "]" * levels

    for text in (nested(50), nested(50) + " OR " + nested(50), f"{nested(49)} OR a == '(['"):
        check(text)
    message = "the expression is nested more than 50 levels deep"
    assert error_for(check, nested(51)) == message


@pytest.mark.parametrize("quote", ["'", '"'])
def test_brackets_in_strings_are_not_counted_as_levels(quote):
    check(f"a == {quote}{'(' * 60}\\{quote}{'[' * 60}\n{quote}")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"'a\'b'", "a'b"),
        (r'"a\"b"', 'a"b'),
        (r"'a\\b'", "a\\b"),
        (r"'\n'", "n"),
        ("'a\nb'", "a\nb"),
        ("''", ""),
        ("'\"'", '"'),
        ("-2.50", -2.5),
        ("007", 7),
        ("9" * 300, int("9" * 300)),
        ("TRUE", True),
        ("False", False),
    ],
)
def test_literal_has_expected_value(text, value):
    assert evaluate(f"a == {text}", a=value)
    assert not evaluate(f"a != {text}", a=value)
    assert evaluate(f"a IN [{text}]", a=value)


def test_number_may_have_up_to_300_digits():
    check(f"a == {'9' * 300}.{'9' * 300}")
    for text in ("9" * 301, "1." + "9" * 301):
        assert "is not an expression" in error_for(check, f"a == {text}")
    numbers = Comparisons(mixed_types="numbers")
    for digits, is_equal in ((300, True), (301, False)):
        context = {"a": "0" * (digits - 1) + "7", "b": "7." + "0" * digits}
        assert parse("a == 7", numbers)(context) is is_equal
        assert parse("b == 7", numbers)(context) is is_equal
    assert parse("a == -7.5", numbers)({"a": "-7.5"})


def test_index_may_have_up_to_nine_digits():
    check("a[999999999] == 1")
    assert "is not an expression" in error_for(check, "a[1234567890] == 1")
    assert reference_keys("a[999999999]") == ("a", 999_999_999)
    assert "is not a reference" in error_for(reference_keys, "a[1234567890]")


@pytest.mark.parametrize(("index", "value"), [(0, "x"), (1, "y"), (2, None)])
def test_index_starts_at_zero(index, value):
    assert parse_reference(f"a[{index}]")({"a": ["x", "y"]}) == value
    for other in ("xy", {"0": "x"}, None, 7):
        assert parse_reference(f"a[{index}]")({"a": other}) is None


def test_references_are_yielded_with_names_and_indexes():
    text = "a.b[0].1c == 'd.e' AND (f IN [g, 1] OR h != null)"
    assert set(references(text)) == {("a", "b", 0, "1c"), ("f",), ("g",), ("h",)}
    assert reference_keys("a.b[0].1c$") == ("a", "b", 0, "1c$")
    long_text = "a " * 150
    assert error_for(reference_keys, long_text).startswith(
        f"{long_text[:200]!r} is not a reference"
    )


@pytest.mark.parametrize("word", ["AND", "OR", "CONTAINS", "HAS", "IN", "NOT IN"])
def test_keyword_may_be_in_any_case(word):
    texts = {"AND": "a == 1 {} b == [1]", "OR": "a == 1 {} a == 2", "CONTAINS": "c {} 'x'",
             "HAS": "b {} 1", "IN": "a {} b", "NOT IN": "a {} [2]"}  # fmt: skip
    context = {"a": 1, "b": [1], "c": "xy"}
    results = {
        evaluate(texts[word].format(spelling), **context)
        for spelling in (word, word.lower(), word.title())
    }
    assert results == {word != "AND"}


@pytest.mark.parametrize(
    ("text", "position", "found", "expected"),
    [
        ("", 1, "end", "an attribute or a value"),
        ("a == 1 b", 8, "'b'", "AND, OR or the end of the expression"),
        ("(a == 1 b", 9, "'b'", "AND, OR or a closing parenthesis"),
        ("a == [1 2", 9, "'2'", "a comma or a closing bracket"),
        ("a == 1 AND", 11, "end", "an attribute or a value"),
        ("a == 1  ", None, None, None),
        ("a.", 3, "end", "a name"),
        ("a[", 3, "end", "an index"),
        ("a[1", 4, "end", "a closing bracket"),
        ("a[1 'x' == 1", 5, "\"'x'\"", "a closing bracket"),
        ("a == 1 'b c' == 2", 8, "\"'b c'\"", "AND, OR or the end of the expression"),
        ("a == 1 " + "b" * 30, 8, f"'{'b' * 20}'", "AND, OR or the end of the expression"),
        (
            "a b",
            3,
            "'b'",
            "an operator (=, ==, !=, >, >=, <, <=, CONTAINS, HAS, IN or NOT IN)",
        ),
    ],
)
def test_error_describes_position_and_alternatives(text, position, found, expected):
    if position is None:
        check(text)
        return
    message = error_for(check, text)
    problem = (
        "incomplete at the end" if found == "end" else f"unexpected {found} at position {position}"
    )
    reason = f"{problem}; expected {expected}"
    assert message == f"{text[:200]!r} is not an expression: {reason}"


@pytest.mark.parametrize("quote", ["'", '"'])
def test_error_states_position_of_unclosed_string(quote):
    text = f"a == {quote}b c"
    message = error_for(check, text)
    assert message.endswith("the string at position 6 has no closing quote")


def test_long_expression_is_truncated_in_error():
    text = "a == " + "1" * 200 + " ~"
    assert error_for(check, text).startswith(f"{text[:200]!r} is not an expression: ")


def test_folded_text_ignores_case():
    text = FoldedText("Thu")
    assert text == "THU"
    assert not text != "thu"  # noqa: SIM202 - tests both operators
    assert text != "Fri"
    assert text != 7
    assert (text == 7) is False
    assert hash(text) == hash(FoldedText("tHU"))


@pytest.mark.parametrize("mixed_types", ["unequal", "false"])
def test_numeric_text_is_converted_to_a_number_but_an_ordinary_string_is_not(mixed_types):
    comparisons = Comparisons(mixed_types=mixed_types)
    context = {"hour": NumericText("08"), "text": "08"}
    for text, expected in (
        ("hour == 8", True),
        ("8 == hour", True),
        ("hour < 9", True),
        ("hour == '08'", True),
        ("hour == '8'", False),
        ("text == 8", False),
        ("8 == text", False),
        ("text < 9", False),
        ("hour == text", True),
    ):
        assert parse(text, comparisons)(context) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one == two", False), ("one != two", True), ("one > two", False), ("one >= two", False),
        ("one < two", True), ("one <= two", True), ("one >= one", True), ("one <= one", True),
        ("one > one", False), ("one < one", False), ("a < b", True), ("b <= a", False),
        ("yes > no", True), ("yes == one", False), ("one < a", False), ("list == list", False),
        ("list != list", False), ("list != one", False), ("one NOT IN list", False),
        ("two NOT IN list", True), ("list NOT IN list", False), ("two NOT IN two", False),
        ("none NOT IN list", False), ("none == none", False), ("none != null", False),
        ("null == null", True), ("null != null", False), ("one != null", True),
        ("one == null", False), ("none HAS null", False), ("nulls HAS null", False),
        ("a CONTAINS ''", True), ("a CONTAINS b", False), ("one CONTAINS 1", False),
    ],
)  # fmt: skip
def test_operator_compares_two_values(text, expected):
    context = {"one": 1, "two": 2, "a": "a", "b": "b", "yes": True, "no": False, "list": [1],
               "nulls": [None]}  # fmt: skip
    assert parse(text, Comparisons())(context) is expected


@pytest.mark.parametrize("function", [parse, parse_reference, parse_order_by, parse_attributes])
def test_cache_of_parsed_strings_is_limited(function):
    assert function.cache_info().maxsize == 4096
