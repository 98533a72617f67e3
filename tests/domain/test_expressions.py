"""Strings in double quotes are rejected, and expressions with the same text are equal."""

import pytest

from chalicelib.domain.rules.expressions import Expression, InvalidExpression

COMPARATORS = pytest.mark.parametrize("comparator", ["==", "!=", "<", "<=", ">", ">="])


def error_of(when: str) -> str:
    with pytest.raises(InvalidExpression) as raised:
        Expression.compile(when)
    return str(raised.value)


@COMPARATORS
def test_string_in_double_quotes_after_a_comparator_is_rejected(comparator: str) -> None:
    # `task` is a known name, so the quotes are the only mistake.
    assert error_of(f'task.a {comparator} "task"') == (
        "compares with the field \"task\": write strings in single quotes, as in 'task'"
    )


@COMPARATORS
def test_string_in_double_quotes_before_a_comparator_is_rejected(comparator: str) -> None:
    assert error_of(f'"task" {comparator} worker.a') == (
        "compares with the field \"task\": write strings in single quotes, as in 'task'"
    )


@COMPARATORS
def test_quoted_field_after_a_dot_may_be_compared(comparator: str) -> None:
    when = f'task."priority" {comparator} worker."customer-value"'
    assert Expression.compile(when).text == when


def test_quoted_fact_before_a_dot_is_a_field() -> None:
    assert Expression.compile('"task".priority == `1`').is_true({"task": {"priority": 1}})


def test_expressions_with_the_same_text_are_equal() -> None:
    expression = Expression.compile("task.vip")
    assert expression == Expression.compile("task.vip") != Expression.compile("task.vip ")
    assert {expression} == {Expression.compile("task.vip")}
    assert repr(expression) == "Expression(text='task.vip')"
