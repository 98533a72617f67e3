"""The doctor identifies each problem with a live stage, and reports nothing else as wrong."""

import json
import re
from dataclasses import replace

import boto3
import pytest
from botocore.exceptions import ClientError

from infra import OperatorError, twilio_account
from infra.aws import live_state, stage_config
from infra.doctor import report, service_checks, twilio_checks
from infra.doctor.checks import CHECKS
from infra.doctor.report import Outcome
from tests.infra.command_line import run_infra
from tests.infra.live_stage import PARAMETER, STACK, LiveStage


@pytest.fixture
def stage(live_stage):
    """A working stage."""
    return live_stage


def diagnose(stage):
    """Return the results of all checks by name."""
    return {result.name: result for result in report.run(CHECKS, stage.subject)}


def outcomes(results, outcome):
    return [name for name, result in results.items() if result.outcome is outcome]


def test_all_checks_of_a_healthy_stage_are_ok(stage):
    results = diagnose(stage)

    assert {name: result.text for name, result in results.items() if result.outcome != "ok"} == {}
    assert len(results) == len(CHECKS)


OTHER_WORKFLOW = "WW" + "9" * 32
REFUSED = (403, {"Code": "InvalidSignature", "Message": "The signature is not valid."})
URL = "https://other.example/callback"


def revoke_auth_token(stage):
    """Store an old auth token, and make the app verify signatures with this token."""
    stage.auth_token = "0" * 32
    stage.store_secrets(auth_tokens=[stage.auth_token])
    stage.deploy()


def add_workflow(stage, url, **settings):
    """Create a Workflow with a timeout of 90 s, and store its SID in these settings."""
    sid = stage.workspace.workflows.create(
        friendly_name="Other",
        configuration=stage.workflow.fetch().configuration,
        assignment_callback_url=url,
        task_reservation_timeout=90,
    ).sid
    stage.set(**{name: value.replace("SID", sid) for name, value in settings.items()})


def reserve_without_callback(stage):
    """Reserve Alice for a Task whose callback does not arrive."""
    stage.monkeypatch.setattr(twilio_checks, "CALLBACK_IN_TRANSIT_MS", 0)
    for kind in ("assignment", "fallback", "event"):
        stage.twilio.fault(kind, "cut", times=None)
    stage.workspace.workers(stage.twilio.workers["Alice"]).update(
        activity_sid=stage.twilio.activities["Idle"]
    )
    stage.workspace.tasks.create(
        attributes='{"selected_language": "es"}', workflow_sid=stage.twilio.workflow_sid
    )


def table(stage, method, **parameters):
    getattr(stage.dynamodb.client(), method)(TableName=stage.tables.state, **parameters)


def replace_index(stage, **changes):
    """Replace the Reservations table with one whose indexes differ from the template."""
    client = stage.dynamodb.client()
    name = f"{stage.tables.reservations}-other"
    described = client.describe_table(TableName=stage.tables.reservations)["Table"]
    keys = ("IndexName", "KeySchema", "Projection")
    indexes = [
        {key: index[key] for key in keys} | changes.get(index["IndexName"], {})
        for index in described["GlobalSecondaryIndexes"]
        if changes.get(index["IndexName"], {}) is not None
    ]
    keys = [*described["KeySchema"], *(key for index in indexes for key in index["KeySchema"])]
    used = {key["AttributeName"] for key in keys}
    client.create_table(
        TableName=name,
        KeySchema=described["KeySchema"],
        AttributeDefinitions=[
            each for each in described["AttributeDefinitions"] if each["AttributeName"] in used
        ],
        GlobalSecondaryIndexes=indexes,
        BillingMode="PAY_PER_REQUEST",
    )
    stage.set(RESERVATIONS_TABLE=name)


def logs(method, **parameters):
    group = "/aws/lambda/taskrouter-callbacks-dev-sweep"
    getattr(boto3.client("logs"), method)(logGroupName=group, **parameters)


