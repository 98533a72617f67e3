"""Rules: which instruction answers which callback. The first that matches and can be rendered wins.

``docs/rules.md`` says how they are written.
"""

from chalicelib.domain.rules.document import InvalidRules, read
from chalicelib.domain.rules.facts import FACTS, facts_of
from chalicelib.domain.rules.judging import Rule, Rules, Ruling, Verdict, verdicts

__all__ = [
    "FACTS",
    "InvalidRules",
    "Rule",
    "Rules",
    "Ruling",
    "Verdict",
    "facts_of",
    "read",
    "verdicts",
]
