"""The account and region that commands work in: those of whoever runs them."""

from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import NoCredentialsError

from infra.errors import OperatorError


@dataclass(frozen=True)
class Aws:
    """An account in a region.

    Attributes:
        partition: "aws", or "aws-cn" and its kin.
        region: such as "eu-west-1".
        account: twelve digits.
        identity: the ARN of whoever runs this.
    """

    session: Any
    partition: str
    region: str
    account: str
    identity: str

    def client(self, service: str) -> Any:
        """Return a boto3 client, which repeats what AWS throttles.

        Patiently: API Gateway takes one deployment in 5 seconds.
        """
        retries = {"mode": "standard", "total_max_attempts": 8}
        return self.session.client(service, config=Config(retries=retries))


def here() -> Aws:
    """Find out where we are.

    Raises:
        OperatorError: no region is set, or nobody is logged in.
    """
    session = boto3.Session()
    region = session.region_name
    if not region:
        raise OperatorError("No AWS region: export AWS_DEFAULT_REGION=eu-west-1, or whichever.")
    try:
        caller = session.client("sts").get_caller_identity()
    except NoCredentialsError as error:
        raise OperatorError(
            "No AWS credentials: log in (aws sso login, aws configure) or export AWS_PROFILE."
        ) from error
    return Aws(
        session=session,
        partition=session.get_partition_for_region(region),
        region=region,
        account=caller["Account"],
        identity=caller["Arn"],
    )
