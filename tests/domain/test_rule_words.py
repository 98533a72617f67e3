"""Errors contain hints about operators of other languages and about misused characters."""

from collections.abc import Callable

import pytest

from chalicelib.domain.rules import InvalidRules, parse_rules

_IN_LIST = "contains(LIST, VALUE)"
_PREFIX = "starts_with(TEXT, PREFIX)"
_SUFFIX = "ends_with(TEXT, SUFFIX)"

OPERATORS = {
    "and": "&&",
    "or": "||",
    "not": "!",
    "in": _IN_LIST,
    "has": _IN_LIST,
    "includes": _IN_LIST,
    "contains": "contains(TEXT, PART)",
    "like": _PREFIX,
    "startswith": _PREFIX,
    "starts_with": _PREFIX,
    "endswith": _SUFFIX,
    "ends_with": _SUFFIX,
    "matches": _PREFIX,
    "xor": "A && !(B) || !(A) && B",
    "between": "PATH >= `5` && PATH <= `10`",
    "is": "==",
    "isnull": "== `null`",
    "notnull": "!= `null`",
    "isnotnull": "!= `null`",
    "notin": f"!{_IN_LIST}",
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
    "is not": "!=",
    "is not null": "!= with `null`",
    "not null": "!= with `null`",
    "not exists": "== `null`",
    "not like": f"!{_PREFIX}",
    "not between": "!(PATH >= `5` && PATH <= `10`)",
}
PATTERNS = (
    "JMESPath has no regular expressions, so use contains, starts_with or ends_with, "
    "as in starts_with(task.from || '', '+1')"
)
QUOTES = "\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb\u00b4"


def error_of(when: str) -> str:
    with pytest.raises(InvalidRules) as raised:
        parse_rules({"rule": [{"name": "one", "when": when, "instruction": "accept"}]})
    (problem,) = raised.value.problems
    return problem.removeprefix('rule "one": "when" is not valid JMESPath at column ')


@pytest.mark.parametrize(("word", "replacement"), OPERATORS.items())
@pytest.mark.parametrize("change", [str.lower, str.upper, str.title], ids=lambda f: f.__name__)
def test_error_suggests_a_replacement_for_an_operator_of_another_language(
    word: str, replacement: str, change: Callable[[str], str]
) -> None:
    word = change(word)
    assert error_of(f"task.a {word} !task.b") == f"8: write {replacement} instead of {word}."


@pytest.mark.parametrize(
    ("text", "word", "replacement"), [("is null", "is", "== with `null`"), ("&", "&", "&&")]
)
def test_error_suggests_a_replacement_for_the_is_null_operator_and_for_a_single_ampersand(
    text: str, word: str, replacement: str
) -> None:
    assert error_of(f"task.a {text} task.b") == f"8: write {replacement} instead of {word}."


@pytest.mark.parametrize(
    ("character", "hint"),
    [
        ("~", PATTERNS),
        *((quote, "write strings in straight single quotes, as in 'es'") for quote in QUOTES),
        ("-", 'put a name that contains a hyphen in double quotes, as in task."customer-value"'),
        ("$", 'put a name that contains a dollar sign in double quotes, as in task."price$"'),
    ],
)
def test_error_for_a_misused_character_has_a_hint(character: str, hint: str) -> None:
    assert error_of(f"task.a{character}b") == f"7: {hint}."


@pytest.mark.parametrize("character", ["%", "#", "^", ";", "€"])
def test_error_for_an_unsupported_symbol_has_no_hint(character: str) -> None:
    assert error_of(f"task.a{character}b") == "7."
