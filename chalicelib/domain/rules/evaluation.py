"""The rules themselves, and what they make of a callback. Nothing in a rule can fail a callback."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.domain.callbacks import AssignmentCallback
from chalicelib.domain.instructions import Instruction, InvalidInstruction, ParameterError
from chalicelib.domain.rules.expressions import Expression
from chalicelib.domain.rules.facts import facts_of


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: tells it from the others.
        when: its condition; None matches always.
        instruction: the kind of the instruction that it answers with.
        literals: the instruction's parameters that are always the same, by JSON name.
        references: its parameters that are values of the callback, by JSON name.
    """

    name: str
    when: Expression | None
    instruction: type[Instruction]
    literals: Mapping[str, Any]
    references: Mapping[str, Expression]

    def matches(self, facts: Mapping[str, Any]) -> bool:
        """Tell whether its condition holds; raises whatever jmespath does."""
        return self.when is None or self.when.holds(facts)

    def render(self, facts: Mapping[str, Any]) -> Instruction:
        """Return the instruction; raises InvalidInstruction, or whatever jmespath does."""
        values = {name: one.evaluate(facts) for name, one in self.references.items()}
        missing = [
            ParameterError(name, f"{name} is not there: {self.references[name].text} is null.")
            for name, value in values.items()
            if value is None
        ]
        there = {name: value for name, value in values.items() if value is not None}
        given = {**self.literals, **there}
        if faults := [*missing, *self.instruction.value_faults(given)]:
            raise InvalidInstruction(faults)
        known = self.instruction.parameters()
        return self.instruction(**{known[name].attribute: one for name, one in given.items()})


@dataclass(frozen=True)
class RuleEvaluation:
    """What one rule makes of a callback.

    Attributes:
        rule: the rule.
        matched: whether its condition holds.
        instruction: its answer; None where it did not match, or failed.
        faults: why it failed; the parameter is ``when`` where its condition did, and
            ``parameters`` where a reference could not be evaluated.
    """

    rule: Rule
    matched: bool
    instruction: Instruction | None = None
    faults: tuple[ParameterError, ...] = ()


@dataclass(frozen=True)
class RuleResult:
    """What answers a callback.

    Attributes:
        instruction: the answer.
        rule: the name of the rule that gave it; None where none did.
        failures: ``rule: parameters`` of the rules before it that should have and could not.
    """

    instruction: Instruction
    rule: str | None = None
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rules:
    """Ordered rules.

    Attributes:
        rules: the first that matches and can be rendered answers.
        otherwise: what answers where none does.
        failures: what every ruling tells: why there are no rules although there should be.
    """

    rules: tuple[Rule, ...]
    otherwise: Instruction
    failures: tuple[str, ...] = ()

    def decide(self, callback: AssignmentCallback) -> RuleResult:
        """Return what answers a callback; never raises."""
        failures = list(self.failures)
        try:
            facts = facts_of(callback) if self.rules else {}
            for rule in self.rules:
                verdict = evaluate(rule, facts)
                if verdict.faults:
                    where = ", ".join(fault.parameter for fault in verdict.faults)
                    failures.append(f"{rule.name}: {where}")
                if verdict.instruction is not None:
                    return RuleResult(verdict.instruction, rule.name, tuple(failures))
        except Exception as error:  # noqa: BLE001  an agent waits; the log tells
            failures.append(f"rules: {type(error).__name__}")
        return RuleResult(self.otherwise, failures=tuple(failures))


def evaluate_all(rules: Rules, facts: Mapping[str, Any]) -> Iterator[RuleEvaluation]:
    """Yield what each rule makes of a callback's facts, those too that are not asked any more."""
    return (evaluate(rule, facts) for rule in rules.rules)


def evaluate(rule: Rule, facts: Mapping[str, Any]) -> RuleEvaluation:
    """Return what a rule makes of a callback's facts; never raises."""
    matched = False
    try:
        matched = rule.matches(facts)
        return RuleEvaluation(rule, matched, rule.render(facts) if matched else None)
    except InvalidInstruction as error:
        return RuleEvaluation(rule, matched, faults=error.faults)
    except Exception as error:  # noqa: BLE001  jmespath raises errors of Python's too
        what = "parameters" if matched else "when"
        why = f"{what} could not be evaluated ({type(error).__name__}): a value has another type."
        return RuleEvaluation(rule, matched, faults=(ParameterError(what, why),))
