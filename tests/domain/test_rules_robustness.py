"""Any callback gets an answer, and any rules file is either parsed or rejected."""

import contextlib
import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.adapters import rules_file
from chalicelib.domain.instructions import Accept, Defer, Reject
from chalicelib.domain.rules import InvalidRules, RuleResult, facts_of, parse_rules
from tests.domain.rule_cases import CALLBACK, decide, is_true, make_rules


@pytest.mark.parametrize("attributes", [None, "", " ", "\t\r\n", "{}"])
def test_missing_or_blank_attributes_are_read_as_an_empty_object(attributes: str | None) -> None:
    callback = replace(CALLBACK, task_attributes=attributes, worker_attributes=attributes)
    facts = facts_of(callback)
    assert (facts["task"], facts["worker"]) == ({}, {})
    assert not is_true("task.vip || worker.skills || task == `null`", callback)


@pytest.mark.parametrize(
    "rest",
    [
        r'"x": "\ud800"',
        r'"\udfff": 1',
        '"x": NaN',
        '"x": [Infinity, -1e999]',
        '"x": ' + "9" * 5_000,
        '"x": ' + "[" * 2_000 + "]" * 2_000,
        '"x": ' + '{"a":' * 600 + "1" + "}" * 600,
        '"x": 1, "x": 2',
        '"blocked": true',
        '"x": "a\tb"',
    ],
)
@pytest.mark.parametrize("text", ['{{{}, "blocked": true}}', '\ufeff{{"blocked": true, {}}}'])
def test_attributes_that_strict_parsers_reject_are_read(text: str, rest: str) -> None:
    callback = replace(CALLBACK, task_attributes=text.format(rest))
    assert decide({"when": "task.blocked", "instruction": "reject"}, callback=callback) == (
        RuleResult(Reject(), "rule 1")
    )


UNREADABLE_ATTRIBUTES = ["not JSON", "[]", "5", "null", "{", "{'a': 1}", '{"a": 1}}', '"{}"']


@pytest.mark.parametrize("attributes", UNREADABLE_ATTRIBUTES)
@pytest.mark.parametrize(
    "when",
    ["task.blocked", "!(task.blocked)", "task", "@.task.x || age", "keys(task)", "*.blocked"],
)
def test_rule_that_needs_unreadable_attributes_ends_the_evaluation(
    when: str, attributes: str
) -> None:
    rules = make_rules(
        {"when": "task_sid && worker.missing", "instruction": "accept"},
        {"when": when, "instruction": "accept"},
        {"instruction": "accept"},
    )
    callback = replace(CALLBACK, task_attributes=attributes)
    expected = RuleResult(Defer(), None, (), "TaskAttributes")
    assert rules.decide(callback) == expected
    rejecting = replace(rules, default=Accept(), unreadable=Reject())
    assert rejecting.decide(callback) == replace(expected, instruction=Reject())


NON_FINITE_NUMBERS = [
    "NaN",
    "Infinity",
    "1e999",
    "[1, -1e400]",
    '{"a": [{"b": -Infinity}]}',
    "9" * 4_500,
    "[" * 2_000 + "NaN" + "]" * 2_000,
    '{"a":' * 600 + "-1e999" + "}" * 600,
]


@pytest.mark.parametrize("value", NON_FINITE_NUMBERS)
@pytest.mark.parametrize(
    "when",
    [
        "task.x > `5`",
        "!(task.x)",
        "task.x.a[0].b",
        "task.*",
        "values(task)",
        "to_string(task)",
        "merge(task, worker).y",
        "task == worker",
        "[task][0].x",
        "@.task.x",
        "contains(worker.skills, task.x)",
    ],
)
def test_rule_that_reads_an_attribute_with_a_non_finite_number_ends_the_evaluation(
    value: str, when: str
) -> None:
    callback = replace(CALLBACK, task_attributes=f'{{"y": true, "x": {value}}}')
    result = decide(
        {"when": when, "instruction": "accept"}, {"instruction": "accept"}, callback=callback
    )
    assert result == RuleResult(Defer(), None, (), "TaskAttributes")


@pytest.mark.parametrize("value", NON_FINITE_NUMBERS)
@pytest.mark.parametrize(
    "when", ["task.y", "task && task.y", "contains(keys(task), 'x')", "length(task) == `2`"]
)
def test_rule_that_does_not_use_the_invalid_attribute_is_evaluated(value: str, when: str) -> None:
    callback = replace(CALLBACK, task_attributes=f'{{"x": {value}, "y": true}}')
    assert decide({"when": when, "instruction": "accept"}, callback=callback) == (
        RuleResult(Accept(), "rule 1")
    )


