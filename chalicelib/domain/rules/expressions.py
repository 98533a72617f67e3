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
    LEAVE_OUT_CONDITION,
    NUMERIC_FACTS,
    Node,
    find_condition_error,
    find_error,
    is_false,
    paths_read,
)

# `ParsedResult.search` builds an interpreter for each call, which takes longer than the search.
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
    def compile(cls, text: object, *, is_condition: bool = False) -> Self:
        """Compile a condition or a value expression.

        Raises:
            InvalidExpression: The text is not valid JMESPath, or is certainly a mistake.
        """
        if not isinstance(text, str):
            raise InvalidExpression("must be a string with a JMESPath expression")
        try:
            tree = _parse(text)
            mistake = (find_condition_error(tree) if is_condition else None) or find_error(tree)
        except RecursionError as error:
            raise InvalidExpression("is nested too deeply or is too long") from error
        if mistake is None and '"' in text and (name := _quoted_string(text)):
            mistake = (
                f'compares with the field "{name}": '
                f"write strings in single quotes, as in '{name}'"
            )
        if mistake:
            raise InvalidExpression(mistake)
        return cls(text, tree)

    def evaluate(self, facts: Mapping[str, Any]) -> Any:
        """Return the value; may raise UnreadableFact, or any jmespath error if a type is wrong."""
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
            # If text in backticks is not JSON, jmespath reads it as a string, but warns.
            warnings.simplefilter("error", PendingDeprecationWarning)
            tree: Node = jmespath.compile(text).parsed
    except PendingDeprecationWarning as error:
        raise InvalidExpression(
            "has text in backticks that is not JSON: write strings in single quotes, as in 'es'"
        ) from error
    except EmptyExpressionError as error:
        raise InvalidExpression("is empty: write a JMESPath expression") from error
    except IncompleteExpressionError as error:
        raise InvalidExpression("is not valid JMESPath: it ends too early") from error
    except LexerError as error:
        raise InvalidExpression(_describe_location(error) + _lexer_hint(error)) from error
    except ParseError as error:
        raise InvalidExpression(_describe_location(error) + _parser_hint(error)) from error
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
    "-": ': put a name that contains a hyphen in double quotes, as in task."customer-value"',
    "$": ': put a name that contains a dollar sign in double quotes, as in task."price$"',
}
_NO_CONDITION = f": {LEAVE_OUT_CONDITION}"
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
    "matches": "starts_with(TEXT, PREFIX)",
    "xor": "A && !(B) || !(A) && B",
    "between": "PATH >= `5` && PATH <= `10`",
    "is": "== with `null`",
    "isnull": "== `null`",
    **dict.fromkeys(("notnull", "isnotnull"), "!= `null`"),
    "notin": "!contains(LIST, VALUE)",
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
_OPERAND = (
    rf"(?:{_STRING}|`[^`]*`|[\[(][^\[\]()]*[\])]|-?[0-9][0-9.]*"
    r"|[A-Za-z_](?:[\w.$]|\[[^\]]*\])*)"
)
_MEMBERSHIP = re.compile(
    rf"(?<![\w.$])(?P<left>{_OPERAND})\s+(?P<negation>not\s+)?"
    rf"(?P<operator>in|has|includes|contains)\s+(?:(?P<quantifier>any|all)\s*(?=[\[(]))?"
    rf"(?P<right>{_OPERAND})|{_STRING}",
    re.IGNORECASE,
)
_PHRASES = {
    "is": "==",
    "is not": "!=",
    **dict.fromkeys(("is not null", "not null"), "!= with `null`"),
    "not exists": "== `null`",
    "not like": "!starts_with(TEXT, PREFIX)",
    "not between": "!(PATH >= `5` && PATH <= `10`)",
}
"""Operators that consist of several words (in lower case), with their JMESPath equivalents."""

