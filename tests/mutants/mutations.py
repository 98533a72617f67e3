"""Small changes to Python source code that a test should detect."""

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.mutants import conditions
from tests.mutants.places import Place, walk
from tests.mutants.source import Source, Span

Edit = tuple[Span, bytes]
"""The replaced range, and the new text."""

_COMPARISONS = {
    ast.Lt: (rb"<", b"<="),
    ast.LtE: (rb"<=", b"<"),
    ast.Gt: (rb">", b">="),
    ast.GtE: (rb">=", b">"),
    ast.Eq: (rb"==", b"!="),
    ast.NotEq: (rb"!=", b"=="),
    ast.Is: (rb"\bis\b", b"is not"),
    ast.IsNot: (rb"\bis\s+not\b", b"is"),
    ast.In: (rb"\bin\b", b"not in"),
    ast.NotIn: (rb"\bnot\s+in\b", b"in"),
}
_ARITHMETIC = {
    ast.Add: (rb"\+", b"-"),
    ast.Sub: (rb"-", b"+"),
    ast.Mult: (rb"\*", b"//"),
    ast.Div: (rb"/", b"*"),
    ast.FloorDiv: (rb"//", b"*"),
    ast.Mod: (rb"%", b"//"),
    ast.BitOr: (rb"\|", b"&"),
    ast.BitAnd: (rb"&", b"|"),
}
_SWAPPED_FUNCTIONS = {"min": b"max", "max": b"min", "any": b"all", "all": b"any"}
_REMOVED_STATEMENTS = (ast.Raise, ast.AugAssign, ast.Delete, ast.Continue, ast.Break)
_STRING = re.compile(r"""([rRfFbBuU]*)(\"\"\"|'''|"|')(.*)\2""", re.DOTALL)


@dataclass(frozen=True, order=True)
class Mutation:
    """A change to a file.

    Attributes:
        file: path relative to the project.
        line: number of the first changed line.
        kind: the kind of change, a key of `RULES`.
        span: the replaced range.
        text: the new text.
        before: the lines affected by the change, joined into one line.
        after: the same lines after the change.
        place: the function, and the statement that must run for the change to have an effect.
    """

    file: str
    line: int
    span: Span
    text: bytes
    kind: str
    before: str
    after: str
    place: Place

    def apply(self, content: bytes) -> bytes:
        return content[: self.span.start] + self.text + content[self.span.end :]

    def __str__(self) -> str:
        function = f" {self.place.function}" if self.place.function else ""
        after = self.after or "(removed)"
        return f"{self.file}:{self.line}{function} [{self.kind}]: {self.before} → {after}"


def mutations_of(root: Path, file: str) -> list[Mutation]:
    """Return the mutations of a file, in a fixed order and without duplicates."""
    content = (root / file).read_bytes()
    found: dict[tuple[Span, bytes], Mutation] = {}
    for source, node, parents, place in walk(Source(content)):
        for kind, rule in RULES.items():
            for (start, end), text in rule(source, node, parents):
                span = Span(source.base + start, source.base + end)
                if (span, text) not in found and content[slice(*span)] != text:
                    line = content.count(b"\n", 0, span.start) + 1
                    before, after = _changed_lines(content, span, text)
                    found[span, text] = Mutation(file, line, span, text, kind, before, after, place)
    return sorted(found.values(), key=lambda mutation: (mutation.span, mutation.text))


