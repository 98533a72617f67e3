"""Bearer tokens for our API: Twilio AccessTokens with a TaskRouter grant."""

from dataclasses import dataclass, field

import boto3
import requests
from botocore.exceptions import BotoCoreError, ClientError
from twilio.base.exceptions import TwilioException
from twilio.http.http_client import TwilioHttpClient
from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import TaskRouterGrant
from twilio.rest import Client

from chalicelib.adapters.secrets import parse_secrets
from chalicelib.config import Settings
from chalicelib.domain.errors import SecretsUnavailable
from chalicelib.domain.sids import is_sid
from infra.errors import OperatorError

MAX_HOURS = 24
"""Twilio's limit for the life of an AccessToken (docs, "Access Tokens": at most 24 hours)."""


@dataclass(frozen=True)
class ApiKey:
    """A Twilio API key."""

    sid: str
    secret: str = field(repr=False)


def mint(
    settings: Settings, key: ApiKey, *, role: str, hours: float, worker_sid: str | None = None
) -> str:
    """A signed token.

    Args:
        settings: Whose account and Workspace.
        key: Signs the token.
        role: "worker", "supervisor" or "service".
        hours: How long the token holds, at most `MAX_HOURS`.
        worker_sid: The Worker (WK...) that the bearer is; needed for "worker".
    """
    grant = TaskRouterGrant(
        workspace_sid=settings.twilio_workspace_sid, worker_sid=worker_sid, role=role
    )
    token = AccessToken(
        settings.twilio_account_sid,
        key.sid,
        key.secret,
        grants=[grant],
        ttl=round(hours * 3600),
    )
    encoded: str = token.to_jwt()
    return encoded


def of_stage(settings: Settings) -> ApiKey:
    """The stage's API key; of several, the first, which the app calls TaskRouter with.

    Args:
        settings: The stage's. Where SECRETS_PARAMETER is set, the parameter is read with the AWS
            credentials and region of whoever runs this.

    Raises:
        OperatorError: The parameter can't be read.
    """
    name = settings.secrets_parameter
    if not name:
        return ApiKey(settings.twilio_api_key_sid, settings.twilio_api_key_secret)
    try:
        answer = boto3.client("ssm").get_parameter(Name=name, WithDecryption=True)
        secrets = parse_secrets(answer["Parameter"]["Value"])
    except (BotoCoreError, ClientError, SecretsUnavailable) as error:
        raise OperatorError(f"The parameter {name} can't be read: {error}") from error
    return ApiKey(*next(iter(secrets.api_keys.items())))


TIMEOUT_SECONDS = 10


def find_sid(settings: Settings, key: ApiKey, worker: str) -> str:
    """The SID of a Worker.

    Args:
        settings: Which TaskRouter, and which of its Workspaces.
        key: What TaskRouter is asked with.
        worker: A Worker SID, which is returned as it is, or a FriendlyName (unique in its
            Workspace), which TaskRouter is asked about.

    Raises:
        OperatorError: No Worker has the name, or TaskRouter did not say.
    """
    if is_sid(worker, "WK"):
        return worker
    for sid, name in _named(settings, key, worker):
        if name == worker:
            return sid
    raise OperatorError(f"The Workspace has no Worker named {worker!r}.")


def _named(settings: Settings, key: ApiKey, name: str) -> list[tuple[str, str]]:
    client = Client(
        key.sid,
        key.secret,
        settings.twilio_account_sid,
        http_client=TwilioHttpClient(timeout=TIMEOUT_SECONDS),
    )
    client.taskrouter.base_url = settings.twilio_taskrouter_url
    workers = client.taskrouter.v1.workspaces(settings.twilio_workspace_sid).workers
    try:
        return [(w.sid or "", w.friendly_name or "") for w in workers.list(friendly_name=name)]
    except TwilioException as error:
        raise OperatorError(f"TaskRouter did not name the Workers: {error}") from error
    except requests.RequestException as error:
        raise OperatorError(
            f"TaskRouter at {settings.twilio_taskrouter_url} could not be asked for the Worker "
            f"{name!r} ({type(error).__name__}). Is it running? A Worker's SID needs no asking."
        ) from error