def test_non_finite_number_in_a_reference_ends_the_evaluation() -> None:
    callback = replace(CALLBACK, worker_attributes='{"ring": 1e999}')
    result = decide(
        {"instruction": "dequeue", "timeout": {"ref": "worker.ring"}}, callback=callback
    )
    assert result == RuleResult(Defer(), None, (), "WorkerAttributes")


@pytest.mark.parametrize("depth", [32, 33, 64, 65, 500, 1_000, 2_035])
@pytest.mark.parametrize(("before", "after"), [("[", "]"), ('{"a":', "}"), ('[{"a":1},[', "]]")])
def test_attribute_nested_to_any_depth_is_read(depth: int, before: str, after: str) -> None:
    depth = min(depth, 4_000 // len(before + after))
    attributes = f'{{"x": {before * depth}7{after * depth}, "y": 8}}'
    callback = replace(CALLBACK, task_attributes=attributes)
    value = facts_of(callback)["task"]["x"]
    for _ in range(depth):
        value = value["a"] if isinstance(value, dict) else value[-1]
        value = value[0] if before.startswith("[{") else value
    assert value == 7
    assert is_true("task.x && task.y == `8`", callback)


@pytest.mark.parametrize("when", ["task.x == task.y", "to_string(task.x)", "contains(task.x, 'a')"])
def test_callback_with_deeply_nested_values_is_answered_by_a_rule(when: str) -> None:
    deep = "[" * 1_010 + "]" * 1_010
    callback = replace(CALLBACK, task_attributes=f'{{"x": {deep}, "y": {deep}}}')
    result = decide(
        {"when": when, "instruction": "reject"}, {"instruction": "accept"}, callback=callback
    )
    assert result.rule in ("rule 1", "rule 2")


def test_unreadable_attributes_in_a_reference_end_the_evaluation() -> None:
    callback = replace(CALLBACK, worker_attributes="[")
    result = decide(
        {"instruction": "call", "from": {"ref": "task.nothing"}, "url": {"ref": "task.nothing"}},
        {"instruction": "dequeue", "to": {"ref": "worker.contact_uri"}},
        {"instruction": "accept"},
        callback=callback,
    )
    assert result == RuleResult(Defer(), None, ("rule 1: from, url",), "WorkerAttributes")


def test_rule_that_does_not_use_the_unreadable_attributes_is_evaluated() -> None:
    callback = replace(CALLBACK, task_attributes="[", worker_attributes="[")
    result = decide({"when": "age > `60` || task.vip", "instruction": "accept"}, callback=callback)
    assert result == RuleResult(Accept(), "rule 1")


@pytest.mark.parametrize("number", ["-1", "5.0", "\u0665", "9" * 99, ["5", "6"]])
@pytest.mark.parametrize("name", ["TaskPriority", "TaskAge"])
def test_rule_that_reads_a_malformed_priority_or_age_ends_the_evaluation(
    name: str, number: object
) -> None:
    callback = replace(CALLBACK, parameters={name: number})
    assert decide(
        {"when": "age > `5` || priority", "instruction": "accept"}, callback=callback
    ) == (RuleResult(Defer(), None, (), name))
    assert is_true("task.vip", callback)


@pytest.mark.parametrize("number", [None, "", "   ", "\n"])
def test_missing_priority_or_age_is_null(number: str | None) -> None:
    parameters = {} if number is None else {"TaskPriority": number, "TaskAge": number}
    assert is_true("!(priority) && !(age)", replace(CALLBACK, parameters=parameters))


@given(st.text() | st.text('{}[]",:\\ud8N1e'))
def test_attributes_are_read_or_the_evaluation_ends(attributes: str) -> None:
    callback = replace(CALLBACK, task_attributes=attributes)
    result = decide({"when": "!(task.vip)", "instruction": "accept"}, callback=callback)
    assert result in (
        RuleResult(Accept(), "rule 1"),
        RuleResult(Defer(), None, (), "TaskAttributes"),
    )


@pytest.mark.parametrize(
    ("reference", "failure"),
    [
        ("task.nothing", "from"),
        ("task.none", "from"),
        ("task.rings", "from"),
        ("task.empty", "from"),
        ("worker.skills", "from"),
        ("length(task.rings)", "parameters"),
    ],
)
def test_rule_with_unusable_parameters_is_reported_and_skipped(
    reference: str, failure: str
) -> None:
    result = decide(
        {"instruction": "dequeue", "from": {"ref": reference}},
        {"when": "task.gold", "instruction": "reject"},
        {"when": "task.vip", "instruction": "accept"},
    )
    assert result == RuleResult(Accept(), "rule 3", (f"rule 1: {failure}",))


def test_failing_rule_is_reported_once_with_all_failed_parameters() -> None:
    result = decide(
        {"instruction": "call", "from": {"ref": "task.nothing"}, "url": {"ref": "task.language"}}
    )
    assert result == RuleResult(Defer(), None, ("rule 1: from, url",))


def test_timeout_limit_for_sip_also_applies_if_the_to_parameter_is_a_reference() -> None:
    result = decide(
        {"instruction": "dequeue", "to": {"ref": "'sip:joey@example.com'"}, "timeout": 700},
    )
    assert result == RuleResult(Defer(), None, ("rule 1: timeout",))


@pytest.mark.parametrize(
    "when",
    [
        "contains(task.rings, 'x')",  # JMESPathTypeError
        "task.language > `1`",  # TypeError
        "worker.skills[::0]",  # ValueError
        "ceil(to_number('1e999'))",  # OverflowError
    ],
)
def test_failing_condition_does_not_match_and_is_reported(when: str) -> None:
    result = decide({"when": when, "instruction": "reject"}, {"instruction": "accept"})
    assert result == RuleResult(Accept(), "rule 2", ("rule 1: when",))


def test_unexpected_error_selects_the_default_answer() -> None:
    malformed = replace(CALLBACK, parameters=None)  # type: ignore[arg-type]
    assert decide({"instruction": "accept"}, callback=malformed) == RuleResult(
        Defer(), None, ("rules: TypeError",)
    )


def test_failures_contain_no_attribute_values() -> None:
    callback = replace(CALLBACK, task_attributes='{"to": "tel:secret"}')
    tables = (
        {"instruction": "dequeue", "to": {"ref": "task.to"}},
        {"when": "abs(task.to)", "instruction": "accept"},
    )
    assert "secret" not in repr(decide(*tables, callback=callback))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("abcd") | st.text(), inner),
    max_leaves=9,
)
EXPRESSIONS = [
    "task.a > task.b",
    "contains(task.a, task.b)",
    "sort_by(task.a, &b)[0].c",
    "task.a[?b > `1`].c | [0]",
    "max_by(task.*, &a)",
    "task.a[].b[::-1]",
    "to_number(to_string(task.a)) <= length(task.b)",
    "join(',', keys(task))",
    "merge(task.a, task.b).c",
    "avg(task.a)",
    "ceil(to_number(task.a))",
]


