"""Commands that deploy a stage, or prepare and package it for CloudFormation."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import click

from infra import OperatorError
from infra.aws import (
    Aws,
    api_settings,
    capacity,
    chalice_record,
    fingerprint,
    live_resources,
    lock,
    policies,
    stacks,
    stage_config,
)
from infra.aws.stage_config import Stage
from infra.commands import (
    break_lock_option,
    cloud_stage_option,
    connect_to_stage,
    connection,
    report_errors,
    setup,
    trial,
)
from infra.commands.dialog import Dialog, is_terminal
from infra.commands.rules import ensure_deployable_rules
from infra.commands.status import UnreachableError, smoke_test
from infra.twilio_account import Workspace


@click.command()
@cloud_stage_option
@click.option("--check/--no-check", default=True, help="Run a smoke test of the URL.")
@break_lock_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--no-input", is_flag=True, help="Ask no questions, even in a terminal.")
@click.option(
    "--yes",
    is_flag=True,
    help="Change callback URLs or the Workspace in Twilio without asking, and skip the questions "
    "about an alarm address and a test Task.",
)
@click.option(
    "--callback-urls/--no-callback-urls",
    default=True,
    help="Compare and change the callback URLs in Twilio, or the resources that workspace_file "
    "defines.",
)
@click.option(
    "--alarm-email",
    "email",
    metavar="ADDRESS",
    callback=lambda _context, _option, text: None if text is None else connection.parse_email(text),
    help="Subscribe this email address to the alarms.",
)
@click.option(
    "--try/--no-try",
    "with_task",
    default=None,
    help="Create a test Task and wait for its callback. By default, the command offers a test Task "
    "at the end of the first completed run, if that run may ask questions.",
)
@click.option(
    "--try-attributes",
    "attributes",
    metavar="JSON",
    callback=lambda _context, _option, text: text if text is None else trial.parse_attributes(text),
    help="Attributes of the test Task; implies --try.",
)
@report_errors
def deploy(
    stage_name: str,
    *,
    check: bool,
    break_lock: bool,
    as_json: bool,
    no_input: bool,
    yes: bool,
    callback_urls: bool,
    email: str | None,
    with_task: bool | None,
    attributes: str | None,
) -> None:
    """Deploy a stage: create it, or update it to match the project's files.

    If the stage lacks SIDs or secrets, the command reads them from the environment
    (TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_API_KEY_SID, TWILIO_API_KEY_SECRET,
    TWILIO_WORKSPACE_SID, TWILIO_WORKFLOW_SID) or, in a terminal, asks for them. The command writes
    the SIDs to .chalice/config.json and the secrets to SSM. After the deployment, the command shows
    which callback URLs in Twilio must change and which events the Workspace's event filter lacks,
    and changes both if you agree or pass --yes. If the stage sets workspace_file, the command
    instead shows how the Workspace differs from this file, and applies the file if you agree or
    pass --yes.

    Prints the URL for TaskRouter's assignment callback, with *** instead of a secret segment. If
    neither the project's files nor the deployed resources have changed since the last deployment,
    nothing is deployed. If this machine can't connect to the URL, the command only prints a
    warning.

    Exit code 1: a step failed. Fix the cause and run the command again; resources that are already
    deployed are kept. After a failed smoke test, the next run deploys again.
    """
    if attributes is not None:
        if with_task is False:
            raise click.UsageError("--no-try contradicts --try-attributes. Omit one of them.")
        with_task = True
    runtime = chalice_record.lambda_runtime()
    stage = _read_deployable(stage_name, allow_empty_sids=True)
    aws = connect_to_stage(stage, f", functions on {runtime}")
    dialog = Dialog(is_interactive=is_terminal() and not no_input, assumes_yes=yes)
    stage, workspace = setup.complete(aws, stage, dialog, os.environ)
    _check_workspace_file(stage, is_applied=callback_urls)
    with lock.acquire(aws, stage, force=break_lock) as renew_lock:
        api_settings.ensure_access_logs_possible(aws, stage)
        url = _deploy_changes(aws, stage, renew_lock, check=check)
        hidden_prefix = "/***" if stage.settings.callback_prefixes[0] else ""
        result = {"url": url, "assignment_callback": f"{url}{hidden_prefix}/assignment_callback"}
        click.echo(json.dumps(result) if as_json else result["assignment_callback"])
        if callback_urls and stage.workspace_file:
            stage = _apply_workspace_file(aws, stage, url, dialog, renew_lock)
    if callback_urls and not stage.workspace_file:
        prefix = stage.settings.callback_prefixes[0]
        connection.set_callback_urls(workspace, url, prefix, dialog)
    _finish(
        aws, stage, workspace, dialog, url, email=email, with_task=with_task, attributes=attributes
    )


def _check_workspace_file(stage: Stage, *, is_applied: bool) -> None:
    """Check that the Workspace's definition can be applied, before anything is deployed."""
    if stage.workspace_file and is_applied:
        from infra.workspace import target  # noqa: PLC0415  see _apply_workspace_file

        target.ensure_applicable(stage)