PROBLEMS = {
    "no API": (lambda s: setattr(s, "is_deployed", False), "api", "is not deployed in account"),
    "no table": (
        lambda s: s.set(STATE_TABLE="missing-table"),
        "state_table",
        "AWS returned ResourceNotFoundException for DescribeTable",
    ),
    "missing index": (
        lambda s: replace_index(s, by_hour=None),
        "reservations_table",
        "keys or indexes of the table",
    ),
    "different projection": (
        lambda s: replace_index(s, by_hour={"Projection": {"ProjectionType": "KEYS_ONLY"}}),
        "reservations_table",
        "keys or indexes of the table",
    ),
    "no expiry": (
        lambda s: table(
            s,
            "update_time_to_live",
            TimeToLiveSpecification={"Enabled": False, "AttributeName": "ttl"},
        ),
        "table_settings",
        "--time-to-live-specification Enabled=true,AttributeName=ttl",
    ),
    "TTL on another attribute": (
        lambda s: table(
            s,
            "update_time_to_live",
            TimeToLiveSpecification={"Enabled": True, "AttributeName": "at"},
        ),
        "table_settings",
        "do not expire",
    ),
    "no recovery": (
        lambda s: table(
            s,
            "update_continuous_backups",
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False},
        ),
        "table_settings",
        "has no point-in-time recovery",
    ),
    "no deletion protection": (
        lambda s: table(s, "update_table", DeletionProtectionEnabled=False),
        "table_settings",
        "--deletion-protection-enabled",
    ),
    "provisioned capacity": (
        lambda s: table(
            s,
            "update_table",
            BillingMode="PROVISIONED",
            ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
        ),
        "table_settings",
        "--billing-mode PAY_PER_REQUEST",
    ),
    "no secrets": (
        lambda _: boto3.client("ssm").delete_parameter(Name=PARAMETER),
        "secrets",
        "python -m infra secrets put --stage dev",
    ),
    "wrong API key": (
        lambda s: s.store_secrets(api_keys={s.twilio.api_key_sid: "wrong"}),
        "api_key",
        "The API key must be a standard key of this account",
    ),
    "wrong second API key": (
        lambda s: s.store_secrets(
            api_keys={s.twilio.api_key_sid: s.twilio.api_key_secret, "SK" + "0" * 32: "wrong"}
        ),
        "api_key_scope",
        f"Twilio refused the API key SK{'0' * 32}",
    ),
    "API key without access to Events": (
        lambda s: s.twilio.fault("request", "error", status=403, path="*/Events*"),
        "api_key_scope",
        "must not be revoked or restricted",
    ),
    "API key without access to Tasks": (
        lambda s: s.twilio.fault("request", "error", status=403, path="*/Tasks"),
        "api_key_scope",
        "must not be revoked or restricted",
    ),
    "old auth token": (revoke_auth_token, "auth_token", "the stage refuses all callbacks"),
    "missing Workspace": (
        lambda s: s.set(TWILIO_WORKSPACE_SID="WS" + "0" * 32),
        "workspace",
        f"has no Workspace WS{'0' * 32}",
    ),
    "missing Workflow": (
        lambda s: s.set(TWILIO_WORKFLOW_SID="WW" + "0" * 32),
        "workflow",
        f"has no Workflow WW{'0' * 32}",
    ),
    "wrong assignment URL": (
        lambda s: s.workflow.update(assignment_callback_url=URL),
        "callback_urls",
        f"Workflow, assignment callback: {URL} -> ",
    ),
    "missing fallback URL": (
        lambda s: s.workflow.update(fallback_assignment_callback_url=""),
        "callback_urls",
        "Workflow, fallback: none -> ",
    ),
    "wrong event URL": (
        lambda s: s.workspace.update(event_callback_url=URL),
        "callback_urls",
        f"Workspace, event callback: {URL} -> ",
    ),
    "incomplete event filter": (
        lambda s: s.workspace.update(events_filter="reservation.created,task.created"),
        "event_filter",
        "excludes reservation.accepted, ",
    ),
    "wrong timeout": (
        lambda s: s.workflow.update(task_reservation_timeout=1199),
        "timeouts",
        "time out after 1199 s, but RESERVATION_TIMEOUT_SECONDS is 1200",
    ),
    "wrong timeout of another Workflow": (
        lambda s: add_workflow(s, f"{s.base_url}/assignment_callback?a=1#rc=2"),
        "timeouts",
        "time out after 90 s, but RESERVATION_TIMEOUT_SECONDS is 1200",
    ),
    "wrong timeout in RESERVATION_TIMEOUTS_BY_WORKFLOW": (
        lambda s: add_workflow(s, "", RESERVATION_TIMEOUTS_BY_WORKFLOW='{"SID": 91}'),
        "timeouts",
        "time out after 90 s, but the value in RESERVATION_TIMEOUTS_BY_WORKFLOW is 91",
    ),
    "timeout of a deleted Workflow": (
        lambda s: s.set(RESERVATION_TIMEOUTS_BY_WORKFLOW=json.dumps({OTHER_WORKFLOW: 90})),
        "timeouts",
        f"contains {OTHER_WORKFLOW}, which is not in the Workspace",
    ),
    "unrecorded Reservation": (
        reserve_without_callback,
        "reservations",
        "No record exists for 1 of 1 pending Reservations: WR",
    ),
    "failing app": (
        lambda s: s.faults.update({("GET", "/health"): (502, {})}),
        "reachable",
        (
            "(HTTP status 502). Check any proxy in front of the API. Run: python -m infra deploy "
            "--stage"
        ),
    ),
    "refused event": (
        lambda s: s.faults.update({("POST", "/event_callback"): REFUSED}),
        "signed_request",
        "returned 403 InvalidSignature, not 204",
    ),
    "no signatures": (
        lambda s: s.faults.update({("POST", "/event_callback"): (204, "")}),
        "forged_request",
        "returned 204, not 403 InvalidSignature",
    ),
    "fast clock": (lambda s: setattr(s, "skew", 60), "clock", "s ahead of Twilio's clock"),
    "slow clock": (lambda s: setattr(s, "skew", -60), "clock", "s behind AWS's clock"),
    "different function settings": (
        lambda s: s.set_function_variables("sweep", {"RESERVATION_TIMEOUT_SECONDS": "5"}),
        "settings",
        "RESERVATION_TIMEOUT_SECONDS, ",
    ),
    "no log group": (lambda _: logs("delete_log_group"), "logs", "There is no log group"),
    "short retention": (
        lambda _: logs("put_retention_policy", retentionInDays=1),
        "logs",
        "is 1 day, not 30 days. Run: aws logs put-retention-policy",
    ),
    "no retention": (lambda _: logs("delete_retention_policy"), "logs", "is unlimited, not 30"),
    "disabled schedule": (
        lambda _: boto3.client("events").disable_rule(Name="sweep"),
        "schedule",
        "is DISABLED",
    ),
    "old sweep": (lambda s: s.save_sweep(age=301), "last_sweep", "started 5 minutes ago"),
    "failed sweep": (
        lambda s: s.save_sweep(
            ok={"BOOL": False}, errors={"M": {"TaskRouterThrottled": {"N": "2"}}}
        ),
        "last_sweep",
        "failed: TaskRouterThrottled",
    ),
    "no sweep": (
        lambda s: table(s, "delete_item", Key={"id": {"S": "last_sweep"}}),
        "last_sweep",
        "No sweep has finished yet",
    ),
    "active alarm": (LiveStage.trigger_alarm, "alarms", "Active alarms: SweepFails"),
    "deleted alarm": (
        lambda _: boto3.client("cloudwatch").delete_alarms(AlarmNames=[f"{STACK}-SweepFails"]),
        "alarms",
        "Missing alarms: SweepFails. Create",
    ),
    "disabled alarm": (
        lambda _: boto3.client("cloudwatch").disable_alarm_actions(
            AlarmNames=[f"{STACK}-SweepFails"]
        ),
        "alarms",
        f"enable-alarm-actions --alarm-names {STACK}-SweepFails",
    ),
    "no topic": (lambda s: setattr(s, "topic", None), "alarm_subscribers", "no topic"),
    "deleted topic": (
        lambda s: boto3.client("sns").delete_topic(TopicArn=s.topic),
        "alarm_subscribers",
        "Run: python -m infra status --stage dev",
    ),
    "no subscriber": (
        lambda s: boto3.client("sns").unsubscribe(
            SubscriptionArn=boto3.client("sns").list_subscriptions()["Subscriptions"][0][
                "SubscriptionArn"
            ]
        ),
        "alarm_subscribers",
        "Nobody has confirmed",
    ),
    "low concurrency": (
        lambda s: setattr(s, "concurrency", 10),
        "concurrency",
        "share only 10 concurrent executions",
    ),
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_problem_is_reported_only_by_its_own_check(stage, problem):
    break_stage, name, text = PROBLEMS[problem]
    break_stage(stage)

    results = diagnose(stage)

    assert outcomes(results, Outcome.WRONG) == [name]
    assert text in results[name].text
    causes = {result.cause for result in results.values() if result.outcome == "not checked"}
    assert causes <= {name}


