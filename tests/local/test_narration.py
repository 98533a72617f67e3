import pytest

from local.demo.http_client import Answer
from local.demo.output import Narrator, StageFailedError


class Fake:
    name = "app"

    def __init__(self, status, body):
        self.answer = Answer(status, body)

    def get(self, path):
        return self.answer


def test_a_surprise_says_in_which_stage_and_what_was_expected_and_got():
    tell = Narrator(lambda line: None)
    tell.stage("3. Rejected")

    with pytest.raises(
        StageFailedError, match="'3. Rejected' failed: expected x to be 'a', got 'b'"
    ):
        tell.expect("x", "a", "b")


def test_an_error_as_an_answer_ends_the_stage_with_the_answer():
    tell = Narrator(lambda line: None)

    with pytest.raises(StageFailedError, match="got 403 {'Code': 'Forbidden'}"):
        tell.get(Fake(403, {"Code": "Forbidden"}), "/reservations", show="all")


def test_what_does_not_come_in_time_is_named():
    tell = Narrator(lambda line: None)

    with pytest.raises(StageFailedError, match="expected a callback within 0 seconds"):
        tell.wait("a callback", lambda: None, 0)


def test_long_values_are_shortened():
    lines = []

    Narrator(lines.append).get(Fake(200, {"token": "x" * 500}), "/", show="token")

    assert max(map(len, lines)) < 150
