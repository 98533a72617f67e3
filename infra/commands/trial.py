"""Creates a test Task, and waits for its callback to arrive at the deployed stage."""

import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import click

from chalicelib.domain.instructions import without_secrets
from chalicelib.domain.json_text import JsonError, parse_json_object
from infra import OperatorError
from infra.aws import Aws
from infra.aws.stage_config import API, Stage
from infra.commands import open_store
from infra.commands import secrets as stored_secrets
from infra.commands.connection import describe_remedy, find_changes
from infra.commands.dialog import Dialog, ask
from infra.twilio_account import Workspace

_MARKER = {"taskrouter_callbacks_test": True}
"""Attribute of every test Task, so that reports can exclude test Tasks."""

_WATCH_SECONDS = 30
_POLL_SECONDS = 1
_LOG_SECONDS = 15
"""Maximum additional wait for the log lines of a failed callback. CloudWatch returns them late."""

_TASK_SECONDS = 300
"""Lifetime of a test Task if this command can't end the Task."""

_MAX_ATTRIBUTES_LENGTH = 4096
"""Maximum length of a Task's attributes (Twilio's documentation, "TaskRouter Limits")."""

_CLOCK_SKEW_SECONDS = 60
"""Maximum difference between the clocks of this machine and of AWS."""

_CALLBACK_ROUTE = "/assignment_callback"
"""The route whose log lines explain a missing callback. The smoke test uses the fallback route, so
that its refused request is not mistaken for a callback."""

_COMPARISON = re.compile(
    r"""\s*(?P<name>[A-Za-z_$][\w$]*|\d+)\s*==?\s*(?P<value>"[^"]*"|'[^']*'|\d+)\s*""", re.ASCII
)
"""A comparison in a Workflow's expression, such as ``selected_language == "es"`` or ``1 == 1``."""

_ATTRIBUTES_HINT = "Pass attributes that match a filter: --try-attributes '{...}'"

_MISMATCH = "match no filter of the Workflow, which has no default filter."

_BAD_REQUEST = 400
_FORBIDDEN = 403


class ImpossibleTrial(OperatorError):
    """No test Task was created.

    No Worker could be reserved, no callback could arrive, or no attributes could be derived.
    """


def parse_attributes(text: str) -> str:
    """Return the attributes of a test Task, including its marker, as JSON text.

    Raises:
        click.BadParameter: The text is not a JSON object, or is too long.
    """
    try:
        attributes = json.dumps(_MARKER | parse_json_object(text))
    except JsonError as error:
        raise click.BadParameter(
            f"The text with the Task's attributes is not a valid JSON object: {error}."
        ) from error
    if len(attributes) > _MAX_ATTRIBUTES_LENGTH:
        raise click.BadParameter(
            f"The attributes must have at most {_MAX_ATTRIBUTES_LENGTH} characters."
        )
    return attributes


def run(
    aws: Aws,
    stage: Stage,
    workspace: Workspace,
    dialog: Dialog,
    *,
    base_url: str,
    attributes: str | None,
) -> None:
    """Create a test Task unless the operator declines, wait for its callback, and end the Task.

    Args:
        aws: The account and region.
        stage: The deployed stage.
        workspace: The Workspace with the Workflow.
        dialog: Asks the operator.
        base_url: The base URL of the routes, including the API's stage if there is one.
        attributes: JSON text of the Task's attributes. If None, the operator enters the attributes
            or, without a prompt, the command derives attributes that match a filter.

    Raises:
        ImpossibleTrial: No Worker could be reserved, no callback could arrive, or no attributes
            could be derived.
        OperatorError: No callback arrived. The message states the reason.
    """
    routes = _read_routes(stage, workspace, base_url)
    _list_workers(stage, workspace, routes, "the Workflow's TaskQueues")
    if attributes is None:
        attributes = _choose_attributes(workspace, dialog, routes)
    possible = _possible_routes(attributes, routes)
    if not possible:
        raise ImpossibleTrial(
            f"No test Task was created, because the attributes {_MISMATCH} {_ATTRIBUTES_HINT}"
        )
    place = "the TaskQueues that may receive the Task"
    workers = _list_workers(stage, workspace, possible, place)
    click.echo(f"Available Workers in {place}: {', '.join(workers)}", err=True)
    question = "Create the test Task, which reserves one of these Workers for a few seconds?"
    if dialog.is_interactive and not dialog.confirm(question):
        return
    with _test_task(workspace, attributes) as task_sid:
        reservation, answer = _watch(aws, stage, workspace, task_sid)
        click.echo(
            f"The callback for Reservation {reservation.sid} (Worker {reservation.worker_name}) "
            f"arrived. The answer was {json.dumps(answer)}.",
            err=True,
        )


