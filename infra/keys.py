"""The API key that tokens are signed with and TaskRouter is asked with."""

from dataclasses import dataclass, field

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.adapters.secrets import parse_secrets
from chalicelib.config import Settings
from chalicelib.domain.errors import SecretsUnavailable
from infra.errors import OperatorError


@dataclass(frozen=True)
class ApiKey:
    """A Twilio API key."""

    sid: str
    secret: str = field(repr=False)


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
