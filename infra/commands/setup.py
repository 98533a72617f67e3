"""Completes and verifies the configuration of a stage before its deployment.

Values that config.json and SSM lack come from the shell's variables or, in a terminal, from the
operator.
"""

import json
from collections.abc import Mapping
from typing import Any

import click

from chalicelib import setting_types
from chalicelib.adapters.secrets import Secrets
from chalicelib.setting_types import checked_secret
from infra import OperatorError
from infra.aws import Aws, stage_config
from infra.aws.stage_config import Stage
from infra.commands import secrets as stored_secrets
from infra.commands.connection import ensure_not_deployed_elsewhere
from infra.commands.dialog import Dialog, ask_for_secret, ask_for_sid, choose
from infra.commands.settings import report_unused
from infra.twilio_account import Account, Workspace

_ACCOUNT, _WORKSPACE, _WORKFLOW = _SIDS = tuple(stage_config.SID_PREFIXES)
_AUTH_TOKEN, _KEY, _KEY_SECRET = _SECRETS = (
    "TWILIO_AUTH_TOKEN",
    "TWILIO_API_KEY_SID",
    "TWILIO_API_KEY_SECRET",
)
_TIMEOUT, _TIMEOUTS = "RESERVATION_TIMEOUT_SECONDS", "RESERVATION_TIMEOUTS_BY_WORKFLOW"

_PREFIXES = {**stage_config.SID_PREFIXES, _KEY: "SK"}


def complete(
    aws: Aws, stage: Stage, dialog: Dialog, environ: Mapping[str, str]
) -> tuple[Stage, Workspace]:
    """Complete the configuration of a stage, and verify it with Twilio.

    Nothing is written until Twilio has confirmed all new values and the settings have been checked.
    Existing values are kept, except reservation timeouts, which are copied from the Workflows.

    Args:
        aws: The account and region.
        stage: The stage, whose SIDs may be placeholders.
        dialog: Asks the operator for missing values.
        environ: Variables of the shell.

    Returns:
        The stage with its final settings, and the stage's Workspace.

    Raises:
        OperatorError: A value is missing or wrong, Twilio can't be reached, or the stage is
            deployed in a different account.
    """
    declared = stage_config.environment(stage.name, {})
    values = {name: declared[name].strip() for name in _SIDS if declared.get(name, "").strip()}
    secrets = stored_secrets.read(aws, stage)
    if secrets:
        values[_KEY], values[_KEY_SECRET] = secrets.api_key
    existing = dict(values)
    _add_from_shell(values, environ, () if secrets else _SECRETS)
    _report_unused(stage, existing, secrets, environ)
    workspace = _add_from_operator(stage, values, dialog, has_secrets=secrets is not None)
    workspace.fetch()
    if secrets:
        stored_secrets.check_stored_auth_tokens(stage, values[_ACCOUNT], secrets)
    workflow = workspace.fetch_workflow()
    ensure_not_deployed_elsewhere(aws, stage, lambda: workflow)
    changes = {name: values[name] for name in _SIDS if name not in existing}
    changes |= _find_changed_timeouts(stage, workspace, workflow, declared)
    completed = stage_config.read(stage.name, changes)
    _ensure_runnable(completed, workflow)
    if changes:
        stage_config.set_variables(stage.name, changes)
        written = ", ".join(f"{name}={value}" for name, value in changes.items())
        click.echo(f"Written to .chalice/config.json: {written}", err=True)
    if not secrets:
        stored_secrets.write(aws, stage, _to_parameter(values))
        click.echo(f"Written to SSM: {stage.settings.secrets_parameter}", err=True)
    return completed, workspace


def _find_changed_timeouts(
    stage: Stage, workspace: Workspace, workflow: Any, declared: Mapping[str, str]
) -> dict[str, str]:
    """Return new values for timeout settings that differ from the Workflows' reservation timeouts.

    Args:
        stage: The stage.
        workspace: The stage's Workspace.
        workflow: The SDK's instance for the stage's Workflow.
        declared: The stage's variables.
    """
    changes, seconds = {}, workflow.task_reservation_timeout
    if declared.get(_TIMEOUT, "").strip() != str(seconds):
        changes[_TIMEOUT] = str(seconds)
    by_workflow = stage.settings.reservation_timeouts_by_workflow
    fetched = dict(by_workflow)
    for sid in by_workflow:
        try:
            remote = workflow if sid == workflow.sid else workspace.fetch_other_workflow(sid)
            fetched[sid] = remote.task_reservation_timeout
        except OperatorError as error:
            click.echo(f"Warning: {_TIMEOUTS} can't be verified. {error}", err=True)
    if fetched != by_workflow:
        changes[_TIMEOUTS] = json.dumps(fetched)
    return changes


def _ensure_runnable(stage: Stage, workflow: Any) -> None:
    try:
        stage_config.ensure_runnable(stage)
    except OperatorError as error:
        raise OperatorError(
            f"{error} The reservation timeout of the Workflow {workflow.sid} is "
            f"{workflow.task_reservation_timeout} seconds."
        ) from error


