"""Only one command at a time can hold the lock of a stage."""

from contextlib import nullcontext
from types import SimpleNamespace
from unittest import mock

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from infra import OperatorError
from infra.aws import Aws, lock

UNREACHABLE = EndpointConnectionError(endpoint_url="https://dynamodb.eu-west-1.amazonaws.com")


@pytest.fixture
def aws(dynamodb, monkeypatch):
    for name, value in dynamodb.environ.items():
        monkeypatch.setenv(name, value)
    return Aws(boto3.Session(), "aws", "us-east-1", "1" * 12, "arn:aws:iam::1:user/ann")


@pytest.fixture
def stage(tables):
    return SimpleNamespace(name="dev", settings=SimpleNamespace(state_table=tables.state))


@pytest.mark.parametrize(
    ("seconds", "age"), [(0, "0 s"), (100, "100 s"), (725, "12 minutes"), (1799, "29 minutes")]
)
def test_error_for_a_held_lock_states_its_owner_and_age_and_the_remedy(
    aws, stage, monkeypatch, seconds, age
):
    now = int(lock.time.time())
    monkeypatch.setattr(lock.time, "time", lambda: now)
    first, second = (lock.acquire(aws, stage, force=False) for _ in range(2))
    with first:
        monkeypatch.setattr(lock.time, "time", lambda: now + seconds)
        with pytest.raises(OperatorError) as refused, second:
            pytest.fail("Two owners hold the lock.")

    host = lock.socket.gethostname()
    assert f"held for {age} by arn:aws:iam::1:user/ann at {host}." in str(refused.value)
    assert "use --break-lock, or wait until the lock expires at" in str(refused.value)


def test_state_table_with_the_wrong_key_is_named_in_the_error(aws, stage, capsys):
    key = {"AttributeName": "order", "AttributeType": "S"}
    aws.client("dynamodb").create_table(
        TableName="unrelated-orders",
        AttributeDefinitions=[key],
        KeySchema=[{"AttributeName": "order", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    stage.settings.reservations_table = "missing"
    stage.settings.state_table = "unrelated-orders"

    with (
        pytest.raises(OperatorError, match="The table unrelated-orders exists, but its keys"),
        lock.acquire(aws, stage, force=False),
    ):
        pytest.fail("The lock was acquired in a table with the wrong key.")

    assert capsys.readouterr().err == ""


def test_interruption_during_the_lock_request_leaves_no_lock(aws, stage, monkeypatch):
    put = lock._put

    def put_and_interrupt(*args, **kwargs):
        put(*args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(lock, "_put", put_and_interrupt)
    with pytest.raises(KeyboardInterrupt), lock.acquire(aws, stage, force=False):
        pytest.fail("The command continued after the interruption.")
    monkeypatch.setattr(lock, "_put", put)

    with lock.acquire(aws, stage, force=False):
        pass


@pytest.mark.parametrize("error", [None, ValueError("the deployment failed")])
def test_failed_release_causes_only_a_warning(aws, stage, monkeypatch, capsys, error):
    monkeypatch.setattr(lock, "_LIMITS", {"attempts": 1})
    expected = pytest.raises(ValueError, match="the deployment failed") if error else nullcontext()
    with expected, lock.acquire(aws, stage, force=False):
        monkeypatch.setattr(
            "botocore.httpsession.URLLib3Session.send", mock.Mock(side_effect=UNREACHABLE)
        )
        if error:
            raise error

    assert "Warning: the lock of stage dev could not be released" in capsys.readouterr().err


def test_lock_is_released_after_an_error(aws, stage):
    with pytest.raises(ValueError, match="interrupted"), lock.acquire(aws, stage, force=False):
        raise ValueError("interrupted")
    with lock.acquire(aws, stage, force=False):
        pass


def test_lock_of_a_killed_deployment_expires(aws, stage, monkeypatch):
    abandoned = lock.acquire(aws, stage, force=False)
    abandoned.__enter__()
    now = int(lock.time.time())
    monkeypatch.setattr(lock.time, "time", lambda: now + 31 * 60)

    with lock.acquire(aws, stage, force=False):
        pass


def test_former_owner_does_not_release_the_lock_of_the_new_owner(aws, stage):
    with lock.acquire(aws, stage, force=False):
        new_owner = lock.acquire(aws, stage, force=True)
        new_owner.__enter__()
    with pytest.raises(OperatorError), lock.acquire(aws, stage, force=False):
        pytest.fail("The former owner released a lock that it no longer held.")


def test_first_deployment_acquires_the_lock_as_soon_as_the_table_exists(aws, stage, tables):
    new_stage = SimpleNamespace(name="dev", settings=SimpleNamespace(state_table="not-yet"))
    with lock.acquire(aws, new_stage, force=False) as renew:
        new_stage.settings.state_table = tables.state
        renew()
        renew()  # renews the lock that the first call acquired
        with pytest.raises(OperatorError), lock.acquire(aws, stage, force=False):
            pytest.fail("Two owners hold the lock.")