def _apply_workspace_file(
    aws: Aws, stage: Stage, url: str, dialog: Dialog, renew_lock: Callable[[], None]
) -> Stage:
    """Apply the stage's definition of the Workspace; deploy again if this changes settings."""
    # The simulator's package, which parses the file, is needed only if a stage has such a file.
    from infra.workspace import runs  # noqa: PLC0415

    renew_lock()
    runs.apply_file(aws, stage, url, dialog)
    changed = stage_config.read(stage.name)
    if changed != stage:
        click.echo("The settings have changed. Deploying the stage again.", err=True)
        renew_lock()
        _deploy_changes(aws, changed, renew_lock, check=False)
    return changed


def _finish(
    aws: Aws,
    stage: Stage,
    workspace: Workspace,
    dialog: Dialog,
    url: str,
    *,
    email: str | None,
    with_task: bool | None,
    attributes: str | None,
) -> None:
    """Subscribe to the alarms and create a test Task, if requested.

    Until a run has completed, each run that may ask questions offers both.
    """
    outputs = stacks.outputs(aws, stage)
    bucket, topic = outputs["Deployments"], outputs["AlarmTopic"]
    is_first = fingerprint.is_first_run(aws, stage, bucket)
    may_ask = is_first and dialog.is_interactive and not dialog.assumes_yes
    if is_first and not may_ask:
        _report_unasked(dialog, has_email=email is not None, has_decided=with_task is not None)
    connection.subscribe_to_alarms(aws, stage, topic, email, may_ask=may_ask)
    if with_task or (may_ask and with_task is None):
        try:
            trial.run(aws, stage, workspace, dialog, base_url=url, attributes=attributes)
        except trial.ImpossibleTrial as error:
            if with_task:
                raise
            click.echo(str(error), err=True)
    if is_first:
        fingerprint.end_first_run(aws, stage, bucket)


def _report_unasked(dialog: Dialog, *, has_email: bool, has_decided: bool) -> None:
    """Print which questions of the first run were not asked, and the options that answer them."""
    unasked = []
    if not has_email:
        unasked.append("an email address for the alarms (--alarm-email ADDRESS)")
    if not has_decided:
        unasked.append("a test Task (--try)")
    if unasked:
        other_cause = "--no-input" if is_terminal() else "no terminal"
        cause = "--yes" if dialog.is_interactive else other_cause
        click.echo(f"Skipped ({cause}): {', '.join(unasked)}.", err=True)


def _deploy_changes(aws: Aws, stage: Stage, renew_lock: Callable[[], None], *, check: bool) -> str:
    """Deploy a stage unless nothing has changed, check its URL if requested, and return the URL.

    A failed smoke test removes the fingerprint, so that the next run deploys again.
    """
    computed = fingerprint.compute(stage, _read_concurrency(aws, stage))
    bucket = stacks.outputs(aws, stage).get("Deployments")
    api_id = chalice_record.find_api_id(aws, stage, bucket)
    if bucket and api_id and fingerprint.is_deployed(aws, stage, bucket, computed, api_id):
        click.echo("Nothing has changed.", err=True)
    else:
        bucket, api_id = _deploy_everything(aws, stage, renew_lock)
        # The versions are read and stored before the smoke test, so that the next run detects a
        # change made during the test.
        fingerprint.store(aws, stage, bucket, computed, api_id)
    url = stage.settings.public_base_url or live_resources.invoke_url(aws, stage, api_id)
    if check:
        try:
            smoke_test(url, stage.settings.callback_prefixes[0])
        except UnreachableError as error:
            click.echo(
                f"Warning: the stage is deployed, but {error} Check the URL from another network: "
                f"python -m infra status --stage {stage.name}",
                err=True,
            )
        except OperatorError:
            fingerprint.remove(aws, stage, bucket)
            raise
        else:
            click.echo(f"{url} is up: /health and the signature check passed.", err=True)
    return url


