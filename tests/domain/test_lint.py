"""Errors about names, functions and literals that JMESPath or this service does not support."""

import pytest

from chalicelib.domain.rules.expressions import Expression, InvalidExpression


def error_of(when: str) -> str:
    with pytest.raises(InvalidExpression) as raised:
        Expression.compile(when, is_condition=True)
    return str(raised.value)


@pytest.mark.parametrize(
    ("function", "equivalent"),
    [
        *[(name, "contains") for name in ("has", "in", "includes")],
        *[(name, "length") for name in ("len", "size", "count")],
        *[(name, "to_string") for name in ("str", "string")],
        *[(name, "to_number") for name in ("int", "float", "number")],
        *[(name, "not_null") for name in ("coalesce", "exists", "ifnull")],
        ("average", "avg"),
        ("concat", "join"),
    ],
)
def test_error_about_an_unknown_function_suggests_an_equivalent(
    function: str, equivalent: str
) -> None:
    assert error_of(f"{function}(task.a)") == (
        f"calls the unknown function {function}(): did you mean {equivalent}?"
    )


@pytest.mark.parametrize(
    "function",
    [
        *("lower", "lowercase", "tolower", "to_lower"),
        *("upper", "uppercase", "toupper", "to_upper", "UPPER"),
    ],
)
def test_error_about_a_case_conversion_function_suggests_an_alternative(function: str) -> None:
    assert error_of(f"{function}(task.a) == 'x'") == (
        f"calls the unknown function {function}(): "
        "compare with each capitalization, as in task.a == 'x' || task.a == 'X'"
    )


@pytest.mark.parametrize(
    ("word", "literal"),
    [("true", "true"), ("FALSE", "false"), ("null", "null"), ("None", "null")],
)
def test_literal_without_backticks_is_rejected(word: str, literal: str) -> None:
    assert error_of(f"task.a == {word}") == (
        f"uses {word} as a field name: write the literal in backticks, as in `{literal}`"
    )


@pytest.mark.parametrize("name", ["taskrouter", "workers"])
def test_name_that_only_workflow_expressions_can_read_is_rejected(name: str) -> None:
    assert error_of(f"{name}.a") == f"uses {name}, which only Workflow expressions can read"
