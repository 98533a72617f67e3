"""Evaluation of rules: their order, conditions and parameters."""

from dataclasses import replace

import pytest

from chalicelib.domain.instructions import Accept, Defer, Dequeue, Reject
from chalicelib.domain.rules import FACTS, RuleResult, Rules, facts_of
from chalicelib.domain.rules.evaluation import evaluate_all
from tests.domain.rule_cases import CALLBACK, MINIMAL_CALLBACK, WA, decide, is_true, make_rules


def test_first_matching_rule_is_applied() -> None:
    result = decide(
        {"when": "task.language == 'fr'", "instruction": "accept"},
        {"when": "task.language == 'es'", "instruction": "reject", "activity_sid": WA},
        {"when": "task.vip", "instruction": "accept"},
    )
    assert result == RuleResult(Reject(activity_sid=WA), "rule 2")


def test_rule_without_a_condition_always_matches() -> None:
    assert decide({"instruction": "accept"}, callback=MINIMAL_CALLBACK) == RuleResult(
        Accept(), "rule 1"
    )


def test_matching_rule_that_defers_ends_the_evaluation() -> None:
    result = decide({"when": "task.vip", "instruction": "defer"}, {"instruction": "accept"})
    assert result == RuleResult(Defer(), "rule 1")


def test_default_instruction_is_used_if_no_rule_matches() -> None:
    rules = make_rules({"when": "task.gold", "instruction": "reject"})
    assert replace(rules, default=Accept()).decide(CALLBACK) == RuleResult(Accept())


@pytest.mark.parametrize(
    "when",
    [
        "task.vip",
        "task.vip == `true`",
        "!(task.gold)",
        "!(task.vip) == `false`",
        "task.language == 'es' && worker.contact_uri == 'client:joey'",
        "task.nothing || task.vip",
        'task."customer-value" > `5`',
        "priority >= `5` && age > `60`",
        "task.zero",
        "task.text == '30' && `60` < age",
        "contains(worker.skills, task.skill)",
        "worker.skills[?@ == 'gold']",
        "starts_with(worker.contact_uri, 'client:')",
        f"workflow_sid == '{CALLBACK.workflow_sid}' && starts_with(task_queue_sid, 'WQ')",
        "workspace_sid && reservation_sid && task_sid && worker_sid",
        "to_number(task.text) == `30`",
        "task.none == `null` && task.nothing == `null`",
        "(task.nothing || `[]`) || contains(worker.skills || 'none', 'gold')",
    ],
)
def test_condition_that_the_sample_callback_meets_is_true(when: str) -> None:
    assert is_true(when)


@pytest.mark.parametrize(
    "when",
    [
        "task.gold",
        "task.empty",
        "task.vip == 'true'",
        "task.vip.more.still",
        "task.language == 'ES'",
        "worker.skills[?@ == 'silver']",
        "task.rings > `30`",
        "task.nothing > `1`",
    ],
)
def test_condition_that_the_sample_callback_does_not_meet_is_false(when: str) -> None:
    assert not is_true(when)


def test_full_and_minimal_callbacks_have_the_same_fact_names() -> None:
    assert tuple(facts_of(CALLBACK)) == tuple(facts_of(MINIMAL_CALLBACK)) == FACTS


def test_parameters_may_be_literals_or_references() -> None:
    result = decide(
        {
            "instruction": "dequeue",
            "to": {"ref": "worker.contact_uri"},
            "from": {"ref": "task.from || task.to"},
            "timeout": {"ref": "task.rings"},
            "record": "record-from-answer",
        }
    )
    assert result.instruction == Dequeue(
        to="client:joey", from_="+15556667777", timeout=30, record="record-from-answer"
    )


def test_callback_is_not_read_if_there_are_no_rules() -> None:
    malformed = replace(CALLBACK, parameters=None)  # type: ignore[arg-type]
    assert Rules((), Accept()).decide(malformed) == RuleResult(Accept())


def test_every_rule_is_evaluated_and_failures_include_their_reasons() -> None:
    rules = make_rules(
        {"when": "task.gold", "instruction": "accept"},
        {"instruction": "dequeue", "to": {"ref": "task.none"}, "from": {"ref": "task.rings"}},
        {"when": "abs(task.text)", "instruction": "accept"},
        {"instruction": "dequeue", "to": {"ref": "abs(task.text)"}},
        {"instruction": "accept"},
    )
    results = list(evaluate_all(rules, facts_of(CALLBACK)))
    assert [result.rule for result in results] == list(rules.rules)
    assert [result.matched for result in results] == [False, True, False, True, True]
    assert [result.instruction for result in results] == [None, None, None, None, Accept()]
    assert [result.unreadable for result in results] == [None] * 5
    reason = "could not be evaluated (JMESPathTypeError): a value may have the wrong type."
    errors = [[(error.parameter, error.message) for error in result.errors] for result in results]
    missing, invalid = errors[1]
    assert missing == ("to", "to is missing: task.none is null.")
    assert invalid[0] == "from"
    assert errors[2:] == [
        [("when", f"`when` {reason}")],
        [("parameters", f"`parameters` {reason}")],
        [],
    ]


@pytest.mark.parametrize(
    ("parameter", "attributes", "reason"),
    [
        ("TaskAttributes", "[", "TaskAttributes is not a JSON object."),
        (
            "TaskAttributes",
            '{"vip": NaN, "a": 1}',
            'TaskAttributes contains NaN, Infinity or a number out of range, in "vip".',
        ),
    ],
)
def test_evaluation_names_the_callback_parameter_that_cannot_be_read(
    parameter: str, attributes: str, reason: str
) -> None:
    rules = make_rules({"when": "task.vip", "instruction": "accept"})
    facts = facts_of(replace(CALLBACK, task_attributes=attributes))
    (result,) = evaluate_all(rules, facts)
    assert (result.matched, result.instruction, result.unreadable) == (False, None, parameter)
    assert [tuple(error) for error in result.errors] == [("when", reason)]
