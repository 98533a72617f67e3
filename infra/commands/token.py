"""Command that creates bearer tokens: AccessTokens with a TaskRouter grant."""

import os
from dataclasses import dataclass, field

import boto3
import click
import requests
from twilio.base.exceptions import TwilioException
from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import TaskRouterGrant

from chalicelib import config
from chalicelib.adapters.secrets import parse_secrets
from chalicelib.domain.auth import Role
from chalicelib.domain.errors import SecretsUnavailable
from chalicelib.domain.sids import is_sid
from infra import OperatorError
from infra.aws import stage_config
from infra.commands import connect_unless_local, report_errors, stage_option
from infra.twilio_account import make_client

_DEFAULT_HOURS = 8.0


@dataclass(frozen=True)
class ApiKey:
    """A Twilio API key.

    Attributes:
        sid: SK… SID.
        secret: The key's secret.
    """

    sid: str
    secret: str = field(repr=False)


@click.command()
@click.option("--role", required=True, type=click.Choice([str(role) for role in Role]))
@click.option("--worker", metavar="SID|NAME", help="The Worker; required for the role worker.")
@click.option(
    "--hours",
    show_default="8, or MAX_TOKEN_SECONDS if that is less",
    type=click.FloatRange(0, config.MAX_TOKEN_SECONDS / 3_600, min_open=True),
    help="Lifetime of the token.",
)
@stage_option
@report_errors
def token(role: str, worker: str | None, hours: float | None, stage_name: str) -> None:
    """Print a bearer token for the API.

    Shell variables override the settings of the stage.
    """
    if Role(role).has_worker and not worker:
        raise click.UsageError(f"A {role} token needs --worker, the SID or name of a Worker.")
    settings = config.load(stage_config.environment(stage_name, os.environ))
    max_hours = settings.max_token_seconds / 3_600
    if hours is not None and hours > max_hours:
        raise click.UsageError(
            f"--hours must be at most {max_hours:g}, because MAX_TOKEN_SECONDS is "
            f"{settings.max_token_seconds} in the stage {stage_name}."
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
        worker_sid: WK… SID of the bearer; required for the role "worker".
    """
    grant = TaskRouterGrant(
        workspace_sid=settings.twilio_workspace_sid, worker_sid=worker_sid, role=role
    )
    access_token = AccessToken(
        settings.twilio_account_sid,
        key.sid,
        key.secret,
        grants=[grant],
        ttl=min(round(hours * 3_600), settings.max_token_seconds),
    )
    encoded: str = access_token.to_jwt()
    return encoded


def read_api_key(settings: config.Settings) -> ApiKey:
    """Return the first API key of a stage, which the app also uses for TaskRouter.

    Args:
        settings: The stage's settings. If SECRETS_PARAMETER is set, the parameter is read with the
            AWS credentials and region of the caller.

    Raises:
        OperatorError: The value of the parameter is invalid.
        botocore.exceptions.ClientError: The parameter does not exist or can't be read.
    """
    name = settings.secrets_parameter
    if not name:
        return ApiKey(settings.twilio_api_key_sid, settings.twilio_api_key_secret)
    response = boto3.client("ssm").get_parameter(Name=name, WithDecryption=True)
    try:
        secrets = parse_secrets(response["Parameter"]["Value"])
    except SecretsUnavailable as error:
        raise OperatorError(f"{name}: {error}") from error
    return ApiKey(*next(iter(secrets.api_keys.items())))


def find_worker_sid(settings: config.Settings, key: ApiKey, worker: str) -> str:
    """Return the SID of a Worker.

    Args:
        settings: Settings with the TaskRouter URL and the Workspace.
        key: The API key for TaskRouter.
        worker: A Worker SID, which is returned unchanged, or a FriendlyName (unique in its
            Workspace), which is looked up in TaskRouter.

    Raises:
        OperatorError: No Worker has this name, or the request to TaskRouter failed.
    """
    if is_sid(worker, "WK"):
        return worker
    for sid, name in _list_workers(settings, key, worker):
        if name == worker:
            return sid
    raise OperatorError(f"The Workspace has no Worker named {worker!r}.")


def _list_workers(settings: config.Settings, key: ApiKey, name: str) -> list[tuple[str, str]]:
    client = make_client(
        settings.twilio_taskrouter_url, settings.twilio_account_sid, key.sid, key.secret
    )
    workers = client.taskrouter.v1.workspaces(settings.twilio_workspace_sid).workers
    try:
        return [(w.sid or "", w.friendly_name or "") for w in workers.list(friendly_name=name)]
    except TwilioException as error:
        raise OperatorError(f"TaskRouter refused to list the Workers: {error}") from error
    except requests.RequestException as error:
        is_twilio = settings.twilio_taskrouter_url == config.TASKROUTER_URL
        remedy = "Check the URL" if is_twilio else "Start the simulator (make services)"
        raise OperatorError(
            f"TaskRouter at {settings.twilio_taskrouter_url} can't be reached to look up the "
            f"Worker {name!r} ({type(error).__name__}). {remedy}, or pass the Worker's SID."
        ) from error
