"""Checks of the Twilio account: credentials, Workspace, Workflows and Reservations."""

from collections.abc import Iterable
from typing import Any

from chalicelib.config import Settings
from chalicelib.domain.reservations import Status
from chalicelib.usecases.deadlines import CALLBACK_IN_TRANSIT_MS
from infra import OperatorError, format_duration
from infra.commands import connection, open_store
from infra.commands import secrets as stored_secrets
from infra.doctor.report import Check
from infra.doctor.subject import Subject

_MAX_TASKS = 50
"""Maximum number of reserved Tasks whose Reservations are compared with the records."""

_MAX_SHOWN = 5
"""Maximum number of unrecorded Reservations in the message."""


def _check_secrets(subject: Subject) -> str:
    nouns = {"auth_tokens": "auth token", "api_keys": "API key", "shared_keys": "shared key"}
    counts = {noun: len(getattr(subject.secrets, name)) for name, noun in nouns.items()}
    return ", ".join(f"{count} {noun}{'s' * (count != 1)}" for noun, count in counts.items())


def _check_api_key(subject: Subject) -> str:
    sid, _ = subject.secrets.api_key
    subject.account.list_workspaces()
    return f"Twilio accepts {sid}"


def _check_api_key_scope(subject: Subject) -> str:
    """Check the permissions of the API keys that can be tested without changing anything."""
    subject.workspace.check_readable()
    (first, _), *others = subject.secrets.api_keys.items()
    for key in others:
        hint = "Remove the key, because the service still accepts tokens that are signed with it."
        subject.open_account(*key, hint=hint).list_workspaces()
    for sid, secret in subject.secrets.api_keys.items():
        if subject.open_account(sid, secret).is_main_key():
            raise OperatorError(
                f"{sid} is a main key, which can also manage the account's keys. Create a standard "
                f"key in Twilio's Console. {stored_secrets.storage_instructions(subject.stage)}"
            )
    return f"{first} can read Tasks and Events" + (
        f"; other valid keys: {len(others)}" if others else ""
    )


def _check_auth_token(subject: Subject) -> str:
    stored_secrets.verify_auth_tokens(
        subject.stage,
        subject.stage.settings.twilio_account_sid,
        subject.secrets,
        remedy="Unless a stored auth token is the primary one, the stage refuses all callbacks. "
        + subject.remedy,
    )
    return "Twilio accepts at least one of the stored auth tokens"


def _check_workspace(subject: Subject) -> str:
    return f"{subject.remote_workspace.friendly_name} ({subject.remote_workspace.sid})"


def _check_workflow(subject: Subject) -> str:
    return f"{subject.remote_workflow.friendly_name} ({subject.remote_workflow.sid})"


def _check_callback_urls(subject: Subject) -> str:
    changes = connection.find_changes(subject.workspace, subject.base_url, subject.callback_prefix)
    lines = [line for line in changes.lines if not line.startswith(connection.EVENT_FILTER_LABEL)]
    if lines:
        urls = "these URLs, which begin with ${api}"
        raise OperatorError(f"{'; '.join(lines)}. {_remedy(subject, urls)}")
    return "assignment, fallback and event callbacks are posted to this stage"


def _check_event_filter(subject: Subject) -> str:
    if excluded := connection.find_excluded_events(subject.remote_workspace):
        types = "these types in events_filter, or `events_filter: null`"
        raise OperatorError(
            f"The Workspace's event filter excludes {', '.join(excluded)}. "
            f"{_remedy(subject, types)}"
        )
    return f"includes the {len(connection.NEEDED_EVENTS)} event types that the service records"


def _remedy(subject: Subject, values: str) -> str:
    if subject.is_local:
        return "Restart the local stack, or run: python -m infra workspace apply"
    return connection.describe_remedy(subject.stage, values)


