"""Parsing of rules. All mistakes are reported at once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chalicelib.domain.instructions import (
    INSTRUCTION_TYPES,
    Instruction,
    InvalidInstruction,
    instruction_type,
)
from chalicelib.domain.messages import display_name, nearest_name
from chalicelib.domain.rules.evaluation import Rule, Rules
from chalicelib.domain.rules.expressions import Expression, InvalidExpression

_MAX_NAME_LENGTH = 64
_RULE_KEYS = ("name", "when", "instruction")
_UNREADABLE = "unreadable"


class InvalidRules(ValueError):
    """A rules document has mistakes. Each problem is a sentence that identifies a rule or key."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


def parse_rules(document: Mapping[str, Any]) -> tuple[Rule, ...]:
    """Read rules from a parsed TOML document.

    Args:
        document: ``rule`` is a list of tables, each with ``name``, ``instruction``, the parameters
            of the instruction and, optionally, ``when``. ``unreadable`` is optional: the name
            of an instruction that requires no parameters.

    Raises:
        InvalidRules: The document has mistakes.
    """
    problems = [_unknown_key(key) for key in document if key not in ("rule", _UNREADABLE)]
    allowed = [name for name, kind in INSTRUCTION_TYPES.items() if not kind.errors_in({})]
    if _UNREADABLE in document and document[_UNREADABLE] not in allowed:
        problems.append(f'"{_UNREADABLE}" must be one of {", ".join(allowed)}.')
    tables = document.get("rule", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.append('"rule" must be a list of tables: begin each rule with [[rule]].')
        tables = []
    rules: list[Rule] = []
    numbers: dict[str, int] = {}
    for number, table in enumerate(tables, start=1):
        errors, rule = _parse_rule(table)
        name = table.get("name")
        if isinstance(name, str) and numbers.setdefault(name, number) != number:
            errors.append(f"rule {numbers[name]} has the same name: names must be unique.")
        label = f'rule "{name}"' if isinstance(name, str) and name else f"rule {number}"
        problems.extend(f"{label}: {error}" for error in errors)
        if rule:
            rules.append(rule)
    if problems:
        raise InvalidRules(problems)
    return tuple(rules)


def _unknown_key(key: str) -> str:
    """Build the message about an unknown key outside the rules."""
    similar = nearest_name(key, ("rule", _UNREADABLE))
    intended = {"rule": "[[rule]]", _UNREADABLE: _UNREADABLE}.get(similar or "")
    advice = f"did you mean {intended}?" if intended else "begin each rule with [[rule]]."
    return f'unknown key "{display_name(key)}": {advice}'


def parse_unreadable(document: Mapping[str, Any]) -> Instruction:
    """Return the answer to a callback that the rules can't read.

    Args:
        document: a document that `parse_rules` accepts.
    """
    return INSTRUCTION_TYPES[document.get(_UNREADABLE, Rules.unreadable.name)]()


def _parse_rule(table: Mapping[str, Any]) -> tuple[list[str], Rule | None]:
    """Return the errors in a rule, and the rule if there are no errors."""
    values = dict(table)
    errors = list(_name_errors(values.pop("name", None)))
    if values.pop(_UNREADABLE, None) is not None:
        errors.append(f"{_UNREADABLE} is not a key of a rule: write it above the first [[rule]].")
    when = None
    if "when" in values:
        when = _compile("when", values.pop("when"), errors, is_condition=True)
    try:
        instruction = instruction_type(values.pop("instruction", None))
    except InvalidInstruction as error:
        errors.append(str(error))
        instruction = None
    if instruction:
        errors.extend(_remove_misspelled_keys(values, instruction))
    references = {
        name: _parse_reference(name, value, errors)
        for name, value in values.items()
        if isinstance(value, dict)
    }
    literals = {name: value for name, value in values.items() if name not in references}
    if instruction:
        parameter_errors = instruction.errors_in(literals, deferred=references.keys())
        errors.extend(error.message for error in parameter_errors)
    if errors or not instruction:
        return errors, None
    compiled = {name: reference for name, reference in references.items() if reference}
    return [], Rule(str(table["name"]), when, instruction, literals, compiled)


def _name_errors(name: object) -> Iterator[str]:
    if name is None:
        yield 'name is missing: add name = "…", which appears in the log.'
    elif not isinstance(name, str) or not name.strip() or not name.isprintable():
        yield "name must be a non-empty string of printable characters."
    elif len(name) > _MAX_NAME_LENGTH:
        yield f"name must have at most {_MAX_NAME_LENGTH} characters."


def _remove_misspelled_keys(
    values: dict[str, Any], instruction: type[Instruction]
) -> Iterator[str]:
    """Remove misspelled rule keys, such as ``whenn``, and yield an error for each."""
    for key in [key for key in values if key not in instruction.parameters()]:
        if similar := nearest_name(key, _RULE_KEYS, cutoff=0.75):
            yield f"unknown key {key}: did you mean {similar}?"
            del values[key]


def _parse_reference(name: str, value: Mapping[str, Any], errors: list[str]) -> Expression | None:
    if value.keys() != {"ref"}:
        errors.append(f'{name} must be a value, or a reference such as {{ref = "task.from"}}.')
        return None
    return _compile(name, value["ref"], errors)


def _compile(
    name: str, text: object, errors: list[str], *, is_condition: bool = False
) -> Expression | None:
    try:
        return Expression.compile(text, is_condition=is_condition)
    except InvalidExpression as error:
        # Without quotation marks, `when` would read as a conjunction.
        sentence = f'"{name}" {error}'
        errors.append(sentence if sentence.endswith("?") else f"{sentence}.")
        return None