@given(
    attributes=st.dictionaries(st.sampled_from("abcd"), JSON),
    expressions=st.lists(st.sampled_from(EXPRESSIONS), min_size=1, max_size=4),
)
def test_callback_with_any_attributes_gets_an_answer(attributes, expressions) -> None:
    callback = replace(CALLBACK, task_attributes=json.dumps(attributes))
    tables = [
        {"when": when, "instruction": "dequeue", "to": {"ref": to}, "timeout": {"ref": "task.d"}}
        for when, to in itertools.product(expressions, expressions)
    ]
    answer = decide(*tables, callback=callback).instruction.answer
    assert answer == {} or answer["instruction"] == "dequeue"


@given(st.text() | st.text("task.worker[]?*@&|!=<>()`'\"{}:, \\0123456789", max_size=30))
def test_any_condition_is_parsed_or_rejected(when: str) -> None:
    with contextlib.suppress(InvalidRules):
        parse_rules({"rule": [{"name": "one", "when": when, "instruction": "accept"}]})


@given(JSON, st.sampled_from(["name", "when", "instruction", "to", "timeout", "x"]))
def test_any_value_of_a_key_is_parsed_or_rejected(value, key: str) -> None:
    with contextlib.suppress(InvalidRules):
        parse_rules({"rule": [{"name": "one", "instruction": "dequeue", key: value}]})
    with contextlib.suppress(InvalidRules):
        parse_rules({"rule": value})


@pytest.mark.parametrize("when", ["(" * 5000 + "age" + ")" * 5000, " || ".join(["age"] * 5000)])
def test_oversized_condition_is_rejected(when: str) -> None:
    with pytest.raises(InvalidRules, match='"when" is nested too deeply or is too long'):
        parse_rules({"rule": [{"name": "one", "when": when, "instruction": "accept"}]})


@given(st.binary() | st.text("rule[]{}=.,#'\"\\\n 9e-:TZ").map(str.encode))
def test_any_file_is_parsed_or_rejected(tmp_path_factory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(content)
    with contextlib.suppress(rules_file.RulesError):
        rules_file.read(file)
