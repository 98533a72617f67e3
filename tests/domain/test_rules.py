"""Evaluation of rules: their order, conditions and parameters."""

from dataclasses import replace

import pytest

from chalicelib.domain.instructions import Accept, Defer, Dequeue, Reject
from chalicelib.domain.rules import FACTS, RuleResult, facts_of
from tests.domain.rule_cases import CALLBACK, MINIMAL_CALLBACK, WA, decide, is_true, make_rules


def test_first_matching_rule_is_applied() -> None:
    result = decide(
        {"when": "task.language == 'fr'", "instruction": "accept"},
        {"when": "task.language == 'es'", "instruction": "reject", "activity_sid": WA},
        {"when": "task.vip", "instruction": "accept"},
    )
    assert result == RuleResult(Reject(activity_sid=WA), "rule 2")


def test_rule_without_condition_always_matches() -> None:
    assert decide({"instruction": "accept"}, callback=MINIMAL_CALLBACK) == RuleResult(
        Accept(), "rule 1"
    )


def test_matching_defer_rule_ends_the_evaluation() -> None:
    result = decide({"when": "task.vip", "instruction": "defer"}, {"instruction": "accept"})
    assert result == RuleResult(Defer(), "rule 1")


def test_default_is_used_if_no_rule_matches() -> None:
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
def test_condition_is_true(when: str) -> None:
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
def test_condition_is_false(when: str) -> None:
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