def changes_program(content: bytes, mutated: bytes) -> bool:
    """Return whether mutated source is valid and has a different syntax tree."""
    try:
        tree = ast.parse(mutated)
        compile(tree, "<mutant>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return ast.dump(tree) != ast.dump(ast.parse(content))


def _changed_lines(content: bytes, span: Span, text: bytes) -> tuple[str, str]:
    """Return the affected lines before and after the change, each joined into one line."""
    start = content.rfind(b"\n", 0, span.start) + 1
    end = content.find(b"\n", span.end)
    end = len(content) if end < 0 else end
    changed = content[start : span.start] + text + content[span.end : end]
    before, after = (" ".join(lines.decode().split()) for lines in (content[start:end], changed))
    return before, after


Rule = Callable[[Source, ast.AST, Sequence[ast.AST]], Iterator[Edit]]


def _operator(source: Source, start: int, end: int, rule: tuple[bytes, bytes]) -> Iterator[Edit]:
    """Replace the operator between two operands."""
    pattern, replacement = rule
    if match := re.search(pattern, source.content[start:end]):
        yield Span(start + match.start(), start + match.end()), replacement


def _comparisons(source: Source, node: ast.AST, parents: Sequence[ast.AST]) -> Iterator[Edit]:
    if isinstance(node, ast.Compare):
        operands = [source.span(operand) for operand in (node.left, *node.comparators)]
        for operator, (left, right) in zip(node.ops, pairwise(operands), strict=True):
            yield from _operator(source, left.end, right.start, _COMPARISONS[type(operator)])


def _booleans(source: Source, node: ast.AST, parents: Sequence[ast.AST]) -> Iterator[Edit]:
    if isinstance(node, ast.BoolOp):
        swap = (rb"\band\b", b"or") if isinstance(node.op, ast.And) else (rb"\bor\b", b"and")
        limits = source.span(node)
        operands = [source.with_parentheses(value, limits) for value in node.values]
        for left, right in pairwise(operands):
            yield from _operator(source, left.end, right.start, swap)
            yield Span(left.start, right.start), b""
        yield Span(operands[-2].end, operands[-1].end), b""


def _unary(source: Source, node: ast.AST, parents: Sequence[ast.AST]) -> Iterator[Edit]:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield Span(source.span(node).start, source.span(node.operand).start), b""


def _arithmetic(source: Source, node: ast.AST, parents: Sequence[ast.AST]) -> Iterator[Edit]:
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        if any(_is_string(operand) for operand in (node.left, node.right)):
            return
        limits = source.span(node)
        left = source.with_parentheses(node.left, limits)
        right = source.with_parentheses(node.right, limits)
        if isinstance(node.op, ast.BitOr):  # a union of sets, dictionaries or types
            yield Span(left.start, right.start), b""
            yield Span(left.end, right.end), b""
        else:
            yield from _operator(source, left.end, right.start, _ARITHMETIC[type(node.op)])
    if isinstance(node, ast.AugAssign) and type(node.op) in _ARITHMETIC:
        start, end = source.span(node.target).end, source.span(node.value).start
        yield from _operator(source, start, end, _ARITHMETIC[type(node.op)])


def _is_string(node: ast.expr) -> bool:
    is_constant = isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    return is_constant or isinstance(node, ast.JoinedStr)


def _constants(source: Source, node: ast.AST, parents: Sequence[ast.AST]) -> Iterator[Edit]:
    if not isinstance(node, ast.Constant):
        return
    value = node.value
    if isinstance(value, bool):
        yield source.span(node), str(not value).encode()
    elif isinstance(value, int | float):
        for changed in {value + 1: None, value - 1: None, value * 0: None}:
            text = f"({changed})" if changed < 0 else str(changed)
            if changed != value:
                yield source.span(node), text.encode()


def _conditions(source: Source, node: ast.AST, parents: Sequence[ast.AST]) -> Iterator[Edit]:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    if not (is_text or isinstance(node, ast.JoinedStr)):
        return
    if parents and isinstance(parents[-1], ast.Expr):
        return  # a docstring
    text = source.text(node)
    string = _STRING.fullmatch(text.decode())
    if string and text.isascii() and conditions.EXPRESSION.search(string[3]):
        start = source.span(node).start + string.start(3)
        for first, last, replacement in conditions.edits(string[3]):
            yield Span(start + first, start + last), replacement.encode()


def _statements(source: Source, node: ast.AST, parents: Sequence[ast.AST]) -> Iterator[Edit]:
    if isinstance(node, ast.Return):
        if node.value is None:
            yield source.span(node), b"pass"
        elif not (isinstance(node.value, ast.Constant) and node.value.value is None):
            yield source.span(node), b"return None"
    elif isinstance(node, _REMOVED_STATEMENTS) or _is_call(node) or _stores_value(node):
        yield source.span(node), b"pass"


def _is_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await)


def _stores_value(node: ast.AST) -> bool:
    """Return whether a statement assigns a value to an attribute or an item."""
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        return False
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    return isinstance(target, ast.Attribute | ast.Subscript)


def _elements(source: Source, node: ast.AST, parents: Sequence[ast.AST]) -> Iterator[Edit]:
    """Drop an element of a set, list, tuple or dictionary."""
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            yield from _entry(source, node, key, value)
        return
    if not isinstance(node, ast.Set | ast.List | ast.Tuple) or not _may_change_length(
        node, parents
    ):
        return
    if isinstance(node, ast.Tuple) and len(node.elts) == 2:
        for kept in reversed(node.elts):
            yield source.span(node), b"(" + source.text(kept) + b",)"
    elif isinstance(node, ast.Set) and len(node.elts) == 1:
        yield source.span(node), b"set()"
    else:
        limits = _inside(source, node)
        for element in node.elts:
            yield _without(source, source.with_parentheses(element, limits), limits), b""


