"""TaskRouter's expression language: queues, workflow filters, targets, skip_if.

Where Twilio's pages are silent there are settings: what a missing attribute (NULL) compares to, and
whether a text that holds a number does. Other values of different types are unequal, without order.
"""

import operator
import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache, partial, reduce
from typing import Any

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import LarkError

_GRAMMAR = r"""
?start: disjunction
?disjunction: conjunction (_OR conjunction)*
?conjunction: condition (_AND condition)*
?condition: operand operator operand -> comparison
    | "(" disjunction ")"
operator: OPERATOR | CONTAINS | HAS | NOT_IN | IN
?operand: STRING -> text
    | NUMBER -> number
    | TRUE -> true
    | FALSE -> false
    | NULL -> null
    | "[" [operand ("," operand)*] "]" -> array
    | NAME (("." NAME) | ("[" INDEX "]"))* -> reference

_OR.2: /or\b/i
_AND.2: /and\b/i
CONTAINS.2: /contains\b/i
HAS.2: /has\b/i
NOT_IN.2: /not\s+in\b/i
IN.2: /in\b/i
TRUE.2: /true\b/i
FALSE.2: /false\b/i
NULL.2: /null\b/i
OPERATOR: "==" | "!=" | ">=" | "<=" | ">" | "<"
NAME: /[A-Za-z_]\w*/
INDEX: /[0-9]+/
NUMBER: /-?[0-9]+(\.[0-9]+)?/
STRING: /"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/s
%ignore /\s+/
"""
_MAX_DEPTH = 50

Context = Mapping[str, Any]
Value = Callable[[Context], Any]
Test = Callable[[Context], bool]


class ExpressionError(ValueError):
    """The text is not an expression of TaskRouter's language."""


def _null(_context: Context) -> None:
    return None


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


def _scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def test(left: Any, right: Any) -> bool:
        comparable = _scalar(left) and _scalar(right) and _kind(left) == _kind(right)
        return comparable and compare(left, right)

    return test


def _equal(left: Any, right: Any) -> bool:
    return _scalar(left) and _kind(left) == _kind(right) and bool(left == right)


def _unequal(left: Any, right: Any) -> bool:
    return _scalar(left) and _scalar(right) and not _equal(left, right)


def _contains(left: Any, right: Any) -> bool:
    return isinstance(left, str) and _scalar(right) and str(right) in left


def _has(left: Any, right: Any) -> bool:
    return isinstance(left, list) and any(_equal(item, right) for item in left)


def _not_in(left: Any, right: Any) -> bool:
    return isinstance(right, list) and _scalar(left) and not _has(right, left)


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": _equal,
    "!=": _unequal,
    ">": _ordered(operator.gt),
    ">=": _ordered(operator.ge),
    "<": _ordered(operator.lt),
    "<=": _ordered(operator.le),
    "CONTAINS": _contains,
    "HAS": _has,
    "IN": lambda left, right: _has(right, left),
    "NOT IN": _not_in,
}


def _number(value: Any) -> Any:
    """The number that a text holds, else the value as it is."""
    if not isinstance(value, str) or not re.fullmatch(r"-?[0-9]{1,300}(\.[0-9]{1,300})?", value):
        return value
    return float(value) if "." in value else int(value)


