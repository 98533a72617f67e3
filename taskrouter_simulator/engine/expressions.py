"""TaskRouter's expression language: queues, workflow filters, targets, skip_if.

What two values compare to is the business of `comparisons`.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache, reduce
from typing import Any

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import LarkError

from taskrouter_simulator.engine.comparisons import Comparisons

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

_DEFAULT = Comparisons()


class ExpressionError(ValueError):
    """The text is not an expression of TaskRouter's language."""


def _null(_context: Context) -> None:
    return None


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
        comparisons: what two values compare to.
    """

    def __init__(self, comparisons: Comparisons) -> None:
        super().__init__()
        self._comparisons = comparisons

    def disjunction(self, *tests: Test) -> Test:
        return lambda context: any(test(context) for test in tests)

    def conjunction(self, *tests: Test) -> Test:
        return lambda context: all(test(context) for test in tests)

    def comparison(self, left: Value, name: str, right: Value) -> Test:
        holds = self._comparisons.find(name, null_written=_null in {left, right})
        return lambda context: holds(left(context), right(context))

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
def _parser(comparisons: Comparisons) -> Lark:
    compiler = _Compiler(comparisons)
    return Lark(_GRAMMAR, parser="lalr", transformer=compiler, maybe_placeholders=False)


def _depth(text: str) -> int:
    bare = re.sub(r'"(\\.|[^"\\])*"|\'(\\.|[^\'\\])*\'', "", text, flags=re.DOTALL)
    depth = deepest = 0
    for character in bare:
        depth += (character in "([") - (character in ")]")
        deepest = max(deepest, depth)
    return deepest


@lru_cache(maxsize=4096)
def parse(text: str, comparisons: Comparisons = _DEFAULT) -> Test:
    """Compile an expression.

    Args:
        text: the expression; keywords in any case.
        comparisons: what two values compare to.

    Returns:
        A function of the context (attributes by name) that says whether it holds.

    Raises:
        ExpressionError: the text is not an expression, and nothing else, whatever the text.
    """
    if _depth(text) > _MAX_DEPTH:
        raise ExpressionError(f"the expression is nested more than {_MAX_DEPTH} deep")
    try:
        return _parser(comparisons).parse(text)  # type: ignore[return-value]
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