def _add_from_shell(
    values: dict[str, str], environ: Mapping[str, str], secret_names: tuple[str, ...]
) -> None:
    """Add missing values from the variables of the shell."""
    for name in (*_SIDS, *secret_names):
        value = environ.get(name, "").strip()
        if value and name not in values:
            parse = setting_types.sid(_PREFIXES[name]) if name in _PREFIXES else checked_secret
            try:
                values[name] = parse(value)
            except ValueError as error:
                raise OperatorError(f"{name} {error}.") from error


def _report_unused(
    stage: Stage,
    existing: Mapping[str, str],
    secrets: Secrets | None,
    environ: Mapping[str, str],
) -> None:
    """Report variables of the shell that differ from the stage's values."""
    known = {name: {existing[name]} for name in _SIDS if name in existing}
    if secrets:
        known |= {
            _AUTH_TOKEN: {*secrets.auth_tokens},
            _KEY: {*secrets.api_keys},
            _KEY_SECRET: {*secrets.api_keys.values()},
        }
    names = [name for name in known if environ.get(name, "").strip() not in ("", *known[name])]
    report_unused(
        names,
        f"To change SIDs, edit .chalice/config.json. {stored_secrets.storage_instructions(stage)}",
    )


def _add_from_operator(
    stage: Stage, values: dict[str, str], dialog: Dialog, *, has_secrets: bool
) -> Workspace:
    """Ask for missing values, verify an auth token that is not stored, and return the Workspace.

    Raises:
        OperatorError: A value is missing and the command may not ask for it, or Twilio refused the
            credentials.
    """
    missing = [name for name in (*_SIDS, *_SECRETS) if name not in values]
    if has_secrets:
        missing = [name for name in missing if name != _AUTH_TOKEN]
    if missing and not dialog.is_interactive:
        verb = "are" if len(missing) > 1 else "is"
        hint = (
            ""
            if has_secrets
            else " To store only the secrets, run in a terminal: python -m infra secrets put "
            f"--stage {stage.name}"
        )
        raise OperatorError(
            f"Stage {stage.name}: {', '.join(missing)} {verb} not set. Export the missing "
            f"variables, or run this command in a terminal to enter them.{hint}"
        )
    _ask_for_account(stage, values, missing)
    account = _open_account(stage, values, verify_auth_token=not has_secrets)
    if _WORKSPACE not in values:
        owner = f"account {values[_ACCOUNT]}"
        values[_WORKSPACE] = _choose("Workspace", account.list_workspaces(), owner)
    if _WORKFLOW not in values:
        owner = f"Workspace {values[_WORKSPACE]}"
        workflows = account.list_workflows(values[_WORKSPACE])
        values[_WORKFLOW] = _choose("Workflow", workflows, owner)
    return Workspace(account, values[_WORKSPACE], values[_WORKFLOW])


def _ask_for_account(stage: Stage, values: dict[str, str], missing: list[str]) -> None:
    if {_ACCOUNT, *_SECRETS} & {*missing}:
        click.echo(
            f"Stage {stage.name} needs access to your Twilio account. Twilio's Console shows the "
            "account SID and the auth token on its home page. Create a standard API key under "
            "Account > API keys & tokens.",
            err=True,
        )
    for name, question in (
        (_ACCOUNT, "Account SID, AC..."),
        (_AUTH_TOKEN, "Auth token"),
        (_KEY, "API key SID, SK..."),
        (_KEY_SECRET, "Secret of the API key"),
    ):
        if name in missing:
            prefix = _PREFIXES.get(name)
            values[name] = ask_for_sid(question, prefix) if prefix else ask_for_secret(question)


def _open_account(stage: Stage, values: Mapping[str, str], *, verify_auth_token: bool) -> Account:
    """Return the account, accessed with the API key; verify the auth token if requested."""
    url, sid = stage.settings.twilio_taskrouter_url, values[_ACCOUNT]
    if verify_auth_token:
        remedy = "Copy the account SID and the primary auth token from Twilio's Console."
        Account(url, sid, sid, values[_AUTH_TOKEN], remedy=remedy).list_workspaces()
    remedy = (
        "Check the SID and the secret of the key, which must be a standard key of this account."
    )
    if not verify_auth_token:
        remedy += f" {stored_secrets.storage_instructions(stage)}"
    return Account(url, sid, values[_KEY], values[_KEY_SECRET], remedy=remedy)


def _choose(kind: str, options: list[tuple[str, str]], owner: str) -> str:
    if not options:
        raise OperatorError(
            f"There is no {kind} in {owner}. Create a {kind} in Twilio's Console (TaskRouter > "
            "Workspaces), and run this command again."
        )
    click.echo(f"{kind}s in {owner}:", err=True)
    return choose(kind, options)


def _to_parameter(values: Mapping[str, str]) -> str:
    return json.dumps(
        {"auth_tokens": [values[_AUTH_TOKEN]], "api_keys": {values[_KEY]: values[_KEY_SECRET]}}
    )
