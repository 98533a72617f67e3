"""Mistakes in expressions are reported even if the expressions are valid JMESPath."""

from dataclasses import replace

import pytest

from chalicelib.domain.rules import InvalidRules, facts_of, parse_rules
from chalicelib.domain.rules.expressions import Expression, InvalidExpression
from chalicelib.domain.rules.lint import is_false
from tests.domain.rule_cases import CALLBACK, is_true


def error_of(when: str) -> str:
    with pytest.raises(InvalidRules) as raised:
        parse_rules({"rule": [{"name": "one", "when": when, "instruction": "accept"}]})
    (problem,) = raised.value.problems
    return problem.removeprefix('rule "one": "when" ')


@pytest.mark.parametrize("value", [None, False, "", [], {}])
def test_null_false_and_empty_values_are_falsy(value: object) -> None:
    assert is_false(value) is True


@pytest.mark.parametrize("value", [True, 0, 0.0, "x", [0], {"a": None}])
def test_other_values_including_zero_are_truthy(value: object) -> None:
    assert is_false(value) is False


@pytest.mark.parametrize(
    ("when", "literal"),
    [
        ("task.a == 'x' || 'y'", "'y'"),
        ("'y' || task.vip", "'y'"),
        ("task.vip && 'y'", "'y'"),
        ("task.vip && (task.gold || `5`)", "`5`"),
        ('task.vip || `{"a": 1}`', '`{"a": 1}`'),
    ],
)
def test_truthy_literal_as_an_operand_of_a_logical_operator_is_rejected(
    when: str, literal: str
) -> None:
    assert error_of(when).startswith(
        f"uses {literal}, which is always true, as an operand of || or &&"
    )


@pytest.mark.parametrize(
    "when",
    [
        "task.nothing || `false`",
        "task.vip && `null`",
        "task.vip || ''",
        "task.vip || `[]`",
        "task.vip || `{}`",
        "contains(task.list || 'none', 'x')",
    ],
)
def test_falsy_literal_operand_and_literal_default_in_an_argument_are_allowed(when: str) -> None:
    Expression.compile(when, is_condition=True)


def test_value_expression_may_have_a_literal_as_its_default() -> None:
    assert Expression.compile("task.a || 'x'").text == "task.a || 'x'"
    with pytest.raises(InvalidExpression, match="^uses 'x', which is always true"):
        Expression.compile("task.a || 'x'", is_condition=True)


@pytest.mark.parametrize("fact", ["priority", "age"])
def test_number_must_not_be_compared_with_a_string(fact: str) -> None:
    for when in (f"{fact} == '5'", f"'5' != {fact}", f"task.vip && {fact} > '5'"):
        assert error_of(when).startswith(f"compares the number {fact} with a string")
    for when in (f"{fact} == `5`", f"worker.list[?{fact} == '5']", f"task.{fact} == '5'"):
        Expression.compile(when, is_condition=True)


@pytest.mark.parametrize("name", ["task", "worker"])
@pytest.mark.parametrize(
    "when",
    [
        "worker.list[?{} == 'x']",
        "worker.list[?{}.sid == 'x']",
        "worker.list[?a == {}.b]",
        "task.list | {}",
        "task.list | contains({}, 'x')",
        "task.list[*].[{}]",
    ],
)
def test_fact_is_not_available_inside_brackets_or_after_a_pipe(when: str, name: str) -> None:
    assert error_of(when.format(name)).startswith(f"uses {name} inside brackets or after a |")


@pytest.mark.parametrize(
    "when",
    [
        "task.worker.task == 'x'",
        "task.list[*].worker",
        "task.list[].task",
        "task.list[0].worker",
        "task.list[?a == 'x'].worker",
        "task.list[?workers == taskrouter]",
        "task.list[?unknown].true",
        "task.*.worker",
        "!(task.vip) | @",
        "max_by(worker.list, &level).level > `1`",
        "task.list[1:2].null",
        "@.task.vip",
    ],
)
def test_field_after_a_dot_or_inside_brackets_need_not_be_a_known_name(when: str) -> None:
    Expression.compile(when, is_condition=True)


