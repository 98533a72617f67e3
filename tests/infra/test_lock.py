"""The lock allows one deployment or removal of a stage at a time."""

from types import SimpleNamespace

import boto3
import pytest

from infra import OperatorError
from infra.aws import Aws, lock


@pytest.fixture
def aws(dynamodb, monkeypatch):
    for name, value in dynamodb.environ.items():
        monkeypatch.setenv(name, value)
    return Aws(boto3.Session(), "aws", "us-east-1", "1" * 12, "arn:aws:iam::1:user/ann")


@pytest.fixture
def stage(tables):
    return SimpleNamespace(name="dev", settings=SimpleNamespace(state_table=tables.state))


def test_refusal_names_the_current_owner_and_the_expiry(aws, stage):
    first, second = (lock.acquire(aws, stage, force=False) for _ in range(2))
    with first, pytest.raises(OperatorError) as refused, second:
        pytest.fail("Two owners hold the lock.")

    assert "Stage dev is being deployed or removed by arn:aws:iam::1:user/ann" in str(refused.value)
    assert "its lock expires at" in str(refused.value)


def test_lock_is_released_after_an_error(aws, stage):
    with pytest.raises(ValueError, match="interrupted"), lock.acquire(aws, stage, force=False):
        raise ValueError("interrupted")
    with lock.acquire(aws, stage, force=False):
        pass


def test_lock_of_a_killed_deployment_expires(aws, stage, monkeypatch):
    abandoned = lock.acquire(aws, stage, force=False)
    abandoned.__enter__()
    now = lock.time.time()
    monkeypatch.setattr(lock.time, "time", lambda: now + 31 * 60)

    with lock.acquire(aws, stage, force=False):
        pass


def test_former_owner_does_not_release_a_broken_lock(aws, stage):
    with lock.acquire(aws, stage, force=False):
        new_owner = lock.acquire(aws, stage, force=True)
        new_owner.__enter__()
    with pytest.raises(OperatorError), lock.acquire(aws, stage, force=False):
        pytest.fail("The former owner released a lock that it no longer held.")


def test_first_deployment_acquires_the_lock_once_the_table_exists(aws, stage, tables):
    new_stage = SimpleNamespace(name="dev", settings=SimpleNamespace(state_table="not-yet"))
    with lock.acquire(aws, new_stage, force=False) as renew:
        new_stage.settings.state_table = tables.state
        renew()
        renew()  # renews the lock that the first call acquired
        with pytest.raises(OperatorError), lock.acquire(aws, stage, force=False):
            pytest.fail("Two owners hold the lock.")
