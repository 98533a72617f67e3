"""One deployment of a stage at a time."""

from types import SimpleNamespace

import boto3
import pytest

from infra.aws import lock
from infra.aws.session import Aws
from infra.errors import OperatorError


@pytest.fixture
def aws(dynamodb, monkeypatch):
    for name, value in dynamodb.environ.items():
        monkeypatch.setenv(name, value)
    return Aws(boto3.Session(), "aws", "us-east-1", "1" * 12, "arn:aws:iam::1:user/ann")


@pytest.fixture
def stage(tables):
    return SimpleNamespace(name="dev", settings=SimpleNamespace(state_table=tables.state))


def test_who_comes_second_is_told_who_came_first_and_what_to_do(aws, stage):
    first, second = (lock.held(aws, stage, force=False) for _ in range(2))
    with first, pytest.raises(OperatorError) as refused, second:
        pytest.fail("Both have it.")

    assert "Stage dev is being deployed or removed by arn:aws:iam::1:user/ann" in str(refused.value)
    assert "its lock lapses at" in str(refused.value)


def test_it_is_let_go_of_whatever_happens(aws, stage):
    with pytest.raises(ValueError, match="broke off"), lock.held(aws, stage, force=False):
        raise ValueError("broke off")
    with lock.held(aws, stage, force=False):
        pass


def test_of_one_that_was_killed_it_lapses(aws, stage, monkeypatch):
    abandoned = lock.held(aws, stage, force=False)
    abandoned.__enter__()
    now = lock.time.time()
    monkeypatch.setattr(lock.time, "time", lambda: now + 31 * 60)

    with lock.held(aws, stage, force=False):
        pass


def test_a_lock_that_was_broken_is_not_let_go_of_by_who_had_it(aws, stage):
    with lock.held(aws, stage, force=False):
        breaker = lock.held(aws, stage, force=True)
        breaker.__enter__()
    with pytest.raises(OperatorError), lock.held(aws, stage, force=False):
        pytest.fail("The first has let go of what was not its own any more.")


def test_who_made_the_table_itself_takes_it_then(aws, stage, tables):
    absent = SimpleNamespace(name="dev", settings=SimpleNamespace(state_table="not-yet"))
    with lock.held(aws, absent, force=False) as take:
        absent.settings.state_table = tables.state
        take()
        take()  # and may renew it
        with pytest.raises(OperatorError), lock.held(aws, stage, force=False):
            pytest.fail("Both have it.")
