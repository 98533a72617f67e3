"""Mutations of DynamoDB expressions, which are strings."""

import re
from collections.abc import Iterator

EXPRESSION = re.compile(
    r"""attribute_(?:not_)?exists\( | if_not_exists\( | list_append\(
    | [#:]\S*\ (?:=|<>|<=?|>=?|IN)\  | \w\ (?:=|<=?|>=?)\ :\w""",
    re.VERBOSE,
)
_SWAPS = {"<=": "<", "<": "<=", ">=": ">", ">": ">=", "<>": "=", "=": "<>", "+": "-", "-": "+"}
_SWAPS |= {"AND": "OR", "OR": "AND"}
_OPERATOR = re.compile(r"(?<= )(?:<=|>=|<>|[<>=+-]|AND|OR)(?= )")
_FUNCTION = re.compile(r"attribute_(not_)?exists")
_DEFAULT = re.compile(r"if_not_exists\([^,]+, ([^)]+)\)")
_CONNECTIVE = re.compile(r" (?:AND|OR) ")

Edit = tuple[int, int, str]
"""The start and the end of the replaced text, and the new text."""


def edits(text: str) -> Iterator[Edit]:
    """Yield the edits that mutate a DynamoDB expression."""
    is_update = "if_not_exists" in text or "list_append" in text or text.startswith("SET ")
    for match in _OPERATOR.finditer(text):
        # In an update expression, "=" is an assignment.
        if not (is_update and match[0] == "="):
            yield (*match.span(), _SWAPS[match[0]])
    for match in _FUNCTION.finditer(text):
        yield (*match.span(), "attribute_exists" if match[1] else "attribute_not_exists")
    for match in _DEFAULT.finditer(text):
        yield (*match.span(), match[1])
    for match in re.finditer(r"\bNOT ", text):
        yield (*match.span(), "")
    connectives = [
        match for match in _CONNECTIVE.finditer(text) if _depth(text[: match.start()]) == 0
    ]
    if connectives:
        yield 0, connectives[0].end(), ""
    ends = [*(match.start() for match in connectives[1:]), len(text)]
    for match, end in zip(connectives, ends, strict=False):
        yield match.start(), end, ""


def _depth(text: str) -> int:
    return sum(text.count(mark) for mark in "({") - sum(text.count(mark) for mark in ")}")
