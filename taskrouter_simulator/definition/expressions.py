"""Normalizes expressions and finds the comparisons in them. Routing requires neither."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from lark import Token, Tree

from taskrouter_simulator.engine.expressions import (
    Comparisons,
    ExpressionError,
    Keys,
    Predicate,
    parse,
    parse_tree,
    reference_keys,
    references,
)
from taskrouter_simulator.engine.names import parse_order_by

ALWAYS = "1==1"
"""An expression that is always true."""
_STRING = re.compile(r"""("(\\.|[^"\\])*")|('(\\.|[^'\\])*')""", re.DOTALL)


@dataclass(frozen=True)
class Comparison:
    """A comparison in an expression.

    Attributes:
        operator: The operator in upper case.
        left: The reference on the left; None for a value.
        right: The reference on the right; None for a value.
        has_null: Whether one side is the literal `null`.
    """

    operator: str
    left: Keys | None
    right: Keys | None
    has_null: bool

    def references(self) -> Iterator[tuple[Keys, bool]]:
        """Yield references, each with True if its value must be a list, or False if it must not."""
        if self.operator in {"HAS", "IN", "NOT IN"}:
            sequence = self.left if self.operator == "HAS" else self.right
            if sequence:
                yield sequence, True
        elif not self.has_null:  # any value can be compared with null
            yield from ((keys, False) for keys in (self.left, self.right) if keys)


def find_comparisons(text: str) -> Iterator[Comparison]:
    """Yield the comparisons in an expression.

    Raises:
        ExpressionError: The text is not an expression.
    """
    for tree in parse_tree(text).find_data("comparison"):
        left, operator, right = tree.children
        has_null = any(isinstance(side, Tree) and side.data == "null" for side in (left, right))
        yield Comparison(_operator(operator), _reference(left), _reference(right), has_null)


def constant(text: str) -> bool | None:
    """Return the value of an expression without references; None for any other string."""
    try:
        has_references = any(True for _ in references(text))
        predicate: Predicate = parse(text, Comparisons())
    except ExpressionError:
        return None
    return None if has_references else predicate({})


def find_hyphenated_name(text: str) -> str | None:
    """Return the first hyphenated name outside strings, or None; TaskRouter rejects such names."""
    found = re.search(r"[A-Za-z_$][\w$]*(-[\w$]+)+", _STRING.sub(" ", text), re.ASCII)
    return found.group() if found else None


def normalize(text: str) -> str:
    """Return the normal form of an expression; equivalent notations have the same normal form.

    Equivalent notations may differ in whitespace, quotes, redundant parentheses, the case of
    keywords, and the use of `=` or `==`. A string that is not an expression is returned without
    surrounding whitespace.
    """
    try:
        return _format(parse_tree(text))
    except ExpressionError:
        return text.strip()


def normalize_order(text: str) -> str:
    """Return the normal form of an `order_by`, like `normalize`."""
    try:
        clauses = parse_order_by(text)
    except ExpressionError:
        return text.strip()
    return ", ".join(
        f"{_reference_text(item.keys)} {'DESC' if item.sign < 0 else 'ASC'}" for item in clauses
    )


def normalize_reference(text: str) -> str:
    """Return the normal form of a reference, like `normalize`."""
    try:
        return _reference_text(reference_keys(text))
    except ExpressionError:
        return text.strip()


def _reference(operand: Tree[Token] | Token) -> Keys | None:
    if not isinstance(operand, Tree) or operand.data != "reference":
        return None
    return tuple(
        int(part) if part.type == "INDEX" else str(part)
        for part in operand.children
        if isinstance(part, Token)
    )


def _operator(tree: Tree[Token] | Token) -> str:
    text = str(tree.children[0]) if isinstance(tree, Tree) else str(tree)
    return re.sub(r"\s+", " ", text.upper())


def _reference_text(keys: Keys) -> str:
    parts = (f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return "".join(parts).removeprefix(".")


def _format(tree: Tree[Token] | Token) -> str:
    if isinstance(tree, Token):
        return str(tree)
    if tree.data in {"disjunction", "conjunction"}:
        word = "OR" if tree.data == "disjunction" else "AND"
        return f" {word} ".join(f"({_format(part)})" for part in _flatten(tree))
    if tree.data == "comparison":
        left, operator_tree, right = tree.children
        operator = _operator(operator_tree)
        operator = "==" if operator == "=" else operator
        return f"{_format(left)} {operator} {_format(right)}"
    if tree.data == "array":
        return f"[{', '.join(_format(item) for item in tree.children)}]"
    if keys := _reference(tree):
        return _reference_text(keys)
    return _format_literal(str(tree.data), str(tree.children[0]))


def _flatten(tree: Tree[Token]) -> Iterator[Tree[Token] | Token]:
    """Yield the parts of nested disjunctions or of nested conjunctions."""
    for part in tree.children:
        if isinstance(part, Tree) and part.data == tree.data:
            yield from _flatten(part)
        else:
            yield part


def _format_literal(kind: str, token: str) -> str:
    if kind == "text":
        return json.dumps(re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL))
    if kind == "number":
        number = float(token)
        return str(int(number)) if number.is_integer() and "." in token else token
    return token.lower()