@pytest.mark.parametrize(
    ("when", "error"),
    [
        ("task.list[?true]", "uses true as a field name: write the literal in backticks"),
        ("task.list | none", "uses none as a field name: write the literal in backticks"),
        ("!task.vip", "applies ! before the dot or bracket: write !(task.vip), not !task.vip"),
        ("!task.list[0]", "applies ! before the dot or bracket"),
        ("(!task)[0]", "applies ! before the dot or bracket"),
        ("!task.*", "applies ! before the dot or bracket"),
        ("!task[?a]", "applies ! before the dot or bracket"),
        ("tasks.vip", "uses the unknown name tasks: did you mean task?"),
        ("workr.vip", "uses the unknown name workr: did you mean worker?"),
        ("tasking.vip", "uses the unknown name tasking: write task.tasking for an attribute"),
        ("task.a == foo", "uses the unknown name foo: write strings in single quotes, as in"),
        ("contains(task.a, foo)", "uses the unknown name foo: write strings in single quotes"),
        ("`1` == foo", "uses the unknown name foo: write task.foo for an attribute of the Task"),
        ("foo.a == 'x' && worker.sid == 'y'", "uses the unknown name foo: "),
        ("taskrouter.a && foo", "uses taskrouter, which only Workflow expressions"),
        ("worker.sid == 'x'", "uses worker.sid, which only Workflows can read: write worker_sid"),
        ("worker.friendly_name", "uses worker.friendly_name, which only Workflows can read"),
        ("worker.activity_sid", "uses worker.activity_sid, which only Workflows can read"),
        ("worker.activity_name", "uses worker.activity_name, which only Workflows can read"),
        *[
            (f"worker.channel.chat.{name}", f"uses worker.channel.chat.{name}, which only")
            for name in (
                *("assigned_tasks", "available_capacity_percentage"),
                *("configured_capacity", "available"),
            )
        ],
        ("length(task.a, task.b)", "calls length() with 2 arguments instead of 1"),
        ("contains(task.a)", "calls contains() with 1 argument instead of 2"),
        ("not_null()", "calls not_null() with 0 arguments instead of at least 1"),
        ("not(task.a)", "calls the unknown function not(): write !(…)"),
    ],
)
def test_error_describes_the_mistake(when: str, error: str) -> None:
    assert error_of(when).startswith(error)


@pytest.mark.parametrize(
    "when",
    [
        "not_null(task.a, task.b, task.c)",
        "not_null(task.a)",
        "worker.channel.chat",
        "worker.sids",
        "task.a.b.available",
        "worker.channel.chat.x",
        "worker.[a]",
    ],
)
def test_expression_that_resembles_a_mistake_is_accepted(when: str) -> None:
    Expression.compile(when, is_condition=True)


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("task.vip", {"task.vip": True}),
        ("task.vip && task.vip", {"task.vip": True}),
        ("task.nothing.more == age", {"task.nothing.more": None, "age": 61}),
        ("task.list[?a == 'x'].b", {"task.list": None}),
        ("length(worker.skills) > `1`", {"worker.skills": ["gold", "es"]}),
        ("max_by(task.list, &level)", {"task.list": None}),
        ("worker.skills | [0]", {"worker.skills": ["gold", "es"]}),
        ("task.vip.x[0].y", {"task.vip": True}),
        ("@", {}),
        ("'x'", {}),
    ],
)
def test_paths_that_an_expression_reads_are_returned_with_their_values(
    expression: str, values: dict[str, object]
) -> None:
    assert Expression.compile(expression).facts_read(facts_of(CALLBACK)) == values


def test_facts_that_cannot_be_read_are_omitted() -> None:
    callback = replace(CALLBACK, task_attributes="[")
    expression = Expression.compile("task.vip && worker_sid")
    assert expression.facts_read(facts_of(callback)) == {"worker_sid": CALLBACK.worker_sid}


def test_object_that_an_expression_reads_is_a_plain_dictionary() -> None:
    (value,) = Expression.compile("worker").facts_read(facts_of(CALLBACK)).values()
    assert type(value) is dict
    assert is_true("worker.skills")
