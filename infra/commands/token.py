"""Command that creates bearer tokens: AccessTokens with a TaskRouter grant."""

import math
from dataclasses import dataclass, field

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import config
from chalicelib.adapters.twilio import access_tokens
from chalicelib.domain.auth import Principal, Role
from chalicelib.domain.json_text import replace_lone_surrogates
from chalicelib.domain.sids import is_sid
from infra import OperatorError
from infra.aws.policies import SECRETS_MANAGER
from infra.commands import (
    connect_unless_local,
    describe_error,
    report_errors,
    stage_option,
)
from infra.commands import secrets as stored_secrets
from infra.commands.settings import load, stage_environment
from infra.twilio_account import Account

_DEFAULT_HOURS = 8.0
_MAX_HOURS = config.MAX_TOKEN_SECONDS / 3_600


@dataclass(frozen=True)
class ApiKey:
    """A Twilio API key.

    Attributes:
        sid: SK… SID.
        secret: The key's secret.
    """

    sid: str
    secret: str = field(repr=False)


def _parse_hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = math.nan
    if not 0 < hours <= _MAX_HOURS:
        raise click.BadParameter(
            f"The lifetime must be a number of hours greater than 0 and at most {_MAX_HOURS:g}."
        )
    return hours


@click.command()
@click.option("--role", required=True, type=click.Choice([str(role) for role in Role]))
@click.option("--worker", metavar="SID|NAME", help="The Worker; required for the worker role.")
@click.option(
    "--hours",
    show_default="8, or MAX_TOKEN_SECONDS if that is less",
    metavar="HOURS",
    callback=lambda _context, _option, text: text if text is None else _parse_hours(text),
    help=f"Lifetime of the token in hours, at most {_MAX_HOURS:g}.",
)
@stage_option
@report_errors
def token(role: str, worker: str | None, hours: float | None, stage_name: str) -> None:
    """Print a bearer token for the API.

    Shell variables override the settings of the local stage, but not those of a deployed stage.
    """
    if Role(role).has_worker and not worker:
        raise click.UsageError(f"A {role} token needs --worker, the SID or name of a Worker.")
    if worker and not Role(role).has_worker:
        raise click.UsageError(f"A {role} token has no Worker. Omit --worker.")
    settings = load(stage_name, stage_environment(stage_name))
    if hours is not None and hours * 3_600 > settings.max_token_seconds:
        max_hours = math.floor(settings.max_token_seconds / 3_600 * 10_000) / 10_000
        raise click.UsageError(
            f"--hours must be at most {max_hours:g}, because MAX_TOKEN_SECONDS is "
            f"{settings.max_token_seconds} in stage {stage_name}."
        )
    connect_unless_local(stage_name, settings)
    key = read_api_key(settings)
    worker_sid = find_worker_sid(settings, key, worker) if worker else None
    lifetime = _DEFAULT_HOURS if hours is None else hours
    click.echo(create_token(settings, key, role=role, worker_sid=worker_sid, hours=lifetime))


def create_token(
    settings: config.Settings,
    key: ApiKey,
    *,
    role: str,
    hours: float,
    worker_sid: str | None = None,
) -> str:
    """Return a signed token.

    Args:
        settings: Settings with the account and the Workspace of the token.
        key: The API key that signs the token.
        role: "worker", "supervisor" or "service".
        hours: Lifetime of the token, reduced to MAX_TOKEN_SECONDS if it exceeds this setting.
        worker_sid: WK… SID of the bearer; required for the worker role.
    """
    return access_tokens.create_token(
        (key.sid, key.secret),
        Principal(Role(role), worker_sid),
        account_sid=settings.twilio_account_sid,
        workspace_sid=settings.twilio_workspace_sid,
        seconds=min(round(hours * 3_600), settings.max_token_seconds),
    )


def read_api_key(settings: config.Settings) -> ApiKey:
    """Return the first API key of a stage, which the app also uses for TaskRouter.

    Args:
        settings: The stage's settings. If SECRETS_PARAMETER is set, the parameter is read with the
            AWS credentials and region of the caller.

    Raises:
        OperatorError: The parameter does not exist, can't be read or is invalid.
    """
    name = settings.secrets_parameter
    if not name:
        return ApiKey(settings.twilio_api_key_sid, settings.twilio_api_key_secret)
    try:
        response = boto3.client("ssm").get_parameter(Name=name, WithDecryption=True)
    except (BotoCoreError, ClientError) as error:
        message = f"The parameter {name} can't be read. {describe_error(error)}"
        if name.startswith(SECRETS_MANAGER):
            # If the error had a cause, `report_errors` would add the remedy for SSM.
            raise OperatorError(f"{message} Check the secret in Secrets Manager.") from None
        raise OperatorError(message) from error
    secrets = stored_secrets.parse(
        response["Parameter"]["Value"], f"The parameter {name} can't be read"
    )
    return ApiKey(*next(iter(secrets.api_keys.items())))


def find_worker_sid(settings: config.Settings, key: ApiKey, worker: str) -> str:
    """Return the SID of a Worker.

    Args:
        settings: Settings with the TaskRouter URL and the Workspace.
        key: The API key for TaskRouter.
        worker: A Worker SID, which is returned unchanged, or a FriendlyName (unique in its
            Workspace), which is looked up in TaskRouter.

    Raises:
        OperatorError: No Worker has this name, the name is not UTF-8, or the request to TaskRouter
            failed.
    """
    if is_sid(worker, "WK"):
        return worker
    if replace_lone_surrogates(worker) != worker:
        raise OperatorError("The name of the Worker must be UTF-8.")
    account = Account(
        settings.twilio_taskrouter_url,
        settings.twilio_account_sid,
        key.sid,
        key.secret,
        remedy="Check that the key is a standard API key of this account.",
    )
    try:
        workers = account.list_workers(settings.twilio_workspace_sid, worker)
    except OperatorError as error:
        raise OperatorError(
            f"The SID of the Worker {worker!r} can't be looked up, so pass the SID instead of the "
            f"name. {error}"
        ) from error
    for sid, name in workers:
        if name == worker:
            return sid
    raise OperatorError(f"The Workspace has no Worker named {worker!r}.")
