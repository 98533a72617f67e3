"""The status command reports whether a stage works and whether anyone receives its alarms."""

import json
from types import SimpleNamespace

import boto3
import pytest
from moto import mock_aws

from infra import OperatorError
from infra.aws import chalice_record, live_state, stacks, stage_config
from infra.commands import connection, status
from tests.infra.command_line import run_infra
from tests.infra.packaging import SIDS

CALLBACK_URLS = status._callback_urls
REGION = "eu-west-1"
FIRST_LINE = f"Stage dev: account 123456789012, {REGION}\n"
WORKING = {
    (status, "_smoke_test_result"): "ok",
    (status, "_callback_urls"): "ok",
    (live_state, "table_status"): "ACTIVE",
    (live_state, "schedule_state"): "ENABLED",
    (live_state, "last_sweep"): {"ok": True},
    (live_state, "active_alarms"): [],
}


@pytest.fixture
def topic(tmp_path, monkeypatch):
    """The ARN of the alarm topic of a working stage, in an emulated account."""
    config = stage_config.project()
    config["stages"]["dev"]["environment_variables"] |= SIDS
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(stage_config, "CONFIG", tmp_path / "config.json")
    monkeypatch.setattr(chalice_record, "public_url", lambda *_: "https://example.com/dev")
    for (module, name), value in WORKING.items():
        monkeypatch.setattr(module, name, lambda *_, value=value: value)
    with mock_aws():
        topic = boto3.client("sns", REGION).create_topic(Name="alarms")["TopicArn"]
        monkeypatch.setattr(stacks, "outputs", lambda *_: {"AlarmTopic": topic})
        yield topic


def run_status(*options):
    return run_infra("status", "--stage", "dev", *options, AWS_DEFAULT_REGION=REGION)


def subscribe(topic, endpoint="you@example.com"):
    boto3.client("sns", REGION).subscribe(TopicArn=topic, Protocol="email", Endpoint=endpoint)


def test_stage_without_alarm_subscribers_is_not_ok(topic):
    completed = run_status("--json")

    report = json.loads(completed.stdout)
    assert (report["ok"], report["alarm_subscribers"], completed.returncode) == (False, 0, 1)
    assert completed.stderr == FIRST_LINE + (
        "Nobody receives the alarms. To subscribe, run the following command, and confirm the "
        "subscription in the email that AWS sends: python -m infra deploy --stage dev "
        "--alarm-email you@example.com\n"
    )


@pytest.mark.parametrize("count", [1, 2])
def test_stage_with_alarm_subscribers_is_ok(topic, count):
    for number in range(count):
        subscribe(topic, f"{number}@example.com")

    completed = run_status("--json")

    report = json.loads(completed.stdout)
    assert (report["ok"], report["alarm_subscribers"], completed.returncode) == (True, count, 0)
    assert completed.stderr == FIRST_LINE
    assert f"alarm_subscribers  {count}\n" in run_status().stdout


def test_unconfirmed_and_deleted_subscriptions_are_not_counted(topic, monkeypatch):
    subscriptions = [{"SubscriptionArn": "PendingConfirmation"}, {"SubscriptionArn": "Deleted"}]
    pages = SimpleNamespace(paginate=lambda **_: [{"Subscriptions": subscriptions}])
    client = SimpleNamespace(get_paginator=lambda _: pages)

    assert live_state.list_subscribers(SimpleNamespace(client=lambda _: client), topic) == []


def test_stage_without_a_topic_is_not_ok(topic, monkeypatch):
    monkeypatch.setattr(stacks, "outputs", lambda *_: {"Deployments": "bucket"})

    completed = run_status()

    assert completed.returncode == 1
    assert "alarm_topic        missing\n" in completed.stdout
    assert "alarms             none active\n" in completed.stdout
    assert "Nobody receives the alarms." in completed.stderr


@pytest.mark.parametrize(("exists", "shown"), [(False, "stack missing"), (True, "missing")])
def test_missing_stack_is_distinguished_from_a_stack_that_contains_only_the_tables(
    topic, monkeypatch, exists, shown
):
    monkeypatch.setattr(stacks, "outputs", lambda *_: {})
    monkeypatch.setattr(stacks, "exists", lambda *_: exists)

    completed = run_status()

    assert completed.returncode == 1
    assert f"alarms             {shown}\n" in completed.stdout
    assert f"alarm_topic        {shown}\n" in completed.stdout


def test_stage_with_a_deleted_topic_is_not_ok(topic):
    boto3.client("sns", REGION).delete_topic(TopicArn=topic)

    completed = run_status("--json")

    report = json.loads(completed.stdout)
    assert (report["ok"], completed.returncode) == (False, 1)
    assert report["alarm_subscribers"].startswith(
        "AWS returned NotFound for ListSubscriptionsByTopic: "
    )


@pytest.fixture
def callback_urls():
    """The real function, which uses the stored secrets. `topic` replaces it with a fake."""
    return status._callback_urls


@pytest.mark.parametrize("url", ["https://example.com/dev", "not deployed", None])
def test_stage_whose_secrets_parameter_is_missing_is_not_ok(callback_urls, topic, monkeypatch, url):
    def find_url(*_):
        if url is None:
            raise OperatorError("Several APIs serve the stage.")
        return url

    subscribe(topic)
    monkeypatch.setattr(chalice_record, "public_url", find_url)
    monkeypatch.setattr(status, "_callback_urls", callback_urls)

    completed = run_status()

    assert completed.returncode == 1
    if url and url.startswith("http"):
        problem = (
            "There is no parameter /taskrouter-callbacks/dev/secrets. Create it: python -m infra"
        )
        assert f"callback_urls      {problem} secrets put --stage dev\n" in completed.stdout
    else:
        assert "callback_urls      not checked\n" in completed.stdout


@pytest.mark.parametrize(
    ("module", "part", "value"),
    [
        (status, "_smoke_test_result", "not checked"),
        (
            status,
            "_callback_urls",
            ["Workflow, fallback: none -> https://example.com/dev/fallback"],
        ),
        (live_state, "table_status", "UPDATING"),
        (live_state, "schedule_state", "DISABLED"),
        (live_state, "active_alarms", ["SweepSilent"]),
    ],
)
def test_stage_with_a_broken_part_is_not_ok(topic, monkeypatch, module, part, value):
    subscribe(topic)
    monkeypatch.setattr(module, part, lambda *_: value)

    assert run_status().returncode == 1


@pytest.mark.parametrize("missing", [["TWILIO_WORKFLOW_SID"], [*SIDS]])
def test_status_without_sids_says_that_the_callback_urls_are_not_checked(
    topic, monkeypatch, missing
):
    stage_config.set_variables("dev", dict.fromkeys(missing, ""))
    subscribe(topic)
    monkeypatch.setattr(status, "_callback_urls", CALLBACK_URLS)
    monkeypatch.setattr(connection, "open_workspace", lambda *_: pytest.fail("Twilio was called."))

    completed = run_status("--json")

    report = json.loads(completed.stdout)
    assert report["callback_urls"] == (
        f"not checked, because .chalice/config.json does not set {', '.join(missing)}"
    )
    assert (report["answers"], report["ok"], completed.returncode) == ("ok", False, 1)
