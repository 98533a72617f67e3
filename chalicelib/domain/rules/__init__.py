"""Rules: which instruction answers which callback. The first that matches and can be rendered wins.

``docs/rules.md`` says how they are written.
"""

from chalicelib.domain.rules.evaluation import (
    Rule,
    RuleEvaluation,
    RuleResult,
    Rules,
    evaluate_all,
)
from chalicelib.domain.rules.facts import FACTS, facts_of
from chalicelib.domain.rules.parsing import InvalidRules, parse_rules

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
]
