"""Finds the nodes to mutate in a source file, and the place of each node."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.mutants import conditions
from tests.mutants.source import Source

Function = ast.FunctionDef | ast.AsyncFunctionDef

_SKIPPED_FIELDS = {"annotation", "returns", "type_params", "pattern", "ctx", "type_comment"}
_TYPE_CALLS = {"cast", "TypeVar", "NewType", "ParamSpec"}
_WORDS = re.compile(r"\b[a-z]{2,}\b")
_MIN_MESSAGE_WORDS = 3


@dataclass(frozen=True)
class Place:
    """The location of a node.

    Attributes:
        function: the qualified name of the function or class; empty for the module.
        line: the first line of the statement that must run for a change to have an effect; None
            if the statement runs when the module is imported.
        names: the name of the function, or the names that the statement and its class define when
            the module is imported.
    """

    function: str = ""
    line: int | None = None
    names: frozenset[str] = frozenset()


def walk(source: Source) -> Iterator[tuple[Source, ast.AST, list[ast.AST], Place]]:
    """Yield the nodes, each with its source, its parents (outermost first) and its place.

    Skips nodes that tests need not cover, such as imports, annotations, messages and type aliases.
    """
    yield from _walk(source, source.tree, [], Place())


def first_statement(function: Function) -> ast.stmt | None:
    """Return the first statement after the docstring."""
    body = function.body[ast.get_docstring(function, clean=False) is not None :]
    return body[0] if body else None


def _walk(
    source: Source, node: ast.AST, parents: list[ast.AST], outer: Place
) -> Iterator[tuple[Source, ast.AST, list[ast.AST], Place]]:
    if _is_skipped(node, parents):
        return
    place = _place(node, outer)
    yield source, node, parents, place
    if isinstance(node, ast.JoinedStr):
        if not _is_message(node):
            for expression in source.fields(node):
                yield from _walk_field(expression, [*parents, node], place)
        return
    for child in _children(node):
        yield from _walk(source, child, [*parents, node], place)


def _walk_field(
    source: Source, parents: list[ast.AST], place: Place
) -> Iterator[tuple[Source, ast.AST, list[ast.AST], Place]]:
    (statement,) = source.tree.body
    assert isinstance(statement, ast.Expr)
    for node_source, node, inner_parents, _ in _walk(source, statement.value, parents, Place()):
        yield node_source, node, inner_parents, place


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the children that are mutated."""
    if isinstance(node, ast.Raise):
        # The positional arguments of an error are its message.
        if isinstance(node.exc, ast.Call):
            yield from node.exc.keywords
        return
    for name, value in ast.iter_fields(node):
        if name in _SKIPPED_FIELDS:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child


def _place(node: ast.AST, outer: Place) -> Place:
    """Return the place of a node: the place of its innermost enclosing statement.

    A default argument has the place of the function's first statement. An `except` clause in a
    function has the place of the clause's first statement.
    """
    if isinstance(node, Function):
        first = first_statement(node)
        function = _qualified(outer, node.name)
        return Place(function, first.lineno if first else None, frozenset({node.name}))
    if isinstance(node, ast.ClassDef):
        return Place(_qualified(outer, node.name), outer.line, outer.names | {node.name})
    if isinstance(node, ast.ExceptHandler) and outer.line is not None:
        return replace(outer, line=node.body[0].lineno)
    if not isinstance(node, ast.stmt):
        return outer
    if outer.line is not None:
        return replace(outer, line=node.lineno)
    return replace(outer, names=outer.names | _defined_names(node))


def _defined_names(statement: ast.stmt) -> set[str]:
    return {
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _qualified(outer: Place, name: str) -> str:
    return f"{outer.function}.{name}" if outer.function else name


def _is_skipped(node: ast.AST, parents: list[ast.AST]) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Global | ast.Nonlocal):
        return True
    if isinstance(node, ast.If):
        return ast.unparse(node.test) in {"TYPE_CHECKING", "__name__ == '__main__'"}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        is_decorator = parents and isinstance(parents[-1], ast.ClassDef)
        # Correct code does not depend on frozen, slots or kw_only, so tests can't detect changes.
        return node.func.id in _TYPE_CALLS or bool(is_decorator and node.func.id == "dataclass")
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0]) == "__all__" or _is_type_alias(node, parents)
    return False


def _is_type_alias(node: ast.Assign, parents: list[ast.AST]) -> bool:
    """Return whether a module-level assignment defines a type, such as ``Edit = A | B``."""
    target = node.targets[0]
    return bool(
        isinstance(parents[-1], ast.Module)
        and isinstance(target, ast.Name)
        and re.match("_?[A-Z]", target.id)
        and not target.id.isupper()
        and isinstance(node.value, ast.Subscript | ast.BinOp)
        and all(
            isinstance(
                part,
                ast.Name
                | ast.Attribute
                | ast.Subscript
                | ast.BinOp
                | ast.BitOr
                | ast.Tuple
                | ast.List
                | ast.Constant
                | ast.Load,
            )
            for part in ast.walk(node.value)
        )
    )


def _is_message(string: ast.JoinedStr) -> bool:
    """Return whether an f-string is a message for users."""
    text = "".join(str(part.value) for part in string.values if isinstance(part, ast.Constant))
    is_expression = conditions.EXPRESSION.search(ast.unparse(string))
    return not is_expression and len(_WORDS.findall(text)) >= _MIN_MESSAGE_WORDS
