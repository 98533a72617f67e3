"""JMESPath expressions over the facts of a callback, checked when compiled.

https://jmespath.org/specification.html
"""

import warnings
from collections.abc import Mapping
from contextlib import suppress
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

from chalicelib.domain.rules.facts import UnreadableFact
from chalicelib.domain.rules.lint import (
    Node,
    find_condition_error,
    find_error,
    is_false,
    paths_read,
)

# `ParsedResult.search` builds an interpreter per call, which takes longer than the search itself.
_INTERPRETER = visitor.TreeInterpreter()


class InvalidExpression(ValueError):
    """The expression is not valid JMESPath, or is certainly a mistake.

    The message is a predicate that is appended to the key's name, as in "when is empty".
    """


@dataclass(frozen=True)
class Expression:
    """A JMESPath expression over `FACTS`.

    Attributes:
        text: the source text.
    """

    text: str
    _tree: Node = field(repr=False, compare=False)

    @classmethod
    def compile(cls, text: object, *, condition: bool = False) -> Self:
        """Compile a condition or a value expression.

        Raises:
            InvalidExpression: The text is not valid JMESPath, or is certainly a mistake.
        """
        if not isinstance(text, str):
            raise InvalidExpression("must be a string with a JMESPath expression")
        try:
            tree = _parse(text)
            mistake = find_error(tree) or (find_condition_error(tree) if condition else None)
        except RecursionError as error:
            raise InvalidExpression("is nested too deeply or is too long") from error
        if mistake:
            raise InvalidExpression(mistake)
        return cls(text, tree)

    def evaluate(self, facts: Mapping[str, Any]) -> Any:
        """Return the value; may raise any error from jmespath if a type is wrong."""
        return _INTERPRETER.visit(self._tree, facts)

    def is_true(self, facts: Mapping[str, Any]) -> bool:
        """Return whether JMESPath treats the value as true; 0 is true and "" is false."""
        return not is_false(self.evaluate(facts))

    def facts_read(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that the expression reads; each key is a path (``task.vip``).

        Paths to unreadable facts are omitted.
        """
        values = {}
        for path in paths_read(self._tree):
            with suppress(UnreadableFact):
                values[".".join(path)] = _follow(path, facts)
        return values


def _follow(path: tuple[str, ...], facts: Mapping[str, Any]) -> Any:
    value: Any = facts
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _parse(text: str) -> Node:
    try:
        with warnings.catch_warnings():
            # jmespath reads text between backticks as a string if it is not JSON, but warns.
            warnings.simplefilter("error", PendingDeprecationWarning)
            tree: Node = jmespath.compile(text).parsed
    except PendingDeprecationWarning as error:
        raise InvalidExpression(
            "has text between backticks that is not JSON: "
            "write strings in single quotes, as in 'es'"
        ) from error
    except EmptyExpressionError as error:
        raise InvalidExpression("is empty: write a JMESPath expression") from error
    except IncompleteExpressionError as error:
        raise InvalidExpression("is not valid JMESPath: it ends too early") from error
    except LexerError as error:
        raise InvalidExpression(_at(error) + _LEXER_HINTS.get(error.lexer_value, "")) from error
    except ParseError as error:
        raise InvalidExpression(_at(error) + _hint(error)) from error
    except ValueError as error:  # raised by int() for thousands of digits
        raise InvalidExpression("is not valid JMESPath: a number is too long") from error
    return tree


_LEXER_HINTS = {
    "=": ": write == to compare",
    "-": ': write a name with a hyphen in double quotes, as in task."customer-value"',
}
_WORDS = {
    "and": ": write && instead of and",
    "or": ": write || instead of or",
    "not": ": write ! instead of not",
    "in": ": write contains(LIST, VALUE) instead of in",
}


def _at(error: ParseError) -> str:
    column = error.lex_position + 1
    if "delimiter" in str(error.token_type).lower():
        return f"is not valid JMESPath: the quote or backtick at column {column} is not closed"
    return f"is not valid JMESPath at column {column}"


def _hint(error: ParseError) -> str:
    if error.token_type == "NUMBER":  # noqa: S105  a parser token
        return f": write numbers between backticks, as in `{error.token_value}`"
    # The parser reads `not` as a field name, and fails at the token after it.
    follows_not = error.expression[: error.lex_position].split()[-1:] == ["not"]
    return _WORDS.get("not" if follows_not else str(error.token_value), "")
