"""A working stage: the app on a socket, the simulator, DynamoDB and an emulated AWS account."""

import io
import json
import threading
import time
import zipfile
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
from chalice.test import Client

from app import app
from chalicelib import config, runtime
from chalicelib.adapters.dynamodb.jobs import LAST_SWEEP
from infra.aws import Aws, capacity, chalice_record, stacks, stage_config, template
from infra.aws.stage_config import API, SWEEP
from infra.doctor.subject import Subject
from tests.infra.account import secrets_of, sids_of

PARAMETER = "/taskrouter-callbacks/dev/secrets"
REGION = "eu-west-1"
STACK = "taskrouter-callbacks-dev"


@contextmanager
def serve_app(host, faults):
    """Serve the app on a socket, and yield the base URL.

    Each request uses the runtime that is set when the request arrives.

    Args:
        host: A loopback address.
        faults: Responses (status and JSON) that replace the app's, by method and path.
    """
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if fault := faults.get((self.command, self.path)):
                status, content, headers = fault[0], json.dumps(fault[1]).encode(), {}
            else:
                with lock:
                    response = client.http.request(
                        self.command, self.path, headers=dict(self.headers), body=body
                    )
                status, content, headers = response.status_code, response.body, response.headers
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815  http.server's name

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_):
            """Ignore errors in request handlers, such as connections closed by clients."""

    with Client(app, stage_name="tests") as client, Server((host, 0), Handler) as server:
        # Chalice's test client replaces os.environ with a copy during each request. Requests in
        # this server's threads would undo the changes that a test makes to os.environ meanwhile.
        client.http._patched_env_vars = lambda _: nullcontext()
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://{host}:{server.server_port}"
        server.shutdown()


