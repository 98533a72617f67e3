"""An AWS account without a deployed stage, and a Twilio account, for the deploy command."""

import contextlib
import json
from dataclasses import dataclass

import boto3
from click.testing import CliRunner

from infra.__main__ import main
from infra.aws import lock, stacks, stage_config
from infra.commands import deploy as command
from tests.infra.account import secrets_of, sids_of, variables_of

PARAMETER = "/taskrouter-callbacks/dev/secrets"
BUCKET, FIRST_RUN = "deployments", "deployed/dev.first-run"
URL = "https://own.execute-api.eu-west-1.amazonaws.com/dev"


@dataclass
class NewStage:
    """A stage that counts its deployments instead of performing them.

    Attributes:
        config: The path of config.json.
        twilio: The simulator.
        topic: The ARN of the alarm topic.
        in_terminal: Whether the command runs in a terminal.
        deployments: Number of deployments.
    """

    config: object
    twilio: object
    topic: str = ""
    in_terminal: bool = False
    deployments: int = 0

    @classmethod
    def create(cls, tmp_path, twilio, monkeypatch):
        """Create the stage in the AWS account that moto emulates."""
        config = tmp_path / ".chalice" / "config.json"
        config.parent.mkdir()
        config.write_text(stage_config.CONFIG.read_text())
        stage = cls(config, twilio)
        region = {"LocationConstraint": "eu-west-1"}
        boto3.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=region)
        stage.topic = boto3.client("sns").create_topic(Name="alarms")["TopicArn"]
        fakes = {
            (stage_config, "CONFIG"): config,
            (command, "_deploy_changes"): lambda *_, **__: stage._deploy(),
            (command, "is_terminal"): lambda: stage.in_terminal,
            (lock, "acquire"): lambda *_, **__: contextlib.nullcontext(lambda: None),
            (stacks, "outputs"): lambda *_: {"AlarmTopic": stage.topic, "Deployments": BUCKET},
        }
        for (module, name), fake in fakes.items():
            monkeypatch.setattr(module, name, fake)
        stage.set(TWILIO_TASKROUTER_URL=twilio.url)
        return stage

    @property
    def is_first(self):
        """Whether no run of the command has completed."""
        return "Contents" not in boto3.client("s3").list_objects_v2(Bucket=BUCKET)

    @is_first.setter
    def is_first(self, value):
        s3 = boto3.client("s3")
        if value:
            s3.delete_object(Bucket=BUCKET, Key=FIRST_RUN)
        else:
            s3.put_object(Bucket=BUCKET, Key=FIRST_RUN, Body=b"completed")

    def _deploy(self):
        self.deployments += 1
        return URL

    def deploy(self, *options, answers=(), **environ):
        """Run the deploy command with these environment variables."""
        return CliRunner().invoke(
            main,
            ["deploy", "--stage", "dev", *options],
            input="".join(f"{answer}\n" for answer in answers),
            env=environ,
        )

    @property
    def variables(self):
        """The stage's variables in config.json."""
        return json.loads(self.config.read_text())["stages"]["dev"]["environment_variables"]

    def set(self, **variables):
        stage_config.set_variables("dev", variables)

    @property
    def secrets(self):
        """The stored secrets, or None."""
        ssm = boto3.client("ssm")
        try:
            parameter = ssm.get_parameter(Name=PARAMETER, WithDecryption=True)["Parameter"]
        except ssm.exceptions.ParameterNotFound:
            return None
        return json.loads(parameter["Value"])

    def store_secrets(self, **changes):
        value = secrets_of(self.twilio)
        boto3.client("ssm").put_parameter(
            Name=PARAMETER, Value=json.dumps(value | changes), Type="SecureString", Overwrite=True
        )

    def configure(self):
        """Set all SIDs and secrets."""
        self.set(**sids_of(self.twilio))
        self.store_secrets()

    @property
    def environ(self):
        """Environment variables with all SIDs and secrets."""
        return variables_of(self.twilio)

    @property
    def workspace(self):
        """The SDK's context for the Workspace."""
        return self.twilio.client().taskrouter.v1.workspaces(self.twilio.workspace_sid)

    @property
    def workflow(self):
        """The SDK's context for the Workflow."""
        return self.workspace.workflows(self.twilio.workflow_sid)

    def requests(self, method):
        """Return the paths of the logged requests to TaskRouter with this method."""
        entries = self.twilio.log("request")
        return [entry["path"] for entry in entries if entry["method"] == method]