def _deploy_everything(aws: Aws, stage: Stage, renew_lock: Callable[[], None]) -> tuple[str, str]:
    """Deploy a stage; return its bucket and the ID of its API."""
    bucket = stacks.create_or_update(aws, stage)["Deployments"]
    renew_lock()
    fingerprint.remove(aws, stage, bucket)
    chalice_record.rebuild_record(aws, stage, bucket, domain=stage.domain)
    chalice_record.run_chalice("deploy", "--stage", stage.name)
    api_id = chalice_record.upload(aws, stage, bucket)
    api_settings.apply(aws, stage, api_id)
    return bucket, api_id


@click.command()
@cloud_stage_option
@click.option("--no-input", is_flag=True, help="Ask no questions, even in a terminal.")
@break_lock_option
@report_errors
def prepare(stage_name: str, *, no_input: bool, break_lock: bool) -> None:
    """Prepare a stage for `chalice deploy`, or for `package` and CloudFormation.

    If the stage lacks SIDs or secrets, the command reads them from the environment or, in a
    terminal, asks for them. Like `deploy`, the command verifies all values with Twilio. It creates
    or updates the stack, writes the policies and, if Chalice created the functions, restores
    Chalice's record of the deployed functions and API. It changes no function or API.
    """
    stage = _read_deployable(stage_name, allow_empty_sids=True)
    aws = connect_to_stage(stage)
    dialog = Dialog(is_interactive=is_terminal() and not no_input, assumes_yes=False)
    stage, _ = setup.complete(aws, stage, dialog, os.environ)
    with lock.acquire(aws, stage, force=break_lock) as renew_lock:
        bucket = stacks.create_or_update(aws, stage)["Deployments"]
        renew_lock()
        policies.write(stage)
        if not live_resources.find_foreign_function(aws, stage):
            chalice_record.rebuild_record(aws, stage, bucket, domain=stage.domain)
    click.echo(f"Stage {stage_name} is prepared.", err=True)


@click.command()
@cloud_stage_option
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@report_errors
def package(stage_name: str, folder: Path) -> None:
    """Write a SAM template and the functions' zip file to FOLDER, for CloudFormation.

    Refuses a stage that `deploy` created: CloudFormation can't create functions that already exist.
    """
    chalice_record.lambda_runtime()
    if empty := stage_config.empty_sids(stage_name):
        # The remedy is `prepare`, because `package` refuses a stage that `deploy` created.
        raise OperatorError(
            f"Stage {stage_name} in .chalice/config.json does not set {', '.join(empty)}. Run this "
            f"command, which asks for the values: python -m infra prepare --stage {stage_name}"
        )
    stage = _read_deployable(stage_name)
    stage_config.ensure_runnable(stage)
    aws = connect_to_stage(stage)
    live_resources.ensure_not_created_by_chalice(aws, stage)
    api_settings.ensure_access_logs_possible(aws, stage)
    folder.mkdir(parents=True, exist_ok=True)
    merged = folder.resolve() / "merged.json"
    template = api_settings.merged_template(stage, _read_concurrency(aws, stage))
    merged.write_text(json.dumps(template), encoding="utf-8")
    out = str(folder.resolve())
    chalice_record.run_chalice(
        "package", "--stage", stage_name, "--merge-template", str(merged), out
    )


def _read_deployable(stage_name: str, *, allow_empty_sids: bool = False) -> Stage:
    stage = stage_config.read(stage_name, allow_empty_sids=allow_empty_sids)
    ensure_deployable_rules(stage)
    return stage


def _read_concurrency(aws: Aws, stage: Stage) -> int:
    """Return the API's concurrency, and print a hint if the account's limit is low."""
    concurrency = capacity.read_concurrency(aws, stage)
    if hint := api_settings.describe_low_concurrency(aws, stage, concurrency):
        click.echo(hint, err=True)
    return concurrency