@dataclass(frozen=True)
class _Route:
    """A filter or the default filter of a Workflow.

    Attributes:
        expression: The filter's expression; None for the default filter.
        name: The filter's name.
        queues: SIDs of the TaskQueues.
        may_pass_on: Whether a matching Task may continue to a later filter, because a target is
            skipped or times out.
    """

    expression: str | None
    name: str
    queues: list[str]
    may_pass_on: bool = False

    @property
    def attributes(self) -> dict[str, Any] | None:
        """Attributes that match the expression, or None if it is not simple.

        A simple expression consists of equality comparisons with literals, joined by AND.
        """
        if self.expression is None:
            return {}
        attributes = {}
        for part in re.split(r"\sAND\s", self.expression, flags=re.IGNORECASE):
            comparison = _COMPARISON.fullmatch(part)
            if comparison is None:
                return None
            name, value = comparison["name"], comparison["value"]
            if not name.isdigit():
                attributes[name] = int(value) if value.isdigit() else value[1:-1]
            elif name != value:
                return None
        return attributes


def _parse_routes(configuration: str) -> list[_Route]:
    """Return the filters of a Workflow, and its default filter at the end."""
    try:
        routing = json.loads(configuration)["task_routing"]
        filters, default = routing.get("filters") or [], routing.get("default_filter")
        routes = [
            _Route(
                expression=str(item.get("expression")),
                name=str(item.get("filter_friendly_name", "Filter")),
                queues=[
                    target["queue"] for target in item.get("targets") or [item] if "queue" in target
                ],
                may_pass_on=any(
                    "skip_if" in target or "timeout" in target
                    for target in item.get("targets") or []
                ),
            )
            for item in filters
        ]
        if default and "queue" in default:
            routes.append(_Route(expression=None, name="Default filter", queues=[default["queue"]]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OperatorError("The configuration of the Workflow can't be read.") from error
    return routes


def _read_routes(stage: Stage, workspace: Workspace, base_url: str) -> list[_Route]:
    """Return the routes of the Workflow, if its callback URLs belong to this deployment.

    Raises:
        ImpossibleTrial: Callbacks are sent to other URLs, or the Workflow has no route.
    """
    if find_changes(workspace, base_url, stage.settings.callback_prefixes[0]).workflow:
        remedy = describe_remedy(stage, "the callback URLs, which begin with ${api}")
        raise ImpossibleTrial(
            "No test Task was created, because the Workflow's callback URLs are not the URLs of "
            f"this deployment. {remedy} --yes --try"
        )
    routes = _parse_routes(workspace.fetch_workflow().configuration)
    if not routes:
        raise ImpossibleTrial(
            "No test Task was created, because the Workflow has neither a filter nor a default "
            "filter, so it cancels every Task."
        )
    return routes


def _list_workers(
    stage: Stage, workspace: Workspace, routes: Sequence[_Route], place: str
) -> list[str]:
    """Return the names of the available Workers; raise ImpossibleTrial if the list is empty."""
    workers = workspace.list_available_workers(_queues(routes))
    if not workers:
        raise ImpossibleTrial(
            f"No test Task was created, because no Worker in {place} is available. Set a Worker to "
            f"an available Activity, then run: python -m infra deploy --stage {stage.name} --try"
        )
    return workers


def _queues(routes: Sequence[_Route]) -> list[str]:
    """Return the distinct TaskQueues of several routes."""
    return list(dict.fromkeys(queue for route in routes for queue in route.queues))


def _choose_attributes(workspace: Workspace, dialog: Dialog, routes: Sequence[_Route]) -> str:
    """Return the attributes that the operator enters or, without a prompt, the default.

    The default attributes match the first simple filter whose TaskQueues have an available Worker.

    Raises:
        ImpossibleTrial: There is no such filter, and the command does not prompt.
    """
    default = next(
        (
            json.dumps({**_MARKER, **route.attributes})
            for route in routes
            if route.attributes is not None and workspace.list_available_workers(route.queues)
        ),
        None,
    )
    if not dialog.is_interactive or dialog.assumes_yes:
        if default is None:
            raise ImpossibleTrial(
                "No test Task was created, because the command can't derive attributes for a "
                f"filter whose TaskQueues have an available Worker. {_ATTRIBUTES_HINT}"
            )
        click.echo(f"Attributes of the Task: {default}", err=True)
        return default
    click.echo("A test Task shows whether callbacks arrive. Filters of the Workflow:", err=True)
    for route in routes:
        click.echo(f"  {route.name}: {route.expression or 'all other Tasks'}", err=True)

    def parse(answer: str) -> str:
        attributes = parse_attributes(answer)
        if not _possible_routes(attributes, routes):
            raise click.UsageError(f"The attributes {_MISMATCH}")
        return attributes

    return ask("Attributes of the test Task", default=default, parse=parse)


def _possible_routes(attributes: str, routes: Sequence[_Route]) -> list[_Route]:
    """Return the routes that may receive a Task, in the order that TaskRouter tries them.

    Values are compared as text, ignoring case, so that no value that TaskRouter might consider
    equal is missed. Routes are left out after the first one that certainly matches and does not
    pass on the Task.
    """
    actual = json.loads(attributes)
    comparable = {name: _comparable(value) for name, value in actual.items()}
    possible = []
    for route in routes:
        expected = route.attributes
        if expected is None:
            possible.append(route)
        elif all(comparable.get(name) == _comparable(value) for name, value in expected.items()):
            possible.append(route)
            is_certain = all(
                (type(actual[name]), actual[name]) == (type(value), value)
                for name, value in expected.items()
            )
            if is_certain and not route.may_pass_on:
                break
    return possible


def _comparable(value: object) -> str:
    return str(value).casefold()


@contextmanager
def _test_task(workspace: Workspace, attributes: str) -> Iterator[str]:
    """Create a Task, yield its SID, and end the Task even if the command is interrupted."""
    sid = workspace.create_task(attributes, timeout=_TASK_SECONDS)
    limit = f"{_WATCH_SECONDS:g} seconds"
    click.echo(f"Task {sid} has been created. Waiting up to {limit} for its callback.", err=True)
    try:
        yield sid
    finally:
        try:
            click.echo(f"Task {sid} is {workspace.end_task(sid, 'Test ended')}.", err=True)
        except OperatorError as error:
            click.echo(
                f"Task {sid} could not be canceled or completed: {error} TaskRouter cancels the "
                f"Task {_TASK_SECONDS} seconds after its creation.",
                err=True,
            )


def _watch(aws: Aws, stage: Stage, workspace: Workspace, task_sid: str) -> tuple[Any, Any]:
    """Wait until the stage has recorded a callback for the Task.

    Returns:
        The SDK's instance for the Reservation, and the answer to its callback without secrets.

    Raises:
        OperatorError: No callback arrived in time, or the Workflow canceled the Task. The message
            states the reason.
    """
    store, since = open_store(stage.settings), time.time() - _CLOCK_SKEW_SECONDS
    deadline = time.monotonic() + _WATCH_SECONDS
    while True:
        reservations = workspace.list_reservations(task_sid)
        for reservation in reservations:
            record = store.get(reservation.sid)
            # An event callback also creates a record, so wait until the record has an answer.
            if record and record.answer is not None:
                return reservation, without_secrets(record.answer)
        task = workspace.fetch_task(task_sid)
        if task.assignment_status == "canceled":
            raise OperatorError(
                f"The Workflow canceled the test Task ({task.reason}). Pass attributes that "
                "match a filter: --try --try-attributes '{...}'"
            )
        if time.monotonic() > deadline:
            if reservations:
                raise OperatorError(_explain_missing_callback(aws, stage, since))
            raise OperatorError(
                "TaskRouter reserved no Worker for the test Task, which waited in the TaskQueue "
                f"{task.task_queue_friendly_name}. Check that a Worker of this TaskQueue is "
                "available, has capacity and matches the expression of the Workflow's target, or "
                "try other attributes: --try --try-attributes '{...}'"
            )
        time.sleep(_POLL_SECONDS)


def _explain_missing_callback(aws: Aws, stage: Stage, since: float) -> str:
    click.echo("No callback was recorded. Reading the stage's log ...", err=True)
    deadline = time.monotonic() + _LOG_SECONDS
    while not (failures := _failed_callbacks(aws, stage, since)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    if not failures:
        return (
            "TaskRouter reserved a Worker, but the stage logged no failed callback. Monitor > "
            "Errors in Twilio's Console shows the response to TaskRouter's callback."
        )
    status, error = failures[-1]["status"], failures[-1].get("error")
    problem = f"The stage answered TaskRouter's callback with {status} {error}."
    if status != _FORBIDDEN:
        return f"{problem} Run: python -m infra logs --stage {stage.name}"
    return (
        f"{problem} The signature was checked against {failures[-1].get('checked_url')}. If the "
        "Workflow has a different URL, correct PUBLIC_BASE_URL. If it has this URL, no stored auth "
        f"token is the account's primary one. {stored_secrets.storage_instructions(stage)}"
    )


def _failed_callbacks(aws: Aws, stage: Stage, since: float) -> list[dict[str, Any]]:
    """Return the log lines of failed assignment callbacks since a time (epoch seconds)."""
    pages = aws.client("logs").get_paginator("filter_log_events")
    lines = []
    for page in pages.paginate(logGroupName=stage.log_group(API), startTime=int(since * 1000)):
        for event in page["events"]:
            with suppress(JsonError):
                lines.append(parse_json_object(event["message"]))
    return [
        line
        for line in lines
        if line.get("route") == _CALLBACK_ROUTE and line["status"] >= _BAD_REQUEST
    ]
