"""Any callback gets an answer, and any rules file is either parsed or rejected."""

import contextlib
import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.adapters import rules_file
from chalicelib.domain.instructions import Accept, Defer
from chalicelib.domain.rules import InvalidRules, RuleResult, facts_of, parse_rules
from tests.domain.rule_cases import CALLBACK, decide, is_true


@pytest.mark.parametrize("attributes", [None, "", "not JSON", "[]", "5", "null", '{"a": NaN}', "{"])
def test_attributes_that_are_not_an_object_are_treated_as_empty(attributes: str | None) -> None:
    callback = replace(CALLBACK, task_attributes=attributes, worker_attributes=attributes)
    facts = facts_of(callback)
    assert (facts["task"], facts["worker"]) == ({}, {})
    assert not is_true("task.vip || worker.skills", callback)


@pytest.mark.parametrize("number", ["", "-1", "5.0", "\u0665", "9" * 99, ["5", "6"]])
def test_malformed_priority_or_age_is_null(number: object) -> None:
    facts = facts_of(replace(CALLBACK, parameters={"TaskPriority": number, "TaskAge": number}))
    assert (facts["priority"], facts["age"]) == (None, None)


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
def test_rule_that_cannot_be_rendered_is_reported_and_skipped(reference: str, failure: str) -> None:
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


def test_timeout_limit_for_sip_also_applies_if_to_is_a_reference() -> None:
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
        Defer(), None, ("rules: AttributeError",)
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
    with pytest.raises(InvalidRules, match="when is nested too deeply or is too long"):
        parse_rules({"rule": [{"name": "one", "when": when, "instruction": "accept"}]})


@given(st.binary() | st.text("rule[]{}=.,#'\"\\\n 9e-:TZ").map(str.encode))
def test_any_file_is_parsed_or_rejected(tmp_path_factory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(content)
    with contextlib.suppress(rules_file.RulesError):
        rules_file.read(file)
