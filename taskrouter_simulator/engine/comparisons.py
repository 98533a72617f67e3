"""What two values compare to, where Twilio's pages tell, and where they are silent as settings say.

Told is that a missing attribute is NULL, that a scalar operator on an array and an array operator
on two scalars are false, and that comparing mixed types "should be avoided":
https://www.twilio.com/docs/taskrouter/expression-syntax.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Comparison = Callable[[Any, Any], bool]


@dataclass(frozen=True)
class Comparisons:
    """How values compare.

    Args:
        nulls_are_values: whether NULL equals NULL and differs from all else; otherwise it does so
            only where `null` is written out, and every other comparison with it is false.
        mixed_types: what values of two types are: "unequal", without order; "false", whatever is
            asked; "numbers", where one is a number and the other a text that holds one.
    """

    nulls_are_values: bool = False
    mixed_types: str = "unequal"

    def find(self, name: str, *, null_written: bool = False) -> Comparison:
        """The comparison of an operator.

        Args:
            name: the operator, in upper case.
            null_written: whether one side of it is the literal `null`.
        """
        nulls = null_written or self.nulls_are_values
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
        left, right = self._alike(left, right)
        return _comparable(left, right) and bool(left == right)

    def _unequal(self, left: Any, right: Any, *, nulls: bool) -> bool:
        if left is None or right is None:
            return nulls and left is not right
        left, right = self._alike(left, right)
        if not (_scalar(left) and _scalar(right)):
            return False
        return bool(left != right) if _comparable(left, right) else self.mixed_types != "false"

    def _ordered(self, compare: Comparison, left: Any, right: Any) -> bool:
        left, right = self._alike(left, right)
        return _comparable(left, right) and compare(left, right)

    def _contains(self, left: Any, right: Any) -> bool:
        if self.mixed_types != "false":
            right = _digits(right)
        if self.mixed_types == "numbers":
            left = _digits(left)
        return isinstance(left, str) and isinstance(right, str) and right in left

    def _has(self, left: Any, right: Any) -> bool:
        nulls = self.nulls_are_values
        return isinstance(left, list) and any(
            self._equal(item, right, nulls=nulls) for item in left
        )

    def _not_in(self, left: Any, right: Any) -> bool:
        single = _scalar(left) or (self.nulls_are_values and left is None)
        return isinstance(right, list) and single and not self._has(right, left)

    def _alike(self, left: Any, right: Any) -> tuple[Any, Any]:
        """The values, a text beside a number as the number that it holds if that is set."""
        if self.mixed_types == "numbers" and "number" in {_kind(left), _kind(right)}:
            return _number(left), _number(right)
        return left, right


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


def _scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _comparable(left: Any, right: Any) -> bool:
    return _scalar(left) and _kind(left) == _kind(right)


def _digits(value: Any) -> Any:
    return str(value) if _kind(value) == "number" else value


def _number(value: Any) -> Any:
    """The number that a text holds, else the value as it is."""
    if not isinstance(value, str) or not re.fullmatch(r"-?[0-9]{1,300}(\.[0-9]{1,300})?", value):
        return value
    return float(value) if "." in value else int(value)