@pytest.mark.parametrize("status", [301, 403, 404, 429, 500, 502, 504])
def test_failing_event_callback_is_reported_by_only_one_check(stage, status):
    stage.faults["POST", "/event_callback"] = (status, {"Code": "Other"})

    results = diagnose(stage)

    assert outcomes(results, Outcome.WRONG) == ["signed_request"]
    assert f"/.../event_callback returned {status} Other. Remove" in results["signed_request"].text
    assert results["forged_request"].text == "because of signed_request"


def test_error_for_an_event_refused_because_of_mismatched_sids_suggests_a_deployment(stage):
    workspace_sid = stage.stage.settings.twilio_workspace_sid
    stage.set(TWILIO_WORKSPACE_SID="WS" + "9" * 32)
    stage_config.set_variables("dev", {"TWILIO_WORKSPACE_SID": workspace_sid})

    results = diagnose(stage)

    assert outcomes(results, Outcome.WRONG) == ["signed_request", "settings"]
    assert results["forged_request"].outcome is Outcome.OK
    assert results["signed_request"].text == (
        "The service's TWILIO_WORKSPACE_SID or TWILIO_ACCOUNT_SID differs from the value for stage "
        "dev in .chalice/config.json. Run: python -m infra deploy --stage dev"
    )


@pytest.mark.parametrize(
    ("status", "is_accepted"), [(200, True), (299, True), (300, False), (500, False)]
)
def test_only_an_accepted_forgery_is_reported_as_dangerous(stage, status, is_accepted):
    stage.faults["POST", "/event_callback"] = (status, {})
    check = next(check for check in CHECKS if check.name == "forged_request")

    with pytest.raises(OperatorError) as error:
        check.examine(stage.subject)

    assert ("Anyone who knows the URL can change records" in str(error.value)) is is_accepted


