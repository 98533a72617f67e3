"""The state of a stage's tables, schedule, last sweep and alarms in AWS."""

from collections.abc import Mapping
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from chalicelib.adapters.dynamodb.jobs import LAST_SWEEP
from infra.aws import Aws
from infra.aws.stage_config import SWEEP, Stage

MISSING = "missing"
"""The state of a part that does not exist."""


def table_status(aws: Aws, name: str) -> str:
    """Return the status of a table, such as ACTIVE."""
    described = aws.client("dynamodb").describe_table(TableName=name)
    return str(described["Table"]["TableStatus"])


def schedule_state(aws: Aws, stage: Stage) -> str:
    """Return the state of the rule that starts the sweep.

    The rule is found by its target, because CloudFormation generates rule names.
    """
    name = stage.function(SWEEP)
    arn = f"arn:{aws.partition}:lambda:{aws.region}:{aws.account}:function:{name}"
    events = aws.client("events")
    rules = events.list_rule_names_by_target(TargetArn=arn)["RuleNames"]
    states = {events.describe_rule(Name=rule)["State"] for rule in rules}
    return ", ".join(sorted(states)) or MISSING


def last_sweep(aws: Aws, stage: Stage) -> dict[str, Any]:
    """Return the result of the last sweep, or an empty dict if no sweep has finished."""
    response = aws.client("dynamodb").get_item(
        TableName=stage.settings.state_table, Key={"id": {"S": LAST_SWEEP}}
    )
    deserialize = TypeDeserializer().deserialize
    item = response.get("Item", {})
    return {name: deserialize(value) for name, value in item.items()}


def read_alarms(aws: Aws, stage: Stage) -> dict[str, Mapping[str, Any]]:
    """Return the alarms by name. The names omit the stack's prefix."""
    pages = aws.client("cloudwatch").get_paginator("describe_alarms")
    prefix = f"{stage.stack}-"
    alarms = {
        alarm["AlarmName"].removeprefix(prefix): alarm
        for page in pages.paginate(AlarmNamePrefix=prefix)
        for alarm in page["MetricAlarms"]
    }
    # The prefix of the stage dev also matches the alarms of the stage dev-2. A hyphen after the
    # prefix identifies the alarms of such a stage.
    return {name: alarm for name, alarm in alarms.items() if "-" not in name}


def active_alarms(aws: Aws, stage: Stage) -> list[str]:
    """Return the names of the active alarms, without the prefix of the stack."""
    alarms = read_alarms(aws, stage)
    return [name for name, alarm in alarms.items() if alarm["StateValue"] == "ALARM"]


def list_subscribers(aws: Aws, topic: str) -> list[str]:
    """Return the endpoints of the confirmed subscriptions, such as email addresses.

    SNS also lists pending and deleted subscriptions, but without their ARNs.
    """
    pages = aws.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
    return [
        item["Endpoint"]
        for page in pages
        for item in page["Subscriptions"]
        if item["SubscriptionArn"].startswith("arn:")
    ]
