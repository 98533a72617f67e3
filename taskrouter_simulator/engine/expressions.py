"""TaskRouter's expression language for TaskQueues, filters, targets and `skip_if`.

Twilio documents that a missing attribute is NULL, that scalar operators are false on arrays, and
that array operators are false on two scalars. Comparing mixed types "should be avoided":
https://www.twilio.com/docs/taskrouter/expression-syntax. Settings define the undocumented behavior.
"""

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, reduce
from typing import Any

from lark import Lark, Token, Transformer, Tree, v_args
from lark.exceptions import UnexpectedInput, UnexpectedToken

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
    | FIRST_NAME (("." (NAME | DIGIT_NAME)) | ("[" INDEX "]"))* -> reference

_OR.2: /or(?![\w$])/i
_AND.2: /and(?![\w$])/i
CONTAINS.2: /contains(?![\w$])/i
HAS.2: /has(?![\w$])/i
NOT_IN.2: /not\s+in(?![\w$])/i
IN.2: /in(?![\w$])/i
TRUE.2: /true(?![\w$])/i
FALSE.2: /false(?![\w$])/i
NULL.2: /null(?![\w$])/i
OPERATOR: "==" | "=" | "!=" | ">=" | "<=" | ">" | "<"
FIRST_NAME: /(?!(and|or|not|in|has|contains)(?![\w$]))[a-z_$][\w$]*/i
NAME: /[A-Za-z_$][\w$]*/
DIGIT_NAME: /[0-9]+[A-Za-z_$][\w$]*/
INDEX: /[0-9]{1,9}/
NUMBER: /-?[0-9]{1,300}(\.[0-9]{1,300})?/
STRING: /"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/s
%ignore /\s+/
"""
_STRING = r'"(\\.|[^"\\])*"|' r"'(\\.|[^'\\])*'"
_REFERENCE = re.compile(
    r"[A-Za-z_$][\w$]*(\.[0-9]*[A-Za-z_$][\w$]*|\[[0-9]{1,9}\])*", flags=re.ASCII
)
_MAX_DEPTH = 50
_EXPECTED = {
    "STRING": "an attribute or a value",
    "OPERATOR": "an operator (=, ==, !=, >, >=, <, <=, CONTAINS, HAS, IN or NOT IN)",
    "_AND": "AND, OR",
    "DIGIT_NAME": "a name",
    "INDEX": "an index",
    "COMMA": "a comma",
    "RPAR": "a closing parenthesis",
    "RSQB": "a closing bracket",
    "$END": "the end of the expression",
}
"""Descriptions of the grammar's terminals for error messages."""

Context = Mapping[str, Any]
"""Values by name. A namespace is a mapping, or a function that takes the next name."""
Value = Callable[[Context], Any]
Predicate = Callable[[Context], bool]
Comparison = Callable[[Any, Any], bool]
Keys = tuple[str | int, ...]
"""The names and indexes of a reference: `worker.skills[0]` is ("worker", "skills", 0)."""


class ExpressionError(ValueError):
    """The text is not an expression in TaskRouter's language."""


class NumericText(str):
    """A string of digits that is converted to a number when compared with a number."""

    __slots__ = ()


class FoldedText(str):
    """A string that equals another string regardless of case."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.casefold() == other.casefold()

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.casefold())


@dataclass(frozen=True)
class Comparisons:
    """The rules for comparing two values.

    Args:
        nulls_are_values: Whether NULL equals NULL and differs from every other value. If false,
            this rule applies only to `=`, `==` and `!=` with a literal `null`, and all other
            comparisons with NULL are false.
        mixed_types: How values of different types compare: "unequal" makes them unequal (except
            that CONTAINS converts a number on its right to a string); "false" makes every
            comparison false; "numbers" converts strings to numbers or, for CONTAINS, the reverse.
    """

    nulls_are_values: bool = False
    mixed_types: str = "unequal"

    def find(self, name: str, *, has_null: bool = False) -> Comparison:
        """Return the comparison function for an operator.

        Args:
            name: The operator in upper case.
            has_null: Whether an operand is the literal `null`.
        """
        nulls_are_values = has_null or self.nulls_are_values
        return {
            "=": lambda left, right: self._equal(left, right, nulls_are_values=nulls_are_values),
            "==": lambda left, right: self._equal(left, right, nulls_are_values=nulls_are_values),
            "!=": lambda left, right: self._unequal(left, right, nulls_are_values=nulls_are_values),
            ">": lambda left, right: self._ordered(operator.gt, left, right),
            ">=": lambda left, right: self._ordered(operator.ge, left, right),
            "<": lambda left, right: self._ordered(operator.lt, left, right),
            "<=": lambda left, right: self._ordered(operator.le, left, right),
            "CONTAINS": self._contains,
            "HAS": self._has,
            "IN": lambda left, right: self._has(right, left),
            "NOT IN": self._not_in,
        }[name]

    def _equal(self, left: Any, right: Any, *, nulls_are_values: bool) -> bool:
        if left is None or right is None:
            return nulls_are_values and left is right
        pair = self._comparable(left, right)
        return pair is not None and bool(pair[0] == pair[1])

    def _unequal(self, left: Any, right: Any, *, nulls_are_values: bool) -> bool:
        if left is None or right is None:
            return nulls_are_values and left is not right
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
        nulls_are_values = self.nulls_are_values
        return isinstance(left, list) and any(
            self._equal(item, right, nulls_are_values=nulls_are_values) for item in left
        )

    def _not_in(self, left: Any, right: Any) -> bool:
        is_single = _is_scalar(left) or (self.nulls_are_values and left is None)
        return isinstance(right, list) and is_single and not self._has(right, left)

    def _comparable(self, left: Any, right: Any) -> tuple[Any, Any] | None:
        """Return two scalars of the same type, converted if necessary, or None.

        A string is converted to a number only if it is a NumericText or `mixed_types` is "numbers".
        """
        if "number" in {_type_name(left), _type_name(right)} and (
            self.mixed_types == "numbers"
            or isinstance(left, NumericText)
            or isinstance(right, NumericText)
        ):
            left, right = _text_to_number(left), _text_to_number(right)
        # isinstance cannot distinguish True from 1, because bool is a subclass of int.
        if isinstance(left, str | int | float) and _type_name(left) == _type_name(right):
            return left, right
        return None


def _type_name(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "text"
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
    if callable(value):  # a namespace whose values are computed only if an expression uses them
        return value(key)
    if isinstance(key, int):
        return value[key] if isinstance(value, list) and key < len(value) else None
    return value.get(key) if isinstance(value, Mapping) else None


def reference(keys: Keys) -> Value:
    """Return a function that looks up a reference; a missing attribute is None."""
    return lambda context: reduce(_look_up, keys, context)


def _keys(parts: Iterable[Token]) -> Keys:
    return tuple(int(part) if part.type == "INDEX" else str(part) for part in parts)


@v_args(inline=True)
class _Compiler(Transformer[Token, Any]):
    """Turns the syntax tree of an expression into a function of the context.

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
        compare = self._comparisons.find(name, has_null=_null in {left, right})
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

    def array(self, *items: Value) -> Value:
        return lambda context: [item(context) for item in items]

    def reference(self, *parts: Token) -> Value:
        return reference(_keys(parts))