def test_doctor_records_no_reservation_and_only_reads_from_twilio(stage):
    reserve_without_callback(stage)
    before = len(stage.twilio.log("request"))

    diagnose(stage)

    assert stage.count_records() == 0
    methods = {entry["method"] for entry in stage.twilio.log("request")[before:]}
    assert methods == {"GET"}


def test_recorded_reservation_is_not_reported_as_wrong(stage):
    reserve_without_callback(stage)
    (task,) = stage.workspace.tasks.list()
    (reservation,) = stage.workspace.tasks(task.sid).reservations.list()
    stage.dynamodb.client().put_item(
        TableName=stage.tables.reservations,
        Item={
            "reservation_sid": {"S": reservation.sid},
            "task_sid": {"S": task.sid},
            "worker_sid": {"S": reservation.worker_sid},
            "status": {"S": "pending"},
            "reserved_at": {"N": "1"},
            "expires_at": {"N": "2"},
        },
    )

    assert diagnose(stage)["reservations"].text == "pending Reservations: 1, all recorded"


def test_reservation_whose_callback_may_be_in_transit_is_not_checked(stage):
    reserve_without_callback(stage)
    stage.monkeypatch.setattr(twilio_checks, "CALLBACK_IN_TRANSIT_MS", 15_000)

    assert diagnose(stage)["reservations"].text == "pending Reservations: 0, all recorded"


def test_number_of_checked_tasks_is_limited_and_shown(stage):
    reserve_without_callback(stage)
    stage.monkeypatch.setattr(twilio_checks, "_MAX_TASKS", 0)

    text = diagnose(stage)["reservations"].text

    assert text.endswith("all recorded (only the first 0 reserved Tasks were checked)")


@pytest.mark.parametrize("live_stage", ["127.0.0.2"], indirect=True)
def test_url_without_encryption_is_reported_as_wrong(stage):
    assert outcomes(diagnose(stage), Outcome.WRONG) == ["https"]


def test_workflow_of_another_app_is_not_examined(stage):
    add_workflow(stage, URL)

    assert diagnose(stage)["timeouts"].outcome is Outcome.OK


def test_configured_timeout_of_a_workflow_may_differ_from_the_default(stage):
    add_workflow(
        stage,
        f"{stage.base_url}/assignment_callback",
        RESERVATION_TIMEOUTS_BY_WORKFLOW='{"SID": 90}',
    )

    assert diagnose(stage)["timeouts"].outcome is Outcome.OK


def test_several_wrong_timeouts_are_all_reported(stage):
    add_workflow(stage, f"{stage.base_url}/assignment_callback")
    stage.workflow.update(task_reservation_timeout=100)

    text = diagnose(stage)["timeouts"].text

    assert "after 90 s" in text
    assert "after 100 s" in text


def test_common_cause_is_reported_by_only_one_check(stage):
    stage.set(TWILIO_TASKROUTER_URL="http://127.0.0.1:1")

    results = diagnose(stage)

    assert outcomes(results, Outcome.WRONG) == ["api_key"]
    assert results["auth_token"].cause == results["clock"].cause == "api_key"
    assert results["auth_token"].text == "because of api_key"


