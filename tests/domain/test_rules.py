from dataclasses import replace

import pytest

from chalicelib.domain.instructions import Accept, Defer, Dequeue, Reject
from chalicelib.domain.rules import FACTS, RuleResult, facts_of
from tests.domain.ruling import BARE, CALLBACK, WA, decide, holds, rules


def test_the_first_rule_that_matches_answers() -> None:
    ruling = decide(
        {"when": "task.language == 'fr'", "instruction": "accept"},
        {"when": "task.language == 'es'", "instruction": "reject", "activity_sid": WA},
        {"when": "task.vip", "instruction": "accept"},
    )
    assert ruling == RuleResult(Reject(activity_sid=WA), "rule 2")


def test_a_rule_without_a_condition_always_matches() -> None:
    assert decide({"instruction": "accept"}, callback=BARE) == RuleResult(Accept(), "rule 1")


def test_a_rule_may_defer_so_that_those_below_it_are_not_asked() -> None:
    ruling = decide({"when": "task.vip", "instruction": "defer"}, {"instruction": "accept"})
    assert ruling == RuleResult(Defer(), "rule 1")


def test_without_a_match_the_setting_answers() -> None:
    unmatched = rules({"when": "task.gold", "instruction": "reject"})
    assert replace(unmatched, default=Accept()).decide(CALLBACK) == RuleResult(Accept())


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
def test_conditions_that_hold(when: str) -> None:
    assert holds(when)


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
def test_conditions_that_do_not_hold(when: str) -> None:
    assert not holds(when)


def test_the_facts_are_those_that_an_expression_may_begin_with() -> None:
    assert tuple(facts_of(CALLBACK)) == tuple(facts_of(BARE)) == FACTS


def test_parameters_are_literal_or_refer_to_the_callback() -> None:
    ruling = decide(
        {
            "instruction": "dequeue",
            "to": {"ref": "worker.contact_uri"},
            "from": {"ref": "task.from || task.to"},
            "timeout": {"ref": "task.rings"},
            "record": "record-from-answer",
        }
    )
    assert ruling.instruction == Dequeue(
        to="client:joey", from_="+15556667777", timeout=30, record="record-from-answer"
    )
