"""Our tables in the local DynamoDB, made from the same template as in the cloud."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

TEMPLATE = Path(__file__).parent.parent / "infra" / "stage.yaml"
STACK = "taskrouter-callbacks-tables"


@dataclass(frozen=True)
class Tables:
    """The names of our two tables."""

    reservations: str
    state: str


def client(service: str, url: str, environ: Mapping[str, str]) -> Any:
    """A boto3 client of the local engine.

    The engine keeps what it holds apart by region and account, so the client must use the region
    and the keys that the app uses.

    Args:
        service: "dynamodb" or "cloudformation".
        url: The engine's address.
        environ: Where AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are read;
            absent ones are made up.
    """
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=environ.get("AWS_DEFAULT_REGION", "us-east-1"),
        aws_access_key_id=environ.get("AWS_ACCESS_KEY_ID", "local"),
        aws_secret_access_key=environ.get("AWS_SECRET_ACCESS_KEY", "local"),
        config=Config(
            connect_timeout=2, read_timeout=10, proxies={}, retries={"total_max_attempts": 1}
        ),
    )


def create_tables(cloudformation: Any, tables: Tables, *, stack: str = STACK) -> None:
    """Create or update the tables as infra/stage.yaml has them, and nothing else of it.

    Args:
        cloudformation: A client, see `client`.
        tables: What to call them.
        stack: The name of the CloudFormation stack.

    Raises:
        ClientError: The engine refused the template.
        WaiterError: The stack did not become complete.
    """
    request = {
        "StackName": stack,
        "TemplateBody": TEMPLATE.read_text(encoding="utf-8"),
        "Parameters": [
            {"ParameterKey": "ReservationsTableName", "ParameterValue": tables.reservations},
            {"ParameterKey": "StateTableName", "ParameterValue": tables.state},
            {"ParameterKey": "DeletionProtection", "ParameterValue": "false"},
            {"ParameterKey": "Operate", "ParameterValue": "false"},
        ],
    }
    try:
        cloudformation.create_stack(**request)
        done = "stack_create_complete"
    except cloudformation.exceptions.AlreadyExistsException:
        try:
            cloudformation.update_stack(**request)
        except ClientError as error:
            if "No updates" in str(error):
                return
            raise
        done = "stack_update_complete"
    cloudformation.get_waiter(done).wait(
        StackName=stack, WaiterConfig={"Delay": 0.02, "MaxAttempts": 500}
    )


class TablesProbe:
    """Asks, again and again, whether the engine answers and both tables can be used."""

    def __init__(self, url: str, tables: Tables, environ: Mapping[str, str]) -> None:
        """See `client` for `url` and `environ`."""
        self._url, self._tables, self._environ = url, tables, environ
        self._client: Any = None

    def __call__(self) -> bool:
        """Ask once."""
        self._client = self._client or client("dynamodb", self._url, self._environ)
        try:
            return all(
                self._client.describe_table(TableName=name)["Table"]["TableStatus"] == "ACTIVE"
                for name in (self._tables.reservations, self._tables.state)
            )
        except (BotoCoreError, ClientError):
            return False
