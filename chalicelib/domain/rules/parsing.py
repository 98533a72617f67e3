"""Rules as they are written: a document, read whole, every mistake told at once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chalicelib.domain.errors import nearest_name
from chalicelib.domain.instructions import Instruction, InvalidInstruction, instruction_type
from chalicelib.domain.rules.evaluation import Rule
from chalicelib.domain.rules.expressions import Expression, InvalidExpression

_MAX_NAME = 64
_OURS = ("name", "when", "instruction")


class InvalidRules(ValueError):
    """The document can't be used; each problem is one sentence that names its rule."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


def parse_rules(document: Mapping[str, Any]) -> tuple[Rule, ...]:
    """Read rules.

    Args:
        document: ``rule``: a list of tables, each with ``name``, ``instruction`` and its
            parameters, and ``when`` where it has a condition.

    Raises:
        InvalidRules: something is wrong with it.
    """
    problems: list[str] = []
    rules: list[Rule] = []
    seen: dict[str, int] = {}
    problems.extend(
        f'"{name}" is not known here: rules begin with [[rule]].'
        for name in document
        if name != "rule"
    )
    tables = document.get("rule", [])
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        problems.append('"rule" must be a list of tables: begin each with [[rule]].')
        tables = []
    for number, table in enumerate(tables, start=1):
        wrong, rule = _rule(table)
        name = table.get("name")
        if isinstance(name, str) and seen.setdefault(name, number) != number:
            wrong.append(f"rule {seen[name]} has the same name: each needs one of its own.")
        label = f'rule "{name}"' if isinstance(name, str) and name else f"rule {number}"
        problems.extend(f"{label}: {one}" for one in wrong)
        if rule:
            rules.append(rule)
    if problems:
        raise InvalidRules(problems)
    return tuple(rules)


def _rule(table: Mapping[str, Any]) -> tuple[list[str], Rule | None]:
    """Return what is wrong with a rule, and the rule where nothing is."""
    given = dict(table)
    wrong = list(_about_name(given.pop("name", None)))
    when = None
    if "when" in given:
        when = _compiled("when", given.pop("when"), wrong, condition=True)
    try:
        kind: type[Instruction] | None = instruction_type(given.pop("instruction", None))
    except InvalidInstruction as error:
        wrong.append(str(error))
        kind = None
    for name in [name for name in given if kind and name not in kind.parameters()]:
        if close := nearest_name(name, _OURS, cutoff=0.75):
            wrong.append(f"it has no {name}: did you mean {close}?")
            del given[name]
    references: dict[str, Expression | None] = {
        name: _referred(name, value, wrong)
        for name, value in given.items()
        if isinstance(value, dict)
    }
    literals = {name: value for name, value in given.items() if name not in references}
    if kind is not None:
        wrong.extend(fault.message for fault in kind.faults(literals, later=references.keys()))
    if wrong or kind is None:
        return wrong, None
    compiled = {name: one for name, one in references.items() if one is not None}
    return [], Rule(str(table["name"]), when, kind, literals, compiled)


def _about_name(name: object) -> Iterator[str]:
    if name is None:
        yield 'it has no name: write name = "…", which the log will tell.'
    elif not isinstance(name, str) or not name.strip() or not name.isprintable():
        yield "name must be a text that is not empty."
    elif len(name) > _MAX_NAME:
        yield f"name may have at most {_MAX_NAME} characters."


def _referred(name: str, value: Mapping[str, Any], wrong: list[str]) -> Expression | None:
    if value.keys() != {"ref"}:
        wrong.append(f'{name} must be a value, or a reference such as {{ref = "task.from"}}.')
        return None
    return _compiled(name, value["ref"], wrong)


def _compiled(
    name: str, text: object, wrong: list[str], *, condition: bool = False
) -> Expression | None:
    try:
        return Expression.compile(text, condition=condition)
    except InvalidExpression as error:
        sentence = f"{name} {error}"
        wrong.append(sentence if sentence.endswith("?") else f"{sentence}.")
        return None
