from chalicelib.domain import errors
from chalicelib.domain.errors import AppError

TREE = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, AppError)]


def test_every_error_has_a_status_and_a_code_of_its_own_or_its_parents() -> None:
    for error in TREE:
        assert 400 <= error.status < 600
        assert error.code


def test_every_error_stands_in_the_drawing() -> None:
    assert errors.__doc__ is not None
    drawn = {line.split()[-1] for line in errors.__doc__.splitlines() if line.strip()}
    for error in TREE:
        assert error.__name__ in errors.__doc__, drawn


def test_a_retry_is_suggested_only_where_it_may_help() -> None:
    for error in TREE:
        assert error.retry_after is None or error.status == 503
