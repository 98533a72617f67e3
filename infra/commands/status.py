"""What a stage looks like from the operator's desk."""

import json
from collections.abc import Callable
from typing import Any

import click
from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.adapters.dynamodb.reservations import LAST_SWEEP
from infra import smoke_test
from infra.aws import chalice_record, session, stacks, stage_config
from infra.aws.session import Aws
from infra.aws.stage_config import SWEEP, Stage
from infra.commands.common import cloud_stage_option, told
from infra.errors import OperatorError

_NOWHERE = "not deployed"


@click.command()
@cloud_stage_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@told
def status(stage: str, *, as_json: bool) -> None:
    """Show URL, tables, schedule, last sweep and alarms of a stage.

    Exit code 1: something is not as it should be.
    """
    target, place = stage_config.read(stage), session.here()
    found = look(place, target)
    if as_json:
        # DynamoDB's numbers, all of them whole.
        click.echo(json.dumps(found, default=int))
    else:
        for name, value in found.items():
            click.echo(f"{name:17}  {_line(value)}")
    raise SystemExit(0 if found["ok"] else 1)


def look(place: Aws, stage: Stage) -> dict[str, Any]:
    """Ask for all of it; what can't be told says why instead."""
    outputs = stacks.outputs(place, stage)
    url = _told(lambda: _url(place, stage, outputs.get("Deployments")))
    answers = _told(lambda: _answers(url))
    tables = {
        table: _told(lambda table=table: _table(place, table))  # type: ignore[misc]
        for table in (stage.settings.reservations_table, stage.settings.state_table)
    }
    schedule = _told(lambda: _schedule(place, stage))
    alarms = _told(lambda: _alarms(place, stage))
    topic = outputs.get("AlarmTopic")
    return {
        "url": url,
        "answers": answers,
        "tables": tables,
        "schedule": schedule,
        "last_sweep": _told(lambda: _last_sweep(place, stage)),
        "alarms": alarms,
        "alarm_topic": topic or "none",
        "alarm_subscribers": _told(lambda: _subscribers(place, topic)) if topic else 0,
        "ok": topic is not None
        and set(tables.values()) == {"ACTIVE"}
        and (answers, schedule, alarms) == ("as it should", "ENABLED", []),
    }


def _told(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except (OperatorError, ClientError, BotoCoreError) as error:
        return str(error)


def _url(place: Aws, stage: Stage, bucket: str | None) -> str:
    return chalice_record.url(place, stage, bucket) or _NOWHERE


def _answers(url: str) -> str:
    if not url.startswith("http"):
        return "not at all"
    smoke_test.check(url, patience=0)
    return "as it should"


def _table(place: Aws, name: str) -> str:
    described = place.client("dynamodb").describe_table(TableName=name)
    return str(described["Table"]["TableStatus"])


def _schedule(place: Aws, stage: Stage) -> str:
    """Tell the state of the rule that starts the sweep; CloudFormation names it as it likes."""
    name = stage.function(SWEEP)
    arn = f"arn:{place.partition}:lambda:{place.region}:{place.account}:function:{name}"
    events = place.client("events")
    rules = events.list_rule_names_by_target(TargetArn=arn)["RuleNames"]
    states = {events.describe_rule(Name=rule)["State"] for rule in rules}
    return ", ".join(sorted(states)) or "none"


def _last_sweep(place: Aws, stage: Stage) -> Any:
    item = place.client("dynamodb").get_item(
        TableName=stage.settings.state_table, Key={"id": {"S": LAST_SWEEP}}
    )
    deserialize = TypeDeserializer().deserialize
    return {name: deserialize(value) for name, value in item.get("Item", {}).items()} or "none yet"


def _alarms(place: Aws, stage: Stage) -> list[str]:
    """Name the alarms that fire."""
    pages = place.client("cloudwatch").get_paginator("describe_alarms")
    prefix = f"{stage.app}-{stage.name}-"
    return [
        alarm["AlarmName"].removeprefix(prefix)
        for page in pages.paginate(AlarmNamePrefix=prefix, StateValue="ALARM")
        for alarm in page["MetricAlarms"]
    ]


def _subscribers(place: Aws, topic: str) -> int:
    attributes = place.client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]
    return int(attributes["SubscriptionsConfirmed"])


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return str(value)
