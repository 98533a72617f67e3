import pytest

from local.demo.http_client import Response
from local.demo.output import Presenter, StageFailedError


class FakeClient:
    name = "app"

    def __init__(self, status, body):
        self.response = Response(status, body)

    def get(self, path):
        return self.response


def test_unexpected_value_is_reported_with_the_stage_and_the_expected_value():
    presenter = Presenter(lambda line: None)
    presenter.start_stage("3. Rejected")

    with pytest.raises(
        StageFailedError, match="'3. Rejected' failed: expected x to be 'a', got 'b'"
    ):
        presenter.expect("x", "a", "b")


def test_error_response_fails_the_stage_and_is_reported():
    presenter = Presenter(lambda line: None)

    with pytest.raises(StageFailedError, match="got 403 {'Code': 'Forbidden'}"):
        presenter.get(FakeClient(403, {"Code": "Forbidden"}), "/reservations", show="all")


def test_timeout_error_states_the_expected_result():
    presenter = Presenter(lambda line: None)

    with pytest.raises(StageFailedError, match="expected a callback within 0 seconds"):
        presenter.wait("a callback", lambda: None, 0)


def test_long_values_are_shortened():
    lines = []

    Presenter(lines.append).get(FakeClient(200, {"token": "x" * 500}), "/", show="token")

    assert max(map(len, lines)) < 150
