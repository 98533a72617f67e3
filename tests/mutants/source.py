"""A Python file, or an expression inside an f-string, with the byte offsets of its nodes.

`ast` measures columns in UTF-8 bytes, so offsets and texts in this package are in bytes.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

_BRACKETS = {b"(": b")", b"[": b"]", b"{": b"}"}


class Span(NamedTuple):
    """A range of byte offsets."""

    start: int
    end: int


@dataclass
class Source:
    """Parsed source code.

    Attributes:
        content: the text, encoded.
        base: the offset of the text in its file.
    """

    content: bytes
    base: int = 0
    tree: ast.Module = field(init=False)
    _line_offsets: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.tree = ast.parse(self.content)
        lines = self.content.split(b"\n")
        self._line_offsets = [0, *accumulate(len(line) + 1 for line in lines)]

    def span(self, node: ast.AST) -> Span:
        """Return the range of a node, without the parentheses around it."""
        place: ast.expr = node  # type: ignore[assignment]  # every node used here has a position
        assert place.end_lineno is not None
        assert place.end_col_offset is not None
        return Span(
            self._line_offsets[place.lineno - 1] + place.col_offset,
            self._line_offsets[place.end_lineno - 1] + place.end_col_offset,
        )

    def text(self, node: ast.AST) -> bytes:
        return self.content[slice(*self.span(node))]

    def with_parentheses(self, node: ast.AST, limits: Span) -> Span:
        """Return the range of a node with the parentheses around it that are inside *limits*."""
        start, end = self.span(node)
        while True:
            opening = limits.start + len(self.content[limits.start : start].rstrip()) - 1
            closing = self.skip_blank(end)
            if (
                opening < limits.start
                or closing >= limits.end
                or self.content[opening : opening + 1] != b"("
                or self.content[closing : closing + 1] != b")"
            ):
                return Span(start, end)
            start, end = opening, closing + 1

    def skip_blank(self, offset: int) -> int:
        """Return the offset of the next character that is neither white space nor a comment."""
        while offset < len(self.content):
            character = self.content[offset : offset + 1]
            if character == b"#":
                offset = self.content.index(b"\n", offset)
            elif not character.isspace():
                break
            offset += 1
        return offset

    def fields(self, string: ast.JoinedStr) -> Iterator["Source"]:
        """Yield the expressions of an f-string.

        Each expression is parsed separately, because Python 3.11 reports wrong positions for the
        nodes inside f-strings.
        """
        offset, end = self.span(string)
        while (offset := self.content.find(b"{", offset, end)) >= 0:
            if self.content[offset + 1 : offset + 2] == b"{":
                offset += 2
                continue
            field_end = self._end_of_field(offset + 1, end)
            expression = b"(" + self.content[offset + 1 : field_end] + b")"
            # In a concatenated part without the prefix "f", braces can be plain text.
            if _is_expression(expression):
                yield Source(expression, base=self.base + offset)
            offset = field_end

    def _end_of_field(self, offset: int, end: int) -> int:
        """Return the offset of the ``}``, ``:`` or ``!`` that ends an expression."""
        expected: list[bytes] = []
        while offset < end:
            character = self.content[offset : offset + 1]
            if character in (b'"', b"'"):
                offset = self.content.find(character, offset + 1, end)
                if offset < 0:
                    break
            elif expected and character == expected[-1]:
                expected.pop()
            elif character in _BRACKETS:
                expected.append(_BRACKETS[character])
            elif not expected and self._ends_field(offset):
                return offset
            offset += 1
        return end

    def _ends_field(self, offset: int) -> bool:
        following = self.content[offset : offset + 2]
        return following[:1] in (b"}", b":") or (following[:1] == b"!" and following != b"!=")


def _is_expression(text: bytes) -> bool:
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return False
    return True
