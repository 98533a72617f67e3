"""Detection of expressions that are valid JMESPath but are certainly mistakes.

JMESPath accepts any field name and evaluates a missing field to null. Therefore, a condition
with a mistake often raises no error but has the wrong result. For example, `task.vip == true`
compares two fields, so it is true if both are missing.
"""

import json
from collections.abc import Iterator
from typing import Any

from jmespath.functions import Functions

from chalicelib.domain.messages import nearest_name
from chalicelib.domain.rules.facts import FACTS

Node = dict[str, Any]
"""A node in a jmespath syntax tree."""

_FUNCTIONS = Functions.FUNCTION_TABLE
_ALIASES = {
    **dict.fromkeys(("has", "in", "includes"), "contains"),
    **dict.fromkeys(("len", "size", "count"), "length"),
    "str": "to_string",
    **dict.fromkeys(("int", "float"), "to_number"),
    **dict.fromkeys(("coalesce", "exists", "ifnull"), "not_null"),
    "average": "avg",
    "concat": "join",
}
"""JMESPath functions, by their names in other languages."""

_MISSING_FUNCTIONS = dict.fromkeys(
    ("lower", "lowercase", "tolower", "upper", "uppercase", "toupper"),
    "compare with each capitalization, as in task.a == 'x' || task.a == 'X'",
)
"""Advice for functions that JMESPath does not have."""

LEAVE_OUT_CONDITION = "a rule without a condition always matches, so leave out the condition"

_LITERALS = {"true": "true", "false": "false", "null": "null", "none": "null"}
NUMERIC_FACTS = ("priority", "age")

_CHAINS = {
    "subexpression",
    "index_expression",
    "projection",
    "value_projection",
    "filter_projection",
    "pipe",
}
"""Types of nodes that evaluate only their first child against their input."""

_WORKFLOW_NAMES = ("taskrouter", "workers")
_WORKER_NAMES = {
    "sid": "write worker_sid",
    "friendly_name": "callbacks do not contain it",
    "activity_sid": "callbacks do not contain it",
    "activity_name": "callbacks do not contain it",
}
_CHANNEL_NAMES = (
    "assigned_tasks",
    "available_capacity_percentage",
    "configured_capacity",
    "available",
)
"""The three constants above list names that only Workflow expressions can read: at the beginning
of a path, in ``worker``, and in each channel of ``worker.channel``, respectively.

https://www.twilio.com/docs/taskrouter/workflow-configuration
"""


def find_error(tree: Node) -> str | None:
    """Return the first mistake in an expression, as a predicate, or None."""
    return next(_errors(tree, at_root=True), None)


def find_condition_error(tree: Node) -> str | None:
    """Return the first mistake that only a condition can have, as a predicate, or None."""
    if _is_constant(tree) and not is_false(_constant(tree)):
        return f"is {_as_literal(_constant(tree))}, which is always true: {LEAVE_OUT_CONDITION}"
    return next(
        (_always_true_message(value) for value in _literal_operands(tree) if not is_false(value)),
        None,
    )


def is_false(value: object) -> bool:
    """Return whether JMESPath treats a value as false; 0 is true and "" is false."""
    return value is None or value is False or value in ("", [], {})


def _literal_operands(node: Node) -> Iterator[Any]:
    """Yield the literals that are used as operands of && and ||."""
    if node["type"] in ("or_expression", "and_expression"):
        for child in node["children"]:
            yield from [_constant(child)] if _is_constant(child) else _literal_operands(child)


def _is_constant(node: Node) -> bool:
    is_true = node["type"] == "field" and node["value"].lower() == "true"  # meant as a literal
    return bool(is_true or node["type"] == "literal")


def _constant(node: Node) -> Any:
    return node["value"] if node["type"] == "literal" else True


def _always_true_message(value: object) -> str:
    return (
        f"uses {_as_literal(value)}, which is always true, as an operand of || or &&: "
        f"compare with each value, as in task.a == 'x' || task.a == 'y'"
    )


