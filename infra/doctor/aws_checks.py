"""Checks of the stage's AWS resources."""

from collections.abc import Iterator, Mapping
from typing import Any

from infra import OperatorError, format_duration
from infra.aws import api_settings, capacity, live_state, stacks, stage_config, template
from infra.aws.stage_config import API, SWEEP
from infra.doctor.report import Check
from infra.doctor.subject import Subject

_MAX_SWEEP_AGE_SECONDS = 5 * 60
"""Maximum age of the last sweep. Sweeps run every minute, so an older sweep indicates a problem."""


_ATTEMPTS = 3
"""Maximum number of attempts to describe a table. With this limit, the check fails quickly if
DynamoDB is unreachable."""


def _check_reservations_table(subject: Subject) -> str:
    return _check_table(subject, "Reservations")


def _check_state_table(subject: Subject) -> str:
    return _check_table(subject, "State")


def _table_name(subject: Subject, logical_id: str) -> str:
    settings = subject.stage.settings
    return {"Reservations": settings.reservations_table, "State": settings.state_table}[logical_id]


def _check_table(subject: Subject, logical_id: str) -> str:
    name = _table_name(subject, logical_id)
    client = subject.aws.client("dynamodb", attempts=_ATTEMPTS)
    table = client.describe_table(TableName=name)["Table"]
    if table["TableStatus"] != "ACTIVE":
        raise OperatorError(f"The table {name} is {table['TableStatus']}. Wait until it is ACTIVE.")
    declared = _declared(logical_id)
    if stacks.keys(table) != stacks.keys(declared) or _projections(table) != _projections(declared):
        raise OperatorError(
            f'The keys or indexes of the table {name} differ from infra/stage.yaml. See "Restore '
            'a table" in docs/operations.md.'
        )
    return f"{name} has the keys and indexes declared in infra/stage.yaml"


def _declared(logical_id: str) -> dict[str, Any]:
    declared: dict[str, Any] = template.read()["Resources"][logical_id]["Properties"]
    return declared


def _projections(table: Mapping[str, Any]) -> dict[str, tuple[str, set[str]]]:
    """Return the type and the attributes of each index's projection, by index name."""
    indexes = table.get("GlobalSecondaryIndexes", [])
    return {
        index["IndexName"]: (
            index["Projection"]["ProjectionType"],
            set(index["Projection"].get("NonKeyAttributes", [])),
        )
        for index in indexes
    }


def _check_table_settings(subject: Subject) -> str:
    problems = [
        problem
        for logical_id in ("Reservations", "State")
        for problem in _table_problems(subject, logical_id)
    ]
    if problems:
        raise OperatorError(" | ".join(problems))
    return "expiry, point-in-time recovery, deletion protection and on-demand capacity are enabled"


def _table_problems(subject: Subject, logical_id: str) -> Iterator[str]:
    """Yield a problem and its remedy for each checked table setting that differs from the template.

    CloudFormation does not correct a setting that was changed outside the stack.
    """
    dynamodb, name = subject.aws.client("dynamodb"), _table_name(subject, logical_id)
    table = dynamodb.describe_table(TableName=name)["Table"]
    expiry = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    attribute = _declared(logical_id)["TimeToLiveSpecification"]["AttributeName"]
    billing = _declared(logical_id)["BillingMode"]
    update = f"aws dynamodb update-table --table-name {name}"
    if table.get("BillingModeSummary", {}).get("BillingMode") != billing:
        yield f"The capacity of {name} is limited. Run: {update} --billing-mode {billing}"
    if not table.get("DeletionProtectionEnabled"):
        yield f"{name} can be deleted by mistake. Run: {update} --deletion-protection-enabled"
    if (
        not expiry["TimeToLiveStatus"].startswith("ENABL")
        or expiry.get("AttributeName") != attribute
    ):
        yield (
            f"The items of {name} do not expire. Run: aws dynamodb update-time-to-live "
            f"--table-name {name} --time-to-live-specification "
            f"Enabled=true,AttributeName={attribute}"
        )
    recovery = backups.get("PointInTimeRecoveryDescription", {})
    if recovery.get("PointInTimeRecoveryStatus") != "ENABLED":
        yield (
            f"{name} has no point-in-time recovery. Run: aws dynamodb update-continuous-backups "
            f"--table-name {name} --point-in-time-recovery-specification "
            "PointInTimeRecoveryEnabled=true"
        )


def _check_logs(subject: Subject) -> str:
    days = template.read()["Parameters"]["LogRetentionDays"]["Default"]
    for name in _log_groups(subject):
        groups = subject.aws.client("logs").describe_log_groups(logGroupNamePrefix=name)
        by_name = {group["logGroupName"]: group for group in groups["logGroups"]}
        if name not in by_name:
            raise OperatorError(f"There is no log group {name}. {_redeploy_hint(subject)}")
        if (actual := by_name[name].get("retentionInDays")) != days:
            period = "unlimited" if not actual else f"{actual} day{'s' * (actual > 1)}"
            raise OperatorError(
                f"The retention of the log group {name} is {period}, not {days} days. Run: aws "
                f"logs put-retention-policy --log-group-name {name} --retention-in-days {days}"
            )
    return f"the log groups keep their lines for {days} days"