_PHRASE = re.compile(
    r"is(?!\s+null)(?:\s+not(?:\s+null)?)?\b|not\s+(?:null|exists|like|between)\b", re.IGNORECASE
)
_STEP = re.compile(r"""(?P<quote>['"])(?P<name>[^'"]*)(?P=quote)\s*\]""")
_UNEQUAL = re.compile(r"!\s*=*\s*$")
_ALWAYS_TRUE = re.compile(
    r"""\s*(?<![\w.])(?P<comparison>(?P<literal>[0-9]+|'[^']*'|"[^"]*")\s*==?\s*(?P=literal))(?![\w.])\s*"""
)
_COMPARED_LITERAL = re.compile(
    r"(?<![=!<>])=\s*(?P<right>-?[0-9][0-9.]*|true|false|null)\b", re.IGNORECASE
)
_BARE_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_NUMBER = re.compile(r"(?P<sign>-?)0*(?P<magnitude>[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)")
_CONJUNCTION = re.compile(rf"{_STRING}|(?<![\w.$])(?P<word>and|or)\b", re.IGNORECASE)
_COMPARATORS = ("eq", "ne", "lt", "lte", "gt", "gte")


def _describe_location(error: ParseError) -> str:
    column = error.lex_position + 1
    if "delimiter" in str(error.token_type).lower():
        return f"is not valid JMESPath: the quote or backtick at column {column} is not closed"
    return f"is not valid JMESPath at column {column}"


def _lexer_hint(error: LexerError) -> str:
    if error.lexer_value != "=":
        return _LEXER_HINTS.get(error.lexer_value, "")
    text, position = error.expression, error.lex_position
    if text.startswith("=~", position):
        return _NO_PATTERNS
    if _ALWAYS_TRUE.fullmatch(text):
        return _NO_CONDITION
    if _UNEQUAL.search(text[:position]) or re.match(r"=\s*!", text[position:]):
        return ": write != to compare"
    literal = _COMPARED_LITERAL.match(text, position)
    hint = ": write == to compare" + (f", as in == `{literal['right'].lower()}`" if literal else "")
    return hint + _always_true_hint(text, position)


def _always_true_hint(text: str, position: int) -> str:
    """Return advice if the comparison at a position is always true; otherwise an empty string."""
    for match in _ALWAYS_TRUE.finditer(text):
        if match.start() <= position < match.end():
            return f", or leave out {match['comparison']}, which is always true"
    return ""


def _parser_hint(error: ParseError) -> str:
    word = str(error.token_value)
    text, position = error.expression, error.lex_position
    preceding = text[:position]
    previous_word = (preceding.split() or [""])[-1]
    if error.token_type == "NUMBER":  # noqa: S105  a parser token
        return _number_hint(text, position)
    if hint := _membership_hint(text, position) or _string_hint(text, position):
        return hint
    # The parser reads `NOT` as a field name, and fails at the token after it.
    if previous_word.lower() == "not":
        word = previous_word
    if preceding.endswith("<") and word == ">":
        return ": write != instead of <>"
    if phrase := _PHRASE.match(text, position):
        return f": write {_PHRASES[' '.join(phrase[0].lower().split())]} instead of {phrase[0]}"
    replacement = _WORDS.get(word.lower())
    return f": write {replacement} instead of {word}" if replacement else ""


def _membership_hint(text: str, position: int) -> str:
    """Return the hint for a membership test at which the parser fails, such as `'x' IN task.a`."""
    for match in _MEMBERSHIP.finditer(text):
        start = match.start("negation" if match["negation"] else "operator")
        if match["operator"] and start <= position < match.end():
            correction = _translate_membership(match)
            if not correction:
                return ""
            try:
                Expression.compile(correction)
            except InvalidExpression as error:
                return f", and {error}"
            return f": write {correction} instead of {match[0]}"
    return ""


def _string_hint(text: str, position: int) -> str:
    """Return the hint for a string that the parser does not expect."""
    preceding, step = text[:position], _STEP.match(text, position)
    if step and (path := re.search(r"[\w.\[\]]+\[\s*$", preceding)):
        name = step["name"] if re.fullmatch(r"[A-Za-z_]\w*", step["name"], re.ASCII) else None
        path_text = path[0].rstrip()[:-1]
        dotted = f"{path_text}.{name}" if name else f'{path_text}."{step["name"]}"'
        return f": write {dotted} instead of {path[0]}{step[0]}"
    if preceding.endswith("'") and text.startswith("'", position):
        return r": write \' for a quote in a string, as in 'it\'s'"
    return ""


