"""JMESPath expressions over the facts of a callback, checked when compiled.

https://jmespath.org/specification.html
"""

import re
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
from jmespath.lexer import Lexer

from chalicelib.domain.rules.facts import FACTS, UnreadableFact
from chalicelib.domain.rules.lint import (
    Node,
    find_condition_error,
    find_error,
    is_false,
    paths_read,
)

# `ParsedResult.search` builds an interpreter per call; building it takes longer than the search.
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
        if mistake is None and '"' in text and (name := _quoted_string(text)):
            mistake = (
                f"compares with the field \"{name}\": write a string in single quotes, '{name}'"
            )
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

        Paths to facts that can't be read completely are omitted.
        """
        values = {}
        for path in paths_read(self._tree):
            with suppress(UnreadableFact):
                value = _follow(path, facts)
                values[".".join(path)] = {**value} if isinstance(value, dict) else value
        return values


def _follow(path: tuple[str, ...], facts: Mapping[str, Any]) -> Any:
    value: Any = facts
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _parse(text: str) -> Node:
    try:
        with warnings.catch_warnings():
            # If text between backticks is not JSON, jmespath reads it as a string, but warns.
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
        raise InvalidExpression(_at(error) + _lexer_hint(error)) from error
    except ParseError as error:
        raise InvalidExpression(_at(error) + _hint(error)) from error
    except ValueError as error:  # raised by int() for thousands of digits
        raise InvalidExpression("is not valid JMESPath: a number is too long") from error
    return tree


_NO_PATTERNS = (
    ": JMESPath has no regular expressions, so use contains, starts_with or ends_with, "
    "as in starts_with(task.from || '', '+1')"
)
_LEXER_HINTS = {
    "~": _NO_PATTERNS,
    **dict.fromkeys(
        "\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb\u00b4",
        ": write strings in straight single quotes, as in 'es'",
    ),
    "-": ': write a name with a hyphen in double quotes, as in task."customer-value"',
    "$": ': write a name with a dollar sign in double quotes, as in task."price$"',
}
_NO_CONDITION = ": a rule without a condition always matches, so leave out the condition"
_WORDS = {
    "and": "&&",
    "or": "||",
    "not": "!",
    "&": "&&",
    "in": "contains(LIST, VALUE)",
    "has": "contains(LIST, VALUE)",
    "includes": "contains(LIST, VALUE)",
    "contains": "contains(TEXT, PART)",
    "like": "starts_with(TEXT, PREFIX)",
    "startswith": "starts_with(TEXT, PREFIX)",
    "starts_with": "starts_with(TEXT, PREFIX)",
    "endswith": "ends_with(TEXT, SUFFIX)",
    "ends_with": "ends_with(TEXT, SUFFIX)",
    "between": "PATH >= `5` && PATH <= `10`",
    "is": "== and `null`",
    "isnull": "== `null`",
    "exists": "!= `null`",
    "eq": "==",
    "equals": "==",
    "ne": "!=",
    "neq": "!=",
    "gt": ">",
    "ge": ">=",
    "gte": ">=",
    "lt": "<",
    "le": "<=",
    "lte": "<=",
}
"""Operators of TaskRouter's expression syntax and similar languages (in lower case), with their
JMESPath equivalents.

https://www.twilio.com/docs/taskrouter/expression-syntax
"""

_STRING = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_OPERAND = rf"""(?:{_STRING}|[\[(][^\[\]()]*[\])]|-?[0-9][0-9.]*|[A-Za-z_](?:[\w.$]|\[[^\]]*\])*)"""
_MEMBERSHIP = re.compile(
    rf"(?<![\w.$])(?P<left>{_OPERAND})\s+(?P<operator>not\s+in|has|in|includes|contains)\s+(?P<right>{_OPERAND})",
    re.IGNORECASE,
)
_ALWAYS_TRUE = re.compile(r"""\s*(?P<literal>[0-9]+|'[^']*'|"[^"]*")\s*==?\s*(?P=literal)\s*""")
_COMPARED_LITERAL = re.compile(
    r"(?<![=!<>])=\s*(?P<right>-?[0-9][0-9.]*|true|false|null)\b", re.IGNORECASE
)
_NUMBER = re.compile(r"(?P<sign>-?)0*(?P<digits>[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)")
_CONJUNCTION = re.compile(rf"{_STRING}|(?<![\w.$])(?P<word>and|or)\b", re.IGNORECASE)
_COMPARATORS = ("eq", "ne", "lt", "lte", "gt", "gte")