def _log_groups(subject: Subject) -> list[str]:
    stage = subject.stage
    groups = [stage.log_group(handler) for handler in (API, SWEEP)]
    return [*groups, stage.access_log_group] if stage.access_logs else groups


def _redeploy_hint(subject: Subject) -> str:
    return f"Run: python -m infra deploy --stage {subject.stage.name}"


def _check_settings(subject: Subject) -> str:
    """Compare the variables of the functions with config.json, without showing their values."""
    for handler in (API, SWEEP):
        function_name = subject.stage.function(handler)
        client = subject.aws.client("lambda")
        function = client.get_function_configuration(FunctionName=function_name)
        actual = function.get("Environment", {}).get("Variables", {})
        declared = stage_config.function_variables(subject.stage.name, handler)
        names = sorted(name for name in declared | actual if declared.get(name) != actual.get(name))
        if names:
            raise OperatorError(
                f"The function {function_name} was deployed with values of {', '.join(names)} that "
                f"differ from .chalice/config.json. {_redeploy_hint(subject)}"
            )
    return "the functions have the settings in .chalice/config.json"


def _check_schedule(subject: Subject) -> str:
    state = live_state.schedule_state(subject.aws, subject.stage)
    if state != "ENABLED":
        raise OperatorError(
            f"The schedule of the sweep is {state}. See SweepSilent in docs/operations.md."
        )
    return "the sweep is scheduled"


def _check_last_sweep(subject: Subject) -> str:
    sweep = live_state.last_sweep(subject.aws, subject.stage)
    if not sweep:
        raise OperatorError("No sweep has finished yet. If the stage is new, wait two minutes.")
    age = subject.now() - int(sweep["at"]) / 1000
    if age > _MAX_SWEEP_AGE_SECONDS:
        raise OperatorError(
            f"The last sweep started {format_duration(age)} ago. See SweepSilent in "
            "docs/operations.md."
        )
    if not sweep["ok"]:
        errors = ", ".join(sweep.get("errors", {}))
        raise OperatorError(
            f"The last sweep failed: {errors}. See SweepFails in docs/operations.md."
        )
    return f"{format_duration(age)} ago"


def _check_alarms(subject: Subject) -> str:
    if active := live_state.active_alarms(subject.aws, subject.stage):
        raise OperatorError(
            f"Active alarms: {', '.join(active)}. See the sections with these names in "
            "docs/operations.md."
        )
    alarms = live_state.read_alarms(subject.aws, subject.stage)
    resources = template.read()["Resources"]
    declared = [name for name in resources if resources[name]["Type"] == "AWS::CloudWatch::Alarm"]
    if missing := [name for name in declared if name not in alarms]:
        raise OperatorError(
            f"Missing alarms: {', '.join(missing)}. Create these alarms as declared in "
            "infra/stage.yaml. A deployment does not restore alarms that were deleted outside the "
            "stack."
        )
    if silent := [alarms[name]["AlarmName"] for name in declared if _is_silent(alarms[name])]:
        raise OperatorError(
            "Alarms notify nobody, because their actions are disabled. Run: aws cloudwatch "
            f"enable-alarm-actions --alarm-names {' '.join(silent)}"
        )
    return "all alarms in infra/stage.yaml exist, and none is active"


def _is_silent(alarm: Mapping[str, Any]) -> bool:
    return not alarm["ActionsEnabled"]


def _check_alarm_subscribers(subject: Subject) -> str:
    topic = subject.outputs.get("AlarmTopic")
    if topic is None:
        raise OperatorError(f"The alarms have no topic. {_redeploy_hint(subject)}")
    count = len(live_state.list_subscribers(subject.aws, topic))
    if not count:
        raise OperatorError(
            "Nobody has confirmed a subscription to the alarms. Follow the link in the email "
            f"from AWS, or run: python -m infra deploy --stage {subject.stage.name} "
            "--alarm-email you@example.com"
        )
    return f"{count} confirmed"


def _check_concurrency(subject: Subject) -> str:
    concurrency = capacity.read_concurrency(subject.aws, subject.stage)
    hint = api_settings.describe_low_concurrency(subject.aws, subject.stage, concurrency)
    if hint:
        raise OperatorError(hint)
    return f"the API may use {concurrency} concurrent executions"


TABLE_CHECKS = (
    Check("reservations_table", _check_reservations_table),
    Check("state_table", _check_state_table),
    Check(
        "table_settings",
        _check_table_settings,
        needs=("reservations_table", "state_table"),
        in_aws=True,
    ),
)

CHECKS = (
    Check("settings", _check_settings, needs=("api",), in_aws=True),
    Check("logs", _check_logs, needs=("api",), in_aws=True),
    Check("schedule", _check_schedule, needs=("api",), in_aws=True),
    Check("last_sweep", _check_last_sweep, needs=("state_table",)),
    Check("alarms", _check_alarms, needs=("api",), in_aws=True),
    Check("alarm_subscribers", _check_alarm_subscribers, needs=("api",), in_aws=True),
    Check("concurrency", _check_concurrency, in_aws=True),
)
