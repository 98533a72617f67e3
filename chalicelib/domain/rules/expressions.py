"""JMESPath over the facts of a callback: compiled once, and refused where it can't be meant so.

https://jmespath.org/specification.html
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import jmespath
from jmespath import visitor
from jmespath.exceptions import (
    EmptyExpressionError,
    IncompleteExpressionError,
    LexerError,
    ParseError,
)

from chalicelib.domain.rules.lint import Node, complaint, complaint_of_condition, is_false, paths

# `ParsedResult.search` builds an interpreter each time, which takes longer than the search does.
_INTERPRETER = visitor.TreeInterpreter()


class InvalidExpression(ValueError):
    """It is not JMESPath, or can't be meant so; the message says what to write instead."""


@dataclass(frozen=True)
class Expression:
    """A JMESPath expression over `FACTS`.

    Attributes:
        text: as it was written.
    """

    text: str
    _tree: Node = field(repr=False, compare=False)

    @classmethod
    def compile(cls, text: object, *, condition: bool = False) -> Self:
        """Compile an expression, for a condition or a value; raises InvalidExpression."""
        if not isinstance(text, str):
            raise InvalidExpression("must be a text: a JMESPath expression in quotes")
        try:
            tree = _parse(text)
            wrong = complaint(tree) or (complaint_of_condition(tree) if condition else None)
        except RecursionError as error:
            raise InvalidExpression("nests too deep, or goes on for too long") from error
        if wrong:
            raise InvalidExpression(wrong)
        return cls(text, tree)

    def evaluate(self, facts: Mapping[str, Any]) -> Any:
        """Return its value; raises whatever jmespath does where a value is of the wrong type."""
        return _INTERPRETER.visit(self._tree, facts)

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """Tell whether its value is true to JMESPath: 0 is, an empty text or list is not."""
        return not is_false(self.evaluate(facts))

    def reads(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that it looks at, by their paths such as ``task.vip``."""
        return {".".join(path): _follow(path, facts) for path in paths(self._tree)}


def _follow(path: tuple[str, ...], facts: Mapping[str, Any]) -> Any:
    value: Any = facts
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _parse(text: str) -> Node:
    try:
        with warnings.catch_warnings():
            # `es` between backticks is no JSON; jmespath takes it for a text, for now.
            warnings.simplefilter("error", PendingDeprecationWarning)
            tree: Node = jmespath.compile(text).parsed
    except PendingDeprecationWarning as error:
        raise InvalidExpression(
            "holds between backticks what is not JSON: a text stands in single quotes, as 'es'"
        ) from error
    except EmptyExpressionError as error:
        raise InvalidExpression("is empty: write a JMESPath expression") from error
    except IncompleteExpressionError as error:
        raise InvalidExpression("is not JMESPath: it ends too early") from error
    except LexerError as error:
        raise InvalidExpression(_at(error) + _LEXER_HINTS.get(error.lexer_value, "")) from error
    except ParseError as error:
        raise InvalidExpression(_at(error) + _hint(error)) from error
    except ValueError as error:  # Python's, of a number with thousands of digits
        raise InvalidExpression("is not JMESPath: a number is too long") from error
    return tree


_LEXER_HINTS = {
    "=": ": write == to compare",
    "-": ': put a name that holds a hyphen into double quotes, as in task."customer-value"',
}
_WORDS = {
    "and": ": write && for and",
    "or": ": write || for or",
    "not": ": write ! for not",
    "in": ": write contains(LIST, VALUE)",
}


def _at(error: ParseError) -> str:
    if "delimiter" in str(error.token_type).lower():
        return f"is not JMESPath: the quote or backtick at column {error.lex_position + 1} is open"
    return f"is not JMESPath, from column {error.lex_position + 1} on"


def _hint(error: ParseError) -> str:
    if error.token_type == "NUMBER":  # noqa: S105  no secret, a word of the parser's
        return f": a number stands between backticks, as `{error.token_value}`"
    # `not` itself is a good name for a field; what comes after it is not expected.
    not_before = error.expression[: error.lex_position].split()[-1:] == ["not"]
    return _WORDS.get("not" if not_before else str(error.token_value), "")