@pytest.mark.parametrize(
    ("seconds", "is_ok"), [(10, True), (9.5, True), (11, False), (-10, True), (-11, False)]
)
def test_clocks_may_differ_by_at_most_ten_seconds(seconds, is_ok):
    assert (service_checks.describe_skew({"AWS": 0.0, "Twilio": seconds}) is None) == is_ok


def test_only_the_clock_that_differs_too_much_is_reported():
    text = service_checks.describe_skew({"Twilio": -12.4, "AWS": 1})

    assert text.startswith("This machine's clock is 12 s behind Twilio's clock. Synchronize")


def run_doctor(*options):
    return run_infra("doctor", "--stage", "dev", *options)


def test_command_prints_a_line_for_each_check(stage):
    completed = run_doctor()

    lines = completed.stdout.splitlines()
    assert (completed.returncode, len(lines)) == (0, len(CHECKS))
    assert lines[0] == f"OK          api                {stage.base_url}"


def test_command_fails_if_a_check_finds_something_wrong(stage):
    stage.workflow.update(assignment_callback_url=URL)

    completed = run_doctor()

    assert completed.returncode == 1
    assert f"WRONG       callback_urls      Workflow, assignment callback: {URL} -> " in (
        completed.stdout
    )
    assert "Run: python -m infra deploy --stage dev\n" in completed.stdout


def test_remedy_names_the_file_that_defines_the_workspace(stage):
    content = json.loads(stage_config.CONFIG.read_text())
    content["stages"]["dev"]["workspace_file"] = "own.yaml"
    stage_config.CONFIG.write_text(json.dumps(content))
    stage.workspace.update(event_callback_url="", events_filter="task.created")
    shown = run_doctor().stdout
    command = "Then run: python -m infra deploy --stage dev\n"
    assert f"sure that own.yaml contains these URLs, which begin with ${{api}}. {command}" in shown
    assert "that own.yaml contains these types in events_filter, or `events_filter: null`." in shown


@pytest.mark.parametrize("is_ok", [True, False])
def test_json_contains_the_results(stage, is_ok):
    if not is_ok:
        stage.save_sweep(age=301)

    completed = run_doctor("--json")

    document = json.loads(completed.stdout)
    assert completed.returncode == (0 if is_ok else 1)
    assert (document["stage"], document["ok"], document["left_out"]) == ("dev", is_ok, [])
    (sweep,) = [each for each in document["checks"] if each["name"] == "last_sweep"]
    assert sweep["result"] == ("ok" if is_ok else "wrong")
    assert len(document["checks"]) == len(CHECKS)


def test_no_secret_is_shown(stage):
    stage.store_secrets(auth_tokens=["0" * 32])
    stage.faults["POST", "/event_callback"] = (500, {})

    output = run_doctor().stdout

    for secret in (stage.twilio.auth_token, stage.twilio.api_key_secret, "0" * 32):
        assert secret not in output


def test_every_check_is_documented():
    page = (stage_config.config.PROJECT / "docs/doctor.md").read_text()
    table = page.partition("## Checks")[2].partition("## Probe")[0]
    rows = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)

    assert re.findall(r"`(\w+)`", " ".join(rows)) == [check.name for check in CHECKS]


def refuse(operation):
    """Return a function that fails like an AWS operation that the caller may not use."""

    def fail(*_args, **_kwargs):
        response = {"Error": {"Code": "AccessDeniedException", "Message": "not authorized"}}
        raise ClientError(response, operation)

    return fail


def test_error_for_a_check_without_permission_names_the_operation(stage):
    stage.monkeypatch.setattr(live_state, "schedule_state", refuse("ListRuleNamesByTarget"))

    results = diagnose(stage)

    assert outcomes(results, Outcome.WRONG) == ["schedule"]
    assert "AccessDeniedException for ListRuleNamesByTarget" in results["schedule"].text


def test_repeated_aws_error_is_reported_only_by_the_first_check(stage):
    for name in ("schedule_state", "active_alarms"):
        stage.monkeypatch.setattr(live_state, name, refuse("AssumeRole"))

    results = diagnose(stage)

    assert outcomes(results, Outcome.WRONG) == ["schedule"]
    assert (results["alarms"].outcome, results["alarms"].cause) == ("not checked", "schedule")


