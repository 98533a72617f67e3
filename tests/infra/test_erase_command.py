import os
import subprocess
import sys

import pytest

from local.supervisor import ROOT

SID = "WR" + "e" * 32


@pytest.fixture
def records(dynamodb, tables):
    """Returns how many records there are; there is one of SID."""
    client = dynamodb.client()
    client.put_item(TableName=tables.reservations, Item={"reservation_sid": {"S": SID}})
    return lambda: client.scan(TableName=tables.reservations, ConsistentRead=True)["Count"]


@pytest.fixture
def erase(dynamodb, tables):
    names = {"RESERVATIONS_TABLE": tables.reservations, "STATE_TABLE": tables.state}

    def run(*arguments, says="", **environ):
        return subprocess.run(
            [sys.executable, "-m", "infra", "erase", *arguments],
            cwd=ROOT,
            env=os.environ | dynamodb.environ | names | environ,
            input=says,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_a_record_is_erased_once_somebody_says_yes(erase, records):
    refused = erase(SID, says="n\n")
    assert (refused.returncode, records()) == (1, 1)

    agreed = erase(SID, says="y\n")
    assert (agreed.returncode, records()) == (0, 0)
    assert agreed.stdout == f"{SID} is erased.\n"


def test_a_script_is_not_asked_and_learns_that_there_was_none(erase, records):
    assert erase(SID, "--yes").returncode == 0
    again = erase(SID, "--yes")
    assert (again.returncode, records()) == (1, 0)
    assert again.stderr == f"Error: There is no record of {SID} in stage local.\n"


def test_what_is_wrong_is_said_without_a_traceback(erase, records):
    malformed = erase("WR1", "--yes")
    assert malformed.returncode == 2
    assert "RESERVATION_SID must be WR followed by 32 hexadecimal digits" in malformed.stderr

    absent = erase(SID, "--yes", RESERVATIONS_TABLE="nowhere")
    assert absent.returncode == 1
    assert "DynamoDB answered ResourceNotFoundException" in absent.stderr
    assert "Traceback" not in absent.stderr
    assert records() == 1
