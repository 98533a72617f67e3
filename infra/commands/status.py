"""Command that shows the state of a stage, and the smoke test."""

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import click
import requests
from botocore.exceptions import BotoCoreError, ClientError
from requests.exceptions import InvalidProxyURL, ProxyError, SSLError

from chalicelib import __version__
from chalicelib.domain.messages import describe_connection_failure
from infra import OperatorError, format_duration
from infra.aws import Aws, chalice_record, live_state, stacks, stage_config
from infra.aws.config_file import FILE
from infra.aws.live_state import MISSING
from infra.aws.stage_config import Stage
from infra.commands import (
    cloud_stage_option,
    connect_to_stage,
    connection,
    describe_error,
    describe_undeployed,
    report_errors,
)
from infra.commands.dialog import progress

SMOKE_TEST_ROUTE = "/assignment_callback/fallback"
"""Route of the smoke test's unsigned request.

The test does not use /assignment_callback, because an alarm counts refused requests to that route.
"""

_INDENT = 19
"""Width of the column with the names of the parts."""

_OK = "ok"
_TIME_FORMAT = "%Y-%m-%d %H:%M:%S UTC"
_NOT_DEPLOYED = "not deployed"
_NOT_CHECKED = "not checked"
_STACK_MISSING = "stack missing"
_RETRY_SECONDS = 2
_REQUEST_SECONDS = 15


class UnreachableError(OperatorError):
    """This machine cannot connect to a URL. Other clients may be able to connect."""


@click.command()
@cloud_stage_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@report_errors
def status(stage_name: str, *, as_json: bool) -> None:
    """Show the URLs, tables, schedule, last sweep and alarms of a stage.

    Exit code 1: a part of the stage is missing or does not work, the callback URLs or the event
    filter in Twilio must change, an alarm is active, or nobody receives the alarms.
    """
    stage = stage_config.read(stage_name, allow_empty_sids=True)
    aws = connect_to_stage(stage)
    report = describe(aws, stage)
    if as_json:
        # boto3 returns DynamoDB's numbers as Decimal. All numbers in the report are integers.
        click.echo(json.dumps(report, default=int))
    else:
        for name, value in report.items():
            click.echo(f"{name:{_INDENT}}{_format(value, now=time.time())}")
    if report["url"] == _NOT_DEPLOYED:
        click.echo(
            f"{describe_undeployed(aws, stage)} Run: python -m infra deploy --stage {stage_name}",
            err=True,
        )
    elif report["alarm_subscribers"] == 0:
        click.echo(
            "Nobody receives the alarms. To subscribe, run the following command, and confirm the "
            "subscription in the email that AWS sends: python -m infra deploy --stage "
            f"{stage_name} --alarm-email you@example.com",
            err=True,
        )
    raise SystemExit(0 if report["ok"] else 1)


def describe(aws: Aws, stage: Stage) -> dict[str, Any]:
    """Return the state of each part of a stage, or an error message if a state can't be read.

    "ok" is true if no part has a problem.
    """
    outputs = stacks.outputs(aws, stage)
    topic = outputs.get("AlarmTopic")
    bucket = outputs.get("Deployments")
    url = _or_error(lambda: chalice_record.public_url(aws, stage, bucket) or _NOT_DEPLOYED)
    answers = _or_error(lambda: _smoke_test_result(url, stage.settings.callback_prefixes[0]))
    callback_urls = _or_error(lambda: _callback_urls(aws, stage, url))
    tables = {
        table: _or_error(lambda table=table: live_state.table_status(aws, table))  # type: ignore[misc]
        for table in (stage.settings.reservations_table, stage.settings.state_table)
    }
    schedule = _or_error(lambda: live_state.schedule_state(aws, stage))
    # After `destroy`, the stack contains only the tables.
    missing = MISSING if outputs or stacks.exists(aws, stage) else _STACK_MISSING
    alarms = _or_error(lambda: live_state.active_alarms(aws, stage)) if outputs else missing
    subscribers = _or_error(lambda: len(live_state.list_subscribers(aws, topic))) if topic else 0
    return {
        "url": url,
        "answers": answers,
        "callback_urls": callback_urls,
        "tables": tables,
        "schedule": schedule,
        "last_sweep": _or_error(lambda: live_state.last_sweep(aws, stage) or "none yet"),
        "alarms": alarms,
        "alarm_topic": topic or missing,
        "alarm_subscribers": subscribers,
        "ok": isinstance(subscribers, int)
        and subscribers > 0
        and set(tables.values()) == {"ACTIVE"}
        and (answers, callback_urls, schedule, alarms) == (_OK, _OK, "ENABLED", []),
    }