def _number_hint(text: str, position: int) -> str:
    """Return the hint for a number that is not in backticks."""
    if _ALWAYS_TRUE.fullmatch(text):
        return _NO_CONDITION
    if text[:position].endswith("."):
        path, name = (
            re.search(r"[\w.]*$", text[:position]),
            re.compile(r"\w+").match(text, position),
        )
        return (
            ": put a name that begins with a digit in double quotes, "
            f'as in {path[0] if path else ""}"{name[0] if name else ""}"'
        )
    number = _NUMBER.match(text, position)
    literal = number["sign"] + number["magnitude"] if number else "5"
    hint = f"write numbers in backticks, as in `{literal}`{_always_true_hint(text, position)}"
    for match in _CONJUNCTION.finditer(text, position):
        if word := match["word"]:
            return f": write {_WORDS[word.lower()]} instead of {word}, and {hint}"
    return f": {hint}"


def _translate_membership(test: re.Match[str]) -> str:
    """Return the JMESPath for a TaskRouter membership test; "" if there is no equivalent."""
    left, operator, right = test["left"], test["operator"].lower(), test["right"]
    if right.lower() in ("any", "all"):
        return ""
    container, value = (right, left) if operator == "in" else (left, right)
    is_text = operator == "contains" or container[0] in "'\""
    if not _BARE_NAME.fullmatch(container):
        container = _literal(container)
    elif container not in FACTS:
        container = f"{'task' if is_text else 'worker'}.{container}"
    if not container.startswith(("'", "[", "`")):
        # contains() fails if the list or text is missing.
        container += " || ''" if is_text else " || `[]`"
    if is_text and container[0] == "`":
        container = f"'{container[1:-1]}'"
    if value[0] in "[(" and operator != "in":
        values = re.findall(_OPERAND, value[1:-1])
    else:
        values = [f"task.{value}" if operator == "in" and _is_attribute(value) else value]
    tests = [f"contains({container}, {_element(value, is_text=is_text)})" for value in values]
    joined = (" && " if (test["quantifier"] or "").lower() == "all" else " || ").join(tests)
    joined = f"({joined})" if len(tests) > 1 else joined
    return f"!{joined}" if test["negation"] and joined else joined


def _is_attribute(operand: str) -> bool:
    """Return whether an operand is a bare name that only Workflow expressions can read."""
    is_literal = operand.lower() in ("true", "false", "null")
    return bool(_BARE_NAME.fullmatch(operand)) and operand not in FACTS and not is_literal


def _element(operand: str, *, is_text: bool) -> str:
    """Return the JMESPath for a value to find in a list or, if *is_text*, in a string."""
    value = f"'{operand}'" if _is_attribute(operand) else _literal(operand)
    if not is_text:
        return value
    # contains() fails if its first argument is a string and its second argument is not.
    value = re.sub('^`([^"`]*)`$', r"'\1'", value)
    return f"to_string({value})" if value in NUMERIC_FACTS else value


def _literal(operand: str) -> str:
    """Return an operand in JMESPath: strings in single quotes, and other literals in backticks."""
    if operand[0] in "[(":
        items = re.findall(_OPERAND, operand[1:-1])
        return f"[{', '.join(_element(item, is_text=False) for item in items)}]"
    if operand[0] == '"' and "\\" in operand:
        return "`{}`".format(operand.replace("`", r"\`"))
    if operand[0] == '"':
        text = operand[1:-1].replace("'", r"\'")
        return f"'{text}'"
    if operand[0] in "-0123456789" or operand.lower() in ("true", "false", "null"):
        return f"`{operand.lower()}`"
    return re.sub(r"^worker\.sid$", "worker_sid", operand)


def _quoted_string(text: str) -> str | None:
    """Return a needlessly quoted name that is compared as if it were a string, or None."""
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