def _as_literal(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else f"`{json.dumps(value)}`"


def paths_read(tree: Node) -> list[tuple[str, ...]]:
    """Return the paths that an expression reads, each up to its first step without a name."""
    return list(dict.fromkeys(_paths(tree)))


def _errors(
    node: Node, *, at_root: bool, is_member: bool = False, is_operand: bool = False
) -> Iterator[str]:
    """Yield the mistakes in a node and its children, as predicates.

    Args:
        node: the node.
        at_root: whether the node is evaluated against the facts, not against a value inside them.
        is_member: whether the node follows a dot, so that it may be any field name.
        is_operand: whether the node is compared with a path, or is an argument next to a path.
    """
    kind = node["type"]
    if kind == "field" and not is_member:
        yield from _name_errors(node["value"], at_root=at_root, is_operand=is_operand)
    if kind == "subexpression" and at_root:
        yield from _workflow_name_errors(*_paths(node))
    if kind == "comparator" and at_root:
        yield from _comparison_errors(*node["children"])
    if kind == "function_expression":
        yield from _function_errors(node["value"], len(node["children"]))
    if kind in _CHAINS and kind != "pipe" and node["children"][0]["type"] == "not_expression":
        yield "applies ! before the dot or bracket: write !(task.vip), not !task.vip"
    has_path = kind in ("comparator", "function_expression") and any(
        path[0] in FACTS for child, _ in _children(node) for path in _paths(child)
    )
    for child, is_first in _children(node):
        is_chained = kind in _CHAINS and not is_first
        yield from _errors(
            child,
            at_root=at_root and not is_chained and kind != "expref",
            is_member=is_chained and _follows_dot(kind, node, child),
            is_operand=has_path,
        )


def _children(node: Node) -> Iterator[tuple[Node, bool]]:
    """Yield each child of a node, and whether it is the first child."""
    if node["type"] != "slice":  # the children of a slice are numbers
        for index, child in enumerate(node["children"]):
            yield child, index == 0


def _follows_dot(kind: str, node: Node, child: Node) -> bool:
    if kind == "pipe":
        return False
    # The third child of a filter is its condition.
    return kind != "filter_projection" or child is node["children"][1]


def _name_errors(name: str, *, at_root: bool, is_operand: bool) -> Iterator[str]:
    if literal := _LITERALS.get(name.lower()):
        yield f"uses {name} as a field name: write the literal in backticks, as in `{literal}`"
    elif not at_root and name in ("task", "worker"):
        yield (
            f"uses {name} inside brackets or after a |, where it is not available: "
            "write contains(LIST, VALUE) instead of brackets, or || instead of |"
        )
    elif at_root and name in _WORKFLOW_NAMES:
        yield f"uses {name}, which only Workflow expressions can read"
    elif at_root and name not in FACTS:
        if similar := nearest_name(name, FACTS, cutoff=0.8):
            yield f"uses the unknown name {name}: did you mean {similar}?"
        elif is_operand:
            yield (
                f"uses the unknown name {name}: write strings in single quotes, as in '{name}', "
                f"and begin paths with one of {', '.join(FACTS)}"
            )
        else:
            yield (
                f"uses the unknown name {name}: write task.{name} for an attribute of the Task, "
                f"worker.{name} for an attribute of the Worker, or '{name}' for a string"
            )


def _workflow_name_errors(*paths: tuple[str, ...]) -> Iterator[str]:
    for path in paths:
        shown = ".".join(path)
        if path[:1] == ("worker",) and path[1:2] and path[1] in _WORKER_NAMES:
            yield f"uses worker.{path[1]}, which only Workflows can read: {_WORKER_NAMES[path[1]]}"
        elif path[:2] == ("worker", "channel") and path[3:4] and path[3] in _CHANNEL_NAMES:
            yield f"uses {shown}, which only Workflows can read: callbacks do not contain it"


def _comparison_errors(left: Node, right: Node) -> Iterator[str]:
    for fact, operand in ((left, right), (right, left)):
        is_number = fact["type"] == "field" and fact["value"] in NUMERIC_FACTS
        if is_number and operand["type"] == "literal" and isinstance(operand["value"], str):
            yield f"compares the number {fact['value']} with a string: write `5`, not '5'"


def _function_errors(name: str, argument_count: int) -> Iterator[str]:
    if name not in _FUNCTIONS:
        if name.lower() == "not":
            yield f"calls the unknown function {name}(): write !(…)"
            return
        # A lower cutoff would suggest to_string() for substring().
        similar = nearest_name(name, _FUNCTIONS, _ALIASES, cutoff=0.7)
        hint = _MISSING_FUNCTIONS.get(name.lower().replace("_", ""))
        if hint is None:
            hint = f"did you mean {similar}?" if similar else f"use one of {', '.join(_FUNCTIONS)}"
        yield f"calls the unknown function {name}(): {hint}"
        return
    signature = _FUNCTIONS[name]["signature"]
    expected, is_variadic = len(signature), bool(signature and signature[-1].get("variadic"))
    if argument_count < expected or (argument_count > expected and not is_variadic):
        actual = "1 argument" if argument_count == 1 else f"{argument_count} arguments"
        yield f"calls {name}() with {actual} instead of {'at least ' * is_variadic}{expected}"


def _paths(node: Node) -> Iterator[tuple[str, ...]]:
    kind = node["type"]
    if kind == "field":
        yield (node["value"],)
    elif kind == "subexpression" and node["children"][0]["type"] == "field":
        names = []
        for child in node["children"]:
            if child["type"] != "field":
                break
            names.append(child["value"])
        yield tuple(names)
    elif kind in _CHAINS:
        yield from _paths(node["children"][0])
    elif kind != "expref":
        for child, _ in _children(node):
            yield from _paths(child)