def smoke_test(base_url: str, callback_prefix: str, *, max_seconds: float = 60) -> None:
    """Check that a URL serves this version and refuses an unsigned callback.

    Args:
        base_url: The base URL of the routes, including the API's stage if there is one.
        callback_prefix: Path prefix of the routes that Twilio calls, or "". The prefix is secret,
            so no message contains it.
        max_seconds: Time limit for retries. API Gateway serves a new deployment after a delay.

    Raises:
        UnreachableError: This machine cannot connect to the URL.
        OperatorError: A check failed.
    """
    deadline = time.monotonic() + max_seconds
    problem = f"{base_url} has not responded yet."
    with progress(lambda: problem):
        while True:
            try:
                return _check(base_url, callback_prefix)
            except OperatorError as error:
                if time.monotonic() > deadline:
                    raise
                problem = str(error)
            time.sleep(_RETRY_SECONDS)


def _check(base_url: str, callback_prefix: str) -> None:
    try:
        health = requests.get(f"{base_url}/health", timeout=_REQUEST_SECONDS)
        if _value(health, "version") != __version__:
            raise OperatorError(
                f"{base_url}/health did not report version {__version__} (HTTP status "
                f"{health.status_code})."
            )
        url = f"{base_url}{callback_prefix}{SMOKE_TEST_ROUTE}"
        unsigned = requests.post(url, data={"Unsigned": "1"}, timeout=_REQUEST_SECONDS)
    except requests.RequestException as error:
        if isinstance(error, (requests.ConnectionError, InvalidProxyURL)):
            message = f"{base_url} can't be reached from this machine: {_describe_failure(error)}."
            raise UnreachableError(message) from error
        cause = _describe_response_failure(error)
        raise OperatorError(f"{base_url} did not respond correctly ({cause}).") from error
    code = _value(unsigned, "Code")
    # By default, API Gateway also returns 403 for unknown routes, so `Code` is checked too.
    if (unsigned.status_code, code) != (403, "InvalidSignature"):
        result = f"{unsigned.status_code} {code}" if code else str(unsigned.status_code)
        raise OperatorError(
            f"An unsigned callback returned {result}, not 403 InvalidSignature. See the runbook "
            "'callbacks fail' in docs/operations.md."
        )


def _describe_failure(error: requests.RequestException) -> str:
    match error:
        case ProxyError() | InvalidProxyURL():
            return "the proxy failed"
        case SSLError():
            # A proxy that inspects TLS connections presents its own certificate.
            return "its TLS certificate can't be verified"
        case requests.ConnectTimeout():
            return "the connection timed out"
    _, found, cause = describe_connection_failure("", error).rpartition(": ")
    return cause if found else "the connection was closed"


def _describe_response_failure(error: requests.RequestException) -> str:
    match error:
        case requests.Timeout():
            return "no response in time"
        case requests.TooManyRedirects():
            return "too many redirects"
    return "malformed response"


def _value(response: requests.Response, name: str) -> Any:
    try:
        body = response.json()
    except ValueError:
        return None
    return body.get(name) if isinstance(body, dict) else None


def _or_error(read: Callable[[], Any]) -> Any:
    """Return the result of *read*, "missing" if AWS finds no such resource, or an error message."""
    try:
        return read()
    except (OperatorError, ClientError, BotoCoreError) as error:
        response = error.response if isinstance(error, ClientError) else {}
        if response.get("Error", {}).get("Code") == "ResourceNotFoundException":
            return MISSING
        return describe_error(error)


def _smoke_test_result(url: str, callback_prefix: str) -> str:
    if not url.startswith("http"):
        return _NOT_CHECKED
    smoke_test(url, callback_prefix, max_seconds=0)
    return _OK


def _callback_urls(aws: Aws, stage: Stage, url: str) -> Any:
    """Return the changes that make TaskRouter call this stage; "ok" if none are needed.

    The result begins with "not checked" if the API's URL is not known or a SID is not set.
    """
    if not url.startswith("http"):
        return _NOT_CHECKED
    if empty := stage_config.empty_sids(stage.name):
        return f"{_NOT_CHECKED}, because {FILE} does not set {', '.join(empty)}"
    workspace = connection.open_workspace(aws, stage)
    changes = connection.find_changes(workspace, url, stage.settings.callback_prefixes[0])
    return changes.lines or _OK


def _format(value: Any, *, now: float) -> str:
    if isinstance(value, dict):
        if "at" in value:
            return _format_sweep(value, now)
        return ", ".join(f"{name} {item}" for name, item in value.items())
    if isinstance(value, list):
        return f"\n{'':{_INDENT}}".join(value) or "none active"
    return str(value)


def _format_sweep(sweep: Mapping[str, Any], now: float) -> str:
    """Return the time, the duration and the result of a sweep as one line."""
    seconds = int(sweep["at"]) / 1000
    started = datetime.fromtimestamp(seconds, UTC)
    errors = ", ".join(f"{code} ({count})" for code, count in sweep.get("errors", {}).items())
    return (
        f"{started:{_TIME_FORMAT}} ({format_duration(now - seconds)} ago), "
        f"{int(sweep['due'])} due, took {int(sweep['duration_ms']) / 1000:.1f} s, "
        + (_OK if sweep["ok"] else f"failed: {errors}")
    )