@dataclass
class LiveStage:
    """A deployed stage, with parts that tests can make fail.

    Attributes:
        twilio: The simulator.
        dynamodb: The local DynamoDB server.
        base_url: The URL at which the app is served.
        tables: The names of the tables.
        monkeypatch: Replaces parts of modules until the end of the test.
        faults: See `serve_app`.
        auth_token: The auth token that the app uses to verify signatures; "" for the simulator's.
        concurrency: The concurrency that the API may use.
        is_deployed: Whether the stage's API is deployed.
        skew: Seconds by which the clock of the operator's machine is ahead.
        topic: ARN of the alarms' topic.
    """

    twilio: object
    dynamodb: object
    base_url: str
    tables: object
    monkeypatch: object
    faults: dict = field(default_factory=dict)
    auth_token: str = ""
    concurrency: int = 1_000
    is_deployed: bool = True
    skew: float = 0
    topic: str = ""

    def set(self, **variables):
        """Set variables of the stage in config.json, and deploy them."""
        stage_config.set_variables("dev", variables)
        self.deploy()

    def deploy(self):
        """Configure the app and the functions with the stage's variables."""
        secrets = {
            "TWILIO_AUTH_TOKEN": self.auth_token or self.twilio.auth_token,
            "TWILIO_API_KEY_SID": self.twilio.api_key_sid,
            "TWILIO_API_KEY_SECRET": self.twilio.api_key_secret,
        }
        environ = stage_config.environment("dev", secrets) | {"SECRETS_PARAMETER": ""}
        settings = config.load(environ)
        client = self.dynamodb.client()
        runtime.use(runtime.Runtime(settings, client, runtime.SystemClock()))
        for handler in (API, SWEEP):
            self.set_function_variables(handler, stage_config.function_variables("dev", handler))

    def set_function_variables(self, handler, variables):
        boto3.client("lambda").update_function_configuration(
            FunctionName=self.stage.function(handler), Environment={"Variables": variables}
        )

    @property
    def stage(self):
        return stage_config.read("dev")

    @property
    def subject(self):
        """The subject of the doctor's checks."""
        session = boto3.Session()
        aws = Aws(session, "aws", REGION, "123456789012", "arn:aws:iam::123456789012:user/ann")
        return Subject(self.stage, aws, now=lambda: time.time() + self.skew)

    def trigger_alarm(self):
        """Set the alarm for failing sweeps to ALARM."""
        boto3.client("cloudwatch").set_alarm_state(
            AlarmName=f"{STACK}-SweepFails", StateValue="ALARM", StateReason="test"
        )

    def store_secrets(self, **changes):
        boto3.client("ssm").put_parameter(
            Name=PARAMETER,
            Value=json.dumps(secrets_of(self.twilio) | changes),
            Type="SecureString",
            Overwrite=True,
        )

    def save_sweep(self, *, age=30, **changes):
        """Save the result of a sweep that started `age` seconds ago."""
        at = int((time.time() - age) * 1000)
        item = {"id": {"S": LAST_SWEEP}, "at": {"N": str(at)}, "ok": {"BOOL": True}} | changes
        self.dynamodb.client().put_item(TableName=self.tables.state, Item=item)

    @property
    def workspace(self):
        """The SDK's context for the Workspace."""
        return self.twilio.client().taskrouter.v1.workspaces(self.twilio.workspace_sid)

    @property
    def workflow(self):
        """The SDK's context for the Workflow."""
        return self.workspace.workflows(self.twilio.workflow_sid)

    def count_records(self):
        scanned = self.dynamodb.client().scan(TableName=self.tables.reservations)
        return scanned["Count"]

    def create(self):
        """Create the AWS resources of a working stage, and set the callback URLs in Twilio."""
        iam = boto3.client("iam")
        role = iam.create_role(RoleName="role", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        for handler in (API, SWEEP):
            name = f"{STACK}{'' if handler == API else '-sweep'}"
            boto3.client("lambda").create_function(
                FunctionName=name,
                Runtime="python3.12",
                Role=role,
                Handler="app.app",
                Code={"ZipFile": _empty_zip()},
            )
            boto3.client("logs").create_log_group(logGroupName=f"/aws/lambda/{name}")
            boto3.client("logs").put_retention_policy(
                logGroupName=f"/aws/lambda/{name}", retentionInDays=30
            )
        arn = f"arn:aws:lambda:{REGION}:123456789012:function:{STACK}-sweep"
        events = boto3.client("events")
        events.put_rule(Name="sweep", ScheduleExpression="rate(1 minute)", State="ENABLED")
        events.put_targets(Rule="sweep", Targets=[{"Id": "1", "Arn": arn}])
        for name, resource in template.read()["Resources"].items():
            if resource["Type"] == "AWS::CloudWatch::Alarm":
                boto3.client("cloudwatch").put_metric_alarm(
                    AlarmName=f"{STACK}-{name}",
                    ComparisonOperator="GreaterThanThreshold",
                    EvaluationPeriods=1,
                    ActionsEnabled=True,
                )
        self.topic = boto3.client("sns").create_topic(Name="alarms")["TopicArn"]
        boto3.client("sns").subscribe(
            TopicArn=self.topic, Protocol="email", Endpoint="a@example.com"
        )
        _protect_tables(self)
        self.save_sweep()
        self.store_secrets()
        _patch_aws(self)
        self.set(
            **sids_of(self.twilio),
            TWILIO_TASKROUTER_URL=self.twilio.url,
            RESERVATION_TIMEOUT_SECONDS="1200",
            PUBLIC_BASE_URL=self.base_url,
            RESERVATIONS_TABLE=self.tables.reservations,
            STATE_TABLE=self.tables.state,
        )
        self.workflow.update(
            assignment_callback_url=f"{self.base_url}/assignment_callback",
            fallback_assignment_callback_url=f"{self.base_url}/assignment_callback/fallback",
        )
        self.workspace.update(event_callback_url=f"{self.base_url}/event_callback")


def _empty_zip():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("app.py", "")
    return file.getvalue()


def _protect_tables(stage):
    """Give the tables the settings from infra/stage.yaml that the local stack's tables lack."""
    client = stage.dynamodb.client()
    for logical_id, name in (
        ("Reservations", stage.tables.reservations),
        ("State", stage.tables.state),
    ):
        declared = template.read()["Resources"][logical_id]["Properties"]
        client.update_table(TableName=name, DeletionProtectionEnabled=True)
        client.update_time_to_live(
            TableName=name, TimeToLiveSpecification=declared["TimeToLiveSpecification"]
        )
        client.update_continuous_backups(
            TableName=name,
            PointInTimeRecoverySpecification=declared["PointInTimeRecoverySpecification"],
        )


def _patch_aws(stage):
    """Replace reads of AWS resources that moto can't emulate.

    moto's CloudFormation and API Gateway need packages that are not installed. Its Lambda does not
    support GetAccountSettings.
    """
    stage.monkeypatch.setattr(
        chalice_record,
        "public_url",
        lambda _aws, live, _bucket: live.settings.public_base_url if stage.is_deployed else None,
    )
    stage.monkeypatch.setattr(stacks, "outputs", lambda *_: {"AlarmTopic": stage.topic})
    stage.monkeypatch.setattr(capacity, "read_concurrency", lambda *_: stage.concurrency)