def _at(error: ParseError) -> str:
    column = error.lex_position + 1
    if "delimiter" in str(error.token_type).lower():
        return f"is not valid JMESPath: the quote or backtick at column {column} is not closed"
    return f"is not valid JMESPath at column {column}"


def _lexer_hint(error: LexerError) -> str:
    if error.lexer_value != "=":
        return _LEXER_HINTS.get(error.lexer_value, "")
    if error.expression.startswith("=~", error.lex_position):
        return _NO_PATTERNS
    if _ALWAYS_TRUE.fullmatch(error.expression):
        return _NO_CONDITION
    literal = _COMPARED_LITERAL.match(error.expression, error.lex_position)
    return ": write == to compare" + (f", as in == `{literal['right'].lower()}`" if literal else "")


def _hint(error: ParseError) -> str:
    word = str(error.token_value)
    before = error.expression[: error.lex_position]
    previous_word = (before.split() or [""])[-1]
    if error.token_type == "NUMBER":  # noqa: S105  a parser token
        return _number_hint(error.expression, error.lex_position)
    for match in _MEMBERSHIP.finditer(error.expression):
        if match.start("operator") == error.lex_position:
            return f": write {_contains(**match.groupdict())} instead of {match[0]}"
    # The parser reads `NOT` as a field name, and fails at the token after it.
    if previous_word.lower() == "not":
        word = previous_word
    if before.endswith("<") and word == ">":
        return ": write != instead of <>"
    replacement = _WORDS.get(word.lower())
    return f": write {replacement} instead of {word}" if replacement else ""


def _number_hint(text: str, position: int) -> str:
    """Return the hint for a number that is not between backticks."""
    if _ALWAYS_TRUE.fullmatch(text):
        return _NO_CONDITION
    if text[:position].endswith("."):
        path, name = (
            re.search(r"[\w.]*$", text[:position]),
            re.compile(r"\w+").match(text, position),
        )
        return (
            ": write a name that begins with a digit in double quotes, "
            f'as in {path[0] if path else ""}"{name[0] if name else ""}"'
        )
    number = _NUMBER.match(text, position)
    literal = number["sign"] + number["digits"] if number else "5"
    hint = f"write numbers between backticks, as in `{literal}`"
    for match in _CONJUNCTION.finditer(text, position):
        if word := match["word"]:
            return f": write {_WORDS[word.lower()]} instead of {word}, and {hint}"
    return f": {hint}"


def _contains(left: str, operator: str, right: str) -> str:
    """Return the JMESPath for a membership test in TaskRouter's syntax."""
    container, value = (right, left) if operator.lower().endswith("in") else (left, right)
    negation = "!" if operator.lower().startswith("not") else ""
    default = "''" if operator.lower() == "contains" else "`[]`"
    container = _literal(container)
    if not container.startswith(("'", "[", "`")):
        # A missing list or text would make the function fail.
        container += f" || {default}"
    return f"{negation}contains({container}, {_literal(value)})"


def _literal(operand: str) -> str:
    """Return an operand in JMESPath: strings in single quotes, and other literals in backticks."""
    if operand[0] in "[(":
        items = re.findall(_OPERAND, operand[1:-1])
        return f"[{', '.join(map(_literal, items))}]"
    if operand[0] == '"' and "\\" in operand:
        return "`{}`".format(operand.replace("`", r"\`"))
    if operand[0] == '"':
        text = operand[1:-1].replace("'", r"\'")
        return f"'{text}'"
    if operand[0] in "-0123456789" or operand.lower() in ("true", "false", "null"):
        return f"`{operand.lower()}`"
    return operand


def _quoted_string(text: str) -> str | None:
    """Return a name in double quotes that is compared like a string and needs no quotes."""
    tokens = list(Lexer().tokenize(text))
    for previous, token, following in zip(
        [{"type": ""}, *tokens], tokens, tokens[1:], strict=False
    ):
        name = token["value"]
        if token["type"] == "quoted_identifier" and re.fullmatch(r"[A-Za-z_]\w*", name):
            is_fact = name in FACTS and following["type"] in _COMPARATORS
            if previous["type"] in _COMPARATORS or (is_fact and previous["type"] != "dot"):
                return str(name)
    return None
