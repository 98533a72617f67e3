"""The stage that the checks examine, and facts about it that several checks need."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from twilio.http.http_client import TwilioHttpClient

from chalicelib.adapters.secrets import Secrets
from infra import OperatorError
from infra.aws import Aws, chalice_record, stacks
from infra.aws.stage_config import Stage
from infra.commands import describe_undeployed
from infra.commands import secrets as stored_secrets
from infra.twilio_account import Account, Workspace


@dataclass
class Subject:
    """A stage, and facts about the stage that are read on first use.

    Attributes:
        stage: The stage.
        aws: The account and region. For the local stage, the boto3 session of `aws` uses the local
            DynamoDB, and no other service is available.
        is_local: Whether the stage is the local one.
        now: Returns the time of this machine, in epoch seconds.
    """

    stage: Stage
    aws: Aws
    is_local: bool = False
    now: Callable[[], float] = time.time

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The outputs of the stage's stack."""
        return stacks.outputs(self.aws, self.stage)

    @cached_property
    def base_url(self) -> str:
        """The base URL of the routes, including the API's stage if there is one.

        Raises:
            OperatorError: No API is deployed, or several are.
        """
        if self.is_local:
            return self.stage.settings.public_base_url
        bucket = self.outputs.get("Deployments")
        url = chalice_record.public_url(self.aws, self.stage, bucket)
        if url is None:
            raise OperatorError(
                f"{describe_undeployed(self.aws, self.stage)} Run: python -m infra deploy --stage "
                f"{self.stage.name}"
            )
        return url

    @property
    def callback_prefix(self) -> str:
        """The path prefix of the routes that Twilio calls; it is secret, or empty."""
        return self.stage.settings.callback_prefixes[0]

    @cached_property
    def secrets(self) -> Secrets:
        """The secrets of the stage.

        Raises:
            OperatorError: The secrets do not exist or can't be read.
        """
        settings = self.stage.settings
        if self.is_local:
            return Secrets(
                auth_tokens=(settings.twilio_auth_token,),
                api_keys={settings.twilio_api_key_sid: settings.twilio_api_key_secret},
            )
        return stored_secrets.require(self.aws, self.stage)

    @property
    def remedy(self) -> str:
        """Instructions for correcting the stored secrets, for the end of a message."""
        if self.is_local:
            return (
                "Correct the settings of the local stage, or start the simulator with the same "
                "settings."
            )
        return stored_secrets.storage_instructions(self.stage)

    def open_account(
        self,
        username: str,
        password: str,
        *,
        hint: str = "",
        http_client: TwilioHttpClient | None = None,
    ) -> Account:
        """Return the account, accessed with an API key or an auth token.

        Args:
            username: The SID of the API key, or the account SID.
            password: The secret of the API key, or the auth token.
            hint: A sentence for the error if Twilio refuses the credentials.
            http_client: Sends the requests; by default, each request is sent once.
        """
        settings = self.stage.settings
        url, sid = settings.twilio_taskrouter_url, settings.twilio_account_sid
        remedy = f"{hint} {self.remedy}".strip()
        return Account(url, sid, username, password, remedy=remedy, http_client=http_client)

    @cached_property
    def account(self) -> Account:
        """The account, accessed with the API key that the service uses."""
        hint = (
            "The API key must be a standard key of this account, and must not be revoked or "
            "restricted."
        )
        return self.open_account(*self.secrets.api_key, hint=hint)

    @cached_property
    def workspace(self) -> Workspace:
        """The Workspace, accessed with the API key that the service uses."""
        settings = self.stage.settings
        return Workspace(self.account, settings.twilio_workspace_sid, settings.twilio_workflow_sid)

    @cached_property
    def remote_workspace(self) -> Any:
        """The SDK's instance for the Workspace."""
        return self.workspace.fetch()

    @cached_property
    def remote_workflow(self) -> Any:
        """The SDK's instance for the Workflow."""
        return self.workspace.fetch_workflow()