@cache
def _parser() -> Lark:
    # Names consist of ASCII letters, digits, "_" and "$": see the link to Multitasking in names.py.
    return Lark(
        _GRAMMAR,
        parser="lalr",
        maybe_placeholders=False,
        propagate_positions=True,
        g_regex_flags=re.ASCII,
    )


def _depth(text: str) -> int:
    without_strings = re.sub(_STRING, "", text, flags=re.DOTALL)
    depth = maximum = 0
    for character in without_strings:
        depth += (character in "([") - (character in ")]")
        maximum = max(maximum, depth)
    return maximum


def parse_tree(text: str) -> Tree[Token]:
    """Return the syntax tree of an expression; raise ExpressionError for any other text."""
    if _depth(text) > _MAX_DEPTH:
        raise ExpressionError(f"the expression is nested more than {_MAX_DEPTH} levels deep")
    try:
        return _parser().parse(text)
    except UnexpectedInput as error:
        problem = f"{text[:200]!r} is not an expression: {_describe(text, error)}"
        raise ExpressionError(problem) from error


def _describe(text: str, error: UnexpectedInput) -> str:
    """Describe a syntax error: its position, counted from 1, and the expected tokens."""
    accepted = error.interactive_parser.accepts()  # type: ignore[no-untyped-call]
    phrases = [phrase for terminal, phrase in _EXPECTED.items() if terminal in accepted]
    expected = f"expected {' or '.join(phrases)}"
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        return f"incomplete at the end; {expected}"
    position = error.pos_in_stream or 0
    found = re.compile(rf"{_STRING}|[\w$]+|.", re.ASCII | re.DOTALL).match(text, position)
    unexpected = found.group() if found else ""
    if unexpected in {'"', "'"}:
        return f"the string at position {position + 1} has no closing quote"
    return f"unexpected {unexpected[:20]!r} at position {position + 1}; {expected}"


@lru_cache(maxsize=4096)
def parse(text: str, comparisons: Comparisons) -> Predicate:
    """Compile an expression.

    Args:
        text: The expression; keywords in any case.
        comparisons: The rules for comparing two values.

    Returns:
        A function that evaluates the expression in a context.

    Raises:
        ExpressionError: The text is not an expression. Parsing raises no other error.
    """
    return _Compiler(comparisons).transform(parse_tree(text))  # type: ignore[no-any-return]


def check(text: str) -> None:
    """Raise ExpressionError if the text is not an expression."""
    parse(text, Comparisons())


@lru_cache(maxsize=4096)
def conditions(text: str) -> tuple[tuple[str, tuple[Keys, ...]], ...]:
    """Return the conditions that an expression joins with AND, each with its references.

    Raises:
        ExpressionError: The text is not an expression.
    """
    found = []
    trees: list[Any] = [parse_tree(text)]
    while trees:
        tree = trees.pop(0)
        if tree.data == "conjunction":
            trees = [*tree.children, *trees]
            continue
        keys = tuple(_keys(item.children) for item in tree.find_data("reference"))
        # Lark's container positions include the parentheses around the condition.
        found.append((text[tree.meta.container_start_pos : tree.meta.container_end_pos], keys))
    return tuple(found)


def references(text: str) -> Iterator[Keys]:
    """Yield the references in an expression; raise ExpressionError for any other text."""
    return (keys for _, found in conditions(text) for keys in found)


def reference_keys(text: str) -> Keys:
    """Return the keys of a reference such as `task.agent.sid`, as used in `known_worker_sid`.

    Args:
        text: Names separated by dots; indexes in brackets.

    Raises:
        ExpressionError: The text is not a reference.
    """
    if not _REFERENCE.fullmatch(text):
        raise ExpressionError(f"{text[:200]!r} is not a reference such as task.agent")
    return tuple(int(key) if key.isdecimal() else key for key in re.findall(r"[^.\[\]]+", text))


@lru_cache(maxsize=4096)
def parse_reference(text: str) -> Value:
    """Compile a reference.

    Raises:
        ExpressionError: The text is not a reference.
    """
    return reference(reference_keys(text))
