"""Rules and their evaluation. An error in a rule never makes a callback fail."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.domain.callbacks import AssignmentCallback
from chalicelib.domain.instructions import (
    WITHOUT_PARAMETERS,
    Instruction,
    InvalidInstruction,
    ParameterError,
)
from chalicelib.domain.reservations import RINGING
from chalicelib.domain.rules.expressions import Expression
from chalicelib.domain.rules.facts import UnreadableFact, facts_of


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: unique name.
        when: condition; None always matches.
        instruction: class of the instruction to render.
        literals: fixed values of the instruction's parameters, by JSON name.
        references: expressions for the values of the other parameters, by JSON name.
    """

    name: str
    when: Expression | None
    instruction: type[Instruction]
    literals: Mapping[str, Any]
    references: Mapping[str, Expression]

    def matches(self, facts: Mapping[str, Any]) -> bool:
        """Return whether the condition is true.

        Raises:
            UnreadableFact: the condition reads a fact that can't be read.
            Exception: any error from jmespath.
        """
        return self.when is None or self.when.is_true(facts)

    def render(self, facts: Mapping[str, Any]) -> Instruction:
        """Return the instruction.

        Raises:
            InvalidInstruction: a parameter has a value that is not allowed.
            UnreadableFact: a parameter refers to a fact that can't be read.
            Exception: any error from jmespath.
        """
        values = dict(self.literals)
        missing = []
        for name, reference in self.references.items():
            value = reference.evaluate(facts)
            if value is None:
                message = f"{name} is missing: {reference.text} is null."
                missing.append(ParameterError(name, message))
            else:
                values[name] = value
        if errors := [*missing, *self.instruction.value_errors(values)]:
            raise InvalidInstruction(errors)
        definitions = self.instruction.parameters()
        return self.instruction(
            **{definitions[name].attribute: value for name, value in values.items()}
        )


@dataclass(frozen=True)
class RuleEvaluation:
    """The result of one rule for a callback.

    Attributes:
        rule: the rule.
        matched: whether the condition is true.
        instruction: the answer; None if the rule did not match or failed.
        errors: reasons for a failure. Their `parameter` is ``when`` if the condition could not be
            evaluated, and ``parameters`` if a reference could not be evaluated.
        unreadable: name of the callback's parameter that the rule reads but that can't be parsed,
            or None.
    """

    rule: Rule
    matched: bool
    instruction: Instruction | None = None
    errors: tuple[ParameterError, ...] = ()
    unreadable: str | None = None


@dataclass(frozen=True)
class RuleResult:
    """The answer to a callback.

    Attributes:
        instruction: the answer.
        rule: name of the rule that determined the answer; None if no rule did.
        failures: ``rule: parameters`` for each rule that failed before the answer was found,
            `Rules.failures`, and ``rules: error type`` for an unexpected error.
        unreadable: name of the callback's parameter that can't be parsed, if `Rules.unreadable`
            determined the answer.
    """

    instruction: Instruction
    rule: str | None = None
    failures: tuple[str, ...] = ()
    unreadable: str | None = None


@dataclass(frozen=True)
class Rules:
    """Ordered rules.

    Attributes:
        rules: the rules. The answer comes from the first rule that matches and can be rendered.
        default: the answer if no rule determines one.
        failures: failures added to every result, if the rules could not be loaded.
        unreadable: the answer if a rule reads a part of the callback that can't be parsed, such as
            malformed attributes. It is then unknown which rule should determine the answer.
    """

    rules: tuple[Rule, ...]
    default: Instruction
    failures: tuple[str, ...] = ()
    unreadable: Instruction = WITHOUT_PARAMETERS["defer"]

    @property
    def may_ring(self) -> bool:
        """Whether any possible answer is an instruction that calls a phone or moves a caller.

        Also true if the rules could not be loaded, because other processes may have loaded rules
        with such answers.
        """
        if self.failures:
            return True
        answers = {self.default.name, self.unreadable.name}
        return not answers.union(rule.instruction.name for rule in self.rules).isdisjoint(RINGING)

    def decide(self, callback: AssignmentCallback) -> RuleResult:
        """Return the answer to a callback; never raise an error."""
        failures = list(self.failures)
        try:
            facts = facts_of(callback) if self.rules else {}
            for rule in self.rules:
                evaluation = evaluate(rule, facts)
                if evaluation.unreadable:
                    return RuleResult(self.unreadable, None, tuple(failures), evaluation.unreadable)
                if evaluation.errors:
                    parameters = ", ".join(error.parameter for error in evaluation.errors)
                    failures.append(f"{rule.name}: {parameters}")
                if evaluation.instruction is not None:
                    return RuleResult(evaluation.instruction, rule.name, tuple(failures))
        except Exception as error:  # noqa: BLE001  TaskRouter must get an answer
            failures.append(f"rules: {type(error).__name__}")
        return RuleResult(self.default, failures=tuple(failures))


def evaluate_all(rules: Rules, facts: Mapping[str, Any]) -> Iterator[RuleEvaluation]:
    """Yield the result of every rule, even after a rule has determined the answer."""
    return (evaluate(rule, facts) for rule in rules.rules)


def evaluate(rule: Rule, facts: Mapping[str, Any]) -> RuleEvaluation:
    """Return the result of one rule; never raise an error."""
    matched = False
    try:
        matched = rule.matches(facts)
        return RuleEvaluation(rule, matched, rule.render(facts) if matched else None)
    except InvalidInstruction as error:
        return RuleEvaluation(rule, matched, errors=error.errors)
    except Exception as error:  # noqa: BLE001  jmespath also raises TypeError, ValueError, …
        part = "parameters" if matched else "when"
        if isinstance(error, UnreadableFact):
            failure = ParameterError(part, f"{error}.")
            return RuleEvaluation(rule, matched, None, (failure,), error.parameter)
        name = type(error).__name__
        message = f"`{part}` could not be evaluated ({name}): a value may have the wrong type."
        return RuleEvaluation(rule, matched, errors=(ParameterError(part, message),))
