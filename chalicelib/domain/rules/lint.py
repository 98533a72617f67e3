"""What is wrong with an expression that is JMESPath, but can't be meant as it stands.

JMESPath takes any name for a field, and the field that is not there for null: a condition with a
mistake in it does not fail, it just never holds.
"""

import json
from collections.abc import Iterator
from typing import Any

from jmespath.functions import Functions

from chalicelib.domain.errors import nearest_name
from chalicelib.domain.rules.facts import FACTS

Node = dict[str, Any]
"""A node of jmespath's syntax tree."""

_FUNCTIONS = Functions.FUNCTION_TABLE
_LITERALS = {word: word for word in ("true", "false", "null")}
_LITERALS |= {"True": "true", "False": "false", "None": "null"}
_NUMBERS = ("priority", "age")
_CHAINS = {
    "subexpression",
    "index_expression",
    "projection",
    "value_projection",
    "filter_projection",
    "pipe",
}
"""Only the first child of such a node looks at what the node itself looks at."""

_LEAVES = {"slice", "index", "literal", "current", "identity"}


def complaint(tree: Node) -> str | None:
    """Return what is wrong with a compiled expression, as a clause; None where nothing is."""
    return next(_complaints(tree, at_root=True), None)


def complaint_of_condition(tree: Node) -> str | None:
    """Return what is wrong with an expression that is fine but for a condition; None: nothing."""
    return next((_by_itself(value) for value in _operands(tree) if not is_false(value)), None)


def is_false(value: object) -> bool:
    """Tell whether a value is false to JMESPath: 0 is not, an empty text or list is."""
    return value is None or value is False or value in ("", [], {})


def _operands(node: Node) -> Iterator[Any]:
    """Yield the values among what && and || combine: a mistake for a comparison with each."""
    if node["type"] in ("or_expression", "and_expression"):
        for child in node["children"]:
            yield from [child["value"]] if child["type"] == "literal" else _operands(child)


def _by_itself(value: object) -> str:
    shown = f"'{value}'" if isinstance(value, str) else f"`{json.dumps(value)}`"
    return (
        f"has {shown} by itself beside || or &&, where it is always true: "
        f"compare with each, as in task.a == 'x' || task.a == 'y'"
    )


def paths(tree: Node) -> list[tuple[str, ...]]:
    """Return the facts that an expression looks at, each as far as it is a plain path."""
    return list(dict.fromkeys(_paths(tree)))


def _complaints(node: Node, *, at_root: bool, member: bool = False) -> Iterator[str]:
    """Yield clauses.

    Args:
        node: where to begin.
        at_root: whether it looks at the facts, not at a value within.
        member: whether it follows a dot, so that any name may stand there.
    """
    kind = node["type"]
    if kind == "field" and not member:
        yield from _about_name(node["value"], at_root=at_root)
    if kind == "comparator" and at_root:
        yield from _about_comparison(*node["children"])
    if kind == "function_expression":
        yield from _about_function(node["value"], len(node["children"]))
    if kind in _CHAINS and kind != "pipe" and node["children"][0]["type"] == "not_expression":
        yield "binds ! closer than a dot or bracket: write !(task.vip), not !task.vip"
    for child, first in _children(node):
        chained = kind in _CHAINS and not first
        yield from _complaints(
            child,
            at_root=at_root and not chained and kind != "expref",
            member=chained and _follows_a_dot(kind, node, child),
        )


def _children(node: Node) -> Iterator[tuple[Node, bool]]:
    if node["type"] not in _LEAVES:
        for number, child in enumerate(node["children"]):
            yield child, number == 0


def _follows_a_dot(kind: str, node: Node, child: Node) -> bool:
    if kind == "pipe":
        return False
    # The third child of a filter is its condition.
    return kind != "filter_projection" or child is node["children"][1]


def _about_name(name: str, *, at_root: bool) -> Iterator[str]:
    if name in _LITERALS:
        literal = _LITERALS[name]
        yield f"takes {name} for the name of a field: write it between backticks, `{literal}`"
    elif not at_root and name in ("task", "worker"):
        yield (
            f"looks for {name} within a list, or after a |, where it is not: "
            "write contains(LIST, VALUE), or || for or"
        )
    elif at_root and name not in FACTS:
        close = nearest_name(name, FACTS, cutoff=0.8)
        if close:
            yield f"begins with {name}, which no callback has: did you mean {close}?"
        else:
            yield (
                f"takes {name} for the name of a field, which no callback has: a text stands in "
                f"single quotes, as '{name}', and a name begins with one of {', '.join(FACTS)}"
            )


def _about_comparison(one: Node, other: Node) -> Iterator[str]:
    for fact, given in ((one, other), (other, one)):
        is_number = fact["type"] == "field" and fact["value"] in _NUMBERS
        if is_number and given["type"] == "literal" and isinstance(given["value"], str):
            yield f"compares {fact['value']}, a number, with a text: write `5`, not '5'"


def _about_function(name: str, given: int) -> Iterator[str]:
    if name not in _FUNCTIONS:
        close = nearest_name(name, _FUNCTIONS)
        hint = f"did you mean {close}?" if close else f"there are {', '.join(_FUNCTIONS)}"
        yield f"calls {name}(), which JMESPath does not have: {hint}"
        return
    signature = _FUNCTIONS[name]["signature"]
    takes = len(signature)
    if given < takes or (given > takes and not signature[-1].get("variadic")):
        yield f"calls {name}() with {given} instead of {takes} values"


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
