"""Callbacks with and without optional facts, and helpers that evaluate rules."""

import json
from dataclasses import replace

from chalicelib.domain.callbacks import AssignmentCallback
from chalicelib.domain.instructions import Accept, Defer
from chalicelib.domain.rules import RuleResult, Rules, parse_rules

WA = "WA" + "0" * 32
CALLBACK = AssignmentCallback(
    reservation_sid="WR" + "1" * 32,
    task_sid="WT" + "2" * 32,
    worker_sid="WK" + "3" * 32,
    workflow_sid="WW" + "4" * 32,
    task_queue_sid="WQ" + "5" * 32,
    task_attributes=json.dumps(
        {
            "vip": True,
            "language": "es",
            "to": "+15556667777",
            "customer-value": 7,
            "skill": "gold",
            "rings": 30,
            "zero": 0,
            "none": None,
            "empty": "",
            "text": "30",
        }
    ),
    worker_attributes=json.dumps({"contact_uri": "client:joey", "skills": ["gold", "es"]}),
    parameters={"TaskPriority": "5", "TaskAge": "61", "WorkspaceSid": "WS" + "6" * 32},
)
MINIMAL_CALLBACK = replace(
    CALLBACK,
    workflow_sid=None,
    task_queue_sid=None,
    task_attributes=None,
    worker_attributes=None,
    parameters={},
)


def make_rules(*tables: dict[str, object]) -> Rules:
    named = [{"name": f"rule {number}", **table} for number, table in enumerate(tables, start=1)]
    return Rules(parse_rules({"rule": named}), default=Defer())


def decide(*tables: dict[str, object], callback: AssignmentCallback = CALLBACK) -> RuleResult:
    return make_rules(*tables).decide(callback)


def is_true(when: str, callback: AssignmentCallback = CALLBACK) -> bool:
    result = decide({"when": when, "instruction": "accept"}, callback=callback)
    assert result.failures == ()
    return result.instruction == Accept()