def _check_timeouts(subject: Subject) -> str:
    settings, workflows = subject.stage.settings, subject.workspace.list_all_workflows()
    problems = [*find_wrong_timeouts(settings, workflows, subject.base_url)]
    if problems:
        raise OperatorError(
            f"{'. '.join(problems)}. With a wrong timeout, the sweep checks Reservations too early "
            "or too late. Correct the settings, and then "
            f"{'restart the local stack' if subject.is_local else 'deploy the stage'}."
        )
    return "the settings agree with the Workflows that call this stage"


def find_wrong_timeouts(
    settings: Settings, workflows: Iterable[Any], base_url: str
) -> Iterable[str]:
    """Yield a clause for each wrong reservation timeout and each unknown Workflow in the settings.

    Args:
        settings: The settings of the stage.
        workflows: The SDK's instances for all Workflows in the Workspace.
        base_url: The base URL of the routes.
    """
    timeouts = settings.reservation_timeouts_by_workflow
    default_setting = "RESERVATION_TIMEOUT_SECONDS"
    map_setting = "RESERVATION_TIMEOUTS_BY_WORKFLOW"
    by_sid = {workflow.sid: workflow for workflow in workflows}
    for sid, workflow in by_sid.items():
        expected = timeouts.get(sid, settings.reservation_timeout_seconds)
        is_ours = sid in (
            settings.twilio_workflow_sid,
            *timeouts,
        ) or connection.posts_to_deployment(workflow, base_url)
        if is_ours and workflow.task_reservation_timeout != expected:
            setting = f"the value in {map_setting}" if sid in timeouts else default_setting
            yield (
                f"Reservations of the Workflow {workflow.friendly_name} ({sid}) time out after "
                f"{workflow.task_reservation_timeout} s, but {setting} is {expected}"
            )
    for sid in timeouts.keys() - by_sid.keys():
        yield f"{map_setting} contains {sid}, which is not in the Workspace"


def _check_reservations(subject: Subject) -> str:
    """Check that pending Reservations are recorded, unless their callbacks may be in transit."""
    tasks = subject.workspace.list_reserved_tasks(_MAX_TASKS + 1)
    store, now = open_store(subject.stage.settings), subject.now()
    checked, missing = 0, []
    for task in tasks[:_MAX_TASKS]:
        for reservation in subject.workspace.list_reservations(task):
            age = now - reservation.date_created.timestamp()
            if (
                reservation.reservation_status != Status.PENDING
                or age * 1000 < CALLBACK_IN_TRANSIT_MS
            ):
                continue
            checked += 1
            if store.get(reservation.sid) is None:
                missing.append(f"{reservation.sid} ({format_duration(age)} old)")
    note = (
        f" (only the first {_MAX_TASKS} reserved Tasks were checked)"
        if len(tasks) > _MAX_TASKS
        else ""
    )
    if missing:
        raise OperatorError(
            f"No record exists for {len(missing)} of {checked} pending Reservations{note}: "
            f"{', '.join(missing[:_MAX_SHOWN])}. Their callbacks did not arrive. The sweep records "
            "such Reservations within six minutes; see the runbook 'callbacks fail' in "
            "docs/operations.md."
        )
    return f"pending Reservations: {checked}, all recorded{note}"


CHECKS = (
    Check("secrets", _check_secrets),
    Check("api_key", _check_api_key, needs=("secrets",)),
    Check("auth_token", _check_auth_token, needs=("secrets",)),
    Check("workspace", _check_workspace, needs=("api_key",)),
    Check("api_key_scope", _check_api_key_scope, needs=("workspace",)),
    Check("workflow", _check_workflow, needs=("workspace",)),
    Check("callback_urls", _check_callback_urls, needs=("workflow", "api")),
    Check("event_filter", _check_event_filter, needs=("workspace",)),
    Check("timeouts", _check_timeouts, needs=("workflow", "api")),
    Check("reservations", _check_reservations, needs=("workspace", "reservations_table")),
)
