"""Parsing and evaluation of expressions, and the settings for comparisons."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrouter_simulator.engine.expressions import (
    Comparisons,
    ExpressionError,
    parse,
    parse_reference,
)
from tests.simulator.conftest import Simulation

CONTEXT = {
    "selected_language": "es",
    "languages": ["en", "es"],
    "level": 3,
    "vip": True,
    "order": 1,
    "$price": 5,
    "a$b": {"c$": "x"},
    "and$x": 1,
    "nested": {"list": [1, {"key": "x"}]},
    "task": {"in": 2, "preferred": ["a"]},
    "worker": {"id": "a"},
}


@pytest.mark.parametrize(
    "text",
    [
        "1==1",
        "selected_language=='es'",
        "selected_language='es'",
        "selected_language = 'es' AND level=3",
        "1=1",
        "level > 0002",
        "$price == 5 AND a$b.c$ == 'x'",
        "and$x == 1 AND nested.list[0] = 1",
        'selected_language == "es"',
        'languages HAS "es"',
        '"es" IN languages',
        '"es" in languages',
        'selected_language IN ["en", "es"]',
        'selected_language NOT IN ["fr", "de"]',
        'selected_language not  in ["fr"]',
        "selected_language CONTAINS 'e'",
        "selected_language != 'en'",
        "level > 2 AND level >= 3 AND level < 4 AND level <= 3.0",
        "level == 9 OR (level == 3 AND vip == true)",
        "level == 3 or level == 4 and vip == false",
        "missing == null",
        "level != null",
        "nested.list[0] == 1 AND nested.list[1].key == 'x'",
        "nested.list[7] == null",
        "order == 1",
        "task.in == 2",
        "worker.id IN task.preferred",
        r"'it\'s' == 'it\'s'",
        "-1 < 0",
    ],
)
def test_expression_is_true(text):
    assert parse(text, Comparisons())(CONTEXT) is True


@pytest.mark.parametrize(
    "text",
    [
        "selected_language=='en'",
        "missing > 3",
        "missing == missing_too",
        "missing HAS 'x'",
        "missing != 'x'",
        "missing IN ['x']",
        "missing NOT IN ['x']",
        "missing != null",
        "level == null",
        "languages == 'en'",
        "languages != 'en'",
        "languages CONTAINS 'en'",
        "selected_language HAS 'es'",
        "selected_language IN 'es'",
        "level == '3'",
        "vip == 1",
        "level > 'a'",
        "nested == 1",
        "'language' == 'spanish'",
    ],
)
def test_expression_is_false(text):
    assert parse(text, Comparisons())(CONTEXT) is False


@pytest.mark.parametrize(
    "text",
    ["", "level", "level = = 3", "level => 3", "level === 3", "1level == 3", "== 3", "(level == 3",
     "level == 3 AND", "'open == 1", "9" * 5000, "9" * 5000 + " == 1",
     "(" * 5000 + "1==1" + ")" * 5000, "a == [" * 3000, "NOT a == 1"],
)  # fmt: skip
def test_invalid_expression_is_rejected(text):
    with pytest.raises(ExpressionError):
        parse(text, Comparisons())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task.owner => 3", "unexpected '>' at position 13; expected an attribute or a value"),
        ("level == 1 && vip == true", "unexpected '&' at position 12; expected AND, OR or "),
        ("level", "incomplete at the end; expected an operator (=, ==, !=, >, "),
        ("level == 3 AND ", "incomplete at the end; expected an attribute or a value"),
        ("(level == 3", "incomplete at the end; expected a closing parenthesis"),
        ("1 == 1)", "unexpected ')' at position 7; expected the end of the expression"),
        ("level == 'high", "the string at position 10 has no closing quote"),
        ("NOT level == 3", "unexpected 'NOT' at position 1; expected an attribute or a value"),
        ("AND", "unexpected 'AND' at position 1; expected an attribute or a value"),
        ("level == 3 AND or", "unexpected 'or' at position 16; expected an attribute or a value"),
        ("HAS 'es'", "unexpected 'HAS' at position 1; expected an attribute or a value"),
        ("", "incomplete at the end; expected an attribute or a value"),
        ("worker.level\u00e9l == 1", "unexpected '\u00e9' at position 13; expected an operator"),
        ("level\u00a0== 1", "unexpected '\\xa0' at position 6; expected an operator"),
        ("level == 1\u00a0", "unexpected '\\xa0' at position 11; expected AND, OR or "),
        ("level == 1\u2003AND level == 1", "unexpected '\\u2003' at position 11; expected AND"),
        ("level == fal\u017fe", "unexpected '\u017f' at position 13; expected AND, OR or "),
        ("level IN [1, 2", "incomplete at the end; expected a comma or a closing bracket"),
        ("level.5 == 1", "unexpected '5' at position 7; expected a name"),
        ("list[x] == 1", "unexpected 'x' at position 6; expected an index"),
        ("skill-level == 1", "unexpected '-' at position 6; expected an operator"),
        ("languages HAS “es”", "unexpected '“' at position 15; expected an attribute or a value"),
    ],
)
def test_error_states_position_and_problem(text, message):
    with pytest.raises(ExpressionError) as error:
        parse(text, Comparisons())
    assert message in str(error.value)


WORDS = ["AND", "OR", "HAS", "IN", "NOT IN", "=", "==", "!=", "<",
         "(", ")", "[", "]", ",", ".", "a", "task", "1", "-2.5", "'s'",
         '"t"', "null", "true", "\\", "'", " "]  # fmt: skip


@given(st.characters(min_codepoint=128))
def test_only_ascii_characters_may_occur_outside_strings(character):
    for text in (f"a{character} == 1", f"task.a{character} == 1", f"a =={character}1"):
        with pytest.raises(ExpressionError):
            parse(text, Comparisons())
    parse(f"a == '{character}'", Comparisons())


@given(st.one_of(st.text(), st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join)))
def test_any_text_parses_or_raises_expression_error(text):
    try:
        predicate = parse(text, Comparisons())
    except ExpressionError as error:
        reason = str(error).removeprefix(repr(text[:200]))
        assert re.search(r"position [0-9]+|at the end|nested", reason), reason
        assert not re.search("[Tt]erminal|[Tt]oken|Lark|line|NAME|None", reason), reason
        return
    assert predicate({"a": [1], "task": {"a": None}}) in {True, False}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(JSON, JSON, st.builds(Comparisons, st.booleans(), st.sampled_from(["unequal", "numbers"])))
def test_single_equals_sign_means_equal(left, right, comparisons):
    context = {"a": left, "b": right}
    single, double = (parse(text, comparisons)(context) for text in ("a = b", "a == b"))
    assert single is double


@given(
    JSON,
    JSON,
    st.sampled_from(["==", "!=", ">", ">=", "<", "<=", "CONTAINS", "HAS", "IN", "NOT IN"]),
    st.builds(Comparisons, st.booleans(), st.sampled_from(["unequal", "false", "numbers"])),
)
def test_every_operator_returns_boolean_for_any_values(left, right, operator, comparisons):
    assert parse(f"a {operator} b", comparisons)({"a": left, "b": right}) in {True, False}


def test_reference_is_resolved():
    assert parse_reference("nested.list[1].key")(CONTEXT) == "x"
    assert parse_reference("nested.nothing.at.all")(CONTEXT) is None
    assert parse_reference("a$b.c$")(CONTEXT) == "x"


@pytest.mark.parametrize(
    "text",
    ["", "'WKx'", "a.", "a b", "a == b", "1a", "a.1", "a[x]", "\u00e9", "a.l\u00e9", "a\u0661"],
)
def test_invalid_reference_is_rejected(text):
    with pytest.raises(ExpressionError):
        parse_reference(text)


@pytest.mark.parametrize(
    ("text", "by_default", "with_nulls_as_values"),
    [
        ("missing == missing_too", False, True),
        ("missing != 'x'", False, True),
        ("missing == 'x'", False, False),
        ("missing != missing_too", False, False),
        ("missing > 3", False, False),
        ("missing HAS 'x'", False, False),
        ("missing IN ['x']", False, False),
        ("missing NOT IN ['x']", False, True),
        ("missing == null", True, True),
    ],
)
def test_comparison_with_a_missing_attribute_depends_on_the_setting_for_nulls(
    text, by_default, with_nulls_as_values
):
    assert parse(text, Comparisons())(CONTEXT) is by_default
    assert parse(text, Comparisons(nulls_are_values=True))(CONTEXT) is with_nulls_as_values


@pytest.mark.parametrize(
    ("text", "unequal", "false", "numbers"),
    [
        ("five == 5", False, False, True),
        ("5 == five", False, False, True),
        ("five != 5", True, False, False),
        ("word != 5", True, False, True),
        ("five > 4.5", False, False, True),
        ("five < '40'", False, False, False),
        ("word == 5", False, False, False),
        ("word > 4", False, False, False),
        ("yes == 1", False, False, False),
        ("yes != 'true'", True, False, True),
        ("[5] HAS five", False, False, True),
        ("five IN [4, 5]", False, False, True),
        ("five NOT IN [5]", True, True, False),
        ("room CONTAINS 5", True, False, True),
        ("55 CONTAINS five", False, False, True),
        ("room CONTAINS yes", False, False, False),
        ("word == 'five'", True, True, True),
        ("[5] == 5", False, False, False),
    ],
)
def test_comparison_of_mixed_types_follows_the_mixed_types_setting(text, unequal, false, numbers):
    context = {"five": "5", "word": "five", "yes": True, "room": "room 5"}
    for mixed_types, expected in (("unequal", unequal), ("false", false), ("numbers", numbers)):
        assert parse(text, Comparisons(mixed_types=mixed_types))(context) is expected


def test_engine_compares_according_to_settings():
    strict, converting = Simulation().engine, Simulation(mixed_types="numbers").engine
    assert [engine.compile("level == 5")({"level": "5"}) for engine in (strict, converting)] == [
        False,
        True,
    ]
    lenient = Simulation(nulls_are_values=True).engine
    assert [engine.compile("a == b")({}) for engine in (strict, lenient)] == [False, True]
