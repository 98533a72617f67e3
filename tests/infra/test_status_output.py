"""The last sweep and the alarms in the output of the status command."""

import json
from decimal import Decimal
from types import SimpleNamespace

import boto3
import pytest
from moto import mock_aws

from infra.aws import Aws, live_state
from infra.commands import status as command
from tests.infra.command_line import run_infra

STARTED = 1_795_662_725_750  # 2026-11-26 03:12:05 UTC
LAST_SWEEP = {
    "id": "last_sweep",
    "at": Decimal(STARTED),
    "duration_ms": Decimal(2400),
    "due": Decimal(3),
    "errors": {},
    "reasons": [],
    "ok": True,
}


@pytest.fixture
def _report(monkeypatch):
    report = {
        "url": "https://calls.example.com",
        "last_sweep": LAST_SWEEP,
        "alarm_subscribers": 1,
        "ok": True,
    }
    monkeypatch.setattr(command, "describe", lambda *_: report)
    monkeypatch.setattr(command, "connect_to_stage", lambda _stage: None)
    monkeypatch.setattr(command.stage_config, "read", lambda _name, **_: None)


@pytest.mark.parametrize(
    ("age", "shown"), [(42, "42 s"), (125, "2 minutes"), (3 * 3600, "3 hours"), (1e6, "11 days")]
)
@pytest.mark.usefixtures("_report")
def test_last_sweep_is_shown_with_readable_times(monkeypatch, age, shown):
    monkeypatch.setattr(command.time, "time", lambda: STARTED / 1000 + age)

    printed = run_infra("status", "--stage", "dev").stdout

    line = f"last_sweep         2026-11-26 03:12:05 UTC ({shown} ago), 3 due, took 2.4 s, ok"
    assert line in printed.splitlines()


@pytest.mark.parametrize(
    ("errors", "shown"),
    [
        ({"StoreUnavailable": Decimal(2)}, "StoreUnavailable (2)"),
        ({"TaskRouterThrottled": 1, "Unexpected": 12}, "TaskRouterThrottled (1), Unexpected (12)"),
    ],
)
def test_failed_sweep_shows_its_errors(errors, shown):
    sweep = LAST_SWEEP | {"ok": False, "errors": errors}

    assert command._format(sweep, now=STARTED / 1000).endswith(f"took 2.4 s, failed: {shown}")


@pytest.mark.usefixtures("_report")
def test_json_contains_the_sweep_time_as_a_number():
    printed = json.loads(run_infra("status", "--stage", "dev", "--json").stdout)

    assert printed["last_sweep"]["at"] == STARTED


def test_alarms_of_stages_whose_names_start_with_this_stages_name_are_not_shown(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "moto")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "moto")
    with mock_aws():
        aws = Aws(boto3.Session(region_name="eu-west-1"), "aws", "eu-west-1", "1" * 12, "")
        cloudwatch = aws.client("cloudwatch")
        for stage in ("dev", "dev-2", "dev2"):
            name = f"taskrouter-callbacks-{stage}-SweepFails"
            cloudwatch.put_metric_alarm(
                AlarmName=name, ComparisonOperator="GreaterThanThreshold", EvaluationPeriods=1
            )
            cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="test")

        stage = SimpleNamespace(stack="taskrouter-callbacks-dev")
        assert live_state.active_alarms(aws, stage) == ["SweepFails"]
