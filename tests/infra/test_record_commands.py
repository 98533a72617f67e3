"""The commands `sweep` and `erase` print their results and report errors."""

import json

import pytest

from chalicelib import runtime
from local import network
from tests.infra.command_line import run_infra

SID = "WR" + "e" * 32


@pytest.fixture
def infra(dynamodb, tables):
    """A function that runs a command with the test's tables."""
    names = {"RESERVATIONS_TABLE": tables.reservations, "STATE_TABLE": tables.state}

    def run(*arguments, **options):
        return run_infra(*arguments, **(dynamodb.environ | names | options))

    yield run
    runtime.use(None)  # `sweep` builds a runtime from the test's settings


@pytest.fixture
def count_records(dynamodb, tables):
    """A function that returns the number of records. Initially, only SID has a record."""
    client = dynamodb.client()
    client.put_item(TableName=tables.reservations, Item={"reservation_sid": {"S": SID}})
    return lambda: client.scan(TableName=tables.reservations, ConsistentRead=True)["Count"]


def test_sweep_prints_its_result(infra, taskrouter):
    completed = infra("sweep", "--monitor", TWILIO_TASKROUTER_URL=taskrouter.url)

    assert completed.returncode == 0, completed.stderr
    result = json.loads(completed.stdout)
    assert (result["ok"], result["due"], result["monitor_only"]) == (True, 0, True)


def test_failed_sweep_is_reported(infra):
    (port,) = network.find_free_ports(1)

    completed = infra("sweep", TWILIO_TASKROUTER_URL=f"http://127.0.0.1:{port}")

    assert completed.returncode == 1
    assert json.loads(completed.stdout)["errors"].keys() == {"TaskRouterNotSent"}
    assert "The sweep failed" in completed.stderr
    assert "Traceback" not in completed.stderr


def test_erase_deletes_the_record_only_after_confirmation(infra, count_records):
    declined = infra("erase", SID, stdin="n\n")
    assert (declined.returncode, count_records()) == (1, 1)

    confirmed = infra("erase", SID, stdin="y\n")
    assert (confirmed.returncode, count_records()) == (0, 0)
    assert confirmed.stdout == f"{SID} has been erased.\n"


def test_yes_option_skips_the_confirmation_and_a_missing_record_is_an_error(infra, count_records):
    assert infra("erase", SID, "--yes").returncode == 0
    repeated = infra("erase", SID, "--yes")
    assert (repeated.returncode, count_records()) == (1, 0)
    assert repeated.stderr == f"Error: There is no record of {SID} in stage local.\n"


def test_erase_errors_are_reported_without_a_traceback(infra, count_records):
    malformed = infra("erase", "WR1", "--yes")
    assert malformed.returncode == 2
    assert "RESERVATION_SID must be WR followed by 32 hexadecimal digits" in malformed.stderr

    missing_table = infra("erase", SID, "--yes", RESERVATIONS_TABLE="missing")
    assert missing_table.returncode == 1
    assert "DynamoDB returned ResourceNotFoundException" in missing_table.stderr
    assert "Traceback" not in missing_table.stderr
    assert count_records() == 1