def _with_numbers(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """The comparison, but a number beside a text that holds one sees two numbers."""

    def compare(left: Any, right: Any) -> bool:
        if "number" in {_kind(left), _kind(right)}:
            return test(_number(left), _number(right))
        return test(left, right)

    return compare


def _compare(
    left: Value, name: str, right: Value, *, nulls_are_values: bool, texts_are_numbers: bool
) -> Test:
    test = _OPERATORS[name]
    if texts_are_numbers and not name[0].isalpha():
        test = _with_numbers(test)
    if name not in {"==", "!="}:
        return lambda context: test(left(context), right(context))
    literal = _null in (left, right)

    def compare(context: Context) -> bool:
        one, other = left(context), right(context)
        if (literal or nulls_are_values) and (one is None or other is None):
            return (one is other) == (name == "==")
        return test(one, other)

    return compare


def _look_up(value: Any, key: str | int) -> Any:
    if isinstance(key, int):
        return value[key] if isinstance(value, list) and key < len(value) else None
    return value.get(key) if isinstance(value, Mapping) else None


def _path(keys: list[str | int]) -> Value:
    return lambda context: reduce(_look_up, keys, context)


@v_args(inline=True)
class _Compiler(Transformer[Token, Any]):
    """Turns each rule into a function of the context.

    Args:
        nulls_are_values: whether NULL equals NULL and differs from all else; otherwise it does so
            only where `null` is written out.
        texts_are_numbers: whether `"5" == 5`.
    """

    def __init__(self, *, nulls_are_values: bool, texts_are_numbers: bool) -> None:
        super().__init__()
        self._compare = partial(
            _compare, nulls_are_values=nulls_are_values, texts_are_numbers=texts_are_numbers
        )

    def disjunction(self, *tests: Test) -> Test:
        return lambda context: any(test(context) for test in tests)

    def conjunction(self, *tests: Test) -> Test:
        return lambda context: all(test(context) for test in tests)

    def comparison(self, left: Value, name: str, right: Value) -> Test:
        return self._compare(left, name, right)

    def operator(self, token: Token) -> str:
        return re.sub(r"\s+", " ", token.upper())

    def text(self, token: Token) -> Value:
        text = re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL)
        return lambda _context: text

    def number(self, token: Token) -> Value:
        number = float(token) if "." in token else int(token)
        return lambda _context: number

    def true(self, _token: Token) -> Value:
        return lambda _context: True

    def false(self, _token: Token) -> Value:
        return lambda _context: False

    def null(self, _token: Token) -> Value:
        return _null

    def array(self, *items: Value | None) -> Value:
        values = [item for item in items if item is not None]
        return lambda context: [value(context) for value in values]

    def reference(self, *parts: Token) -> Value:
        return _path([int(part) if part.type == "INDEX" else str(part) for part in parts])


@cache
def _parser(*, nulls_are_values: bool, texts_are_numbers: bool) -> Lark:
    compiler = _Compiler(nulls_are_values=nulls_are_values, texts_are_numbers=texts_are_numbers)
    return Lark(_GRAMMAR, parser="lalr", transformer=compiler, maybe_placeholders=False)


def _depth(text: str) -> int:
    bare = re.sub(r'"(\\.|[^"\\])*"|\'(\\.|[^\'\\])*\'', "", text, flags=re.DOTALL)
    depth = deepest = 0
    for character in bare:
        depth += (character in "([") - (character in ")]")
        deepest = max(deepest, depth)
    return deepest


@lru_cache(maxsize=4096)
def parse(text: str, *, nulls_are_values: bool = False, texts_are_numbers: bool = False) -> Test:
    """Compile an expression.

    Args:
        text: the expression; keywords in any case.
        nulls_are_values: whether a missing attribute equals another, and differs from a value;
            otherwise every comparison with it is false, but with `null` written out.
        texts_are_numbers: whether a text that holds a number compares to a number as one.

    Returns:
        A function of the context (attributes by name) that says whether it holds.

    Raises:
        ExpressionError: the text is not an expression, and nothing else, whatever the text.
    """
    if _depth(text) > _MAX_DEPTH:
        raise ExpressionError(f"the expression is nested more than {_MAX_DEPTH} deep")
    parser = _parser(nulls_are_values=nulls_are_values, texts_are_numbers=texts_are_numbers)
    try:
        return parser.parse(text)  # type: ignore[return-value]
    except (LarkError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ExpressionError(f"{text[:200]!r} is not an expression: {reason}") from error


@lru_cache(maxsize=4096)
def parse_reference(text: str) -> Value:
    """Compile a bare reference such as `task.agent.sid`, as `known_worker_sid` holds one.

    Args:
        text: names joined by dots, with indexes in brackets.

    Raises:
        ExpressionError: the text is not a reference.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*|\[[0-9]{1,9}\])*", text):
        raise ExpressionError(f"{text[:200]!r} is not a reference")
    return _path([int(key) if key.isdecimal() else key for key in re.findall(r"\w+", text)])