@pytest.mark.parametrize(
    ("status", "outcome"), [(200, Outcome.WRONG), (401, Outcome.OK), (403, Outcome.OK)]
)
def test_only_a_main_key_is_reported_as_wrong(stage, status, outcome):
    stage.faults["GET", f"/2010-04-01/Accounts/{stage.twilio.account_sid}/Keys.json?PageSize=1"] = (
        status,
        {"keys": [], "page": 0, "page_size": 1, "next_page_uri": None},
    )
    stage.monkeypatch.setattr(twilio_account, "TASKROUTER_URL", stage.twilio.url)
    stage.monkeypatch.setattr(twilio_account, "_API_URL", stage.base_url)

    result = diagnose(stage)["api_key_scope"]

    assert result.outcome is outcome
    assert ("is a main key" in result.text) == (outcome is Outcome.WRONG)


def test_failure_to_list_the_keys_is_reported(stage):
    stage.faults["GET", f"/2010-04-01/Accounts/{stage.twilio.account_sid}/Keys.json?PageSize=1"] = (
        503,
        {},
    )
    stage.monkeypatch.setattr(twilio_account, "TASKROUTER_URL", stage.twilio.url)
    stage.monkeypatch.setattr(twilio_account, "_API_URL", stage.base_url)

    assert diagnose(stage)["api_key_scope"].text.startswith("Twilio failed with HTTP status 503")


def test_unanswered_request_for_the_keys_is_reported_with_a_remedy(stage):
    stage.monkeypatch.setattr(twilio_account, "TASKROUTER_URL", stage.twilio.url)
    stage.monkeypatch.setattr(twilio_account, "_API_URL", "http://127.0.0.1:1")

    text = diagnose(stage)["api_key_scope"].text

    assert text.startswith("Twilio's API at http://127.0.0.1:1 ")
    assert text.endswith("Check the network and run the command again.")


def test_secret_segment_is_not_shown_if_a_request_fails(stage):
    subject = stage.subject
    subject.base_url = "http://127.0.0.1:1"
    subject.stage.__dict__["settings"] = replace(
        subject.stage.settings, callback_path_secrets=("first-secret_0123456",)
    )
    check = next(check for check in CHECKS if check.name == "forged_request")

    with pytest.raises(OperatorError, match="127.0.0.1:1/.../event_callback failed: Conn") as error:
        check.examine(subject)

    assert "first-secret" not in str(error.value)


def test_undeployed_stage_is_reported_as_the_only_cause(stage):
    stage.is_deployed = False

    results = diagnose(stage)

    causes = {result.cause for result in results.values() if result.outcome == "not checked"}
    assert causes == {"api"}
    assert results["api"].text.endswith("Run: python -m infra deploy --stage dev")


def test_local_stage_is_checked_without_aws(taskrouter, dynamodb, tables, monkeypatch):
    environ = {
        **dynamodb.environ,
        "RESERVATIONS_TABLE": tables.reservations,
        "STATE_TABLE": tables.state,
        "TWILIO_TASKROUTER_URL": taskrouter.url,
        "PUBLIC_BASE_URL": "http://127.0.0.1:1",
    }

    completed = run_infra("doctor", "--stage", "local", "--json", **environ)

    document = json.loads(completed.stdout)
    results = {check["name"]: check["result"] for check in document["checks"]}
    in_aws = [check.name for check in CHECKS if check.in_aws]
    assert document["left_out"] == in_aws
    assert [name for name, result in results.items() if result == "wrong"] == [
        "callback_urls",
        "reachable",
        "last_sweep",
    ]
    assert results["workflow"] == results["reservations_table"] == results["timeouts"] == "ok"
    assert results.keys() == {check.name for check in CHECKS} - {*in_aws}


def test_local_stage_needs_no_aws_profile_and_a_stopped_stack_is_reported(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nonexistent")
    unreachable = {"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1"}

    lines = run_infra("doctor", "--stage", "local", **unreachable).stdout.splitlines()

    (line,) = (line for line in lines if " reservations_table " in line)
    assert line.startswith("WRONG ")
    assert line.endswith("can't be reached: connection refused. Start the local stack: make run")
    assert "secrets            1 auth token, 1 API key, 0 shared keys" in "\n".join(lines)


def test_skipped_checks_are_listed(taskrouter, dynamodb, tables):
    completed = run_infra("doctor", "--stage", "local", **dynamodb.environ)

    (last,) = completed.stdout.splitlines()[-1:]
    assert last.startswith(
        "These checks were skipped, because the stage is not in AWS: table_settings, settings, "
    )
