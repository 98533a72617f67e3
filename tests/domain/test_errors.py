"""Every error class has a status, a code and an entry in the documented tree."""

import re

from chalicelib.domain import errors
from chalicelib.domain.errors import AppError

ERRORS = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, AppError)
]


def test_every_error_has_a_status_and_a_code() -> None:
    for error in ERRORS:
        assert 400 <= error.status < 600
        assert error.code


def test_every_error_is_in_the_documented_tree() -> None:
    documented = set(re.findall(r"\b[A-Z]\w+", errors.__doc__ or ""))
    assert {error.__name__ for error in ERRORS} <= documented


def test_only_503_errors_have_retry_after() -> None:
    for error in ERRORS:
        assert error.retry_after is None or error.status == 503
