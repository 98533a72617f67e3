"""The AWS account and region used by the commands, and the resources of a stage."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, InvalidRegionError, UnknownRegionError
from botocore.utils import is_valid_endpoint_url, validate_region_name

from chalicelib.setting_types import is_base_url
from infra import OperatorError
from infra.aws import api_quotas


@dataclass(frozen=True)
class Aws:
    """An AWS account in one region.

    Attributes:
        session: A boto3 session.
        partition: "aws", "aws-cn" or another AWS partition.
        region: Region name, such as "eu-west-1".
        account: Account ID, twelve digits.
        identity: ARN of the caller.
    """

    session: Any
    partition: str
    region: str
    account: str
    identity: str

    def client(self, service: str, *, attempts: int = 8, **timeouts: float) -> Any:
        """Return a boto3 client that retries throttled calls.

        Args:
            service: Name of the service, such as "dynamodb".
            attempts: Maximum number of attempts per call, unless `api_quotas` adds more.
            **timeouts: `connect_timeout` and `read_timeout` of an attempt, in seconds.
        """
        retries = {"mode": "standard", "total_max_attempts": attempts}
        client = self.session.client(service, config=Config(retries=retries, **timeouts))
        api_quotas.wait_for_quotas(client.meta.events)
        return client


def describe_error(error: ClientError) -> str:
    """Return the operation, the code and the message of an AWS error response."""
    code, message = (error.response.get("Error", {}).get(key, "") for key in ("Code", "Message"))
    return f"AWS returned {code} for {error.operation_name}: {message.rstrip('.')}."


_CHOICES = {
    "AWS_ACCOUNT_ID_ENDPOINT_MODE": ("preferred", "disabled", "required"),
    "AWS_DEFAULTS_MODE": ("legacy", "auto", "standard", "cross-region", "in-region", "mobile"),
    "AWS_REQUEST_CHECKSUM_CALCULATION": ("when_supported", "when_required"),
    "AWS_RESPONSE_CHECKSUM_VALIDATION": ("when_supported", "when_required"),
    "AWS_RETRY_MODE": ("legacy", "standard", "adaptive"),
    "AWS_STS_REGIONAL_ENDPOINTS": ("legacy", "regional"),
}
_NUMBERS = {"AWS_MAX_ATTEMPTS": 1, "AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES": 0}
"""Numeric variables and their minimum values."""


def describe_invalid_value(name: str, value: str) -> str | None:
    """Describe valid values of a boto3 variable; return None if *value* causes no error.

    boto3 raises errors of different types for some invalid values, and fails only later for others.
    """
    if name.startswith("AWS_ENDPOINT_URL"):
        is_url = is_base_url(value) and is_valid_endpoint_url(value)
        return None if is_url or not value else "must be a URL such as http://127.0.0.1:4566"
    if name in _CHOICES and value not in _CHOICES[name]:
        return f"must be one of {', '.join(_CHOICES[name])}"
    if name in _NUMBERS and not (
        value.isascii() and value.isdigit() and int(value[:9]) >= _NUMBERS[name]
    ):
        return f"must be a whole number of at least {_NUMBERS[name]}"
    return None


def check_variables(environ: Mapping[str, str]) -> None:
    """Check the environment variables that boto3 reads, such as AWS_ENDPOINT_URL.

    Raises:
        OperatorError: The value of a variable such as AWS_ENDPOINT_URL is malformed.
    """
    for name, value in environ.items():
        if problem := describe_invalid_value(name, value):
            raise OperatorError(f"{name} {problem}.")


def require_region(session: boto3.Session) -> str:
    """Return the region of a session.

    Raises:
        OperatorError: No region is set, or the region's name is malformed.
    """
    if not session.region_name:
        raise OperatorError(
            "No AWS region is set. Set one, for example: export AWS_DEFAULT_REGION=eu-west-1"
        )
    region: str = session.region_name
    try:
        validate_region_name(region)
        session.get_partition_for_region(region)
    except (InvalidRegionError, UnknownRegionError) as error:
        raise OperatorError(
            f"AWS_DEFAULT_REGION, or the region of the AWS profile, must be an AWS region such as "
            f"eu-west-1, not {region!r}."
        ) from error
    return region


def require_credentials(session: boto3.Session) -> None:
    """Check that a session has credentials, without calling AWS.

    Raises:
        OperatorError: There are no credentials.
    """
    if session.get_credentials() is None:
        raise OperatorError(
            "No AWS credentials were found. Log in (aws sso login, aws configure) or export "
            "AWS_PROFILE."
        )


def connect(profile: str | None = None) -> Aws:
    """Return the account and region that the caller's AWS configuration selects.

    Args:
        profile: Name of an AWS profile; None for the default.

    Raises:
        OperatorError: No region is set, the region's name is malformed, or there are no
            credentials.
    """
    session = boto3.Session(profile_name=profile)
    region = require_region(session)
    require_credentials(session)
    caller = session.client("sts").get_caller_identity()
    return Aws(
        session=session,
        partition=session.get_partition_for_region(region),
        region=region,
        account=caller["Account"],
        identity=caller["Arn"],
    )
