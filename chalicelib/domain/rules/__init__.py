"""Rules that select the instruction for an assignment callback.

The first rule that matches and can render its instruction determines the answer, unless a rule
reads a part of the callback that can't be parsed. ``docs/rules.md`` describes the format of rules.
"""

from chalicelib.domain.rules.evaluation import (
    Rule,
    RuleEvaluation,
    RuleResult,
    Rules,
    evaluate_all,
)
from chalicelib.domain.rules.facts import FACTS, facts_of
from chalicelib.domain.rules.parsing import InvalidRules, parse_rules, parse_unreadable

__all__ = [
    "FACTS",
    "InvalidRules",
    "Rule",
    "RuleEvaluation",
    "RuleResult",
    "Rules",
    "evaluate_all",
    "facts_of",
    "parse_rules",
    "parse_unreadable",
]
