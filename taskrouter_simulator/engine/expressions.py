"""TaskRouter's expression language for TaskQueues, filters, targets and `skip_if`.

Twilio documents that a missing attribute is NULL, that scalar operators are false on arrays, that
array operators are false on two scalars, and that comparing mixed types "should be avoided":
https://www.twilio.com/docs/taskrouter/expression-syntax. Settings define the undocumented behavior.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, reduce
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
Predicate = Callable[[Context], bool]
Comparison = Callable[[Any, Any], bool]


class ExpressionError(ValueError):
    """The text is not an expression of TaskRouter's language."""


@dataclass(frozen=True)
class Comparisons:
    """The rules for comparing two values.

    Args:
        nulls_are_values: Whether NULL equals NULL and differs from every other value. If false,
            this rule applies only to `==` and `!=` with a literal `null`, and all other
            comparisons with NULL are false.
        mixed_types: How values of different types compare: "unequal" makes them unequal and
            unordered; "false" makes every comparison false; "numbers" converts a string that
            contains a number if the other value is a number.
    """

    nulls_are_values: bool = False
    mixed_types: str = "unequal"

    def find(self, name: str, *, null_literal: bool = False) -> Comparison:
        """Return the comparison function of an operator.

        Args:
            name: The operator in upper case.
            null_literal: Whether an operand is the literal `null`.
        """
        nulls = null_literal or self.nulls_are_values
        return {
            "==": lambda left, right: self._equal(left, right, nulls=nulls),
            "!=": lambda left, right: self._unequal(left, right, nulls=nulls),
            ">": lambda left, right: self._ordered(operator.gt, left, right),
            ">=": lambda left, right: self._ordered(operator.ge, left, right),
            "<": lambda left, right: self._ordered(operator.lt, left, right),
            "<=": lambda left, right: self._ordered(operator.le, left, right),
            "CONTAINS": self._contains,
            "HAS": self._has,
            "IN": lambda left, right: self._has(right, left),
            "NOT IN": self._not_in,
        }[name]

    def _equal(self, left: Any, right: Any, *, nulls: bool) -> bool:
        if left is None or right is None:
            return nulls and left is right
        pair = self._comparable(left, right)
        return pair is not None and bool(pair[0] == pair[1])

    def _unequal(self, left: Any, right: Any, *, nulls: bool) -> bool:
        if left is None or right is None:
            return nulls and left is not right
        if pair := self._comparable(left, right):
            return bool(pair[0] != pair[1])
        return _is_scalar(left) and _is_scalar(right) and self.mixed_types != "false"

    def _ordered(self, compare: Comparison, left: Any, right: Any) -> bool:
        pair = self._comparable(left, right)
        return pair is not None and compare(*pair)

    def _contains(self, left: Any, right: Any) -> bool:
        if self.mixed_types != "false":
            right = _number_to_text(right)
        if self.mixed_types == "numbers":
            left = _number_to_text(left)
        return isinstance(left, str) and isinstance(right, str) and right in left

    def _has(self, left: Any, right: Any) -> bool:
        nulls = self.nulls_are_values
        return isinstance(left, list) and any(
            self._equal(item, right, nulls=nulls) for item in left
        )

    def _not_in(self, left: Any, right: Any) -> bool:
        is_single = _is_scalar(left) or (self.nulls_are_values and left is None)
        return isinstance(right, list) and is_single and not self._has(right, left)

    def _comparable(self, left: Any, right: Any) -> tuple[Any, Any] | None:
        """Return two scalars of the same type, converted if necessary, or None.

        Strings are converted to numbers only if `mixed_types` is "numbers".
        """
        if self.mixed_types == "numbers" and "number" in {_type_name(left), _type_name(right)}:
            left, right = _text_to_number(left), _text_to_number(right)
        # isinstance cannot tell True from 1, because bool is a subclass of int.
        if isinstance(left, str | int | float) and _type_name(left) == _type_name(right):
            return left, right
        return None


def _type_name(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _number_to_text(value: Any) -> Any:
    return str(value) if _type_name(value) == "number" else value


def _text_to_number(value: Any) -> Any:
    """Return the number that a string contains; return any other value unchanged."""
    if not isinstance(value, str) or not re.fullmatch(r"-?[0-9]{1,300}(\.[0-9]{1,300})?", value):
        return value
    return float(value) if "." in value else int(value)


def _null(_context: Context) -> None:
    return None


def _look_up(value: Any, key: str | int) -> Any:
    if isinstance(key, int):
        return value[key] if isinstance(value, list) and key < len(value) else None
    return value.get(key) if isinstance(value, Mapping) else None


def _reference(keys: list[str | int]) -> Value:
    return lambda context: reduce(_look_up, keys, context)


@v_args(inline=True)
class _Compiler(Transformer[Token, Any]):
    """Turns each grammar rule into a function of the context.

    Args:
        comparisons: The rules for comparing two values.
    """

    def __init__(self, comparisons: Comparisons) -> None:
        super().__init__()
        self._comparisons = comparisons

    def disjunction(self, *predicates: Predicate) -> Predicate:
        return lambda context: any(predicate(context) for predicate in predicates)

    def conjunction(self, *predicates: Predicate) -> Predicate:
        return lambda context: all(predicate(context) for predicate in predicates)

    def comparison(self, left: Value, name: str, right: Value) -> Predicate:
        compare = self._comparisons.find(name, null_literal=_null in {left, right})
        return lambda context: compare(left(context), right(context))

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
        return _reference([int(part) if part.type == "INDEX" else str(part) for part in parts])


@cache
def _parser(comparisons: Comparisons) -> Lark:
    compiler = _Compiler(comparisons)
    return Lark(_GRAMMAR, parser="lalr", transformer=compiler, maybe_placeholders=False)


def _depth(text: str) -> int:
    without_strings = re.sub(r'"(\\.|[^"\\])*"|\'(\\.|[^\'\\])*\'', "", text, flags=re.DOTALL)
    depth = maximum = 0
    for character in without_strings:
        depth += (character in "([") - (character in ")]")
        maximum = max(maximum, depth)
    return maximum


@lru_cache(maxsize=4096)
def parse(text: str, comparisons: Comparisons) -> Predicate:
    """Compile an expression.

    Args:
        text: The expression; keywords in any case.
        comparisons: The rules for comparing two values.

    Returns:
        A function that evaluates the expression on a context: attributes by name.

    Raises:
        ExpressionError: The text is not an expression. Parsing raises no other error.
    """
    if _depth(text) > _MAX_DEPTH:
        raise ExpressionError(f"the expression is nested more than {_MAX_DEPTH} levels deep")
    try:
        return _parser(comparisons).parse(text)  # type: ignore[return-value]
    except (LarkError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ExpressionError(f"{text[:200]!r} is not an expression: {reason}") from error


def check(text: str) -> None:
    """Raise ExpressionError if the text is not an expression."""
    parse(text, Comparisons())


@lru_cache(maxsize=4096)
def parse_reference(text: str) -> Value:
    """Compile a reference such as `task.agent.sid`, as used in `known_worker_sid`.

    Args:
        text: Names separated by dots; indexes in brackets.

    Raises:
        ExpressionError: The text is not a reference.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*|\[[0-9]{1,9}\])*", text):
        raise ExpressionError(f"{text[:200]!r} is not a reference")
    return _reference([int(key) if key.isdecimal() else key for key in re.findall(r"\w+", text)])