def _may_change_length(node: ast.Set | ast.List | ast.Tuple, parents: Sequence[ast.AST]) -> bool:
    """Return whether a literal may change length.

    Targets, and tuples that are probably unpacked or used as an index, must keep their length.
    """
    if isinstance(node, ast.Set):
        return True
    if not isinstance(node.ctx, ast.Load):
        return False
    return (
        not isinstance(node, ast.Tuple)
        or not isinstance(
            parents[-1], ast.Return | ast.Yield | ast.Subscript | ast.Assign | ast.GeneratorExp
        )
        or _is_constant_table(node, parents[-1])
    )


def _is_constant_table(node: ast.Tuple, parent: ast.AST) -> bool:
    return isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Name)


def _entry(source: Source, node: ast.Dict, key: ast.expr | None, value: ast.expr) -> Iterator[Edit]:
    limits = _inside(source, node)
    entry = source.with_parentheses(value, limits)
    if key is None:  # **value
        entry = Span(source.content.rindex(b"**", 0, entry.start), entry.end)
    else:
        entry = Span(source.span(key).start, entry.end)
    yield _without(source, entry, limits), b""


def _inside(source: Source, node: ast.expr) -> Span:
    """Return the range inside the brackets of a literal."""
    start, end = source.span(node)
    if isinstance(node, ast.Tuple) and source.content[start : start + 1] != b"(":
        return Span(start, end)
    return Span(start + 1, end - 1)


def _without(source: Source, element: Span, limits: Span) -> Span:
    """Return the range of an element with the comma that separates it from its neighbor."""
    following = source.skip_blank(element.end)
    if source.content[following : following + 1] == b"," and following < limits.end:
        end = following + 1
        while source.content[end : end + 1] == b" ":
            end += 1
        return Span(element.start, min(end, limits.end))
    preceding = source.content[limits.start : element.start].rstrip()
    if preceding.endswith(b","):
        return Span(limits.start + len(preceding) - 1, element.end)
    return element


def _arguments(source: Source, node: ast.AST, parents: Sequence[ast.AST]) -> Iterator[Edit]:
    """Drop a keyword argument, or an exception class passed to `suppress`."""
    if not isinstance(node, ast.Call):
        return
    limits = Span(source.span(node.func).end, source.span(node).end - 1)
    limits = Span(source.content.index(b"(", limits.start) + 1, limits.end)
    for keyword in node.keywords:
        if keyword.arg is not None:
            value = source.with_parentheses(keyword.value, limits)
            entry = Span(source.span(keyword).start, value.end)
            yield _without(source, entry, limits), b""
    if ast.unparse(node.func).rpartition(".")[2] == "suppress":
        for error in node.args:
            yield _without(source, source.span(error), limits), b""


def _handlers(source: Source, node: ast.AST, parents: Sequence[ast.AST]) -> Iterator[Edit]:
    """Make an `except` clause catch no error."""
    if isinstance(node, ast.ExceptHandler) and node.type is not None:
        yield source.span(node.type), b"()"


def _decisions(source: Source, node: ast.AST, parents: Sequence[ast.AST]) -> Iterator[Edit]:
    """Replace a condition with True or False."""
    if isinstance(node, ast.If | ast.IfExp):
        yield source.span(node.test), b"True"
        yield source.span(node.test), b"False"
    elif isinstance(node, ast.While):
        yield source.span(node.test), b"False"
    elif isinstance(node, ast.comprehension):
        for test in node.ifs:
            yield source.span(test), b"True"
            yield source.span(test), b"False"
    elif isinstance(node, ast.match_case) and node.guard is not None:
        yield source.span(node.guard), b"True"
        yield source.span(node.guard), b"False"


def _functions(source: Source, node: ast.AST, parents: Sequence[ast.AST]) -> Iterator[Edit]:
    is_known = isinstance(node, ast.Name) and node.id in _SWAPPED_FUNCTIONS
    if is_known and isinstance(parents[-1], ast.Call) and parents[-1].func is node:
        yield source.span(node), _SWAPPED_FUNCTIONS[source.text(node).decode()]


def _slices(source: Source, node: ast.AST, parents: Sequence[ast.AST]) -> Iterator[Edit]:
    if isinstance(node, ast.Slice):
        for bound in (node.lower, node.upper):
            # _constants changes bounds that are numbers.
            if bound is not None and not isinstance(bound, ast.Constant | ast.UnaryOp):
                yield source.span(bound), b"(" + source.text(bound) + b") + 1"


RULES: dict[str, Rule] = {
    "comparison": _comparisons,
    "boolean": _booleans,
    "unary": _unary,
    "arithmetic": _arithmetic,
    "constant": _constants,
    "condition": _conditions,
    "statement": _statements,
    "element": _elements,
    "argument": _arguments,
    "handler": _handlers,
    "decision": _decisions,
    "function": _functions,
    "slice": _slices,
}
"""The rules, by kind of change."""
